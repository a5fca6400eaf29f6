#!/usr/bin/python3
"""MessagePack-RPC against a real node by hand: many calls at once, descriptors, and what nobody
should send. Each case must get an error, or the end of its connection alone, and leaves nothing.

    tests/rpc/hostile.py --penstockd out/penstockd

The last line is "N passed, N failed".
"""

import argparse
import array
import fcntl
import os
import re
import signal
import socket
import sys
import threading
import time

try:
    import msgpack
except ImportError:
    print("skipped: Debian's python3-msgpack is not installed for this Python")
    sys.exit(77)

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from node_process import Checks, NodeProcess, TestDirectory  # noqa: E402

BUCKET = "hostile"
F_GET_SEALS = 1034
ALL_SEALS = 0xF
MIB = 1 << 20


class Client:
    """One connection; requests may be sent before replies are taken."""

    def __init__(self, node, is_tcp=False):
        if is_tcp:
            host, _, port = node.ready["rpc"].rpartition(":")
            self.socket = socket.create_connection((host, int(port)), 20)
        else:
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.settimeout(20)
            self.socket.connect(node.ready["rpc_socket"])
        self.unpacker = msgpack.Unpacker(max_buffer_size=64 * MIB, strict_map_key=False)
        self.descriptors = []
        self.last_id = 0

    def send(self, method, **arguments):
        self.last_id += 1
        arguments = {key.rstrip("_"): value for key, value in arguments.items()}
        self.socket.sendall(msgpack.packb([0, self.last_id, method, [arguments]]))
        return self.last_id

    def receive(self):
        """The next reply, (id, error, result); None at the connection's end."""
        while True:
            for reply in self.unpacker:
                return tuple(reply[1:])
            try:
                data, control, _, _ = self.socket.recvmsg(MIB, socket.CMSG_LEN(64 * 4))
            except ConnectionError:
                return None
            if not data:
                return None
            for level, kind, content in control:
                if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                    numbers = array.array("i")
                    numbers.frombytes(content[:len(content) - len(content) % 4])
                    self.descriptors.extend(numbers)
            self.unpacker.feed(data)

    def call(self, method, **arguments):
        self.send(method, **arguments)
        reply = self.receive()
        if reply is None:
            raise ConnectionError(f"{method}: the connection ended")
        if reply[1] is not None:
            raise RuntimeError(reply[1])
        return reply[2]

    def take_descriptor(self):
        return os.fdopen(self.descriptors.pop(0), "rb")

    def close(self):
        for number in self.descriptors:
            os.close(number)
        self.socket.close()


def descriptor_count(node):
    return len(os.listdir(f"/proc/{node.pid}/fd"))


def metric(node, pattern):
    text = node.request("GET", "/metrics")[2].decode()
    return sum(float(value) for value in re.findall(pattern + r" ([0-9.e+]+)$", text, re.M))


def settle(read, wanted, seconds=10):
    """Waits until read() gives what is wanted: the node notices ends a moment later."""
    deadline = time.monotonic() + seconds
    while read() != wanted and time.monotonic() < deadline:
        time.sleep(0.02)
    return read()


def check_pipelining(node, checks):
    for is_tcp in (False, True):
        client = Client(node, is_tcp)
        client.call("object.put", bucket=BUCKET, name="small", data=b"x" * 1000)
        count = 3000
        sender = threading.Thread(target=lambda: [
            client.send("object.get", bucket=BUCKET, name="small") for _ in range(count)])
        first = client.last_id + 1
        sender.start()
        replies = [client.receive() for _ in range(count)]
        sender.join()
        checks.check(sorted(reply[0] for reply in replies) == list(range(first, first + count)),
                     "each of many requests is answered once")
        checks.check(all(reply[2]["data"] == b"x" * 1000 for reply in replies), "and rightly")
        client.close()


def check_slow_reader(node, checks):
    """Somebody who asks for much and reads nothing costs a bounded amount, and nobody else."""
    client = Client(node)
    client.call("object.put", bucket=BUCKET, name="mib", data=os.urandom(MIB))
    request = msgpack.packb([0, 1, "object.get", [{"bucket": BUCKET, "name": "mib"}]])
    client.socket.settimeout(0.5)
    try:
        for _ in range(100):
            client.socket.sendall(request * 100)
    except TimeoutError:
        pass
    other = Client(node)
    began = time.monotonic()
    other.call("rpc.ping")
    checks.check(time.monotonic() - began < 2, "another client is served meanwhile")
    with open(f"/proc/{node.pid}/status", encoding="ascii") as file:
        resident = int(re.search(r"VmRSS:\s+(\d+)", file.read()).group(1)) >> 10
    checks.check(resident < 600, f"{resident} MB resident for one that does not read")
    client.close()
    other.close()


