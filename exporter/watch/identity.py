"""Who a process is: what it is called, runs, belongs to. Read once, when a process is identified."""

from __future__ import annotations

import errno
import pwd
from functools import cached_property

from exporter.errors import Refused
from exporter.kernel.cgroup import memory_path
from exporter.kernel.read import link, read

PF_KTHREAD = 0x00200000
"""Flag of a kernel thread in /proc/PID/stat (include/linux/sched.h)."""

CMDLINE_CAP = 1 << 16
"""Bytes of a command line that are looked at. The kernel allows megabytes."""


class Identity:
    """A process's facts, each read when it is first asked for.

    A process that has gone, and a kernel thread or zombie that has no such thing, gives an empty value.
    """

    def __init__(self, procfs: str, pid: int, comm: bytes, kernel_thread: bool) -> None:
        self._procfs = procfs
        self._pid = pid
        self._folder = f"{procfs}/{pid}"
        self.comm = comm
        self.kernel_thread = kernel_thread

    @cached_property
    def exe(self) -> str:
        """/proc/PID/exe. psutil would guess it from the command line where the kernel refuses it."""
        # A program that was replaced on disk since it started is still that program.
        return _text((link(f"{self._folder}/exe") or "").removesuffix(" (deleted)"))

    @cached_property
    def argv(self) -> tuple[str, ...]:
        """/proc/PID/cmdline. A process may write there what it likes: a title without zero bytes is one argument."""
        text = read(f"{self._folder}/cmdline", cap=CMDLINE_CAP) or b""
        return tuple(part.decode("utf-8", "replace") for part in text.rstrip(b"\0").split(b"\0")) if text else ()

    @cached_property
    def user(self) -> tuple[str, ...]:
        """The real user: the name, where it has one, and the number."""
        # psutil takes 1.2 MB, which an exporter without a selector or name by user needn't have.
        import psutil

        psutil.PROCFS_PATH = self._procfs
        try:
            uid = psutil.Process(self._pid).uids().real
        except psutil.AccessDenied as error:
            raise Refused(f"{self._folder}/status", PermissionError(errno.EACCES, str(error))) from None
        except psutil.Error:
            return ()
        try:
            return pwd.getpwuid(uid).pw_name, str(uid)
        except KeyError:
            return (str(uid),)

    @cached_property
    def cgroup(self) -> str:
        """The path in the hierarchy that holds the memory controller, from /proc/PID/cgroup."""
        path = f"{self._folder}/cgroup"
        text = read(path)
        return _text(memory_path(text, path)) if text else ""


def _text(name: str) -> str:
    # The file system's names may be any bytes; a label is UTF-8.
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
