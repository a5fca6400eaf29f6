#!/usr/bin/python3
"""The Python client against a real node, over both kinds of connection, and against a node that
breaks off.

    tests/python/client_test.py --penstockd out/penstockd

The last line is "N passed, N failed".
"""

import argparse
import asyncio
import io
import os
import socket
import ssl
import sys
import tarfile
import threading
import time

try:
    import msgpack
except ImportError:
    print("skipped: Debian's python3-msgpack is not installed for this Python")
    sys.exit(77)

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path[:0] = [os.path.join(ROOT, "tests"), os.path.join(ROOT, "python")]
import penstock  # noqa: E402
import penstock.aio  # noqa: E402
from penstock import _wire  # noqa: E402
from penstock._crc32c import crc32c, crc32c_in_python  # noqa: E402
from node_process import (Checks, NodeProcess, TestDirectory,  # noqa: E402
                          make_certificate)

MIB = 1 << 20
BUCKET = "samples"


def shard(members):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return out.getvalue()


def raises(kind, call):
    try:
        call()
    except kind:
        return True
    except Exception as error:  # another kind is what the check reports
        print(f"    {type(error).__name__}: {error}")
    return False


def check_blocking(client, checks):
    client.create_bucket(BUCKET, durability="none")
    checks.check(BUCKET in client.buckets(), "a bucket is made and listed")
    checks.check(raises(penstock.Exists, lambda: client.create_bucket(BUCKET)), "Exists")
    stored = client.put(BUCKET, "o", b"0123456789", metadata={"k": "v"})
    checks.check(stored["size"] == 10, "put says the size")
    checks.check(client.get(BUCKET, "o") == b"0123456789", "get")
    checks.check(client.get(BUCKET, "o", offset=2, length=3) == b"234", "a range")
    checks.check(client.get(BUCKET, "o", offset=8, length=9) == b"89", "a range is clipped")
    checks.check(client.stat(BUCKET, "o")["metadata"] == {"k": "v"}, "stat")
    checks.check(raises(penstock.ConditionFailed,
                        lambda: client.put(BUCKET, "o", b"", if_absent=True)), "ConditionFailed")
    checks.check(raises(penstock.NotFound, lambda: client.get(BUCKET, "absent")), "NotFound")
    checks.check(raises(penstock.BucketNotFound, lambda: client.get("absent", "o")),
                 "BucketNotFound")
    check_large_put(client, checks)
    client.put(BUCKET, "s.tar", shard({"a": b"first", "b": b"second"}))
    checks.check(client.get(BUCKET, "s.tar", member="b") == b"second", "a member")

    large = os.urandom(20 * MIB + 3)
    client.put(BUCKET, "large", large)
    checks.check(client.get(BUCKET, "large") == large, "a large object, in ranges")
    checks.check(client.get(BUCKET, "large", offset=MIB, length=3 * MIB) == large[MIB:4 * MIB],
                 "a large range of it")

    names = [f"n{index:04d}" for index in range(600)]
    for name in names:
        client.put(BUCKET, name, name.encode() * 10)
    wanted = names[::-1] + [("s.tar", "a")]
    views = client.get_many(BUCKET, wanted)
    expected = [name.encode() * 10 for name in names[::-1]] + [b"first"]
    checks.check([bytes(view) for view in views] == expected, "a batch, in order")
    checks.check(all(isinstance(view, memoryview) for view in views), "as views")
    checks.check(len({id(view.obj) for view in views}) == 1, "of one buffer")
    for index in range(4):
        client.put(BUCKET, f"big{index}", bytes([index]) * 500_000)
    views = client.get_many(BUCKET, [f"big{index}" for index in range(4)])
    checks.check([view[0] for view in views] == [0, 1, 2, 3] and
                 all(len(view) == 500_000 for view in views), "a batch above one value")
    checks.check(client.get_many(BUCKET, []) == [], "a batch of nothing")
    checks.check(raises(penstock.NotFound, lambda: client.get_many(BUCKET, ["o", "absent"])),
                 "NotFound in a batch")
    listed = [entry["name"] for entry in client.list(BUCKET, "n")]
    checks.check(listed == names, "a listing")
    client.delete(BUCKET, "o")
    checks.check(raises(penstock.NotFound, lambda: client.get(BUCKET, "o")), "delete")


