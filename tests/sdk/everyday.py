#!/usr/bin/env python3
"""Drives AIStore's unmodified Python SDK through its everyday calls against a node.

    tests/sdk/everyday.py --penstockd out/penstockd     starts a node of its own
    tests/sdk/everyday.py --url http://127.0.0.1:51080  uses one that runs

Both SDK releases are used, each in a virtual environment under --venvs (made when it is missing).
Every check is one call and what it must give. The last line is "N passed, N failed".
"""

import argparse
import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests"))
import node_process  # noqa: E402 pylint: disable=wrong-import-position
from rarer_calls import RarerCalls  # noqa: E402 pylint: disable=wrong-import-position

TOKEN = "penstock_of-the-everyday-test"
SDK_VERSIONS = ["2.0.0", "1.25.0"]
# 1.25.0 calls xxhash in a way that its fourth release no longer takes.
REQUIREMENTS = {"2.0.0": ["aistore==2.0.0"], "1.25.0": ["aistore==1.25.0", "xxhash<4"]}

# Contract, section 1.3: names that must survive PUT, GET, list and DELETE.
ODD_NAMES = ["%", "%25", "%3D", "yHvMJM(s\\(0hR\\3\\)", "file_#@!$%^&*()_+.mp3",
             "track?name=lofi&v=1", "track%20space.wav", "my audio file .m4a", "你好世界",
             "-hiddenfile.ogg", ".audio_hidden.wav", "track=id=1234.mp3", "audio/raw/file.wav",
             "a+b c", "quote\"back\\slash", "n" * 1024, "dir/" * 200 + "deep"]


class Checks:
    """Counts what holds and prints what does not."""

    def __init__(self):
        self.passed = 0
        self.failed = 0

    def equal(self, what, actual, expected):
        if actual == expected:
            self.passed += 1
        else:
            self.failed += 1
            print(f"FAILED {what}: {str(actual)[:300]!r} is not {str(expected)[:300]!r}")

    def true(self, what, condition):
        self.equal(what, bool(condition), True)

    def raises(self, what, error, call):
        try:
            call()
        except error as raised:
            # The class itself, not a base that would hide a wrong classification.
            self.equal(what, type(raised).__name__, error.__name__)
        except Exception as other:  # pylint: disable=broad-except
            self.equal(what, f"{type(other).__name__}: {other}", error.__name__)
        else:
            self.equal(what, "no error", error.__name__)

    def section(self, name, call):
        try:
            call()
        except Exception as error:  # pylint: disable=broad-except
            self.failed += 1
            print(f"FAILED {name}: {type(error).__name__}: {str(error)[:600]}")


