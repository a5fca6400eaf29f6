#!/usr/bin/env python3
"""The first of two mountpaths on a disk that hangs, and then fails, under a load: it is out of
service within 5 s, its objects answer 5xx at once, the other one's are served all the while, and
jobs begin; after the hang it is back by itself, with everything that was acknowledged.

    failing_mountpath.py --penstockd PATH [--hang-s S]

Needs root, nbdkit, nbdfuse and a loop device; says "skipped" without them.
"""

import argparse
import contextlib
import http.client
import os
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.path.insert(0, os.path.join(HERE, ".."))
from mountpaths import Set, await_job, copy_job  # noqa: E402
from nbd_disk import (WAIT_S, make_file_system, missing_tools, mounted, of_python,  # noqa: E402
                      served_disk, wait_until)
from node_process import TestDirectory  # noqa: E402

DISK_BYTES = 256 << 20
OUT_WITHIN_S = 5.0


class Disk:
    """An ext4 at `point`, on a disk that does what it is told."""

    def __init__(self, root, point):
        self.root, self.point = root, point
        self.mode_path = os.path.join(root, "mode")
        self.do("ok")

    def do(self, mode):
        with open(self.mode_path + ".new", "w", encoding="ascii") as file:
            file.write(mode)
        os.rename(self.mode_path + ".new", self.mode_path)


@contextlib.contextmanager
def failing_disk(root, point):
    disk = Disk(root, point)
    plugin = of_python("failing_disk.py", DISK_BYTES, mode=disk.mode_path)
    with served_disk(os.path.join(root, "nbd"), plugin, DISK_BYTES,
                     subprocess.DEVNULL) as served:
        make_file_system(served)
        with mounted(served, point, "loop"):
            try:
                yield disk
            finally:
                disk.do("ok")


class Writer(threading.Thread):
    """Puts objects of its own until it is stopped; None in `kept`: it is not known."""

    def __init__(self, node, seed):
        super().__init__()
        self.node, self.seed = node, seed
        self.is_stopped = False
        self.kept = {}

    def run(self):
        count = 0
        while not self.is_stopped:
            count += 1
            name = f"w{self.seed}-{count % 200}"
            self.kept[name] = None
            content = f"{name} {count}".encode() * 50
            try:
                if self.node.put(name, content) == 200:
                    self.kept[name] = content
            except (OSError, http.client.HTTPException):
                pass
            time.sleep(0.002)


def try_one(penstockd, root, disk, hang_s):
    with Set(penstockd, root, ["mount/data", "healthy"]) as node:
        try:
            try_node(node, disk, hang_s)
        finally:
            disk.do("ok")  # a process whose device hangs cannot end


def try_node(node, disk, hang_s):
    node.create_bucket("b")
    contents = {f"n{number}": f"n{number}".encode() * 100 for number in range(200)}
    for name, content in contents.items():
        assert node.put(name, content) == 200
    writers = [Writer(node, seed) for seed in range(4)]
    for writer in writers:
        writer.start()
    time.sleep(1)
    path = os.path.join(disk.point, "data")
    disk.do("hang")
    begin = time.monotonic()
    jobs = []
    starter = threading.Thread(target=lambda: jobs.append(copy_job(node, "hanging")))
    starter.start()
    took_s = wait_until(lambda: path in node.mountpaths()["disabled"])
    print(f"hangs: out of service after {took_s:.1f} s")
    assert took_s < OUT_WITHIN_S, took_s
    starter.join(WAIT_S)
    assert len(jobs) == 1, "no job began while the device hung"
    slowest_s, statuses = 0.0, set()
    while time.monotonic() - begin < hang_s:
        for name in list(contents)[:50]:
            at = time.monotonic()
            statuses.add(node.get(name)[0])
            slowest_s = max(slowest_s, time.monotonic() - at)
    assert statuses == {200, 503}, statuses
    print(f"meanwhile: the slowest of the other answers took {slowest_s:.2f} s")
    assert slowest_s < 2, slowest_s
    disk.do("ok")
    took_s = wait_until(lambda: path in node.mountpaths()["available"])
    print(f"answers: in service again after {took_s:.1f} s")
    for writer in writers:
        writer.is_stopped = True
    kept = dict(contents)
    for writer in writers:
        writer.join(WAIT_S)
        kept.update(writer.kept)
    for name, content in kept.items():
        status, body = node.get(name)
        assert content is None or (status == 200 and body == content), (name, status)
    assert node.list()[0] == 200

    writers = [Writer(node, seed) for seed in range(4)]
    for writer in writers:
        writer.start()
    disk.do("eio")
    took_s = wait_until(lambda: path in node.mountpaths()["disabled"])
    print(f"fails: out of service after {took_s:.1f} s")
    assert took_s < OUT_WITHIN_S, took_s
    jobs.append(copy_job(node, "failing"))
    for job in jobs:
        await_job(node, job)
    for writer in writers:
        writer.is_stopped = True
    for writer in writers:
        writer.join(WAIT_S)
    assert {node.get(name)[0] for name in contents} == {200, 503}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--penstockd", required=True)
    parser.add_argument("--hang-s", type=float, default=10)
    options = parser.parse_args()
    if missing_tools():
        print("skipped: no " + missing_tools())
        return
    with TestDirectory("failing-mountpath") as directory:
        with failing_disk(directory.path, os.path.join(directory.path, "mount")) as disk:
            try_one(options.penstockd, directory.path, disk, options.hang_s)
    print("ok")


if __name__ == "__main__":
    main()
