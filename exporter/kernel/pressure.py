"""/proc/pressure/memory and a cgroup's memory.pressure (Linux 4.20; kernel/sched/psi.c)."""

from __future__ import annotations

import re

from exporter.catalog.host import Pressure
from exporter.errors import ParseError
from exporter.kernel.text import WORD

_LINES = re.compile(rb"some avg10=[^\n]* total=([0-9]{1,20})\n(?:full avg10=[^\n]* total=([0-9]{1,20})\n)?")


def pressure(text: bytes, path: str) -> Pressure:
    """Stall time in microseconds since boot, or since the cgroup was made."""
    found = _LINES.fullmatch(text)
    if found is None:
        raise ParseError(path, text, "lines some and full, each with a total")
    record = Pressure(*(None if total is None else int(total) for total in found.groups()))
    if max(value or 0 for value in record) >= WORD:
        raise ParseError(path, text, "numbers of 64 bits")
    return record
