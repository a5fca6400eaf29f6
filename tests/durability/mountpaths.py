#!/usr/bin/env python3
"""Several mountpaths of one node: what is missing, foreign, copied or old is refused or answers
errors; objects move when one comes or goes, under a load, and after kill -9; nothing is lost,
nothing that was removed comes back, and every listing has each name once. Jobs are known after
kill -9 without the mountpath that was the first one.

    mountpaths.py --penstockd PATH [--objects N] [--kills N]
"""

import argparse
import http.client
import json
import os
import random
import shutil
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from node_process import Node, TestDirectory  # noqa: E402


class Set(Node):
    """penstockd on several directories below `root`."""

    def __init__(self, penstockd, root, names, *flags):
        ready_file = os.path.join(root, "ready.json")
        if os.path.exists(ready_file):
            os.remove(ready_file)
        arguments = [penstockd, "--http", "127.0.0.1:0", "--rpc", "off", "--ready-file", ready_file]
        for name in names:
            arguments += ["--data", os.path.join(root, name)]
        self.log_path = os.path.join(root, "penstockd.log")
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(arguments + list(flags), stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log)
        deadline = time.monotonic() + 60
        while self.process.poll() is None and not os.path.exists(ready_file):
            assert time.monotonic() < deadline, "the node did not start"
            time.sleep(0.01)
        if self.process.poll() is not None:
            with open(self.log_path, encoding="utf-8", errors="replace") as log:
                raise Refused(self.process.returncode, log.read().splitlines()[-1])
        with open(ready_file, encoding="utf-8") as file:
            ready = json.load(file)
        self.node_id = ready["node"]
        super().__init__("http://" + ready["http"], self.process.pid)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(30)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def mountpath(self, method, action, path, query=""):
        body = json.dumps({"action": action, "name": "", "value": path}).encode()
        return self.request(method, "/v1/reverse/daemon/mountpaths" + query, body,
                            {"Ais-Node-Id": self.node_id})

    def mountpaths(self):
        _, _, body = self.request("GET", "/v1/reverse/daemon?what=mountpaths",
                                  headers={"Ais-Node-Id": self.node_id})
        return json.loads(body)

    def put(self, name, content):
        return self.request("PUT", f"/v1/objects/b/{name}?provider=ais", content)[0]

    def get(self, name):
        status, _, body = self.request("GET", f"/v1/objects/b/{name}?provider=ais")
        return status, body

    def delete(self, name):
        return self.request("DELETE", f"/v1/objects/b/{name}?provider=ais")[0]

    def list(self):
        names, token = [], ""
        while True:
            value = {"pagesize": 100, "props": "name,size", "continuation_token": token}
            body = json.dumps({"action": "list", "value": value}).encode()
            status, _, page = self.request("GET", "/v1/buckets/b?provider=ais", body)
            if status != 200:
                return status, []
            page = json.loads(page)
            names += [entry["name"] for entry in page["entries"] or []]
            token = page["continuation_token"]
            if not token:
                return 200, names


def resilver(node):
    """The newest job of this kind."""
    status, _, body = node.request("GET", "/v1/cluster?what=status",
                                   json.dumps({"kind": "resilver"}).encode())
    assert status == 200, (status, body)
    return json.loads(body)


def check_figures(node, paths):
    """Each mountpath is seen by itself, wherever figures are."""
    text = node.request("GET", "/metrics")[2].decode()
    objects = {}
    for line in text.splitlines():
        if line.startswith("penstock_mountpath_objects{"):
            label, value = line.rsplit(" ", 1)
            objects[label.split('"')[1]] = int(value)
    assert sorted(objects) == sorted(paths) and min(objects.values()) > 0, objects
    assert sum(objects.values()) == len(node.list()[1]), objects
    _, _, body = node.request("GET", "/v1/reverse/daemon?what=node_status",
                              headers={"Ais-Node-Id": node.node_id})
    capacity = json.loads(body)["capacity"]["mountpaths"]
    assert sorted(capacity) == sorted(paths), capacity


def copy_job(node, to):
    """A copy of the bucket, begun; its id."""
    status, _, job = node.act("POST", f"/v1/buckets/b?provider=ais&bck_to=ais%2F%40%23%2F{to}%2F",
                              "copy-bck", {})
    assert status == 200, (status, job)
    return job.decode()


