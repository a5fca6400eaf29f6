#!/usr/bin/env python3
"""Replays the recorded exchanges between AIStore and its clients against a node and compares.

    tests/sdk/replay.py --url http://127.0.0.1:51080 [TRACES] [--topic NAME] [--verbose]
    tests/sdk/replay.py --penstockd out/penstockd

TRACES is the folder with the recordings (../shared/contracts/traces beside the repository). Status,
the headers that clients look at and the shape of the body must be the same; what differs must be
explained by a rule of tests/sdk/differences.py. Every bucket of the node is destroyed before each
topic: never point this at one whose data matters. Last line: "N passed, N failed".
"""

import argparse
import base64
import http.client
import io
import json
import os
import re
import sys
import tarfile
import time
import urllib.parse

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path[:0] = [os.path.join(ROOT, "tests", "sdk"), os.path.join(ROOT, "tests")]
import differences   # noqa: E402 pylint: disable=wrong-import-position
import node_process  # noqa: E402 pylint: disable=wrong-import-position
import unpack        # noqa: E402 pylint: disable=wrong-import-position

TOPICS = ["objects-put-get-head", "buckets", "list-objects", "ranges", "errors", "conditional",
          "checksums", "cluster", "properties", "easy-urls", "archive", "jobs", "multi-object",
          "multipart", "append", "aisloader", "download", "pytorch"]
COMPARED_HEADERS = ["Content-Range", "Accept-Ranges", "Ais-Checksum-Type", "Ais-Checksum-Value",
                    "Ais-Version", "Ais-Present", "Ais-Name", "Ais-Bucket-Name",
                    "Ais-Bucket-Provider", "Ais-Mirror-Copies", "Content-Type"]
PRESENT_HEADERS = ["Ais-Atime", "Ais-Location", "Ais-Mirror-Paths", "Ais-Bucket-Props",
                   "Ais-Bucket-Summ", "Ais-Xaction-Id", "Last-Modified", "ETag", "Allow"]
JOB_ID = re.compile(r"g\d+|[A-Za-z0-9][A-Za-z0-9_-]{7,30}[A-Za-z0-9]")
SENT_HEADERS = re.compile(r"(?i)^(ais-|range$|if-|accept$|content-type$|user-agent$)")


def make_tar(members):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in members:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


SHARD = make_tar([("a.jpg", b"pixels of a"), ("a.cls", b"0"), ("b.jpg", b"pixels of b"),
                  ("b.cls", b"1"), ("sub/c.jpg", b"pixels of c")])
# What was there before a recording began, and is not in it.
SETUP = {
    "list-objects": {"lst": {"d/1": b"y", "d/2": b"y", "d/sub/3": b"y", "e/4": b"y", "o0": b"x",
                             "o1": b"xx", "o2": b"xxx", "o3": b"xxxx", "o4": b"xxxxx",
                             "shard.tar": SHARD}, "lstempty": {}},
    "ranges": {"rng": {"o": b"0123456789", "empty": b""}, "rngsum": {"o": b"0123456789"}},
    "errors": {"err": {"o": b"x"}},
    "conditional": {"cond": {"o": b"conditional"}},
    "checksums": {name: {} for name in ["sum", "sum-md5", "sum-crc32c", "sum-sha256", "sum-sha512",
                                        "sum-xxhash", "sum-none"]},
    "objects-put-get-head": {"obj": {}, "other": {}},
    "buckets": {},
    "cluster": {},
    "properties": {name: {"o": b"x"} for name in ["mirrored", "coded", "chunked", "unversioned",
                                                  "readonly", "limited"]},
    "easy-urls": {"easy": {}},
    "archive": {"arch": {"s.tar": SHARD, "noext": SHARD, "plain.txt": b"plain",
                         "f-0.txt": b"file 0", "f-1.txt": b"file 1", "f-2.txt": b"file 2"},
                "arch-to": {}},
}
SETUP["multipart"] = {"mpu": {}}
SETUP["pytorch"] = {"pt": {f"img{number}": f"sample {number}".encode() for number in range(3)},
                    "pts": {"s0.tar": SHARD.ljust(10240, b"\0")}}
SETUP["append"] = {"app": {}}
SETUP["jobs"] = {"jobs": {"o": b"x"}}
SETUP["multi-object"] = {"multi": {f"o-{number}": b"x" for number in range(6)}, "multi-to": {}}
SETUP["properties"]["chunked"] = {"o": b"c" * 10000}
SETUP["properties"]["unversioned"] = {}
# Objects of a bucket that a recording makes itself.
AFTER_CREATE = {"/v1/buckets/b": {f"dir/o{number}.txt": b"twelve bytes" for number in range(4)}}


