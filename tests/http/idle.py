#!/usr/bin/env python3
"""10,000 idle connections against a node: they cost it little memory and nobody else their answers,
and their descriptors come back when they go.

    tests/http/idle.py --penstockd out/penstockd

Half of them have sent a request before they fall idle, half have not. With fewer descriptors than
that allowed (ulimit -Hn), as many as there may be. The last line is "N passed, N failed".
"""

import argparse
import os
import resource
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from node_process import Checks, NodeProcess, TestDirectory, read_answer  # noqa: E402

BUCKET = "idle"
CONNECTIONS = 10_000
SPARE_DESCRIPTORS = 200  # what the node and this program need for everything else
GROWTH_BYTES_MAX = 100 << 20
# A connection gives its buffer back when it has been quiet for a second.
QUIET_S = 1.5
REQUEST = b"GET /v1/daemon?what=smap HTTP/1.1\r\nHost: h\r\n\r\n"


def raise_own_limit():
    """As many descriptors as are allowed; how many that is."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard if hard != resource.RLIM_INFINITY else 1 << 20


def descriptor_count(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def open_idle(node, count):
    """So many connections, each second one used before; and how many of those were answered."""
    connections = []
    answered = 0
    for number in range(count):
        connection = node.connect_raw()
        if number % 2:
            connection.sendall(REQUEST)
            answered += read_answer(connection)[0] == 200
        connections.append(connection)
    return connections, answered


def time_others(node, rounds=200):
    """A client beside them; the slowest of its puts and gets, or None if one went wrong."""
    slowest_s = 0.0
    for number in range(rounds):
        content = f"content {number}".encode() * 50
        begin = time.monotonic()
        put = node.request("PUT", f"/v1/objects/{BUCKET}/other", content)
        got = node.request("GET", f"/v1/objects/{BUCKET}/other")
        slowest_s = max(slowest_s, time.monotonic() - begin)
        if put[0] != 200 or got[0] != 200 or got[2] != content:
            return None
    return slowest_s


def wait_until(holds, timeout_s):
    deadline = time.monotonic() + timeout_s
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.02)
    return holds()


def run(node, checks, count):
    node.create_bucket(BUCKET)
    checks.check(time_others(node) is not None, "the first requests are answered")
    time.sleep(QUIET_S)
    descriptors_before = descriptor_count(node.pid)
    resident_before = node.resident_bytes()

    connections, answered = open_idle(node, count)
    checks.check(answered == count // 2, f"{answered} of {count // 2} were answered")
    checks.check(descriptor_count(node.pid) >= descriptors_before + count,
                 "the node holds all of them")
    time.sleep(QUIET_S)
    growth = node.resident_bytes() - resident_before
    checks.check(growth < GROWTH_BYTES_MAX, f"{growth >> 10} KiB more for {count} connections")
    slowest_s = time_others(node)
    checks.check(slowest_s is not None, "others are served beside them")
    # Each of them is still good, not only open.
    for connection in connections[:: max(1, count // 100)]:
        connection.sendall(REQUEST)
        checks.check(read_answer(connection)[0] == 200, "an idle connection answers again")

    for connection in connections:
        connection.close()
    # A core that had not read yet may have opened the files that it keeps open since.
    allowed = descriptors_before + 2 * os.cpu_count()
    is_free = wait_until(lambda: descriptor_count(node.pid) <= allowed, 20)
    checks.check(is_free, f"{descriptor_count(node.pid)} descriptors are open, "
                 f"{descriptors_before} were before")
    checks.check(time_others(node) is not None, "and the node serves on")
    print(f"{count} connections: {growth >> 10} KiB more, {growth // count} bytes each; the "
          f"slowest put and get beside them took {(slowest_s or 0) * 1000:.0f} ms")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--penstockd", required=True)
    arguments = parser.parse_args()
    checks = Checks()
    count = min(CONNECTIONS, raise_own_limit() - SPARE_DESCRIPTORS)
    with TestDirectory("idle") as directory:
        # It raises its own limit: whoever starts it need not.
        resource.setrlimit(resource.RLIMIT_NOFILE,
                           (1024, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        node = NodeProcess(arguments.penstockd, directory.path, "--cores", "2")
        raise_own_limit()
        run(node, checks, count)
        checks.check(node.stop() == 0, "an orderly stop")
        directory.is_kept = checks.failed > 0
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
