#!/usr/bin/env python3
"""bench/import_files.py [--files N] [--bytes N] [--directory DIR] [--rounds N]: importing a
directory of small files, against `cp -r` to the same disk with one sync at its end.

Three ways in turn, each from a cold page cache where we may drop it: `cp -r` and `sync`; `penstock
import --adopt` (hard links); `penstock import` of a TAR of the same files. Prints files/s, medians
of the rounds, and the ratio to `cp -r`, which is to be 0.5 at least.
"""

import argparse
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
FILES_IN_A_FOLDER = 1000


def make_files(folder, count, size):
    source = random.Random(1)
    for number in range(count):
        directory = os.path.join(folder, "set", f"{number // FILES_IN_A_FOLDER:05d}")
        if number % FILES_IN_A_FOLDER == 0:
            os.makedirs(directory)
        with open(os.path.join(directory, f"{number:08d}"), "wb") as file:
            file.write(source.randbytes(size))
    os.sync()


def drop_cache():
    os.sync()
    try:
        with open("/proc/sys/vm/drop_caches", "w", encoding="ascii") as file:
            file.write("3")
    except OSError:
        pass


def seconds(command, syncs):
    drop_cache()
    begin = time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    if syncs:
        os.sync()
    return time.monotonic() - begin


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--bytes", type=int, default=10 << 10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--directory", default=None, help="on the disk that is to be measured")
    parser.add_argument("--penstock", default=os.path.join(ROOT, "out", "penstock"))
    arguments = parser.parse_args()
    work = tempfile.mkdtemp(prefix="penstock-import-", dir=arguments.directory)
    try:
        files, tar = os.path.join(work, "files"), os.path.join(work, "files.tar")
        make_files(files, arguments.files, arguments.bytes)
        subprocess.run(["tar", "cf", tar, "-C", files, "."], check=True)
        target = os.path.join(work, "target")
        ways = {
            "cp -r and sync": (["cp", "-r", files, target], True),
            "import --adopt": ([arguments.penstock, "import", target, "--adopt", files], False),
            "import of a TAR": ([arguments.penstock, "import", target, tar], False),
        }
        taken = {name: [] for name in ways}
        for _ in range(arguments.rounds):
            for name, (command, syncs) in ways.items():
                taken[name].append(seconds(command, syncs))
                shutil.rmtree(target)
        base = statistics.median(taken["cp -r and sync"])
        for name, times in taken.items():
            median = statistics.median(times)
            print(f"{name}: {arguments.files / median:,.0f} files/s, {base / median:.2f} of cp -r")
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
