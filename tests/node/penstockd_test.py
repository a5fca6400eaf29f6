#!/usr/bin/env python3
"""penstockd_test.py PENSTOCKD: the program from outside: flags, ready file, exit statuses, signals,
restarts with other cores and backends, refused io_uring, readiness protocol."""

import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
from node_process import Checks, NodeProcess, TestDirectory  # noqa: E402

REFUSE = os.path.join(HERE, "refuse_io_uring.py")


def run(penstockd, *flags, timeout=10):
    """Status, output and error lines of a run that ends by itself."""
    done = subprocess.run([penstockd, *flags], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=timeout)
    return done.returncode, done.stdout, done.stderr


def check_arguments(checks, penstockd, directory):
    status, output, _ = run(penstockd, "--version")
    checks.check(status == 0 and re.fullmatch(r"penstockd \d+\.\d+\.\d+\n", output), "--version")
    status, output, _ = run(penstockd, "--help")
    flags = ("--data --http --rpc --rpc-socket --bus --cores --io-backend --settings --insecure "
             "--ready-file --allow-missing-mountpath --join --token-file --label --check-config "
             "--version --help").split()
    for flag in flags:
        checks.check(status == 0 and re.search(re.escape(flag) + r"\b", output), f"help: {flag}")

    data = os.path.join(directory, "unused")
    for bad in ([], ["--data", data, "--nonsense"], ["--data", data, "--cores", "0"],
                ["--data", data, "--cores", "many"], ["--data", data, "--io-backend", "magic"],
                ["--data", data, "--http", "nowhere"], ["--data", data, "--http", "0.0.0.0:0"],
                ["--data", data, "--http", "[::]:0"], ["--data", data, "--data", ""],
                ["--data", data, "--join", "127.0.0.1:1"],
                ["--data", data, "--settings", "/nonexistent.toml"]):
        status, output, error = run(penstockd, *bad)
        checks.check(status == 2, f"{bad}: status {status}")
        checks.check(error.count("\n") == 1 and not output, f"{bad}: one line, not {error!r}")
    checks.check(not os.path.exists(data), "bad arguments touch nothing")


def check_settings(checks, penstockd, directory):
    path = os.path.join(directory, "node.toml")
    data = os.path.join(directory, "settings-data")

    def write(text):
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)

    write(f'data = "{data}"\nhttp = "127.0.0.1:0"\ncores = 1\n[store]\nsegment_bytes = "8MiB"\n')
    status, _, error = run(penstockd, "--settings", path, "--check-config")
    checks.check(status == 0, f"--check-config of good settings: {error}")
    checks.check(not os.path.exists(data), "--check-config makes no directory")
    for text, line, key in ((f'data = "{data}"\ncores = -1\n', 2, "cores"),
                            (f'data = "{data}"\n[store]\nsegment_bytes = 1\n', 3,
                             "store.segment_bytes"),
                            (f'data = "{data}"\n\ncolour = "red"\n', 3, "colour"),
                            (f'data = "{data}"\nhttp = 3\n', 2, "http")):
        write(text)
        status, _, error = run(penstockd, "--settings", path)
        checks.check(status == 2 and f"{path}:{line}: {key}: " in error, f"{key}: {error!r}")
    write("data = \n")
    status, _, error = run(penstockd, "--settings", path)
    checks.check(status == 2 and f"{path}:1:" in error, f"broken TOML: {error!r}")


def check_shown_settings(checks, penstockd, directory):
    """packaging/penstockd.toml shows every setting, and is right with each of them in force."""
    root = os.path.dirname(os.path.dirname(HERE))
    with open(os.path.join(root, "packaging", "penstockd.toml"), encoding="utf-8") as file:
        text = file.read()
    lines, shown, section = [], set(), ""
    for line in text.splitlines():
        if line.startswith("["):
            section = line.strip("[]") + "."
        key = re.match(r"#([a-z_]+) = ", line)
        if key:
            shown.add(section + key[1])
            # Their files are not here.
            line = line if section in ("access.", "tls.") else line[1:]
        lines.append(line)
    with open(os.path.join(root, "node", "settings_file.cc"), encoding="utf-8") as file:
        table = file.read().partition("known_settings() {")[2].partition("return known")[0]
    known = set(re.findall(r'\{"([a-z_.]+)",', table))
    checks.check(shown == known, f"shown: {sorted(shown ^ known)}")
    path = os.path.join(directory, "shown.toml")
    with open(path, "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")
    status, _, error = run(penstockd, "--settings", path, "--check-config")
    checks.check(status == 0, f"with every setting: {error}")


