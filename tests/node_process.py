"""A node of its own for a black-box test, in a fresh directory, stopped by its process id."""

import http.client
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time


class NodeProcess:
    """penstockd on `directory`/data; the address is `host`:`port`. Keeps `directory`."""

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
        self.host, _, port = self.ready["http"].rpartition(":")
        self.port = int(port)
        self.url = f"http://{self.ready['http']}"

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

    def connect(self, timeout_s=20):
        return http.client.HTTPConnection(self.host, self.port, timeout=timeout_s)

    def request(self, method, target, body=None, headers=None):
        """One request on a connection of its own: (status, headers, body)."""
        connection = self.connect()
        try:
            connection.request(method, target, body, headers or {})
            response = connection.getresponse()
            return response.status, response.headers, response.read()
        finally:
            connection.close()

    def create_bucket(self, name):
        message = json.dumps({"action": "create-bck", "name": "", "value": None})
        status, _, content = self.request("POST", f"/v1/buckets/{name}?provider=ais", message)
        assert status == 200, (status, content)

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
