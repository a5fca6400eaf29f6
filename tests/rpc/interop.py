#!/usr/bin/python3
"""MessagePack-RPC against a real node, by a client that somebody else wrote: Debian's
python3-pynvim. What is called is generated from rpc.describe: every method, and every argument of
every method with values of every wrong type.

    tests/rpc/interop.py --penstockd out/penstockd

The last line is "N passed, N failed".
"""

import argparse
import io
import json
import os
import sys
import tarfile
import urllib.request

try:
    from pynvim.msgpack_rpc import socket_session, tcp_session
except ImportError:
    print("skipped: Debian's python3-pynvim is not installed for this Python")
    sys.exit(77)

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from node_process import Checks, NodeProcess, TestDirectory  # noqa: E402

BUCKET = "interop"
# What each type accepts, and one value of each kind that a client can send.
SAMPLES = {"nil": None, "bool": True, "int": -1, "uint": 1, "float": 0.5, "str": "text",
           "bin": b"bytes", "array": [], "map": {}}
ACCEPTED = {"nil": {"nil"}, "bool": {"bool"}, "int": {"int", "uint"}, "uint": {"uint"},
            "float": {"float", "int", "uint"}, "str": {"str"}, "bin": {"bin"},
            "array": {"array"}, "map": {"map"}, "any": set(SAMPLES)}


class Failed(Exception):
    """An error reply: [code, message, details]."""

    def __init__(self, error):
        super().__init__(error)
        self.code, self.message, self.details = error
        self.name = self.details["name"]


def call(session, method, arguments):
    """The result, or Failed."""
    outcome = []
    # The client's own request() turns errors into its editor's exceptions; this is one layer below.
    session._async_session.request(method, [arguments] if arguments is not None else [],
                                   lambda error, result: (outcome.append((error, result)),
                                                          session._async_session.stop()))
    while not outcome:
        session._async_session.run(None, None)
    error, result = outcome[0]
    if error is not None:
        raise Failed(error)
    return result


def shard():
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name in ("a.txt", "b.txt"):
            entry = tarfile.TarInfo(name)
            entry.size = len(name)
            archive.addfile(entry, io.BytesIO(name.encode()))
    return out.getvalue()


def good_arguments(method):
    """Arguments with which a method that is built must answer."""
    name = {"bucket": BUCKET, "name": "o"}
    many = {"items": [{"bucket": BUCKET, "name": "o"},
                      {"bucket": BUCKET, "name": "s.tar", "member": "b.txt"}], "ordered": True,
            "on_missing": "error", "as": "bin"}
    return {
        "auth.login": {"token": "t"},
        "bucket.create": {"bucket": "other", "props": {"durability": "none"}},
        "bucket.destroy": {"bucket": "other"},
        "bucket.set": {"bucket": BUCKET, "props": {"versioned": True}},
        "bucket.stat": {"bucket": BUCKET},
        "object.copy": {**name, "to_bucket": BUCKET, "to_name": "copy"},
        "object.delete": {"bucket": BUCKET, "name": "copy"},
        "object.append": {**name, "data": b"+", "flush": True},
        "object.get": {**name, "offset": 1, "length": 3},
        "object.get_many": many,
        "object.list": {"bucket": BUCKET, "prefix": "", "limit": 10, "props": ["checksum"]},
        "object.members": {"bucket": BUCKET, "name": "s.tar"},
        "object.put": {**name, "data": b"content", "metadata": {"k": "v"}},
        "object.rename": {**name, "to": "o"},
        "object.set_metadata": {**name, "metadata": {"l": "w"}, "replace": False},
        "object.stat": name,
        "job.list": {"active": True},
        "upload.begin": name,
    }.get(method["name"])


def check_every_method(session, methods, checks):
    for method in methods:
        name = method["name"]
        arguments = good_arguments(method)
        if arguments is None:
            arguments = {parameter["name"]: SAMPLES[parameter["type"]]
                         for parameter in method["params"] if parameter["required"]}
        codes = {number for number in method["errors"]}
        try:
            result = call(session, name, arguments)
            declared = {field["name"] for field in method["result"]}
            checks.check(set(result) <= declared, f"{name} answers {set(result)}, says {declared}")
        except Failed as failure:
            # What they are about does not exist: check_uploads() and check_jobs() make it first.
            is_expected = (failure.name == "not_found" and
                           name in ("lease.release", "job.status", "job.stop", "job.wait",
                                    "upload.abort", "upload.complete", "upload.part"))
            checks.check(is_expected and failure.code in codes, f"{name}: {failure}")


def check_arguments(session, methods, checks):
    for method in methods:
        right = {parameter["name"]: SAMPLES[parameter["type"]] for parameter in method["params"]}
        for parameter in method["params"]:
            for kind, value in SAMPLES.items():
                if kind in ACCEPTED[parameter["type"]]:
                    continue
                if kind == "nil" and not parameter["required"]:
                    continue
                expect_invalid(session, method, {**right, parameter["name"]: value}, checks)
            if parameter["required"]:
                fewer = {key: value for key, value in right.items() if key != parameter["name"]}
                expect_invalid(session, method, fewer, checks)
        expect_invalid(session, method, {**right, "colour": 1}, checks)


def expect_invalid(session, method, arguments, checks):
    try:
        result = call(session, method["name"], arguments)
        checks.check(False, f"{method['name']} took {arguments}: {result}")
    except Failed as failure:
        checks.check(failure.name == "invalid", f"{method['name']} {arguments}: {failure}")


