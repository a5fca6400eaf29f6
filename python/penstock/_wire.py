"""Messages, addresses, and what the blocking and the asyncio client do alike."""

from __future__ import annotations

import os
import random
import ssl
from typing import Any, Iterator, Sequence

import msgpack

from ._crc32c import crc32c
from ._errors import Busy

VALUE_BYTES_MAX = 1 << 20  # of one value in a message; larger ones go in ranges
BATCH_ITEMS_MAX = 16 << 10
BATCH_PIECE_ITEMS = 128  # of a batch, in one request: the node reads one while another is taken in
UNDERWAY_MAX = 4  # requests of a batch, or parts of an upload, sent ahead of their replies
MESSAGE_BYTES_MAX = 256 << 20  # of a reply: a bound on what a broken node makes us hold


def parse_address(address: str) -> tuple[str, Any]:
    """("unix", path), or (scheme, (host, port)) of tcp, tls, http and https."""
    if address.startswith("unix:"):
        path = address[len("unix:"):]
        if not path:
            raise ValueError(f"{address!r}: the socket's path is missing")
        return "unix", path
    scheme, separator, rest = address.partition("://")
    default_port = {"tcp": "", "tls": "", "http": "80", "https": "443"}.get(scheme)
    if separator and default_port is not None:
        host, colon, port = (rest.rstrip("/") if default_port else rest).rpartition(":")
        if not colon or port.endswith("]"):
            host, port = host + colon + port, default_port
        if host and port.isdigit():
            return scheme, (host.strip("[]"), int(port))
    raise ValueError(f"{address!r} is none of unix:PATH, tcp://HOST:PORT, tls://HOST:PORT, "
                     "http://HOST[:PORT], https://HOST[:PORT]")


