"""The cgroup namespace that this process is in, which decides how /proc/PID/cgroup names the cgroups of all others."""

from __future__ import annotations

import os
import posixpath

from exporter.catalog.cgroup import V1, V2
from exporter.errors import ParseError, Refused
from exporter.kernel.cgroup import memory_path
from exporter.kernel.read import link, read
from exporter.kernel.stat import task
from exporter.watch.cgroups import Hierarchy, NoHierarchy, Tree, find_hierarchy

PF_EXITING = 0x00000004
"""Flag of a process that exits or is a zombie, in /proc/PID/stat (include/linux/sched.h)."""


class Namespace:
    """Makes a path of /proc/PID/cgroup one of the tree that is read.

    In a container the kernel takes the container's own cgroup for the root, and what stands beside it is /../b
    (cgroup_namespaces(7)), while the host's tree, mounted into the container, has it as /system.slice/b.
    """

    def __init__(self, procfs: str, cgroupfs: str | None) -> None:
        self._procfs = procfs
        self._cgroupfs = cgroupfs
        self._root: str | None = None
        self._version = V2

    def path(self, told: str, process: str) -> str:
        """The path in the tree of what the kernel told of a process, whose folder in /proc is given.

        It is what was told where it isn't known where the namespace is. Raises Refused and ParseError.
        """
        if self._root is None:
            # A namespace keeps its root: to look for it once is enough.
            try:
                self._root = self._find() or ""
            except (NoHierarchy, ParseError, Refused):
                self._root = ""
        if not self._root or (told == "/" and self._version is V1 and _exiting(process)):
            return told
        return posixpath.normpath(self._root + told)

    def _find(self) -> str | None:
        """Where in the tree the namespace's root is. None where neither the tree nor /proc shows this process."""
        path = f"{self._procfs}/self/cgroup"
        text = read(path)
        # Captured files know of no process that reads them: theirs is no link.
        if text is None or link(f"{self._procfs}/self") is None:
            return None
        own = memory_path(text, path).rstrip("/")
        hierarchy = find_hierarchy(self._procfs, self._cgroupfs)
        self._version = hierarchy.version
        if _holds_this_process(hierarchy, own):
            return ""
        below = (path for path in Tree(hierarchy).below("") if path.endswith(own))
        there = next((path for path in below if _holds_this_process(hierarchy, path)), None)
        return None if there is None else there.removesuffix(own)


def _exiting(process: str) -> bool:
    """Whether a process is on its way out, or gone. Version 1 says / of those, and means the root of all."""
    path = f"{process}/stat"
    text = read(path)
    return text is None or bool(task(text, path).flags & PF_EXITING)


def _holds_this_process(hierarchy: Hierarchy, path: str) -> bool:
    # The kernel counts pids here as the reader's own namespace does.
    return b"%d" % os.getpid() in (read(f"{hierarchy.folder(path)}/cgroup.procs") or b"").split()
