#!/usr/bin/env python3
"""refuse_io_uring.py ERRNO PROGRAM [ARGUMENT ...]: runs a program to which the kernel refuses
io_uring with this errno, as container runtimes do (EPERM) and old kernels (ENOSYS)."""

import ctypes
import errno
import os
import struct
import sys

PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
LOAD_WORD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06
ALLOW, FAIL_WITH = 0x7FFF0000, 0x00050000
IO_URING_CALLS = (425, 426, 427)  # setup, enter, register: the same numbers everywhere


def install(error_number):
    code = [struct.pack("HBBI", LOAD_WORD, 0, 0, 0)]  # the system call's number
    for index, number in enumerate(IO_URING_CALLS):
        to_failure = len(IO_URING_CALLS) - index  # over the other comparisons and the ALLOW
        code.append(struct.pack("HBBI", JUMP_IF_EQUAL, to_failure, 0, number))
    code.append(struct.pack("HBBI", RETURN, 0, 0, ALLOW))
    code.append(struct.pack("HBBI", RETURN, 0, 0, FAIL_WITH | error_number))
    program = b"".join(code)
    buffer = ctypes.create_string_buffer(program, len(program))
    head = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(code),
                                                   ctypes.addressof(buffer)))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "no_new_privs")
    if libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, head, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "seccomp")


if __name__ == "__main__":
    install(getattr(errno, sys.argv[1]))
    os.execv(sys.argv[2], sys.argv[2:])
