#!/usr/bin/env python3
"""offline_test.py PENSTOCKD PENSTOCK: the verbs that need no server: fsck, export, import.

What a server stored comes out as a TAR that GNU tar reads, goes into another directory with its
metadata, and is served there; interrupted streams go on; a directory is adopted by hard links; each
damaged object is named; exit statuses are those of the grammar.
Ends with "N passed, N failed".
"""

import io
import json
import os
import random
import subprocess
import sys
import tarfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from node_process import Checks, NodeProcess, TestDirectory  # noqa: E402

DONE, FAILED, USAGE, NOT_FOUND, REFUSED = range(5)


class Command:
    """The command line, and what it said last."""

    def __init__(self, path, checks):
        self.path, self.checks = path, checks

    def run(self, *arguments, status=DONE, data=b""):
        """Gives standard output; the status must be as said."""
        done = subprocess.run([self.path, *arguments], input=data, capture_output=True,
                              check=False, timeout=120)
        self.checks.check(done.returncode == status,
                          f"penstock {' '.join(arguments)}: status {done.returncode}, not "
                          f"{status}: {done.stdout[-300:]} {done.stderr[-300:]}")
        self.error = done.stderr
        return done.stdout


def objects():
    """Names and bytes of every kind: empty, small, with odd names, large, a shard."""
    source = random.Random(4)
    shard = io.BytesIO()
    with tarfile.open(fileobj=shard, mode="w") as archive:
        for number in range(20):
            member = tarfile.TarInfo(f"m{number}")
            member.size = 1000
            archive.addfile(member, io.BytesIO(source.randbytes(1000)))
    stored = {f"dir{number % 3}/{number:04d}": source.randbytes(number * 37 % 5000)
              for number in range(300)}
    stored.update({"empty": b"", "large": source.randbytes(3_000_000),
                   "a" * 300: source.randbytes(700), "sp ace": b"x", "uml\u00e4ut/\u4e2d": b"y",
                   "page": source.randbytes(131_072), "shard.tar": shard.getvalue()})
    return stored


def quoted(name):
    return "".join(f"%{byte:02X}" for byte in name.encode())


def put_all(node, stored):
    for name, content in stored.items():
        status, _, answer = node.request("PUT", f"/v1/objects/b/{quoted(name)}?provider=ais",
                                         content)
        assert status == 200, (name, status, answer)


def check_holds(node, bucket, stored, checks):
    for name, content in stored.items():
        status, _, answer = node.request(
            "GET", f"/v1/objects/{bucket}/{quoted(name)}?provider=ais")
        if not checks.check(status == 200 and answer == content, f"GET {name[:20]}: {status}"):
            return


def version_of(node, name):
    headers = node.request("HEAD", f"/v1/objects/b/{quoted(name)}?provider=ais")[1]
    return {key: headers[key] for key in ("ais-version", "ais-checksum-value", "ais-custom-md",
                                          "ais-atime", "Content-Length") if headers[key]}


def check_export(command, directory, stored, checks):
    """The TAR says what was stored, to Python and to GNU tar; gives its path."""
    tar = os.path.join(directory, "out.tar")
    command.run("export", os.path.join(directory, "data"), tar)
    with tarfile.open(tar) as archive:
        found = {member.name[2:]: archive.extractfile(member).read()
                 for member in archive if member.name.startswith("b/")}
    checks.check(found == stored, f"the TAR holds {len(found)} of {len(stored)} objects")
    listed = subprocess.run(["tar", "tf", tar], capture_output=True, check=False)
    checks.check(listed.returncode == 0 and listed.stderr == b"", f"tar tf: {listed.stderr[:200]}")
    piped = command.run("export", os.path.join(directory, "data"), "-")
    with open(tar, "rb") as file:
        checks.check(file.read() == piped, "a pipe gets the same bytes")
    command.run("export", os.path.join(directory, "data"), tar, status=REFUSED)
    return tar


