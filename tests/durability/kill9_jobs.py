#!/usr/bin/env python3
"""kill9_jobs.py --penstockd PATH [--kills N] [--seed S]: a promised job ends, killed or not.

Copies, deletions and renames of a bucket are begun, and the node is killed with -9 at a random
moment. Started again, it goes on by itself under the same id; when the job has ended, the buckets
must hold exactly what a quiet run leaves: names, bytes and versions. A request that was not
answered may have begun or not, and is made again.
Ends with "N passed, N failed".
"""

import argparse
import http.client
import json
import os
import random
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from node_process import Checks, NodeProcess, TestDirectory  # noqa: E402

OBJECTS = 6000
FROM = "from"


def content_of(number):
    return f"object {number:05d} ".encode() * (1 + number % 90)


def name_of(number):
    return f"{'even' if number % 2 == 0 else 'odd'}/{number:05d}.txt"


class Work:
    """What is asked for, and which objects it must leave in which bucket."""

    def __init__(self, what, turn):
        self.what = what
        self.to = f"to-{turn}"
        names = [name_of(number) for number in range(OBJECTS)]
        self.left = {FROM: set(names)}
        copied = {"copy": names, "copy-prefix": [name for name in names if name[0] == "o"],
                  "copy-range": [name_of(number) for number in range(0, OBJECTS, 2)]}
        if what in copied:
            prepend = "" if what == "copy" else "p/"
            self.left[self.to] = {prepend + name for name in copied[what]}
        elif what == "delete-prefix":
            self.left[FROM] = {name for name in names if not name.startswith("even/")}
        elif what == "delete-list":
            self.left[FROM] = set(names[500:])
        elif what == "rename":
            self.left = {self.to: set(names)}

    def request(self):
        """Method, target and message."""
        target = f"/v1/buckets/{FROM}?provider=ais"
        to_query = f"&bck_to=ais%2F%40%23%2F{self.to}%2F"
        to_bucket = {"name": self.to, "provider": "ais"}
        if self.what == "copy":
            return "POST", target + to_query, "copy-bck", {}
        if self.what == "copy-prefix":
            return "POST", target + to_query, "copy-bck", {"prefix": "odd/", "prepend": "p/"}
        if self.what == "copy-range":
            value = {"template": "even/{00000..05999..2}.txt", "prepend": "p/",
                     "tobck": to_bucket}
            return "POST", target, "copy-listrange", value
        if self.what == "delete-prefix":
            return "DELETE", target, "delete-listrange", {"template": "even/"}
        if self.what == "delete-list":
            names = [name_of(number) for number in range(500)]
            return "DELETE", target, "delete-listrange", {"objnames": names}
        return "POST", target + to_query, "move-bck", None


def act(node, method, target, action, value):
    message = json.dumps({"action": action, "name": "", "value": value})
    return node.request(method, target, message)


