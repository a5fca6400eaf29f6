#!/usr/bin/env python3
"""slow_reader.py --penstockd PATH: a client that stops reading keeps its bytes.

In the middle of a large and of a small object the client stops reading for 5 s; meanwhile the
object is overwritten, deleted, and much else is written. It still gets the old bytes, all of them.
Ends with "N passed, N failed".
"""

import argparse
import os
import socket
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from node_process import Checks, NodeProcess, TestDirectory  # noqa: E402

BUCKET = "slow"
SIZES = {"small": 100_000, "large": 16 << 20}
PAUSE_S = 5


def start_reading(node, name):
    """A connection with a small receive buffer that has read the head and a little of the body."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(20)
    connection.connect((node.host, node.port))
    connection.sendall(f"GET /v1/objects/{BUCKET}/{name}?provider=ais HTTP/1.1\r\n"
                       f"Host: {node.host}\r\n\r\n".encode())
    received = b""
    while b"\r\n\r\n" not in received:
        received += connection.recv(1024)
    return connection, received.partition(b"\r\n\r\n")[2]


def read_rest(connection, received, size):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    content = bytearray(received)
    while len(content) < size:
        piece = connection.recv(1 << 20)
        if not piece:
            break
        content += piece
    return bytes(content)


def put(node, name, content):
    return node.request("PUT", f"/v1/objects/{BUCKET}/{name}?provider=ais", content)[0]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--penstockd", required=True)
    arguments = parser.parse_args()
    checks = Checks()
    with TestDirectory("slow-reader") as directory:
        node = NodeProcess(arguments.penstockd, directory.path)
        node.create_bucket(BUCKET)
        old = {}
        for change in ("overwritten", "deleted"):
            for kind, size in SIZES.items():
                name = f"{kind}-{change}"
                old[name] = os.urandom(size)
                checks.check(put(node, name, old[name]) == 200, f"PUT {name}")
        # Read once before, so that the large ones go out by sendfile from verified pages.
        for name in old:
            status, _, content = node.request("GET", f"/v1/objects/{BUCKET}/{name}?provider=ais")
            checks.check(status == 200 and content == old[name], f"GET {name}")
        readers = {name: start_reading(node, name) for name in old}
        for name in old:
            if name.endswith("overwritten"):
                status = put(node, name, os.urandom(len(old[name])))
                checks.check(status == 200, f"overwrite {name}")
            else:
                status = node.request("DELETE", f"/v1/objects/{BUCKET}/{name}?provider=ais")[0]
                checks.check(status == 200, f"DELETE {name}")
        end = time.monotonic() + PAUSE_S
        count = 0
        while time.monotonic() < end:
            count += 1
            put(node, f"other-{count}", os.urandom(100_000))
        for name, (connection, received) in readers.items():
            checks.check(read_rest(connection, received, len(old[name])) == old[name],
                         f"{name}: a slow reader got other bytes than the old ones")
            connection.close()
        checks.check(node.stop() == 0, "orderly stop")
        directory.is_kept = checks.failed > 0
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