class Everyday(RarerCalls):
    """The calls, in the order in which a user meets them."""

    def __init__(self, url, checks):
        import aistore  # pylint: disable=import-outside-toplevel
        from aistore import Client
        from aistore.sdk.retry_config import RetryConfig
        from tenacity import Retrying, stop_after_attempt
        from urllib3.util.retry import Retry
        self.version = aistore.__version__
        self.checks = checks
        self.url = url
        retry = RetryConfig(http_retry=Retry(total=0),
                            network_retry=Retrying(stop=stop_after_attempt(1), reraise=True))
        self.client = Client(url, retry_config=retry, timeout=(3, 20))
        self.bucket = self.client.bucket("everyday-" + self.version.replace(".", "-"))

    def run(self):
        self.bucket.delete(missing_ok=True)
        for name in ("cluster", "bucket_life", "bucket_names", "objects", "chunked_put", "ranges",
                     "heads", "custom", "odd_names", "listing", "long_listing", "summary",
                     "members", "conditions", "missing", "jobs", "bucket_jobs", "properties",
                     "namespaces", "uploads", "appends", "logs", "urls", "files", "attributes",
                     "job_times", "promotion", "remote_only", "not_built"):
            self.checks.section(name, getattr(self, name))
        self.checks.section("destroy", self.destroy)

    def put(self, name, content):
        return self.bucket.object(name).get_writer().put_content(content)

    def read(self, name, **options):
        return self.bucket.object(name).get_reader(**options).read_all()

    def cluster(self):
        equal, true = self.checks.equal, self.checks.true
        cluster = self.client.cluster()
        equal("is_ready", cluster.is_ready(), True)
        info = cluster.get_info()
        true("the map has a gateway and a target", info.pmap and info.tmap)
        true("the map has a uuid", cluster.get_uuid())
        equal("the primary's URL answers", self.client_at(cluster.get_primary_url()).cluster()
              .is_ready(), True)
        performance = cluster.get_performance()
        equal("performance of every target", set(performance), set(info.tmap))
        true("running jobs are a list", isinstance(cluster.list_running_jobs(), list))
        true("jobs are a list", isinstance(cluster.list_jobs_status(), list))
        true("buckets are a list", isinstance(cluster.list_buckets(), list))
        target = next(iter(info.tmap))
        true("a target's log has text", self.log_of(cluster, target))

    @staticmethod
    def log_of(cluster, target):
        if hasattr(cluster, "get_node_log"):
            log = cluster.get_node_log(target)
            return log if isinstance(log, (str, bytes)) else str(log)
        return "no such call in this SDK"

    def client_at(self, url):
        from aistore import Client  # pylint: disable=import-outside-toplevel
        return Client(url)

    def bucket_life(self):
        from aistore.sdk.errors import AISError, ErrBckAlreadyExists, ErrBckNotFound
        equal, raises = self.checks.equal, self.checks.raises
        self.bucket.create()
        raises("create again", ErrBckAlreadyExists, self.bucket.create)
        self.bucket.create(exist_ok=True)
        names = [bucket.name for bucket in self.client.cluster().list_buckets()]
        equal("listed once", names.count(self.bucket.name), 1)
        headers = self.bucket.head()
        self.checks.true("bucket properties", "Ais-Bucket-Props" in headers)
        nowhere = self.client.bucket("everyday-nowhere")
        raises("list a bucket that is not there", ErrBckNotFound, nowhere.list_objects)
        raises("delete it", ErrBckNotFound, nowhere.delete)
        raises("head it", AISError, nowhere.head)
        raises("put into it", ErrBckNotFound,
               lambda: nowhere.object("o").get_writer().put_content(b"x"))
        raises("read from it", ErrBckNotFound,
               lambda: nowhere.object("o").get_reader().read_all())
        nowhere.delete(missing_ok=True)

    def bucket_names(self):
        for name in ["*", ".", " ", "bucket and name", "$badname", "~badname", "bucket/badname",
                     "", "#badname"]:
            try:
                self.client.bucket(name).create()
                self.checks.equal(f"bucket name {name!r}", "created", "refused")
            except Exception:  # pylint: disable=broad-except
                self.checks.passed += 1

    def objects(self):
        equal = self.checks.equal
        response = self.put("one.txt", b"hello world")
        equal("put", response.status_code, 200)
        equal("read", self.read("one.txt"), b"hello world")
        self.put("one.txt", b"hello again")
        equal("overwritten", self.read("one.txt"), b"hello again")
        self.put("empty", b"")
        equal("empty", self.read("empty"), b"")
        content = os.urandom(5_000_000)
        with tempfile.NamedTemporaryFile() as file:
            file.write(content)
            file.flush()
            self.bucket.object("large/file.bin").get_writer().put_file(file.name)
        equal("large", self.read("large/file.bin") == content, True)
        pieces = b"".join(self.bucket.object("large/file.bin").get_reader())
        equal("large in pieces", pieces == content, True)
        with self.bucket.object("large/file.bin").get_reader().as_file() as file:
            equal("large as a file", file.read() == content, True)
        raw = self.bucket.object("one.txt").get_reader().raw()
        equal("raw", raw.read(), b"hello again")
        equal("latest", self.read("one.txt", latest=True), b"hello again")
        equal("direct", self.read("one.txt", direct=True), b"hello again")
        url = f"ais://{self.bucket.name}/one.txt"
        equal("by URL", self.client.get_object_from_url(url).get_reader().read_all(),
              b"hello again")
        with self.bucket.object("large/file.bin").get_reader(num_workers=2).read_all() as buffer:
            equal("parallel", bytes(buffer.buf[:len(content)]) == content, True)

    def chunked_put(self):
        import requests  # pylint: disable=import-outside-toplevel
        response = requests.put(f"{self.url}/v1/objects/{self.bucket.name}/chunked?provider=ais",
                                data=iter([b"sent ", b"without ", b"a length"]), timeout=20)
        self.checks.equal("chunked put", response.status_code, 200)
        self.checks.equal("chunked read", self.read("chunked"), b"sent without a length")

    def ranges(self):
        from aistore.sdk.errors import AISError
        self.put("range", b"0123456789")
        for text, expected in [("bytes=2-5", b"2345"), ("bytes=5-", b"56789"),
                               ("bytes=-3", b"789"), ("bytes=5-100", b"56789")]:
            self.checks.equal(text, self.read("range", byte_range=text), expected)
        self.checks.raises("range behind the end", AISError,
                           lambda: self.read("range", byte_range="bytes=20-"))

    def heads(self):
        equal, true = self.checks.equal, self.checks.true
        self.put("head", b"0123456789")
        head = self.bucket.object("head").head()
        # 1.25 gives headers, 2.0 attributes.
        size = head.get("Content-Length") if hasattr(head, "get") else head.size
        equal("size", int(size), 10)
        properties = self.bucket.object("head").props
        equal("version", properties.obj_version, "1")
        equal("size by properties", properties.size, 10)
        equal("checksum type", properties.checksum_type, "xxhash2")
        equal("checksum", properties.checksum_value, "3f5fc178a81867e7")
        true("location", properties.location.startswith("t["))
        equal("mirror paths", len(properties.mirror_paths), 1)
        equal("no custom metadata", properties.custom_metadata, {})
        attributes = self.bucket.object("head").get_reader().attributes
        equal("reader's size", attributes.size, 10)
        equal("reader's version", attributes.obj_version, "1")

    def custom(self):
        writer = self.bucket.object("custom").get_writer()
        writer.put_content(b"x")
        writer.set_custom_props({"k1": "v1", "k2": "v2"})
        attributes = self.bucket.object("custom").get_reader().head()
        self.checks.equal("custom", attributes.custom_metadata, {"k1": "v1", "k2": "v2"})
        writer.set_custom_props({"only": "me"}, replace_existing=True)
        attributes = self.bucket.object("custom").get_reader().head()
        self.checks.equal("custom replaced", attributes.custom_metadata, {"only": "me"})

    def odd_names(self):
        for name in ODD_NAMES:
            content = name.encode()
            self.put(name, content)
            self.checks.equal(f"read {name[:40]!r}", self.read(name), content)
            listed = [entry.name for entry in self.bucket.list_all_objects(prefix=name)]
            self.checks.true(f"list {name[:40]!r}", name in listed)
            self.bucket.object(name).delete()
            left = [entry.name for entry in self.bucket.list_all_objects(prefix=name)]
            self.checks.true(f"delete {name[:40]!r}", name not in left)

    def listing(self):
        from aistore.sdk.list_object_flag import ListObjectFlag
        equal = self.checks.equal
        expected = [f"list/{number:03}" for number in range(25)] + ["list/sub/x"]
        for name in expected:
            self.put(name, b"12")
        entries = self.bucket.list_all_objects(prefix="list/")
        equal("names", [entry.name for entry in entries], expected)
        equal("sizes", {entry.size for entry in entries}, {2})
        page = self.bucket.list_objects(prefix="list/", page_size=10)
        equal("page", [entry.name for entry in page.entries], expected[:10])
        second = self.bucket.list_objects(prefix="list/", page_size=10, uuid=page.uuid,
                                          continuation_token=page.continuation_token)
        equal("second page", [entry.name for entry in second.entries], expected[10:20])
        names = [entry.name for entry in
                 self.bucket.list_objects_iter(prefix="list/", page_size=7)]
        equal("iterator", names, expected)
        full = self.bucket.list_all_objects(
            prefix="list/000", props="name,size,version,checksum,atime,cached,status,copies,"
                                     "custom,location")[0]
        equal("version column", full.version, "1")
        equal("checksum column", len(full.checksum), 16)
        equal("copies column", full.copies, 1)
        equal("cached", (full.is_cached(), full.is_ok()), (True, True))
        flat = self.bucket.list_all_objects(prefix="list/", flags=[ListObjectFlag.NO_RECURSION])
        equal("no recursion", [entry.name for entry in flat], expected[:25] + ["list/sub/"])
        only = self.bucket.list_all_objects(prefix="list/", flags=[ListObjectFlag.NAME_ONLY])
        equal("name only", [entry.name for entry in only], expected)
        if self.version >= "2":
            after = self.bucket.list_all_objects(prefix="list/", start_after="list/020")
            equal("start after", [entry.name for entry in after], expected[21:])

    def long_listing(self):
        for number in range(300):
            self.put(f"many/{number:04}", b"")
        names = [entry.name for entry in self.bucket.list_objects_iter(prefix="many/",
                                                                       page_size=37)]
        self.checks.equal("300 names in pages of 37", names,
                          [f"many/{number:04}" for number in range(300)])

    def summary(self):
        summary = self.bucket.summary(prefix="list/")
        self.checks.equal("objects", int(summary["ObjCount"]["obj_count_present"]), 26)
        self.checks.equal("bytes", int(summary["TotalSize"]["size_all_present_objs"]), 52)
        _, info = self.bucket.info(prefix="list/")
        self.checks.equal("info", int(info["ObjCount"]["obj_count_present"]), 26)

    def members(self):
        import io
        import tarfile
        from aistore.sdk.archive_config import ArchiveConfig
        from aistore.sdk.errors import ErrObjNotFound
        buffer = io.BytesIO()
        contents = {f"{number:03}.{kind}": f"{kind} {number}".encode() * 100
                    for number in range(20) for kind in ("cls", "jpg")}
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            for name, content in contents.items():
                entry = tarfile.TarInfo(name)
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
        self.put("shard.tar", buffer.getvalue())
        for name in ("000.cls", "019.jpg", "007.jpg"):
            content = self.read("shard.tar", archive_config=ArchiveConfig(archpath=name))
            self.checks.equal(f"member {name}", content, contents[name])
        nope = ArchiveConfig(archpath="nope")
        self.checks.raises("a member that is not there", ErrObjNotFound,
                           lambda: self.read("shard.tar", archive_config=nope))
        listed = [entry.name for entry in self.bucket.list_archive("shard.tar")]
        inside = sorted(f"shard.tar/{name}" for name in contents)
        self.checks.equal("members listed", [name for name in listed if name != "shard.tar"],
                          inside)

    def conditions(self):
        import requests  # pylint: disable=import-outside-toplevel
        url = f"{self.url}/v1/objects/{self.bucket.name}/condition?provider=ais"
        first = requests.put(url, data=b"1", headers={"If-None-Match": "*"}, timeout=20)
        second = requests.put(url, data=b"2", headers={"If-None-Match": "*"}, timeout=20)
        self.checks.equal("if absent", (first.status_code, second.status_code), (200, 412))
        etag = requests.head(url, timeout=20).headers["ETag"]
        third = requests.put(url, data=b"3", headers={"If-Match": etag}, timeout=20)
        fourth = requests.put(url, data=b"4", headers={"If-Match": etag}, timeout=20)
        self.checks.equal("if this version", (third.status_code, fourth.status_code), (200, 412))
        wrong = requests.put(url, data=b"5", timeout=20,
                             headers={"Ais-Checksum-Type": "xxhash",
                                      "Ais-Checksum-Value": "0" * 16})
        self.checks.equal("wrong checksum", wrong.status_code, 400)
        self.checks.equal("content", self.read("condition"), b"3")

    def missing(self):
        from aistore.sdk.errors import AISError, ErrObjNotFound
        nothing = self.bucket.object("nope")
        self.checks.raises("read", ErrObjNotFound, lambda: nothing.get_reader().read_all())
        self.checks.raises("head", AISError, nothing.head)
        self.checks.raises("delete", ErrObjNotFound, nothing.delete)
        self.put("gone", b"x")
        self.bucket.object("gone").delete()
        self.checks.raises("read after delete", ErrObjNotFound, lambda: self.read("gone"))

    def jobs(self):
        equal, true = self.checks.equal, self.checks.true
        names = [f"jobs/{number}" for number in range(6)]
        for name in names:
            self.put(name, name.encode())
        to = self.client.bucket(self.bucket.name + "-to")
        to.delete(missing_ok=True)
        group = self.bucket.objects(obj_names=names[:2])
        ids = group.copy(to)
        ids = ids if isinstance(ids, list) else [ids]
        running = self.client.cluster().list_running_jobs()
        true("the copy is among the running jobs", f"copy-listrange[{ids[0]}]" in running)
        result = self.client.job(ids[0]).wait(timeout=30)
        true("wait for a copy", result is None or result.success)
        equal("copied", [entry.name for entry in to.list_all_objects()], names[:2])
        ids = self.bucket.objects(obj_template="jobs/{2..3}").copy(to, prepend="pre/")
        self.client.job(ids[0]).wait_for_idle(timeout=30)
        equal("copied by template", to.object("pre/jobs/2").get_reader().read_all(), b"jobs/2")
        job = self.bucket.objects(obj_names=[names[0], "jobs/nope"]).delete()
        result = self.client.job(job).wait(timeout=30)
        if self.version >= "2":
            equal("a miss fails the wait", result.success, False)
            true("and says so", "jobs/nope does not exist" in result.error)
        equal("status", self.client.job(job).status().aborted, False)
        details = self.client.job(job, "delete-listrange").get_details()
        snapshots = details.list_snapshots()
        equal("snapshots", [(one.id, one.kind, one.stats.objects) for one in snapshots],
              [(job, "delete-listrange", 1)])
        job = self.bucket.objects(obj_template="jobs/{1..5}").delete()
        self.client.job(job).wait(timeout=30)
        equal("deleted", self.bucket.list_all_objects(prefix="jobs/"), [])
        for _ in range(2):
            true("start lru", self.client.job(job_kind="lru").start())
        cleanup = self.client.job(job_kind="cleanup").start()
        self.client.job(cleanup, "cleanup").wait(timeout=30)
        statuses = self.client.cluster().list_jobs_status()
        true("all are known", {cleanup, job} <= {status.uuid for status in statuses})
        if self.version >= "2":  # 1.25 has no such call
            self.client.job(ids[0]).abort()
            snapshot = self.client.job(ids[0]).get_details().list_snapshots()[0]
            equal("stopped", snapshot.aborted, True)
        to.delete()

    def bucket_jobs(self):
        from aistore.sdk.errors import AISError, ErrBckNotFound
        equal, raises = self.checks.equal, self.checks.raises
        first = self.client.bucket(self.bucket.name + "-a").create(exist_ok=True)
        for number in range(10):
            first.object(f"dir/{number}.txt").get_writer().put_content(b"twelve bytes")
        copied = self.client.bucket(self.bucket.name + "-b")
        moved = self.client.bucket(self.bucket.name + "-c")
        for bucket in (copied, moved):
            bucket.delete(missing_ok=True)
        job = first.copy(copied, prefix_filter="dir/", prepend="p/", ext={"txt": "md"})
        self.client.job(job).wait(timeout=30)
        self.client.job(job).wait_for_idle(timeout=30)
        equal("copied bucket", [entry.name for entry in copied.list_all_objects()],
              [f"p/dir/{number}.md" for number in range(10)])
        job = first.copy(moved, dry_run=True)
        self.client.job(job).wait(timeout=30)
        raises("a dry run makes nothing", ErrBckNotFound, moved.list_all_objects)
        raises("onto itself", AISError, lambda: first.copy(first))
        job = copied.rename(moved.name)
        self.client.job(job).wait(timeout=30)
        equal("renamed", len(self.client.bucket(moved.name).list_all_objects()), 10)
        raises("the old name is gone", ErrBckNotFound,
               lambda: self.client.bucket(self.bucket.name + "-b").list_all_objects())
        first.object("dir/0.txt").copy(first.object("copy of one"))
        equal("copied object", first.object("copy of one").get_reader().read_all(),
              b"twelve bytes")
        first.delete()
        self.client.bucket(moved.name).delete()

    def properties(self):
        import json
        import requests
        url = f"{self.url}/v1/buckets/{self.bucket.name}?provider=ais"

        def patch(action, value):
            return requests.patch(url, json={"action": action, "value": value},
                                  timeout=20).status_code

        def current():
            return json.loads(self.bucket.head()["Ais-Bucket-Props"])
        changed = {"checksum": {"type": "md5"}, "versioning": {"enabled": False},
                   "features": "4", "extra": {"custom": "tag"}}
        self.checks.equal("set", patch("set-bprops", changed), 200)
        self.checks.equal("checksum", current()["checksum"]["type"], "md5")
        self.checks.equal("versions", current()["versioning"]["enabled"], False)
        self.checks.equal("features", current()["features"], "4")
        self.checks.equal("reset", patch("reset-bprops", None), 200)
        self.checks.equal("checksum again", current()["checksum"]["type"], "xxhash2")
        self.checks.equal("features again", current()["features"], "0")

    def uploads(self):
        from concurrent.futures import ThreadPoolExecutor
        from aistore.sdk.errors import AISError
        equal, raises = self.checks.equal, self.checks.raises
        whole = self.bucket.object("parts")
        parts = [bytes([65 + number]) * (300_000 + number) for number in range(6)]
        upload = whole.multipart_upload().create()
        with ThreadPoolExecutor(3) as pool:
            list(pool.map(lambda number: upload.add_part(number + 1).put_content(parts[number]),
                          reversed(range(6))))
        raises("not seen yet", AISError, whole.head)
        upload.complete()
        equal("in order", whole.get_reader().read_all(), b"".join(parts))
        equal("a range across parts",
              whole.get_reader(byte_range="bytes=299990-300009").read_all(),
              b"A" * 10 + b"B" * 10)
        raises("complete twice", AISError, upload.complete)
        again = whole.multipart_upload().create()
        again.add_part(1).put_content(b"other")
        again.abort()
        raises("abort twice", AISError, again.abort)
        equal("an abort changes nothing", whole.get_reader().read_all(), b"".join(parts))
        empty = whole.multipart_upload().create()
        raises("without parts", AISError, empty.complete)

    def appends(self):
        equal = self.checks.equal
        appended = self.bucket.object("appended")
        self.put("appended", b"old,")
        writer = appended.get_writer()
        handle = writer.append_content(b"one,")
        handle = writer.append_content(b"two", handle)
        equal("not seen before the flush", self.read("appended"), b"old,")
        writer.append_content(b"", handle, True)
        equal("appended", self.read("appended"), b"old,one,two")
        for mode, expected in (("w", b"one,two"), ("a", b"one,twoone,two")):
            with appended.get_writer().as_file(mode) as file:
                file.write(b"one,")
                file.write(b"two")
            equal("as_file " + mode, self.read("appended"), expected)

    def namespaces(self):
        from aistore.sdk.namespace import Namespace
        other = self.client.bucket(self.bucket.name, namespace=Namespace(name="ns"))
        other.delete(missing_ok=True)
        other.create()
        self.put("same", b"global")
        other.object("same").get_writer().put_content(b"in ns")
        self.checks.equal("global", self.read("same"), b"global")
        self.checks.equal("in ns", other.object("same").get_reader().read_all(), b"in ns")
        self.checks.equal("alone there", [entry.name for entry in other.list_all_objects()],
                          ["same"])
        other.delete()
        self.checks.equal("still there", self.read("same"), b"global")

    def destroy(self):
        from aistore.sdk.errors import ErrBckNotFound
        self.bucket.delete()
        self.checks.raises("list after destroy", ErrBckNotFound, self.bucket.list_objects)
        self.bucket.create()
        self.checks.equal("empty when made anew", self.bucket.list_all_objects(), [])
        self.bucket.delete()


