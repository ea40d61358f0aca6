"""/proc/self/mountinfo (fs/proc_namespace.c, show_mountinfo): what is mounted where, as this process sees it."""

from __future__ import annotations

import os
import re
from typing import NamedTuple

from exporter.errors import ParseError

_OCTAL = re.compile(rb"\\([0-7]{3})")


class Mount(NamedTuple):
    """One mount: the part of the file system that is mounted, where, its type, and the superblock's options."""

    root: str
    point: str
    kind: str
    options: tuple[str, ...]


def mountinfo(text: bytes, path: str) -> list[Mount]:
    """The mounts in order: of two at one place, the later one is on top."""
    mounts = []
    *lines, rest = text.split(b"\n")
    if rest:
        raise ParseError(path, rest, "a line feed at the end")
    for line in lines:
        fields, _, tail = line.partition(b" - ")
        before, behind = fields.split(b" "), tail.split(b" ")
        if len(before) < 6 or len(behind) < 3:
            raise ParseError(path, line, "the fields of a mount")
        mounts.append(Mount(_text(before[3]), _text(before[4]), _text(behind[0]), tuple(_text(behind[2]).split(","))))
    return mounts


def _text(field: bytes) -> str:
    return os.fsdecode(_OCTAL.sub(lambda octal: bytes([int(octal[1], 8) & 0xFF]), field))
