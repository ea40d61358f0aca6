"""/proc/PID/smaps_rollup (Linux 4.14; fs/proc/task_mmu.c): the sums over a process's mappings, in KiB."""

from __future__ import annotations

from exporter.catalog.process import SmapsRollup
from exporter.errors import ParseError
from exporter.kernel.text import keyed


def smaps_rollup(text: bytes, path: str) -> SmapsRollup:
    """The sizes in KiB. A process without memory (kernel thread, zombie) has an empty file: a record of None."""
    if text and b" [rollup]\n" not in text:
        raise ParseError(path, text, "a line that ends in [rollup]")
    return keyed(SmapsRollup, text or b"\n", path)
