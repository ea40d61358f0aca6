"""A small shop on this machine, in real trouble: its processes and cgroups, and the exporter that watches them.

Needs root: it borrows swap, and makes cgroups of its own.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from kernel import borrow
from kernel.cgroups import Cgroup, Hierarchy
from support.child import Child
from support.exporter import Exporter, exporter
from support.needs import allowed
from support.procfs import MIB

SCRIPT, LATIN = "<script>x()</s>", b"caf\xe9 <b>&amp;"
"""Names that try to be markup, the second no UTF-8 either."""

CONFIG = """
processes:
  - {name: checkout, comm: [checkout]}
  - {name: database, comm: [database]}
  - {name: report, comm: [report]}
  - {name: cache, comm: [cache]}
  - {name: mail, comm: [mail]}
  - {name: importer, comm: [importer], user: [shop]}
  - {name: "search-{index}", cmdline: ['--index=(?P<index>\\w+)'], exclude: {user: [nobody]}}
  - {name: "{comm}", cgroup: ["{top}/guests"]}
cgroups:
  - {name: shop, path: "{top}/*"}
  - {name: batch, path: /batch/*}
"""


@dataclass(slots=True)
class Shop:
    """What there is."""

    exporter: Exporter
    top: str
    children: dict[str | bytes, list[Child]] = field(default_factory=dict)

    def url(self, path: str) -> str:
        return f"http://{self.exporter.address}{path}"

    def work(self) -> None:
        """Touch what is in swap, and grow."""
        self.children["report"][0].run("touch(held)")
        self.children["mail"][0].run(f"more = memory({6 * MIB}); touch(more)")


@contextmanager
def shop(directory: Path, top: str = "") -> Iterator[Shop]:
    """Open it, below a cgroup that is named here or after the process that asks."""
    top = top or f"/vmem-shop-{os.getpid()}"
    with ExitStack() as stack:
        stack.enter_context(allowed("swap", borrow.swap(256)))
        hierarchy = Hierarchy.of_this_machine()
        made = stack.enter_context(allowed("the right to make memory cgroups", _cgroups(hierarchy, top)))
        watching = stack.enter_context(exporter(directory, CONFIG.replace("{top}", top)))
        opened = Shop(watching, top)
        for name, lines, cgroup, limit in (
            ("database", f"held = memory({72 * MIB}); lock(held)", "database", 160 * MIB),
            ("checkout", f"held = memory({84 * MIB}); touch(held)", "checkout", 98 * MIB),
            ("report", f"held = memory({60 * MIB}); touch(held)", "report", 28 * MIB),
            ("cache", f"held = memory({1024 * MIB}); files = open('/usr/bin/chromium').read()", None, 0),
            ("mail", f"held = memory({9 * MIB}); touch(held)", None, 0),
            ("mail", f"held = mmap.mmap(-1, {16 * MIB}); touch(held)", None, 0),
            (SCRIPT, "held = memory(4096)", "guests", 64 * MIB),
            (LATIN, "held = memory(4096)", "guests", 0),
        ):
            if limit and cgroup:
                made[cgroup].limit(limit, 96 * MIB)
            child = Child(name, made[cgroup].directory / "cgroup.procs" if cgroup else None)
            stack.callback(child.end)
            child.run(lines)
            opened.children.setdefault(name, []).append(child)
        yield opened


@contextmanager
def _cgroups(hierarchy: Hierarchy, top: str) -> Iterator[dict[str, Cgroup]]:
    try:
        yield {name: hierarchy.make(f"{top}/{name}") for name in ("database", "checkout", "report", "guests")}
    finally:
        hierarchy.remove_all()
