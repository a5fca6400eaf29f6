"""The rows of README's table, each measured by one function (bench, table)."""

import concurrent.futures
import http.client
import io
import json
import os
import re
import resource
import signal
import socket
import ssl
import subprocess
import tarfile
import time

from harness import ALL_CPUS, LOAD_CPU, ROOT, cpu_seconds, median, resident_mb

BUCKET = "bench"


def compare_get(bench, table, size, name, connections, cpu_must, rate_must=None):
    """Alternating rounds of the same GET against nginx and a node."""
    root = bench.folder("www")
    content = os.urandom(size)
    with open(os.path.join(root, name), "wb") as file:
        file.write(content)
    nginx, node = bench.nginx(root), bench.node(f"get-{name}")
    node.create_bucket(BUCKET)
    node.put(BUCKET, name, content)
    for count in connections:
        ours, theirs = [], []
        for _ in range(bench.rounds):
            theirs.append(bench.load(nginx, f"/{name}", count))
            ours.append(bench.load(node, f"/v1/objects/{BUCKET}/{name}?provider=ais", count))
        our_cpu, their_cpu = median(c for _, c in ours), median(c for _, c in theirs)
        our_rate, their_rate = median(l.per_s for l, _ in ours), median(l.per_s for l, _ in theirs)
        must = f"CPU {cpu_must} of nginx's"
        is_reached = our_cpu <= cpu_must * their_cpu
        if rate_must and count > 1:
            must += f", rate {rate_must} times"
            is_reached = is_reached and our_rate >= rate_must * their_rate
        table.add(f"GET {name}, {count} connections",
                  f"{our_cpu:.1f} us of nginx's {their_cpu:.1f} ({our_cpu / their_cpu:.2f});"
                  f" {our_rate:,.0f}/s, {our_rate / their_rate:.2f} times", must, is_reached)
    bench.stop(node)
    bench.stop(nginx)


def get_small(bench, table):
    compare_get(bench, table, 1 << 10, "1KiB", (1, 16, 64), 0.7, 1.2)
    compare_get(bench, table, 10 << 10, "10KiB", (1, 16, 64), 0.7, 1.2)


def get_large(bench, table):
    compare_get(bench, table, 100 << 10, "100KiB", (16,), 0.9)
    compare_get(bench, table, 1 << 20, "1MiB", (16,), 0.75)
    compare_get(bench, table, 10 << 20, "10MiB", (16,), 0.75)


def put_durable(bench, table):
    """4 KiB, 32 writers: our PUT over HTTP against a file for each object, by 32 threads."""
    node = bench.node("put")
    node.create_bucket(BUCKET)
    ours, cpus, files = [], [], []
    for turn in range(bench.rounds):
        directory = bench.folder(f"files-{turn}")
        done = subprocess.run(
            [os.path.join(ROOT, "out", "release", "bench", "file_per_object"), directory, "32",
             "4096", str(bench.seconds)], capture_output=True, text=True, check=True)
        files.append(float(done.stdout))
        load, cpu = bench.load(node, "/", 32, script="put.lua",
                               script_arguments=(BUCKET, 4096, f"r{turn}"))
        ours.append(load.per_s)
        cpus.append(cpu)
    table.add("durable PUT 4 KiB, 32 writers",
              f"{median(ours):,.0f}/s, a file for each {median(files):,.0f}/s"
              f" ({median(ours) / median(files):.1f} times); {median(cpus):.1f} us CPU",
              "8 times; 25 us", median(ours) >= 8 * median(files) and median(cpus) <= 25)
    bench.stop(node)


def fill(bench, node, count):
    """`count` objects of 16 bytes with names of 24; gives how many were acknowledged, and how many
    more there may be: wrk does not count what is in flight when it ends."""
    writers = 64
    done = in_doubt = 0
    while done < count:
        script_arguments = (BUCKET, 16, f"n{done:09d}")
        load, _ = bench.load(node, "/", writers, seconds=5, script="put.lua",
                             script_arguments=script_arguments)
        done += load.requests
        in_doubt += writers
        print(f"    {done:,} of {count:,} objects", flush=True)
    return done, in_doubt


