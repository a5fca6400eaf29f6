#!/usr/bin/env python3
"""Objects that their bucket has cut over several mountpaths: read whole and by ranges, copied,
renamed, appended to; a mountpath that comes, goes, is off or lost; kill -9 under overwriting: what
was acknowledged is whole, and no part of anything else stays. With root and nbdkit: two disks
limited to the same rate are read at nearly twice that.

    stripes.py --penstockd PATH [--kills N] [--rate-mb N]
"""

import argparse
import contextlib
import hashlib
import http.client
import json
import os
import random
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.path.insert(0, os.path.join(HERE, ".."))
from mountpaths import Set  # noqa: E402
from nbd_disk import make_file_system, missing_tools, mounted, served_disk, wait_until  # noqa: E402
from node_process import TestDirectory  # noqa: E402

LIMIT = 1 << 20
CHUNKS = {"chunks": {"objsize_limit": "1MiB", "chunk_size": "4MiB"}}
LIMITED_DISK_BYTES = 512 << 20
LARGE_BYTES = 96 << 20


def content_of(seed, size):
    return random.Random(seed).randbytes(size)


def make_bucket(node, name, properties):
    status, _, body = node.act("POST", f"/v1/buckets/{name}?provider=ais", "create-bck", properties)
    assert status == 200, (status, body)


def metric(node, name):
    """The sum over its labels."""
    text = node.request("GET", "/metrics")[2].decode()
    return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines()
               if line.split("{")[0].split(" ")[0] == name)


def parts(node):
    return metric(node, "penstock_store_parts")


