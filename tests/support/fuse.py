"""A file that doesn't come: of a file system in user space (FUSE) which answers a read of its contents only when told.

Whoever reads it, or touches a page of it that is mapped, waits in the kernel until then, and can't be killed.
"""

import ctypes
import errno
import os
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SIZE = 1 << 20
LOOKUP, GETATTR, OPEN, READ, INIT = 1, 3, 14, 15, 26  # <linux/fuse.h>
FOLDER, FILE = 1, 2  # the two inodes
KEPT = 3600  # seconds for which the kernel need not ask again what a name or an inode is
MNT_FORCE, MNT_DETACH = 1, 2


def attributes(inode: int) -> bytes:
    """struct fuse_attr."""
    mode = 0o040755 if inode == FOLDER else 0o100444
    return struct.pack("<6Q10I", inode, SIZE, SIZE // 512, *[0] * 6, mode, 1, *[0] * 3, 4096, 0)


def answer(operation: int, inode: int) -> bytes | None:
    """What follows the header of an answer; None for what isn't known here."""
    if operation == INIT:
        return struct.pack("<4I2H2I2HI7I", 7, 31, 0, 0, 1, 1, 4096, 1, 1, *[0] * 9)
    if operation == LOOKUP:
        return struct.pack("<4Q2I", FILE, 0, KEPT, KEPT, 0, 0) + attributes(FILE)
    if operation == GETATTR:
        return struct.pack("<Q2I", KEPT, 0, 0) + attributes(inode)
    if operation == OPEN:
        return bytes(16)
    return None


class NotComing:
    """The file, and the reads of it that wait."""

    def __init__(self, path: Path, device: int) -> None:
        self.path = path
        self.asked = threading.Event()
        self._device = device
        self._waiting: list[int] | None = []
        self._lock = threading.Lock()

    def serve(self) -> None:
        """Answer the kernel until the file system is unmounted."""
        while True:
            try:
                request = os.read(self._device, 1 << 17)
            except OSError:
                return
            _, operation, unique, inode = struct.unpack_from("<IIQQ", request)
            with self._lock:
                if operation == READ and self._waiting is not None:
                    self._waiting.append(unique)
                    self.asked.set()
                    continue
            body = answer(operation, inode)
            self._answer(unique, -errno.ENOSYS if body is None else 0, body or b"")

    def _answer(self, unique: int, error: int, body: bytes = b"") -> None:
        os.write(self._device, struct.pack("<IiQ", 16 + len(body), error, unique) + body)

    def let_go(self) -> None:
        """Have every read fail, those that wait and those to come."""
        with self._lock:
            waiting, self._waiting = self._waiting or [], None
        for unique in waiting:
            self._answer(unique, -errno.EIO)


@contextmanager
def file_that_does_not_come(directory: Path) -> Iterator[NotComing]:
    """Mount it on a directory. OSError without the right to, or without FUSE."""
    libc = ctypes.CDLL(None, use_errno=True)
    device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0"
    try:
        if libc.mount(b"not-coming", os.fsencode(directory), b"fuse", 0, options.encode()) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        made = NotComing(directory / "file", device)
        thread = threading.Thread(target=made.serve, daemon=True)
        thread.start()
        try:
            yield made
        finally:
            made.let_go()
            libc.umount2(os.fsencode(directory), MNT_FORCE)
            libc.umount2(os.fsencode(directory), MNT_DETACH)
            thread.join(10)
    finally:
        os.close(device)
