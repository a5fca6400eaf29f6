#!/usr/bin/env python3
"""Bad input against a node: each case must get a clear answer or a closed connection, and must cost
the node neither its memory nor anybody else's requests.

    tests/http/hostile.py --penstockd out/penstockd
    tests/http/hostile.py --url http://127.0.0.1:51080 [--pid PID]

Standard library only. Every case is a check; so are, after all of them, that the node lives, that
its resident size stayed bounded, and that a well-behaved client beside it never noticed. The last
line is "N passed, N failed".
"""

import argparse
import http.client
import io
import json
import os
import socket
import sys
import tarfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import node_process  # noqa: E402 pylint: disable=wrong-import-position

BUCKET = "hostile"
GROWTH_BYTES_MAX = 256 << 20  # of the resident size, over everything below
HOST = "Host: h\r\n"


def raw(node, content, timeout_s=20, finish=False):
    """Sends bytes as they are; the first answer's (status, head, body), status 0 for none."""
    with node.connect_raw(timeout_s) as connection:
        try:
            connection.sendall(content)
            if finish:
                connection.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # it answered and closed before it had read everything
        return node_process.read_answer(connection)


class Neighbour(threading.Thread):
    """A well-behaved client: puts and gets all the while, and counts what goes wrong."""

    def __init__(self, target):
        super().__init__(daemon=True)
        self.target = target
        self.stopping = threading.Event()
        self.requests = 0
        self.faults = []
        self.slowest_s = 0.0

    def run(self):
        number = 0
        while not self.stopping.is_set():
            number += 1
            content = f"content {number}".encode() * 50
            begin = time.monotonic()
            try:
                put = self.target.request("PUT", f"/v1/objects/{BUCKET}/neighbour", content)
                got = self.target.request("GET", f"/v1/objects/{BUCKET}/neighbour")
                if put[0] != 200 or got[0] != 200 or got[2] != content:
                    self.faults.append(f"put {put[0]}, get {got[0]}")
            except OSError as error:
                self.faults.append(repr(error))
            self.slowest_s = max(self.slowest_s, time.monotonic() - begin)
            self.requests += 2
            self.stopping.wait(0.02)


class Checks(node_process.Checks):
    def that(self, what, holds, detail=""):
        self.check(holds, f"{what}: {str(detail)[:300]}")


def request(line, headers="", body=b""):
    return (line + "\r\n" + headers + "\r\n").encode("latin-1") + body


GET = f"GET /v1/objects/{BUCKET}/o HTTP/1.1"
PUT = f"PUT /v1/objects/{BUCKET}/smuggled HTTP/1.1"

