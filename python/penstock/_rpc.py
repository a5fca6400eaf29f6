"""The blocking calls over MessagePack-RPC."""

from __future__ import annotations

import array
import mmap
import os
import socket
import ssl
import threading
import time
from typing import Any, Callable, Iterator, Sequence, TypeVar

from . import _errors, _wire
from ._crc32c import crc32c
from ._errors import ConditionFailed, Exists, NotFound, TooLarge, error_from

_RECEIVE_BYTES = 1 << 20
_DESCRIPTORS_MAX = 16

Answer = TypeVar("Answer")


class _Connection:
    """One socket; calls may be sent ahead of their replies. Not for several threads."""

    def __init__(self, kind: str, target: Any, timeout_s: float | None,
                 tls: ssl.SSLContext | None) -> None:
        self._has_descriptors = kind == "unix"
        if kind == "unix":
            self._socket = socket.socket(socket.AF_UNIX)
            self._socket.settimeout(timeout_s)
            self._socket.connect(target)
        else:
            self._socket = socket.create_connection(target, timeout_s)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls is not None:
            plain = self._socket
            try:
                self._socket = tls.wrap_socket(plain, server_hostname=target[0])
            except BaseException:
                plain.close()
                raise
        self._unpacker = _wire.make_unpacker()
        self._deadline: float | None = None
        self._descriptors: list[int] = []
        self._last = 0
        self._buffers: list[bytearray] = []  # of the last batches

    def set_deadline(self, deadline: float | None) -> None:
        """Of what follows, on the monotonic clock."""
        self._deadline = deadline
        self._hurry()

    def _hurry(self) -> None:
        if self._deadline is None:
            self._socket.settimeout(None)
            return
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the call was not done in time")
        self._socket.settimeout(left)

    def call_batches(self, bucket: str, pieces: Sequence[Sequence[Any]]) -> "list[memoryview]":
        """One request of object.get_many for each piece, few of them under way at once; all their
        replies in one buffer. What has come is checked and read while the rest is on its way.
        TooLarge if a piece does not fit into a reply."""
        first, sent, done = self._last + 1, 0, 0
        self._last += len(pieces)
        buffer, begin, end = self._free_buffer(), 0, 0
        spans: "list[list[slice] | None]" = [None] * len(pieces)
        while done < len(pieces):
            while sent < len(pieces) and sent < done + _wire.UNDERWAY_MAX:
                self._socket.sendall(_wire.pack_batch((first + sent) & 0xFFFFFFFF, bucket,
                                                      pieces[sent]))
                sent += 1
            reply = None
            while reply is None or reply.end > end:
                needed = end + 1 if reply is None else reply.end
                if needed > len(buffer):
                    buffer.extend(bytes(max(needed - len(buffer), len(buffer))))
                end += self._receive_into(buffer, end)
                if reply is None:
                    reply = _wire.BatchReply.read(buffer, begin, end, _wire.BATCH_PIECE_ITEMS)
            while reply is not None and reply.end <= end:
                index = (reply.number - first) & 0xFFFFFFFF
                if index >= sent or spans[index] is not None:
                    raise ConnectionError("the node sent a reply that nobody waits for")
                spans[index] = self._take_batch(buffer, reply, len(pieces[index]))
                done += 1
                begin = reply.end
                reply = (_wire.BatchReply.read(buffer, begin, end, _wire.BATCH_PIECE_ITEMS)
                         if begin < end else None)
        if begin != end:
            raise ConnectionError("the node sent more than it was asked for")
        if not any(other is buffer for other in self._buffers):
            self._buffers = [*self._buffers[-1:], buffer]
        content = memoryview(buffer)
        return [content[span] for piece in spans for span in piece]  # type: ignore[union-attr]

    def _receive_into(self, buffer: bytearray, at: int) -> int:
        self._hurry()
        count = self._socket.recv_into(memoryview(buffer)[at:])
        if count == 0:
            raise ConnectionError("the node closed the connection in the middle of a call")
        return count

    @staticmethod
    def _take_batch(buffer: bytearray, reply: _wire.BatchReply, count: int) -> "list[slice]":
        if reply.error is not None:
            raise error_from(reply.error)
        with memoryview(buffer) as content, content[reply.begin:reply.end] as data:
            if crc32c(data) != reply.crc:
                raise ConnectionError("the reply's bytes fail their checksum")
        return _wire.spans_of(reply.entries, reply.begin, reply.size, count)

    def _free_buffer(self) -> bytearray:
        """One of the last two batches' that nobody looks at any more: fresh memory costs more than
        what is done with it."""
        for buffer in self._buffers:
            try:
                buffer.append(0)  # not while there are views of it
                buffer.pop()
                return buffer
            except BufferError:
                pass
        return bytearray(1 << 18)

    def call_all(self, calls: Sequence[tuple[str, dict[str, Any]]]) -> list[tuple[Any, Any]]:
        """The (error, result) of each, in their order."""
        first = self._last + 1
        self._last += len(calls)
        self._socket.sendall(b"".join(
            _wire.pack_request((first + index) & 0xFFFFFFFF, method, arguments)
            for index, (method, arguments) in enumerate(calls)))
        outcomes: dict[int, tuple[Any, Any]] = {}
        while len(outcomes) < len(calls):
            number, error, result = self._receive()
            outcomes[number] = (error, result)
        return [outcomes[(first + index) & 0xFFFFFFFF] for index in range(len(calls))]

    def log_in(self, token: str) -> None:
        [(error, _)] = self.call_all([("auth.login", {"token": token})])
        if error is not None:
            raise error_from(error)

    def notify(self, method: str, arguments: dict[str, Any]) -> None:
        self._socket.sendall(_wire.msgpack.packb([2, method, [arguments]]))

    def take_descriptor(self) -> int:
        if not self._descriptors:
            raise ConnectionError("the descriptor of this reply did not come")
        return self._descriptors.pop(0)

    def _receive(self) -> tuple[int, Any, Any]:
        while True:
            for message in self._unpacker:
                return _wire.reply_from(message)
            self._hurry()
            control: list[tuple[int, int, bytes]] = []
            if self._has_descriptors:
                data, control, _, _ = self._socket.recvmsg(
                    _RECEIVE_BYTES, socket.CMSG_LEN(_DESCRIPTORS_MAX * 4), socket.MSG_CMSG_CLOEXEC)
            else:
                data = self._socket.recv(_RECEIVE_BYTES)
            for level, kind, content in control:
                if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                    numbers = array.array("i")
                    numbers.frombytes(content[:len(content) - len(content) % numbers.itemsize])
                    self._descriptors.extend(numbers)
            if not data:
                raise ConnectionError("the node closed the connection in the middle of a call")
            self._unpacker.feed(data)

    def close(self) -> None:
        for number in self._descriptors:
            os.close(number)
        self._descriptors.clear()
        self._socket.close()