def clear(node):
    for bucket in json.loads(node.request("GET", "/v1/buckets")[2]):
        space = bucket.get("namespace") or {}
        target = f"/v1/buckets/{bucket['name']}?provider=ais"
        if space.get("name"):
            target += "&namespace=" + urllib.parse.quote(f"@#{space['name']}")
        node.act("PATCH", target, "reset-bprops")
        node.act("DELETE", target, "destroy-bck")


def body_bytes(body):
    """The recorded body, or None if the recording cut it off."""
    if not body:
        return b""
    if "base64" in body:
        content = base64.b64decode(body["base64"])
    else:
        content = body.get("text", "").encode()
    return content if len(content) == body["size"] else None


def shape_of(value, depth=3):
    """Names and kinds; of an array, the shape of its first element."""
    if isinstance(value, dict) and depth:
        return {name: shape_of(inner, depth - 1) for name, inner in value.items()}
    if isinstance(value, list):
        return [shape_of(value[0], depth)] if value else []
    if isinstance(value, bool):
        return "bool"
    return "number" if isinstance(value, (int, float)) else type(value).__name__


def missing_in(expected, actual, path=""):
    """What of `expected` is not in `actual`: more is fine, clients ignore it."""
    if isinstance(expected, dict) and isinstance(actual, dict):
        for name, inner in expected.items():
            if name not in actual:
                yield path + "." + name
            else:
                yield from missing_in(inner, actual[name], path + "." + name)
    elif isinstance(expected, list) and isinstance(actual, list):
        if expected and actual:
            yield from missing_in(expected[0], actual[0], path + "[]")
    elif expected != actual and "NoneType" not in (expected, actual):
        yield f"{path} is {actual}, not {expected}"


