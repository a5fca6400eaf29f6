#!/usr/bin/env python3
"""library_test.py PENSTOCKD BUILD-DIRECTORY: the client library as it is installed: the example
builds against it alone, and does with a node what it says, over each kind of connection; so does a
program that makes every call (all_calls.cc)."""

import os
import random
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.dirname(HERE))
from node_process import (Checks, NodeProcess, TestDirectory,  # noqa: E402
                          make_certificate)

MIB = 1 << 20


class Example:
    def __init__(self, program, address):
        self.program, self.address = program, address

    def run(self, *words, content=b""):
        done = subprocess.run([self.program, self.address, *words], input=content,
                              capture_output=True, timeout=60)
        return done.returncode, done.stdout, done.stderr.decode()


def check_objects(checks, example, node, bucket):
    source = random.Random(3)
    checks.check(example.run("create", bucket)[0] == 0, "create")
    checks.check(example.run("create", bucket)[0] == 1, "create again: 1")
    small = {f"s{index:03d}": source.randbytes(index * 7) for index in range(200)}
    for name, content in small.items():
        status, _, error = example.run("put", bucket, name, content=content)
        checks.check(status == 0, f"put {name}: {error}")
    checks.check(example.run("get", bucket, "s100")[:2] == (0, small["s100"]), "get")
    checks.check(example.run("many", bucket, *small)[:2] == (0, b"".join(small.values())), "many")
    checks.check(example.run("ls", bucket)[1].decode().split() == sorted(small), "ls")
    checks.check(example.run("stat", bucket, "s010")[1].startswith(b"70 "), "stat")
    large = {"l0": source.randbytes(20 * MIB + 5), "l1": source.randbytes(700_000),
             "l2": source.randbytes(700_000)}
    for name, content in large.items():
        node.request("PUT", f"/v1/objects/{bucket}/{name}?provider=ais", content)
    checks.check(example.run("get", bucket, "l0")[:2] == (0, large["l0"]), "get in ranges")
    checks.check(example.run("many", bucket, "l1", "s005", "l2")[:2]
                 == (0, large["l1"] + small["s005"] + large["l2"]), "more than a reply holds")
    checks.check(example.run("many", bucket, "l0", "s005")[:2] == (0, large["l0"] + small["s005"]),
                 "a large one among small ones")
    checks.check(example.run("get", bucket, "nope")[0] == 3, "get of nothing: 3")
    checks.check(example.run("many", bucket, "s001", "nope")[0] == 3, "many with nothing: 3")
    checks.check(example.run("get", "nobucket", "nope")[0] == 3, "get in no bucket: 3")
    status, _, error = example.run("put", bucket, "parts", content=large["l0"])
    checks.check(status == 0, f"a put of a large one: {error}")
    checks.check(example.run("get", bucket, "parts")[1] == large["l0"], "what was put")
    if example.address.startswith("unix:"):
        checks.check(example.run("share", bucket, "l0")[:2] == (0, large["l0"]), "share, its file")
        checks.check(example.run("share", bucket, "s100")[:2] == (0, small["s100"]), "share, small")
    else:
        checks.check(example.run("share", bucket, "l0")[0] == 1, "no descriptor here")
    checks.check(example.run("rm", bucket, "s100")[0] == 0, "rm")
    checks.check(example.run("rm", bucket, "s100")[0] == 3, "rm again: 3")
    checks.check(example.run("destroy", bucket)[0] == 0, "destroy")


def check_all_calls(checks, program, address, *ca_file):
    done = subprocess.run([program, address, "calls", *ca_file], capture_output=True, text=True,
                          timeout=120)
    for line in done.stdout.splitlines()[:-1]:
        print(f"    {address}: {line}")
    counts = re.fullmatch(r"(\d+) passed, (\d+) failed", (done.stdout.splitlines() or [""])[-1])
    checks.check(counts is not None and done.returncode == int(counts[2] != "0"),
                 f"{address}: all calls end: {done.stderr}")
    if counts:
        checks.passed += int(counts[1])
        checks.failed += int(counts[2])


def check_tls(checks, penstockd, directory, program):
    """The same over TLS, and servers that do not prove who they are."""
    certificate, key = make_certificate(directory, "node")
    other, _ = make_certificate(directory, "other")
    elsewhere = make_certificate(directory, "elsewhere", address="127.0.0.2")
    settings = os.path.join(directory, "tls.toml")
    for shown, ca_file in (((certificate, key), certificate), (elsewhere, elsewhere[0])):
        with open(settings, "w", encoding="utf-8") as file:
            file.write(f'[tls]\ncertificate = "{shown[0]}"\nkey = "{shown[1]}"\nloopback = true\n')
        node = NodeProcess(penstockd, directory, "--rpc", "127.0.0.1:0", "--settings", settings)
        try:
            checks.check(node.ready["tls"] and node.ready["rpc_tls"], "the ready file says so")
            addresses = (f"https://{node.ready['http']}", f"tls://{node.ready['rpc']}")
            if shown[0] == certificate:
                for address in addresses:
                    check_all_calls(checks, program, address, ca_file)
                refused = [(address, wrong) for address in addresses for wrong in ([other], [])]
                plain = [f"http://{node.ready['http']}", f"tcp://{node.ready['rpc']}"]
                refused += [(address, []) for address in plain]
            else:
                refused = [(address, [ca_file]) for address in addresses]  # not for 127.0.0.1
            for address, wrong in refused:
                done = subprocess.run([program, address, "calls", *wrong], capture_output=True,
                                      text=True, timeout=120)
                text = done.stdout
                checks.check(done.returncode == 1 and "FAILED: create_bucket\n" in text,
                             f"{address} with {wrong}: refused")
                checks.check(address in plain or "is not believed" in text, f"{address}: why")
        finally:
            checks.check(node.stop() == 0, "the node stops in an orderly way")


def main():
    penstockd, build = (os.path.abspath(path) for path in sys.argv[1:3])
    checks = Checks()
    with TestDirectory("client-library") as directory:
        program = os.path.join(directory.path, "out", "examples", "client")
        calls = os.path.join(directory.path, "out", "tests", "all_calls")
        for command in ([build, program], [build, calls, os.path.join(HERE, "all_calls.cc")]):
            subprocess.run([os.path.join(ROOT, "examples", "client", "build"), *command],
                           check=True)
        node = NodeProcess(penstockd, directory.path, "--rpc", "127.0.0.1:0", "--rpc-socket",
                           os.path.join(directory.path, "s"))
        try:
            for address in ("unix:" + node.ready["rpc_socket"], "tcp://" + node.ready["rpc"],
                            node.url):
                check_objects(checks, Example(program, address), node, "b")
                check_all_calls(checks, calls, address)
            node.stop()
            check_tls(checks, penstockd, directory.path, calls)
        finally:
            checks.check(node.stop() == 0, "the node stops in an orderly way")
        directory.is_kept = checks.failed > 0
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
