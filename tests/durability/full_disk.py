#!/usr/bin/env python3
"""full_disk.py --penstockd PATH: a node on a full 256 MB ext4 says so, keeps serving, and recovers.

Needs root and a loop device; says "skipped" without them. Fills the file system to the brim, and
checks that writes get 507 with ErrCapExceeded, that reads, listings, deletes and bucket changes go
on, that every acknowledged object has its bytes, and that the node starts again on the full disk.
Ends with "N passed, N failed".
"""

import argparse
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from node_process import Checks, NodeProcess, TestDirectory  # noqa: E402

BUCKET = "full"
DISK_BYTES = 256 << 20
SIZES = (1000, 60_000, 1_000_000)


def mount(directory):
    """A fresh ext4 of 256 MB on a loop device, or None where that is not possible."""
    image, point = os.path.join(directory, "image"), os.path.join(directory, "disk")
    os.mkdir(point)
    with open(image, "wb") as file:
        file.truncate(DISK_BYTES)
    for command in (["mkfs.ext4", "-q", "-F", image], ["mount", "-o", "loop", image, point]):
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


def fill(node, checks):
    """PUTs until each size is refused; gives what was acknowledged."""
    stored = {}
    for size in sorted(SIZES, reverse=True):
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


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--penstockd", required=True)
    arguments = parser.parse_args()
    checks = Checks()
    with TestDirectory("full-disk") as directory:
        point = mount(directory.path)
        if point is None:
            print("skipped: no loop device or mkfs.ext4 here")
            return 0
        try:
            node = NodeProcess(arguments.penstockd, point)
            node.create_bucket(BUCKET)
            stored = fill(node, checks)
            held = sum(map(len, stored.values()))
            checks.check(held >= DISK_BYTES // 2, f"only {held} bytes of objects fit")
            check_serves(node, stored, checks)
            node.create_bucket("made-when-full")
            checks.check(True, "bucket created on the full disk")
            node.kill()
            node = NodeProcess(arguments.penstockd, point)
            check_serves(node, stored, checks)
            large = [name for name in stored if name.startswith("1000000-")]
            for name in large:
                status = node.request("DELETE", target(name))[0]
                checks.check(status == 200, f"DELETE on a full disk: {status}")
                del stored[name]
            check_serves(node, stored, checks)
            status = node.request("PUT", target("again"), os.urandom(1_000_000))[0]
            checks.check(status == 200, f"PUT after deletions: {status}")
            checks.check(node.stop() == 0, "orderly stop")
            directory.is_kept = checks.failed > 0
        finally:
            if node.is_alive():
                node.kill()
            subprocess.run(["umount", point], check=False)
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