def await_job(node, job):
    """Done; the node knows it."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        status, _, body = node.request("GET", "/v1/cluster?what=qryxstats",
                                       json.dumps({"ID": job}))
        assert status == 200, (job, "is forgotten", status)
        if next(iter(json.loads(body).values()))[0]["is_idle"]:
            return
        time.sleep(0.02)
    raise TimeoutError(job)


class Refused(Exception):
    def __init__(self, status, line):
        super().__init__(f"exit status {status}: {line}")
        self.status, self.line = status, line


def content_of(name, version):
    size = 300_000 if int(name[1:]) % 17 == 0 else 500
    return (f"{name} {version};".encode() * (size // 8))[:size]


def check(node, kept):
    """`kept`: name -> version, None if it was removed."""
    for name, version in kept.items():
        status, body = node.get(name)
        if version is None:
            assert status == 404, (name, status)
        else:
            assert status == 200 and body == content_of(name, version), (name, status, body[:80])
    status, names = node.list()
    assert status == 200 and names == sorted(n for n, v in kept.items() if v is not None), (
        status, len(names))


def refused(penstockd, root, names, words, *flags):
    try:
        Set(penstockd, root, names, *flags).stop()
    except Refused as refusal:
        assert refusal.status == 3 and words in refusal.line, refusal
        return
    raise AssertionError(f"{names} were accepted")


def test_starts(penstockd, root, kept):
    """Missing, foreign, copied, old."""
    refused(penstockd, root, ["a", "b"], "missing")
    refused(penstockd, root, ["a"], "missing")
    with Set(penstockd, root, ["b", "a"], "--allow-missing-mountpath") as node:
        statuses = {node.get(name)[0] for name in kept}
        assert statuses == {200, 503}, statuses
        assert node.list()[0] == 503
        lost = next(name for name in kept if node.get(name)[0] == 503)
        assert node.put(lost, b"x") == 503 and node.delete(lost) == 503
        # It comes back without a restart.
        status, _, body = node.mountpath("PUT", "attach-mp", os.path.join(root, "c"))
        assert status == 200, (status, body)
        check(node, kept)
    with Set(penstockd, root, ["foreign"]) as node:
        node.create_bucket("x")
    shutil.copytree(os.path.join(root, "c"), os.path.join(root, "copy"))
    refused(penstockd, root, ["a", "b", "c", "foreign"], "another node")
    refused(penstockd, root, ["a", "b", "c", "copy"], "same mountpath")
    with Set(penstockd, root, ["c", "b", "a"]) as node:
        check(node, kept)
    with Set(penstockd, root, ["a", "b", "c"]):
        pass
    refused(penstockd, root, ["a", "b", "copy"], "old copy")
    os.rename(os.path.join(root, "c"), os.path.join(root, "renamed"))
    with Set(penstockd, root, ["a", "b", "renamed"]) as node:
        check(node, kept)
    os.rename(os.path.join(root, "renamed"), os.path.join(root, "c"))


class Load(threading.Thread):
    """Overwrites and removes names of its own until it is stopped; `kept` is what was acknowledged,
    `open` the name that was under way when the node died."""

    def __init__(self, node, seed, kept):
        super().__init__()
        self.node, self.random, self.kept = node, random.Random(seed), kept
        self.open = None
        self.is_stopped = False
        self.error = None
        self.count = 0

    def run(self):
        names = list(self.kept)
        while not self.is_stopped:
            name = self.random.choice(names)
            old = self.kept[name]
            new = None if old is not None and self.random.random() < 0.3 else (old or 0) + 1000
            self.open = (name, new)
            try:
                status = (self.node.delete(name) if new is None
                          else self.node.put(name, content_of(name, new)))
            except (OSError, http.client.HTTPException):
                return
            if status == 503:  # its mountpath changed while it came in
                self.open = None
                continue
            if status not in (200, 204):
                self.error = (name, status)
                return
            self.kept[name] = new
            self.open = None
            self.count += 1
            try:
                status, body = self.node.get(name) if self.count % 4 == 0 else (None, None)
            except (OSError, http.client.HTTPException):
                return
            if status is not None and (status != (404 if new is None else 200) or
                                       (new is not None and body != content_of(name, new))):
                self.error = (name, "reads as", status)
                return


def loads_on(node, kept, count=2):
    names = sorted(kept)
    loads = [Load(node, seed, {name: kept[name] for name in names[seed::count]})
             for seed in range(count)]
    for load in loads:
        load.start()
    return loads


def end(loads, kept):
    """Stops them; gives what may be either of two."""
    unsure = {}
    for load in loads:
        load.is_stopped = True
    for load in loads:
        load.join(60)
        assert load.error is None, load.error
        kept.update(load.kept)
        if load.open is not None:
            unsure[load.open[0]] = load.open[1]
    return unsure


def settle(node, kept, unsure):
    """What was under way when the node died is there or not."""
    for name, new in unsure.items():
        status, body = node.get(name)
        if new is None and status == 404:
            kept[name] = None
        elif new is not None and status == 200 and body == content_of(name, new):
            kept[name] = new


def test_changes(penstockd, root, kept, kills):
    """Attach and detach, under a load; killed in the middle."""
    d = os.path.join(root, "d")
    with Set(penstockd, root, ["a", "b", "c"]) as node:
        loads = loads_on(node, kept)
        status, _, body = node.mountpath("PUT", "attach-mp", d)
        assert status == 200, (status, body)
        assert node.mountpath("PUT", "attach-mp", d)[0] == 409
        assert resilver(node)["uuid"]
        assert node.mountpath("POST", "rescan-mp", d)[0] == 200
        deadline = time.monotonic() + 10
        while resilver(node)["end_time"] == 0:
            assert time.monotonic() < deadline, "the job outlives the moves"
            time.sleep(0.02)
        job = resilver(node)
        assert not job["err"] and not job["aborted"], job
        end(loads, kept)
        check(node, kept)
        check_figures(node, [os.path.join(root, name) for name in "abcd"])
        assert d in node.mountpaths()["available"]
        assert node.mountpath("POST", "disable-mp", d)[0] == 200
        assert node.mountpath("POST", "disable-mp", d)[0] == 204
        assert node.list()[0] == 503 and d in node.mountpaths()["disabled"]
        assert node.mountpath("POST", "enable-mp", d)[0] == 200
        assert node.mountpath("POST", "enable-mp", d)[0] == 204
        assert node.mountpath("POST", "enable-mp", "/nowhere")[0] == 404
        assert node.mountpath("DELETE", "detach-mp", "relative")[0] == 400
        loads = loads_on(node, kept)
        status, _, body = node.mountpath("DELETE", "detach-mp", d)
        assert status == 200, (status, body)
        end(loads, kept)
        check(node, kept)
        assert d not in str(node.mountpaths())
    refused(penstockd, root, ["a", "b"], "missing")
    names = ["a", "b", "c"]
    for kill in range(kills):
        is_coming = kill % 2 == 0
        node = Set(penstockd, root, names)
        loads = loads_on(node, kept)
        arguments = (("PUT", "attach-mp", d) if is_coming else ("DELETE", "detach-mp", d))
        call = threading.Thread(target=lambda: ignore(lambda: node.mountpath(*arguments)))
        call.start()
        time.sleep(random.uniform(0.0, 1.6))
        node.kill()
        call.join()
        unsure = end(loads, kept)
        names, node = start_either(penstockd, root, names)
        with node:
            settle(node, kept, unsure)
            check(node, kept)
            if is_coming and "d" not in names:
                assert node.mountpath("PUT", "attach-mp", d)[0] == 200
            if not is_coming and "d" in names:
                status, _, body = node.mountpath("DELETE", "detach-mp", d)
                assert status == 200 or d not in str(node.mountpaths()), (status, body)
            assert node.mountpath("POST", "rescan-mp", os.path.join(root, "a"))[0] == 200
            check(node, kept)
            names = ["a", "b", "c"] + (["d"] if is_coming else [])
    return names


def test_jobs(penstockd, root):
    """A job is known after kill -9 without the mountpath that was the first one, and goes on."""
    node = Set(penstockd, root, ["a", "b", "c"])
    first = copy_job(node, "first")
    node.kill()
    node = Set(penstockd, root, ["b", "c"], "--allow-missing-mountpath")
    await_job(node, first)
    second = copy_job(node, "second")
    assert node.mountpath("PUT", "attach-mp", os.path.join(root, "a"))[0] == 200
    third = copy_job(node, "third")
    node.kill()
    with Set(penstockd, root, ["a", "b", "c"]) as node:
        for job in (first, second, third):
            await_job(node, job)
        fourth = copy_job(node, "fourth")
        status, _, body = node.mountpath("DELETE", "detach-mp", os.path.join(root, "a"))
        assert status == 200, (status, body)
        node.kill()
    with Set(penstockd, root, ["b", "c"]) as node:
        for job in (first, second, third, fourth):
            await_job(node, job)


def start_either(penstockd, root, names):
    """A call that was cut off counts or not: the node says which directories it wants."""
    for wanted in (["a", "b", "c", "d"], ["a", "b", "c"]):
        if wanted == ["a", "b", "c", "d"] and not was_attached(root):
            continue
        try:
            return wanted, Set(penstockd, root, wanted)
        except Refused as refusal:
            assert wanted != ["a", "b", "c"] and refusal.status == 3, (names, refusal)
    raise AssertionError("the node does not start")


def was_attached(root):
    """By the word of any other mountpath: the newest counts, and the kill may have come between."""
    for name in ("a", "b", "c"):
        with open(os.path.join(root, name, "mountpaths"), encoding="utf-8") as file:
            if os.path.join(root, "d") in file.read():
                return True
    return False


def ignore(call):
    try:
        call()
    except (OSError, http.client.HTTPException):
        pass


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--penstockd", required=True)
    parser.add_argument("--objects", type=int, default=400)
    parser.add_argument("--kills", type=int, default=6)
    options = parser.parse_args()
    with TestDirectory("mountpaths") as directory:
        root = directory.path
        kept = {f"n{number:05}": 1 for number in range(options.objects)}
        with Set(options.penstockd, root, ["a", "b", "c"]) as node:
            node.create_bucket("b")
            for name, version in kept.items():
                assert node.put(name, content_of(name, version)) == 200
            check(node, kept)
        test_starts(options.penstockd, root, kept)
        names = test_changes(options.penstockd, root, kept, options.kills)
        if "d" in names:
            with Set(options.penstockd, root, names) as node:
                status, _, body = node.mountpath("DELETE", "detach-mp", os.path.join(root, "d"))
                assert status == 200, (status, body)
        test_jobs(options.penstockd, root)
    print(f"ok: {options.objects} objects, {options.kills} kills")


if __name__ == "__main__":
    main()
