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
import sys
import tarfile
import threading

try:
    import msgpack
except ImportError:
    print("skipped: Debian's python3-msgpack is not installed for this Python")
    sys.exit(77)

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path[:0] = [os.path.join(ROOT, "tests"), os.path.join(ROOT, "python")]
import penstock  # noqa: E402
import penstock.aio  # noqa: E402
from node_process import Checks, NodeProcess, TestDirectory  # noqa: E402

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


def check_blocking(client, node, checks):
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
    checks.check(raises(penstock.TooLarge, lambda: client.put(BUCKET, "o", bytes(MIB + 1))),
                 "TooLarge")
    client.put(BUCKET, "s.tar", shard({"a": b"first", "b": b"second"}))
    checks.check(client.get(BUCKET, "s.tar", member="b") == b"second", "a member")

    large = os.urandom(20 * MIB + 3)
    node.request("PUT", f"/v1/objects/{BUCKET}/large?provider=ais", large)
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


async def check_asyncio(address, checks):
    async with penstock.aio.Client(address) as client:
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
    """A node that sends the first `size` bytes of a reply and ends."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = "tcp://127.0.0.1:%d" % self.listener.getsockname()[1]
        self.reply = b""
        self.size = 0
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            connection, _ = self.listener.accept()
            with connection:
                connection.recv(1 << 16)
                connection.sendall(self.reply[:self.size])


def check_cuts(checks):
    """A reply that breaks off is never taken for a whole one, wherever it is cut."""
    breaking = Breaking()
    data = bytes(range(256)) * 16
    breaking.reply = msgpack.packb([1, 1, None, {"size": len(data), "version": "1-1",
                                                 "data": data}])
    wrong = []
    for index in range(1000):
        breaking.size = index * (len(breaking.reply) - 1) // 999
        with penstock.Client(breaking.address, timeout_s=10) as client:
            if not raises((ConnectionError, OSError), lambda: client.get("b", "o")):
                wrong.append(breaking.size)
    checks.check(not wrong, f"cut at {wrong[:5]} a reply was taken")
    breaking.size = len(breaking.reply)
    with penstock.Client(breaking.address, timeout_s=10) as client:
        checks.check(client.get("b", "o") == data, "the whole reply is")
    for what in ({"size": len(data) + 1, "version": "1-1", "data": data},):
        breaking.reply = msgpack.packb([1, 1, None, what])
        breaking.size = len(breaking.reply)
        with penstock.Client(breaking.address, timeout_s=10) as client:
            checks.check(raises(ConnectionError, lambda: client.get("b", "o")),
                         "a reply that lacks bytes is refused")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--penstockd", required=True)
    penstockd = os.path.abspath(parser.parse_args().penstockd)
    checks = Checks()
    check_cuts(checks)
    for bad in ("", "unix:", "tcp://host", "http://h:1", "ftp://x:1"):
        checks.check(raises(ValueError, lambda: penstock.Client(bad)), f"{bad!r} is no address")
    with TestDirectory("python-client") as directory:
        node = NodeProcess(penstockd, directory.path, "--rpc", "127.0.0.1:0", "--rpc-socket",
                           os.path.join(directory.path, "s"))
        try:
            for address in ("unix:" + node.ready["rpc_socket"], "tcp://" + node.ready["rpc"]):
                with penstock.Client(address) as client:
                    check_blocking(client, node, checks)
                    check_threads_and_forks(client, checks)
                    asyncio.run(check_asyncio(address, checks))
                    client.destroy_bucket(BUCKET)
        finally:
            checks.check(node.stop() == 0, "the node stops in an orderly way")
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
