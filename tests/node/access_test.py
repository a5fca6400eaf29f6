#!/usr/bin/env python3
"""access_test.py PENSTOCKD PENSTOCK: tokens from outside: made by the command, asked for by every
door, read again on SIGHUP; the owner on the Unix socket needs none; hostile headers.

Ends with "N passed, N failed".
"""

import json
import os
import signal
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(HERE)), "python"))
from node_process import Checks, NodeProcess, TestDirectory, read_answer  # noqa: E402

try:
    import penstock
    import penstock.aio
except ImportError:  # python3-msgpack is missing
    penstock = None


def new_token(checks, command, path, name, *flags, status=0):
    done = subprocess.run([command, "token", "new", name, "--file", path, *flags],
                          capture_output=True, text=True, timeout=20, check=False)
    checks.check(done.returncode == status, f"token new {name} {flags}: {done}")
    return done.stdout.strip()


def check_command(checks, command, directory):
    """Gives the path of a list with one token of each kind, and the tokens."""
    path = os.path.join(directory, "tokens")
    tokens = {"reader": new_token(checks, command, path, "reader", "--role", "read",
                                  "--bucket", "b"),
              "writer": new_token(checks, command, path, "writer", "--role", "read-write",
                                  "--bucket", "b", "--bucket", "c"),
              "admin": new_token(checks, command, path, "admin", "--role", "admin")}
    with open(path, encoding="utf-8") as file:
        text = file.read()
    checks.check(text.count("\n") == 3 and "writer read-write b,c " in text, "a line each")
    checks.check(not any(token in text for token in tokens.values()), "no token is in the list")
    checks.check(all(len(token) == 73 for token in tokens.values()), "256 bits each")
    for name, role, bucket, status in (("reader", "read", "b", 4), ("new", "writer", "b", 2),
                                       ("new", "read", "../b", 4), ("a b", "read", "b", 4),
                                       ("#x", "read", "b", 4)):
        new_token(checks, command, path, name, "--role", role, "--bucket", bucket, status=status)
    with open(path, encoding="utf-8") as file:
        checks.check(file.read() == text, "what is refused changes nothing")
    return path, tokens


def bearer(token):
    return {"Authorization": "Bearer " + token}


def check_http(checks, node, tokens):
    def status(method, target, who=None, body=None):
        headers = bearer(tokens.get(who, who)) if who else {}
        return node.request(method, target, body, headers)[0]

    create = json.dumps({"action": "create-bck"})
    checks.check(status("POST", "/v1/buckets/b", None, create) == 401, "nobody creates")
    checks.check(status("POST", "/v1/buckets/b", "writer", create) == 403, "nor a writer")
    for bucket in "bcd":
        checks.check(status("POST", f"/v1/buckets/{bucket}", "admin", create) == 200, "admin does")
    checks.check(status("PUT", "/v1/objects/b/o", None, b"x" * 100_000) == 401, "put: nobody")
    checks.check(status("PUT", "/v1/objects/b/o", "reader", b"x") == 403, "put: reader")
    checks.check(status("PUT", "/v1/objects/b/o", "writer", b"x") == 200, "put: writer")
    checks.check(status("PUT", "/v1/objects/d/o", "writer", b"x") == 403, "put: other bucket")
    checks.check(status("GET", "/v1/objects/b/o", "reader") == 200, "get: reader")
    checks.check(status("GET", "/v1/objects/b/o", "wrong") == 401, "get: wrong token")
    checks.check(status("GET", "/v1/objects/none/o", "reader") == 403, "no bucket is told of")
    answer, headers, content = node.request("GET", "/v1/objects/b/o")
    checks.check(answer == 401 and headers["WWW-Authenticate"].startswith("Bearer")
                 and json.loads(content)["status"] == 401, "401 in the contract's form")
    checks.check(status("GET", "/health") == 200 and status("GET", "/v1/health") == 200, "health")
    checks.check(status("GET", "/metrics") == 401 and status("GET", "/metrics", "reader") == 200,
                 "metrics")


def check_hostile(checks, node):
    """Whatever is in the header, the answer is a refusal and the node lives."""
    values = [b"Bearer " + b"x" * 60_000, b"Bearer \xff\xfe\x01", b"Bearer", b"bearer " * 5000,
              b"Basic " + b"QUJD" * 1000, b"Bearer " + b"\t" * 1000 + b"x"]
    for value in values:
        with node.connect_raw() as connection:
            connection.sendall(b"GET /v1/buckets HTTP/1.1\r\nHost: h\r\nAuthorization: " + value
                               + b"\r\n\r\n")
            status = read_answer(connection)[0]
            checks.check(status in (400, 401, 431), f"{value[:20]!r}: {status}")
    checks.check(node.request("GET", "/health")[0] == 200, "the node lives")


