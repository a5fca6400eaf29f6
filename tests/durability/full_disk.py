#!/usr/bin/env python3
"""full_disk.py --penstockd PATH [--fills N]: a node on a full 256 MB ext4 says so, keeps serving,
and recovers by itself.

Needs root and a loop device; says "skipped" without them. Fills the file system to the brim, and
checks that writes get 507 with ErrCapExceeded, that reads, listings, deletes and bucket changes go
on, that every acknowledged object has its bytes, and that the node starts again on the full disk.
Then fills and empties it N times in all (20), which ends well only if all space comes back. And the
same on one whose inodes are used up, by the node and by somebody else.
Ends with "N passed, N failed".
"""

import argparse
import json
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from node_process import Checks, NodeProcess, TestDirectory  # noqa: E402

BUCKET = "full"
DISK_BYTES = 256 << 20
SIZES = (1000, 60_000, 1_000_000)


def mount(directory, *options):
    """A fresh ext4 of 256 MB on a loop device, or None where that is not possible."""
    os.mkdir(directory)
    image, point = os.path.join(directory, "image"), os.path.join(directory, "disk")
    os.mkdir(point)
    with open(image, "wb") as file:
        file.truncate(DISK_BYTES)
    for command in (["mkfs.ext4", "-q", "-F", *options, image],
                    ["mount", "-o", "loop", image, point]):
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except FileNotFoundError:
            return None
        if done.returncode != 0:
            print("skipped: " + done.stderr.strip())
            return None
    return point


def target(name):
    return f"/v1/objects/{BUCKET}/{name}?provider=ais"


def fill(node, checks, sizes=SIZES):
    """PUTs until each size is refused; gives what was acknowledged."""
    stored = {}
    for size in sorted(sizes, reverse=True):
        refused = 0
        for number in range(1_000_000):
            name, content = f"{size}-{number}", os.urandom(size)
            status, _, answer = node.request("PUT", target(name), content)
            if status == 200:
                stored[name] = content
                continue
            refused += 1
            error = json.loads(answer)
            checks.check(status == 507 and error.get("tcode") == "ErrCapExceeded",
                         f"PUT on a full disk: {status} {answer[:200]}")
            if refused == 3:
                break
    return stored


def check_serves(node, stored, checks):
    for name, content in stored.items():
        status, _, answer = node.request("GET", target(name))
        if not checks.check(status == 200 and answer == content, f"GET {name}: {status}"):
            return
    message = json.dumps({"action": "list", "name": "", "value": {"prefix": "", "uuid": ""}})
    status, _, answer = node.request("GET", f"/v1/buckets/{BUCKET}?provider=ais", message)
    names = {entry["name"] for entry in json.loads(answer)["entries"]} if status == 200 else set()
    checks.check(names == set(stored), f"list on a full disk: {status}, {len(names)} names")


def delete(node, stored, names, checks):
    for name in names:
        status = node.request("DELETE", target(name))[0]
        checks.check(status == 200, f"DELETE on a full disk: {status}")
        del stored[name]


def await_put(node, size, checks):
    """A PUT works again within 30 s, without a restart."""
    deadline = time.monotonic() + 30
    while True:
        status = node.request("PUT", target("again"), os.urandom(size))[0]
        if status == 200 or time.monotonic() > deadline:
            break
        time.sleep(0.1)
    checks.check(status == 200, f"PUT of {size} bytes 30 s after deletions: {status}")
    checks.check(node.request("DELETE", target("again"))[0] == 200, "DELETE of it")


