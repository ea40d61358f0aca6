"""memory.oom_control of cgroup v1 (mm/memcontrol-v1.c, mem_cgroup_oom_control_read)."""

from __future__ import annotations

import re

from exporter.errors import ParseError
from exporter.kernel.text import WORD

_LINES = re.compile(rb"oom_kill_disable [01]\nunder_oom [01]\n(?:oom_kill ([0-9]{1,20})\n)?")


def oom_kills(text: bytes, path: str) -> int | None:
    """The count oom_kill (Linux 4.13), None before. Raises ParseError."""
    found = _LINES.fullmatch(text)
    kills = int(found[1] or 0) if found else WORD
    if found is None or kills >= WORD:
        raise ParseError(path, text, "the lines oom_kill_disable, under_oom and oom_kill")
    return kills if found[1] else None