def list_names(bench, table):
    node = bench.node("list")
    node.create_bucket(BUCKET)
    count, in_doubt = fill(bench, node, 200_000 if bench.is_quick else 1_000_000)
    rates = []
    for _ in range(bench.rounds):
        done = subprocess.run(
            [os.path.join(ROOT, "out", "release", "bench", "list_names"),
             f"127.0.0.1:{node.port}", BUCKET, "10000"], capture_output=True, text=True, check=True)
        names, seconds = done.stdout.split()
        if not count <= int(names) <= count + in_doubt:
            raise RuntimeError(f"listed {names} of {count}")
        rates.append(int(names) / float(seconds))
    table.add(f"list, {count:,} names, pages of 10,000", f"{median(rates):,.0f} names/s",
              "1,000,000/s", median(rates) >= 1e6)
    rates = [list_as_json(node, range(count, count + in_doubt + 1)) for _ in range(bench.rounds)]
    table.add(f"the same with sizes as JSON, {count:,} names", f"{median(rates):,.0f} names/s",
              "500,000/s", median(rates) >= 5e5)
    bench.stop(node)


def list_as_json(node, expected):
    """Names/s of a listing with sizes whose pages are taken as text: parsing is the client's."""
    connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=60)
    token, names, begin = "", 0, time.monotonic()
    while True:
        connection.request("GET", f"/v1/buckets/{BUCKET}?provider=ais", json.dumps({
            "action": "list", "name": "", "value": {
                "props": "name,size", "pagesize": 10000, "continuation_token": token}}),
            {"Content-Type": "application/json", "Accept": "application/json"})
        page = connection.getresponse().read()
        names += page.count(b'"name":')
        found = re.search(rb'"continuation_token":"([^"]*)"', page)
        if not found or not found.group(1):
            break
        token = found.group(1).decode()
    seconds = time.monotonic() - begin
    if names not in expected:
        raise RuntimeError(f"listed {names} of {expected}")
    return names / seconds


def heads(bench, table):
    """HEAD of an object against GET of one byte, on 16 connections in turn."""
    node = bench.node("heads")
    node.create_bucket(BUCKET)
    node.put(BUCKET, "o", b"x")
    cpus = {"HEAD": [], "GET": []}
    for _ in range(bench.rounds):
        for method, found in cpus.items():
            found.append(cpu_of_requests(bench, node, method, f"/v1/objects/{BUCKET}/o"))
    head, get = median(cpus["HEAD"]), median(cpus["GET"])
    table.add("HEAD object, 16 connections", f"{head:.1f} us, GET of one byte {get:.1f} us"
              f" ({head / get:.2f})", "1.1 times", head <= 1.1 * get)
    bench.stop(node)


def cpu_of_requests(bench, node, method, target):
    """The server's CPU in us for each of these, while 16 connections each wait for an answer."""
    request = f"{method} {target}?provider=ais HTTP/1.1\r\nHost: h\r\n\r\n".encode()
    connections = [socket.create_connection(("127.0.0.1", node.port)) for _ in range(16)]
    count, before = 0, cpu_seconds(node.pid)
    end = time.monotonic() + bench.seconds
    while time.monotonic() < end:
        for connection in connections:
            connection.sendall(request)
        for connection in connections:
            answer = connection.recv(65536)
            if not answer.startswith(b"HTTP/1.1 200"):
                raise RuntimeError(answer[:200])
        count += len(connections)
    used = cpu_seconds(node.pid) - before
    for connection in connections:
        connection.close()
    return used * 1e6 / count


def start_and_idle(bench, table):
    seconds, sizes = [], []
    for turn in range(bench.rounds):
        node = bench.node(f"start-{turn}")
        connection_start = time.monotonic()
        node.request("GET", "/v1/daemon?what=smap")
        seconds.append(node.ready_s + time.monotonic() - connection_start)
        time.sleep(0.5)
        sizes.append(resident_mb(node.pid))
        bench.stop(node)
    table.add("start to first answer, empty", f"{median(seconds) * 1000:.0f} ms", "50 ms",
              median(seconds) <= 0.05)
    table.add("idle resident size", f"{median(sizes):.1f} MB", "20 MB", median(sizes) <= 20)