# What a request smuggler sends, and other heads that are wrong: (what, bytes, allowed statuses).
# Behind the wrong head lies a whole request that must not be answered.
HIDDEN = f"DELETE /v1/objects/{BUCKET}/o HTTP/1.1\r\nHost: h\r\n\r\n".encode()
BAD_HEADS = [
    ("both lengths", request(PUT, HOST + "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
                             b"0\r\n\r\n" + HIDDEN), {400}),
    ("two different lengths", request(PUT, HOST + "Content-Length: 4\r\nContent-Length: 5\r\n",
                                      b"abcde" + HIDDEN), {400}),
    ("two equal lengths", request(PUT, HOST + "Content-Length: 4\r\nContent-Length: 4\r\n",
                                  b"abcd" + HIDDEN), {400}),
    ("a list of lengths", request(PUT, HOST + "Content-Length: 4, 4\r\n", b"abcd"), {400}),
    ("a negative length", request(PUT, HOST + "Content-Length: -1\r\n"), {400}),
    ("a signed length", request(PUT, HOST + "Content-Length: +4\r\n", b"abcd"), {400}),
    ("a hexadecimal length", request(PUT, HOST + "Content-Length: 0x4\r\n", b"abcd"), {400}),
    ("a length beyond 64 bits", request(PUT, HOST + f"Content-Length: {1 << 70}\r\n"), {400, 413}),
    ("an empty length", request(PUT, HOST + "Content-Length:\r\n"), {400}),
    ("another coding", request(PUT, HOST + "Transfer-Encoding: gzip\r\n"), {400, 501}),
    ("chunked twice", request(PUT, HOST + "Transfer-Encoding: chunked, chunked\r\n"), {400, 501}),
    ("chunked not last", request(PUT, HOST + "Transfer-Encoding: chunked, identity\r\n"),
     {400, 501}),
    ("identity", request(PUT, HOST + "Transfer-Encoding: identity\r\n"), {400, 501}),
    ("a disguised coding", request(PUT, HOST + "Transfer-Encoding: xchunked\r\n"), {400, 501}),
    ("a coding in a fold", request(PUT, HOST + "Transfer-Encoding:\r\n chunked\r\n"), {400}),
    ("a vertical tab in a coding", request(PUT, HOST + "Transfer-Encoding: \x0bchunked\r\n"),
     {400, 501}),
    ("space before the colon", request(PUT, HOST + "Content-Length : 4\r\n", b"abcd"), {400}),
    ("a folded header", request(GET, HOST + "X-A: 1\r\n 2\r\n"), {400}),
    ("a bare CR", request(GET, HOST + "X-A: 1\rX-B: 2\r\n"), {400}),
    ("a bare LF", b"GET /v1/health HTTP/1.1\nHost: h\n\n", {400}),
    ("a NUL in a header", request(GET, HOST + "X-A: a\0b\r\n"), {400}),
    ("a NUL in the path", request("GET /v1/he\0alth HTTP/1.1", HOST), {400}),
    ("no host", request(GET), {400}),
    ("two hosts", request(GET, HOST + "Host: other\r\n"), {400}),
    ("a header without a colon", request(GET, HOST + "nonsense\r\n"), {400}),
    ("a header without a name", request(GET, HOST + ": value\r\n"), {400}),
    ("two spaces in the line", request("GET  /v1/health HTTP/1.1", HOST), {400}),
    ("no version", request("GET /v1/health", HOST), {400, 505}),
    ("HTTP/0.9", b"GET /\r\n\r\n", {400, 505}),
    ("HTTP/3.0", request("GET /v1/health HTTP/3.0", HOST), {400, 505}),
    ("a lower-case version", request("GET /v1/health http/1.1", HOST), {400, 505}),
    ("the HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", {400, 505}),
    ("a TLS hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 64 + b"\r\n\r\n",
     {400, 501, 505}),
    ("an unknown method", request("BREW /v1/health HTTP/1.1", HOST), {200, 405, 501}),
    ("a method with a slash", request("G/T /v1/health HTTP/1.1", HOST), {400, 405, 501}),
    ("a request line of 9 KiB", request("GET /" + "a" * 9000 + " HTTP/1.1", HOST), {414}),
    ("a header of 70 KiB", request(GET, HOST + "X-A: " + "a" * 70_000 + "\r\n"), {431}),
    ("300 headers", request(GET, HOST + "X-A: 1\r\n" * 300), {431}),
    ("100,000 headers", request(GET, HOST + "X-A: 1\r\n" * 100_000), {431}),
]

CHUNKED = HOST + "Transfer-Encoding: chunked\r\n"
BAD_BODIES = [
    ("no chunk size", b"xyz\r\nabc\r\n0\r\n\r\n"),
    ("a negative chunk", b"-1\r\na\r\n0\r\n\r\n"),
    ("a chunk size of 20 digits", b"f" * 20 + b"\r\nabc\r\n0\r\n\r\n"),
    ("a chunk longer than said", b"2\r\nabc\r\n0\r\n\r\n"),
    ("a chunk without its end", b"3\r\nabcX\r\n0\r\n\r\n"),
    ("a bare LF behind the size", b"3\nabc\r\n0\r\n\r\n"),
    ("a prefix before the size", b"0x3\r\nabc\r\n0\r\n\r\n"),
    ("a blank before the size", b" 3\r\nabc\r\n0\r\n\r\n"),
    ("a chunk extension of 1 MiB", b"3;" + b"a" * (1 << 20) + b"\r\nabc\r\n0\r\n\r\n"),
    ("trailers of 1 MiB", b"3\r\nabc\r\n0\r\n" + b"X: y\r\n" * 180_000 + b"\r\n"),
]

