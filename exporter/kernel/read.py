"""The one place that opens kernel files.

Files of procfs, sysfs and cgroupfs have no size to ask for: they are read until they end, or up to a cap. They are
opened with O_NONBLOCK, which these file systems ignore, so that a FIFO in their place can't hold up a scrape.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable

from exporter.errors import Refused, Unavailable

CAP = 1 << 20
"""Bytes that are read of one file at the most. The largest kernel file read here is a tenth of it."""

_CHUNK = 8192
_SHORT = 2048
# A seq_file is made in pages of which each holds whole records: a read that gives less than half of one has come to the
# end, as no record here is as long as that.
_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
# ENODEV and EOPNOTSUPP: a cgroup that is being removed, or a file that this cgroup doesn't support, such as
# memory.pressure with PSI off.
_ABSENT = {errno.ENOENT, errno.ESRCH, errno.ENOTDIR, errno.ENODEV, errno.EOPNOTSUPP}
_EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOMEM}


def _failure(path: str, error: OSError) -> Refused | Unavailable:
    """What an error means that isn't absence: this file can't be read, or this process can read none at all."""
    if error.errno in _EXHAUSTED:
        return Unavailable(f"{path}: {error.strerror}")
    return Refused(path, error)


def read(path: str, *, dir_fd: int | None = None, cap: int = CAP) -> bytes | None:
    """The bytes of a kernel file; None where there is no such file, or its process or cgroup has gone.

    Raises Refused where it is there and the kernel says no (EACCES, EPERM, EIO and the rest), and Unavailable, as
    everything here does, where it is this process that lacks descriptors or memory.
    """
    try:
        fd = os.open(path, _FLAGS, dir_fd=dir_fd)
        try:
            return _all(fd, cap)
        finally:
            os.close(fd)
    except OSError as error:
        if error.errno in _ABSENT:
            return None
        raise _failure(path, error) from None


def read_whole(path: str) -> bytes | None:
    """The same for a file that is short as a rule, with one read where it is."""
    [text] = read_each([path])
    if isinstance(text, Refused):
        raise text
    return text


def read_each(paths: Iterable[str], dir_fd: int | None = None) -> list[bytes | Refused | None]:
    """The same for several short files, in one loop because they are many. One that is refused costs itself."""
    texts: list[bytes | Refused | None] = []
    for path in paths:
        try:
            fd = os.open(path, _FLAGS, dir_fd=dir_fd)
            try:
                text = os.read(fd, _CHUNK)
                texts.append(text if len(text) < _SHORT else text + _all(fd, CAP))
            finally:
                os.close(fd)
        except OSError as error:
            failure = None if error.errno in _ABSENT else _failure(path, error)
            if isinstance(failure, Unavailable):
                raise failure from None
            texts.append(failure)
    return texts


def _all(fd: int, cap: int) -> bytes:
    # A read may end at any record of a seq_file (vmstat comes in pages): only an empty one is the end.
    text = os.read(fd, _CHUNK)
    while text and len(text) < cap:
        more = os.read(fd, min(_CHUNK, cap - len(text)))
        if not more:
            break
        text += more
    return text


def keep(path: str) -> int | None:
    """Open a file to be read `again`, None where that can't be."""
    try:
        return os.open(path, _FLAGS)
    except OSError:
        return None


def again(fd: int, owner: object) -> bytes | None:
    """The bytes of a file that is kept open, which the kernel makes anew; None where its process has gone.

    Only for files that one read gives whole (single_open in the kernel), such as stat and status of a process: after
    its exit they give ESRCH, also when another process has its pid. `owner` is for what Refused says.
    """
    try:
        text = os.pread(fd, _CHUNK, 0)
        while len(text) >= _CHUNK and (more := os.pread(fd, CAP, len(text))):
            text += more
        return text
    except OSError as error:
        if error.errno in _ABSENT:
            return None
        raise _failure(str(owner), error) from None


def close(fd: int | None) -> None:
    """Close a file that was kept open."""
    if fd is not None:
        os.close(fd)


def link(path: str) -> str | None:
    """Where a symbolic link of procfs points; None where there is none. Raises Refused."""
    try:
        return os.readlink(path)
    except OSError as error:
        # EINVAL: a captured tree may hold a plain file where the kernel has a link.
        if error.errno in _ABSENT or error.errno == errno.EINVAL:
            return None
        raise _failure(path, error) from None


def folders(path: str) -> list[str]:
    """The directories in a directory, sorted; none where there is no such directory. Raises Refused.

    The kernel's file systems count subdirectories as links: a directory of two links needn't be listed.
    """
    try:
        if os.stat(path).st_nlink == 2:
            return []
        with os.scandir(path) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
    except OSError as error:
        if error.errno in _ABSENT:
            return []
        raise _failure(path, error) from None


def size(path: str) -> int:
    """What the kernel says is the size of a file or directory; 0 where it says nothing, or there is none."""
    try:
        return os.stat(path).st_size
    except OSError as error:
        if error.errno in _ABSENT:
            return 0
        raise _failure(path, error) from None


def exists(path: str) -> bool:
    """Whether there is such a file or directory."""
    return os.access(path, os.F_OK, effective_ids=True)


def open_folder(path: str) -> int | None:
    """A directory to read files of, which stays the same one if another takes its place; None where it has gone."""
    try:
        return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        if error.errno not in _ABSENT:
            raise _failure(path, error) from None
        return None


def names(path: str) -> list[str]:
    """The entries of a directory, sorted; none where there is no such directory. Raises Refused."""
    return sorted(listing(path))


def listing(path: str) -> list[str]:
    """The entries of a directory as the kernel lists them; none where there is no such directory. Raises Refused."""
    try:
        return os.listdir(path)
    except OSError as error:
        if error.errno in _ABSENT:
            return []
        raise _failure(path, error) from None