def drive_with_token(url, certificate, checks):
    """A node that wants tokens and speaks TLS: the SDK shows its token as everybody does, and sends
    the heads of its uploads before the rest."""
    from aistore import Client
    from aistore.sdk.errors import AISError
    bucket = Client(url, ca_cert=certificate, token=TOKEN).bucket("private").create(exist_ok=True)
    bucket.object("o").get_writer().put_content(b"secret")
    checks.equal("get with a token", bucket.object("o").get_reader().read_all(), b"secret")
    checks.equal("list with a token", [one.name for one in bucket.list_all_objects()], ["o"])
    large = os.urandom(3_000_000)
    bucket.object("large").get_writer().put_content(large)
    checks.equal("large over TLS", bucket.object("large").get_reader().read_all(), large)
    bucket.object("empty").get_writer().put_content(b"")
    checks.equal("empty over TLS", bucket.object("empty").get_reader().read_all(), b"")
    for name, client in (("none", Client(url, ca_cert=certificate)),
                         ("wrong", Client(url, ca_cert=certificate, token="wrong"))):
        checks.raises(f"get, token: {name}", AISError,
                      client.bucket("private").object("o").get_reader().read_all)
    bucket.delete()


def drive(url, guarded_url, certificate):
    """Inside a virtual environment: all checks with the SDK that is there."""
    checks = Checks()
    everyday = Everyday(url, checks)
    everyday.run()
    if guarded_url:
        drive_with_token(guarded_url, certificate, checks)
    print(f"{checks.passed} passed, {checks.failed} failed")
    return 1 if checks.failed else 0


