"""What the exporter asks of the kernel for itself, for when memory is short: to be killed last, to stay in RAM.

Both are asked for before it serves. What is refused ends the start: who asked would otherwise find out too late.
"""

from __future__ import annotations

import ctypes
import errno
import os
import threading

from exporter.errors import UsageError

LEAST, MOST = -1000, 1000
"""OOM_SCORE_ADJ_MIN and OOM_SCORE_ADJ_MAX (include/uapi/linux/oom.h): never killed, and killed first."""

STACK = 512 << 10
"""Bytes of a thread's stack, which is locked whole: by default eight megabytes each."""

_MCL_CURRENT, _MCL_FUTURE = 1, 2
"""Of <sys/mman.h>."""


def set_oom_score_adj(value: int) -> None:
    """Have the OOM killer choose this process later, below 0, or sooner. Raises UsageError.

    /proc/self/oom_score_adj (Linux 2.6.36). Less than it was at the start needs CAP_SYS_RESOURCE.
    """
    if not LEAST <= value <= MOST:
        raise UsageError(f"--oom-score-adj: found {value}, expected {LEAST} to {MOST}")
    try:
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write(str(value))
    except OSError as error:
        raise UsageError(
            f"--oom-score-adj: found {error.strerror} for {value}, expected the right to lower it (CAP_SYS_RESOURCE)"
        ) from None


def lock_memory() -> None:
    """Keep every page of this process in RAM, those to come included: mlockall(2). Raises UsageError.

    Before it starts threads. It needs CAP_IPC_LOCK, or a RLIMIT_MEMLOCK that all of its address space fits in.
    """
    threading.stack_size(STACK)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mlockall(_MCL_CURRENT | _MCL_FUTURE) != 0:
        number = ctypes.get_errno()
        needed = "CAP_IPC_LOCK or a large RLIMIT_MEMLOCK" if number in (errno.EPERM, errno.ENOMEM) else "mlockall(2)"
        raise UsageError(f"--lock-memory: found {os.strerror(number)}, expected {needed}")