def check_descriptors(node, checks):
    before = descriptor_count(node)
    client = Client(node)
    names = [f"o{index}" for index in range(50)]
    for name in names:
        client.call("object.put", bucket=BUCKET, name=name, data=name.encode() * 1000)
    batch = client.call("object.get_many", as_="fd",
                        items=[{"bucket": BUCKET, "name": name} for name in names])
    with client.take_descriptor() as file:
        checks.check(fcntl.fcntl(file.fileno(), F_GET_SEALS) == ALL_SEALS, "a batch is sealed")
        content = file.read()
    parts = [content[entry["offset"]:entry["offset"] + entry["length"]]
             for entry in batch["entries"]]
    checks.check(parts == [name.encode() * 1000 for name in names], "a batch holds its objects")
    checks.check(metric(node, r"penstock_batch_bytes") == len(content), "it is counted")
    client.call("lease.release", lease=batch["lease"])
    checks.check(metric(node, r"penstock_batch_bytes") == 0, "and released")

    large = os.urandom(3 * MIB + 77)
    node.request("PUT", f"/v1/objects/{BUCKET}/large?provider=ais", large)
    whole = client.call("object.get", bucket=BUCKET, name="large", as_="fd")
    client.call("object.delete", bucket=BUCKET, name="large")
    with client.take_descriptor() as file:
        flags = fcntl.fcntl(file.fileno(), fcntl.F_GETFL)
        checks.check(flags & os.O_ACCMODE == os.O_RDONLY, "a large object's file is read-only")
        entry = whole["entries"][0]
        file.seek(entry["offset"])
        checks.check(file.read(entry["length"]) == large, "it is whole, though it was deleted")

    # Clients that die with descriptors, leases and unread replies leave nothing.
    for _ in range(50):
        dying = Client(node)
        for _ in range(5):
            dying.send("object.get_many", as_="fd",
                       items=[{"bucket": BUCKET, "name": name} for name in names])
        dying.receive()
        dying.close()
    client.close()
    # The store keeps files open that were used: two more may be.
    count = settle(lambda: descriptor_count(node) <= before + 2, True)
    checks.check(count, f"{descriptor_count(node)} descriptors, {before} before")
    checks.check(settle(lambda: metric(node, r"penstock_batch_bytes"), 0) == 0,
                 "no batch of the dead is counted")


def check_descriptors_sent_to_us(node, checks):
    before = descriptor_count(node)
    client = Client(node)
    request = msgpack.packb([0, 1, "rpc.ping", [{}]])
    for _ in range(100):
        passed = os.open("/dev/null", os.O_RDONLY)
        client.socket.sendmsg([request], [(socket.SOL_SOCKET, socket.SCM_RIGHTS,
                                           array.array("i", [passed] * 10))])
        os.close(passed)
        client.receive()
    checks.check(descriptor_count(node) <= before + 1, "descriptors that are sent to us are closed")
    client.close()


def ends(node, content):
    """Whether the node ends the connection on these bytes, without anything but replies before."""
    client = Client(node)
    try:
        client.socket.sendall(content)
    except ConnectionError:
        pass
    try:
        while client.receive() is not None:
            pass
        return True
    except TimeoutError:
        return False
    finally:
        client.close()


def check_ends(node, checks):
    good = msgpack.packb([0, 1, "rpc.ping", [{}]])
    cases = {
        "nesting of 33": b"\x91" * 33,
        "a million arrays": b"\x91" * 1_000_000,
        "a bin of 4 GiB": b"\x94\x00\x01\xa1x\x91\xc6\xff\xff\xff\xff",
        "a map of 4 billion": b"\xdf\xff\xff\xff\xff",
        "5 MiB": b"\x94\x00\x01\xa1x\x91" + b"\xc6" + (5 * MIB).to_bytes(4, "big") + b"x" * MIB,
        "the byte that is never used": good + b"\xc1",
        "no array": msgpack.packb("text"),
        "no id": msgpack.packb([0, None, "rpc.ping", [{}]]),
        "an id that is too large": msgpack.packb([0, 1 << 32, "rpc.ping", [{}]]),
        "a response": msgpack.packb([1, 1, None, None]),
        "HTTP": b"GET / HTTP/1.1\r\nHost: h\r\n\r\n",
    }
    for what, content in cases.items():
        checks.check(ends(node, content), f"the connection ends: {what}")


def check_cuts(node, checks):
    """Every message kind, cut at every byte: the connection just ends."""
    argument = {"bucket": BUCKET, "name": "small", "offset": 1, "metadata": {"k": [1, -1, 0.5]},
                "data": b"x" * 40, "long": "y" * 300, "many": list(range(40))}
    for message in ([0, 7, "object.get", [argument]], [2, "object.get", [argument]]):
        content = msgpack.packb(message)
        for size in range(len(content)):
            with Client(node).socket as cut:
                cut.sendall(content[:size])
    client = Client(node)
    # Byte by byte it is a message like any other.
    for at in range(len(content := msgpack.packb([0, 1, "rpc.ping", [{}]]))):
        client.socket.sendall(content[at:at + 1])
    checks.check(client.receive()[1] is None, "a message that drips is answered")
    client.close()
    count = settle(lambda: metric(node, r'penstock_connections\{door="rpc"\}'), 0)
    checks.check(count == 0, f"{count} connections are left of those that were cut")


def check_stop(node, checks):
    """A stop answers what is under way; new connections are refused."""
    client = Client(node)
    for _ in range(20):
        client.send("object.get", bucket=BUCKET, name="mib")
    node.process.send_signal(signal.SIGTERM)
    while (reply := client.receive()) is not None:
        checks.check(reply[1] is None and len(reply[2]["data"]) == MIB, "what is answered is whole")
    checks.check(node.process.wait(15) == 0, "the node stops in an orderly way")
    client.close()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--penstockd", required=True)
    parser.add_argument("--io-backend", default="auto")
    arguments = parser.parse_args()
    checks = Checks()
    with TestDirectory("rpc-hostile") as directory:
        node = NodeProcess(os.path.abspath(arguments.penstockd), directory.path, "--rpc",
                           "127.0.0.1:0", "--rpc-socket", os.path.join(directory.path, "s"),
                           "--io-backend", arguments.io_backend, "--cores", "2")
        try:
            node.create_bucket(BUCKET)
            check_pipelining(node, checks)
            check_slow_reader(node, checks)
            check_descriptors(node, checks)
            check_descriptors_sent_to_us(node, checks)
            check_ends(node, checks)
            check_cuts(node, checks)
            checks.check(metric(node, r'penstock_requests_total\{door="rpc",op="get",code="0"\}')
                         >= 6000, "calls are counted")
            check_stop(node, checks)
        finally:
            node.stop()
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