def python_with_sdk(directory, version):
    venv = os.path.join(directory, f"venv-aistore-{version}")
    python = os.path.join(venv, "bin", "python3")
    stamp = os.path.join(venv, "complete")
    if not os.path.exists(stamp):
        shutil.rmtree(venv, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
                        *REQUIREMENTS.get(version, [f"aistore=={version}"])], check=True)
        with open(stamp, "w", encoding="utf-8"):
            pass
    return python


@contextlib.contextmanager
def guarded_node(penstockd):
    """The URL of a node that speaks TLS and knows TOKEN alone, and its certificate; empty where the
    node under test is not ours."""
    if not penstockd:
        yield "", ""
        return
    with node_process.TestDirectory("everyday-guarded") as directory:
        with open(os.path.join(directory.path, "tokens"), "w", encoding="utf-8") as file:
            file.write(f"sdk admin * {hashlib.sha256(TOKEN.encode()).hexdigest()}\n")
        certificate, key = node_process.make_certificate(directory.path, "guarded")
        settings = os.path.join(directory.path, "node.toml")
        with open(settings, "w", encoding="utf-8") as file:
            file.write('[access]\ntokens_file = "tokens"\n[tls]\nloopback = true\n'
                       f'certificate = "{certificate}"\nkey = "{key}"\n')
        node = node_process.NodeProcess(penstockd, directory.path, "--settings", settings)
        try:
            yield node.url.replace("http:", "https:"), certificate
        finally:
            node.stop()


