"""Who a process is, as its files in /proc say."""

import errno
import os
import pwd
from pathlib import Path

import pytest
from unit.tree import FIXTURES, KERNELS, Tree, ordinary_user

from exporter.errors import ParseError, Refused
from exporter.watch.identity import CMDLINE_CAP, Identity
from exporter.watch.namespace import Namespace


def identity(tree: Tree, pid: int = 10) -> Identity:
    return Identity(tree.path, pid, b"a", False, Namespace(tree.path, None))


def captured(kernel: str, pid: int) -> Identity:
    procfs = str(FIXTURES / kernel / "proc")
    return Identity(procfs, pid, b"", False, Namespace(procfs, str(FIXTURES / kernel / "cgroup")))


def test_what_it_is_given() -> None:
    given = Identity("/proc", 2, b"kthreadd", True, Namespace("/proc", None))
    assert (given.comm, given.kernel_thread) == (b"kthreadd", True)


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_captured_process(kernel: str) -> None:
    pid = {"6.1-v2": 123, "6.18-hybrid": 21428}[kernel]
    odd = captured(kernel, pid)
    assert Path(odd.exe).name.startswith("python3")
    assert odd.argv[3:] == ("shape.py", "comm=61292028620afffe2063", "note=two words�", "anon=1M")
    assert odd.user == ("root", "0")
    assert odd.cgroup == "/system.slice/odd.service"


@pytest.mark.parametrize(("kernel", "pid"), [("6.1-v2", 124), ("6.18-hybrid", 21429)])
def test_the_captured_process_of_another_user(kernel: str, pid: int) -> None:
    name = [pwd.getpwuid(65534).pw_name] if 65534 in {user.pw_uid for user in pwd.getpwall()} else []
    assert captured(kernel, pid).user == (*name, "65534")


@pytest.mark.parametrize(
    ("link", "exe"),
    [
        ("/usr/bin/python3.11", "/usr/bin/python3.11"),
        ("/opt/app (deleted)", "/opt/app"),
        ("/opt/a b (deleted) (deleted)", "/opt/a b (deleted)"),
        ("", ""),
    ],
)
def test_exe(tree: Tree, link: str, exe: str) -> None:
    tree.process(10, exe=link)
    assert identity(tree).exe == exe


def test_exe_that_is_not_utf_8(tree: Tree) -> None:
    os.symlink(b"/opt/\xff\xc3\xa9", os.fsencode(tree.process(10)) + b"/exe")
    assert identity(tree).exe == "/opt/�é"


def test_exe_that_is_no_link(tree: Tree) -> None:
    (tree.process(10) / "exe").write_text("")
    assert identity(tree).exe == ""


@pytest.mark.parametrize(
    ("text", "argv"),
    [
        (b"", ()),
        (b"/bin/a\0-b\0c d\0", ("/bin/a", "-b", "c d")),
        (b"/bin/a\0\0-b\0", ("/bin/a", "", "-b")),
        (b"postgres: writer process", ("postgres: writer process",)),
        (b"nginx: worker\0\0\0\0", ("nginx: worker",)),
        (b"\xff\0", ("�",)),
        (b"\0\0", ("",)),
    ],
)
def test_arguments(tree: Tree, text: bytes, argv: tuple[str, ...]) -> None:
    (tree.process(10) / "cmdline").write_bytes(text)
    assert identity(tree).argv == argv


def test_arguments_without_end_are_cut(tree: Tree) -> None:
    (tree.process(10) / "cmdline").write_bytes(b"a" * (CMDLINE_CAP + 10000))
    assert identity(tree).argv == ("a" * CMDLINE_CAP,)


def test_a_pipe_in_the_place_of_the_arguments(tree: Tree) -> None:
    folder = tree.process(10)
    (folder / "cmdline").unlink()
    os.mkfifo(folder / "cmdline")
    assert identity(tree).argv == ()


def test_a_user_without_a_name_is_a_number(tree: Tree) -> None:
    taken = {user.pw_uid for user in pwd.getpwall()}
    uid = next(uid for uid in range(4_000_000, 5_000_000) if uid not in taken)
    tree.process(10, uid=uid)
    assert identity(tree).user == (str(uid),)


def test_the_name_of_a_process_does_not_make_it_another_users(tree: Tree) -> None:
    # A process gives itself a name of 15 bytes, and the kernel leaves tabs in it as they are.
    tree.process(10, b"Uid:\t0\t0\t0", uid=65534)
    assert identity(tree).user[-1] == "65534"


def test_a_process_that_has_gone_is_nobody(tree: Tree) -> None:
    gone = identity(tree, 77)
    assert (gone.exe, gone.argv, gone.user, gone.cgroup) == ("", (), (), "")


def test_cgroup(tree: Tree) -> None:
    tree.process(10, cgroup="/system.slice/é.service")
    assert identity(tree).cgroup == "/system.slice/é.service"
    (tree.process(11) / "cgroup").write_bytes(b"0::/\xff\n")
    assert identity(tree, 11).cgroup == "/�"
    (tree.process(12) / "cgroup").write_bytes(b"")
    assert identity(tree, 12).cgroup == ""
    (tree.process(13) / "cgroup").write_bytes(b"nonsense\n")
    with pytest.raises(ParseError):
        _ = identity(tree, 13).cgroup


@pytest.mark.parametrize(("file", "fact"), [("cmdline", "argv"), ("cgroup", "cgroup"), ("status", "user")])
def test_what_the_kernel_refuses(open_tree: Tree, file: str, fact: str) -> None:
    hidden = identity(open_tree)
    with ordinary_user(), pytest.raises(Refused) as caught:
        getattr(hidden, fact)
    assert (caught.value.errno, caught.value.path) == (errno.EACCES, f"{open_tree.path}/10/{file}")


def test_an_exe_that_the_kernel_refuses() -> None:
    with ordinary_user(), pytest.raises(Refused, match=r"^/proc/1/exe: Permission denied$"):
        _ = Identity("/proc", 1, b"", False, Namespace("/proc", None)).exe


def test_each_fact_is_read_once(tree: Tree) -> None:
    tree.process(10, argv=[b"a"], cgroup="/x", exe="/a")
    known = identity(tree)
    before = (known.exe, known.argv, known.user, known.cgroup)
    tree.remove(10)
    assert (known.exe, known.argv, known.user, known.cgroup) == before == ("/a", ("a",), ("root", "0"), "/x")
