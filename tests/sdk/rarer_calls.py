"""The SDK's calls that not everybody makes each day, and those that are refused: everyday.py runs
them, too."""

import os
import shutil
import tempfile


class RarerCalls:
    """Uses what Everyday has: client, bucket, checks, put, read."""

    def logs(self):
        import io
        import tarfile
        equal, true = self.checks.equal, self.checks.true
        cluster = self.client.cluster()
        info = cluster.get_info()
        for node in [*info.tmap, *info.pmap]:
            true(f"log of {node}", "Version" in cluster.get_node_log(node))
            packed = cluster.get_node_log_archive(node)
            with tarfile.open(fileobj=io.BytesIO(packed), mode="r:gz") as tar:
                contents = {entry.name: tar.extractfile(entry).read() for entry in tar}
            true(f"archive of {node}", b"Version" in contents["penstockd.INFO.log"])
        equal("logs of all targets", set(cluster.get_cluster_logs()), set(info.tmap))
        if self.version >= "2":
            from aistore.sdk.enums import LogSeverity
            true("errors", isinstance(cluster.get_node_log(next(iter(info.tmap)),
                                                           LogSeverity.ERROR), str))

    def urls(self):
        import requests
        equal = self.checks.equal
        for name in ("url/1", "url/2 a"):
            self.put(name, name.encode())
        group = self.bucket.objects(obj_names=["url/1", "url/2 a"])
        expected = [b"url/1", b"url/2 a"]
        for what, urls in (("bucket", self.bucket.list_urls(prefix="url/")),
                           ("group", group.list_urls()),
                           ("objects", [self.bucket.object(name).get_url()
                                        for name in ("url/1", "url/2 a")])):
            equal("URLs of " + what,
                  [requests.get(url, timeout=20).content for url in urls], expected)
        equal("semantic URL", self.bucket.object("url/1").get_semantic_url(),
              f"ais://{self.bucket.name}/url/1")
        equal("names of a group", list(group.list_names()), ["url/1", "url/2 a"])
        for what, objects in (("bucket", self.bucket.list_all_objects_iter(prefix="url/")),
                              ("group", group.list_all_objects_iter())):
            equal("objects of " + what,
                  [one.get_reader().read_all() for one in objects], expected)
        member = self.bucket.object("shard.tar").get_url(archpath="000.cls")
        equal("a member's URL", requests.get(member, timeout=20).content, b"cls 0" * 100)

    def files(self):
        with tempfile.TemporaryDirectory() as directory:
            for name in ("a.txt", "b.txt", "sub/c.txt", "d.bin"):
                path = os.path.join(directory, name)
                os.makedirs(os.path.dirname(path), exist_ok=True)
                with open(path, "w", encoding="utf-8") as file:
                    file.write(name)
            self.bucket.put_files(directory, prepend="files/", recursive=True, pattern="*.txt")
        listed = [entry.name for entry in self.bucket.list_all_objects(prefix="files/")]
        self.checks.equal("put_files", listed, ["files/a.txt", "files/b.txt", "files/sub/c.txt"])
        self.checks.equal("content", self.read("files/sub/c.txt"), b"sub/c.txt")

    def attributes(self):
        equal, true = self.checks.equal, self.checks.true
        self.put("attributes", b"0123456789")
        one = self.bucket.object("attributes")
        equal("nothing is cached at first", one.props_cached, None)
        properties = one.props
        equal("cached then", one.props_cached, properties)
        equal("name", (properties.name, properties.bucket_name),
              ("attributes", self.bucket.name))
        equal("copies", int(properties.mirror_copies), 1)
        true("present", properties.present)
        true("access time", properties.access_time)
        asked = "last-modified,etag,checksum,version,chunked,location,copies,custom,ec"
        head = one.head(props=asked) if self.version >= "2" else one.head_v2(asked)
        true("etag", head.etag)
        true("last modified", head.last_modified)

    def job_times(self):
        from datetime import datetime, timedelta, timezone
        equal, true = self.checks.equal, self.checks.true
        before = datetime.now(timezone.utc) - timedelta(minutes=1)
        self.put("timed", b"x")
        job = self.client.job(self.bucket.objects(obj_names=["timed"]).delete(),
                              "delete-listrange")
        job.wait(timeout=30)
        equal("kind and id", (job.job_kind, len(job.job_id) >= 9), ("delete-listrange", True))
        true("total time", job.get_total_time() is not None
             and job.get_total_time() < timedelta(seconds=30))
        found = job.get_within_timeframe(before)
        true("within the time", any(one.id == job.job_id for one in found))
        cleanup = self.client.job(self.client.job(job_kind="cleanup").start(), "cleanup")
        result = cleanup.wait_single_node(timeout=30)
        true("wait for one node", result is None or result.success)

    def promotion(self):
        root = "/var/lib/ais/promote"
        directory = os.path.join(root, f"everyday-{os.getpid()}")
        made = not os.path.exists("/var/lib/ais")
        try:
            os.makedirs(os.path.join(directory, "sub"))
        except OSError:
            return  # the SDK knows this directory alone, and it is root's
        try:
            for name in ("one", "sub/two"):
                with open(os.path.join(directory, name), "w", encoding="utf-8") as file:
                    file.write(name)
            self.bucket.object("promoted").promote(os.path.join(directory, "one"))
            self.checks.equal("a promoted file", self.read("promoted"), b"one")
            job = self.bucket.object("tree").promote(directory, recursive=True,
                                                     overwrite_dest=True)
            self.client.job(job).wait(timeout=30)
            names = [entry.name for entry in self.bucket.list_all_objects(prefix="tree")]
            self.checks.equal("promoted", len(names), 2)
        finally:
            shutil.rmtree("/var/lib/ais" if made else directory, ignore_errors=True)

    def remote_only(self):
        """What is for buckets of other stores alone: refused, by the SDK or by the node."""
        from aistore.sdk.errors import AISError, InvalidBckProvider
        raises = self.checks.raises
        group = self.bucket.objects(obj_names=["head"])
        for what, call in (("evict a bucket", self.bucket.evict), ("evict", group.evict),
                           ("prefetch", group.prefetch),
                           ("a cloud bucket", self.bucket.verify_cloud_bucket)):
            raises(what, InvalidBckProvider, call)
        self.put("head", b"x")
        raises("blob download", AISError, self.bucket.object("head").blob_download)
        raises("an inventory", AISError, self.bucket.create_inventory)
        raises("no inventory", AISError, self.bucket.destroy_inventory)
        self.checks.equal("inventories", self.bucket.show_inventory(), {})

    def not_built(self):
        """501, and nothing is changed."""
        from aistore.sdk.errors import AISError
        to = self.client.bucket(self.bucket.name + "-etl")
        for what, call in (
                ("archive", lambda: self.bucket.objects(obj_names=["head"]).archive("x.tar")),
                ("transform", lambda: self.bucket.transform("echo-etl", to)),
                ("transform objects",
                 lambda: self.bucket.objects(obj_names=["head"]).transform(to, "echo-etl")),
                ("batch", lambda: self.client.batch(["head"], self.bucket).get()),
                ("etls", self.client.cluster().list_etls)):
            try:
                call()
                self.checks.equal(what, "no error", "501")
            except AISError as error:
                self.checks.equal(what, error.status_code, 501)
        self.checks.true("no archive", "x.tar" not in
                         [entry.name for entry in self.bucket.list_all_objects(prefix="x")])
