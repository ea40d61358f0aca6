"""/proc/swaps (mm/swapfile.c, swap_show): a table of the swap devices and files; sizes in KiB."""

from __future__ import annotations

import re
from typing import NamedTuple

from exporter.errors import ParseError

_ROW = re.compile(rb"(\S+)\s+(\S+)\s+([0-9]{1,19})\s+([0-9]{1,19})\s+(-?[0-9]{1,9})")
_OCTAL = re.compile(rb"\\([0-7]{3})")


class Swap(NamedTuple):
    """One device or file that is swapped to. Sizes in KiB; the highest priority is used first."""

    device: str
    kind: str
    size: int
    used: int
    priority: int


def swaps(text: bytes, path: str) -> list[Swap]:
    """The rows under the heading. Blanks in a path are written as octal escapes, which are undone."""
    heading, *lines = text.split(b"\n")
    if not heading.startswith(b"Filename") or lines[-1:] != [b""]:
        raise ParseError(path, text, "a heading that starts with Filename")
    rows = []
    for line in lines[:-1]:
        found = _ROW.fullmatch(line)
        if found is None:
            raise ParseError(path, line, "device, kind, size, used and priority")
        device = _OCTAL.sub(lambda octal: bytes([int(octal[1], 8) & 0xFF]), found[1])
        rows.append(
            Swap(
                device.decode("utf-8", "replace"),
                found[2].decode("utf-8", "replace"),
                int(found[3]),
                int(found[4]),
                int(found[5]),
            )
        )
    return rows
