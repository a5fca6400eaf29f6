#!/usr/bin/env python3
"""tls_test.py PENSTOCKD: HTTPS, and MessagePack-RPC over TLS, from outside: objects of every size
whole in both directions, TLS 1.2 and 1.3 and none older, the upload handshake of AIStore's SDK,
certificates shown and read again, and peers that speak something else, stop in the middle, or are
slow. (The calls of MessagePack-RPC over TLS: tests/client, tests/python.)

Ends with "N passed, N failed".
"""

import hashlib
import http.client
import json
import os
import random
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from node_process import (Checks, Node, NodeProcess, TestDirectory,  # noqa: E402
                          make_certificate, read_answer)


def context_for(certificate, least=None, most=None):
    context = ssl.create_default_context(cafile=certificate)
    if least:
        context.minimum_version = least
    if most:
        context.maximum_version = most
    return context


class TlsNode(Node):
    """A node that is asked over TLS."""

    def __init__(self, node, certificate, **versions):
        super().__init__(node.url, node.pid)
        self.log_path = node.log_path
        self.certificate, self.versions = certificate, versions

    def connect(self, timeout_s=20):
        return http.client.HTTPSConnection(self.host, self.port, timeout=timeout_s,
                                           context=context_for(self.certificate, **self.versions))


def check_objects(checks, tls):
    source = random.Random(9)
    status = tls.request("POST", "/v1/buckets/b", b'{"action":"create-bck"}')[0]
    checks.check(status == 200, f"bucket: {status}")
    for size in (0, 1, 1000, 16_384, 16_385, 100_000, 245_760, 262_144, 5_000_001):
        content = source.randbytes(size)
        target = f"/v1/objects/b/s{size}"
        status = tls.request("PUT", target + "?pid=x", content)[0]
        checks.check(status == 200, f"put {size}: {status}")
        for _ in range(2):
            status, headers, found = tls.request("GET", target)
            checks.check(status == 200 and found == content, f"get {size}: {status}")
        status, _, part = tls.request("GET", target, None, {"Range": "bytes=1-70000"})
        checks.check(size < 2 or part == content[1:70001], f"range of {size}: {status}")
    with_chunks = iter([b"a" * 100_000, b"b", b"c" * 300_000])
    connection = tls.connect()
    connection.request("PUT", "/v1/objects/b/chunked?pid=x", with_chunks, encode_chunked=True,
                       headers={"Transfer-Encoding": "chunked"})
    checks.check(connection.getresponse().status == 200, "chunked")
    connection.close()
    checks.check(len(tls.request("GET", "/v1/objects/b/chunked")[2]) == 400_001, "chunked: whole")
    # Many requests on one connection, in both directions.
    connection = tls.connect()
    for index in range(100):
        connection.request("PUT", f"/v1/objects/b/k{index}?pid=x", b"v" * index)
        checks.check(connection.getresponse().read() == b"", "keep-alive put")
        connection.request("GET", f"/v1/objects/b/k{index}")
        checks.check(connection.getresponse().read() == b"v" * index, "keep-alive get")
    time.sleep(1.5)  # it gives its buffers back meanwhile
    connection.request("GET", "/v1/objects/b/k7")
    checks.check(connection.getresponse().read() == b"v" * 7, "after a pause")
    connection.close()


def check_handshake_of_uploads(checks, tls):
    """The head alone, with the length of a body that does not come."""
    start = time.monotonic()
    connection = tls.connect()
    connection.putrequest("PUT", "/v1/objects/b/up?provider=ais")
    connection.putheader("Content-Length", "1000000")
    connection.putheader("Connection", "close")
    connection.endheaders()
    response = connection.getresponse()
    location = response.headers["Location"]
    checks.check(response.status == 307 and time.monotonic() - start < 2, "307 from the head alone")
    prefix = f"https://127.0.0.1:{tls.port}/v1/objects/b/up?provider=ais&pid="
    checks.check(location.startswith(prefix), f"Location: {location}")
    connection.close()
    content = os.urandom(1_000_000)
    status = tls.request("PUT", location.partition(str(tls.port))[2], content)[0]
    checks.check(status == 200, f"second leg: {status}")
    found = tls.request("GET", "/v1/objects/b/up")[2]
    checks.check(hashlib.md5(found).digest() == hashlib.md5(content).digest(), "whole")
    status, _, answer = tls.request("GET", "/v1/daemon?what=smap")
    checks.check(status == 200 and f'"direct_url":"https://127.0.0.1:{tls.port}"'
                 in answer.decode().replace(" ", ""), "the cluster map says https")