def check_large_put(client, checks):
    content = os.urandom(3 * MIB + 7)
    client.put(BUCKET, "parts", content, metadata={"k": "v"}, if_absent=True)
    checks.check(client.get(BUCKET, "parts") == content, "a put in parts")
    checks.check(client.stat(BUCKET, "parts")["metadata"] == {"k": "v"}, "its metadata")
    checks.check(raises(penstock.ConditionFailed,
                        lambda: client.put(BUCKET, "parts", content, if_absent=True)),
                 "a put in parts, if absent")


def check_http(client, checks):
    client.create_bucket(BUCKET, checksum="crc32c")
    checks.check(BUCKET in client.buckets(), "http: a bucket is made and listed")
    checks.check(raises(penstock.Exists, lambda: client.create_bucket(BUCKET)), "http: Exists")
    large = os.urandom(5 * MIB + 1)
    for name, content in (("o", b"0123456789"), ("l/a rge", large), ("empty", b"")):
        stored = client.put(BUCKET, name, content, metadata={"k": "é = 1"})
        checks.check(stored["size"] == len(content), "http: put says the size")
        checks.check(client.stat(BUCKET, name)["metadata"] == {"k": "é = 1"}, "http: metadata")
        checks.check(client.get(BUCKET, name) == content, "http: get")
    checks.check(client.get(BUCKET, "o", offset=2, length=3) == b"234", "http: a range")
    checks.check(client.get(BUCKET, "o", offset=8, length=9) == b"89", "http: a clipped range")
    checks.check(client.get(BUCKET, "o", offset=20) == b"", "http: behind the end")
    checks.check(raises(penstock.ConditionFailed,
                        lambda: client.put(BUCKET, "o", b"", if_absent=True)), "http: condition")
    for key, value in (("", "v"), ("a=b", "v"), ("k", " v"), ("k", "a\r\nb")):
        checks.check(raises(ValueError,
                            lambda: client.put(BUCKET, "o", b"", metadata={key: value})),
                     f"http: {key!r}: {value!r} is no header")
    checks.check(raises(penstock.NotFound, lambda: client.get(BUCKET, "absent")), "http: NotFound")
    checks.check(raises(penstock.BucketNotFound, lambda: client.get("absent", "o")),
                 "http: BucketNotFound")
    client.put(BUCKET, "s.tar", shard({"a": b"first", "b": b"second"}))
    views = client.get_many(BUCKET, ["o", ("s.tar", "b")])
    checks.check([bytes(view) for view in views] == [b"0123456789", b"second"], "http: a batch")
    checks.check([entry["name"] for entry in client.list(BUCKET)]
                 == ["empty", "l/a rge", "o", "s.tar"], "http: a listing")
    client.delete(BUCKET, "o")
    checks.check(raises(penstock.NotFound, lambda: client.stat(BUCKET, "o")), "http: delete")
    client.destroy_bucket(BUCKET)


async def check_http_asyncio(address, checks, ca_file=None):
    async with penstock.aio.Client(address, ca_file=ca_file) as client:
        await client.create_bucket(BUCKET)
        await asyncio.gather(*(client.put(BUCKET, f"n{index}", b"x" * index)
                               for index in range(20)))
        contents = await client.get_many(BUCKET, [f"n{index}" for index in range(20)])
        checks.check([len(view) for view in contents] == list(range(20)), "http: asyncio")
        checks.check(len([entry async for entry in client.list(BUCKET)]) == 20, "http: list")
        await client.destroy_bucket(BUCKET)


def check_threads_and_forks(client, checks):
    wrong = []

    def read():
        for _ in range(100):
            if client.get(BUCKET, "n0001") != b"n0001" * 10:
                wrong.append(1)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    checks.check(not wrong, "threads share a client")

    children = []
    for index in range(4):
        child = os.fork()
        if child == 0:
            name = f"n{index:04d}"
            is_right = all(client.get(BUCKET, name) == name.encode() * 10 for _ in range(100))
            os._exit(0 if is_right else 1)
        children.append(child)
    read()
    codes = [os.waitpid(child, 0)[1] for child in children]
    checks.check(codes == [0] * 4 and not wrong, f"and so do forked processes: {codes}")


