"""memory.oom_control of cgroup v1 (mm/memcontrol-v1.c, mem_cgroup_oom_control_read)."""

from __future__ import annotations

from exporter.kernel.text import pairs


def oom_kills(text: bytes, path: str) -> int | None:
    """The count oom_kill (Linux 4.13), None before. Raises ParseError."""
    return pairs(text, path).get("oom_kill")
