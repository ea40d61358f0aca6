#!/usr/bin/env python3
"""Store the running kernel's memory files as a fixture: FIXTURE/{proc,sys,cgroup}.

    tools/capture.py FIXTURE --pid PID... --cgroup PATH...

An exporter reads it with --path.procfs=FIXTURE/proc --path.sysfs=FIXTURE/sys --path.cgroupfs=FIXTURE/cgroup.

What is stored is what is listed below, and nothing else: no environment, no host name, no list of open files. Of the
processes that were not named on the command line, pid 1 and kernel thread 2 are stored, without what they are called
and where they run. A file that the kernel refuses to give is left out, as are links, which in sysfs lead in circles.
"""

import argparse
import os
import re
import shutil
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

PROC = [
    "cgroups",
    "filesystems",
    "loadavg",
    "meminfo",
    "pressure/*",
    "stat",
    "swaps",
    "sys/kernel/osrelease",
    "sys/kernel/ostype",
    "sys/vm/*",
    "uptime",
    "vmstat",
]
PROCESS = [
    "cgroup",
    "cmdline",
    "comm",
    "limits",
    "oom_score",
    "oom_score_adj",
    "smaps_rollup",
    "stat",
    "statm",
    "status",
]
SYS = [
    "devices/system/node/*",
    "devices/system/node/node*/*",
    "devices/system/node/node*/hugepages/*/*",
    "devices/virtual/memory_tiering/*/nodelist",
    "kernel/mm/hugepages/*/*",
    "kernel/mm/ksm/*",
    "kernel/mm/numa/*",
    "kernel/mm/swap/*",
    "kernel/mm/transparent_hugepage/*",
    "kernel/mm/transparent_hugepage/*/*",
    "kernel/mm/transparent_hugepage/*/*/*",
    "module/zswap/parameters/*",
]
CGROUP = [
    "memory.*",
    "hugetlb.*",
    "cgroup.controllers",
    "cgroup.events",
    "cgroup.procs",
    "cgroup.stat",
    "cgroup.subtree_control",
    "cgroup.type",
]
NOT_OURS = {"uevent", "compact", "stat_refresh"}  # of sysfs itself, and switches
UNNAMED = (1, 2)  # stored whether they are named or not: a host has them

PARTS = {"proc", "sys", "cgroup", "specimen.json"}  # what a fixture is made of
MOUNTS = {"proc", "sysfs", "cgroup", "cgroup2"}
MOST = 1 << 20  # bytes read of one file; none of the kernel's comes near