# Paths with tricks in them: (what, method, path, allowed statuses).
PATHS = [
    ("a broken escape", "GET", f"/v1/objects/{BUCKET}/o%zz", {400}),
    ("half an escape", "GET", f"/v1/objects/{BUCKET}/o%4", {400}),
    ("a broken escape in the query", "GET", f"/v1/objects/{BUCKET}/o?provider=%zz", {400}),
    ("an escaped NUL", "PUT", f"/v1/objects/{BUCKET}/a%00b", {400}),
    ("..", "PUT", f"/v1/objects/{BUCKET}/../../etc/passwd", {400}),
    ("an escaped ..", "PUT", f"/v1/objects/{BUCKET}/%2e%2e/%2e%2e/etc/passwd", {400}),
    ("an escaped slash and ..", "PUT", f"/v1/objects/{BUCKET}/a%2f..%2f..%2fb", {400}),
    (".. in the bucket", "PUT", "/v1/objects/../o", {400}),
    ("an escaped .. as the bucket", "PUT", "/v1/objects/%2e%2e/o", {400}),
    ("a slash in the bucket", "PUT", f"/v1/objects/{BUCKET}%2fx/o", {400}),
    ("a hidden bucket", "PUT", "/v1/objects/.penstock/o", {400}),
    ("a name of 4,097 bytes", "PUT", f"/v1/objects/{BUCKET}/" + "n" * 4097, {400}),
    (".. in a member", "GET", f"/v1/objects/{BUCKET}/good.tar?archpath=../../etc/passwd", {400}),
    ("an escaped .. in a member", "GET",
     f"/v1/objects/{BUCKET}/good.tar?archpath=a%2f..%2f..%2fb", {400}),
    ("an absolute member", "GET", f"/v1/objects/{BUCKET}/good.tar?archpath=/etc/passwd", {404}),
    ("a NUL in a member", "GET", f"/v1/objects/{BUCKET}/good.tar?archpath=a%00b", {400}),
    ("a member of 8 KiB", "GET", f"/v1/objects/{BUCKET}/good.tar?archpath=" + "m" * 7000,
     {400, 404, 414}),
    ("escaped twice", "GET", f"/v1/objects/{BUCKET}/%252e%252e", {404}),
    ("overlong UTF-8", "GET", f"/v1/objects/{BUCKET}/%c0%ae%c0%ae/x", {404}),
    ("a fragment", "GET", f"/v1/objects/{BUCKET}/o#x", {400, 404}),
    ("another site's URL", "GET", "http://other.example/v1/health", {200, 400}),
    ("an asterisk", "GET", "*", {400, 404}),
]

BAD_JSON = [
    b"not json", b"{", b"[" * 1_000_000, b'{"action":' * 100_000, b'{"action":"list","value":{}',
    b'{"action":5}', b'"text"', b"null", b'{"action":"list","value":[]}',
    b'{"action":"list","value":{"pagesize":-1}}', b'{"action":"list","value":{"pagesize":1e99}}',
    b'{"action":"list","value":{"flags":"99999999999999999999"}}',
    b'{"action":"list","value":{"prefix":"\xff\xfe"}}', b"\x81\xa6action\xa4list",
    b'{"action":"' + b"a" * 5_000_000 + b'"}',
]


def send_bad_heads(target, checks):
    for what, content, allowed in BAD_HEADS:
        status, _, body = raw(target, content)
        checks.that(what, status in allowed, f"{status} {body[:200]}")
        if status in (400, 414, 431) and body[:1] == b"{":
            checks.that(what + ": the error names its status",
                        json.loads(body).get("status") == status, body)
    checks.that("the hidden request was never carried out",
                target.request("GET", f"/v1/objects/{BUCKET}/o")[0] == 200)