def check_clients(checks, node, tokens):
    if penstock is None:
        print("msgpack is missing: our clients are not tried")
        return
    for address in (f"tcp://{node.ready['rpc']}", f"http://{node.ready['http']}"):
        with penstock.Client(address) as client:
            try:
                client.get("b", "o")
                checks.check(False, f"{address}: no token was needed")
            except penstock.Unauthenticated:
                checks.check(True, "")
        with penstock.Client(address, token=tokens["reader"]) as client:
            checks.check(client.get("b", "o") == b"x", f"{address}: get")
            checks.check(client.buckets() == ["b"], f"{address}: sees its bucket")
            try:
                client.put("b", "o", b"y")
                checks.check(False, f"{address}: a reader wrote")
            except penstock.Refused:
                checks.check(True, "")
        os.environ["PENSTOCK_TOKEN"] = tokens["writer"]
        with penstock.Client(address) as client:
            client.put("c", "large", b"z" * 3_000_000)
            checks.check(client.get("c", "large") == b"z" * 3_000_000, f"{address}: from environ")
        del os.environ["PENSTOCK_TOKEN"]
    with penstock.Client("unix:" + node.ready["rpc_socket"]) as client:
        checks.check(sorted(client.buckets()) == ["b", "c", "d"], "the owner needs no token")


def check_reload(checks, node, command, path, tokens):
    with open(path, encoding="utf-8") as file:
        lines = file.readlines()

    def write(text):
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        os.kill(node.pid, signal.SIGHUP)

    def status_within(who, expected):
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            found = node.request("GET", "/v1/objects/b/o", None, bearer(tokens[who]))[0]
            if found == expected:
                return True
            time.sleep(0.02)
        return False

    write("".join(line for line in lines if not line.startswith("reader ")))
    checks.check(status_within("reader", 401), "a token that is gone is worth nothing")
    checks.check(status_within("admin", 200), "the others stay")
    write("nonsense\n")
    time.sleep(0.3)
    checks.check(status_within("admin", 200), "a wrong list changes nothing")
    with open(node.log_path, encoding="utf-8") as file:
        checks.check(f"{path}:1:" in file.read(), "and the log says what is wrong with it")
    write("".join(lines))
    checks.check(status_within("reader", 200), "it is back")
    tokens["late"] = new_token(checks, command, path, "late", "--role", "read")
    os.kill(node.pid, signal.SIGHUP)
    checks.check(status_within("late", 200), "a new one")


def check_start(checks, penstockd, directory, path):
    settings = os.path.join(directory, "bad.toml")

    def run(text):
        with open(settings, "w", encoding="utf-8") as file:
            file.write(text)
        done = subprocess.run([penstockd, "--data", os.path.join(directory, "x"), "--settings",
                               settings, "--check-config"], capture_output=True, text=True,
                              timeout=20, check=False)
        return done.returncode, done.stderr

    outside = 'http = "0.0.0.0:0"\nrpc = "0.0.0.0:0"\n'
    status, error = run(outside)
    checks.check(status == 2 and "without credentials" in error, f"open to all: {error}")
    status, error = run(outside + f'[access]\ntokens_file = "{path}"\n')
    checks.check(status == 0, f"with tokens: {error}")
    status, error = run('[access]\ntokens_file = "missing"\n')
    checks.check(status == 2 and os.path.join(directory, "missing") in error, f"missing: {error}")
    with open(os.path.join(directory, "broken"), "w", encoding="utf-8") as file:
        file.write("\n\nreader read\n")
    status, error = run('[access]\ntokens_file = "broken"\n')
    checks.check(status == 2 and "broken:3: expected NAME" in error, f"broken: {error}")


def main():
    penstockd, command = sys.argv[1:3]
    checks = Checks()
    with TestDirectory("access") as directory:
        path, tokens = check_command(checks, command, directory.path)
        check_start(checks, penstockd, directory.path, path)
        settings = os.path.join(directory.path, "node.toml")
        with open(settings, "w", encoding="utf-8") as file:
            file.write('[access]\ntokens_file = "tokens"\n')
        node = NodeProcess(penstockd, directory.path, "--settings", settings, "--cores", "2",
                           "--rpc", "127.0.0.1:0", "--rpc-socket",
                           os.path.join(directory.path, "rpc.sock"))
        try:
            check_http(checks, node, tokens)
            check_hostile(checks, node)
            check_clients(checks, node, tokens)
            check_reload(checks, node, command, path, tokens)
            with open(node.log_path, encoding="utf-8") as file:
                log = file.read()
            checks.check(not any(token in log for token in tokens.values()), "no secret is logged")
            checks.check(node.stop() == 0, "stop")
        finally:
            node.kill()
        directory.is_kept = checks.failed > 0
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