class Replay:
    """One topic: its setup, its exchanges in order, what differed."""

    def __init__(self, node, topic, exchanges):
        self.node = node
        self.topic = topic
        self.exchanges = exchanges
        self.ids = {}  # recorded id -> ours
        self.results = []  # (exchange, [difference])

    def run(self):
        clear(self.node)
        smap = json.loads(self.node.request("GET", "/v1/daemon?what=smap")[2])
        self.learn_nodes(next(iter(smap["tmap"])), next(iter(smap["pmap"])))
        for bucket, objects in SETUP.get(self.topic, {}).items():
            self.node.act("POST", f"/v1/buckets/{bucket}?provider=ais", "create-bck")
            for name, content in objects.items():
                self.node.request("PUT", f"/v1/objects/{bucket}/{name}?provider=ais", content)
        if self.topic == "list-objects":
            custom = json.dumps({"value": {"k1": "v1", "k2": "v2"}}).encode()
            self.node.request("PATCH", "/v1/objects/lst/o0?provider=ais", custom)
        for exchange in self.exchanges:
            if exchange["status"] in (301, 307) or exchange["node"] == "authn":
                continue  # its second leg is here, too
            if exchange["path"].startswith("/s3") or differences.is_not_sent(exchange):
                continue
            self.results.append((exchange, self.replay(exchange)))

    def learn_nodes(self, target, gateway):
        for exchange in self.exchanges:
            text = ((exchange["response"] or {}).get("body") or {}).get("text", "")
            for kind, name in re.findall(r'"daemon_type":"(proxy|target)","daemon_id":"(\w+)"',
                                         text):
                self.ids[name] = target if kind == "target" else gateway
            if "what=qryxstats" in exchange["path"]:
                for name in re.findall(r'"(\w{9})":\[', text):
                    self.ids[name] = target
        for exchange in self.exchanges:
            name = exchange["request"]["headers"].get("Ais-Node-Id", "nosuchnode")
            if name != "nosuchnode":
                self.ids.setdefault(name, target)

    def translated(self, text):
        for recorded, ours in self.ids.items():
            text = text.replace(recorded, ours)
        return text

    def replay(self, exchange):
        target = re.sub(r"[?&](pid|utm)=[^&]*", "", exchange["path"])
        if "?" not in target and "&" in target.split("/")[-1] and "?" in exchange["path"]:
            target = target.replace("&", "?", 1)
        if re.search(r"\?pid=[^&]*&", exchange["path"]):
            head, rest = re.split(r"\?pid=[^&]*&", exchange["path"], maxsplit=1)
            target = head + "?" + re.sub(r"&?utm=[^&]*", "", rest)
        body = body_bytes(exchange["request"].get("body"))
        if body is None:
            return ["the recorded request is cut off"]
        if exchange["method"] not in ("PUT",) or "/objects/" not in target:
            body = self.translated(body.decode("utf-8", "surrogateescape")).encode(
                "utf-8", "surrogateescape")
        headers = {}
        for name, value in exchange["request"]["headers"].items():
            if SENT_HEADERS.match(name):
                headers[name] = value
        self.begin_upload(exchange)
        status, answered, content = self.send_until_done(exchange, self.translated(target), body,
                                                         headers)
        if status == exchange["status"]:
            self.learn_ids(exchange, answered, content)
        if '"create-bck"' in str(exchange["request"].get("body")):
            self.fill(target)
        return list(self.compare(exchange, status, answered, content))

    def begin_upload(self, exchange):
        """Makes an upload whose beginning is not in the recording."""
        name = re.search(r"uploadId=([\w-]{9,})", exchange["path"])
        if name and name[1] not in self.ids and exchange["status"] != 404:
            path = exchange["path"].split("?")[0]
            begun = self.node.act("POST", path + "?provider=ais", "mpt-upload")
            self.ids[name[1]] = begun[2].decode()

    def send_until_done(self, exchange, target, body, headers):
        """A poll that the reference answered at last is repeated, as its client did."""
        for _ in range(100):
            answer = self.send(exchange["method"], target, body, headers)
            if answer[0] != 202 or exchange["status"] == 202:
                break
            time.sleep(0.05)
        return answer

    def fill(self, target):
        for name, content in AFTER_CREATE.get(target.split("?")[0], {}).items():
            self.node.request("PUT", f"/v1/objects/b/{name}?provider=ais", content)

    def send(self, method, target, body, headers):
        connection = http.client.HTTPConnection(self.node.host, self.node.port, timeout=20)
        try:
            connection.putrequest(method, target, skip_accept_encoding=True)
            for name, value in headers.items():
                for one in value if isinstance(value, list) else [value]:
                    if re.match(r'"v\d+-\w+-\w+"', one):
                        one = self.node.request("HEAD", target)[1].get("ETag", one)
                    one = self.translated(one) if name == "Ais-Node-Id" else one
                    connection.putheader(name, one)
            connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            response = connection.getresponse()
            return response.status, response.headers, response.read()
        finally:
            connection.close()

    def learn_ids(self, exchange, answered, content):
        response = exchange["response"] or {}
        recorded = response.get("body") or {}
        xid = response.get("headers", {}).get("Ais-Xaction-Id")
        if xid and answered.get("Ais-Xaction-Id"):
            self.ids[xid] = answered["Ais-Xaction-Id"]
        handle = response.get("headers", {}).get("Ais-Append-Handle")
        if handle and answered.get("Ais-Append-Handle"):
            self.ids[urllib.parse.quote(handle, safe="")] = answered["Ais-Append-Handle"]
        if '"mpt-upload"' in str(exchange["request"].get("body")) and exchange["status"] == 200:
            self.ids[recorded["text"]] = content.decode()
        if exchange["status"] == 202 and recorded.get("text"):
            self.ids[recorded["text"]] = content.decode()
        is_job = exchange["method"] != "GET" and JOB_ID.fullmatch(recorded.get("text") or "")
        if is_job and exchange["status"] == 200 and "/v1/objects/" not in exchange["path"]:
            self.ids[recorded["text"]] = content.decode()
        if "decoded" in recorded and answered.get("Content-Type") == "application/msgpack":
            self.ids[recorded["decoded"].get("UUID", "")] = unpack.unpack(content)["UUID"]
            self.ids.pop("", None)

    def compare(self, exchange, status, answered, content):
        if status != exchange["status"]:
            yield f"status {status}, not {exchange['status']}"
            return
        recorded = exchange["response"]["headers"]
        for name in COMPARED_HEADERS:
            if recorded.get(name) != answered.get(name):
                yield f"{name}: {answered.get(name)}, not {recorded.get(name)}"
        for name in PRESENT_HEADERS:
            names = {header.lower() for header in recorded}
            if (name.lower() in names) != (name in answered):
                yield f"{name} is {'there' if name in answered else 'not there'}"
        custom = recorded.get("Ais-Custom-Md", [])
        custom = custom if isinstance(custom, list) else [custom]
        if sorted(custom) != sorted(answered.get_all("Ais-Custom-Md") or []):
            yield f"Ais-Custom-Md: {answered.get_all('Ais-Custom-Md')}, not {custom}"
        yield from self.compare_error(exchange, answered, content)
        if status < 400 and exchange["method"] != "HEAD":
            yield from self.compare_body(exchange, answered, content)

    def compare_error(self, exchange, answered, content):
        if exchange["status"] < 400:
            return
        recorded = exchange["response"]
        is_head = exchange["method"] == "HEAD"
        theirs = recorded["headers"].get("Hdr-Error", "") if is_head else \
            (recorded.get("body") or {}).get("text", "")
        ours = answered.get("Hdr-Error", "") if is_head else content.decode()
        try:
            expected, actual = json.loads(theirs), json.loads(ours)
        except ValueError:
            if bool(theirs.startswith("{")) != bool(ours.startswith("{")):
                yield f"error {ours[:200]!r}, not {theirs[:200]!r}"
            return
        if expected.get("tcode") != actual.get("tcode"):
            yield f"tcode {actual.get('tcode')}, not {expected.get('tcode')}"
        if actual["status"] != exchange["status"]:
            yield f"status in the error: {actual['status']}"
        # Only these are told apart by what is missing or taken.
        if exchange["status"] in (404, 409) and class_of(theirs) != class_of(ours):
            yield f"the SDK sees {class_of(ours)}, not {class_of(theirs)}"

    def compare_body(self, exchange, answered, content):
        recorded = exchange["response"].get("body") or {}
        if answered.get("Content-Type") == "application/msgpack" and "decoded" in recorded:
            yield from self.compare_page(recorded["decoded"], unpack.unpack(content), "Entries")
            return
        text = recorded.get("text", "")
        if text.startswith(("{", "[")) and not recorded.get("cut"):
            expected, actual = json.loads(self.translated(text)), json.loads(content)
            if isinstance(expected, dict) and "entries" in expected:
                yield from self.compare_page(expected, actual, "entries")
            yield from missing_in(shape_of(expected), shape_of(actual))
        elif "/v1/objects/" in exchange["path"]:
            expected = body_bytes(recorded)
            if expected is not None and expected != content:
                yield f"body {content[:60]!r}, not {expected[:60]!r}"

    def compare_page(self, expected, actual, entries):
        ids = {"a", "atime", "t", "location", "created"}
        def plain(page):
            return [{name: value for name, value in entry.items() if name not in ids}
                    for entry in page[entries] or []]
        for theirs, ours in zip(plain(expected), plain(actual)):
            if theirs != ours:
                yield f"entry {ours}, not {theirs}"
        if len(expected[entries] or []) != len(actual[entries]):
            yield f"{len(actual[entries])} entries, not {len(expected[entries] or [])}"
        token = "ContinuationToken" if entries == "Entries" else "continuation_token"
        if expected[token] != actual[token]:
            yield f"token {actual[token]!r}, not {expected[token]!r}"