def send_bad_bodies(target, checks):
    for what, body in BAD_BODIES:
        status, _, _ = raw(target, request(PUT, CHUNKED, body), finish=True)
        checks.that(what, status in (0, 400, 413, 431), status)
    for what, head, body in [
            ("a body cut off", HOST + "Content-Length: 1000\r\n", b"a" * 500),
            ("a chunked body cut off", CHUNKED, b"5\r\nabcde\r\n"),
            ("a chunk cut off", CHUNKED, b"ff\r\nabcde")]:
        status, _, _ = raw(target, request(PUT, head, body), finish=True)
        checks.that(what, status in (0, 400, 408), status)
    status = target.request("GET", f"/v1/objects/{BUCKET}/smuggled")[0]
    checks.that("a body that was not whole is no object", status == 404, status)


def send_bad_paths(target, checks):
    for what, method, path, allowed in PATHS:
        status, _, body = raw(target, request(f"{method} {path} HTTP/1.1",
                                             HOST + "Content-Length: 0\r\n"))
        checks.that(what, status in allowed, f"{status} {body[:200]}")


def send_bad_json(target, checks):
    for content in BAD_JSON:
        for method in ("GET", "POST", "PATCH", "DELETE", "PUT"):
            status, _, body = target.request(method, f"/v1/buckets/{BUCKET}", content)
            checks.that(f"{method} {content[:40]!r}", status in (400, 413),
                        f"{status} {body[:120]}")
    status = target.request("HEAD", f"/v1/buckets/{BUCKET}")[0]
    checks.that("the bucket is still there", status == 200, status)


def tar_with(**fields):
    entry = tarfile.TarInfo(fields.pop("name", "member"))
    content = fields.pop("content", b"content")
    entry.size = len(content)
    for field, value in fields.items():
        setattr(entry, field, value)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        tar.addfile(entry, io.BytesIO(content))
    return bytearray(buffer.getvalue())


def hostile_tars():
    lying = tar_with()
    lying[124:136] = b"77777777777\0"  # 8 GiB
    mend(lying)
    base256 = tar_with()
    base256[124:136] = b"\x80" + b"\xff" * 11
    mend(base256)
    wrong_sum = tar_with()
    wrong_sum[148:156] = b"000000\0 "
    climbing = tar_with(name="../../etc/passwd")
    link = tar_with(type=tarfile.SYMTYPE, linkname="/etc/passwd", content=b"")
    cut_off = tar_with(content=b"x" * 100_000)[:50_000]
    random = bytearray(os.urandom(100_000))
    longname = tar_with(name="n" * 60_000)
    return {"lying.tar": lying, "base256.tar": base256, "wrong_sum.tar": wrong_sum,
            "climbing.tar": climbing, "link.tar": link, "cut_off.tar": cut_off,
            "random.tar": random, "longname.tar": longname, "empty.tar": bytearray(),
            "zeros.tar": bytearray(1_000_000)}


def mend(tar):
    tar[148:156] = b" " * 8
    tar[148:156] = f"{sum(tar[:512]):06o}\0 ".encode()


def send_hostile_tars(target, checks):
    for name, content in hostile_tars().items():
        status = target.request("PUT", f"/v1/objects/{BUCKET}/{name}", bytes(content))[0]
        checks.that(f"put {name}", status == 200, status)
        for member in ("member", "passwd", "etc/passwd", "n" * 4000):
            status, _, body = target.request("GET",
                                         f"/v1/objects/{BUCKET}/{name}?archpath={member}")
            checks.that(f"{name} {member[:20]}", status in (200, 400, 404, 422) and
                        b"root:" not in body, f"{status} {body[:200]}")
        status, _, body = target.request("GET", f"/v1/objects/{BUCKET}/{name}")
        checks.that(f"{name} itself", status == 200 and body == bytes(content), status)
        listing = json.dumps({"action": "list", "value": {"prefix": name, "flags": "8"}}).encode()
        status, _, body = target.request("GET", f"/v1/buckets/{BUCKET}", listing)
        checks.that(f"{name} listed", status in (200, 422), f"{status} {body[:200]}")