def check_versions(checks, tls):
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        status = TlsNode(tls, tls.certificate, least=version, most=version).request(
            "GET", "/v1/objects/b/s1000")[0]
        checks.check(status == 200, f"{version.name}: {status}")
    old = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{tls.port}",
                          "-tls1_1", "-cipher", "ALL:@SECLEVEL=0"], input=b"",
                         capture_output=True, timeout=20, check=False)
    checks.check(old.returncode != 0, "TLS 1.1 is refused")
    context = context_for(tls.certificate)
    context.set_alpn_protocols(["h2", "http/1.1"])
    with tls.connect_raw() as raw, context.wrap_socket(raw, server_hostname="127.0.0.1") as secure:
        checks.check(secure.selected_alpn_protocol() == "http/1.1", "ALPN")


def check_hostile(checks, tls):
    with tls.connect_raw() as raw:
        raw.sendall(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        status, _, body = read_answer(raw)
        checks.check(status == 400 and b"HTTPS" in body, f"plain HTTP: {status} {body}")
    source = random.Random(3)
    hello = None
    with tls.connect_raw() as raw:  # a real first flight, to be damaged
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        session = context_for(tls.certificate).wrap_bio(incoming, outgoing,
                                                        server_hostname="127.0.0.1")
        try:
            session.do_handshake()
        except ssl.SSLWantReadError:
            hello = outgoing.read()
    for turn in range(300):
        kind = turn % 5
        with tls.connect_raw() as raw:
            if kind == 0:
                raw.sendall(source.randbytes(source.randrange(1, 3000)))
            elif kind == 1:
                raw.sendall(b"\x16\x03\x01" + source.randbytes(source.randrange(1, 3000)))
            elif kind == 2:
                damaged = bytearray(hello)
                damaged[source.randrange(len(damaged))] ^= 1 << source.randrange(8)
                raw.sendall(damaged)
            elif kind == 3:
                raw.sendall(hello[:source.randrange(len(hello))])
            else:
                raw.sendall(hello + source.randbytes(source.randrange(1, 40_000)))
            raw.settimeout(15)
            try:
                raw.shutdown(socket.SHUT_WR)
                while raw.recv(65536):
                    pass
            except OSError as error:
                checks.check(not isinstance(error, TimeoutError), f"kind {kind}: it hangs")
    # Garbage behind a handshake that went well.
    for turn in range(20):
        with tls.connect_raw() as raw:
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            session = context_for(tls.certificate).wrap_bio(incoming, outgoing,
                                                            server_hostname="127.0.0.1")
            for _ in range(10):
                try:
                    session.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    raw.sendall(outgoing.read())
                    incoming.write(raw.recv(65536))
            session.write(b"GET /v1/objects/b/s1000 HTTP/1.1\r\nHost: h\r\n\r\n")
            records = bytearray(outgoing.read())
            if turn % 2:
                records[source.randrange(len(records) - 60, len(records))] ^= 1
            else:
                records += source.randbytes(5000)
            raw.sendall(records)
            raw.settimeout(15)
            try:
                while raw.recv(65536):
                    pass
            except OSError as error:
                checks.check(not isinstance(error, TimeoutError), "damaged records: it hangs")
    checks.check(tls.request("GET", "/health")[0] == 200, "the node lives")


def check_slow(checks, tls):
    # A handshake that does not go on ends after head_seconds.
    start = time.monotonic()
    with tls.connect_raw() as raw:
        raw.settimeout(15)
        raw.sendall(b"\x16\x03\x01\x02")
        checks.check(raw.recv(100) == b"" and 0.9 < time.monotonic() - start < 10,
                     "a half handshake ends")
    # A request byte by byte, each in a record of its own.
    context = context_for(tls.certificate)
    with tls.connect_raw() as raw, context.wrap_socket(raw, server_hostname="127.0.0.1") as secure:
        for byte in (b"PUT /v1/objects/b/slow?pid=x HTTP/1.1\r\nHost: h\r\n"
                     b"Content-Length: 9\r\n\r\n"):
            secure.sendall(bytes([byte]))
        for byte in b"123456789":
            secure.sendall(bytes([byte]))
            time.sleep(0.02)
        checks.check(read_answer(secure)[0] == 200, "byte by byte")
    # A reader that is slow gets all of it.
    with tls.connect_raw() as raw:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        with context.wrap_socket(raw, server_hostname="127.0.0.1") as secure:
            secure.sendall(b"GET /v1/objects/b/s5000001 HTTP/1.1\r\nHost: h\r\n\r\n")
            time.sleep(0.5)
            checks.check(len(read_answer(secure)[2]) == 5_000_001, "a slow reader")


# [0, 7, "rpc.ping", [{}]] and how its answer begins.
PING, PONG = b"\x94\x00\x07\xa8rpc.ping\x91\x80", b"\x94\x01\x07\xc0"


def check_rpc(checks, certificate, address):
    host, port = address.rsplit(":", 1)

    def connect():
        return socket.create_connection((host, int(port)), 15)

    def secured(raw):
        return context_for(certificate).wrap_socket(raw, server_hostname=host)

    def ends(raw):
        try:
            while raw.recv(65536):
                pass
            return True
        except TimeoutError:
            return False
        except OSError:
            return True

    with connect() as raw:
        raw.sendall(PING)
        checks.check(ends(raw), "rpc: in the clear nothing is answered")
    start = time.monotonic()
    with connect() as raw:
        raw.sendall(b"\x16\x03\x01\x02")
        checks.check(ends(raw) and 0.9 < time.monotonic() - start < 10,
                     "rpc: a half handshake ends")
    source = random.Random(5)
    for turn in range(100):
        with connect() as raw:
            raw.sendall((b"\x16\x03\x01" if turn % 2 else b"")
                        + source.randbytes(source.randrange(1, 3000)))
            try:
                raw.shutdown(socket.SHUT_WR)
            except OSError:
                pass
            checks.check(ends(raw), "rpc: it hangs")
    with connect() as raw, secured(raw) as secure:
        for byte in PING:  # each in a record of its own
            secure.sendall(bytes([byte]))
        checks.check(secure.recv(100).startswith(PONG), "rpc: byte by byte")
        time.sleep(1.5)  # it gives its buffers back meanwhile
        secure.sendall(PING * 300)
        answers = b""
        while answers.count(PONG) < 300 and (piece := secure.recv(65536)):
            answers += piece
        checks.check(answers.count(PONG) == 300, "rpc: many in one record, after a pause")
    with connect() as raw, secured(raw) as secure:
        secure.sendall(b"\xc1")
        checks.check(ends(secure), "rpc: no MessagePack")


def check_certificate(checks, tls):
    def told_by_openssl(*what):
        done = subprocess.run(["openssl", "x509", "-in", tls.certificate, "-noout", *what],
                              capture_output=True, text=True, timeout=20, check=True)
        return done.stdout.strip().partition("=")[2]

    def time_of(text):
        return time.strftime("%Y-%m-%d %H:%M:%S", time.strptime(text, "%b %d %H:%M:%S %Y GMT"))

    shown = json.loads(tls.request("GET", "/v1/daemon?what=tls_certificate")[2])
    is_rsa = "RSA" in shown["public-key-algorithm"]
    checks.check(shown == {
        "valid": f"from {time_of(told_by_openssl('-startdate'))} "
                 f"to {time_of(told_by_openssl('-enddate'))}",
        "issued-by (CN)": told_by_openssl("-issuer").rpartition("= ")[2],
        "version": "3", "serial-number": str(int(told_by_openssl("-serial"), 16)),
        "signature-algorithm": "SHA256-RSA" if is_rsa else "ECDSA-SHA256",
        "public-key-algorithm": "RSA" if is_rsa else "ECDSA"}, f"tls_certificate: {shown}")
    return is_rsa


def check_many(checks, tls):
    """Connections of several threads, on both cores."""
    failed = []

    def work(seed):
        source = random.Random(seed)
        try:
            for index in range(20):
                content = source.randbytes(source.choice((10, 5000, 200_000, 1_000_000)))
                name = f"/v1/objects/b/t{seed}-{index}"
                if tls.request("PUT", name + "?pid=x", content)[0] != 200:
                    failed.append(name)
                if tls.request("GET", name)[2] != content:
                    failed.append(name)
        except (OSError, http.client.HTTPException) as error:
            failed.append(repr(error))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    checks.check(not failed, f"at once: {failed[:5]}")


def replace_files(paths, sources):
    for path, source in zip(paths, sources):
        with open(source, "rb") as file:
            content = file.read()
        with open(path + ".new", "wb") as file:
            file.write(content)
        os.rename(path + ".new", path)


def check_load_by_call(checks, tls, directory, paths):
    """AIStore's way: PUT /v1/cluster/load-x509. Gives the node as it is seen then."""
    third = make_certificate(directory, "third")
    replace_files(paths, third)
    checks.check(tls.request("PUT", "/v1/cluster/load-x509")[0] == 200, "load-x509")
    now = TlsNode(tls, third[0])
    checks.check(now.request("GET", "/health")[0] == 200, "its certificate is shown at once")
    checks.check(not check_certificate(checks, now), "and told: not the RSA one before")
    return now


def check_reload(checks, tls, directory, paths):
    other = make_certificate(directory, "other", "rsa")
    kept = tls.connect()
    kept.request("GET", "/health")
    kept.getresponse().read()
    replace_files(paths, other)
    os.kill(tls.pid, signal.SIGHUP)
    deadline = time.monotonic() + 10
    renewed = TlsNode(tls, other[0])
    while True:
        try:
            status = renewed.request("GET", "/health")[0]
            break
        except ssl.SSLError:
            if time.monotonic() > deadline:
                status = 0
                break
            time.sleep(0.05)
    checks.check(status == 200, "the new certificate is shown")
    checks.check(check_certificate(checks, renewed), "and told")
    kept.request("GET", "/health")
    checks.check(kept.getresponse().status == 200, "open connections go on")
    kept.close()
    kept = check_load_by_call(checks, renewed, directory, paths)
    with open(paths[1], "wb") as file:
        file.write(b"no key")
    checks.check(kept.request("PUT", "/v1/cluster/load-x509")[0] == 500, "a wrong key is told")
    renewed = kept
    os.kill(tls.pid, signal.SIGHUP)
    time.sleep(0.3)
    checks.check(renewed.request("GET", "/health")[0] == 200, "a wrong key changes nothing")
    with open(tls.log_path, encoding="utf-8") as file:
        checks.check(paths[1] in file.read(), "and the log names it")


def check_settings(checks, penstockd, directory, paths):
    def run(text):
        path = os.path.join(directory, "bad.toml")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        done = subprocess.run([penstockd, "--data", os.path.join(directory, "x"), "--settings",
                               path, "--check-config"], capture_output=True, text=True,
                              timeout=20, check=False)
        return done.returncode, done.stderr

    status, error = run(f'[tls]\ncertificate = "{paths[0]}"\n')
    checks.check(status == 2 and "key" in error, f"no key: {error}")
    status, error = run(f'[tls]\ncertificate = "{paths[0]}"\nkey = "{paths[0]}"\n')
    checks.check(status == 2 and paths[0] in error, f"a key that is none: {error}")
    status, error = run(f'[tls]\ncertificate = "missing.pem"\nkey = "{paths[1]}"\n')
    checks.check(status == 2 and "missing.pem" in error, f"missing: {error}")
    status, error = run(f'[tls]\ncertificate = "{paths[0]}"\nkey = "{paths[1]}"\n')
    checks.check(status == 0, f"right: {error}")


def main():
    penstockd = sys.argv[1]
    checks = Checks()
    with TestDirectory("tls") as directory:
        paths = make_certificate(directory.path, "node")
        check_settings(checks, penstockd, directory.path, paths)
        settings = os.path.join(directory.path, "node.toml")
        with open(settings, "w", encoding="utf-8") as file:
            file.write(f'[tls]\ncertificate = "{paths[0]}"\nkey = "{paths[1]}"\nloopback = true\n'
                       "[limits]\nhead_seconds = 2\n")
        for backend in ("auto", "epoll"):
            node = NodeProcess(penstockd, directory.path, "--settings", settings, "--cores", "2",
                               "--rpc", "127.0.0.1:0", "--io-backend", backend)
            try:
                checks.check(node.ready["tls"] is True and node.ready["rpc_tls"] is True,
                             "the ready file says so")
                check_rpc(checks, paths[0], node.ready["rpc"])
                tls = TlsNode(node, paths[0])
                if backend == "auto":
                    checks.check(not check_certificate(checks, tls), "an ECDSA key")
                    check_objects(checks, tls)
                    check_handshake_of_uploads(checks, tls)
                    check_versions(checks, tls)
                    check_hostile(checks, tls)
                    check_slow(checks, tls)
                check_many(checks, tls)
                if backend == "epoll":
                    check_reload(checks, tls, directory.path, paths)
                checks.check(node.stop() == 0, "stop")
            finally:
                node.kill()
        directory.is_kept = checks.failed > 0
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