def check_directories(checks, penstockd, directory):
    status, _, error = run(penstockd, "--data", "/nonexistent/parent/data", "--http", "127.0.0.1:0")
    checks.check(status == 3 and error.count("\n") == 1, f"no parent: {status} {error!r}")
    a_file = os.path.join(directory, "a-file")
    with open(a_file, "w", encoding="utf-8"):
        pass
    status, _, error = run(penstockd, "--data", a_file, "--http", "127.0.0.1:0")
    checks.check(status == 3, f"a file: {status} {error!r}")

    node = NodeProcess(penstockd, directory)
    start = time.monotonic()
    status, _, error = run(penstockd, "--data", node.data, "--http", "127.0.0.1:0")
    took = time.monotonic() - start
    checks.check(status == 3 and str(node.pid) in error and took < 5,
                 f"locked: {status} {error!r} after {took:.1f} s")
    status, _, error = run(penstockd, "--data", os.path.join(directory, "other"), "--http",
                           node.ready["http"])
    checks.check(status == 2 and node.ready["http"] in error, f"port taken: {status} {error!r}")
    checks.check(node.stop() == 0, "stop")

    format_path = os.path.join(node.data, "format")
    with open(format_path, encoding="utf-8") as file:
        text = file.read()
    with open(format_path, "w", encoding="utf-8") as file:
        file.write(re.sub(r"penstock \d+", "penstock 999", text))
    status, _, error = run(penstockd, "--data", node.data, "--http", "127.0.0.1:0")
    checks.check(status == 3 and error.count("\n") == 1, f"newer format: {status} {error!r}")
    with open(format_path, "w", encoding="utf-8") as file:
        file.write(text)

    for name in os.listdir(os.path.join(node.data, "metadata")):
        path = os.path.join(node.data, "metadata", name)
        if name != "lock":
            with open(path, "r+b") as file:
                file.write(b"damage")
    status, _, error = run(penstockd, "--data", node.data, "--http", "127.0.0.1:0")
    checks.check(status == 3 and "metadata" in error, f"damaged metadata: {status} {error!r}")


def check_ready_file(checks, penstockd, directory):
    ready_file = os.path.join(directory, "ready.json")
    with open(ready_file, "w", encoding="utf-8") as file:
        file.write("stale")
    run(penstockd, "--data", "/nonexistent/parent/data", "--ready-file", ready_file)
    checks.check(not os.path.exists(ready_file), "a stale ready file is removed")

    node = NodeProcess(penstockd, directory, "--cores", "1")
    with open(ready_file, encoding="utf-8") as file:
        text = file.read()
    ready = json.loads(text)
    checks.check(text.count("\n") == 1 and text.endswith("\n"), "the ready file is one line")
    checks.check(set(ready) == {"http", "rpc", "node", "pid", "version", "io_backend", "cores"},
                 f"the ready file's fields: {sorted(ready)}")
    checks.check(ready["pid"] == node.pid and ready["cores"] == 1, "pid and cores")
    status, _, content = node.request("GET", "/health?readiness=true")
    checks.check(status == 200, f"/health: {status} {content}")
    status, headers, content = node.request("GET", "/metrics")
    checks.check(status == 200 and headers["Content-Type"].startswith("text/plain; version=0.0.4")
                 and b"\npenstock_store_corruptions_total 0\n" in content, "/metrics")
    with open(node.log_path, encoding="utf-8") as file:
        lines = [json.loads(line) for line in file]
    checks.check(any(line.get("pid") == node.pid and line.get("http") == ready["http"]
                     for line in lines), "the ready object is a log line")
    checks.check(node.stop() == 0, "stop")


def put(node, name, content):
    status, _, answer = node.request("PUT", f"/v1/objects/b/{name}?provider=ais", content)
    assert status == 200, (status, answer)


