#!/usr/bin/env python3
"""power_cut.py --penstockd PATH [--cuts N] [--seed S] [--seconds S]: the unmodified program on a
disk whose power is cut.

The node works on an ext4 of 256 MB on a disk that records each write and each flush
(recording_disk.py, behind nbdkit, nbdfuse and a loop device). Clients put, overwrite and delete,
and note how far the record was when they sent a request and when it was acknowledged. Then the
power is cut at N moments of that history (200; 5,000 with PENSTOCK_DEEP): the disk holds what was
flushed, and of the rest a part drawn by chance, torn at 4 KiB. On each such disk a node is started;
every name must have what was acknowledged last before the cut, or what was being written to it. As
a control, disks that lack flushed writes must be found out.

Needs root, nbdkit, nbdfuse and a loop device; says "skipped" without them.
Ends with "N passed, N failed".
"""

import argparse
import bisect
import contextlib
import http.client
import mmap
import os
import random
import shutil
import struct
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.path.insert(0, os.path.join(HERE, ".."))
from nbd_disk import (WAIT_S, make_file_system, missing_tools, mounted, of_python,  # noqa: E402
                      served_disk)
from node_process import Checks, NodeProcess, TestDirectory  # noqa: E402

BUCKET = "cut"
DISK_BYTES = 256 << 20
WRITERS, NAMES = 4, 40
SIZES = (100, 3000, 20_000, 120_000, 200_000, 700_000)
HEAD = struct.Struct("<QQ")
FLUSH = 2**64 - 1
TORN_BYTES = 4096


@contextlib.contextmanager
def data_on(image, directory):
    """The file system in `image` as the data directory of a node in `directory`."""
    with mounted(image, os.path.join(directory, "data")):
        yield


@contextlib.contextmanager
def recording_disk(directory):
    """Gives (a file that is the disk, the path of its log)."""
    log = os.path.join(directory, "log")
    plugin = of_python("recording_disk.py", DISK_BYTES, image=os.path.join(directory, "image"),
                       log=log)
    with served_disk(os.path.join(directory, "nbd"), plugin, DISK_BYTES) as disk:
        yield disk, log


class History:
    """Of one name: what was asked for, where the log was then, and where it was at the answer."""

    def __init__(self):
        self.sent, self.acknowledged, self.contents = [], [], []

    def begin(self, position, content):
        self.sent.append(position)
        self.acknowledged.append(None)
        self.contents.append(content)

    def end(self, position):
        self.acknowledged[-1] = position

    def allowed_at(self, position):
        """What a cut there may leave: None is no object."""
        last = None
        in_flight = []
        for sent, acknowledged, content in zip(self.sent, self.acknowledged, self.contents):
            if acknowledged is not None and acknowledged <= position:
                last = content
            elif sent < position:
                in_flight.append(content)
        return [last, *in_flight]


def target(name):
    return f"/v1/objects/{BUCKET}/{name}?provider=ais"


def work(node, log, histories, seed, seconds):
    """One client's requests, on names of its own."""
    chance = random.Random(seed)
    connection = http.client.HTTPConnection(node.host, node.port, timeout=WAIT_S)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        name = f"w{seed}-{chance.randrange(NAMES)}"
        history = histories.setdefault(name, History())
        is_there = bool(history.contents) and history.contents[-1] is not None
        content = None
        if not is_there or chance.random() < 0.7:
            content = chance.randbytes(chance.choices(SIZES, (30, 30, 20, 5, 5, 2))[0])
        history.begin(os.path.getsize(log), content)
        if content is None:
            connection.request("DELETE", target(name))
        else:
            connection.request("PUT", target(name), content)
        response = connection.getresponse()
        response.read()
        if response.status != 200:
            raise RuntimeError(f"{name}: {response.status}")
        history.end(os.path.getsize(log))
    connection.close()


def record(penstockd, directory, seed, seconds):
    """Gives the log's path, where the load began in it, and what was asked for."""
    with recording_disk(directory) as (disk, log):
        make_file_system(disk)
        at_work = os.path.join(directory, "work")
        with data_on(disk, at_work):
            node = NodeProcess(penstockd, at_work, "--rpc", "off")
            try:
                node.create_bucket(BUCKET)
                begin = os.path.getsize(log)
                histories = [{} for _ in range(WRITERS)]
                errors = []

                def guarded(number):
                    try:
                        work(node, log, histories[number], seed * 100 + number, seconds)
                    except Exception as error:  # pylint: disable=broad-except
                        errors.append(error)

                threads = [threading.Thread(target=guarded, args=(n,)) for n in range(WRITERS)]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()
                if errors:
                    raise errors[0]
                end = os.path.getsize(log)
            finally:
                node.kill()
    merged = {name: history for part in histories for name, history in part.items()}
    return log, begin, end, merged