class RpcCalls:
    """One connection, shared by threads in turn; a process that was forked opens its own."""

    def __init__(self, kind: str, target: Any, timeout_s: float | None, attempts: int,
                 token: str, tls: ssl.SSLContext | None) -> None:
        self._tls = tls
        self._token = token
        self._kind, self._target = kind, target
        self._timeout_s = timeout_s
        self._attempts = max(1, attempts)
        self._lock = threading.Lock()
        self._connection: _Connection | None = None
        self._process = os.getpid()
        self._next_deadline: float | None = None  # of the attempt under way
        self._has_begun = False  # it may have reached the node

    def close(self) -> None:
        with self._lock:
            self._drop()

    # ---- buckets ----

    def create_bucket(self, bucket: str, props: dict[str, Any]) -> None:
        try:
            self._call("bucket.create", {"bucket": bucket, "props": props or None})
        except Exists as error:
            # An attempt whose reply did not come made it.
            if not getattr(error, "was_repeated", False):
                raise

    def destroy_bucket(self, bucket: str) -> None:
        self._call("bucket.destroy", {"bucket": bucket}, may_repeat=False)

    def buckets(self) -> "list[str]":
        return [bucket["name"] for bucket in self._call("bucket.list", {})["buckets"]]

    # ---- objects ----

    def put(self, bucket: str, name: str, data: Any, metadata: dict[str, str] | None,
            if_absent: bool) -> dict[str, Any]:
        content = memoryview(data).cast("B")
        if len(content) > _wire.VALUE_BYTES_MAX:
            return self._put_parts(bucket, name, content, metadata, if_absent)
        value = bytes(content)
        crc = crc32c(value)
        try:
            return self._call("object.put", {
                "bucket": bucket, "name": name, "crc32c": crc, "metadata": metadata,
                "if_absent": if_absent or None, "data": value})
        except ConditionFailed as error:
            found = self.stat(bucket, name) if getattr(error, "was_repeated", False) else None
            # Perhaps an attempt whose reply did not come made what is there now.
            if found and found["size"] == len(value) and found["checksum"] == {
                    "type": "crc32c", "value": f"{crc:08x}"}:
                return found
            raise

    def _put_parts(self, bucket: str, name: str, content: memoryview,
                   metadata: dict[str, str] | None, if_absent: bool) -> dict[str, Any]:
        upload = self._call("upload.begin", {"bucket": bucket, "name": name, "metadata": metadata},
                            may_repeat=False)["upload"]
        try:
            for number, part in _wire.parts_of(content):
                self._call("upload.part", _wire.part_arguments(upload, number, part))
            stored = self._call("upload.complete",
                                {"upload": upload, "if_absent": if_absent or None},
                                may_repeat=False)
        except BaseException:
            try:
                self._call("upload.abort", {"upload": upload}, may_repeat=False)
            except Exception:  # the node tidies up by itself; the first error is what matters
                pass
            raise
        if stored["size"] != len(content):
            raise ConnectionError("the node stored another size than was sent")
        return stored

    def get(self, bucket: str, name: str, offset: int, length: int | None,
            member: str | None) -> bytes:
        arguments = {"bucket": bucket, "name": name, "member": member, "offset": offset or None,
                     "length": length}
        try:
            return self._retrying(lambda: _wire.checked_data(
                self._exchange([("object.get", arguments)])[0], offset, length))
        except TooLarge:
            return self._get_ranges(arguments, offset, length)

    def stat(self, bucket: str, name: str) -> dict[str, Any]:
        return self._call("object.stat", {"bucket": bucket, "name": name})

    def delete(self, bucket: str, name: str) -> None:
        try:
            self._call("object.delete", {"bucket": bucket, "name": name})
        except NotFound as error:
            # An attempt whose reply did not come removed it.
            if not getattr(error, "was_repeated", False):
                raise

    def list(self, bucket: str, prefix: str) -> Iterator[dict[str, Any]]:
        token: Any = ""
        while True:
            page = self._call("object.list", {"bucket": bucket, "prefix": prefix, "token": token})
            yield from page["entries"]
            token = page["token"]
            if not token:
                return

    def get_many(self, bucket: str, names: Sequence[Any]) -> "list[memoryview]":
        pieces = _wire.pieces_of(names)
        if not pieces:
            return []
        try:
            return self._retrying(lambda: self._on_connection(
                lambda connection: connection.call_batches(bucket, pieces)))
        except TooLarge:
            views: list[memoryview] = []
            for piece in pieces:
                views += self._get_large_batch(bucket, piece)
            return views

    # ---- within ----

    def _get_large_batch(self, bucket: str, names: Sequence[Any]) -> "list[memoryview]":
        if self._kind == "unix":
            try:
                items = _wire.items_of(bucket, names)
                return self._retrying(lambda: self._get_batch_by_descriptor(items))
            except TooLarge:
                pass
        elif len(names) > 1:
            try:
                return self._retrying(lambda: self._on_connection(
                    lambda connection: connection.call_batches(bucket, [names])))
            except TooLarge:
                pass
        if len(names) == 1:
            name, member = names[0] if isinstance(names[0], tuple) else (names[0], None)
            return [memoryview(self.get(bucket, name, 0, None, member))]
        half = len(names) // 2
        return (self._get_large_batch(bucket, names[:half])
                + self._get_large_batch(bucket, names[half:]))

    def _get_batch_by_descriptor(self, items: Sequence[dict[str, Any]]) -> "list[memoryview]":
        def work(connection: _Connection) -> "list[memoryview]":
            error, result = connection.call_all(
                [("object.get_many", {"items": items, "as": "fd"})])[0]
            if error is not None:
                raise error_from(error)
            descriptor = connection.take_descriptor()
            try:
                size = os.fstat(descriptor).st_size
                if size != result["size"]:
                    raise ConnectionError("the batch has another size than the reply says")
                content = mmap.mmap(descriptor, size, prot=mmap.PROT_READ) if size else b""
            finally:
                os.close(descriptor)
            # The mapping keeps the memory; that the node need not count it any more is enough.
            connection.notify("lease.release", {"lease": result["lease"]})
            return _wire.views_of(memoryview(content), result["entries"], len(items))

        return self._on_connection(work)

    def _get_ranges(self, arguments: dict[str, Any], offset: int, length: int | None) -> bytes:
        """All ranges of one version, several under way at once."""
        for _ in range(4):
            head = self._call("object.get", {**arguments, "offset": offset, "length": 0})
            end = head["size"] if length is None else min(head["size"], offset + length)
            ranges = _wire.ranges_of(offset, end)
            pieces: list[bytes] = []
            for begin in range(0, len(ranges), 16):
                calls = [("object.get", {**arguments, "offset": at, "length": size})
                         for at, size in ranges[begin:begin + 16]]
                results = self._retrying(lambda: self._exchange(calls))
                if any(result["version"] != head["version"] for result in results):
                    break
                pieces += [_wire.checked_data(result, at, size)
                           for result, (at, size) in zip(results, ranges[begin:begin + 16])]
            if len(pieces) == len(ranges):
                return b"".join(pieces)
        raise ConnectionError("the object is being overwritten all the time")

    def _call(self, method: str, arguments: dict[str, Any], may_repeat: bool = True) -> Any:
        return self._retrying(lambda: self._exchange([(method, arguments)])[0], may_repeat)

    def _retrying(self, action: Callable[[], Answer], may_repeat: bool = True) -> Answer:
        """Tries until it succeeds, the error is the node's last word, or the time is up."""
        deadline = None if self._timeout_s is None else time.monotonic() + self._timeout_s
        was_repeated = False
        for attempt in range(1, self._attempts + 1):
            with self._lock:
                self._next_deadline, self._has_begun = deadline, False
                try:
                    return action()
                except Exception as error:
                    is_node = isinstance(error, _errors.Error)
                    error.was_repeated = was_repeated  # type: ignore[attr-defined]
                    has_begun = self._has_begun and not is_node
                    was_repeated = was_repeated or has_begun
                    is_last = attempt == self._attempts or not _wire.is_passing(error)
                    if is_last or (has_begun and not may_repeat):
                        raise
            pause = _wire.backoff_s(attempt)
            if deadline is not None and time.monotonic() + pause >= deadline:
                raise TimeoutError("the call was not done in time")
            time.sleep(pause)
        raise AssertionError("every attempt returns or raises")

    def _on_connection(self, work: Callable[[_Connection], Answer]) -> Answer:
        connection = self._open()
        try:
            connection.set_deadline(self._next_deadline)
            self._has_begun = True
            return work(connection)
        except BaseException:
            # Nobody knows which replies are still on their way: they must not be taken for others'.
            self._drop()
            raise

    def _exchange(self, calls: Sequence[tuple[str, dict[str, Any]]]) -> "list[Any]":
        outcomes = self._on_connection(lambda connection: connection.call_all(calls))
        for error, _ in outcomes:
            if error is not None:
                raise error_from(error)
        return [result for _, result in outcomes]

    def _open(self) -> _Connection:
        if self._connection is not None and self._process != os.getpid():
            # The parent's connection: closing our copy of it leaves the parent's open.
            self._drop()
        if self._connection is None:
            left = (None if self._next_deadline is None
                    else max(0.001, self._next_deadline - time.monotonic()))
            connection = _Connection(self._kind, self._target, left, self._tls)
            try:
                if self._token:
                    connection.set_deadline(self._next_deadline)
                    connection.log_in(self._token)
            except BaseException:
                connection.close()
                raise
            self._connection = connection
            self._process = os.getpid()
        return self._connection

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
