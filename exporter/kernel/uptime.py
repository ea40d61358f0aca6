"""The kernel's clocks, /proc/uptime and the boot time in /proc/stat, and how far it has counted its pids."""

from __future__ import annotations

import re

from exporter.errors import ParseError

_UPTIME = re.compile(rb"([0-9]{1,12})\.([0-9]{2}) [0-9.]+\n")
_LAST_PID = re.compile(rb" ([0-9]{1,10})\n\Z")
_BTIME = re.compile(rb"^btime ([0-9]{1,12})\n", re.M)


def uptime(text: bytes, path: str) -> float:
    """/proc/uptime (fs/proc/uptime.c): seconds since boot, suspended ones included, as a process's starttime counts."""
    found = _UPTIME.fullmatch(text)
    if found is None:
        raise ParseError(path, text, "two numbers of seconds")
    return int(found[1]) + int(found[2]) / 100


def boot_time(text: bytes, path: str) -> int:
    """The line btime of /proc/stat (fs/proc/stat.c): Unix time of boot in seconds."""
    found = _BTIME.search(text)
    if found is None:
        raise ParseError(path, text, "a line btime")
    return int(found[1])


def last_pid(text: bytes, path: str) -> int:
    """The last number of /proc/loadavg (fs/proc/loadavg.c): the pid that was given out last; 0 where it isn't told."""
    found = _LAST_PID.search(text)
    if text and found is None:
        raise ParseError(path, text, "a pid at the end")
    return int(found[1]) if found else 0
