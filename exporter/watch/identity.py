"""Who a process is: what it is called, runs, belongs to. Read once, when a process is identified."""

from __future__ import annotations

import pwd
import re
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from exporter.kernel.cgroup import memory_path
from exporter.kernel.read import link, read
from exporter.watch.namespace import Namespace

PF_KTHREAD = 0x00200000
"""Flag of a kernel thread in /proc/PID/stat (include/linux/sched.h)."""

CMDLINE_CAP = 1 << 16
"""Bytes of a command line that are looked at. The kernel allows megabytes."""


_UID = re.compile(rb"^Uid:\t([0-9]{1,10})\t", re.M)


T = TypeVar("T")


class _Once(Generic[T]):
    """functools.cached_property without the lock that it has until Python 3.12.

    All instances share that lock: one process whose command line can't be read would hold up every other.
    """

    def __init__(self, read: Callable[[Any], T]) -> None:
        self._read = read

    def __get__(self, instance: object, owner: type) -> T:
        value = instance.__dict__[self._read.__name__] = self._read(instance)
        return value


class Identity:
    """A process's facts, each read when it is first asked for.

    A process that has gone, and a kernel thread or zombie that has no such thing, gives an empty value.
    """

    def __init__(self, procfs: str, pid: int, comm: bytes, kernel_thread: bool, namespace: Namespace) -> None:
        self._namespace = namespace
        self._folder = f"{procfs}/{pid}"
        self.comm = comm
        self.kernel_thread = kernel_thread

    @_Once
    def exe(self) -> str:
        """/proc/PID/exe. psutil would guess it from the command line where the kernel refuses it."""
        # A program that was replaced on disk since it started is still that program.
        return utf_8((link(f"{self._folder}/exe") or "").removesuffix(" (deleted)"))

    @_Once
    def argv(self) -> tuple[str, ...]:
        """/proc/PID/cmdline. A process may write there what it likes: a title without zero bytes is one argument."""
        text = read(f"{self._folder}/cmdline", cap=CMDLINE_CAP) or b""
        return tuple(part.decode("utf-8", "replace") for part in text.rstrip(b"\0").split(b"\0")) if text else ()

    @_Once
    def user(self) -> tuple[str, ...]:
        """The real user: the name, where it has one, and the number."""
        # Looked for at the beginning of a line: a process may be called "Uid:\t0\t0\t0", which psutil takes for root.
        found = _UID.search(read(f"{self._folder}/status") or b"")
        if found is None:
            return ()
        uid = int(found[1])
        try:
            return pwd.getpwuid(uid).pw_name, str(uid)
        except KeyError:
            return (str(uid),)

    @_Once
    def cgroup(self) -> str:
        """The path in the hierarchy that holds the memory controller, from /proc/PID/cgroup, as its tree has it."""
        path = f"{self._folder}/cgroup"
        text = read(path)
        return utf_8(self._namespace.path(memory_path(text, path), self._folder)) if text else ""


def utf_8(name: str) -> str:
    """A name as a label: names in a file system may be any bytes, a label is UTF-8."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
