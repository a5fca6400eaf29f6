#!/usr/bin/env python3
"""penstock_bench_test.py --penstockd PATH --penstock-bench PATH: the load generator against the
node that is shipped, and against a server that stops for 100 ms in each second, whose delay the
open loop must show and the closed loop hides."""

import argparse
import json
import os
import socketserver
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from node_process import Checks, NodeProcess, TestDirectory  # noqa: E402

CHECKS = Checks()
PAUSE_S, PERIOD_S = 0.1, 1.0


class Pausing(socketserver.ThreadingTCPServer):
    """Answers every request with 100 bytes, but stops for 100 ms as each second begins."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64

    class Handler(socketserver.BaseRequestHandler):
        ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + b"x" * 100

        def handle(self):
            received = b""
            while True:
                piece = self.request.recv(65536)
                if not piece:
                    return
                received += piece
                while b"\r\n\r\n" in received:
                    received = received.partition(b"\r\n\r\n")[2]
                    within = time.monotonic() % PERIOD_S
                    if within < PAUSE_S:
                        time.sleep(PAUSE_S - within)
                    self.request.sendall(self.ANSWER)


class Bench:
    def __init__(self, program):
        self.program = program

    def run(self, *arguments, expected=0):
        done = subprocess.run([self.program, "--quiet", "--json", "-", *arguments],
                              capture_output=True, text=True, timeout=120, check=False)
        CHECKS.check(done.returncode == expected,
                     f"{arguments}: status {done.returncode}, {done.stderr}")
        return json.loads(done.stdout) if done.returncode == 0 else done.stderr


def check_document(document, op, loop):
    for key in ("target", "op", "loop", "rate_asked", "operations", "errors", "seconds",
                "operations_per_s", "bytes", "latency_us", "server_cpu_us_per_op",
                "missed_schedules"):
        CHECKS.check(key in document, f"{op}: no {key}")
    latency = document["latency_us"]
    CHECKS.check(document["op"] == op and document["loop"] == loop, f"{op}: {document['op']}")
    CHECKS.check(document["operations"] > 0, f"{op}: nothing was done")
    CHECKS.check(document["errors"] == 0, f"{op}: {document.get('first_error')}")
    CHECKS.check(latency["p50"] <= latency["p90"] <= latency["p99"] <= latency["p99_9"]
                  <= latency["max"], f"{op}: {latency['p50']} ... {latency['max']}")
    counted = sum(count for _, count in latency["histogram"])
    CHECKS.check(counted == document["operations"] + document["errors"],
                  f"{op}: the histogram holds {counted} of {document['operations']}")


def node_operations(bench, node, socket_path):
    short = ("--duration", "300ms", "--objects", "200")
    operations = ("get", "put", "range", "member", "list", "mix:get=90,put=10")
    for target in (node.url, "unix:" + socket_path):
        for op in operations + (("get_many",) if target.startswith("unix:") else ()):
            bucket = "shards" if op == "member" else "objects"
            for loop in (("--rate", "200"), ("--clients", "4")):
                size = "uniform:100-5000"
                document = bench.run("--target", target, "--bucket", bucket, "--op", op, "--size",
                                     size, *loop, *short)
                if isinstance(document, str):
                    continue
                check_document(document, op, "open" if loop[0] == "--rate" else "closed")
                CHECKS.check(document["server_cpu_us_per_op"] is not None, f"{op}: no CPU time")


def descriptors(bench, socket_path):
    """More than the node would lease if nothing were released, and more than it may have open."""
    for bucket, size, clients, batch in (("small", "1KiB-64KiB", 4, 64), ("large", "1MiB", 2, 4)):
        size = "uniform:" + size if "-" in size else size
        for op in ("get_many", "get"):
            for loop in (("--clients", str(clients)), ("--rate", "100", "--connections", "2")):
                document = bench.run("--target", "unix:" + socket_path, "--bucket", bucket, "--op",
                                     op, "--as", "fd", "--batch", str(batch), "--size", size,
                                     "--objects", "100", "--duration", "1s", *loop)
                if not isinstance(document, str):
                    check_document(document, op, "closed" if loop[0] == "--clients" else "open")


def refuses(bench, node):
    for arguments in (("--target", node.url, "--op", "get_many"), ("--target", "gopher://x"),
                      ("--target", node.url, "--as", "fd"),
                      ("--target", "unix:/x", "--op", "put", "--as", "fd"),
                      ("--target", "unix:/x", "--as", "paper"),
                      ("--target", node.url, "--op", "mix:get=50"), ("--op", "get"),
                      ("--target", node.url, "--size", "many"),
                      ("--target", "static+http://h", "--op", "put"),
                      ("--target", node.url, "--clients", "4", "--connections", "2")):
        bench.run(*arguments, expected=2)
    error = bench.run("--target", "http://127.0.0.1:1", expected=1)
    CHECKS.check("cannot connect" in error, error)
    bench.run("--target", node.url, "--bucket", "nothing-here", "--no-prepare", "--duration",
              "100ms", expected=1)


def pauses(bench):
    """A tenth of the time nobody answers: one in a hundred waits 90 ms or more."""
    with Pausing(("127.0.0.1", 0), Pausing.Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        target = f"static+http://127.0.0.1:{server.server_address[1]}"
        common = ("--target", target, "--size", "100", "--duration", "4s", "--no-prepare")
        open_loop = bench.run(*common, "--rate", "200", "--connections", "4")
        p99_ms = open_loop["latency_us"]["p99"] / 1000
        CHECKS.check(70 <= p99_ms <= 130, f"open loop: p99 {p99_ms} ms of a pause of 100 ms")
        CHECKS.check(open_loop["missed_schedules"] > 0, "open loop: nothing was late")
        closed_loop = bench.run(*common, "--clients", "1")
        hidden_ms = closed_loop["latency_us"]["p99"] / 1000
        CHECKS.check(hidden_ms < 50,
                     f"closed loop: p99 {hidden_ms} ms, which should hide the pause")
        server.shutdown()


def pictures(bench, node, directory):
    path = os.path.join(directory, "latency.svg")
    if subprocess.run(["which", "gnuplot"], capture_output=True, check=False).returncode != 0:
        print("skipped: no gnuplot for the picture")
        return
    bench.run("--target", node.url, "--bucket", "objects", "--objects", "200", "--size",
              "uniform:100-5000", "--duration", "100ms", "--picture", path)
    with open(path, encoding="utf-8") as file:
        CHECKS.check("<svg" in file.read(), "the picture is none")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--penstockd", required=True)
    parser.add_argument("--penstock-bench", required=True)
    arguments = parser.parse_args()
    bench = Bench(arguments.penstock_bench)
    with TestDirectory("bench") as directory:
        socket_path = os.path.join(directory.path, "rpc")
        node = NodeProcess(arguments.penstockd, directory.path, "--rpc-socket", socket_path)
        try:
            node_operations(bench, node, socket_path)
            descriptors(bench, socket_path)
            refuses(bench, node)
            pictures(bench, node, directory.path)
        finally:
            node.stop()
    pauses(bench)
    return CHECKS.finish()


if __name__ == "__main__":
    sys.exit(main())