def test_calls(node, root):
    status, _, body = node.act("PATCH", "/v1/buckets/b?provider=ais", "set-bprops",
                               {"chunks": {"objsize_limit": "many"}})
    assert status == 400 and b"objsize_limit" in body, (status, body)
    contents = {f"o{size}": content_of(size, size)
                for size in (LIMIT, LIMIT + 1, 5_000_000, 8 << 20, 20_000_001)}
    for name, content in contents.items():
        assert node.put(name, content) == 200
    assert parts(node) > 0
    for name, content in contents.items():
        assert node.get(name) == (200, content), name
        head = node.request("HEAD", f"/v1/objects/b/{name}?provider=ais&props=name,chunked")[1]
        assert (head.get("Ais-Chunks-Count") is None) == (len(content) == LIMIT), name
        for offset, size in ((0, 10), (262_143, 2), (len(content) // 2, len(content) // 3)):
            end = min(offset + size, len(content))
            status, headers, body = node.request(
                "GET", f"/v1/objects/b/{name}?provider=ais",
                headers={"Range": f"bytes={offset}-{end - 1}"})
            assert status == 206 and body == content[offset:end], (name, offset, status)
    large = contents["o5000000"]
    move = json.dumps({"action": "rename-obj", "name": "moved"}).encode()
    status, _, body = node.request("POST", "/v1/objects/b/o5000000?provider=ais", move)
    assert status == 200, (status, body)
    assert node.get("o5000000")[0] == 404 and node.get("moved") == (200, large)
    contents["moved"] = contents.pop("o5000000")
    for path in sorted(node.mountpaths()["available"])[:1]:
        assert node.mountpath("POST", "disable-mp", path)[0] == 200
        statuses = {node.get(name)[0] for name, content in contents.items()
                    if len(content) > LIMIT}
        assert statuses == {503}, statuses
        assert node.mountpath("POST", "enable-mp", path)[0] == 200
    c = os.path.join(root, "c")
    assert node.mountpath("PUT", "attach-mp", c)[0] == 200
    for name, content in contents.items():
        assert node.get(name) == (200, content), name
    assert node.mountpath("POST", "rescan-mp", c)[0] == 200
    for name, content in contents.items():
        assert node.get(name) == (200, content), name
    assert node.mountpath("DELETE", "detach-mp", c)[0] == 200
    for name, content in contents.items():
        assert node.get(name) == (200, content), name
        assert node.delete(name) == 200
    wait_until(lambda: parts(node) == 0)


class Load(threading.Thread):
    """Overwrites and removes names of its own, with sizes on both sides of the limit."""

    def __init__(self, node, seed, kept):
        super().__init__()
        self.node, self.chance, self.kept = node, random.Random(seed), kept
        self.open = None
        self.error = None

    def run(self):
        try:
            while True:
                name = f"w{self.name}-{self.chance.randrange(6)}"
                version = self.chance.randrange(1 << 30)
                if name in self.kept and self.chance.random() < 0.3:
                    version = None
                self.open = (name, version)
                status = (self.node.delete(name) if version is None
                          else self.node.put(name, self.content(version)))
                if status != 200:
                    self.error = (name, status)
                    return
                self.kept[name] = version
                self.open = None
                if version is None:
                    del self.kept[name]
        except (OSError, http.client.HTTPException):
            pass

    @staticmethod
    def content(version):
        return content_of(version, 200_000 + version % 6_000_000)


def test_kills(penstockd, root, kills):
    kept = {}
    for kill in range(kills):
        with Set(penstockd, root, ["a", "b"]) as node:
            loads = [Load(node, kill * 10 + number, kept) for number in range(3)]
            for number, load in enumerate(loads):
                load.name = str(number)
                load.start()
            time.sleep(random.uniform(0.3, 1.5))
            node.kill()
            for load in loads:
                load.join()
                assert load.error is None, load.error
        with Set(penstockd, root, ["a", "b"]) as node:
            unsure = dict(load.open for load in loads if load.open)
            for name in set(kept) | set(unsure):
                status, body = node.get(name)
                allowed = {kept.get(name), unsure.get(name, kept.get(name))}
                found = [version for version in allowed
                         if (version is None and status == 404) or
                         (version is not None and status == 200 and body == Load.content(version))]
                assert found, (name, status, len(body))
                kept[name] = found[0]
                if found[0] is None:
                    del kept[name]
            expected = sum(chunks_of(node, name) for name in kept)
            wait_until(lambda: parts(node) == expected, 20)


def chunks_of(node, name):
    head = node.request("HEAD", f"/v1/objects/b/{name}?provider=ais&props=name,chunked")[1]
    return int(head.get("Ais-Chunks-Count") or 0)


@contextlib.contextmanager
def limited_directories(root, rate_mb):
    """Two directories, each on a disk of its own that gives `rate_mb` MB/s and no more."""
    with contextlib.ExitStack() as stack:
        names = []
        for number in range(2):
            # The filter counts bits; how much may come at once is kept small.
            plugin = ["--filter=rate", "memory", f"size={LIMITED_DISK_BYTES}",
                      f"rate={rate_mb * 8_000_000}", "burstiness=0.1"]
            disk = stack.enter_context(
                served_disk(os.path.join(root, f"nbd{number}"), plugin, LIMITED_DISK_BYTES))
            make_file_system(disk)
            stack.enter_context(mounted(disk, os.path.join(root, f"mount{number}")))
            names.append(f"mount{number}/data")
        yield names


def read_rate(node, bucket, expected):
    """MB/s of one GET that nothing is in memory for."""
    os.sync()
    with open("/proc/sys/vm/drop_caches", "w", encoding="ascii") as file:
        file.write("3")
    connection = node.connect(120)
    begin = time.monotonic()
    connection.request("GET", f"/v1/objects/{bucket}/large?provider=ais")
    response = connection.getresponse()
    digest = hashlib.sha256()
    while piece := response.read(1 << 20):
        digest.update(piece)
    seconds = time.monotonic() - begin
    connection.close()
    assert response.status == 200 and digest.digest() == expected
    return LARGE_BYTES / seconds / 1e6


def test_rate(penstockd, root, rate_mb):
    content = content_of(1, LARGE_BYTES)
    expected = hashlib.sha256(content).digest()
    with limited_directories(root, rate_mb) as names, Set(penstockd, root, names) as node:
        make_bucket(node, "b", {"chunks": {"objsize_limit": "1MiB"}})
        node.create_bucket("plain")
        rates = {}
        for bucket in ("plain", "b"):
            begin = time.monotonic()
            status, _, body = node.request("PUT", f"/v1/objects/{bucket}/large?provider=ais",
                                           content)
            assert status == 200, (status, body)
            written = LARGE_BYTES / (time.monotonic() - begin) / 1e6
            rates[bucket] = max(read_rate(node, bucket, expected) for _ in range(2))
            print(f"{bucket}: written at {written:.1f} MB/s, read at {rates[bucket]:.1f} MB/s",
                  flush=True)
        factor = rates["b"] / rates["plain"]
        print(f"two disks of {rate_mb} MB/s: {factor:.2f} times one's rate")
        assert factor > 1.7, factor


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--penstockd", required=True)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--rate-mb", type=int, default=20)
    options = parser.parse_args()
    with TestDirectory("stripes") as directory:
        with Set(options.penstockd, directory.path, ["a", "b"]) as node:
            make_bucket(node, "b", CHUNKS)
            test_calls(node, directory.path)
        test_kills(options.penstockd, directory.path, options.kills)
        if missing_tools():
            print(f"two limited disks: skipped: no {missing_tools()}")
        else:
            test_rate(options.penstockd, directory.path, options.rate_mb)
    print("ok")


if __name__ == "__main__":
    main()