async def check_asyncio(address, checks, ca_file=None):
    async with penstock.aio.Client(address, ca_file=ca_file) as client:
        names = [f"n{index:04d}" for index in range(300)]
        contents = await asyncio.gather(*(client.get(BUCKET, name) for name in names))
        checks.check(contents == [name.encode() * 10 for name in names], "asyncio: gets at once")
        views = await client.get_many(BUCKET, [f"big{index}" for index in range(4)])
        checks.check([view[0] for view in views] == [0, 1, 2, 3], "asyncio: a large batch")
        checks.check(len(await client.get(BUCKET, "large")) == 20 * MIB + 3, "asyncio: large")
        listed = [entry["name"] async for entry in client.list(BUCKET, "n")]
        checks.check(len(listed) == 600, "asyncio: a listing")
        await client.put(BUCKET, "a", b"1")
        await client.delete(BUCKET, "a")
        try:
            await client.get(BUCKET, "a")
            checks.check(False, "asyncio: NotFound")
        except penstock.NotFound:
            checks.check(True, "asyncio: NotFound")
    checks.check(True, "asyncio: closed")


class Breaking:
    """A node that sends what `answer` makes of a request's number, and ends after an answer that is
    cut off."""

    def __init__(self, answer):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = "tcp://127.0.0.1:%d" % self.listener.getsockname()[1]
        self.answer = answer
        self.requests = 0
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            connection, _ = self.listener.accept()
            with connection:
                unpacker = msgpack.Unpacker()
                while data := connection.recv(1 << 16):
                    unpacker.feed(data)
                    for request in unpacker:
                        self.requests += 1
                        reply, is_cut = self.answer(request[1])
                        connection.sendall(reply)
                        if is_cut:
                            break
                    else:
                        continue
                    break


DATA = bytes(range(256)) * 16


def packed(number, **changed):
    result = {"size": len(DATA), "version": "1-1", "crc32c": crc32c(DATA), "entries": [
        {"index": 0, "offset": 0, "length": len(DATA)}], "data": DATA}
    return msgpack.packb([1, number, None, {**result, **changed}])


def check_cuts(checks):
    """A reply that breaks off is never taken for a whole one, wherever it is cut."""
    for what, call in (("get", lambda client: client.get("b", "o")),
                       ("get_many", lambda client: client.get_many("b", ["o"])[0])):
        wrong = []
        for index in range(1000):
            size = index * (len(packed(1)) - 1) // 999
            breaking.answer = lambda number, size=size: (packed(number)[:size], True)
            with penstock.Client(breaking.address, timeout_s=10, attempts=1) as client:
                if not raises(ConnectionError, lambda: call(client)):
                    wrong.append(size)
        checks.check(not wrong, f"{what}: cut at {wrong[:5]} a reply was taken")
        breaking.answer = lambda number: (packed(number), False)
        with penstock.Client(breaking.address, timeout_s=10) as client:
            checks.check(call(client) == DATA, f"{what}: the whole reply is")
        for changed in ({"data": DATA[:-1]}, {"data": b"x" + DATA[1:]}, {"crc32c": 7},
                        {"crc32c": None}):
            breaking.answer = lambda number, changed=changed: (packed(number, **changed), False)
            with penstock.Client(breaking.address, timeout_s=10, attempts=1) as client:
                checks.check(raises(ConnectionError, lambda: call(client)),
                             f"{what}: damaged: {list(changed)}")


def check_retries(checks):
    """What cannot be done twice is tried again; what can is not; and all have a deadline."""
    failures = [3]

    def sometimes(number):
        failures[0] -= 1
        return (b"", True) if failures[0] >= 0 else (packed(number), False)

    breaking.answer = sometimes
    with penstock.Client(breaking.address) as client:
        checks.check(client.get("b", "o") == DATA, "the fourth attempt answers")
        failures[0], before = 3, breaking.requests
        checks.check(raises(ConnectionError, lambda: client.destroy_bucket("b")), "no second one")
        checks.check(breaking.requests == before + 1, "destroy_bucket is sent once")

    async def asynchronous():
        failures[0] = 3
        async with penstock.aio.Client(breaking.address) as client:
            return await client.get("b", "o")

    checks.check(asyncio.run(asynchronous()) == DATA, "asyncio: the fourth attempt answers")
    breaking.answer = lambda number: (b"", False)
    with penstock.Client(breaking.address, timeout_s=0.2) as client:
        began = time.monotonic()
        checks.check(raises(TimeoutError, lambda: client.get("b", "o")), "TimeoutError")
        checks.check(time.monotonic() - began < 5, "in time")