def drive_all(url, guarded, versions, venvs):
    passed = failed = 0
    # Where the environment names certificates, `requests` trusts them and not those of the SDK's.
    environment = dict(os.environ)
    if guarded[1]:
        environment["REQUESTS_CA_BUNDLE"] = guarded[1]
    for version in versions:
        python = python_with_sdk(venvs, version)
        done = subprocess.run([python, os.path.abspath(__file__), "--inside", "--url", url,
                               "--guarded", *guarded],
                              stdout=subprocess.PIPE, text=True, timeout=600, check=False,
                              env=environment)
        lines = done.stdout.strip().splitlines()
        words = lines[-1].split() if lines else []
        is_count = len(words) == 4 and words[1] == "passed,"
        print(f"aistore {version}:")
        print("\n".join("  " + line for line in lines[-40:]))
        passed += int(words[0]) if is_count else 0
        failed += int(words[2]) if is_count else 1
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or passed == 0 else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    node_process.add_node_arguments(parser)
    parser.add_argument("--sdk", default=",".join(SDK_VERSIONS))
    parser.add_argument("--venvs", default=os.path.join(ROOT, "out"))
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--guarded", nargs=2, default=("", ""), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.inside:
        return drive(arguments.url, *arguments.guarded)
    versions = arguments.sdk.split(",")
    with (node_process.chosen_node(arguments, "everyday") as node,
          guarded_node(arguments.penstockd) as guarded):
        return drive_all(node.url, guarded, versions, arguments.venvs)


if __name__ == "__main__":
    sys.exit(main())