def get(node, name):
    return node.request("GET", f"/v1/objects/b/{name}?provider=ais")[::2]


def check_restarts(checks, penstockd, directory):
    content = random.Random(1)
    objects = {f"o/{size}": content.randbytes(size) for size in (0, 1, 5000, 131_072, 1_500_000)}
    node = NodeProcess(penstockd, directory, "--cores", "2")
    node.create_bucket("b")
    for name, body in objects.items():
        put(node, name, body)
    node_id = node.ready["node"]
    checks.check(node.stop() == 0, "stop")
    for flags in (["--cores", "1", "--io-backend", "epoll"], ["--cores", "3"],
                  ["--cores", "1", "--io-backend", "uring"]):
        node = NodeProcess(penstockd, directory, *flags)
        checks.check(node.ready["node"] == node_id, f"{flags}: the same node id")
        for name, body in objects.items():
            checks.check(get(node, name) == (200, body), f"{flags}: {name}")
        put(node, "more", b"more")
        checks.check(node.stop() == 0, f"{flags}: stop")


def configured(node):
    """What the node's configuration says of log.level, and what a new bucket's checksum is."""
    config = json.loads(node.request("GET", "/v1/cluster?what=cluster_config")[2])
    name = f"of-{time.time_ns()}"
    node.create_bucket(name)
    properties = json.loads(node.request("HEAD", f"/v1/buckets/{name}")[1]["Ais-Bucket-Props"])
    return config["log"]["level"], properties["checksum"]["type"]


def check_transient_configuration(checks, penstockd, directory):
    node = NodeProcess(penstockd, directory, "--cores", "2")
    for query in ("log.level=4&checksum.type=md5", "log.level=5&checksum.type=sha256&transient=1"):
        status = node.request("PUT", f"/v1/cluster/set-config?{query}")[0]
        checks.check(status == 200, f"set {query}")
    checks.check(configured(node) == ("5", "sha256"), "transient configuration holds now")
    checks.check(node.stop() == 0, "stop")
    node = NodeProcess(penstockd, directory)
    checks.check(configured(node) == ("4", "md5"), "after a restart the lasting one holds")
    checks.check(node.stop() == 0, "stop again")


def check_signals(checks, penstockd, directory):
    node = NodeProcess(penstockd, directory)
    idle = node.connect()
    idle.request("GET", "/health")
    idle.getresponse().read()
    start = time.monotonic()
    checks.check(node.stop() == 0, "SIGTERM: status 0")
    checks.check(time.monotonic() - start < 10, "SIGTERM: within 10 s, with an idle connection")

    node = NodeProcess(penstockd, directory)
    node.create_bucket("b")
    stuck = socket.create_connection((node.host, node.port))
    stuck.sendall(b"PUT /v1/objects/b/stuck HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nx")
    time.sleep(0.2)  # the node is in the middle of that request
    node.process.send_signal(signal.SIGTERM)
    time.sleep(0.2)
    checks.check(node.is_alive(), "an unfinished request is waited for")
    start = time.monotonic()
    node.process.send_signal(signal.SIGTERM)
    node.process.wait(5)
    checks.check(time.monotonic() - start < 1, "a second SIGTERM ends it at once")

    node = NodeProcess(penstockd, directory)
    stuck = socket.create_connection((node.host, node.port))
    stuck.sendall(b"PUT /v1/objects/b/stuck HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nx")
    time.sleep(0.2)
    start = time.monotonic()
    node.process.send_signal(signal.SIGTERM)
    node.process.wait(15)
    checks.check(time.monotonic() - start <= 10 and node.process.returncode == 0,
                 f"a stuck request is cut: {time.monotonic() - start:.1f} s, status "
                 f"{node.process.returncode}")
    stuck.close()