def check_crc(checks):
    known = {b"": 0, b"123456789": 0xE3069283, bytes(32): 0x8A9136AA, b"\xff" * 32: 0x62A8AB43}
    for data, value in known.items():
        checks.check(crc32c(data) == crc32c_in_python(data) == value, f"crc32c of {data!r}")
    for size in (1, 7, 900, 6777, 70_001, 300_000):
        data = os.urandom(size)
        checks.check(crc32c(data) == crc32c_in_python(data) == crc32c(bytearray(data)),
                     f"crc32c of {size} bytes")


def check_packing(checks):
    """A batch's request is what msgpack itself would make of it, whatever the names are."""
    for names in (["a"], ["aa", "b"], ["x" * 40, "y" * 300], ["ü", "a"], [("s", "m"), "a"],
                  ["a\0b", "c"], ["a\0", "b"], ["z" * 70_000], ["aaa"] * 90, ["x" * 31] * 3,
                  ["x" * 32] * 3, ["x" * 255, "x" * 256]):
        for number in (1, 300, 70_000, 0xFFFFFFFF):
            packed = msgpack.unpackb(_wire.pack_batch(number, "bü", names))
            checks.check(packed == [0, number, "object.get_many",
                                    [{"items": _wire.items_of("bü", names)}]],
                         f"a request for {names[0][:9]!r} and {len(names) - 1} more")
    for count in (0, 1, 31, 32, 33, 127, 128, 129, 500):
        pieces = _wire.pieces_of(range(count))
        checks.check([item for piece in pieces for item in piece] == list(range(count))
                     and all(pieces), f"{count} items in pieces")


breaking = Breaking(None)


def check_all(address, checks, ca_file=None):
    with penstock.Client(address, ca_file=ca_file) as client:
        if address.startswith("http"):
            check_http(client, checks)
            asyncio.run(check_http_asyncio(address, checks, ca_file))
            return
        check_blocking(client, checks)
        check_threads_and_forks(client, checks)
        asyncio.run(check_asyncio(address, checks, ca_file))
        client.destroy_bucket(BUCKET)


def check_tls(penstockd, directory, checks):
    """The same over TLS, and certificates that prove nothing."""
    certificate, key = make_certificate(directory, "node")
    other, _ = make_certificate(directory, "other")
    settings = os.path.join(directory, "tls.toml")
    with open(settings, "w", encoding="utf-8") as file:
        file.write(f'[tls]\ncertificate = "{certificate}"\nkey = "{key}"\nloopback = true\n')
    node = NodeProcess(penstockd, directory, "--rpc", "127.0.0.1:0", "--settings", settings)
    try:
        for scheme, place in (("tls", node.ready["rpc"]), ("https", node.ready["http"])):
            check_all(f"{scheme}://{place}", checks, certificate)
            # Another authority, the system's, another name.
            for host, ca_file in ((place, other), (place, None),
                                  (place.replace("127.0.0.1", "localhost"), certificate)):
                address = f"{scheme}://{host}"
                with penstock.Client(address, ca_file=ca_file) as client:
                    checks.check(raises(ssl.SSLCertVerificationError, client.buckets),
                                 f"{address} is not believed")

                async def ask():
                    async with penstock.aio.Client(address, ca_file=ca_file) as client:
                        await client.buckets()

                checks.check(raises(ssl.SSLCertVerificationError, lambda: asyncio.run(ask())),
                             f"asyncio: {address} is not believed")
        with penstock.Client(f"tcp://{node.ready['rpc']}", attempts=1) as client:
            checks.check(raises(OSError, client.buckets), "in the clear nothing is answered")
    finally:
        checks.check(node.stop() == 0, "the node stops in an orderly way")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--penstockd", required=True)
    penstockd = os.path.abspath(parser.parse_args().penstockd)
    checks = Checks()
    check_crc(checks)
    check_packing(checks)
    check_cuts(checks)
    check_retries(checks)
    for bad in ("", "unix:", "tcp://host", "http://", "tls://host", "https://", "ftp://x:1"):
        checks.check(raises(ValueError, lambda: penstock.Client(bad)), f"{bad!r} is no address")
    with TestDirectory("python-client") as directory:
        node = NodeProcess(penstockd, directory.path, "--rpc", "127.0.0.1:0", "--rpc-socket",
                           os.path.join(directory.path, "s"))
        try:
            for address in ("unix:" + node.ready["rpc_socket"], "tcp://" + node.ready["rpc"],
                            node.url):
                check_all(address, checks)
        finally:
            checks.check(node.stop() == 0, "the node stops in an orderly way")
        check_tls(penstockd, directory.path, checks)
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
