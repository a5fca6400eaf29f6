"""A disk for power_cut.py: an nbdkit plugin (https://libguestfs.org/nbdkit-python-plugin.3.html)
that keeps `size` bytes in the file `image` and appends what happens to it to the file `log`.

The log is a sequence of records: offset and length, two little-endian u64, and as many bytes; a
flush is a record with offset and length 2^64-1 and no bytes. A record is in the file before its
request is answered, so that the log's size is a point in the disk's history.
"""

import mmap
import os
import struct

import nbdkit

API_VERSION = 2
FLUSH = struct.pack("<QQ", 2**64 - 1, 2**64 - 1)

settings = {}
disk = {}


def config(key, value):
    settings[key] = value


def config_complete():
    size = int(settings["size"])
    descriptor = os.open(settings["image"], os.O_RDWR | os.O_CREAT)
    os.ftruncate(descriptor, size)
    disk["image"] = mmap.mmap(descriptor, size)
    disk["log"] = os.open(settings["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)


def thread_model():
    return nbdkit.THREAD_MODEL_SERIALIZE_ALL_REQUESTS


def open(readonly):
    return 1


def get_size(_):
    return len(disk["image"])


def can_flush(_):
    return True


def pread(_, into, offset, flags):
    into[:] = disk["image"][offset:offset + len(into)]


def pwrite(_, data, offset, flags):
    disk["image"][offset:offset + len(data)] = bytes(data)
    append([struct.pack("<QQ", offset, len(data)), data])


def flush(_, flags):
    append([FLUSH])


def append(parts):
    size = sum(len(part) for part in parts)
    if os.writev(disk["log"], parts) != size:
        raise OSError("the log took less than a record")
