#!/usr/bin/env python3
"""Builds the test programs, runs them all and adds up what they say.

Called by ./test. A test is a row of Meson's table (tests/*/meson.build); its suites say when and
how it runs: `unit` under ASan and UBSan, some under ThreadSanitizer or without any, too, `fuzz` in
a build of its own, `tidy` and `e2e` as they are (against the release build), `slow` not with
--quick. GoogleTest programs are counted by test, scripts by their last line "N passed, N failed",
anything else as one.
"""

import argparse
import concurrent.futures
import json
import os
import re
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILDS = {
    "asan": ["-Db_sanitize=address,undefined", "-Db_lundef=false", "-Doptimization=1"],
    "tsan": ["-Db_sanitize=thread", "-Db_lundef=false", "-Doptimization=1"],
    "optimized": ["--buildtype=release"],
}
# What cores share: these run under ThreadSanitizer, too. The value: which of its tests.
TSAN_TESTS = {"background_test": "*", "cores_test": "*", "parallel_test": "*",
              "reactor_test": "*", "turns_test": "*", "shared_words_test": "*",
              "smoke_test": "*", "locator_test": "LocatorRace.*", "single_log_test": "*",
              "store_disk_test": "*.CoresChangeAndRead*"}
# Where the number of states counts, these run without sanitizers, too: 100,000 power cuts.
OPTIMIZED_TESTS = {"crash_test"}
ENVIRONMENT = {
    "ASAN_OPTIONS": "detect_stack_use_after_return=0:allocator_may_return_null=1",
    "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
    "TSAN_OPTIONS": "halt_on_error=1:second_deadlock_stack=1",
}


def runs_in(label, name):
    """Whether this test is one of those of the build `label`."""
    return {"tsan": name in TSAN_TESTS, "optimized": name in OPTIMIZED_TESTS}.get(label, True)


def build(name):
    """Builds the test programs of out/NAME."""
    directory = f"out/{name}"
    configure = ["packaging/meson-build", directory, *BUILDS[name], "--", "build.ninja"]
    if subprocess.run(configure, cwd=ROOT, check=False).returncode != 0:
        return False
    prefix = os.path.join(ROOT, directory) + "/"
    targets = {test["cmd"][0].removeprefix(prefix) for test in tests_of(directory)
               if test["cmd"][0].startswith(prefix) and runs_in(name, test["name"])}
    command = ["packaging/meson-build", directory, "--", *sorted(targets)]
    return subprocess.run(command, cwd=ROOT, check=False).returncode == 0


def build_fuzz():
    """Builds the fuzz targets of out/fuzz."""
    return subprocess.run(["tests/fuzz/run", "--build"], cwd=ROOT, check=False).returncode == 0


def tests_of(directory):
    """The rows of Meson's table: name, command, suites, timeout, environment."""
    text = subprocess.run(["meson", "introspect", "--tests", directory], cwd=ROOT, check=True,
                          capture_output=True, text=True).stdout
    return json.loads(text)


def count(output, return_code):
    """How many tests passed and failed, by the program's own words if it has any."""
    passed = failed = 0
    script = re.findall(r"^(\d+) passed, (\d+) failed", output, re.MULTILINE)
    gtest = re.findall(r"^\[  PASSED  \] (\d+) test", output, re.MULTILINE)
    if script:
        passed, failed = int(script[-1][0]), int(script[-1][1])
    elif gtest:
        passed = sum(int(number) for number in gtest)
        failures = re.findall(r"^\[  FAILED  \] (\d+) test", output, re.MULTILINE)
        failed = sum(int(number) for number in failures)
    if return_code != 0 and failed == 0:
        failed = 1
    if return_code == 0 and passed == 0 and failed == 0 and "skipped" not in output.lower():
        passed = 1
    return passed, failed


def run(test, label, mode):
    environment = dict(os.environ, **ENVIRONMENT, **test.get("env", {}))
    environment["PENSTOCK_TEST_MODE"] = mode
    if mode == "deep":
        environment["PENSTOCK_DEEP"] = "1"
    if label == "tsan":
        environment["GTEST_FILTER"] = TSAN_TESTS[test["name"]]
    timeout = None if mode == "deep" else max(test["timeout"], 30)
    start = time.monotonic()
    try:
        # Meson names programs relative to the build directory.
        directory = os.path.join(ROOT, "out", label)
        done = subprocess.run(test["cmd"], cwd=directory, env=environment, timeout=timeout,
                              text=True, errors="replace", stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        output, return_code = done.stdout, done.returncode
    except subprocess.TimeoutExpired as expired:
        text = expired.stdout or b""
        output = text.decode(errors="replace") if isinstance(text, bytes) else text
        output += f"\nran past its limit of {timeout} s\n"
        return_code = 124
    passed, failed = count(output, return_code)
    return f"{label}:{test['name']}", passed, failed, time.monotonic() - start, output


def chosen(directory, label, suite, arguments):
    """The tests of one build that run in this mode, as (test, label)."""
    picked = []
    for test in tests_of(directory):
        suites = {name.split(":")[-1] for name in test["suite"]}
        if suite not in suites or (arguments.quick and "slow" in suites):
            continue
        if not runs_in(label, test["name"]):
            continue
        if arguments.filter and not re.search(arguments.filter, f"{label}:{test['name']}"):
            continue
        picked.append((test, label))
    return picked


def main():
    parser = argparse.ArgumentParser(prog="./test")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--deep", action="store_true")
    parser.add_argument("--filter", default="")
    arguments = parser.parse_args()
    mode = "quick" if arguments.quick else "deep" if arguments.deep else "normal"

    builds = [name for name in BUILDS if name != "optimized" or not arguments.quick]
    for name in [*builds, "fuzz"]:
        if not (build_fuzz() if name == "fuzz" else build(name)):
            print(f"the build out/{name} failed")
            print("0 passed, 1 failed")
            return 1

    parallel = []
    for name in builds:
        parallel += chosen(f"out/{name}", name, "unit", arguments)
    parallel += chosen("out/release", "release", "fuzz", arguments)
    alone = chosen("out/release", "release", "tidy", arguments)
    alone += chosen("out/release", "release", "e2e", arguments)

    passed = failed = 0
    failures = []

    def report(result):
        nonlocal passed, failed
        name, test_passed, test_failed, seconds, output = result
        passed += test_passed
        failed += test_failed
        verdict = "FAILED" if test_failed else "ok"
        print(f"{verdict:6} {name:44} {test_passed:6} passed {seconds:7.1f} s", flush=True)
        if test_failed:
            failures.append((name, output))

    with concurrent.futures.ThreadPoolExecutor(max_workers=os.cpu_count()) as executor:
        for future in concurrent.futures.as_completed(
                [executor.submit(run, test, label, mode) for test, label in parallel]):
            report(future.result())
    # One at a time: these start nodes, measure, or use fixed limits.
    for test, label in alone:
        report(run(test, label, mode))

    for name, output in failures:
        print(f"\n--- {name} failed; its last lines:\n{output[-6000:]}")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or passed == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
