#!/usr/bin/env python3
"""Checks what the style guide says and no compiler sees: who includes whom, how long lines,
functions and files are, what a header begins with.

    tests/tidy/tidy.py [ROOT]        checks the tree, one line "FILE:LINE: what to do" an offence
    tests/tidy/tidy.py --self-test   gives each rule a small bad sample, which it must find

The last line is "N passed, N failed": rules, not files. The exit status is 1 if one failed.
"""

import os
import re
import sys
import tempfile

LINE_COLUMNS_MAX = 100
FUNCTION_LINES_MAX = 70
FILE_LINES_MAX = 700

FOLDERS = ["io", "bus", "archive", "etl", "node", "client", "bench", "tests", "python", "packaging"]
# Which layers a layer may include, itself apart. Siblings meet in node.
MAY_INCLUDE = {
    "io/base": set(),
    "io": {"io/base"},
    "bus": {"io/base", "io"},
    "archive": {"io/base", "io"},
    "etl": {"io/base", "io"},
    "node": {"io/base", "io", "bus", "archive", "etl"},
    "client": {"io/base", "io"},
    "bench": {"io/base", "io", "bus", "archive", "etl", "node", "client"},
    "tests": {"io/base", "io", "bus", "archive", "etl", "node", "client", "bench"},
}
# The node's public headers, which client may include, too: programs of others are built against
# them. They stand on io/base alone.
PUBLIC_HEADERS = {"node/embedded.h", "node/offline.h"}
# A library's headers, the files that alone may see them, and how to say so. Tests may see all.
LIBRARIES = [
    (r"liburing", r"io/uring_", "io/uring_*"),
    (r"leveldb/", r"node/store/level_", "node/store/level_*"),
    (r"archive(_entry)?\.h$", r"archive/foreign", "archive/foreign*"),
    (r"zmq", r"bus/", "bus"),
    (r"msgpack/|msgpack\.hpp", r"(bus|node/doors/rpc)/", "bus and node/doors/rpc"),
    (r"openssl/", r"io/(tls|base/checksum)", "io/tls* and io/base/checksum*"),
    (r"boost/beast", r"io/http/|bench/http_head_bench", "io/http"),
]
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')
TODO_WITH_REASON = re.compile(r"TODO\b[^\n]*\b(until|when|once|after|waits? for)\b")


def layer_of(path):
    """The layer that a path from the root lies in, or None."""
    if path.startswith("io/base/"):
        return "io/base"
    top = path.split("/", 1)[0]
    return top if top in MAY_INCLUDE and "/" in path else None


def sources(root):
    """Every file that a rule looks at, as (path from the root, lines)."""
    for folder in FOLDERS:
        for directory, subfolders, names in os.walk(os.path.join(root, folder)):
            subfolders[:] = sorted(name for name in subfolders if not name.startswith(".")
                                   and name not in ("corpus", "__pycache__"))
            for name in sorted(names):
                if name.endswith((".cc", ".h", ".py")):
                    path = os.path.join(directory, name)
                    with open(path, encoding="utf-8", errors="replace") as file:
                        yield os.path.relpath(path, root), file.read().split("\n")


def is_cpp(path):
    return path.endswith((".cc", ".h"))


def check_layers(path, lines):
    layer = layer_of(path)
    for number, line in enumerate(lines, 1):
        match = INCLUDE.match(line)
        if not is_cpp(path) or layer is None or not match or match[1] != '"':
            continue
        target = layer_of(match[2])
        if layer == "client" and match[2] in PUBLIC_HEADERS:
            continue
        if path in PUBLIC_HEADERS and target != "io/base":
            yield number, f"a public header stands on io/base alone, not on {match[2]}"
            continue
        if target is None:
            yield number, f'write the include from the root, as "io/disk.h": "{match[2]}" is not'
        elif target != layer and target not in MAY_INCLUDE[layer]:
            yield number, f"{layer} may not include {target}: move it down, or join both in node"


