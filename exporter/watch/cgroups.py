"""Which cgroups there are and which entries mean them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from exporter.catalog.cgroup import V1, V2, Version
from exporter.catalog.declare import Pairs
from exporter.config import CgroupEntry
from exporter.errors import VmemError
from exporter.kernel.mountinfo import Mount, mountinfo
from exporter.kernel.read import exists, folders, read
from exporter.watch.glob import compile_glob
from exporter.watch.presets import labels


class NoHierarchy(VmemError):
    """There is no cgroup hierarchy with a memory controller to read."""


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """Where the memory controller's files are, and in which version; and where those of huge pages are, if anywhere."""

    version: Version
    root: str
    hugetlb: str | None

    def folder(self, path: str) -> str:
        """The directory of a cgroup."""
        return self.root + path.rstrip("/")


def find_hierarchy(procfs: str, cgroupfs: str | None) -> Hierarchy:
    """The hierarchy that holds the memory controller. Raises NoHierarchy.

    A directory that was given is looked into: it may be the hierarchy, or hold it as a hybrid host's /sys/fs/cgroup
    does. Otherwise the mounts tell.
    """
    if cgroupfs is not None:
        for root in (cgroupfs, f"{cgroupfs}/memory"):
            if read(f"{root}/{V1.usage}") is not None:
                beside = f"{cgroupfs}/hugetlb"
                return Hierarchy(V1, root, beside if exists(beside) else None)
        for root in (cgroupfs, f"{cgroupfs}/unified"):
            if b"memory" in (read(f"{root}/cgroup.controllers") or b"").split():
                return Hierarchy(V2, root, root)
        raise NoHierarchy(f"{cgroupfs}: found no memory controller, expected a cgroup file system that has it")
    path = f"{procfs}/self/mountinfo"
    mounts = mountinfo(read(path) or b"", path)
    memory, hugetlb = (
        _largest(mount for mount in mounts if mount.kind == "cgroup" and name in mount.options)
        for name in ("memory", "hugetlb")
    )
    if memory:
        return Hierarchy(V1, memory.point, hugetlb.point if hugetlb else None)
    unified = _largest(mount for mount in mounts if mount.kind == "cgroup2")
    if not unified:
        raise NoHierarchy(f"{path}: found no cgroup file system, expected one with the memory controller")
    return Hierarchy(V2, unified.point, unified.point)


def _largest(mounts: Iterable[Mount]) -> Mount | None:
    """The mount of the whole tree, where it is mounted beside a part of it; of two alike, the later one, on top.

    A cgroup namespace has its own root as /, and those above it as /.., /../.. and so on.
    """

    def part(mount: Mount) -> tuple[int, int]:
        names = mount.root.strip("/").split("/")
        above = names.count("..")
        return len(names) - above, -above

    return min(reversed([*mounts]), key=part, default=None)


class Tree:
    """The cgroups of a hierarchy as they are at one scrape, each directory listed once."""

    def __init__(self, hierarchy: Hierarchy) -> None:
        self._hierarchy = hierarchy
        self._children: dict[str, list[str]] = {}

    def children(self, path: str) -> list[str]:
        """The paths right below one; "" is the root. Raises Refused."""
        if path not in self._children:
            self._children[path] = [f"{path}/{name}" for name in folders(self._hierarchy.folder(path))]
        return self._children[path]

    def below(self, path: str) -> Iterator[str]:
        """All paths below one, parents first. Raises Refused."""
        for child in self.children(path):
            yield child
            yield from self.below(child)

    def matching(self, entry: CgroupEntry) -> dict[str, Pairs]:
        """The cgroups that an entry means, with the labels that it captures in their paths. Raises Refused."""
        found = {}
        for path in self._candidates(entry):
            if any(pattern.fullmatch(path) for pattern in entry.exclude):
                continue
            captured = entry.labels_from.search(path) if entry.labels_from else None
            if captured or not entry.preset:
                found[path] = labels(captured) if captured else ()
        return found

    def _candidates(self, entry: CgroupEntry) -> Iterator[str]:
        if entry.preset:
            yield from self.below("")
            return
        paths = [""]
        for part in entry.path.strip("/").split("/"):
            if "**" in part:
                whole = compile_glob(entry.path)
                paths = [below for path in paths for below in self.below(path) if whole.fullmatch(below)]
                break
            if _MAGIC.search(part):
                pattern = compile_glob(part)
                paths = [
                    child
                    for path in paths
                    for child in self.children(path)
                    if pattern.fullmatch(child.rpartition("/")[2])
                ]
            else:
                below = [f"{path}/{part}" for path in paths]
                paths = [path for path in below if exists(self._hierarchy.folder(path))]
        yield from paths


_MAGIC = re.compile(r"[*?\[]")


def owner(path: str, entries: tuple[CgroupEntry, ...]) -> tuple[str, Pairs]:
    """The watched cgroup that a process's path is in or below, with the labels captured there; else the path itself."""
    above = path
    while above:
        for entry in entries:
            captured = entry.labels_from.search(above) if entry.labels_from else None
            taken = captured if entry.preset else compile_glob(entry.path).fullmatch(above)
            if taken and not any(pattern.fullmatch(above) for pattern in entry.exclude):
                return above, labels(captured) if captured else ()
        above = above.rpartition("/")[0]
    return path, ()
