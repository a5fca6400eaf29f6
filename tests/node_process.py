"""What black-box tests share: a node of their own, in a fresh directory, stopped by its process id;
requests; and counting what holds."""

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.parse


class Node:
    """A node that runs at `url`, `host`:`port`, as the process `pid` if that is known."""

    def __init__(self, url, pid=None):
        self.url = url.rstrip("/")
        parts = urllib.parse.urlsplit(self.url)
        self.host, self.port = parts.hostname, parts.port
        self.pid = pid

    def connect(self, timeout_s=20):
        return http.client.HTTPConnection(self.host, self.port, timeout=timeout_s)

    def connect_raw(self, timeout_s=20):
        return socket.create_connection((self.host, self.port), timeout_s)

    def request(self, method, target, body=None, headers=None):
        """One request on a connection of its own: (status, headers, body)."""
        connection = self.connect()
        try:
            connection.request(method, target, body, headers or {})
            response = connection.getresponse()
            return response.status, response.headers, response.read()
        finally:
            connection.close()

    def act(self, method, target, action, value=None):
        """A request whose body says what to do."""
        message = json.dumps({"action": action, "name": "", "value": value}).encode()
        return self.request(method, target, message)

    def create_bucket(self, name):
        status, _, content = self.act("POST", f"/v1/buckets/{name}?provider=ais", "create-bck")
        assert status == 200, (status, content)

    def resident_bytes(self):
        """0 if the process is not known."""
        if not self.pid:
            return 0
        with open(f"/proc/{self.pid}/status", encoding="ascii") as file:
            return next(int(line.split()[1]) << 10 for line in file if line.startswith("VmRSS:"))


class NodeProcess(Node):
    """penstockd on `directory`/data. Keeps `directory`."""

    def __init__(self, penstockd, directory, *flags, timeout_s=30):
        self.directory = directory
        self.data = os.path.join(directory, "data")
        self.log_path = os.path.join(directory, "penstockd.log")
        ready_file = os.path.join(directory, "ready.json")
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [penstockd, "--data", self.data, "--http", "127.0.0.1:0", "--ready-file",
                 ready_file, *flags], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.pid = self.process.pid
        self.ready = self._wait_until_ready(ready_file, time.monotonic() + timeout_s)
        super().__init__(f"http://{self.ready['http']}", self.pid)

    def _wait_until_ready(self, ready_file, deadline):
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                with open(ready_file, encoding="utf-8") as file:
                    ready = json.load(file)
                if ready["pid"] == self.pid:
                    return ready
            except FileNotFoundError:
                pass
            time.sleep(0.002)
        self.kill()
        with open(self.log_path, encoding="utf-8", errors="replace") as file:
            raise RuntimeError("the node did not start:\n" + file.read()[-2000:])

    def is_alive(self):
        return self.process.poll() is None

    def kill(self):
        if self.is_alive():
            self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self, timeout_s=15):
        """An orderly stop; gives the exit status."""
        if self.is_alive():
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                self.kill()
        return self.process.returncode


class TestDirectory:
    """A temporary directory that is kept, and named, when the test failed."""

    def __init__(self, name):
        self.path = tempfile.mkdtemp(prefix=f"penstock-{name}-")
        self.is_kept = False

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is not None or self.is_kept:
            print("kept: " + self.path)
        else:
            shutil.rmtree(self.path, ignore_errors=True)


def make_certificate(directory, name, key="ec", address="127.0.0.1"):
    """A certificate of its own for an address: the paths of it and of its key."""
    paths = [os.path.join(directory, f"{name}.{kind}.pem") for kind in ("certificate", "key")]
    options = (["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"] if key == "ec"
               else ["-newkey", "rsa:2048"])
    subprocess.run(["openssl", "req", "-x509", *options, "-nodes", "-days", "2", "-subj",
                    f"/CN={name}", "-addext", f"subjectAltName=IP:{address}", "-out", paths[0],
                    "-keyout", paths[1]], check=True, capture_output=True, timeout=60)
    return paths


def read_answer(connection):
    """The next answer on a raw connection: (status, head, body), status 0 if none came."""
    content = b""
    try:
        while b"\r\n\r\n" not in content:
            piece = connection.recv(65536)
            if not piece:
                return (0, "", content)
            content += piece
        head, _, body = content.partition(b"\r\n\r\n")
        text = head.decode("latin-1")
        length = 0
        for line in text.split("\r\n")[1:]:
            name, _, value = line.partition(":")
            if name.lower() == "content-length":
                length = int(value)
        while len(body) < length:
            piece = connection.recv(65536)
            if not piece:
                break
            body += piece
        return (int(text.split(" ", 2)[1]), text, body)
    except (OSError, ValueError):
        return (0, "", content)


def add_node_arguments(parser):
    """A test runs against a node that is there, or starts one: chosen_node()."""
    choice = parser.add_mutually_exclusive_group(required=True)
    choice.add_argument("--url")
    choice.add_argument("--penstockd")


@contextlib.contextmanager
def chosen_node(arguments, name, pid=None):
    """The node that the arguments name, or a new one until the end of the block."""
    if arguments.url:
        yield Node(arguments.url, pid)
        return
    with TestDirectory(name) as directory:
        node = NodeProcess(arguments.penstockd, directory.path)
        try:
            yield node
        finally:
            node.stop()


class Checks:
    """Counts what held and what did not, and says so in the last line that ./test reads."""

    def __init__(self):
        self.passed = self.failed = 0

    def check(self, holds, what):
        if holds:
            self.passed += 1
        else:
            self.failed += 1
            print("FAILED: " + what, flush=True)
        return bool(holds)

    def finish(self):
        print(f"{self.passed} passed, {self.failed} failed")
        return 1 if self.failed or not self.passed else 0