def tls_context(kind: str, ca_file: str | None) -> ssl.SSLContext | None:
    """Verifies the node's certificate and its name; None where nothing is encrypted."""
    if kind not in ("tls", "https"):
        return None
    context = ssl.create_default_context(cafile=ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def chosen_token(token: str | None) -> str:
    """The caller's, or the environment's; "" for none."""
    return os.environ.get("PENSTOCK_TOKEN", "") if token is None else token


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


def pieces_of(names: Sequence[Any]) -> "list[Sequence[Any]]":
    """The items of a batch, as so many requests."""
    return [names[begin:begin + BATCH_PIECE_ITEMS]
            for begin in range(0, len(names), BATCH_PIECE_ITEMS)]


def spans_of(entries: Sequence[dict[str, Any]], begin: int, size: int,
             count: int) -> "list[slice]":
    """Where the items of a batch lie, if its data lie at `begin`; a reply that does not hold them
    all is none."""
    if len(entries) != count:
        raise ConnectionError("the batch has not as many entries as were asked for")
    spans = []
    for entry in entries:
        at, length = entry["offset"], entry["length"]
        if at + length > size:
            raise ConnectionError("the batch ends before its last entry")
        at += begin
        spans.append(slice(at, at + length))
    return spans


def views_of(data: memoryview, entries: Sequence[dict[str, Any]], count: int) -> list[memoryview]:
    """One view for each item of a batch."""
    return [data[span] for span in spans_of(entries, 0, len(data), count)]


def checked_data(result: dict[str, Any], offset: int, length: int | None) -> bytes:
    """The bytes of object.get: as many as the size says, and with their CRC-32C."""
    data, size = result["data"], result["size"]
    expected = max(0, size - offset)
    if length is not None:
        expected = min(expected, length)
    if len(data) != expected:
        raise ConnectionError(f"the reply holds {len(data)} bytes of {expected}")
    check_crc(data, result)
    return data


def check_crc(data: Any, result: dict[str, Any]) -> None:
    """That the result's bytes came as the node sent them."""
    if crc32c(data) != result.get("crc32c"):
        raise ConnectionError("the reply's bytes fail their checksum")


def parts_of(data: memoryview) -> Iterator[tuple[int, memoryview]]:
    """(number, bytes) of the parts in which a large object goes, from 1."""
    for number, begin in enumerate(range(0, len(data), VALUE_BYTES_MAX), 1):
        yield number, data[begin:begin + VALUE_BYTES_MAX]


def part_arguments(upload: str, number: int, part: memoryview) -> dict[str, Any]:
    """Of upload.part."""
    value = bytes(part)
    return {"upload": upload, "number": number, "crc32c": crc32c(value), "data": value}


def backoff_s(attempt: int) -> float:
    """How long to wait after that many attempts; varied, so that clients do not come in step."""
    return min(0.01 * 2 ** (attempt - 1), 1.0) * random.uniform(0.5, 1.0)


def is_passing(error: BaseException) -> bool:
    """Whether another attempt may succeed: the connection failed, or the node was busy."""
    return isinstance(error, (ConnectionError, Busy)) or (
        isinstance(error, OSError)
        and not isinstance(error, (TimeoutError, ssl.SSLCertVerificationError)))


def _text_head(size: int) -> bytes:
    """What begins a str of so many bytes."""
    if size < 32:
        return bytes((0xA0 | size,))
    if size < 256:
        return b"\xd9" + size.to_bytes(1, "big")
    if size < 1 << 16:
        return b"\xda" + size.to_bytes(2, "big")
    return b"\xdb" + size.to_bytes(4, "big")


def _pack_items(bucket: str, names: Sequence[Any]) -> bytes:
    """Items one behind the other: names are put into a template rather than packed one by one."""
    pack = msgpack.Packer().pack
    plain = b"\x82\xa6bucket" + pack(bucket) + b"\xa4name"
    try:
        joined = "\0".join(names)
    except TypeError:
        joined = ""  # there are members among them
    if joined.isascii() and joined.count("\0") == len(names) - 1:
        sizes = set(map(len, names))
        if len(sizes) == 1:
            item = plain + _text_head(sizes.pop())
            return item + joined.encode().replace(b"\0", item)
        heads = {size: (plain + _text_head(size)).decode("latin-1") for size in sizes}
        return "".join([heads[len(name)] + name for name in names]).encode("latin-1")
    member = b"\x83" + plain[1:]
    return b"".join([plain + pack(name) if not isinstance(name, tuple)
                     else member + pack(name[0]) + b"\xa6member" + pack(name[1])
                     for name in names])


def pack_batch(number: int, bucket: str, names: Sequence[Any]) -> bytes:
    """A request of object.get_many."""
    return b"".join([b"\x94\x00", msgpack.packb(number),
                     b"\xafobject.get_many\x91\x81\xa5items\xdc", len(names).to_bytes(2, "big"),
                     _pack_items(bucket, names)])


class BatchReply:
    """A reply of object.get_many that lies in a buffer, its data in place: only what is before them
    is made into objects."""

    def __init__(self) -> None:
        self.number = 0
        self.error: Any = None
        self.entries: list[dict[str, Any]] = []
        self.crc: Any = None
        self.begin = self.size = self.end = 0  # of the data in the buffer, and of the message

    @classmethod
    def read(cls, buffer: bytearray, begin: int, end: int, items: int) -> "BatchReply | None":
        """None: more bytes are needed before anything can be said."""
        unpacker = msgpack.Unpacker(strict_map_key=False)
        unpacker.feed(memoryview(buffer)[begin:min(end, begin + 256 + 64 * items)])
        reply = cls()
        try:
            if unpacker.read_array_header() != 4 or unpacker.unpack() != 1:
                raise ConnectionError("the node sent something that is no reply")
            reply.number = unpacker.unpack()
            reply.error = unpacker.unpack()
            if reply.error is not None:
                unpacker.unpack()
                reply.end = begin + unpacker.tell()
                return reply
            for left in range(unpacker.read_map_header(), 0, -1):
                key = unpacker.unpack()
                if key == "data" and left == 1:
                    return reply._find_data(buffer, begin + unpacker.tell(), end)
                value = unpacker.unpack()
                if key == "entries":
                    reply.entries = value
                elif key == "crc32c":
                    reply.crc = value
        except msgpack.OutOfData:
            return None
        except (ValueError, TypeError) as error:
            raise ConnectionError("the node sent something that is no reply") from error
        raise ConnectionError("the batch has no data")

    def _find_data(self, buffer: bytearray, at: int, end: int) -> "BatchReply | None":
        length_bytes = {0xC4: 1, 0xC5: 2, 0xC6: 4}.get(buffer[at] if at < end else 0xC4)
        if length_bytes is None:
            raise ConnectionError("the batch has no data")
        self.begin = at + 1 + length_bytes
        if self.begin > end:
            return None
        self.size = int.from_bytes(buffer[at + 1:self.begin], "big")
        self.end = self.begin + self.size
        if self.size > VALUE_BYTES_MAX:
            raise ConnectionError("the batch is longer than it may be")
        return self


def ranges_of(offset: int, end: int) -> list[tuple[int, int]]:
    """(offset, length) of the pieces that fit into replies."""
    return [(begin, min(VALUE_BYTES_MAX, end - begin))
            for begin in range(offset, end, VALUE_BYTES_MAX)]
