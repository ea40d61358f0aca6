"""The one place that opens files: what is absent, what is refused, and files of every length."""

from __future__ import annotations

import errno
import os
import resource
from pathlib import Path

import pytest
from unit.tree import ordinary_user

from exporter.errors import Refused, Unavailable
from exporter.kernel.read import (
    CAP,
    again,
    close,
    folders,
    keep,
    link,
    listing,
    names,
    open_folder,
    read,
    read_each,
    read_whole,
    size,
)

LENGTHS = [0, 1, 2047, 2048, 8191, 8192, 8193, 100_000]


@pytest.mark.parametrize("length", LENGTHS)
def test_a_file_of_any_length_is_read_whole_on_every_way(tmp_path: Path, length: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(range(256)) * (length // 256) + b"x" * (length % 256))
    fd = keep(str(path))
    assert fd is not None
    try:
        for _ in range(2):
            assert read(str(path)) == read_whole(str(path)) == again(fd, "owner") == path.read_bytes()
    finally:
        close(fd)


def test_no_more_than_the_cap_is_read(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * (CAP + 5))
    assert len(read(str(path)) or b"") == CAP
    assert read(str(path), cap=10) is not None


def test_what_is_not_there_is_none(tmp_path: Path) -> None:
    gone = str(tmp_path / "gone")
    assert read(gone) is None
    assert read_whole(gone) is None
    assert link(gone) is None
    assert keep(gone) is None
    assert listing(gone) == names(gone) == folders(gone) == []
    assert open_folder(gone) is None
    assert read_each([gone]) == [None]
    assert size(gone) == 0
    close(None)


def test_what_may_not_be_read_is_refused_with_its_path(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    (closed / "inside").mkdir(parents=True)
    file = closed / "file"
    file.write_text("x")
    (closed / "link").symlink_to("/")
    closed.chmod(0)
    try:
        with ordinary_user():
            for act in (read, read_whole, folders, listing, names):
                with pytest.raises(Refused, match=f"{closed}.*Permission denied") as refused:
                    act(str(closed if act in (listing, names) else closed / "inside" if act is folders else file))
                assert refused.value.errno == errno.EACCES
            with pytest.raises(Refused, match="Permission denied"):
                link(str(closed / "link"))
            with pytest.raises(Refused, match="Permission denied"):
                open_folder(str(closed))
            with pytest.raises(Refused, match="Permission denied"):
                size(str(file))
    finally:
        closed.chmod(0o700)


def test_without_a_descriptor_it_is_this_process_that_can_read_nothing() -> None:
    _, hard = before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        for act in (read, read_whole, open_folder, listing):
            with pytest.raises(Unavailable, match=r"^/proc: Too many open files$"):
                act("/proc")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_a_kept_file_that_fails_is_refused_by_its_owner(tmp_path: Path) -> None:
    fd = os.open(tmp_path, os.O_RDONLY)
    try:
        with pytest.raises(Refused, match="^process 7: Is a directory$"):
            again(fd, "process 7")
    finally:
        os.close(fd)


def test_a_kept_file_of_a_process_that_has_gone_is_none() -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    fd = keep(f"/proc/{pid}/stat")
    assert fd is not None
    os.waitpid(pid, 0)
    try:
        assert again(fd, pid) is None
    finally:
        close(fd)


def test_a_refusal_is_named_from_its_folder_once() -> None:
    error = Refused("memory.stat", OSError(errno.EIO, "Input/output error"))
    assert str(error.below("/cgroup/a")) == "/cgroup/a/memory.stat: Input/output error"
    assert error.below("/cgroup/a").below("/other") is not error
    assert str(error.below("/cgroup/a").below("/other")) == "/cgroup/a/memory.stat: Input/output error"