def class_of(text):
    """What the SDK makes of an error's text (contract, section 1.6.4)."""
    found = re.search(r"(ais|aws|azure|gcp|oci|gs|s3)://[A-Za-z0-9@#._-]{1,132}(/?)", text)
    if not found:
        return "an error"
    return "an object" if found[2] else "a bucket"


def load(folder, topic):
    with open(os.path.join(folder, topic + ".jsonl"), encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def replay_all(node, folder, topics, verbose):
    passed = failed = explained = 0
    used = set()
    for topic in topics:
        replay = Replay(node, topic, load(folder, topic))
        replay.run()
        counts = [0, 0, 0]
        for exchange, found in replay.results:
            open_ones = []
            for difference in found:
                rule = differences.explains(topic, exchange, difference)
                used.add(rule)
                if rule is None:
                    open_ones.append(difference)
                elif verbose:
                    print(f"  explained: {exchange['method']} {exchange['path'][:70]}: "
                          f"{difference[:80]} ({differences.reason(rule)})")
            counts[2 if open_ones else 1 if found else 0] += 1
            if open_ones:
                text = ((exchange["request"].get("body") or {}).get("text") or "")[:120]
                print(f"FAILED {topic}: {exchange['method']} {exchange['path'][:110]} {text}")
                for difference in open_ones[:6]:
                    print(f"    {difference[:260]}")
        print(f"{topic}: {counts[0]} the same, {counts[1]} explained, {counts[2]} failed")
        passed += counts[0] + counts[1]
        explained += counts[1]
        failed += counts[2]
    print(f"{explained} of them differ for a reason; "
          f"{len(used - {None})} of {len(differences.RULES)} rules were needed")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or passed == 0 else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("traces", nargs="?",
                        default=os.path.join(ROOT, "..", "shared", "contracts", "traces"))
    node_process.add_node_arguments(parser)
    parser.add_argument("--topic")
    parser.add_argument("--verbose", action="store_true")
    arguments = parser.parse_args()
    if not os.path.isdir(arguments.traces):
        print(f"skipped: there are no recordings in {arguments.traces}")
        print("0 passed, 0 failed")
        return 0
    topics = [arguments.topic] if arguments.topic else TOPICS
    with node_process.chosen_node(arguments, "replay") as node:
        return replay_all(node, arguments.traces, topics, arguments.verbose)


if __name__ == "__main__":
    sys.exit(main())
