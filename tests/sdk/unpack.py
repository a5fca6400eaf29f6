"""MessagePack, the part that a listing uses, so that the replay needs nothing but Python."""

import struct

# Type byte -> (format of what follows, kind)
FIXED = {0xC4: (">B", "bytes"), 0xC5: (">H", "bytes"), 0xC6: (">I", "bytes"),
         0xCA: (">f", "value"), 0xCB: (">d", "value"), 0xCC: (">B", "value"),
         0xCD: (">H", "value"), 0xCE: (">I", "value"), 0xCF: (">Q", "value"),
         0xD0: (">b", "value"), 0xD1: (">h", "value"), 0xD2: (">i", "value"),
         0xD3: (">q", "value"), 0xD9: (">B", "text"), 0xDA: (">H", "text"), 0xDB: (">I", "text"),
         0xDC: (">H", "array"), 0xDD: (">I", "array"), 0xDE: (">H", "map"), 0xDF: (">I", "map")}


def unpack(content):
    """The one value that `content` holds."""
    value, end = _value(content, 0)
    if end != len(content):
        raise ValueError(f"{len(content) - end} bytes behind the value")
    return value


def _value(content, at):
    first = content[at]
    at += 1
    if first < 0x80:
        return first, at
    if first >= 0xE0:
        return first - 0x100, at
    if first in (0xC0, 0xC2, 0xC3):
        return {0xC0: None, 0xC2: False, 0xC3: True}[first], at
    if first < 0x90:
        return _map(content, at, first & 0x0F)
    if first < 0xA0:
        return _array(content, at, first & 0x0F)
    if first < 0xC0:
        return content[at:at + (first & 0x1F)].decode(), at + (first & 0x1F)
    layout, kind = FIXED[first]
    number = struct.unpack_from(layout, content, at)[0]
    at += struct.calcsize(layout)
    if kind == "value":
        return number, at
    if kind == "array":
        return _array(content, at, number)
    if kind == "map":
        return _map(content, at, number)
    piece = content[at:at + number]
    return (piece.decode() if kind == "text" else piece), at + number


def _array(content, at, count):
    values = []
    for _ in range(count):
        value, at = _value(content, at)
        values.append(value)
    return values, at


def _map(content, at, count):
    values = {}
    for _ in range(count):
        key, at = _value(content, at)
        values[key], at = _value(content, at)
    return values, at
