#!/usr/bin/env python3
"""kill9.py --penstockd PATH [--kills N] [--seed S]: acknowledged means kept, under kill -9.

Writers PUT, overwrite, upload in parts, append, copy, rename, PATCH and DELETE objects whose bodies
describe themselves (name, number, checksum) while the node is killed at random moments; the largest
are cut into stripes. The oracle is the writers' own log: after each restart
every name must hold what was acknowledged last, or what was in flight when the node died; never a
mix, never less, never something deleted and acknowledged. Segments are small, so that compaction
frees some all the time.
Ends with "N passed, N failed".
"""

import argparse
import hashlib
import http.client
import json
import os
import random
import re
import sys
import threading
import time
import urllib.parse

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from node_process import Checks, NodeProcess, TestDirectory  # noqa: E402

WRITERS = 8
NAMES_EACH = 40
BUCKET = "kill9"
# How often each.
OPERATIONS = {"put": 10, "delete": 4, "upload": 2, "append": 2, "copy": 2, "rename": 2, "custom": 2}
EMPTY = -1  # the number of an object without bytes


def body_of(name, number, size):
    """Bytes from which name and number can be read back, and that cannot be mixed unseen."""
    head = json.dumps({"name": name, "number": number, "size": size}).encode() + b"\n"
    filler = hashlib.sha256(head).digest()
    body = head + filler * (size // len(filler) + 1)
    body = body[:max(size, len(head))]
    return body + hashlib.sha256(body).digest()


def number_of(owner, body):
    """The number of a whole body of this writer's; None if it is anything else."""
    content, digest = body[:-32], body[-32:]
    if hashlib.sha256(content).digest() != digest:
        return None
    head = json.loads(content.split(b"\n", 1)[0])
    return head["number"] if head["name"].startswith(owner) else None


def call(connection, method, name, body=None, query="", headers=None):
    connection.request(method, f"/v1/objects/{BUCKET}/{name}?provider=ais{query}", body,
                       headers or {})
    response = connection.getresponse()
    return response.status, response.headers, response.read()


class Refused(Exception):
    """The node answered, and not as it must."""


def act(connection, name, action, argument="", value=None, query=""):
    message = json.dumps({"action": action, "name": argument, "value": value})
    status, _, content = call(connection, "POST", name, message, query)
    if status != 200:
        raise Refused(f"{action}: status {status} {content[:200]}")
    return content.decode()


def put(connection, name, body, query=""):
    status, headers, content = call(connection, "PUT", name, body, query)
    if status != 200:
        raise Refused(f"PUT {query}: status {status} {content[:200]}")
    return headers


def pieces_of(body, count):
    size = -(-len(body) // count)
    return [body[at:at + size] for at in range(0, len(body), size)]


class Writer:
    """Owns some names; for each, the numbers that it may hold (None: absent)."""

    def __init__(self, index, seed, renames_at_once):
        self.renames_at_once = renames_at_once
        self.random = random.Random(seed * 1000 + index)
        self.owner = f"w{index}/"
        self.names = [f"{self.owner}{number:03d}" for number in range(NAMES_EACH)]
        self.allowed = {name: {None} for name in self.names}
        self.renaming = None  # (from, to, the number that exactly one of them has), if under way
        self.number = 0
        self.acknowledged = dict.fromkeys(OPERATIONS, 0)
        self.errors = []

    def work(self, node):
        """Changes objects until the node goes away."""
        try:
            connection = node.connect()
            while True:
                self.change(connection)
        except (OSError, http.client.HTTPException):
            return

    def change(self, connection):
        """One operation; what it was to do is certain once it was acknowledged."""
        name = self.random.choice(self.names)
        is_there = self.allowed[name] != {None}
        kind = self.random.choices(list(OPERATIONS), OPERATIONS.values())[0]
        if not is_there and kind in ("delete", "rename", "copy", "custom"):
            kind = "put"
        try:
            getattr(self, kind)(connection, name)
            self.acknowledged[kind] += 1
        except Refused as error:
            self.errors.append(f"{name}: {error}")

    def draw(self, name, *sizes):
        """A new body for this name, from now on one that it may hold."""
        self.number += 1
        self.allowed[name] = self.allowed[name] | {self.number}
        return body_of(name, self.number, self.random.choice(sizes))

    def put(self, connection, name):
        put(connection, name,
            self.draw(name, 100, 1000, 4000, 60_000, 131_072, 200_000, 1_000_000, 5_000_000))
        self.allowed[name] = {self.number}

    def upload(self, connection, name):
        """In three parts, one of them sent twice."""
        parts = pieces_of(self.draw(name, 3000, 300_000, 600_000), 3)
        upload = act(connection, name, "mpt-upload")
        for number in (1, 3, 2, 3):
            put(connection, name, parts[number - 1], f"&uploadId={upload}&partNumber={number}")
        act(connection, name, "mpt-complete", query=f"&uploadId={upload}",
            value=[{"part-number": number, "etag": ""} for number in (1, 2, 3)])
        self.allowed[name] = {self.number}

    def append(self, connection, name):
        """An object written by appending to an empty one."""
        pieces = pieces_of(self.draw(name, 1000, 100_000, 400_000), 4)
        self.allowed[name].add(EMPTY)
        put(connection, name, b"")
        handle = ""
        for piece in pieces:
            handle = put(connection, name, piece, "&append_type=append&append_handle="
                         + urllib.parse.quote(handle, safe=""))["Ais-Append-Handle"]
        put(connection, name, b"", "&append_type=flush&append_handle="
            + urllib.parse.quote(handle, safe=""))
        self.allowed[name] = {self.number}

    def copy(self, connection, name):
        to = self.random.choice(self.names)
        self.allowed[to] = self.allowed[to] | self.allowed[name]
        put(connection, name, b"", "&latest-ver=false&synchronize=false&object_to="
            + urllib.parse.quote(f"ais/@#/{BUCKET}/{to}", safe=""))
        self.allowed[to] = set(self.allowed[name])

    def rename(self, connection, name):
        to = self.random.choice([other for other in self.names if other != name])
        held, before = self.allowed[name], self.allowed[to]
        self.allowed[name], self.allowed[to] = held | {None}, before | held
        if len(held) == 1 and not held & before:
            self.renaming = (name, to, next(iter(held)))
        act(connection, name, "rename-obj", to)
        self.allowed[name], self.allowed[to], self.renaming = {None}, held, None

    def custom(self, connection, name):
        """Changes what stands beside the content, and leaves that as it is."""
        status, _, content = call(connection, "PATCH", name, json.dumps(
            {"action": "", "name": "", "value": {"turn": str(self.number)}}))
        if status != 200:
            raise Refused(f"PATCH: status {status} {content[:200]}")

    def delete(self, connection, name):
        self.allowed[name] = self.allowed[name] | {None}
        status, _, content = call(connection, "DELETE", name)
        # It may be gone since an operation that was cut off.
        if status != 200 and not (status == 404 and len(self.allowed[name]) > 2):
            raise Refused(f"DELETE: status {status} {content[:200]}")
        self.allowed[name] = {None}

    def check(self, node):
        """What the restarted node must hold; forgets what it turned out not to."""
        connection = node.connect()
        for name in self.names:
            status, _, content = call(connection, "GET", name)
            if status not in (200, 404):
                self.errors.append(f"{name}: status {status} {content[:200]}")
                continue
            held = None if status == 404 else number_of(self.owner, content) if content else EMPTY
            if status == 200 and held is None:
                self.errors.append(f"{name}: torn, {len(content)} bytes")
            elif held not in self.allowed[name]:
                self.errors.append(f"{name}: holds {held}, must hold one of {self.allowed[name]}")
            self.allowed[name] = {held}
        if self.renaming is not None:
            source, to, number = self.renaming
            holders = [name for name in (source, to) if self.allowed[name] == {number}]
            if not holders or (len(holders) > 1 and self.renames_at_once):
                self.errors.append(f"{number} renamed from {source} to {to} is in {holders}")
        self.renaming = None


def run(arguments, kills, directory, checks, second=None):
    """A node that is killed so many times, on one mountpath or two."""
    chance = random.Random(arguments.seed)
    # Between two mountpaths a rename is a copy and a removal: both names may be left.
    writers = [Writer(index, arguments.seed, second is None) for index in range(WRITERS)]
    freed = 0
    settings = os.path.join(directory, "settings.toml")
    with open(settings, "w", encoding="utf-8") as file:
        file.write('[store]\nsegment_bytes = "4MiB"\n')
    for turn in range(kills + 1):
        # The same directory must serve whatever the number of cores and the backend.
        node = NodeProcess(arguments.penstockd, directory, "--cores", str(1 + turn % 2),
                           "--io-backend", "auto" if turn % 3 else "epoll",
                           "--settings", settings, *(["--data", second] if second else []))
        if turn == 0:
            node.create_bucket(BUCKET)
            status, _, content = node.act(
                "PATCH", f"/v1/buckets/{BUCKET}?provider=ais", "set-bprops",
                {"chunks": {"objsize_limit": "2MiB", "chunk_size": "1MiB"}})
            checks.check(status == 200, f"set-bprops: {status} {content[:200]}")
        for writer in writers:
            writer.check(node)
        if turn < kills:
            freed += work_until_killed(node, writers, chance.uniform(0.05, 1.2))
        else:
            checks.check(node.stop() == 0, "the last stop is an orderly one")
        errors = [error for writer in writers for error in writer.errors]
        for writer in writers:
            writer.errors.clear()
        print(f"kill {turn + 1}: {sum(sum(writer.acknowledged.values()) for writer in writers)}"
              f" acknowledged, {freed} segments freed")
        checks.check(not errors, "; ".join(errors[:10]))
    for kind in OPERATIONS:
        count = sum(writer.acknowledged[kind] for writer in writers)
        checks.check(count > 0, f"no {kind} was acknowledged")
    checks.check(freed > 0, "compaction freed no segment: nothing was tried")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--penstockd", required=True)
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    arguments = parser.parse_args()
    kills = arguments.kills or (500 if os.environ.get("PENSTOCK_TEST_MODE") == "deep" else 50)
    print(f"seed {arguments.seed}, {kills} kills")
    checks = Checks()
    with TestDirectory("kill9") as directory:
        for count, with_second in ((kills // 2, False), (kills - kills // 2, True)):
            path = os.path.join(directory.path, "two" if with_second else "one")
            os.mkdir(path)
            run(arguments, count, path, checks,
                os.path.join(path, "second") if with_second else None)
        directory.is_kept = checks.failed > 0
    return checks.finish()


def work_until_killed(node, writers, seconds):
    """Gives how many segments were freed in the first half of that time."""
    threads = [threading.Thread(target=writer.work, args=(node,)) for writer in writers]
    for thread in threads:
        thread.start()
    # Asked halfway, so that nothing but chance says what happens at the kill.
    time.sleep(seconds / 2)
    _, _, metrics = node.request("GET", "/metrics")
    time.sleep(seconds / 2)
    node.kill()
    for thread in threads:
        thread.join()
    found = re.search(rb"^penstock_store_freed_segments_total (\d+)", metrics, re.MULTILINE)
    return int(found.group(1))


if __name__ == "__main__":
    sys.exit(main())