def start_ten_million(bench, table):
    count = 300_000 if bench.is_quick else 10_000_000
    node, address = rpc_node(bench, "many")
    fill_names(node, count, 16, address)
    bench.stop(node, signal.SIGKILL)

    def start_once():
        node = bench.node("many", cores=2, cpus=ALL_CPUS)  # nothing else runs while it starts
        start = time.monotonic()
        node.request("GET", "/v1/daemon?what=smap")
        seconds = node.ready_s + time.monotonic() - start
        bench.stop(node)
        return seconds

    killed_s = start_once()
    seconds = median([start_once() for _ in range(3)])
    table.add(f"start to first answer, {count:,} objects", f"{seconds:.2f} s", "2 s", seconds <= 2)
    table.add(f"the same after kill -9, {count:,} objects", f"{killed_s:.2f} s", "5 s",
              killed_s <= 5)


def idle_connections(bench, table):
    count = 10_000
    node = bench.node("idle")
    node.create_bucket(BUCKET)
    node.put(BUCKET, "o", os.urandom(1024))
    target = f"/v1/objects/{BUCKET}/o?provider=ais"
    without = median(bench.load(node, target, 16)[0].p99_ms for _ in range(bench.rounds))
    before = resident_mb(node.pid)
    holder = subprocess.Popen(["python3", os.path.join(ROOT, "bench", "idle_connections.py"),
                               str(node.port), str(count)], stdout=subprocess.PIPE,
                              stdin=subprocess.PIPE, text=True)
    if holder.stdout.readline().strip() != str(count):
        raise RuntimeError("the idle connections could not be opened")
    grown = resident_mb(node.pid) - before
    beside = median(bench.load(node, target, 16)[0].p99_ms for _ in range(bench.rounds))
    holder.communicate("")
    table.add(f"{count:,} idle connections",
              f"{grown:.0f} MB more; p99 {beside:.2f} ms, without them {without:.2f} ms"
              f" ({beside / without:.2f} times)", "100 MB; 1.5 times",
              grown < 100 and beside <= 1.5 * without)
    bench.stop(node)


def member(bench, table):
    """A member of a TAR of 100,000 members against a plain object of the same size."""
    count = 10_000 if bench.is_quick else 100_000
    size = 10_000
    path = os.path.join(bench.folder("shard"), "big.tar")
    content = os.urandom(size)
    with tarfile.open(path, "w") as shard:
        for index in range(count):
            entry = tarfile.TarInfo(f"{index:06d}.bin")
            entry.size = size
            shard.addfile(entry, io.BytesIO(content))
    node = bench.node("member")
    node.create_bucket(BUCKET)
    subprocess.run(["curl", "-sf", "-T", path,
                    f"http://127.0.0.1:{node.port}/v1/objects/{BUCKET}/big.tar?provider=ais"],
                   check=True)
    fill_names(node, count, size)  # as many, so that both miss the processor's caches alike
    members, plains = [], []
    for _ in range(bench.rounds):
        plains.append(bench.load(node, "/", 16, script="get_random.lua",
                                 script_arguments=(f"/v1/objects/{BUCKET}/o%09d?provider=ais",
                                                   count))[1])
        members.append(bench.load(
            node, "/", 16, script="get_random.lua", script_arguments=(
                f"/v1/objects/{BUCKET}/big.tar?provider=ais&archpath=%06d.bin", count))[1])
    table.add(f"member of a TAR of {count:,} members, {size:,} bytes",
              f"{median(members):.1f} us CPU, a plain GET {median(plains):.1f}"
              f" ({median(members) / median(plains):.2f} times)", "1.5 times",
              median(members) <= 1.5 * median(plains))
    bench.stop(node)


