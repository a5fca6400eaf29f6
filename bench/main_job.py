#!/usr/bin/env python3
"""The main job of ./run: starts a node, lets out/penstock-main-job do the work, shows the result.

The upload and the two reading phases are done by a small native loader, because a Python client
reads about 500 objects a second and would measure itself. That AIStore's unmodified SDK gets the
same bytes is checked in a phase of its own, on a sample, where PyPI can be reached.
"""

import argparse
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SOURCE = "/usr/share/tuxpaint/stamps"
SDK = "aistore==2.0.0"
SDK_SAMPLE = 300
DEFAULT_PORT = 51080
READY_TIMEOUT_S = 20


def say(text=""):
    print(text, flush=True)


def is_port_free(port):
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def start_node(directory):
    """Starts penstockd on a fresh directory; gives the process and its ready file's content."""
    ready_file = os.path.join(directory, "ready.json")
    port = DEFAULT_PORT if is_port_free(DEFAULT_PORT) else 0
    log = open(os.path.join(directory, "penstockd.log"), "wb")
    node = subprocess.Popen(
        [os.path.join(ROOT, "out", "penstockd"), "--data", os.path.join(directory, "data"),
         "--http", f"127.0.0.1:{port}", "--ready-file", ready_file],
        stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
    deadline = time.monotonic() + READY_TIMEOUT_S
    while time.monotonic() < deadline and node.poll() is None:
        if os.path.exists(ready_file):
            with open(ready_file, encoding="utf-8") as file:
                return node, json.load(file)
        time.sleep(0.005)
    with open(log.name, encoding="utf-8", errors="replace") as file:
        say(file.read()[-2000:])
    raise SystemExit("run: penstockd did not become ready")


def stop_node(node):
    if node.poll() is None:
        node.send_signal(signal.SIGTERM)
        try:
            node.wait(timeout=15)
        except subprocess.TimeoutExpired:
            node.kill()
            node.wait()
    return node.returncode


def bytes_on_disk(directory):
    total = 0
    for folder, _, names in os.walk(directory):
        for name in names:
            try:
                total += os.stat(os.path.join(folder, name)).st_blocks * 512
            except FileNotFoundError:
                pass  # a segment that was just unlinked
    return total


def sdk_python():
    """A Python with the unmodified SDK in a virtual environment; None if it cannot be had."""
    directory = os.path.join(ROOT, "out", "venv-" + SDK.replace("==", "-"))
    python = os.path.join(directory, "bin", "python3")
    check = [python, "-c", "import aistore"]
    if os.path.exists(python) and subprocess.run(check, capture_output=True).returncode == 0:
        return python
    say(f"  installing {SDK} into out/ (once)")
    for command in ([sys.executable, "-m", "venv", directory],
                    [python, "-m", "pip", "install", "-q", "--disable-pip-version-check", SDK]):
        done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        if done.returncode != 0:
            say("  the SDK could not be installed: " + done.stderr.strip().splitlines()[-1][:200])
            return None
    return python


SDK_CHECK = """
import sys, os
from aistore import Client
endpoint, source, names = sys.argv[1], sys.argv[2], sys.stdin.read().split("\\n")
bucket = Client(endpoint).bucket("stamps")
good = 0
for name in names:
    with open(os.path.join(source, name), "rb") as file:
        good += bucket.object(name).get_reader().read_all() == file.read()
print(good)
"""


def check_with_sdk(http):
    """Reads a random sample of the objects with AIStore's own SDK and compares every byte."""
    python = sdk_python()
    if python is None:
        return None
    names = []
    for folder, _, files in os.walk(SOURCE):
        names += [os.path.relpath(os.path.join(folder, name), SOURCE) for name in files]
    names = random.Random(1).sample(sorted(names), SDK_SAMPLE)
    done = subprocess.run([python, "-c", SDK_CHECK, f"http://{http}", SOURCE],
                          input="\n".join(names), text=True, capture_output=True)
    if done.returncode != 0:
        raise SystemExit("run: the SDK failed:\n" + done.stderr[-2000:])
    return int(done.stdout)


def show_table(result, disk_bytes, sdk_good):
    say()
    say(f"  {'phase':24}{'s':>8}{'items/s':>11}{'MB/s':>9}{'p50 ms':>9}{'p99 ms':>9}"
        f"{'CPU us/item':>13}")
    for phase in result["phases"]:
        say(f"  {phase['name']:24}{phase['seconds']:8.2f}{phase['samples_per_s']:11,.0f}"
            f"{phase['mb_per_s']:9.1f}{phase['p50_ms']:9.2f}{phase['p99_ms']:9.2f}"
            f"{phase['cpu_us_per_sample']:13.1f}")
    say()
    say(f"  {result['objects_verified']:,} of {result['files']:,} objects and "
        f"{result['members_verified']:,} members of {result['shards']} shards have the source's"
        f" bytes; {result['mismatches']} mismatches")
    if sdk_good is not None:
        say(f"  {sdk_good} of {SDK_SAMPLE} objects read by the unmodified SDK"
            f" ({SDK.replace('==', ' ')}) have them, too")
    say(f"  on disk: {disk_bytes / 1e6:.1f} MB for {2 * result['content_bytes'] / 1e6:.1f} MB of"
        " files, stored twice (as objects and in shards)")
    say("  (put: an item is an object or a shard; read: a sample, all files of one stem; CPU: the"
        " node's)")


def write_result(path, result):
    temporary = f"{path}.{os.getpid()}"
    with open(temporary, "w", encoding="utf-8") as file:
        json.dump(result, file)
        file.write("\n")
    os.replace(temporary, path)


def serve(node, http):
    say()
    say(f"  The node serves at http://{http} until Ctrl-C. Three commands to try:")
    say(f"    curl -s 'http://{http}/v1/objects/stamps/animals/amphibians/frog.txt?provider=ais'")
    say(f"    curl -s 'http://{http}/v1/objects/stamps-shards/stamps-000000.tar?provider=ais"
        "&archpath=animals/amphibians/frog.txt'")
    say(f"    out/venv-{SDK.replace('==', '-')}/bin/python3 -c \"from aistore import Client;"
        f" bucket = Client('http://{http}').bucket('stamps');"
        " print([entry.name for entry in bucket.list_all_objects(prefix='animals/')][:5])\"")
    stopped = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.append(True))
    while not stopped and node.poll() is None:
        time.sleep(0.1)
    if not stopped:
        raise SystemExit(f"run: the node ended by itself with status {node.returncode}")
    say("\n  stopping")


