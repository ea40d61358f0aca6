"""/proc/PID/status (fs/proc/array.c and task_mmu.c): a key and a value a line; sizes in KiB."""

from __future__ import annotations

import re
import struct

from exporter.catalog.declare import KIB, fields
from exporter.catalog.process import Status
from exporter.errors import ParseError
from exporter.kernel.text import keyed

# The sizes stand together in the order of the declaration, each padded to eight digits: where all of them are there,
# their places are fixed. Taking them from there, after a look at what stands between them, takes 2.5 us; looking for
# each key by itself takes 11, and one regular expression over all of them 5.
_SIZES = [key.name for _, _, key, _ in fields(Status) if key.unit is KIB]
_COUNTS = [key.name for _, _, key, _ in fields(Status) if key.unit is not KIB]
_PLACES = struct.Struct("".join(f"{len(name) + 2}x8s4x" for name in _SIZES))
_BETWEEN = "".join(f"{name}:\tkB\n" for name in _SIZES).encode()
_FIRST_SIZE = f"\n{_SIZES[0]}:".encode()
_FIRST_COUNT = f"\n{_COUNTS[0]}:".encode()
_THE_COUNTS = re.compile("".join(f"\n{name}:\t([0-9]{{1,19}})" for name in _COUNTS).encode() + b"\n")
_DIGITS = b" 0123456789"
_SIZE = _PLACES.size
_CAP_EFF = re.compile(rb"^CapEff:\t([0-9a-f]{16})$", re.M)


def status(text: bytes, path: str) -> Status:
    """The sizes in KiB and the counts that the record declares; None for what this kernel or process doesn't have."""
    return Status._make(status_numbers(text, path))


def status_numbers(text: bytes, path: object) -> tuple[int | None, ...]:
    """The same as a plain tuple, for the hot path."""
    start = text.find(_FIRST_SIZE) + 1
    if text[start : start + _SIZE].translate(None, _DIGITS) == _BETWEEN:
        counts = _THE_COUNTS.match(text, text.rfind(_FIRST_COUNT))
        if counts and text[-1] == 10:
            try:
                return tuple(map(int, _PLACES.unpack_from(text, start) + counts.groups()))
            except ValueError:
                pass  # blanks between digits: not the kernel's, as what follows will say
    return tuple(keyed(Status, text, str(path)))


def effective_capabilities(text: bytes, path: str) -> int:
    """The line CapEff: a bit for each capability that the process may use (capabilities(7)). Raises ParseError."""
    found = _CAP_EFF.search(text)
    if found is None:
        raise ParseError(path, text[-60:], "a line CapEff of sixteen hexadecimal digits")
    return int(found[1], 16)