def fill(node):
    """The bucket as every turn begins with."""
    for bucket in json.loads(node.request("GET", "/v1/buckets?provider=ais")[2]):
        act(node, "DELETE", f"/v1/buckets/{bucket['name']}?provider=ais", "destroy-bck", None)
    node.create_bucket(FROM)
    errors = []

    def put(first):
        connection = node.connect()
        for number in range(first, OBJECTS, 8):
            connection.request("PUT", f"/v1/objects/{FROM}/{name_of(number)}?provider=ais",
                               content_of(number))
            response = connection.getresponse()
            response.read()
            if response.status != 200:
                errors.append(response.status)
    threads = [threading.Thread(target=put, args=(first,)) for first in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors, errors[:5]


def listed(node, bucket):
    """Name -> (size, version); None: no such bucket."""
    found = {}
    token = ""
    while True:
        status, _, content = act(node, "GET", f"/v1/buckets/{bucket}?provider=ais", "list",
                                 {"props": "name,size,version", "continuation_token": token,
                                  "pagesize": 10000})
        if status == 404:
            return None
        page = json.loads(content)
        for entry in page["entries"]:
            found[entry["name"]] = (int(entry.get("size", 0)), entry.get("version"))
        token = page["continuation_token"]
        if not token:
            return found


def wrong_in(node, work, chance):
    """What is not as a quiet run leaves it."""
    for bucket, names in work.left.items():
        found = listed(node, bucket)
        if found is None:
            yield f"{bucket} is not there"
            continue
        if set(found) != names:
            yield (f"{bucket}: {len(names - set(found))} missing, "
                   f"{len(set(found) - names)} too many, e.g. {sorted(set(found) ^ names)[:3]}")
        expected = {name: (len(content_of(int(name[-9:-4]))), "1") for name in names & set(found)}
        differing = [name for name in expected if found[name] != expected[name]]
        if differing:
            yield f"{bucket}: {differing[0]} is {found[differing[0]]} ({len(differing)} differ)"
        connection = node.connect()
        for name in chance.sample(sorted(names), min(40, len(names))):
            connection.request("GET", f"/v1/objects/{bucket}/{name}?provider=ais")
            body = connection.getresponse().read()
            if body != content_of(int(name[-9:-4])):
                yield f"{bucket}/{name} has other bytes"
    if work.what == "rename" and listed(node, FROM) is not None:
        yield "the old name is still there"


def wait_for(node, job):
    """The job's snapshot when its work is done; None if the node does not know it."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        status, _, content = node.request("GET", "/v1/cluster?what=qryxstats",
                                          json.dumps({"ID": job}))
        if status == 404:
            return None
        snapshot = next(iter(json.loads(content).values()))[0]
        if snapshot["is_idle"]:
            return snapshot
        time.sleep(0.02)
    raise TimeoutError(job)


def begin_and_kill(node, work, chance):
    """The job's id, or None if the node died before it said so."""
    waits_for_answer = chance.random() < 0.7
    killer = threading.Timer(chance.uniform(0, 0.1), node.kill)
    if not waits_for_answer:
        killer.start()
    try:
        status, _, content = act(node, *work.request())
        job = content.decode() if status == 200 else None
        assert status == 200, content
    except (OSError, http.client.HTTPException):
        job = None
    if waits_for_answer:
        killer.start()
    killer.join()
    return job


def turn_of(penstockd, directory, work, chance, checks):
    node = NodeProcess(penstockd, directory.path)
    fill(node)
    job = begin_and_kill(node, work, chance)
    node = NodeProcess(penstockd, directory.path)
    snapshot = None
    if job is not None:
        snapshot = wait_for(node, job)
        # Only what ended before it was told may be forgotten, and not by kill -9.
        checks.check(snapshot is not None, f"{work.what}: job {job} is forgotten")
    elif work.what != "rename" or listed(node, FROM) is not None:
        status, _, content = act(node, *work.request())
        checks.check(status == 200, f"{work.what}: again: {content}")
        snapshot = wait_for(node, content.decode())
    if snapshot is not None:
        checks.check(not snapshot["aborted"], f"{work.what}: {snapshot}")
        is_new = job is None and work.what.startswith(("delete-list", "copy"))
        checks.check(is_new or not snapshot["err"], f"{work.what}: {snapshot['err']}")
    # An unanswered copy that is made again is a version more.
    errors = [error for error in wrong_in(node, work, chance)
              if job is not None or "differ)" not in error]
    checks.check(not errors, f"{work.what}: " + "; ".join(errors))
    checks.check(node.stop() == 0, "an orderly stop")
    return job


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--penstockd", required=True)
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    arguments = parser.parse_args()
    kills = arguments.kills or (50 if os.environ.get("PENSTOCK_TEST_MODE") == "deep" else 20)
    print(f"seed {arguments.seed}, {kills} kills")
    chance = random.Random(arguments.seed)
    checks = Checks()
    kinds = ["copy", "delete-prefix", "rename", "copy-range", "delete-list", "copy-prefix"]
    with TestDirectory("kill9-jobs") as directory:
        for turn in range(kills):
            work = Work(kinds[turn % len(kinds)], turn)
            job = turn_of(arguments.penstockd, directory, work, chance, checks)
            print(f"kill {turn + 1}: {work.what} {job or 'not answered'}", flush=True)
        directory.is_kept = checks.failed > 0
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