def job_seconds(node, method, target, action, value):
    """From the request to the end of the job's work."""
    message = json.dumps({"action": action, "name": "", "value": value})
    start = time.monotonic()
    query = json.dumps({"ID": node.request(method, target, message).decode()})
    while True:
        snapshots = json.loads(node.request("GET", "/v1/cluster?what=qryxstats", query))
        snapshot = next(iter(snapshots.values()))[0]
        if snapshot["is_idle"]:
            break
        time.sleep(0.01)
    seconds = time.monotonic() - start
    if snapshot["aborted"] or snapshot["err"]:
        raise RuntimeError(f"{action}: {snapshot}")
    return seconds, int(snapshot["stats"]["loc-objs"])


def jobs(bench, table):
    # Nobody else is at work: the node has both processors, as it would have.
    node = bench.node("jobs", cores=2, cpus="0,1")
    node.create_bucket(BUCKET)
    target = f"/v1/buckets/{BUCKET}?provider=ais"
    # A node writes its first segments ahead, and a sync waits for that.
    time.sleep(5)
    singles = []
    for turn in range(20):
        node.put(BUCKET, "single", b"x")
        singles.append(job_seconds(node, "DELETE", target, "delete-listrange",
                                   {"objnames": ["single"]})[0])
    table.add("job over one object", f"{median(singles) * 1000:.1f} ms", "10 ms",
              median(singles) <= 0.01)
    fill(bench, node, 100_000)
    seconds, count = job_seconds(node, "POST", target + "&bck_to=ais%2F%40%23%2Fcopied%2F",
                                 "copy-bck", {})
    per_100k = seconds * 100_000 / count
    table.add(f"copy a bucket of {count:,} small objects",
              f"{seconds:.2f} s, {per_100k:.2f} s for 100,000", "3 s", per_100k <= 3)
    if not bench.is_quick:
        fill(bench, node, 900_000)
    seconds, count = job_seconds(node, "DELETE", target, "delete-listrange", {"template": "n"})
    per_million = seconds * 1_000_000 / count
    table.add(f"delete {count:,} objects by prefix",
              f"{seconds:.2f} s, {per_million:.2f} s for a million", "5 s", per_million <= 5)
    fill(bench, node, 100_000 if bench.is_quick else 1_000_000)
    destroys = []
    for name in [BUCKET, "copied"]:
        start = time.monotonic()
        node.request("DELETE", f"/v1/buckets/{name}?provider=ais",
                     json.dumps({"action": "destroy-bck"}))
        destroys.append(time.monotonic() - start)
    table.add("destroy the bucket", f"{max(destroys) * 1000:.1f} ms", "10 ms",
              max(destroys) <= 0.01)
    bench.stop(node)


def penstock_bench(node, *arguments, target=None):
    """What one run of our load generator said; over HTTP unless there is a target."""
    done = subprocess.run(
        ["taskset", "-c", LOAD_CPU, os.path.join(ROOT, "out", "penstock-bench"), "--target",
         target or f"http://127.0.0.1:{node.port}", "--bucket", BUCKET, "--quiet", "--json", "-",
         "--server-pid", str(node.pid), *map(str, arguments)],
        capture_output=True, text=True, check=True)
    document = json.loads(done.stdout)
    if document["errors"]:
        raise RuntimeError(f"{arguments}: {document['errors']} errors")
    return document


def fill_names(node, names, size, target=None):
    """Objects o000000000 and on, of `size` bytes."""
    penstock_bench(node, "--op", "get", "--objects", names, "--size", size, "--duration", "10ms",
                   target=target)


SEGMENT_BYTES = 4 << 20


def metric(node, name):
    text = node.request("GET", "/metrics").decode()
    return float(re.search(rf"^{name} ([\d.e+]+)$", text, re.MULTILINE).group(1))


def space_ratio(node):
    """Of live bytes, beside the segment that is written to and the spare one."""
    sealed = metric(node, "penstock_store_segment_bytes") - 2 * SEGMENT_BYTES
    return sealed / metric(node, "penstock_store_live_bytes")