def check_resumes(command, directory, tar, checks):
    """An export and an import that were cut anywhere go on."""
    with open(tar, "rb") as file:
        whole = file.read()
    part = os.path.join(directory, "part.tar")
    source = random.Random(9)
    for cut in [0, 1, 512, 1536, len(whole) - 1, len(whole)] + \
            [source.randrange(len(whole)) for _ in range(6)]:
        with open(part, "wb") as file:
            file.write(whole[:cut])
        command.run("export", "--resume", os.path.join(directory, "data"), part)
        with open(part, "rb") as file:
            checks.check(file.read() == whole, f"an export cut at {cut} goes on")
    target = os.path.join(directory, "cut")
    command.run("import", target, "-", status=FAILED, data=whole[:len(whole) // 2])
    answer = json.loads(command.run("--json", "import", "--resume", target, tar))
    checks.check(answer["skipped"] > 0 and answer["done"] > 0 and answer["failed"] == 0,
                 f"an import goes on: {answer}")
    again = json.loads(command.run("--json", "import", "--resume", target, tar))
    checks.check(again["done"] == 0, f"nothing is left to do: {again}")
    command.run("export", target, os.path.join(directory, "second.tar"))
    with open(os.path.join(directory, "second.tar"), "rb") as file:
        second = file.read()
    checks.check(len(second) == len(whole), "what was imported exports to the same size")


def check_adopts(command, penstockd, directory, checks):
    files = os.path.join(directory, "files")
    source = random.Random(11)
    stored = {f"sub{number % 4}/f{number}": source.randbytes(number * 5000 + 1)
              for number in range(40)}
    stored["empty"] = b""
    for name, content in stored.items():
        path = os.path.join(files, "photos", name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(content)
    os.symlink("/etc/passwd", os.path.join(files, "photos", "link"))
    home = os.path.join(directory, "adopted")
    os.mkdir(home)
    data = os.path.join(home, "data")
    answer = json.loads(command.run("--json", "import", data, "--adopt", files))
    checks.check(answer["done"] == len(stored) and answer["copied"] == 0, f"adopted: {answer}")
    links = [os.stat(os.path.join(files, "photos", name)).st_nlink for name in stored]
    checks.check(sorted(links) == [1] + [2] * (len(stored) - 1), "files are hard links")
    again = json.loads(command.run("--json", "import", "--resume", data, "--adopt", files))
    checks.check(again["skipped"] == len(stored), f"adopted twice: {again}")
    command.run("fsck", data)
    # The user's directory goes; the objects stay.
    subprocess.run(["rm", "-rf", files], check=True)
    node = NodeProcess(penstockd, home)
    check_holds(node, "photos", stored, checks)
    checks.check(node.stop() == 0, "orderly stop")


def check_names_damage(command, directory, stored, checks):
    data = os.path.join(directory, "data")
    answer = json.loads(command.run("--json", "fsck", data))
    checks.check(answer["done"] == len(stored) and answer["errors"] == [], f"whole: {answer}")
    large = max((entry.path for entry in os.scandir(os.path.join(data, "objects"))),
                key=os.path.getsize)
    with open(large, "r+b") as file:
        file.seek(1_000_000)
        byte = file.read(1)
        file.seek(1_000_000)
        file.write(bytes([byte[0] ^ 4]))
    text = command.run("fsck", data, status=FAILED).decode()
    checks.check("b/large: " in text and "1 damaged" in text, f"fsck says {text}")
    lines = command.run("--jsonl", "fsck", data, status=FAILED).decode().splitlines()
    checks.check(json.loads(lines[0])["name"] == "b/large" and len(lines) == 2, f"{lines}")
    command.run("export", data, os.path.join(directory, "damaged.tar"), status=FAILED)
    with tarfile.open(os.path.join(directory, "damaged.tar")) as archive:
        names = archive.getnames()
    checks.check("b/large" not in names and "b/page" in names, "the others are exported")
    answer = json.loads(command.run("--json", "fsck", "--remove-damaged", data, status=FAILED))
    checks.check(answer["removed"] == 1, f"removed: {answer}")
    command.run("fsck", data)


def check_statuses(command, directory, checks):
    command.run(status=USAGE)
    command.run("fsck", status=USAGE)
    command.run("frobnicate", status=USAGE)
    command.run("--json", "--jsonl", "fsck", "x", status=USAGE)
    command.run("import", os.path.join(directory, "x"), status=USAGE)
    command.run("fsck", os.path.join(directory, "nothing"), status=NOT_FOUND)
    checks.check(not os.path.exists(os.path.join(directory, "nothing")), "fsck makes nothing")
    command.run("export", directory, "-", status=NOT_FOUND)
    command.run("import", os.path.join(directory, "x"), "/nothing/here", status=NOT_FOUND)
    command.run("ls", "b", status=FAILED)
    checks.check(b"not implemented" in command.error, "what is not built says so")
    checks.check(command.run("--version").startswith(b"penstock "), "--version")
    command.run("--json", "fsck", os.path.join(directory, "nothing"), status=NOT_FOUND)
    checks.check(json.loads(command.error)["error"]["code"] == "not_found", "errors are JSON")


def check_foreign(command, directory, checks):
    """A TAR of anybody's: names say where; what cannot be taken is named and the rest comes in."""
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as archive:
        for name, content in {"./set/a": b"1", "set/b/c": b"22", "top": b"3",
                              "set/../../etc/passwd": b"4", "bad bucket/x": b"5"}.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            member.mtime = 1_600_000_000
            archive.addfile(member, io.BytesIO(content))
        link = tarfile.TarInfo("set/link")
        link.type, link.linkname = tarfile.SYMTYPE, "a"
        archive.addfile(link)
    data = os.path.join(directory, "foreign")
    answer = json.loads(command.run("--json", "import", data, "-", status=FAILED,
                                    data=tar.getvalue()))
    names = sorted(error["name"] for error in answer["errors"])
    checks.check(answer["done"] == 2 and names == ["bad bucket/x", "set/../../etc/passwd",
                                                   "set/link", "top"], f"{answer}")
    answer = json.loads(command.run("--json", "import", data, "-", "--bucket", "one",
                                    status=FAILED, data=tar.getvalue()))
    checks.check(answer["done"] == 4, f"into one bucket: {answer}")
    command.run("import", data, "-", status=FAILED, data=b"no archive at all" * 100)


def main():
    penstockd, path = sys.argv[1:3]
    checks = Checks()
    command = Command(path, checks)
    with TestDirectory("offline") as directory:
        node = NodeProcess(penstockd, directory.path)
        node.create_bucket("b")
        node.create_bucket("empty-bucket")
        stored = objects()
        put_all(node, stored)
        put_all(node, {"page": stored["page"]})  # a second version
        status = node.act("PATCH", "/v1/objects/b/empty?provider=ais", "",
                          {"key": "v\u00e4l ue"})[0]
        checks.check(status in (200, 204), f"custom metadata: {status}")
        before = {name: version_of(node, name) for name in ("page", "empty", "shard.tar")}
        command.run("fsck", os.path.join(directory.path, "data"), status=REFUSED)
        checks.check(str(node.pid).encode() in command.error, "it names who has the directory")
        checks.check(node.stop() == 0, "orderly stop")

        tar = check_export(command, directory.path, stored, checks)
        home = os.path.join(directory.path, "second")
        os.mkdir(home)
        command.run("import", os.path.join(home, "data"), tar)
        node = NodeProcess(penstockd, home)
        check_holds(node, "b", stored, checks)
        after = {name: version_of(node, name) for name in before}
        checks.check(after == before, f"metadata comes along: {before} {after}")
        status, _, member = node.request(
            "GET", "/v1/objects/b/shard.tar?provider=ais&archpath=m7")
        checks.check(status == 200 and len(member) == 1000, f"a member: {status}")
        answer = node.act("GET", "/v1/buckets/empty-bucket?provider=ais", "list", {})
        checks.check(answer[0] == 200, f"an empty bucket comes, too: {answer[0]}")
        checks.check(node.stop() == 0, "orderly stop")

        check_resumes(command, directory.path, tar, checks)
        check_adopts(command, penstockd, directory.path, checks)
        check_names_damage(command, directory.path, stored, checks)
        check_foreign(command, directory.path, checks)
        check_statuses(command, directory.path, checks)
        directory.is_kept = checks.failed > 0
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