def check_internal(path, lines):
    for number, line in enumerate(lines, 1):
        match = INCLUDE.match(line)
        if not is_cpp(path) or not match or "/internal/" not in match[2]:
            continue
        owner = match[2].split("/internal/")[0] + "/"
        if not path.startswith((owner, "tests/" + owner)):
            yield number, f"only {owner} may include {match[2]}: use the folder's own headers"


def check_libraries(path, lines):
    if not is_cpp(path) or path.startswith("tests/"):
        return
    for number, line in enumerate(lines, 1):
        match = INCLUDE.match(line)
        if not match or match[1] != "<":
            continue
        for library, allowed, where in LIBRARIES:
            if re.match(library, match[2]) and not re.match(allowed, path):
                yield number, f"<{match[2]}> belongs in {where} alone: go through its interface"


def check_line_length(path, lines):
    for number, line in enumerate(lines, 1):
        if len(line) > LINE_COLUMNS_MAX:
            yield number, f"{len(line)} columns: break the line at {LINE_COLUMNS_MAX}"


def check_file_length(path, lines):
    count = len(lines) - (lines[-1] == "")
    if count > FILE_LINES_MAX:
        yield count, f"{count} lines: split the file, {FILE_LINES_MAX} is the most"


def check_header_start(path, lines):
    if not path.endswith(".h"):
        return
    if not lines[0].startswith("// "):
        yield 1, "open the header with a comment: what it is, why it exists, which core calls it"
    at = 0
    while at < len(lines) and lines[at].startswith("//"):
        at += 1
    if at >= len(lines) or lines[at] != "#pragma once":
        yield at + 1, "put #pragma once behind the opening comment"


def check_todo(path, lines):
    if path.startswith("tests/tidy/"):
        return
    for number, line in enumerate(lines, 1):
        if re.search(r"\bTODO\b", line) and not TODO_WITH_REASON.search(line):
            yield number, "say what the TODO waits for (\"until ...\", \"when ...\"), or do it"


def without_text(source):
    """The source with comments, strings and characters blanked; its newlines stay."""
    pattern = re.compile(
        r'//[^\n]*|/\*.*?\*/|R"(?P<mark>[^(\s]*)\(.*?\)(?P=mark)"|"(?:\\.|[^"\\\n])*"'
        r"|(?<![0-9a-zA-Z_])'(?:\\.|[^'\\\n])+'|^[ \t]*#(?:\\\n|[^\n])*", re.DOTALL | re.MULTILINE)
    return pattern.sub(lambda match: "\n" * match[0].count("\n"), source)


def functions(lines):
    """(first line, lines) of every function: a block behind a ')' that lies in no other one."""
    source = without_text("\n".join(lines))
    depth_of_function = None
    depth = 0
    start = 1
    line = 1
    head = ""
    for character in source:
        if character == "\n":
            line += 1
        if character == "{":
            is_scope = re.search(r"\b(namespace|class|struct|union|enum|extern)\b[^()]*$", head)
            if depth_of_function is None and ")" in head and not is_scope \
                    and not head.rstrip().endswith("="):
                depth_of_function, start = depth, line
            depth += 1
            head = ""
        elif character == "}":
            depth -= 1
            if depth == depth_of_function:
                yield start, line - start + 1
                depth_of_function = None
            head = ""
        else:
            head = "" if character == ";" else head + character


def check_function_length(path, lines):
    if not is_cpp(path):
        return
    for number, length in functions(lines):
        if length > FUNCTION_LINES_MAX:
            yield number, f"a function of {length} lines: move plain work into functions of its own"


RULES = [check_layers, check_internal, check_libraries, check_line_length, check_file_length,
         check_header_start, check_todo, check_function_length]


def offences(root):
    """Rule name -> lines to print."""
    found = {rule.__name__: [] for rule in RULES}
    for path, lines in sources(root):
        for rule in RULES:
            for number, text in rule(path, lines):
                found[rule.__name__].append(f"{path}:{number}: {text}")
    found["check_design"] = [
        f"{folder}/DESIGN.md:1: write it: what the folder holds, its invariants and limits"
        for folder in FOLDERS
        if folder != "tests" and os.path.isdir(os.path.join(root, folder))
        and not os.path.exists(os.path.join(root, folder, "DESIGN.md"))]
    return found


