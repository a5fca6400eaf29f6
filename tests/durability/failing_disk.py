"""A disk for failing_mountpath.py: an nbdkit plugin that keeps `size` bytes in memory and does
what the file `mode` says: "ok", "hang" (requests wait until it says something else), or "eio"
(they fail)."""

import errno
import io
import time

import nbdkit

API_VERSION = 2

settings = {}
disk = {}


def config(key, value):
    settings[key] = value


def config_complete():
    disk["bytes"] = bytearray(int(settings["size"]))


def thread_model():
    return nbdkit.THREAD_MODEL_SERIALIZE_ALL_REQUESTS


def open(readonly):  # the name is nbdkit's
    return 1


def get_size(_):
    return len(disk["bytes"])


def can_flush(_):
    return True


def obey():
    while True:
        with io.open(settings["mode"], encoding="ascii") as file:
            mode = file.read().strip()
        if mode == "eio":
            nbdkit.set_error(errno.EIO)
            raise RuntimeError("the disk fails")
        if mode != "hang":
            return
        time.sleep(0.05)


def pread(_, into, offset, flags):
    obey()
    into[:] = disk["bytes"][offset:offset + len(into)]


def pwrite(_, data, offset, flags):
    obey()
    disk["bytes"][offset:offset + len(data)] = data


def flush(_, flags):
    obey()
