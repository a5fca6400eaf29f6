"""Messages, addresses, and what the blocking and the asyncio client do alike."""

from __future__ import annotations

from typing import Any, Sequence

import msgpack

VALUE_BYTES_MAX = 1 << 20  # of one value in a message; larger ones go in ranges
BATCH_ITEMS_MAX = 16 << 10
MESSAGE_BYTES_MAX = 256 << 20  # of a reply: a bound on what a broken node makes us hold


def parse_address(address: str) -> tuple[str, Any]:
    """("unix", path) or ("tcp", (host, port))."""
    if address.startswith("unix:"):
        path = address[len("unix:"):]
        if not path:
            raise ValueError(f"{address!r}: the socket's path is missing")
        return "unix", path
    if address.startswith("tcp://"):
        host, colon, port = address[len("tcp://"):].rpartition(":")
        if colon and host and port.isdigit():
            return "tcp", (host.strip("[]"), int(port))
    if address.startswith(("http://", "https://")):
        raise ValueError(f"{address!r}: HTTP is not built yet in this client; use unix: or tcp://")
    raise ValueError(f"{address!r} is neither unix:PATH nor tcp://HOST:PORT")


def make_unpacker() -> msgpack.Unpacker:
    return msgpack.Unpacker(max_buffer_size=MESSAGE_BYTES_MAX, strict_map_key=False)


def pack_request(number: int, method: str, arguments: dict[str, Any]) -> bytes:
    given = {key: value for key, value in arguments.items() if value is not None}
    return msgpack.packb([0, number, method, [given]])


def reply_from(message: Any) -> tuple[int, Any, Any]:
    """(id, error, result)."""
    if not isinstance(message, list) or len(message) != 4 or message[0] != 1:
        raise ConnectionError("the node sent something that is no reply")
    return message[1], message[2], message[3]


def items_of(bucket: str, names: Sequence[Any]) -> list[dict[str, Any]]:
    """Names, or (name, member) for members of shards."""
    items = []
    for name in names:
        if isinstance(name, tuple):
            items.append({"bucket": bucket, "name": name[0], "member": name[1]})
        else:
            items.append({"bucket": bucket, "name": name})
    return items


def views_of(data: memoryview, entries: Sequence[dict[str, Any]], count: int) -> list[memoryview]:
    """One view for each item of a batch; a reply that does not hold them all is none."""
    if len(entries) != count:
        raise ConnectionError("the batch has not as many entries as were asked for")
    views = []
    size = len(data)
    for entry in entries:
        begin = entry["offset"]
        end = begin + entry["length"]
        if end > size:
            raise ConnectionError("the batch ends before its last entry")
        views.append(data[begin:end])
    return views


def checked_data(result: dict[str, Any], offset: int, length: int | None) -> bytes:
    """The bytes of object.get, which must be as many as the size says."""
    data, size = result["data"], result["size"]
    expected = max(0, size - offset)
    if length is not None:
        expected = min(expected, length)
    if len(data) != expected:
        raise ConnectionError(f"the reply holds {len(data)} bytes of {expected}")
    return data


def ranges_of(offset: int, end: int) -> list[tuple[int, int]]:
    """(offset, length) of the pieces that fit into replies."""
    return [(begin, min(VALUE_BYTES_MAX, end - begin))
            for begin in range(offset, end, VALUE_BYTES_MAX)]
