#!/usr/bin/env python3
"""What an operator asks of a running node over AIStore's API: rechunking over two mountpaths,
copies that synchronize, logs, statistics.

    tests/sdk/operator_test.py --penstockd out/penstockd
"""

import argparse
import hashlib
import io
import json
import os
import sys
import tarfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests"))
from node_process import Checks, NodeProcess, TestDirectory  # noqa: E402

MIB = 1 << 20


def act(node, method, target, action, value=None, name=""):
    body = json.dumps({"action": action, "name": name, "value": value})
    status, _, answer = node.request(method, target, body.encode())
    return status, answer.decode()


def run_job(checks, node, method, target, action, value=None):
    """Starts it and waits; what its status says then."""
    status, job = act(node, method, target, action, value)
    checks.check(status == 200, f"{action}: {status} {job}")
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        answer = node.request("GET", "/v1/cluster?what=qryxstats",
                              json.dumps({"ID": job}).encode())[2]
        shot = next(iter(json.loads(answer).values()))[0]
        if shot["is_idle"]:
            return shot
        time.sleep(0.02)
    raise RuntimeError(f"{action} {job} does not end")


def chunks(node, name):
    headers = node.request("HEAD", f"/v1/objects/b/{name}?props=chunked,checksum,version")[1]
    return int(headers.get("Ais-Chunks-Count", 0))


def check_rechunk(checks, node):
    node.create_bucket("b")
    contents = {f"o{size}": os.urandom(size) for size in (1000, 3 * MIB, 9 * MIB + 17)}
    for name, content in contents.items():
        checks.check(node.request("PUT", f"/v1/objects/b/{name}", content)[0] == 200, "put")
    before = {name: node.request("HEAD", f"/v1/objects/b/{name}")[1] for name in contents}

    def whole(what):
        for name, content in contents.items():
            got = node.request("GET", f"/v1/objects/b/{name}")[2]
            checks.check(hashlib.sha256(got).digest() == hashlib.sha256(content).digest(),
                         f"{what}: {name} is what it was")
            headers = node.request("HEAD", f"/v1/objects/b/{name}")[1]
            for kept in ("Ais-Version", "Ais-Checksum-Value", "Last-Modified"):
                checks.check(headers[kept] == before[name][kept], f"{what}: {kept} of {name}")

    checks.check([chunks(node, name) for name in contents] == [0, 0, 0], "in one piece each")
    rule = {"objsize-limit": 2 * MIB, "chunk-size": MIB}
    shot = run_job(checks, node, "POST", "/v1/buckets/b", "rechunk", rule)
    checks.check(shot["stats"]["loc-objs"] == "2" and not shot["err"], f"rechunked: {shot}")
    counts = [chunks(node, name) for name in contents]
    checks.check(counts[0] == 0 and counts[1] >= 3 and counts[2] >= 10, f"in parts: {counts}")
    whole("in parts")
    rule = {"objsize-limit": 8 * MIB, "chunk-size": 4 * MIB}
    run_job(checks, node, "POST", "/v1/buckets/b", "rechunk", rule)
    counts = [chunks(node, name) for name in contents]
    checks.check(counts[1] == 0 and 0 < counts[2] <= 4, f"fewer: {counts}")
    whole("fewer parts")
    # As a job of its own it takes the bucket's own rule, which says: in one piece.
    run_job(checks, node, "PUT", "/v1/cluster", "start", {"Kind": "rechunk", "Bck": {"name": "b"}})
    checks.check([chunks(node, name) for name in contents] == [0, 0, 0], "in one piece again")
    whole("in one piece")


def check_synchronize(checks, node):
    node.create_bucket("from")
    node.create_bucket("to")
    for name in ("a", "b", "c"):
        node.request("PUT", f"/v1/objects/from/{name}", name.encode())
    for name in ("a", "x", "y"):
        node.request("PUT", f"/v1/objects/to/{name}", b"old")
    run_job(checks, node, "POST", "/v1/buckets/from?bck_to=ais/@%23/to/", "copy-bck",
            {"synchronize": True})
    page = json.loads(node.request("GET", "/v1/buckets/to")[2])
    names = [entry["name"] for entry in page["entries"]]
    checks.check(names == ["a", "b", "c"], f"synchronized: {names}")
    checks.check(node.request("GET", "/v1/objects/to/a")[2] == b"a", "with the source's content")


def check_log(checks, node):
    target = {"Ais-Node-Id": node.ready["node"]}
    whole = "/v1/reverse/daemon?what=log&severity=info"
    text = node.request("GET", whole, headers=target)[2]
    checks.check(b'"ready"' in text and text.startswith(b"Started up at"), "the log")
    rest = node.request("GET", f"{whole}&offset={len(text) - 10}", headers=target)[2]
    checks.check(rest == text[-10:], "from an offset")
    _, headers, packed = node.request("GET", whole + "&all=true", headers=target)
    checks.check(headers["Content-Type"] == "application/x-gzip", "an archive")
    with tarfile.open(fileobj=io.BytesIO(packed), mode="r:gz") as tar:
        names = tar.getnames()
        checks.check(tar.extractfile("penstockd.INFO.log").read() == text, "with the same text")
    checks.check(names == ["penstockd.INFO.log", "penstockd.ERROR.log"], f"files: {names}")
    checks.check(act(node, "PUT", "/v1/cluster", "rotate-logs")[0] == 200, "rotate")
    text = node.request("GET", whole, headers=target)[2]
    checks.check(b'"ready"' not in text and text, "it begins anew")


def check_statistics(checks, node):
    target = {"Ais-Node-Id": node.ready["node"]}

    def tracker():
        answer = node.request("GET", "/v1/reverse/daemon?what=node_status", headers=target)[2]
        return json.loads(answer)["tracker"]

    def metric():
        text = node.request("GET", "/metrics")[2].decode()
        return [line for line in text.splitlines()
                if line.startswith("penstock_requests_total") and 'op="get"' in line]

    for _ in range(3):
        node.request("GET", "/v1/objects/from/a")
    node.request("GET", "/v1/objects/from/nope")
    before = tracker()
    checks.check(before["get.n"] >= 3 and before["err.get.n"] >= 1, f"counted: {before}")
    counted = metric()
    act(node, "PUT", "/v1/cluster", "reset-stats", True)
    after = tracker()
    checks.check("err.get.n" not in after and after["get.n"] == before["get.n"], "errors alone")
    act(node, "PUT", "/v1/cluster", "reset-stats", False)
    checks.check("get.n" not in tracker(), "all")
    checks.check(metric() == counted, "what Prometheus reads never goes back")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--penstockd", required=True)
    arguments = parser.parse_args()
    checks = Checks()
    with TestDirectory("operator") as directory:
        second = os.path.join(directory.path, "second")
        node = NodeProcess(arguments.penstockd, directory.path, "--data", second, "--cores", "2")
        try:
            for part in (check_rechunk, check_synchronize, check_log, check_statistics):
                part(checks, node)
        finally:
            checks.check(node.stop() == 0, "stop")
        directory.is_kept = checks.failed > 0
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
