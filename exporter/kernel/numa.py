"""/sys/devices/system/node/nodeN/meminfo (drivers/base/node.c): meminfo of one NUMA node, in KiB."""

from __future__ import annotations

import re

from exporter.kernel.text import pairs

_PREFIX = re.compile(rb"^Node [0-9]+ ", re.M)


def node_meminfo(text: bytes, path: str) -> dict[str, int]:
    """The fields in KiB, the counts of huge pages in pages."""
    return pairs(_PREFIX.sub(b"", text), path)
