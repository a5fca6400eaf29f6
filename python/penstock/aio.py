"""The client with the same names as coroutines. Calls of several tasks share one connection and
are answered as they finish; over HTTP they are made in threads. Belongs to the event loop that
first uses it."""

from __future__ import annotations

import asyncio
from typing import Any, AsyncIterator, Callable, Sequence

from . import _client, _errors, _wire
from ._crc32c import crc32c
from ._errors import ConditionFailed, Exists, NotFound, TooLarge, error_from

__all__ = ["Client"]


class Client:
    """Calls a node: addresses, limits, attempts and errors as penstock.Client."""

    def __init__(self, address: str, timeout_s: float | None = 60, attempts: int = 4, *,
                 token: str | None = None, ca_file: str | None = None) -> None:
        self._token = _wire.chosen_token(token)
        self._kind, self._target = _wire.parse_address(address)
        self._timeout_s = timeout_s
        self._attempts = max(1, attempts)
        self._tls = _wire.tls_context(self._kind, ca_file)
        self._http = (_client.Client(address, timeout_s, attempts, token=token, ca_file=ca_file)
                      if self._kind in ("http", "https") else None)
        self._writer: asyncio.StreamWriter | None = None
        self._reader_task: asyncio.Task[None] | None = None
        self._opening = asyncio.Lock()
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._last = 0

    async def __aenter__(self) -> "Client":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends the connection; calls under way fail, the next one opens a connection again."""
        if self._http is not None:
            self._http.close()
        if self._reader_task is not None:
            self._reader_task.cancel()
            await asyncio.gather(self._reader_task, return_exceptions=True)

    async def create_bucket(self, bucket: str, **props: Any) -> None:
        if self._http is not None:
            return await asyncio.to_thread(self._http.create_bucket, bucket, **props)
        try:
            await self._call("bucket.create", {"bucket": bucket, "props": props or None})
        except Exists as error:
            if not getattr(error, "was_repeated", False):
                raise

    async def destroy_bucket(self, bucket: str) -> None:
        if self._http is not None:
            return await asyncio.to_thread(self._http.destroy_bucket, bucket)
        await self._call("bucket.destroy", {"bucket": bucket}, may_repeat=False)

    async def buckets(self) -> list[str]:
        if self._http is not None:
            return await asyncio.to_thread(self._http.buckets)
        return [bucket["name"] for bucket in (await self._call("bucket.list", {}))["buckets"]]

    async def put(self, bucket: str, name: str, data: Any, *,
                  metadata: dict[str, str] | None = None,
                  if_absent: bool = False) -> dict[str, Any]:
        if self._http is not None:
            return await asyncio.to_thread(self._http.put, bucket, name, data, metadata=metadata,
                                           if_absent=if_absent)
        content = memoryview(data).cast("B")
        if len(content) > _wire.VALUE_BYTES_MAX:
            return await self._put_parts(bucket, name, content, metadata, if_absent)
        value = bytes(content)
        crc = crc32c(value)
        try:
            return await self._call("object.put", {
                "bucket": bucket, "name": name, "crc32c": crc, "metadata": metadata,
                "if_absent": if_absent or None, "data": value})
        except ConditionFailed as error:
            found = await self.stat(bucket, name) if getattr(error, "was_repeated", False) else None
            if found and found["size"] == len(value) and found["checksum"] == {
                    "type": "crc32c", "value": f"{crc:08x}"}:
                return found
            raise

    async def _put_parts(self, bucket: str, name: str, content: memoryview,
                         metadata: dict[str, str] | None, if_absent: bool) -> dict[str, Any]:
        upload = (await self._call(
            "upload.begin", {"bucket": bucket, "name": name, "metadata": metadata},
            may_repeat=False))["upload"]
        try:
            parts = list(_wire.parts_of(content))
            for begin in range(0, len(parts), _wire.UNDERWAY_MAX):
                await asyncio.gather(*(
                    self._call("upload.part", _wire.part_arguments(upload, number, part))
                    for number, part in parts[begin:begin + _wire.UNDERWAY_MAX]))
            stored = await self._call(
                "upload.complete", {"upload": upload, "if_absent": if_absent or None},
                may_repeat=False)
        except BaseException:
            try:
                await self._call("upload.abort", {"upload": upload}, may_repeat=False)
            except Exception:  # the node tidies up by itself; the first error is what matters
                pass
            raise
        if stored["size"] != len(content):
            raise ConnectionError("the node stored another size than was sent")
        return stored

    async def get(self, bucket: str, name: str, *, offset: int = 0, length: int | None = None,
                  member: str | None = None) -> bytes:
        if self._http is not None:
            return await asyncio.to_thread(self._http.get, bucket, name, offset=offset,
                                           length=length, member=member)
        arguments = {"bucket": bucket, "name": name, "member": member, "offset": offset or None,
                     "length": length}
        try:
            return await self._call(
                "object.get", arguments,
                check=lambda result: _wire.checked_data(result, offset, length))
        except TooLarge:
            return await self._get_ranges(arguments, offset, length)

    async def stat(self, bucket: str, name: str) -> dict[str, Any]:
        if self._http is not None:
            return await asyncio.to_thread(self._http.stat, bucket, name)
        return await self._call("object.stat", {"bucket": bucket, "name": name})

    async def delete(self, bucket: str, name: str) -> None:
        if self._http is not None:
            return await asyncio.to_thread(self._http.delete, bucket, name)
        try:
            await self._call("object.delete", {"bucket": bucket, "name": name})
        except NotFound as error:
            if not getattr(error, "was_repeated", False):
                raise

    async def list(self, bucket: str, prefix: str = "") -> AsyncIterator[dict[str, Any]]:
        if self._http is not None:
            for entry in await asyncio.to_thread(lambda: list(self._http.list(bucket, prefix))):
                yield entry
            return
        token: Any = ""
        while True:
            page = await self._call("object.list",
                                    {"bucket": bucket, "prefix": prefix, "token": token})
            for entry in page["entries"]:
                yield entry
            token = page["token"]
            if not token:
                return

    async def get_many(self, bucket: str, names: Sequence[Any]) -> "list[memoryview]":
        if self._http is not None:
            return await asyncio.to_thread(self._http.get_many, bucket, names)
        views: list[memoryview] = []
        for begin in range(0, len(names), _wire.BATCH_ITEMS_MAX):
            views += await self._get_batch(bucket, names[begin:begin + _wire.BATCH_ITEMS_MAX])
        return views

    async def _get_batch(self, bucket: str, names: Sequence[Any]) -> "list[memoryview]":
        try:
            def views(result: Any) -> "list[memoryview]":
                _wire.check_crc(result["data"], result)
                return _wire.views_of(memoryview(result["data"]), result["entries"], len(names))

            return await self._call("object.get_many",
                                    {"items": _wire.items_of(bucket, names)}, check=views)
        except TooLarge:
            if len(names) == 1:
                name, member = names[0] if isinstance(names[0], tuple) else (names[0], None)
                return [memoryview(await self.get(bucket, name, member=member))]
        half = len(names) // 2
        parts = await asyncio.gather(self._get_batch(bucket, names[:half]),
                                     self._get_batch(bucket, names[half:]))
        return parts[0] + parts[1]

    async def _get_ranges(self, arguments: dict[str, Any], offset: int,
                          length: int | None) -> bytes:
        for _ in range(4):
            head = await self._call("object.get", {**arguments, "offset": offset, "length": 0})
            end = head["size"] if length is None else min(head["size"], offset + length)
            pieces: list[bytes] = []
            for at, size in _wire.ranges_of(offset, end):
                version, piece = await self._call(
                    "object.get", {**arguments, "offset": at, "length": size},
                    check=lambda result, at=at, size=size: (
                        result["version"], _wire.checked_data(result, at, size)))
                if version != head["version"]:
                    break
                pieces.append(piece)
            else:
                return b"".join(pieces)
        raise ConnectionError("the object is being overwritten all the time")

    async def _call(self, method: str, arguments: dict[str, Any], *, may_repeat: bool = True,
                    check: Callable[[Any], Any] = lambda result: result) -> Any:
        """What `check` makes of the result. Tries until that succeeds, the error is the node's last
        word, or the time is up."""
        loop = asyncio.get_running_loop()
        deadline = None if self._timeout_s is None else loop.time() + self._timeout_s
        was_repeated = False
        for attempt in range(1, self._attempts + 1):
            try:
                left = None if deadline is None else max(0.001, deadline - loop.time())
                return check(await asyncio.wait_for(self._attempt(method, arguments), left))
            except asyncio.TimeoutError as error:
                raise TimeoutError("the call was not done in time") from error
            except Exception as error:
                is_node = isinstance(error, _errors.Error)
                error.was_repeated = was_repeated  # type: ignore[attr-defined]
                was_repeated = was_repeated or not is_node
                is_last = attempt == self._attempts or not _wire.is_passing(error)
                if is_last or not (may_repeat or is_node):
                    raise
            pause = _wire.backoff_s(attempt)
            if deadline is not None and loop.time() + pause >= deadline:
                raise TimeoutError("the call was not done in time")
            await asyncio.sleep(pause)
        raise AssertionError("every attempt returns or raises")

    async def _attempt(self, method: str, arguments: dict[str, Any]) -> Any:
        writer = await self._open()
        return await self._exchange(writer, method, arguments)

    async def _exchange(self, writer: asyncio.StreamWriter, method: str,
                        arguments: dict[str, Any]) -> Any:
        self._last = (self._last + 1) & 0xFFFFFFFF
        number = self._last
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        try:
            writer.write(_wire.pack_request(number, method, arguments))
            await writer.drain()
            error, result = await future
        finally:
            self._waiting.pop(number, None)
        if error is not None:
            raise error_from(error)
        return result

    async def _open(self) -> asyncio.StreamWriter:
        async with self._opening:
            if self._writer is None:
                if self._kind == "unix":
                    reader, self._writer = await asyncio.open_unix_connection(self._target)
                else:
                    reader, self._writer = await asyncio.open_connection(
                        *self._target, ssl=self._tls)
                self._reader_task = asyncio.create_task(self._read(reader, self._writer))
                if self._token:
                    await self._log_in(self._writer)
            return self._writer

    async def _log_in(self, writer: asyncio.StreamWriter) -> None:
        try:
            await self._exchange(writer, "auth.login", {"token": self._token})
        except BaseException:
            # The next call must not go on with a connection that nobody is logged in on.
            writer.close()
            self._writer = None
            raise

    async def _read(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        failure: BaseException = ConnectionError("the connection was closed")
        unpacker = _wire.make_unpacker()
        try:
            while data := await reader.read(1 << 20):
                unpacker.feed(data)
                for message in unpacker:
                    number, error, result = _wire.reply_from(message)
                    future = self._waiting.get(number)
                    if future is not None and not future.done():
                        future.set_result((error, result))
            failure = ConnectionError("the node closed the connection in the middle of a call")
        except Exception as error:  # whatever it was ends the connection and every call on it
            failure = error
        finally:
            writer.close()
            if self._writer is writer:
                self._writer = None
            waiting, self._waiting = self._waiting, {}
            for future in waiting.values():
                if not future.done():
                    future.set_exception(failure)
