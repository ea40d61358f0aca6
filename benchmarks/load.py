"""What is measured on: cheap processes, and cgroups with one in each."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Self

HERE = Path(__file__).resolve().parent
GROUPS = 20
V1_FILES = (
    "memory.usage_in_bytes",
    "memory.max_usage_in_bytes",
    "memory.limit_in_bytes",
    "memory.soft_limit_in_bytes",
    "memory.memsw.usage_in_bytes",
    "memory.memsw.limit_in_bytes",
    "memory.kmem.usage_in_bytes",
    "memory.stat",
    "memory.failcnt",
    "memory.oom_control",
    "cgroup.procs",
)
V2_FILES = (
    "memory.current",
    "memory.peak",
    "memory.max",
    "memory.high",
    "memory.low",
    "memory.min",
    "memory.swap.current",
    "memory.swap.max",
    "memory.swap.peak",
    "memory.zswap.current",
    "memory.zswap.max",
    "memory.stat",
    "memory.events",
    "memory.events.local",
    "memory.swap.events",
    "memory.pressure",
    "cgroup.procs",
)


class Unavailable(Exception):
    """Something that this machine or this user does not have; the message is the line to print."""


def build(name: str, directory: Path) -> Path:
    """Compile NAME.c of this folder into the directory."""
    program = directory / name
    subprocess.run(["cc", "-O2", "-Wall", "-o", program, HERE / f"{name}.c"], check=True)
    return program


def comms(prefix: str, groups: int = GROUPS) -> list[str]:
    return [f"{prefix}{number:02d}" for number in range(groups)]


class Child:
    """A process that is started on entry and ended, by its pid, on leaving."""

    process: subprocess.Popen[bytes]

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        raise NotImplementedError

    def stop(self) -> None:
        if not hasattr(self, "process"):
            return
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()
        self.process.terminate()
        self.process.send_signal(signal.SIGCONT)
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Idle(Child):
    """Cheap processes, in groups by comm; `pids` are theirs."""

    def __init__(self, program: Path, count: int, prefix: str = "bench", groups: int = GROUPS) -> None:
        self.argv = [str(program), str(count), prefix, str(groups)]
        self.pids: list[int] = []

    def start(self) -> None:
        self.started = time.monotonic()
        self.process = subprocess.Popen(self.argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        assert self.process.stdout is not None
        text = b""
        while not text.endswith(b"\n\n"):
            piece = self.process.stdout.read(65536)
            if not piece:
                raise RuntimeError("the idle processes could not be started")
            text += piece
        self.pids = [int(line) for line in text.split()]

    def replace(self, count: int) -> None:
        """End the oldest processes and start as many."""
        self._command(b"x", count)

    def run(self, count: int) -> None:
        """Have so many, in turn, run for a moment and touch a page."""
        self._command(b"r", count)

    def _command(self, command: bytes, count: int) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(command * count)
        while count:
            answers = self.process.stdout.read(count)
            if not answers:
                raise RuntimeError("the idle processes ended")
            count -= len(answers)

    def stop(self) -> None:
        if hasattr(self, "process"):
            assert self.process.stdin is not None
            self.process.stdin.close()
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(20)
        super().stop()


class Cgroups:
    """Cgroups of our own below the root of the hierarchy that has the memory controller, an idle process in each."""

    def __init__(self, idle: Idle) -> None:
        self.idle = idle
        v1, v2 = Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup")
        self.version = 1 if (v1 / "memory.usage_in_bytes").exists() else 2
        if self.version == 2 and "memory" not in (v2 / "cgroup.subtree_control").read_text().split():
            raise Unavailable("500 cgroups: the root cgroup does not give its children the memory controller")
        if os.geteuid():
            raise Unavailable("500 cgroups: only root may make them")
        self.home = (v1 if self.version == 1 else v2) / f"vmem-bench-{os.getpid()}"

    def __enter__(self) -> Self:
        try:
            self.home.mkdir()
            if self.version == 2:
                (self.home / "cgroup.subtree_control").write_text("+memory")
            for number, pid in enumerate(self.idle.pids):
                child = self.home / f"c{number:03d}"
                child.mkdir()
                (child / "cgroup.procs").write_text(str(pid))
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.idle.stop()
        for child in [*self.home.glob("c[0-9]*"), self.home]:
            child.rmdir()

    def files(self) -> list[str]:
        """Paths below `home` of the files that this kernel has."""
        names = V1_FILES if self.version == 1 else V2_FILES
        present = [name for name in names if (self.home / "c000" / name).exists()]
        return [f"c{number:03d}/{name}" for number in range(len(self.idle.pids)) for name in present]