def main():
    parser = argparse.ArgumentParser(prog="./run")
    parser.add_argument("--once", action="store_true", help="exit after the job")
    parser.add_argument("--result", metavar="FILE", help="gets one JSON object after the job")
    arguments = parser.parse_args()

    directory = tempfile.mkdtemp(prefix="penstock-run-")
    node = None
    try:
        start = time.monotonic()
        node, ready = start_node(directory)
        http = ready["http"]
        say(f"penstockd {ready['version']} on {http}: {ready['io_backend']},"
            f" {ready['cores']} cores, ready after {(time.monotonic() - start) * 1000:.0f} ms,"
            f" data in {directory}/data")
        loader_json = os.path.join(directory, "loader.json")
        loader = subprocess.run(
            [os.path.join(ROOT, "out", "penstock-main-job"), "--http", http, "--source", SOURCE,
             "--json", loader_json, "--server-pid", str(ready["pid"])], stdin=subprocess.DEVNULL)
        if loader.returncode != 0:
            raise SystemExit("run: the loader failed")
        with open(loader_json, encoding="utf-8") as file:
            result = json.load(file)
        sdk_good = check_with_sdk(http)
        disk_bytes = bytes_on_disk(os.path.join(directory, "data"))
        show_table(result, disk_bytes, sdk_good)
        if arguments.result:
            write_result(arguments.result, {"http": http, "pid": ready["pid"], **result,
                                            "bytes_on_disk": disk_bytes})
        is_good = result["mismatches"] == 0 and sdk_good in (None, SDK_SAMPLE)
        if not arguments.once:
            serve(node, http)
        return 0 if is_good else 1
    finally:
        if node is not None:
            stop_node(node)
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
