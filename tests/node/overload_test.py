#!/usr/bin/env python3
"""overload_test.py PENSTOCKD: more than a node takes on: what is above its limits is refused at
once with 503 and Retry-After, class by class; metadata, HEAD and health never; memory stays
bounded.

Ends with "N passed, N failed".
"""

import os
import socket
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from node_process import Checks, NodeProcess, TestDirectory, read_answer  # noqa: E402

IN_FLIGHT = 4
BUFFER_BYTES = 4 << 20


def begin_put(node, name, size=100):
    """An upload whose body does not come."""
    connection = node.connect_raw()
    connection.sendall(f"PUT /v1/objects/b/{name} HTTP/1.1\r\nHost: h\r\n"
                       f"Content-Length: {size}\r\n\r\n".encode())
    return connection


def metric(node, name):
    text = node.request("GET", "/metrics")[2].decode()
    return next(float(line.split()[-1]) for line in text.splitlines() if line.startswith(name))


def wait_for(condition, timeout_s=10):
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def check_classes(checks, node):
    held = [begin_put(node, f"held{index}") for index in range(IN_FLIGHT)]
    checks.check(wait_for(lambda: metric(node, 'penstock_in_flight{class="write"}') == IN_FLIGHT),
                 "uploads are under way")
    status, headers, content = node.request("PUT", "/v1/objects/b/more", b"x")
    checks.check(status == 503 and headers["Retry-After"] == "1" and b"ErrBusy" in content,
                 f"one more: {status} {content}")
    checks.check(node.request("DELETE", "/v1/objects/b/o")[0] == 503, "a deletion is a write")
    for method, target in (("GET", "/v1/objects/b/o"), ("HEAD", "/v1/objects/b/o"),
                           ("GET", "/v1/buckets/b"), ("GET", "/v1/daemon?what=smap"),
                           ("HEAD", "/v1/buckets/b"), ("GET", "/health"), ("GET", "/metrics")):
        checks.check(node.request(method, target)[0] == 200, f"{method} {target}: not a write")
    status = node.act("POST", "/v1/buckets/another?provider=ais", "create-bck")[0]
    checks.check(status == 200, "metadata is changed all the same")
    checks.check(metric(node, 'penstock_refused_total{class="write"}') == 2, "counted")

    held[0].sendall(b"x" * 100)
    checks.check(read_answer(held[0])[0] == 200, "what was taken on is done")
    checks.check(node.request("PUT", "/v1/objects/b/more", b"x")[0] == 200, "then there is room")
    for connection in held:
        connection.close()
    checks.check(wait_for(lambda: metric(node, 'penstock_in_flight{class="write"}') == 0),
                 "who goes away takes his share along")


def check_memory(checks, node):
    """Clients that ask for large objects and do not read them."""
    large = os.urandom(32 << 20)
    checks.check(node.request("PUT", "/v1/objects/b/large", large)[0] == 200, "a large object")
    before = node.resident_bytes()
    held = []
    refused = 0
    for _ in range(200):
        connection = node.connect_raw()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        # No page of it is known as verified: it goes through buffers.
        connection.sendall(b"GET /v1/objects/b/large HTTP/1.1\r\nHost: h\r\n"
                           b"Range: bytes=1-\r\n\r\n")
        held.append(connection)
    for connection in held:
        head = connection.recv(12)
        refused += head.endswith(b"503")
    used = metric(node, "penstock_buffer_bytes")
    checks.check(used <= BUFFER_BYTES + IN_FLIGHT * (2 << 20) + (16 << 10) * 200,
                 f"buffers: {used:,.0f} bytes, {refused} refused")
    grown = node.resident_bytes() - before
    checks.check(grown < 64 << 20, f"memory: {grown:,} bytes more")
    checks.check(node.request("HEAD", "/v1/objects/b/large")[0] == 200, "HEAD goes on")
    for connection in held:
        connection.close()
    checks.check(wait_for(lambda: metric(node, "penstock_buffer_bytes") < BUFFER_BYTES),
                 "it comes back")
    checks.check(node.request("GET", "/v1/objects/b/large")[2] == large, "and all is well again")


def main():
    penstockd = sys.argv[1]
    checks = Checks()
    with TestDirectory("overload") as directory:
        settings = os.path.join(directory.path, "node.toml")
        with open(settings, "w", encoding="utf-8") as file:
            file.write(f"[limits]\nin_flight_max = {IN_FLIGHT}\n"
                       f"buffer_bytes_max = {BUFFER_BYTES}\n")
        node = NodeProcess(penstockd, directory.path, "--settings", settings, "--cores", "1")
        try:
            node.create_bucket("b")
            node.request("PUT", "/v1/objects/b/o", b"content")
            check_classes(checks, node)
            check_memory(checks, node)
            checks.check(node.stop() == 0, "stop")
        finally:
            node.kill()
        directory.is_kept = checks.failed > 0
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
