"""Disks of our own making under real file systems: nbdkit serves one, nbdfuse shows it as a file, a
loop device and ext4 make a directory of that. Needs root."""

import contextlib
import os
import shutil
import subprocess
import time

HERE = os.path.dirname(os.path.abspath(__file__))
WAIT_S = 60


def missing_tools():
    """What is not there to make such a disk; "" if all is."""
    missing = [tool for tool in ("nbdkit", "nbdfuse", "fusermount3") if not shutil.which(tool)]
    if missing:
        return ", ".join(missing)
    if os.geteuid() != 0 or not os.path.exists("/dev/fuse"):
        return "root, /dev/fuse or a loop device"
    return "" if os.path.exists("/dev/loop-control") else "a loop device"


def wait_until(holds, seconds=WAIT_S):
    """How long it took."""
    begin = time.monotonic()
    while not holds():
        if time.monotonic() - begin > seconds:
            raise RuntimeError("waited too long")
        time.sleep(0.01)
    return time.monotonic() - begin


@contextlib.contextmanager
def served_disk(directory, plugin, size_bytes, errors=None):
    """`plugin`: nbdkit's own arguments; `errors`: where it writes what went wrong. Gives a file in
    `directory`, which is made, that is the disk."""
    os.makedirs(directory, exist_ok=True)
    socket, served = os.path.join(directory, "nbd"), os.path.join(directory, "served")
    with open(served, "xb"):
        pass  # nbdfuse mounts over a file
    server = subprocess.Popen(
        ["nbdkit", "--foreground", "--exit-with-parent", "--unix", socket, *plugin],
        stdin=subprocess.DEVNULL, stderr=errors)
    bridge = None
    try:
        wait_until(lambda: os.path.exists(socket))
        bridge = subprocess.Popen(["nbdfuse", served, f"nbd+unix:///?socket={socket}"],
                                  stdin=subprocess.DEVNULL)
        wait_until(lambda: os.path.getsize(served) == size_bytes)
        yield served
    finally:
        if bridge:
            subprocess.run(["fusermount3", "-u", served], check=False, timeout=WAIT_S)
            bridge.wait(WAIT_S)
        server.terminate()
        server.wait(WAIT_S)


def of_python(name, size_bytes, **arguments):
    """What served_disk() wants to hear for a plugin in this folder."""
    return ["python", os.path.join(HERE, name), f"size={size_bytes}",
            *(f"{key}={value}" for key, value in arguments.items())]


def make_file_system(disk):
    subprocess.run(["mkfs.ext4", "-q", "-F", disk], check=True, capture_output=True,
                   timeout=WAIT_S)


@contextlib.contextmanager
def mounted(disk, point, options="loop"):
    """The file system on `disk` at `point`, which is made."""
    os.makedirs(point, exist_ok=True)
    subprocess.run(["mount", "-o", options, disk, point], check=True, capture_output=True,
                   timeout=WAIT_S)
    try:
        yield
    finally:
        # The files of a process that was killed are closed a little later when its ring had them.
        wait_until(lambda: subprocess.run(["umount", point], check=False,
                                          capture_output=True).returncode == 0)
