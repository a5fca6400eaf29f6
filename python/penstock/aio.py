"""The client with the same names as coroutines. Calls of several tasks share one connection and
are answered as they finish. Belongs to the event loop that first uses it."""

from __future__ import annotations

import asyncio
from typing import Any, AsyncIterator, Sequence

from . import _wire
from ._errors import TooLarge, error_from

__all__ = ["Client"]


class Client:
    """Calls a node. `address` is "unix:PATH" or "tcp://HOST:PORT"."""

    def __init__(self, address: str) -> None:
        self._kind, self._target = _wire.parse_address(address)
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
        if self._reader_task is not None:
            self._reader_task.cancel()
            await asyncio.gather(self._reader_task, return_exceptions=True)

    async def create_bucket(self, bucket: str, **props: Any) -> None:
        await self._call("bucket.create", {"bucket": bucket, "props": props or None})

    async def destroy_bucket(self, bucket: str) -> None:
        await self._call("bucket.destroy", {"bucket": bucket})

    async def buckets(self) -> list[str]:
        return [bucket["name"] for bucket in (await self._call("bucket.list", {}))["buckets"]]

    async def put(self, bucket: str, name: str, data: Any, *,
                  metadata: dict[str, str] | None = None,
                  if_absent: bool = False) -> dict[str, Any]:
        return await self._call("object.put", {
            "bucket": bucket, "name": name, "data": bytes(data), "metadata": metadata,
            "if_absent": if_absent or None})

    async def get(self, bucket: str, name: str, *, offset: int = 0, length: int | None = None,
                  member: str | None = None) -> bytes:
        arguments = {"bucket": bucket, "name": name, "member": member, "offset": offset or None,
                     "length": length}
        try:
            return _wire.checked_data(await self._call("object.get", arguments), offset, length)
        except TooLarge:
            return await self._get_ranges(arguments, offset, length)

    async def stat(self, bucket: str, name: str) -> dict[str, Any]:
        return await self._call("object.stat", {"bucket": bucket, "name": name})

    async def delete(self, bucket: str, name: str) -> None:
        await self._call("object.delete", {"bucket": bucket, "name": name})

    async def list(self, bucket: str, prefix: str = "") -> AsyncIterator[dict[str, Any]]:
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
        views: list[memoryview] = []
        for begin in range(0, len(names), _wire.BATCH_ITEMS_MAX):
            views += await self._get_batch(bucket, names[begin:begin + _wire.BATCH_ITEMS_MAX])
        return views

    async def _get_batch(self, bucket: str, names: Sequence[Any]) -> "list[memoryview]":
        try:
            result = await self._call("object.get_many",
                                      {"items": _wire.items_of(bucket, names)})
            return _wire.views_of(memoryview(result["data"]), result["entries"], len(names))
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
                result = await self._call("object.get",
                                          {**arguments, "offset": at, "length": size})
                if result["version"] != head["version"]:
                    break
                pieces.append(_wire.checked_data(result, at, size))
            else:
                return b"".join(pieces)
        raise ConnectionError("the object is being overwritten all the time")

    async def _call(self, method: str, arguments: dict[str, Any]) -> Any:
        writer = await self._open()
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
                    reader, self._writer = await asyncio.open_connection(*self._target)
                self._reader_task = asyncio.create_task(self._read(reader, self._writer))
            return self._writer

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
