"""/proc/PID/status (fs/proc/array.c and task_mmu.c): a key and a value a line; sizes in KiB."""

from __future__ import annotations

import struct

from exporter.catalog.declare import KIB, fields
from exporter.catalog.process import Status
from exporter.kernel.text import keyed

# The sizes stand together in the order of the declaration, each padded to eight digits: where all of them are there,
# their places are fixed. Taking them from there, after a look at what stands between them, takes 2.5 us; looking for
# each key by itself takes 11, and one regular expression over all of them 5.
_SIZES = [key.name.encode() for _, _, key, _ in fields(Status) if key.unit is KIB]
_COUNTS = [key.name.encode() + b":" for _, _, key, _ in fields(Status) if key.unit is not KIB]
_PLACES = struct.Struct("".join(f"{len(name) + 2}x8s4x" for name in _SIZES))
_BETWEEN = b"".join(name + b":\tkB\n" for name in _SIZES)
_FIRST_SIZE = b"\n" + _SIZES[0]
_FIRST_COUNT = b"\n" + _COUNTS[0]
_DIGITS = b" 0123456789"


def status(text: bytes, path: str) -> Status:
    """The sizes in KiB and the counts that the record declares; None for what this kernel or process doesn't have."""
    return Status._make(status_numbers(text, path))


def status_numbers(text: bytes, path: object) -> tuple[int | None, ...]:
    """The same as a plain tuple, for the hot path."""
    start = text.find(_FIRST_SIZE) + 1
    sizes = text[start : start + _PLACES.size]
    if sizes.translate(None, _DIGITS) == _BETWEEN and text[-1] == 10:
        counts = text[text.rfind(_FIRST_COUNT) :].split(None, 2 * len(_COUNTS))
        values = counts[1 : 2 * len(_COUNTS) : 2]
        if counts[0 : 2 * len(_COUNTS) : 2] == _COUNTS and b"".join(values).isdigit():
            try:
                return tuple(map(int, (*_PLACES.unpack(sizes), *values)))
            except ValueError:
                pass  # blanks between digits: not the kernel's, as what follows will say
    return keyed(Status, text, str(path))