def check_full(penstockd, point, checks):
    """Full once, started again there; gives the node that goes on."""
    node = NodeProcess(penstockd, point)
    node.create_bucket(BUCKET)
    stored = fill(node, checks)
    held = sum(map(len, stored.values()))
    checks.check(held >= DISK_BYTES // 2, f"only {held} bytes of objects fit")
    check_serves(node, stored, checks)
    node.create_bucket("made-when-full")
    checks.check(True, "bucket created on the full disk")
    node.kill()
    node = NodeProcess(penstockd, point)
    check_serves(node, stored, checks)
    delete(node, stored, [name for name in stored if name.startswith("1000000-")], checks)
    check_serves(node, stored, checks)
    await_put(node, 1_000_000, checks)
    delete(node, stored, list(stored), checks)
    return node


def check_fills(node, fills, checks):
    """Whichever sizes fill it, half of the disk can hold objects each time."""
    for number in range(fills):
        sizes = ((1_000_000, 1000), (60_000,), (1_000_000, 60_000))[number % 3]
        stored = fill(node, checks, sizes)
        held = sum(map(len, stored.values()))
        checks.check(held >= DISK_BYTES // 2, f"fill {number}: only {held} bytes fit")
        if number % 5 == 0:
            check_serves(node, stored, checks)
        delete(node, stored, list(stored), checks)
        await_put(node, 60_000, checks)
        await_put(node, 1_000_000, checks)


def take_inodes_until_refused(node, foreign, stored, checks):
    """Somebody else takes each inode there is; gives how many. The node still frees some of its own
    for a while (files of what was deleted before go when nobody reads them), so PUTs that find one
    are as good as any: what is asked for is a 507 within 30 s."""
    count = 0
    deadline = time.monotonic() + 30
    while True:
        try:
            while True:
                with open(os.path.join(foreign, str(count)), "wb"):
                    count += 1
        except OSError:
            pass
        name, content = f"late-{count}", os.urandom(200_000)
        status, _, answer = node.request("PUT", target(name), content)
        if status != 200 or time.monotonic() > deadline:
            break
        stored[name] = content
    checks.check(status == 507, f"PUT without inodes: {status} {answer[:100]}")
    return count


def check_inodes(penstockd, point, checks):
    """A file system with room, and no inode for one file more."""
    node = NodeProcess(penstockd, point)
    try:
        node.create_bucket(BUCKET)
        stored = fill(node, checks, (200_000,))
        free = os.statvfs(point)
        checks.check(free.f_bfree * free.f_bsize > DISK_BYTES // 4, "blocks are left")
        checks.check(any(name.startswith("200000-") for name in stored), "some fit")
        check_serves(node, stored, checks)
        names = [name for name in stored if name.startswith("200000-")]
        delete(node, stored, names[:5], checks)
        await_put(node, 200_000, checks)
        foreign = os.path.join(point, "foreign")
        os.mkdir(foreign)
        count = take_inodes_until_refused(node, foreign, stored, checks)
        check_serves(node, stored, checks)
        delete(node, stored, names[5:10], checks)
        for number in range(count):
            os.remove(os.path.join(foreign, str(number)))
        await_put(node, 200_000, checks)
        node.kill()
        node = NodeProcess(penstockd, point)
        check_serves(node, stored, checks)
        checks.check(node.stop() == 0, "orderly stop")
    finally:
        node.kill()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--penstockd", required=True)
    parser.add_argument("--fills", type=int, default=20)
    arguments = parser.parse_args()
    checks = Checks()
    with TestDirectory("full-disk") as directory:
        points = [mount(os.path.join(directory.path, "blocks")),
                  mount(os.path.join(directory.path, "inodes"), "-N", "256")]
        node = None
        try:
            if None in points:
                print("skipped: no loop device or mkfs.ext4 here")
                return 0
            node = check_full(arguments.penstockd, points[0], checks)
            check_fills(node, arguments.fills - 1, checks)
            checks.check(node.stop() == 0, "orderly stop")
            check_inodes(arguments.penstockd, points[1], checks)
            directory.is_kept = checks.failed > 0
        finally:
            if node is not None and node.is_alive():
                node.kill()
            for point in filter(None, points):
                subprocess.run(["umount", point], check=False)
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