class Disk:
    """The recorded disk, played up to any moment."""

    def __init__(self, directory, log):
        self.base = os.path.join(directory, "flushed")
        with open(self.base, "wb") as file:
            file.truncate(DISK_BYTES)
        self.file = open(self.base, "r+b")
        self.bytes = mmap.mmap(self.file.fileno(), DISK_BYTES)
        with open(log, "rb") as file:
            self.log = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self.records, self.flushes = [], []  # (begin, offset, length); ends of flushes
        at = 0
        while at < len(self.log):
            offset, length = HEAD.unpack_from(self.log, at)
            if length == FLUSH:
                at += HEAD.size
                self.flushes.append(at)
            else:
                self.records.append((at, offset, length))
                at += HEAD.size + length
        self.begins = [begin for begin, _, _ in self.records]
        self.applied = 0  # records that are in `base`

    def flushed_before(self, position):
        """The end of the last flush up to there."""
        index = bisect.bisect_right(self.flushes, position)
        return self.flushes[index - 1] if index else 0

    def play_to(self, position):
        """Everything that was written before it is on the disk. Only forward."""
        until = bisect.bisect_left(self.begins, position)
        for begin, offset, length in self.records[self.applied:until]:
            data = begin + HEAD.size
            self.bytes[offset:offset + length] = self.log[data:data + length]
        self.applied = max(self.applied, until)

    def write_state(self, path, position, chance, is_whole=True):
        """The disk after a cut there: part of what was not flushed is on it."""
        self.bytes.flush()
        shutil.copyfile(self.base, path)
        share = chance.choice((0.0, 0.2, 0.5, 0.8, 1.0)) if is_whole else 0.0
        until = bisect.bisect_left(self.begins, position)
        with open(path, "r+b") as file:
            for begin, offset, length in self.records[self.applied:until]:
                for at in range(0, length, TORN_BYTES):
                    if chance.random() >= share:
                        continue
                    data = begin + HEAD.size + at
                    file.seek(offset + at)
                    file.write(self.log[data:data + min(TORN_BYTES, length - at)])


def look(penstockd, directory, image, histories, position):
    """Starts a node on the disk; gives the names that do not have what they must."""
    wrong = []
    after = os.path.join(directory, "after")
    with data_on(image, after):
        node = NodeProcess(penstockd, after, "--rpc", "off")
        try:
            connection = http.client.HTTPConnection(node.host, node.port, timeout=WAIT_S)
            for name, history in histories.items():
                connection.request("GET", target(name))
                response = connection.getresponse()
                content = response.read()
                found = content if response.status == 200 else None
                is_answer = response.status in (200, 404)
                if not is_answer or found not in history.allowed_at(position):
                    wrong.append(f"{name}: {response.status}, {len(content)} bytes")
            connection.close()
        finally:
            node.kill()
    return wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--penstockd", required=True)
    parser.add_argument("--cuts", type=int,
                        default=5000 if "PENSTOCK_DEEP" in os.environ else 200)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--seconds", type=float, default=8)
    arguments = parser.parse_args()
    if missing_tools():
        print(f"skipped: no {missing_tools()}")
        print("0 passed, 0 failed")
        return 0

    chance = random.Random(arguments.seed)
    checks = Checks()
    print(f"seed {arguments.seed}", flush=True)
    with TestDirectory("power-cut") as directory:
        log, begin, end, histories = record(arguments.penstockd, directory.path, arguments.seed,
                                            arguments.seconds)
        disk = Disk(directory.path, log)
        moments = sorted(chance.randrange(begin, end) for _ in range(arguments.cuts))
        count = sum(len(history.sent) for history in histories.values())
        print(f"{count} requests, {len(disk.records)} writes, {len(disk.flushes)} flushes,"
              f" {(end - begin) >> 20} MiB", flush=True)
        state = os.path.join(directory.path, "cut")
        caught = 0
        for number, position in enumerate(moments):
            disk.play_to(disk.flushed_before(position))
            disk.write_state(state, position, chance)
            wrong = look(arguments.penstockd, directory.path, state, histories, position)
            directory.is_kept |= bool(wrong)
            checks.check(not wrong, f"cut at {position}: {'; '.join(wrong[:3])}")
            if number % 20 == 0:  # without what was flushed since: is it missed?
                later = min(position + (8 << 20), end)
                disk.write_state(state, later, chance, is_whole=False)
                caught += bool(look(arguments.penstockd, directory.path, state, histories, later))
        checks.check(caught > 0, "no disk that lacks flushed writes was found out")
        print(f"controls found out: {caught}")
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