def overwrite(bench, table):
    """Random overwriting with compaction running against without, at a rate that leaves room."""
    size, names, connections, wait_ms = 16 << 10, 2_000 if bench.is_quick else 20_000, 16, 10
    seconds = 4 if bench.is_quick else 20
    nodes = {}
    for name in ("true", "false"):
        folder = bench.folder(f"overwrite-{name}")
        settings = os.path.join(folder, "settings.toml")
        with open(settings, "w", encoding="utf-8") as file:
            file.write(f"[store]\nsegment_bytes = {SEGMENT_BYTES}\ncompaction = {name}\n")
        nodes[name] = bench.node(f"overwrite-{name}", "--settings", settings)
        nodes[name].create_bucket(BUCKET)
        fill_names(nodes[name], names, size)
    waits, ratios = {"true": [], "false": []}, []
    for turn in range(bench.rounds):
        for name, node in nodes.items():
            load, _ = bench.load(node, "/", connections, seconds=seconds, script="overwrite.lua",
                                 script_arguments=(BUCKET, size, names, wait_ms, turn + 1))
            waits[name].append(load.p99_ms)
        ratios.append(space_ratio(nodes["true"]))
    with_ms, without_ms = median(waits["true"]), median(waits["false"])
    amplification = metric(nodes["true"], "penstock_store_write_amplification")
    table.add(f"random overwriting of {names:,} x 16 KiB, compaction against none",
              f"p99 {with_ms:.2f} ms, {without_ms:.2f} without ({with_ms / without_ms:.2f} times);"
              f" space {max(ratios):.2f} of live bytes (without"
              f" {space_ratio(nodes['false']):.1f}); {amplification:.2f} bytes logged for each",
              "2 times; 1.3", with_ms <= 2 * without_ms and max(ratios) <= 1.3)
    for node in nodes.values():
        bench.stop(node)


def rpc_load(bench, node, target, objects, clients, *flags, batch=1):
    """One run over MessagePack-RPC, on one connection: (objects/s, server CPU us per object)."""
    document = penstock_bench(
        node, "--objects", objects, "--clients", clients, "--connections", 1, "--batch", batch,
        "--duration", f"{bench.seconds}s", "--no-prepare", *flags, target=target)
    return document["operations_per_s"] * batch, document["server_cpu_us_per_op"] / batch


def rpc_node(bench, name):
    path = os.path.join(bench.folder(name), "rpc")
    node = bench.node(name, "--rpc", "127.0.0.1:0", "--rpc-socket", path)
    node.create_bucket(BUCKET)
    return node, "unix:" + path


def python_batches(bench, address, objects, batch):
    """(samples/s, client CPU us per sample) of the Python package, which needs Debian's msgpack."""
    done = subprocess.run(
        ["taskset", "-c", LOAD_CPU, "/usr/bin/python3",
         os.path.join(ROOT, "bench", "python_batches.py"), address, BUCKET, str(objects),
         str(batch), str(bench.seconds)], capture_output=True, text=True, check=True)
    return tuple(map(float, done.stdout.split()))


def rpc(bench, table):
    """MessagePack-RPC: GET pipelined against HTTP's GET of the same objects; batches."""
    node, unix = rpc_node(bench, "rpc")
    count = 10_000
    fill_names(node, count, 1 << 10, unix)
    ours, theirs = [], []
    for _ in range(bench.rounds):
        theirs.append(bench.load(node, "/", 64, script="get_random.lua", script_arguments=(
            f"/v1/objects/{BUCKET}/o%09d?provider=ais", count)))
        ours.append(rpc_load(bench, node, f"rpc://{node.ready['rpc']}", count, 64, "--op", "get"))
    rate, http_rate = median(r for r, _ in ours), median(l.per_s for l, _ in theirs)
    cpu, http_cpu = median(c for _, c in ours), median(c for _, c in theirs)
    table.add("RPC GET 1 KiB, TCP, 64 pipelined on one connection",
              f"{rate:,.0f}/s, {rate / http_rate:.1f} times HTTP's with 64 connections;"
              f" {cpu:.2f} us CPU of HTTP's {http_cpu:.2f} ({cpu / http_cpu:.2f})",
              "2 times HTTP's rate, 0.5 of its CPU",
              rate >= 2 * http_rate and cpu <= 0.5 * http_cpu)
    runs = [rpc_load(bench, node, unix, count, 4, "--op", "get_many", batch=256)
            for _ in range(bench.rounds)]
    rate, cpu = median(r for r, _ in runs), median(c for _, c in runs)
    table.add("RPC get_many, 256 of 1 KiB a call, Unix socket",
              f"{1e6 / cpu:,.0f}/s per server core ({rate:,.0f}/s on the clock)",
              "500,000/s per core",
              1e6 / cpu >= 500_000)
    runs = [python_batches(bench, unix, count, 256) for _ in range(bench.rounds)]
    rate, cpu = median(r for r, _ in runs), median(c for _, c in runs)
    table.add("the same with the Python package, one batch after the other, memoryviews",
              f"{rate:,.0f}/s; {cpu:.2f} us of the client's CPU", "300,000/s", rate >= 300_000)
    bench.stop(node)