def check_contents(session, checks):
    call(session, "object.put", {"bucket": BUCKET, "name": "o", "data": b"0123456789"})
    result = call(session, "object.get", {"bucket": BUCKET, "name": "o", "offset": 2, "length": 3})
    checks.check(result["data"] == b"234" and result["size"] == 10, f"a range: {result}")
    expect_invalid(session, {"name": "object.put"},
                   {"bucket": BUCKET, "name": "o", "data": b"0123456789", "crc32c": 7}, checks)
    call(session, "object.put", {"bucket": BUCKET, "name": "o", "data": b"123456789",
                                 "crc32c": 0xE3069283})
    result = call(session, "object.get", {"bucket": BUCKET, "name": "o"})
    checks.check(result["crc32c"] == 0xE3069283, f"the data's CRC-32C: {result}")
    members = call(session, "object.members", {"bucket": BUCKET, "name": "s.tar"})
    checks.check([entry["name"] for entry in members["entries"]] == ["a.txt", "b.txt"],
                 f"members: {members}")
    names = [f"n{index:03d}" for index in range(300)]
    for name in names:
        call(session, "object.put", {"bucket": BUCKET, "name": name, "data": name.encode()})
    batch = call(session, "object.get_many",
                 {"items": [{"bucket": BUCKET, "name": name} for name in reversed(names)]})
    parts = [batch["data"][entry["offset"]:entry["offset"] + entry["length"]].decode()
             for entry in batch["entries"]]
    checks.check(parts == names[::-1], "a batch is in the order of its request")
    try:
        call(session, "no.such", {})
        checks.check(False, "no.such was answered")
    except Failed as failure:
        checks.check(failure.name == "unknown_method", f"no.such: {failure}")


def check_uploads(session, checks):
    upload = call(session, "upload.begin", {"bucket": BUCKET, "name": "parts"})["upload"]
    for number, data in ((2, b"world"), (1, b"hello ")):
        call(session, "upload.part", {"upload": upload, "number": number, "data": data})
    result = call(session, "upload.complete", {"upload": upload, "parts": [1, 2]})
    checks.check(result["size"] == 11 and result["checksum"]["type"] == "crc32c",
                 f"upload.complete: {result}")
    result = call(session, "object.get", {"bucket": BUCKET, "name": "parts"})
    checks.check(result["data"] == b"hello world", f"an object in parts: {result}")
    upload = call(session, "upload.begin", {"bucket": BUCKET, "name": "parts"})["upload"]
    checks.check(call(session, "upload.abort", {"upload": upload}) == {}, "upload.abort")

    appended = {"bucket": BUCKET, "name": "parts"}
    handle = call(session, "object.append", {**appended, "data": b", "})["handle"]
    call(session, "object.append", {**appended, "data": b"again", "handle": handle, "flush": True})
    call(session, "object.rename", {**appended, "to": "renamed"})
    result = call(session, "object.get", {"bucket": BUCKET, "name": "renamed"})
    checks.check(result["data"] == b"hello world, again", f"appended and renamed: {result}")
    call(session, "object.delete", {"bucket": BUCKET, "name": "renamed"})


def check_jobs(session, http, checks):
    body = json.dumps({"action": "delete-listrange", "value": {"objnames": ["n001", "n002"]}})
    asked = urllib.request.Request(f"http://{http}/v1/buckets/{BUCKET}", data=body.encode(),
                                   method="DELETE")
    with urllib.request.urlopen(asked) as answer:
        job = answer.read().decode()
    result = call(session, "job.wait", {"job": job, "timeout_s": 10.0})
    checks.check(result["state"] == "done" and result["objects"] == 2, f"job.wait: {result}")
    checks.check(call(session, "job.status", {"job": job})["kind"] == "delete_objects",
                 "job.status")
    jobs = call(session, "job.list", {"kind": "delete_objects"})["jobs"]
    checks.check(job in [entry["job"] for entry in jobs], f"job.list: {jobs}")
    checks.check(call(session, "job.stop", {"job": job}) == {}, "job.stop")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--penstockd", required=True)
    penstockd = os.path.abspath(parser.parse_args().penstockd)
    checks = Checks()
    with TestDirectory("rpc-interop") as directory:
        socket_path = os.path.join(directory.path, "s")
        node = NodeProcess(penstockd, directory.path, "--rpc", "127.0.0.1:0", "--rpc-socket",
                           socket_path)
        try:
            host, _, port = node.ready["rpc"].rpartition(":")
            for session in (socket_session(node.ready["rpc_socket"]), tcp_session(host, int(port))):
                description = call(session, "rpc.describe", {})
                methods = description["methods"]
                checks.check(len(methods) >= 30, f"{len(methods)} methods are described")
                try:
                    call(session, "bucket.create", {"bucket": BUCKET})
                except Failed as failure:
                    checks.check(failure.name == "exists", f"bucket.create: {failure}")
                for name, content in (("o", b"content"), ("s.tar", shard())):
                    call(session, "object.put", {"bucket": BUCKET, "name": name, "data": content})
                check_every_method(session, methods, checks)
                check_arguments(session, methods, checks)
                check_contents(session, checks)
                check_uploads(session, checks)
                check_jobs(session, node.ready["http"], checks)
        finally:
            checks.check(node.stop() == 0, "the node stops in an orderly way")
        checks.check(not os.path.exists(socket_path), "the socket's path is gone")
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
