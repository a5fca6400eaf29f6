#!/usr/bin/env python3
"""tar_backup.py --penstockd PATH: what `tar` alone can do with a data directory.

While a node serves writers, `tar cf` copies its directory; restored elsewhere, a node starts there
and holds everything that was acknowledged before tar began. Compaction is off meanwhile, and
objects are small: a segment or an object file that is removed between tar's look at its directory
and its turn is missing in the copy (its names answer an error there). And the real `tar xf` of all
segments in order, with the deletions applied, gives the small objects back, byte for byte.
Ends with "N passed, N failed".
"""

import argparse
import http.client
import os
import random
import shutil
import subprocess
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from node_process import Checks, NodeProcess, TestDirectory  # noqa: E402

BUCKET = "backup"
WRITERS = 4
ROUNDS = 3
# Small segments: some are begun while tar reads.
SETTINGS = "[store]\nsegment_bytes = 4194304\ncompaction = false\n"


def target(name):
    return f"/v1/objects/{BUCKET}/{name}?provider=ais"


class Writer(threading.Thread):
    """Changes names of its own; knows what was acknowledged last, and what more may be there."""

    def __init__(self, node, index):
        super().__init__()
        self.node, self.random = node, random.Random(index)
        self.names = [f"w{index}/{number:03d}" for number in range(60)]
        self.lock = threading.Lock()
        self.current = {}
        self.later = {name: set() for name in self.names}  # since the snapshot, or under way
        self.must_end = threading.Event()
        self.errors = []

    def run(self):
        connection = self.node.connect()
        try:
            while not self.must_end.is_set():
                self.change(connection)
        except (OSError, http.client.HTTPException) as error:
            self.errors.append(repr(error))

    def change(self, connection):
        name = self.random.choice(self.names)
        is_removal = name in self.current and self.random.random() < 0.2
        size = self.random.choice((100, 3000, 20_000, 100_000))
        content = None if is_removal else self.random.randbytes(size)
        with self.lock:
            self.later[name].add(content)
        connection.request("DELETE" if is_removal else "PUT", target(name), content)
        response = connection.getresponse()
        response.read()
        if response.status != 200:
            self.errors.append(f"{name}: {response.status}")
            return
        with self.lock:
            if is_removal:
                del self.current[name]
            else:
                self.current[name] = content

    def snapshot(self):
        """What is acknowledged now; from here on `later` collects what may replace it."""
        with self.lock:
            # A change under way stays among what may be there.
            for name in self.names:
                self.later[name] = {content for content in self.later[name]
                                    if content != self.current.get(name)}
            return dict(self.current)


def check_restored(node, writers, snapshots, checks):
    """Each name holds what was acknowledged before, or something that was written since."""
    for writer, snapshot in zip(writers, snapshots):
        for name in writer.names:
            status, _, content = node.request("GET", target(name))
            allowed = {snapshot.get(name)} | writer.later[name]
            found = content if status == 200 else None
            checks.check(status in (200, 404) and found in allowed,
                         f"{name} after the restore: {status}, {len(content)} bytes")


def backup(node, directory, number, writers, checks):
    snapshots = [writer.snapshot() for writer in writers]
    archive = os.path.join(directory, f"{number}.tar")
    done = subprocess.run(["tar", "--sort=name", "-cf", archive, "-C", node.directory, "data"],
                          capture_output=True, text=True, check=False)
    # 1: some file changed while it was read, which is the point.
    checks.check(done.returncode in (0, 1), f"tar cf: {done.returncode} {done.stderr[-300:]}")
    return snapshots, archive


def check_extracts(data, stored, directory, checks):
    """The real tar, all segments in order, then the deletions in the order of the log."""
    out = os.path.join(directory, "extracted")
    os.mkdir(out)
    log = os.path.join(data, "log")
    for segment in sorted(os.listdir(log)):
        path = os.path.join(log, segment)
        listed = subprocess.run(["tar", "tf", path], capture_output=True, text=True, check=False)
        checks.check(listed.returncode == 0 and not listed.stderr,
                     f"tar tf {segment}: {listed.stderr[:200]}")
        done = subprocess.run(["tar", "xf", path, "-C", out], capture_output=True, text=True,
                              check=False)
        checks.check(done.returncode == 0, f"tar xf {segment}: {done.stderr[:200]}")
        # What comes later counts: a name may have been written again after its deletion.
        last = {}
        for entry in listed.stdout.splitlines():
            is_deletion = entry.startswith(".penstock/delete/")
            is_extents = entry.startswith(".penstock/object/")
            name = entry.split("/", 2)[2] if is_deletion or is_extents else entry
            last[name] = is_deletion or is_extents
        for name, is_gone in last.items():
            path = os.path.join(out, name)
            if is_gone and os.path.isfile(path):
                os.remove(path)
    found = {}
    root = os.path.join(out, BUCKET)
    for folder, _, names in os.walk(root):
        for name in names:
            path = os.path.join(folder, name)
            with open(path, "rb") as file:
                found[os.path.relpath(path, root)] = file.read()
    small = {name: content for name, content in stored.items() if len(content) <= 128 << 10}
    checks.check(found == small,
                 f"tar gives {len(found)} objects, {len(small)} are stored; "
                 f"{sorted(set(found) ^ set(small))[:5]}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--penstockd", required=True)
    arguments = parser.parse_args()
    checks = Checks()
    with TestDirectory("tar-backup") as directory:
        home = os.path.join(directory.path, "home")
        os.mkdir(home)
        settings = os.path.join(directory.path, "settings.toml")
        with open(settings, "w", encoding="ascii") as file:
            file.write(SETTINGS)
        node = NodeProcess(arguments.penstockd, home, "--settings", settings)
        node.create_bucket(BUCKET)
        writers = [Writer(node, index) for index in range(WRITERS)]
        for writer in writers:
            writer.start()
        for number in range(ROUNDS):
            threading.Event().wait(3)
            snapshots, archive = backup(node, directory.path, number, writers, checks)
            # What may be in the restored directory is known only now.
            restored = os.path.join(directory.path, f"restored{number}")
            os.mkdir(restored)
            done = subprocess.run(["tar", "xf", archive, "-C", restored], capture_output=True,
                                  text=True, check=False)
            checks.check(done.returncode == 0, f"tar xf: {done.stderr[-300:]}")
            copy = NodeProcess(arguments.penstockd, restored)
            check_restored(copy, writers, snapshots, checks)
            checks.check(copy.stop() == 0, "orderly stop of the restored one")
            os.remove(archive)
            shutil.rmtree(restored)
        for writer in writers:
            writer.must_end.set()
        for writer in writers:
            writer.join()
            checks.check(not writer.errors, f"a writer: {writer.errors[:3]}")
        stored = {name: content for writer in writers for name, content in writer.current.items()}
        checks.check(node.stop() == 0, "orderly stop")
        check_extracts(node.data, stored, directory.path, checks)
        directory.is_kept = checks.failed > 0
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
