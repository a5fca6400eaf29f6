#!/usr/bin/env python3
"""kill9.py --penstockd PATH [--kills N] [--seed S]: acknowledged means kept, under kill -9.

Writers PUT, overwrite and DELETE objects whose bodies describe themselves (name, number, checksum)
while the node is killed at random moments. The oracle is the writers' own log: after each restart
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

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from node_process import Checks, NodeProcess, TestDirectory  # noqa: E402

WRITERS = 8
NAMES_EACH = 40
BUCKET = "kill9"


def body_of(name, number, size):
    """Bytes from which name and number can be read back, and that cannot be mixed unseen."""
    head = json.dumps({"name": name, "number": number, "size": size}).encode() + b"\n"
    filler = hashlib.sha256(head).digest()
    body = head + filler * (size // len(filler) + 1)
    body = body[:max(size, len(head))]
    return body + hashlib.sha256(body).digest()


def number_of(name, body):
    """The number of a whole body of this name; None if it is anything else."""
    content, digest = body[:-32], body[-32:]
    if hashlib.sha256(content).digest() != digest:
        return None
    head = json.loads(content.split(b"\n", 1)[0])
    return head["number"] if head["name"] == name else None


def request(connection, method, name, body=None):
    connection.request(method, f"/v1/objects/{BUCKET}/{name}?provider=ais", body)
    response = connection.getresponse()
    return response.status, response.read()


class Writer:
    """Owns some names; for each, the numbers that it may hold (None: absent)."""

    def __init__(self, index, seed):
        self.random = random.Random(seed * 1000 + index)
        self.names = [f"w{index}/{number:03d}" for number in range(NAMES_EACH)]
        self.allowed = {name: {None} for name in self.names}
        self.number = 0
        self.acknowledged = 0
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
        name = self.random.choice(self.names)
        if self.random.random() < 0.2 and self.allowed[name] != {None}:
            self.allowed[name] = self.allowed[name] | {None}
            status, content = request(connection, "DELETE", name)
            outcome = None
            is_fine = status == 200 or (status == 404 and len(self.allowed[name]) > 1)
        else:
            self.number += 1
            outcome = self.number
            size = self.random.choice([100, 1000, 4000, 60_000, 131_072, 200_000, 1_000_000])
            self.allowed[name] = self.allowed[name] | {outcome}
            status, content = request(connection, "PUT", name, body_of(name, outcome, size))
            is_fine = status == 200
        if is_fine:
            self.allowed[name] = {outcome}
            self.acknowledged += 1
        else:
            self.errors.append(f"{name}: status {status} {content[:200]}")

    def check(self, node):
        """What the restarted node must hold; forgets what it turned out not to."""
        connection = node.connect()
        for name in self.names:
            status, content = request(connection, "GET", name)
            if status not in (200, 404):
                self.errors.append(f"{name}: status {status} {content[:200]}")
                continue
            held = None if status == 404 else number_of(name, content)
            if status == 200 and held is None:
                self.errors.append(f"{name}: torn, {len(content)} bytes")
            elif held not in self.allowed[name]:
                self.errors.append(f"{name}: holds {held}, must hold one of {self.allowed[name]}")
            self.allowed[name] = {held}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--penstockd", required=True)
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    arguments = parser.parse_args()
    kills = arguments.kills or (500 if os.environ.get("PENSTOCK_TEST_MODE") == "deep" else 20)
    print(f"seed {arguments.seed}, {kills} kills")

    chance = random.Random(arguments.seed)
    checks = Checks()
    writers = [Writer(index, arguments.seed) for index in range(WRITERS)]
    freed = 0
    with TestDirectory("kill9") as directory:
        settings = os.path.join(directory.path, "settings.toml")
        with open(settings, "w", encoding="utf-8") as file:
            file.write('[store]\nsegment_bytes = "4MiB"\n')
        for turn in range(kills + 1):
            # The same directory must serve whatever the number of cores and the backend.
            node = NodeProcess(arguments.penstockd, directory.path, "--cores", str(1 + turn % 2),
                               "--io-backend", "auto" if turn % 3 else "epoll",
                               "--settings", settings)
            if turn == 0:
                node.create_bucket(BUCKET)
            for writer in writers:
                writer.check(node)
            if turn < kills:
                freed += work_until_killed(node, writers, chance.uniform(0.05, 1.2))
            else:
                checks.check(node.stop() == 0, "the last stop is an orderly one")
            errors = [error for writer in writers for error in writer.errors]
            for writer in writers:
                writer.errors.clear()
            print(f"kill {turn + 1}: {sum(writer.acknowledged for writer in writers)} acknowledged,"
                  f" {freed} segments freed")
            checks.check(not errors, "; ".join(errors[:10]))
        checks.check(freed > 0, "compaction freed no segment: nothing was tried")
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
