#!/usr/bin/env python3
"""Runs tests/rpc/interop.rb, a MessagePack-RPC client in Ruby, against a node of its own, over both
kinds of connection.

    tests/rpc/interop_ruby.py --penstockd out/penstockd

The last line is "N passed, N failed".
"""

import argparse
import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
from node_process import Checks, NodeProcess, TestDirectory  # noqa: E402


def is_installed():
    try:
        return subprocess.run(["ruby", "-e", 'require "neovim"'], stderr=subprocess.DEVNULL,
                              timeout=60).returncode == 0
    except FileNotFoundError:
        return False


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--penstockd", required=True)
    penstockd = os.path.abspath(parser.parse_args().penstockd)
    if not is_installed():
        print("skipped: Debian's ruby-neovim is not installed")
        return 77
    checks = Checks()
    with TestDirectory("rpc-interop-ruby") as directory:
        node = NodeProcess(penstockd, directory.path, "--rpc", "127.0.0.1:0", "--rpc-socket",
                           os.path.join(directory.path, "s"))
        try:
            for address in ("unix:" + node.ready["rpc_socket"], node.ready["rpc"]):
                done = subprocess.run(["ruby", os.path.join(HERE, "interop.rb"), address],
                                      capture_output=True, text=True, timeout=120)
                print(done.stdout, done.stderr, sep="", end="")
                counts = re.findall(r"^(\d+) passed, (\d+) failed$", done.stdout, re.M)
                checks.check(done.returncode == 0 and counts, f"{address}: {done.returncode}")
                if counts:
                    checks.passed += int(counts[0][0])
                    checks.failed += int(counts[0][1])
        finally:
            checks.check(node.stop() == 0, "the node stops in an orderly way")
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
