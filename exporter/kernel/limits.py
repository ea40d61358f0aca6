"""/proc/PID/limits (fs/proc/base.c, proc_pid_limits): a table of the limits of setrlimit(2)."""

from __future__ import annotations

import math
import re

from exporter.catalog.declare import Number
from exporter.errors import ParseError
from exporter.kernel.text import WORD

_LOCKED = re.compile(rb"^Max locked memory +([0-9]{1,20}|unlimited) +(?:[0-9]{1,20}|unlimited) +bytes *$", re.M)


def locked_memory(text: bytes, path: str) -> Number:
    """RLIMIT_MEMLOCK, the soft limit, in bytes; math.inf for unlimited. Raises ParseError."""
    found = _LOCKED.search(text)
    if found is None or not text.endswith(b"\n"):
        raise ParseError(path, text[:60], "a line Max locked memory, in bytes")
    if found[1] == b"unlimited":
        return math.inf
    limit = int(found[1])
    if limit >= WORD:
        raise ParseError(path, found[0], "a number of 64 bits")
    return limit
