#!/usr/bin/env python3
"""embedded_test.py PENSTOCKD BUILD-DIRECTORY: the embedded library as it is installed: the example
builds against it alone, does what it says, and shares its directory with penstockd."""

import os
import random
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.dirname(HERE))
from node_process import Checks, NodeProcess, TestDirectory  # noqa: E402


class Example:
    def __init__(self, program, directory):
        self.program, self.directory = program, directory

    def run(self, *words, content=b""):
        done = subprocess.run([self.program, self.directory, *words], input=content,
                              capture_output=True, timeout=30)
        return done.returncode, done.stdout, done.stderr.decode()


def check_example(checks, example, objects):
    checks.check(example.run("create", "b")[0] == 0, "create")
    checks.check(example.run("create", "b")[0] == 1, "create again: 1")
    for name, content in objects.items():
        status, _, error = example.run("put", "b", name, content=content)
        checks.check(status == 0, f"put {name}: {error}")
    for name, content in objects.items():
        checks.check(example.run("get", "b", name)[:2] == (0, content), f"get {name}")
    checks.check(example.run("ls", "b")[1].decode().splitlines() == sorted(objects), "ls")
    checks.check(example.run("get", "b", "nope")[0] == 3, "get of nothing: 3")
    checks.check(example.run("get", "nobucket", "nope")[0] == 3, "get in no bucket: 3")
    checks.check(example.run("ls", "nobucket")[0] == 3, "ls of no bucket: 3")
    checks.check(example.run("frobnicate", "b")[0] == 1, "an unknown command: 1")
    checks.check(example.run("put", "b", "../x", content=b"x")[0] == 1, "a bad name: 1")


def check_sharing(checks, penstockd, example, directory, objects):
    node = NodeProcess(penstockd, directory)
    for name, content in objects.items():
        status, _, body = node.request("GET", f"/v1/objects/b/{name}?provider=ais")
        checks.check((status, body) == (200, content), f"the node serves {name}")
    status, _, error = example.run("ls", "b")
    checks.check(status == 1 and str(node.pid) in error, f"locked by the node: {status} {error!r}")
    node.create_bucket("of-node")
    node.request("PUT", "/v1/objects/of-node/x?provider=ais", b"from the node")
    node.request("DELETE", f"/v1/objects/b/{next(iter(objects))}?provider=ais")
    checks.check(node.stop() == 0, "stop")
    checks.check(example.run("get", "of-node", "x")[:2] == (0, b"from the node"), "and the reverse")
    checks.check(example.run("get", "b", next(iter(objects)))[0] == 3, "a deletion, too")
    checks.check(example.run("rm", "b", list(objects)[1])[0] == 0, "rm")
    checks.check(example.run("get", "b", list(objects)[1])[0] == 3, "get after rm: 3")


def main():
    penstockd, build = (os.path.abspath(path) for path in sys.argv[1:3])
    checks = Checks()
    with TestDirectory("embedded-test") as directory:
        program = os.path.join(directory.path, "out", "examples", "embedded")
        subprocess.run([os.path.join(ROOT, "examples", "embedded", "build"), build, program],
                       check=True)
        source = random.Random(2)
        objects = {name: source.randbytes(size) for name, size in
                   (("a/empty", 0), ("a/small", 100), ("b/medium", 131_072),
                    ("c/large", 3_000_001))}
        example = Example(program, os.path.join(directory.path, "data"))
        check_example(checks, example, objects)
        check_sharing(checks, penstockd, example, directory.path, objects)
        directory.is_kept = checks.failed > 0
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