def check_refused_io_uring(checks, penstockd, directory):
    for error in ("EPERM", "ENOSYS"):
        wrapper = os.path.join(directory, "refused-" + error)
        with open(wrapper, "w", encoding="utf-8") as file:
            file.write(f'#!/bin/sh\nexec {sys.executable} {REFUSE} {error} {penstockd} "$@"\n')
        os.chmod(wrapper, 0o755)
        node = NodeProcess(wrapper, directory)
        with open(node.log_path, encoding="utf-8") as file:
            lines = [line for line in file if "io_uring" in line and "epoll" in line]
        checks.check(len(lines) == 1, f"{error}: one line says so: {lines}")
        checks.check(node.ready["io_backend"] == "epoll", f"{error}: serves through epoll")
        checks.check(node.request("GET", "/health")[0] == 200, f"{error}: serves")
        checks.check(node.stop() == 0, f"{error}: stop")
        os.remove(node.log_path)
        status, _, text = run(wrapper, "--data", node.data, "--http", "127.0.0.1:0",
                              "--io-backend", "uring")
        checks.check(status == 3 and "io_uring" in text and text.count("\n") == 1,
                     f"{error}, --io-backend uring: {status} {text!r}")


def check_supervision(checks, penstockd, directory):
    path = os.path.join(directory, "notify")
    told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    told.bind(path)
    told.settimeout(5)
    listener = socket.create_server(("127.0.0.1", 0))
    os.set_inheritable(listener.fileno(), True)
    descriptor = listener.fileno()

    def inherit():
        os.dup2(descriptor, 3)

    environment = dict(os.environ, NOTIFY_SOCKET=path, WATCHDOG_USEC="200000", LISTEN_FDS="1",
                       LISTEN_FDNAMES="http")
    node = subprocess.Popen(
        [penstockd, "--data", os.path.join(directory, "supervised"), "--http", "127.0.0.1:0"],
        env=environment, pass_fds=[3] if descriptor == 3 else [3, descriptor], preexec_fn=inherit,
        stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        checks.check(told.recv(1000) == b"READY=1", "READY=1")
        port = listener.getsockname()[1]
        connection = socket.create_connection(("127.0.0.1", port), 5)
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        checks.check(connection.recv(100).startswith(b"HTTP/1.1 200"), "an inherited socket serves")
        connection.close()
        checks.check(told.recv(1000) == b"WATCHDOG=1", "WATCHDOG=1")
        node.send_signal(signal.SIGHUP)
        messages = [told.recv(1000) for _ in range(4)]
        checks.check(any(message.startswith(b"RELOADING=1\nMONOTONIC_USEC=")
                         for message in messages), f"RELOADING=1 in {messages}")
        checks.check(b"READY=1" in messages, f"READY=1 after it in {messages}")
        node.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + 5
        while (message := told.recv(1000)) == b"WATCHDOG=1" and time.monotonic() < deadline:
            pass
        checks.check(message == b"STOPPING=1", f"STOPPING=1, not {message}")
        checks.check(node.wait(12) == 0, "stop")
    finally:
        if node.poll() is None:
            node.kill()
            node.wait()


def check_start(checks, penstockd, directory):
    """Quick and small: on an empty directory, and again."""
    times = []
    for index in range(5):
        start = time.monotonic()
        node = NodeProcess(penstockd, os.path.join(directory, f"start-{index}"), "--cores", "2")
        node.request("GET", "/health")
        times.append(time.monotonic() - start)
        with open(f"/proc/{node.pid}/status", encoding="ascii") as file:
            resident_kb = int(re.search(r"VmRSS:\s+(\d+)", file.read()).group(1))
        node.stop()
    checks.check(resident_kb < 20 * 1024, f"idle: {resident_kb} kB resident")
    print(f"start to first answer: {min(times) * 1000:.0f} ms at best, {max(times) * 1000:.0f} at"
          f" worst; {resident_kb} kB resident")


def main():
    penstockd = os.path.abspath(sys.argv[1])
    checks = Checks()
    for part in (check_arguments, check_settings, check_shown_settings, check_directories,
                 check_ready_file, check_restarts, check_transient_configuration, check_signals,
                 check_refused_io_uring, check_supervision, check_start):
        with TestDirectory("penstockd-test") as directory:
            for index in range(5):
                os.makedirs(os.path.join(directory.path, f"start-{index}"), exist_ok=True)
            part(checks, penstockd, directory.path)
            directory.is_kept = checks.failed > 0
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
