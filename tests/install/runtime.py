"""Starts a program as a container's runtime does a pod's: user 65532, one added capability, no new privileges.

    runtime.py PROGRAM [ARGUMENT...]

The permitted set has SYS_PTRACE, the ambient and inheritable sets are empty. Needs root.
"""

import ctypes
import os
import sys

USER = 65532
SYS_PTRACE, LAST_CAP = 19, 40  # <linux/capability.h>
PR_SET_KEEPCAPS, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 8, 24, 38  # <linux/prctl.h>
VERSION_3 = 0x20080522


def main(program: list[str]) -> None:
    libc = ctypes.CDLL(None, use_errno=True)

    def must(result: int) -> None:
        if result != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

    for capability in range(LAST_CAP + 1):
        if capability != SYS_PTRACE:
            must(libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0))
    must(libc.prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0))
    os.setgroups([])
    os.setgid(USER)
    os.setuid(USER)
    header = (ctypes.c_uint32 * 2)(VERSION_3, 0)
    bit = 1 << SYS_PTRACE
    must(libc.capset(header, (ctypes.c_uint32 * 6)(bit, bit, 0, 0, 0, 0)))
    must(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    os.execv(program[0], program)


if __name__ == "__main__":
    main(sys.argv[1:])