def read(path: Path) -> bytes | None:
    """The bytes of a kernel file; None where there is none, or the kernel refuses."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        pieces = b""
        while len(pieces) < MOST and (piece := os.read(descriptor, MOST)):
            pieces += piece
        return pieces
    except OSError:
        return None
    finally:
        os.close(descriptor)


class Fixture:
    """A folder that is being filled, and what must not get into it."""

    def __init__(self, target: Path, pids: list[int], cgroups: list[str]) -> None:
        self.target = target
        self.named = set(pids)
        self.cgroups = {str(each) for path in cgroups for each in (Path(path), *Path(path).parents)}
        release = os.uname().release
        upstream = re.match(r"[\d.]*\d", release)
        self.release = release.encode(), (upstream[0] if upstream else "0").encode()

    def store(self, name: str, text: bytes | None) -> None:
        if text is not None:
            path = self.target / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text)

    def store_all(self, root: Path, name: str, patterns: list[str]) -> None:
        """The files below a root that match one of the patterns, under a name in the fixture."""
        for pattern in patterns:
            for path in sorted(root.glob(pattern)):
                if path.name not in NOT_OURS and not any(each.is_symlink() for each in (path, path.parent)):
                    self.store(f"{name}/{path.relative_to(root)}", read(path))

    def proc(self) -> None:
        self.store_all(Path("/proc"), "proc", PROC)
        release = self.target / "proc/sys/kernel/osrelease"
        release.write_bytes(release.read_bytes().replace(*self.release))
        lines = b"".join(self.neutral(line, kind) for line, _, kind, _ in mountinfo())
        for process in ("self", "1"):
            self.store(f"proc/{process}/mountinfo", lines)
        self.store("proc/self/cgroup", self.placed(read(Path(f"/proc/{os.getpid()}/cgroup"))))
        for pid in sorted({*UNNAMED, *self.named}):
            self.process(pid)

    def neutral(self, line: bytes, kind: str) -> bytes:
        """A line of mountinfo, where the root of a cgroup mount may be the name of a container."""
        fields = line.split(b" ")
        if kind.startswith("cgroup") and os.fsdecode(fields[3]) not in self.cgroups:
            fields[3] = b"/"
        return b" ".join(fields)

    def placed(self, text: bytes | None) -> bytes | None:
        """/proc/PID/cgroup, with "/" for the path of a cgroup that was not asked for."""
        lines = [line.rsplit(b":", 1) for line in (text or b"").splitlines()]
        return b"".join(
            b"%s:%s\n" % (head, path if os.fsdecode(path) in self.cgroups else b"/") for head, path in lines
        )

    def process(self, pid: int) -> None:
        source, name = Path(f"/proc/{pid}"), f"proc/{pid}"
        texts = {file: read(source / file) for file in PROCESS}
        texts["cgroup"] = self.placed(texts["cgroup"])
        try:
            executable = str((source / "exe").readlink())
        except OSError:
            executable = ""
        if pid == 1 and pid not in self.named:
            real = (texts["comm"] or b"").rstrip(b"\n")
            texts["comm"], texts["cmdline"], executable = b"init\n", b"/sbin/init\0", "/sbin/init"
            texts["stat"] = (texts["stat"] or b"").replace(b"(%s)" % real, b"(init)", 1)
            texts["status"] = (texts["status"] or b"").replace(b"Name:\t%s\n" % real, b"Name:\tinit\n", 1)
        for file, text in texts.items():
            self.store(f"{name}/{file}", text)
        if executable:
            (self.target / name / "exe").symlink_to(executable)

    def sys(self) -> None:
        self.store_all(Path("/sys"), "sys", SYS)

    def cgroup(self) -> None:
        """Every cgroup mount that may tell of memory, laid down as they stand to each other."""
        mounts = [
            Path(point)
            for _, point, kind, options in mountinfo()
            if kind == "cgroup2" or (kind == "cgroup" and options & {"memory", "hugetlb"})
        ]
        if not mounts:
            return
        top = mounts[0] if len(mounts) == 1 else Path(os.path.commonpath([point.parent for point in mounts]))
        for point in mounts:
            for path in sorted(self.cgroups):
                directory = point / path.lstrip("/")
                self.store_all(directory, f"cgroup/{directory.relative_to(top)}", CGROUP)


def mountinfo() -> Iterator[tuple[bytes, str, str, set[str]]]:
    """Of the mounts of proc, sysfs and cgroups: line, mount point, file system, and its own options."""
    for line in Path("/proc/self/mountinfo").read_bytes().splitlines(keepends=True):
        mount, _, filesystem = os.fsdecode(line).partition(" - ")
        kind, _, options = filesystem.split()
        if kind in MOUNTS:
            yield line, mount.split()[4], kind, set(options.split(","))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("fixture", type=Path, help="the folder to make, in place of one that may be there")
    parser.add_argument("--pid", type=int, action="append", default=[], help="a process to store by its own name")
    parser.add_argument("--cgroup", action="append", default=[], help="a cgroup to store, with those above it")
    arguments = parser.parse_args()
    if arguments.fixture.exists():
        if strange := {path.name for path in arguments.fixture.iterdir()} - PARTS:
            parser.error(f"{arguments.fixture} holds {min(strange)}: it is not a fixture, and is left as it is")
        shutil.rmtree(arguments.fixture)
    fixture = Fixture(arguments.fixture, arguments.pid, ["/", *arguments.cgroup])
    fixture.proc()
    fixture.sys()
    fixture.cgroup()
    files = [path for path in arguments.fixture.rglob("*") if path.is_file() and not path.is_symlink()]
    print(
        f"{arguments.fixture}: {len(files)} files, {sum(path.stat().st_size for path in files) / 1e3:.0f} kB",
        file=sys.stderr,
    )


if __name__ == "__main__":
    main()