def rpc_descriptors(bench, table):
    node, unix = rpc_node(bench, "rpc-fd")
    count = 2_000
    fill_names(node, count, 100 << 10, unix)
    runs = [rpc_load(bench, node, unix, count, 4, "--op", "get_many", "--as", "fd", "--size",
                     100 << 10, batch=64) for _ in range(bench.rounds)]
    rate, cpu = median(r for r, _ in runs), median(c for _, c in runs)
    table.add("RPC get_many, 64 of 100 KiB a call, as descriptors",
              f"{1e6 / cpu:,.0f}/s per server core ({rate:,.0f}/s on the clock)",
              "30,000/s per core",
              1e6 / cpu >= 30_000)
    bench.stop(node)


def load_generator(bench, table):
    """penstock-bench against wrk: how fast nginx is asked, and what asking costs."""
    program, root = os.path.join(ROOT, "out", "penstock-bench"), bench.folder("www")
    objects = ["--objects", "1", "--size", "1KiB"]  # as wrk: one file
    subprocess.run([program, "--target", "static+http://127.0.0.1", "--write-files", root,
                    *objects], check=True)
    nginx = bench.nginx(root)

    def run_ours():
        done = subprocess.run(
            ["taskset", "-c", LOAD_CPU, program, "--target",
             f"static+http://127.0.0.1:{nginx.port}", "--clients", "64", "--duration",
             f"{bench.seconds}s", "--quiet", "--json", "-", *objects],
            capture_output=True, text=True, check=True)
        document = json.loads(done.stdout)
        return document["operations"], document["operations_per_s"]

    def run_wrk():
        load, _ = bench.load(nginx, "/o000000000", 64)
        return load.requests, load.per_s

    def measured(run):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        operations, per_s = run()
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return per_s, used * 1e6 / operations

    ours, theirs = [], []
    for _ in range(bench.rounds):
        theirs.append(measured(run_wrk))
        ours.append(measured(run_ours))
    rate, wrk_rate = median(r for r, _ in ours), median(r for r, _ in theirs)
    cpu, wrk_cpu = median(c for _, c in ours), median(c for _, c in theirs)
    table.add("penstock-bench against wrk, nginx, 1 KiB, 64 connections",
              f"{rate:,.0f}/s of wrk's {wrk_rate:,.0f}/s; {cpu:.1f} us CPU of {wrk_cpu:.1f}"
              f" ({cpu / wrk_cpu:.2f})", "wrk's rate; 1.5 times its CPU",
              rate >= wrk_rate and cpu <= 1.5 * wrk_cpu)
    bench.stop(nginx)


def bench_load(bench, node, *flags):
    """One run of penstock-bench against a node: its document."""
    done = subprocess.run(
        ["taskset", "-c", LOAD_CPU, os.path.join(ROOT, "out", "penstock-bench"), "--target",
         f"http://127.0.0.1:{node.port}", "--bucket", BUCKET, "--quiet", "--json", "-", *flags],
        capture_output=True, text=True, check=False)
    return json.loads(done.stdout)


