"""The blocking client."""

from __future__ import annotations

import array
import mmap
import os
import socket
import threading
from typing import Any, Iterator, Sequence

from . import _wire
from ._errors import TooLarge, error_from

_RECEIVE_BYTES = 1 << 20
_DESCRIPTORS_MAX = 16


class _Connection:
    """One socket; calls may be sent ahead of their replies. Not for several threads."""

    def __init__(self, kind: str, target: Any, timeout_s: float | None) -> None:
        if kind == "unix":
            self._socket = socket.socket(socket.AF_UNIX)
            self._socket.settimeout(timeout_s)
            self._socket.connect(target)
        else:
            self._socket = socket.create_connection(target, timeout_s)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._unpacker = _wire.make_unpacker()
        self._descriptors: list[int] = []
        self._last = 0

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
            data, control, _, _ = self._socket.recvmsg(
                _RECEIVE_BYTES, socket.CMSG_LEN(_DESCRIPTORS_MAX * 4), socket.MSG_CMSG_CLOEXEC)
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


class Client:
    """Calls a node. `address` is "unix:PATH" or "tcp://HOST:PORT"; a call that takes longer than
    `timeout_s` raises TimeoutError. Errors of the node are penstock.Error and its kinds."""

    def __init__(self, address: str, timeout_s: float | None = 60) -> None:
        self._kind, self._target = _wire.parse_address(address)
        self._timeout_s = timeout_s
        self._lock = threading.Lock()
        self._connection: _Connection | None = None
        self._process = 0

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the connection; the next call opens one again."""
        with self._lock:
            self._drop()

    # ---- buckets ----

    def create_bucket(self, bucket: str, **props: Any) -> None:
        self._call("bucket.create", {"bucket": bucket, "props": props or None})

    def destroy_bucket(self, bucket: str) -> None:
        self._call("bucket.destroy", {"bucket": bucket})

    def buckets(self) -> list[str]:
        return [bucket["name"] for bucket in self._call("bucket.list", {})["buckets"]]

    # ---- objects ----

    def put(self, bucket: str, name: str, data: Any, *, metadata: dict[str, str] | None = None,
            if_absent: bool = False) -> dict[str, Any]:
        """Stores an object of at most 1 MiB; durable on return. {version, size, checksum}."""
        return self._call("object.put", {"bucket": bucket, "name": name, "data": bytes(data),
                                         "metadata": metadata, "if_absent": if_absent or None})

    def get(self, bucket: str, name: str, *, offset: int = 0, length: int | None = None,
            member: str | None = None) -> bytes:
        """Bytes of an object, or of a member of a shard, of any size."""
        arguments = {"bucket": bucket, "name": name, "member": member, "offset": offset or None,
                     "length": length}
        try:
            return _wire.checked_data(self._call("object.get", arguments), offset, length)
        except TooLarge:
            return self._get_ranges(arguments, offset, length)

    def stat(self, bucket: str, name: str) -> dict[str, Any]:
        """{size, version, checksum, metadata, modified_ns}."""
        return self._call("object.stat", {"bucket": bucket, "name": name})

    def delete(self, bucket: str, name: str) -> None:
        self._call("object.delete", {"bucket": bucket, "name": name})

    def list(self, bucket: str, prefix: str = "") -> Iterator[dict[str, Any]]:
        """The bucket's objects by name, {name, size, version} each, a page at a time."""
        token: Any = ""
        while True:
            page = self._call("object.list", {"bucket": bucket, "prefix": prefix, "token": token})
            yield from page["entries"]
            token = page["token"]
            if not token:
                return

    def get_many(self, bucket: str, names: Sequence[Any]) -> "list[memoryview]":
        """The contents of many objects, in the order of `names`; (name, member) asks for a member
        of a shard. The views lie in few buffers, which live as long as one of their views."""
        views: list[memoryview] = []
        for begin in range(0, len(names), _wire.BATCH_ITEMS_MAX):
            views += self._get_batch(bucket, names[begin:begin + _wire.BATCH_ITEMS_MAX])
        return views

    # ---- within ----

    def _get_batch(self, bucket: str, names: Sequence[Any]) -> "list[memoryview]":
        items = _wire.items_of(bucket, names)
        try:
            result = self._call("object.get_many", {"items": items})
            return _wire.views_of(memoryview(result["data"]), result["entries"], len(names))
        except TooLarge:
            if self._kind == "unix":
                return self._get_batch_by_descriptor(items)
        if len(names) == 1:
            name, member = names[0] if isinstance(names[0], tuple) else (names[0], None)
            return [memoryview(self.get(bucket, name, member=member))]
        half = len(names) // 2
        return self._get_batch(bucket, names[:half]) + self._get_batch(bucket, names[half:])

    def _get_batch_by_descriptor(self, items: Sequence[dict[str, Any]]) -> "list[memoryview]":
        with self._lock:
            result = self._exchange([("object.get_many", {"items": items, "as": "fd"})])[0]
            connection = self._open()
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
                with self._lock:
                    results = self._exchange(calls)
                if any(result["version"] != head["version"] for result in results):
                    break
                pieces += [_wire.checked_data(result, at, size)
                           for result, (at, size) in zip(results, ranges[begin:begin + 16])]
            if len(pieces) == len(ranges):
                return b"".join(pieces)
        raise ConnectionError("the object is being overwritten all the time")

    def _call(self, method: str, arguments: dict[str, Any]) -> Any:
        with self._lock:
            return self._exchange([(method, arguments)])[0]

    def _exchange(self, calls: Sequence[tuple[str, dict[str, Any]]]) -> "list[Any]":
        connection = self._open()
        try:
            outcomes = connection.call_all(calls)
        except BaseException:
            # Nobody knows which replies are still on their way: they must not be taken for others'.
            self._drop()
            raise
        for error, _ in outcomes:
            if error is not None:
                raise error_from(error)
        return [result for _, result in outcomes]

    def _open(self) -> _Connection:
        if self._connection is not None and self._process != os.getpid():
            # The parent's connection: closing our copy of it leaves the parent's open.
            self._drop()
        if self._connection is None:
            self._connection = _Connection(self._kind, self._target, self._timeout_s)
            self._process = os.getpid()
        return self._connection

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
