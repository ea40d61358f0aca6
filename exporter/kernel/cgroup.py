"""/proc/PID/cgroup (kernel/cgroup/cgroup.c, proc_cgroup_show): a line for each hierarchy."""

from __future__ import annotations

import os

from exporter.errors import ParseError


def memory_path(text: bytes, path: str) -> str:
    """The process's path in the hierarchy that holds the memory controller: a v1 one where there is one, else v2."""
    unified = None
    *lines, rest = text.split(b"\n")
    if rest:
        raise ParseError(path, rest, "a line feed at the end")
    for line in lines:
        parts = line.split(b":", 2)
        if len(parts) != 3 or not parts[0].isdigit():
            raise ParseError(path, line, "hierarchy:controllers:path")
        if b"memory" in parts[1].split(b","):
            return os.fsdecode(parts[2])
        if parts[0] == b"0":
            unified = parts[2]
    if unified is None:
        raise ParseError(path, text, "a line of the memory controller or of cgroup v2")
    return os.fsdecode(unified)
