"""The rows about the store beside its disk: against fio on the same disk, and when it is nearly
full. Each is measured by one function (bench, table)."""

import concurrent.futures
import contextlib
import http.client
import json
import os
import subprocess
import time

from harness import LOAD_CPU, median
from measurements import BUCKET, SEGMENT_BYTES, fill_names, metric, penstock_bench, space_ratio


def fio(bench, **options):
    """One job of fio on the disk of the bench's directory; gives bytes/s."""
    path = os.path.join(bench.directory, "fio")
    done = subprocess.run(
        ["taskset", "-c", LOAD_CPU, "fio", "--name=job", f"--filename={path}", "--direct=1",
         "--ioengine=libaio", "--time_based", "--output-format=json",
         f"--runtime={bench.seconds + 1}",
         *(f"--{name}={value}" for name, value in options.items())],
        capture_output=True, text=True, check=True)
    job = json.loads(done.stdout)["jobs"][0]
    return job["read"]["bw_bytes"] + job["write"]["bw_bytes"]


def drop_cache():
    os.sync()
    with open("/proc/sys/vm/drop_caches", "w", encoding="ascii") as file:
        file.write("3")


def put_against_disk(bench, table):
    """PUT of 64 KiB by 32 writers, and of one object of 256 MiB, against writing in order."""
    node = bench.node("put-disk")
    node.create_bucket(BUCKET)
    large = os.urandom(1 << 20) * 256
    small_rates, large_rates, disk_rates = [], [], []
    for turn in range(bench.rounds):
        disk_rates.append(fio(bench, rw="write", bs="1M", iodepth=4, size="2G"))
        load, _ = bench.load(node, "/", 32, seconds=bench.seconds + 1, script="put.lua",
                             script_arguments=(BUCKET, 64 << 10, f"r{turn}"))
        small_rates.append(load.per_s * (64 << 10))
        begin = time.monotonic()
        node.put(BUCKET, "large", large)
        large_rates.append(len(large) / (time.monotonic() - begin))
    disk = median(disk_rates)
    for what, rates, must in (("PUT 64 KiB durable, 32 writers", small_rates, 0.7),
                              ("PUT 256 MiB", large_rates, 0.8)):
        ratio = median(rates) / disk
        table.add(what, f"{median(rates) / 1e6:,.0f} MB/s, {ratio:.2f} of fio's {disk / 1e6:,.0f}",
                  f"{must} of fio's", ratio >= must)
    bench.stop(node)


def cold_get(bench, table):
    """Each object at most once after the page cache was dropped."""
    objects, size = 40_000 * bench.seconds, 64 << 10
    node = bench.node("cold")
    node.create_bucket(BUCKET)
    selected = ("--objects", objects, "--size", "64KiB", "--connections", 32, "--clients", 32)
    fill_names(node, objects, size)
    ours, theirs = [], []
    for _ in range(bench.rounds):
        drop_cache()
        theirs.append(fio(bench, rw="randread", bs="64k", iodepth=32, size="2G"))
        drop_cache()
        document = penstock_bench(node, "--op", "get", "--popularity", "epoch", "--no-prepare",
                                  "--duration", f"{bench.seconds}s", *selected)
        if document["operations"] > objects:
            raise RuntimeError("objects were read twice: they are too few for this disk")
        ours.append(document["operations_per_s"] * size)
    ratio = median(ours) / median(theirs)
    table.add("GET 64 KiB, cold, random, 32 at once",
              f"{median(ours) / 1e6:,.0f} MB/s, {ratio:.2f} of fio's {median(theirs) / 1e6:,.0f}",
              "0.8 of fio's", ratio >= 0.8)
    bench.stop(node)


def complete_upload(bench, table):
    """An object of as many parts as the contract allows: how long the call that makes it takes."""
    node = bench.node("parts")
    node.create_bucket(BUCKET)
    complete_on(bench, table, node, "")
    second = os.path.join(bench.folder("parts-striped"), "second")
    node = bench.node("parts-striped", "--data", second)
    node.create_bucket(BUCKET)
    node.request("PATCH", f"/v1/buckets/{BUCKET}?provider=ais", json.dumps(
        {"action": "set-bprops", "value": {"chunks": {"objsize_limit": "1MiB"}}}))
    complete_on(bench, table, node, ", striped")


