#!/usr/bin/env python3
"""100,000 buckets on one node: made within a bounded time and memory, all there after kill -9,
a start that takes no longer than it may, and each of them usable.

    many_buckets.py --penstockd PATH [--buckets N]
"""

import argparse
import json
import os
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from node_process import NodeProcess, TestDirectory  # noqa: E402

CONNECTIONS = 8
PIPELINED = 200
CREATION_S_MAX = 300  # of 100,000, on a machine that others use; 30 s when it is quiet
START_S_MAX = 20
BYTES_EACH_MAX = 4096  # of memory: a state is copied while it is made, not once for each


def bucket(number):
    return f"bucket-{number:06}"


def request(number):
    body = b'{"action":"create-bck"}'
    head = (f"POST /v1/buckets/{bucket(number)}?provider=ais HTTP/1.1\r\nHost: n\r\n"
            f"Content-Length: {len(body)}\r\n\r\n")
    return head.encode() + body


def create(node, numbers, failures):
    with node.connect_raw(60) as connection:
        for begin in range(0, len(numbers), PIPELINED):
            some = numbers[begin:begin + PIPELINED]
            connection.sendall(b"".join(request(number) for number in some))
            answers = b""
            while answers.count(b"HTTP/1.1 ") < len(some) or not answers.endswith(b"\r\n\r\n"):
                piece = connection.recv(1 << 16)
                if not piece:
                    break
                answers += piece
            done = answers.count(b"HTTP/1.1 200")
            if done != len(some):
                failures.append((numbers[begin], len(some) - done, answers[:300]))
                return


def buckets_of(node):
    body = json.dumps({"action": "list", "name": "", "value": None}).encode()
    status, _, answer = node.request("GET", "/v1/buckets?provider=ais", body)
    assert status == 200, status
    return {entry["name"] for entry in json.loads(answer)}


def use(node, number):
    target = f"/v1/objects/{bucket(number)}/o?provider=ais"
    assert node.request("PUT", target, b"content")[0] == 200
    assert node.request("GET", target)[2] == b"content"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--penstockd", required=True)
    parser.add_argument("--buckets", type=int, default=100_000)
    options = parser.parse_args()
    wanted = {bucket(number) for number in range(options.buckets)}
    with TestDirectory("many-buckets") as directory:
        node = NodeProcess(options.penstockd, directory.path, "--rpc", "off")
        memory = node.resident_bytes()
        failures = []
        begin = time.monotonic()
        threads = [threading.Thread(target=create, args=(
            node, range(first, options.buckets, CONNECTIONS), failures))
            for first in range(CONNECTIONS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        seconds = time.monotonic() - begin
        assert not failures, failures[0]
        each = (node.resident_bytes() - memory) / options.buckets
        print(f"{options.buckets} buckets in {seconds:.1f} s, {each:.0f} bytes of memory each")
        assert seconds < CREATION_S_MAX * max(options.buckets / 100_000, 0.1), seconds
        assert each < BYTES_EACH_MAX, each
        assert buckets_of(node) == wanted
        for number in (0, options.buckets // 2, options.buckets - 1):
            use(node, number)
        node.kill()
        begin = time.monotonic()
        node = NodeProcess(options.penstockd, directory.path, "--rpc", "off")
        seconds = time.monotonic() - begin
        print(f"started in {seconds:.2f} s")
        assert seconds < START_S_MAX, seconds
        assert buckets_of(node) == wanted
        use(node, 1)
        status, _, _ = node.act("DELETE", f"/v1/buckets/{bucket(1)}?provider=ais", "destroy-bck")
        assert status == 200, status
        assert buckets_of(node) == wanted - {bucket(1)}
        assert node.stop() == 0
    print("ok")


if __name__ == "__main__":
    main()
