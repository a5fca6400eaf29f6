#!/usr/bin/env python3
"""Objects that their bucket has cut over several mountpaths: read whole and by ranges, copied,
renamed, appended to, uploaded in parts; a mountpath that comes, goes, is off or lost; kill -9 under
overwriting, by PUTs and by uploads: what was acknowledged is whole, and no part of anything else
stays. With root and nbdkit: two disks limited to the same rate are read at nearly twice that.

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
UNIT = 256 << 10
CHUNKS = {"chunks": {"objsize_limit": "1MiB", "chunk_size": "4MiB"}}
LIMITED_DISK_BYTES = 512 << 20
LARGE_BYTES = 96 << 20
UPLOAD_PART = 1_500_000


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


def target_of(bucket, name):
    return f"/v1/objects/{bucket}/{name}?provider=ais"


def begin_upload(node, bucket, name):
    message = json.dumps({"action": "mpt-upload", "name": "", "value": None}).encode()
    status, _, body = node.request("POST", target_of(bucket, name), message)
    assert status == 200, (status, body)
    return body.decode()


def put_part(node, bucket, name, upload, number, content):
    return node.request(
        "PUT", f"{target_of(bucket, name)}&uploadId={upload}&partNumber={number}", content)[0]


def complete_upload(node, bucket, name, upload, numbers):
    value = [{"part-number": number, "etag": ""} for number in numbers]
    message = json.dumps({"action": "mpt-complete", "name": "", "value": value}).encode()
    return node.request("POST", f"{target_of(bucket, name)}&uploadId={upload}", message)[0]


def abort_upload(node, bucket, name, upload):
    message = json.dumps({"action": "mpt-abort", "name": "", "value": None}).encode()
    return node.request("DELETE", f"{target_of(bucket, name)}&uploadId={upload}", message)[0]


def pieces_of(content, part_bytes):
    return [content[at:at + part_bytes] for at in range(0, len(content), part_bytes)]


def upload_in_parts(node, bucket, name, content, part_bytes, upload=None):
    upload = upload or begin_upload(node, bucket, name)
    pieces = pieces_of(content, part_bytes)
    for number, piece in enumerate(pieces, 1):
        status = put_part(node, bucket, name, upload, number, piece)
        if status != 200:
            return status
    return complete_upload(node, bucket, name, upload, range(1, len(pieces) + 1))


def files_in(root, mountpath):
    """Sizes of the files of large objects there."""
    folder = os.path.join(root, mountpath, "objects")
    return [os.path.getsize(os.path.join(folder, name)) for name in os.listdir(folder)]


def test_uploads(node, root):
    assert parts(node) == 0
    content = content_of(5, 13 << 20)
    assert upload_in_parts(node, "b", "up", content, 5 << 20) == 200
    # 5, 5 and 3 MiB, each on both mountpaths.
    wait_until(lambda: parts(node) == 6)
    for mountpath in ("a", "b"):
        sizes = files_in(root, mountpath)
        assert len(sizes) == 3 and sum(sizes) > 6 << 20, (mountpath, sizes)
    assert node.get("up") == (200, content)
    head = node.request("HEAD", f"{target_of('b', 'up')}&props=name,chunked")[1]
    assert head.get("Ais-Chunks-Count") == "3", head
    for offset, size in ((0, 10), ((5 << 20) - 1, 2), (4 << 20, 7 << 20), (len(content) - 1, 1)):
        status, _, body = node.request(
            "GET", target_of("b", "up"), headers={"Range": f"bytes={offset}-{offset + size - 1}"})
        assert status == 206 and body == content[offset:offset + size], (offset, status)
    upload = begin_upload(node, "b", "up")
    assert put_part(node, "b", "up", upload, 1, content[:5 << 20]) == 200
    assert parts(node) == 6 + 4
    assert abort_upload(node, "b", "up", upload) in (200, 204)
    wait_until(lambda: parts(node) == 6)
    assert upload_in_parts(node, "b", "up", content[::-1], 6 << 20) == 200
    assert node.get("up") == (200, content[::-1])
    assert node.delete("up") == 200
    wait_until(lambda: parts(node) == 0)


class Load(threading.Thread):
    """Overwrites and removes names of its own, with sizes on both sides of the limit."""

    def __init__(self, node, seed, kept):
        super().__init__()
        self.node, self.chance, self.kept = node, random.Random(seed), kept
        self.open = None
        self.upload = None  # that is open: its object, and its id if it is known
        self.error = None

    def run(self):
        try:
            while True:
                name = f"w{self.name}-{self.chance.randrange(6)}"
                version = self.chance.randrange(1 << 30)
                if name in self.kept and self.chance.random() < 0.3:
                    version = None
                self.open = (name, version)
                if version is None:
                    status = self.node.delete(name)
                elif self.is_uploaded(version):
                    self.upload = (name, None)
                    upload = begin_upload(self.node, "b", name)
                    self.upload = (name, upload)
                    status = upload_in_parts(self.node, "b", name, self.content(version),
                                             UPLOAD_PART, upload)
                    self.upload = None
                else:
                    status = self.node.put(name, self.content(version))
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
    def is_uploaded(version):
        return version % 3 == 0

    @staticmethod
    def content(version):
        return content_of(version, 200_000 + version % 6_000_000)


def test_kills(penstockd, root, kills):
    kept = {}
    begun = 0  # uploads whose ids nobody was told
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
            for name, upload in (load.upload for load in loads if load.upload):
                begun += upload is None
                if upload:
                    assert abort_upload(node, "b", name, upload) in (200, 204, 404)
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
            expected = sum(parts_of(node, name, version) for name, version in kept.items())
            wait_until(lambda: expected <= parts(node) <= expected + begun, 20)


def parts_of(node, name, version):
    """How many hidden objects its content lies in."""
    if not Load.is_uploaded(version):
        return chunks_of(node, name)
    return sum(min(2, -(-len(piece) // UNIT))
               for piece in pieces_of(Load.content(version), UPLOAD_PART))


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
            status, _, body = node.request("PUT", target_of(bucket, "large"), content)
            assert status == 200, (status, body)
            written = LARGE_BYTES / (time.monotonic() - begin) / 1e6
            rates[bucket] = max(read_rate(node, bucket, expected) for _ in range(2))
            print(f"{bucket}: written at {written:.1f} MB/s, read at {rates[bucket]:.1f} MB/s",
                  flush=True)
        begin = time.monotonic()
        assert upload_in_parts(node, "b", "large", content, 8 << 20) == 200
        written = LARGE_BYTES / (time.monotonic() - begin) / 1e6
        rates["uploaded"] = max(read_rate(node, "b", expected) for _ in range(2))
        print(f"uploaded in parts of 8 MiB: written at {written:.1f} MB/s, "
              f"read at {rates['uploaded']:.1f} MB/s", flush=True)
        for form in ("b", "uploaded"):
            factor = rates[form] / rates["plain"]
            print(f"two disks of {rate_mb} MB/s, {form}: {factor:.2f} times one's rate")
            assert factor > 1.7, (form, factor)


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
            test_uploads(node, directory.path)
        test_kills(options.penstockd, directory.path, options.kills)
        if missing_tools():
            print(f"two limited disks: skipped: no {missing_tools()}")
        else:
            test_rate(options.penstockd, directory.path, options.rate_mb)
    print("ok")


if __name__ == "__main__":
    main()