def send_slowly(target, checks, seconds):
    """One byte a second, many at once; each must be closed or still waiting, the node must not
    care."""
    head = request(GET, HOST)
    slow = [target.connect_raw() for _ in range(50)]
    begin = time.monotonic()
    position = 0
    while time.monotonic() < begin + seconds:
        for connection in slow:
            try:
                connection.sendall(head[position:position + 1])
            except OSError:
                pass
        position += 1
        time.sleep(1)
    answers = []
    for connection in slow:
        connection.settimeout(5)
        answers.append(node_process.read_answer(connection)[0])
        connection.close()
    expected = {408, 0}
    checks.that("slow heads end", seconds < 11 or set(answers) <= expected, set(answers))


def abandon(target, checks):
    """Connections that begin something and go away."""
    for content in [b"", b"G", GET.encode(), request(GET, HOST)[:-2],
                    request(PUT, HOST + "Content-Length: 1000000\r\n", b"a" * 1000)]:
        for _ in range(100):
            with target.connect_raw() as connection:
                connection.sendall(content)
    checks.that("abandoned connections", target.request("GET", "/v1/health")[0] == 200)


def pipeline(target, checks):
    """Two thousand requests at once are answered in order, or the connection ends."""
    content = request("GET /v1/health HTTP/1.1", HOST) * 2000
    with target.connect_raw() as connection:
        sender = threading.Thread(target=lambda: connection.sendall(content), daemon=True)
        sender.start()
        answers = 0
        rest = b""
        while answers < 2000:
            piece = connection.recv(1 << 16)
            if not piece:
                break
            rest += piece
            answers += rest.count(b"HTTP/1.1 200")
            rest = rest[-11:] if b"HTTP/1.1 200" not in rest[-11:] else b""
        sender.join(5)
    checks.that("pipelined requests", answers == 2000, answers)


def attack(target, slow_seconds):
    checks = Checks()
    message = json.dumps({"action": "create-bck", "name": "", "value": None}).encode()
    target.request("POST", f"/v1/buckets/{BUCKET}?provider=ais", message)
    target.request("PUT", f"/v1/objects/{BUCKET}/o", b"content")
    target.request("PUT", f"/v1/objects/{BUCKET}/good.tar", bytes(tar_with(name="a")))
    neighbour = Neighbour(target)
    neighbour.start()
    before = target.resident_bytes()
    for attempt in (send_bad_heads, send_bad_bodies, send_bad_paths, send_bad_json,
                    send_hostile_tars, abandon, pipeline):
        try:
            attempt(target, checks)
        except (OSError, http.client.HTTPException, ValueError) as error:
            checks.that(attempt.__name__, False, repr(error))
    send_slowly(target, checks, slow_seconds)
    neighbour.stopping.set()
    neighbour.join(30)
    grown = target.resident_bytes() - before
    checks.that("the node lives", target.request("GET", "/v1/health")[0] == 200)
    checks.that("its memory is bounded", grown < GROWTH_BYTES_MAX, f"{grown >> 20} MiB more")
    checks.that("a neighbour saw no fault", not neighbour.faults and neighbour.requests > 20,
                f"{neighbour.requests} requests, {neighbour.faults[:3]}")
    checks.that("a neighbour was not kept waiting", neighbour.slowest_s < 5, neighbour.slowest_s)
    target.request("DELETE", f"/v1/buckets/{BUCKET}",
               json.dumps({"action": "destroy-bck", "name": "", "value": None}).encode())
    print(f"grown by {grown >> 10} KiB; the neighbour made {neighbour.requests} requests, the "
          f"slowest pair took {neighbour.slowest_s * 1000:.0f} ms")
    print(f"{checks.passed} passed, {checks.failed} failed")
    return 1 if checks.failed else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    node_process.add_node_arguments(parser)
    parser.add_argument("--pid", type=int, help="of the node at --url")
    parser.add_argument("--slow-seconds", type=int, default=12)
    arguments = parser.parse_args()
    with node_process.chosen_node(arguments, "hostile", arguments.pid) as node:
        return attack(node, arguments.slow_seconds)


if __name__ == "__main__":
    sys.exit(main())