def complete_on(bench, table, node, form):
    parts, clients = 9_999, 8
    seconds = []
    for turn in range(1 if bench.is_quick else bench.rounds):
        target = f"/v1/objects/{BUCKET}/parts-{turn}?provider=ais"
        upload = node.request("POST", target, json.dumps(
            {"action": "mpt-upload", "name": "", "value": None})).decode()

        def put_some(client, target=target, upload=upload):
            connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=60)
            for number in range(client + 1, parts + 1, clients):
                connection.request("PUT", f"{target}&uploadId={upload}&partNumber={number}",
                                   b"p" * 1024)
                response = connection.getresponse()
                if response.status != 200:
                    raise RuntimeError(f"part {number}: {response.status} {response.read()}")
                response.read()

        with concurrent.futures.ThreadPoolExecutor(clients) as pool:
            list(pool.map(put_some, range(clients)))
        message = json.dumps({"action": "mpt-complete", "name": "", "value": [
            {"part-number": number, "etag": ""} for number in range(1, parts + 1)]})
        begin = time.monotonic()
        node.request("POST", f"{target}&uploadId={upload}", message)
        seconds.append(time.monotonic() - begin)
    table.add(f"complete an upload of {parts:,} parts{form}",
              f"{median(seconds) * 1000:.1f} ms", "50 ms", median(seconds) <= 0.05)
    bench.stop(node)


@contextlib.contextmanager
def small_disk(bench, name, disk_bytes):
    """A node's directory whose data lie on an ext4 of their own."""
    folder = bench.folder(name)
    image, point = os.path.join(folder, "image"), os.path.join(folder, "data")
    os.makedirs(point)
    with open(image, "wb") as file:
        file.truncate(disk_bytes)
    subprocess.run(["mkfs.ext4", "-q", "-F", "-m", "0", image], check=True)
    subprocess.run(["mount", "-o", "loop", image, point], check=True)
    try:
        yield
    finally:
        deadline = time.monotonic() + 20
        while subprocess.run(["umount", point], check=False).returncode != 0:
            if time.monotonic() > deadline:
                raise RuntimeError(f"{point} cannot be unmounted")
            time.sleep(0.1)


def overwrite_when_full(bench, table):
    """Random overwriting of a disk that is full to 80 %, for ten minutes, compaction running, at a
    rate that leaves room; against the same without compaction on a disk that takes it all."""
    size, connections, wait_ms = 64 << 10, 16, 20
    disk_bytes, seconds = (2 << 30, 20) if bench.is_quick else (4 << 30, 600)
    waits, figures, names = {}, {}, 0
    for is_compacting, room in ((False, 8), (True, 1)):
        name = f"full-{is_compacting}"
        with small_disk(bench, name, room * disk_bytes):
            settings = os.path.join(bench.folder(name), "settings.toml")
            with open(settings, "w", encoding="utf-8") as file:
                file.write(f"[store]\nsegment_bytes = {SEGMENT_BYTES}\n"
                           f"compaction = {str(is_compacting).lower()}\n")
            node = bench.node(name, "--settings", settings)
            try:
                if names == 0:
                    space = os.statvfs(os.path.join(bench.folder(name), "data"))
                    names = int(0.8 * space.f_bavail * space.f_frsize / room / (size + 512))
                node.create_bucket(BUCKET)
                fill_names(node, names, size)
                load, _ = bench.load(node, "/", connections,
                                     seconds=seconds if is_compacting else min(seconds, 30),
                                     script="overwrite.lua",
                                     script_arguments=(BUCKET, size, names, wait_ms, 1))
                waits[is_compacting] = load.p99_ms
                if is_compacting:
                    figures = {"rate": load.per_s, "space": space_ratio(node), "logged": metric(
                        node, "penstock_store_write_amplification")}
            finally:
                bench.stop(node)
    ratio = waits[True] / waits[False]
    table.add(f"random overwriting at 80 % full, {seconds} s, {names:,} x 64 KiB",
              f"p99 {waits[True]:.1f} ms, {waits[False]:.1f} without compaction ({ratio:.2f} times)"
              f"; space {figures['space']:.2f} of live bytes; {figures['rate']:,.0f}/s,"
              f" {figures['logged']:.2f} bytes logged for each",
              "2 times; 1.3", ratio <= 2 and figures["space"] <= 1.3)


ALL = [
    ("put-disk", put_against_disk),
    ("cold", cold_get),
    ("upload", complete_upload),
    ("full", overwrite_when_full),
]