def overload(bench, table):
    """Twice the rate that 512 clients reach when each waits for its answer, from as many
    connections: what the node gets done, and its memory."""
    node = bench.node("overload")
    node.create_bucket(BUCKET)
    seconds = f"{3 * bench.seconds}s"
    objects = ["--objects", "2000", "--duration", seconds]
    bench_load(bench, node, "--op", "put", "--size", "4KiB", "--clients", "64", *objects)
    for operation, size in (("get", "4KiB"), ("put", "4KiB")):
        flags = ["--op", operation, "--size", size, *objects]
        peaks, runs = [], []
        for _ in range(bench.rounds):
            peaks.append(bench_load(bench, node, "--clients", "512", *flags)["operations_per_s"])
            runs.append(bench_load(bench, node, "--rate", str(int(2 * median(peaks))),
                                   "--connections", "512", *flags))
        peak = median(peaks)
        good = median(run["operations_per_s"] for run in runs)
        refused = sum(run["errors"] for run in runs)
        table.add(f"{operation} {size} at twice the peak's rate, 512 connections",
                  f"{good:,.0f}/s of the peak's {peak:,.0f}/s ({good / peak:.2f});"
                  f" {refused:,} refused; {resident_mb(node.pid):.0f} MB", "0.9 of the peak",
                  good >= 0.9 * peak)
    bench.stop(node)


def make_certificate(directory):
    """A key of its own and what proves it: ECDSA, as most are today."""
    paths = [os.path.join(directory, name) for name in ("certificate.pem", "key.pem")]
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30", "-subj",
                    "/CN=localhost", "-out", paths[0], "-keyout", paths[1]], check=True,
                   capture_output=True)
    return paths


def cipher_of(port):
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(("127.0.0.1", port)) as plain:
        with context.wrap_socket(plain) as secure:
            return secure.cipher()[0]


def tls(bench, table):
    """HTTPS against nginx's with the same certificate and cipher."""
    certificate, key = make_certificate(bench.directory)
    root, folder = bench.folder("www"), bench.folder("tls")
    settings = os.path.join(folder, "settings.toml")
    with open(settings, "w", encoding="utf-8") as file:
        file.write(f'[tls]\ncertificate = "{certificate}"\nkey = "{key}"\nloopback = true\n')
    nginx = bench.nginx(root, (certificate, key))
    node = bench.node("tls", "--settings", settings, is_tls=True)
    node.create_bucket(BUCKET)
    if cipher_of(nginx.port) != cipher_of(node.port):
        raise RuntimeError(f"ciphers: {cipher_of(nginx.port)}, {cipher_of(node.port)}")
    for name, size in (("1KiB", 1 << 10), ("1MiB", 1 << 20)):
        content = os.urandom(size)
        with open(os.path.join(root, name), "wb") as file:
            file.write(content)
        node.put(BUCKET, name, content)
        ours, theirs = [], []
        for _ in range(bench.rounds):
            theirs.append(bench.load(nginx, f"/{name}", 16))
            ours.append(bench.load(node, f"/v1/objects/{BUCKET}/{name}?provider=ais", 16))
        our_cpu, their_cpu = median(c for _, c in ours), median(c for _, c in theirs)
        table.add(f"TLS GET {name}, 16 connections, {cipher_of(node.port)}",
                  f"{our_cpu:.1f} us of nginx's {their_cpu:.1f} ({our_cpu / their_cpu:.2f})",
                  "1.3 of nginx's CPU", our_cpu <= 1.3 * their_cpu)
    bench.stop(node)
    bench.stop(nginx)


ALL = [
    ("get-small", get_small),
    ("get-large", get_large),
    ("rpc", rpc),
    ("rpc-descriptors", rpc_descriptors),
    ("put", put_durable),
    ("list", list_names),
    ("heads", heads),
    ("start", start_and_idle),
    ("idle-connections", idle_connections),
    ("member", member),
    ("jobs", jobs),
    ("overwrite", overwrite),
    ("load-generator", load_generator),
    ("overload", overload),
    ("tls", tls),
    ("start-many", start_ten_million),
]
