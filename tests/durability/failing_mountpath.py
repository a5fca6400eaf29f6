#!/usr/bin/env python3
"""One of two mountpaths on a disk that hangs, and then fails, under a load: it is out of service
within 5 s, its objects answer 5xx at once, the other one's are served all the while; after the
hang it is back by itself, with everything that was acknowledged.

    failing_mountpath.py --penstockd PATH [--hang-s S]

Needs root, nbdkit, nbdfuse and a loop device; says "skipped" without them.
"""

import argparse
import contextlib
import http.client
import os
import shutil
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.path.insert(0, os.path.join(HERE, ".."))
from mountpaths import Set  # noqa: E402
from node_process import TestDirectory  # noqa: E402

DISK_BYTES = 256 << 20
OUT_WITHIN_S = 5.0
WAIT_S = 60


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
    socket, served = os.path.join(root, "nbd"), os.path.join(root, "served")
    with open(served, "xb"):
        pass  # nbdfuse mounts over a file
    server = subprocess.Popen(
        ["nbdkit", "--foreground", "--exit-with-parent", "--unix", socket, "python",
         os.path.join(HERE, "failing_disk.py"), f"size={DISK_BYTES}", f"mode={disk.mode_path}"],
        stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_until(lambda: os.path.exists(socket))
    bridge = subprocess.Popen(["nbdfuse", served, f"nbd+unix:///?socket={socket}"],
                              stdin=subprocess.DEVNULL)
    try:
        wait_until(lambda: os.path.getsize(served) == DISK_BYTES)
        subprocess.run(["mkfs.ext4", "-q", "-F", served], check=True)
        os.mkdir(point)
        subprocess.run(["mount", "-o", "loop,noauto_da_alloc", served, point], check=True)
        try:
            yield disk
        finally:
            disk.do("ok")
            wait_until(lambda: subprocess.run(["umount", point], check=False,
                                              capture_output=True).returncode == 0)
    finally:
        subprocess.run(["fusermount3", "-u", served], check=False, timeout=WAIT_S)
        bridge.wait(WAIT_S)
        server.terminate()
        server.wait(WAIT_S)


def wait_until(holds, seconds=WAIT_S):
    """How long it took."""
    begin = time.monotonic()
    while not holds():
        if time.monotonic() - begin > seconds:
            raise RuntimeError("waited too long")
        time.sleep(0.02)
    return time.monotonic() - begin


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
    with Set(penstockd, root, ["healthy", "mount/data"]) as node:
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
    took_s = wait_until(lambda: path in node.mountpaths()["disabled"])
    print(f"hangs: out of service after {took_s:.1f} s")
    assert took_s < OUT_WITHIN_S, took_s
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
    missing = [tool for tool in ("nbdkit", "nbdfuse", "fusermount3") if not shutil.which(tool)]
    if missing or os.getuid() != 0 or not os.path.exists("/dev/loop-control"):
        print("skipped: no " + (missing[0] if missing else "root or loop device"))
        return
    with TestDirectory("failing-mountpath") as directory:
        with failing_disk(directory.path, os.path.join(directory.path, "mount")) as disk:
            try_one(options.penstockd, directory.path, disk, options.hang_s)
    print("ok")


if __name__ == "__main__":
    main()
