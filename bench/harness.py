"""What the measurements of bench/run stand on: servers, load, and the table."""

import http.client
import json
import os
import re
import shutil
import signal
import socket
import ssl
import statistics
import subprocess
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
SERVER_CPU, LOAD_CPU = "0", "1"
ALL_CPUS = f"0-{os.cpu_count() - 1}"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def cpu_seconds(pid):
    """User and system time of all threads of a process."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def resident_mb(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return int(re.search(r"VmRSS:\s+(\d+)", file.read()).group(1)) / 1024


class Server:
    """A process, on one processor unless said; its CPU time is what is compared."""

    def __init__(self, command, directory, cpus=SERVER_CPU):
        self.directory = directory
        self.log = open(os.path.join(directory, "log"), "ab")
        self.process = subprocess.Popen(["taskset", "-c", cpus, *command],
                                        stdin=subprocess.DEVNULL, stdout=self.log,
                                        stderr=self.log, start_new_session=True)
        self.pid = self.process.pid

    def wait_for_port(self, port, timeout_s=30):
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", port), 0.2).close()
                return
            except OSError:
                time.sleep(0.01)
        raise RuntimeError(f"{self.process.args} did not start; see {self.log.name}")

    def stop(self, with_signal=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(with_signal)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.log.close()


class Nginx(Server):
    """Static files, as Debian's package serves them, with one worker."""

    CONFIGURATION = """
worker_processes 1; daemon off; master_process off; pid {directory}/nginx.pid;
error_log {directory}/error.log;
events {{ worker_connections 12000; }}
http {{ sendfile on; tcp_nopush on; access_log off; keepalive_requests 1000000000;
  keepalive_timeout 300s; default_type application/octet-stream;
  server {{ listen 127.0.0.1:{port} {listening} backlog=4096; {certificate}
    root {root}; }} }}
"""

    def __init__(self, directory, root, certificate=None):
        self.port = free_port()
        self.scheme = "https" if certificate else "http"
        path = os.path.join(directory, "nginx.conf")
        with open(path, "w", encoding="ascii") as file:
            file.write(self.CONFIGURATION.format(directory=directory, port=self.port, root=root,
                                                 **self._tls(certificate)))
        super().__init__(["nginx", "-c", path, "-p", directory], directory)
        self.wait_for_port(self.port)

    @staticmethod
    def _tls(certificate):
        if not certificate:
            return {"listening": "", "certificate": ""}
        return {"listening": "ssl", "certificate":
                "ssl_protocols TLSv1.3; ssl_certificate {}; ssl_certificate_key {};"
                .format(*certificate)}


class Node(Server):
    """penstockd with one core."""

    def __init__(self, directory, *flags, cores=1, cpus=SERVER_CPU, is_tls=False):
        self.scheme = "https" if is_tls else "http"
        ready = os.path.join(directory, "ready.json")
        if os.path.exists(ready):
            os.remove(ready)
        self.started = time.monotonic()
        super().__init__([os.path.join(ROOT, "out", "penstockd"), "--data",
                          os.path.join(directory, "data"), "--http", "127.0.0.1:0", "--cores",
                          str(cores), "--ready-file", ready, *flags], directory, cpus)
        deadline = time.monotonic() + 120
        while not os.path.exists(ready):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"penstockd did not start; see {self.log.name}")
            time.sleep(0.001)
        self.ready_s = time.monotonic() - self.started
        with open(ready, encoding="utf-8") as file:
            self.ready = json.load(file)
        self.port = int(self.ready["http"].rpartition(":")[2])

    def request(self, method, target, body=None):
        connection = self._connect()
        connection.request(method, target, body)
        response = connection.getresponse()
        content = response.read()
        connection.close()
        if response.status != 200:
            raise RuntimeError(f"{method} {target}: {response.status} {content[:300]}")
        return content

    def _connect(self):
        if self.scheme == "http":
            return http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=60, context=context)

    def create_bucket(self, name):
        message = json.dumps({"action": "create-bck", "name": "", "value": None})
        self.request("POST", f"/v1/buckets/{name}?provider=ais", message)

    def put(self, bucket, name, content):
        # Over TLS a PUT without `pid` is sent on to itself (contract, section 1.4).
        self.request("PUT", f"/v1/objects/{bucket}/{name}?provider=ais&pid=bench", content)


class Load:
    """What one run of wrk said."""

    def __init__(self, output):
        self.requests = int(re.search(r"(\d+) requests in", output).group(1))
        self.per_s = float(re.search(r"Requests/sec:\s+([\d.]+)", output).group(1))
        self.p99_ms = self._milliseconds(re.search(r"99%\s+([\d.]+)(us|ms|s)", output))
        errors = re.search(r"Non-2xx or 3xx responses: (\d+)", output)
        self.errors = int(errors.group(1)) if errors else 0

    @staticmethod
    def _milliseconds(match):
        return float(match.group(1)) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[match.group(2)]


class Bench:
    def __init__(self, is_quick):
        self.is_quick = is_quick
        self.rounds = 3 if is_quick else 5
        self.seconds = 1 if is_quick else 3
        self.directory = tempfile.mkdtemp(prefix="penstock-bench-")
        self.servers = []

    def folder(self, name):
        path = os.path.join(self.directory, name)
        os.makedirs(path, exist_ok=True)
        return path

    def node(self, name="node", *flags, **options):
        node = Node(self.folder(name), *flags, **options)
        self.servers.append(node)
        return node

    def nginx(self, root, certificate=None):
        nginx = Nginx(self.folder("nginx"), root, certificate)
        self.servers.append(nginx)
        return nginx

    def stop(self, server, *arguments):
        server.stop(*arguments)
        self.servers.remove(server)

    def load(self, server, target, connections, seconds=None, script=None, script_arguments=()):
        """One run of wrk against a server; gives (load, server CPU us per request)."""
        command = ["taskset", "-c", LOAD_CPU, "wrk", "-t1", f"-c{connections}",
                   f"-d{seconds or self.seconds}s", "--latency"]
        if script:
            command += ["-s", os.path.join(ROOT, "bench", script)]
        command += [f"{server.scheme}://127.0.0.1:{server.port}{target}"]
        if script_arguments:
            command += ["--", *map(str, script_arguments)]
        before = cpu_seconds(server.pid)
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        used = cpu_seconds(server.pid) - before
        load = Load(done.stdout)
        if load.errors or load.requests == 0:
            raise RuntimeError(f"{command}: {load.errors} errors, {load.requests} requests")
        return load, used * 1e6 / load.requests

    def clean_up(self):
        for server in self.servers:
            server.stop()
        shutil.rmtree(self.directory, ignore_errors=True)


def median(values):
    return statistics.median(values)


class Table:
    """Rows of (what, figures, what must be reached, whether it is)."""

    def __init__(self):
        self.rows = []

    def add(self, what, figures, must, is_reached):
        row = {"what": what, "figures": figures, "must": must, "reached": bool(is_reached)}
        self.rows.append(row)
        print(f"  {what}: {figures}   must: {must}   {'reached' if is_reached else 'MISSED'}",
              flush=True)

    def show(self):
        print("\n| what | measured | must reach | |")
        print("|---|---|---|---|")
        for row in self.rows:
            print(f"| {row['what']} | {row['figures']} | {row['must']} |"
                  f" {'yes' if row['reached'] else 'no'} |")