GOOD_START = "// Thing: for a test; any core.\n#pragma once\n"
# Rule -> a file that breaks it, and the line that must be named.
SAMPLES = [
    ("check_layers", "io/base/a.h", GOOD_START + '#include "io/disk.h"\n', 3),
    ("check_layers", "archive/a.cc", '#include "node/node.h"\n', 1),
    ("check_layers", "bus/a.cc", '#include "etl/etl.h"\n', 1),
    ("check_layers", "client/a.cc", '#include "node/node.h"\n', 1),
    ("check_layers", "node/offline.h", GOOD_START + '#include "node/storage.h"\n', 3),
    ("check_layers", "node/a.cc", '#include "bench/b.h"\n', 1),
    ("check_layers", "io/a.cc", '#include "disk.h"\n', 1),
    ("check_internal", "node/a.cc", '\n#include "io/internal/x.h"\n', 2),
    ("check_libraries", "io/reactor.cc", "#include <liburing.h>\n", 1),
    ("check_libraries", "node/store/store.cc", "#include <leveldb/db.h>\n", 1),
    ("check_libraries", "archive/tar.cc", "#include <archive_entry.h>\n", 1),
    ("check_libraries", "node/a.cc", "#include <zmq.hpp>\n", 1),
    ("check_libraries", "node/b.cc", "#include <openssl/ssl.h>\n", 1),
    ("check_line_length", "io/a.cc", "\n// " + "x" * 98 + "\n", 2),
    ("check_file_length", "io/a.cc", "int a;\n" * 701, 701),
    ("check_header_start", "io/a.h", "#pragma once\n", 1),
    ("check_header_start", "io/a.h", "// Thing: for a test.\n\n#include <x>\n", 2),
    ("check_todo", "io/a.cc", "// TO" + "DO: nicer\n", 1),
    ("check_function_length", "io/a.cc",
     "namespace a {\nvoid f(int a,\n       int b) {\n" + "    g('{');\n" * 69 + "}\n}\n", 3),
    ("check_function_length", "io/b.cc",
     "class A {\n    A() : b_(1) {\n        // }\n" + '        g("}");\n' * 70 + "    }\n};\n", 2),
    ("check_design", "io/a.cc", "", 1),
]
# Nothing to find here.
GOOD = {
    "io/DESIGN.md": "",
    "node/DESIGN.md": "",
    "io/base/a.h": GOOD_START + "inline const int digits = 1'000'000;\n",
    "io/uring_a.cc": '#include <liburing.h>\n#include "io/internal/a.h"\n',
    "node/a.cc": '#include "archive/a.h"\n#include "bus/b.h"\n// TO' + "DO until Raft is there\n",
    "node/b.cc": "void f() {\n" + "    g();\n" * 68 + "}\n",
    "node/c.cc": "const int a[] = {\n" + "    1,\n" * 90 + "};\n",
}


def write(root, path, text):
    os.makedirs(os.path.dirname(os.path.join(root, path)), exist_ok=True)
    with open(os.path.join(root, path), "w", encoding="utf-8") as file:
        file.write(text)


def self_test():
    failures = []
    for rule, path, text, number in SAMPLES:
        with tempfile.TemporaryDirectory() as root:
            write(root, path, text)
            where = "io/DESIGN.md:1:" if rule == "check_design" else f"{path}:{number}:"
            if not any(line.startswith(where) for line in offences(root)[rule]):
                failures.append(f"{rule} did not name {where} in its sample")
    with tempfile.TemporaryDirectory() as root:
        for path, text in GOOD.items():
            write(root, path, text)
        failures += [f"found in the good sample: {line}"
                     for lines in offences(root).values() for line in lines]
    for line in failures:
        print(line)
    print(f"{len(SAMPLES) + 1 - len(failures)} passed, {len(failures)} failed")
    return 1 if failures else 0


def main():
    if sys.argv[1:] == ["--self-test"]:
        return self_test()
    root = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(__file__), "..", "..")
    found = offences(os.path.abspath(root))
    for lines in found.values():
        for line in lines:
            print(line)
    failed = sum(bool(lines) for lines in found.values())
    print(f"{len(found) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
