"""The parsers of what the host, its cgroups and its mounts say."""

import math
import subprocess
import sys

import pytest
from unit.captures import captured
from unit.tree import FIXTURES

from exporter.catalog.host import Pressure
from exporter.errors import ParseError
from exporter.kernel.mountinfo import Mount, mountinfo
from exporter.kernel.numa import node_meminfo
from exporter.kernel.oom_control import oom_kills
from exporter.kernel.pressure import pressure
from exporter.kernel.swaps import Swap, swaps
from exporter.kernel.text import choice, columns_of_pairs, limit, number, numbers, pairs, signed, switch
from exporter.kernel.uptime import boot_time, last_pid, uptime


def test_the_clocks() -> None:
    assert [uptime(path.read_bytes(), "p") for path in captured(["proc/uptime"])] == [18.45, 2569.14]
    assert [boot_time(path.read_bytes(), "p") for path in captured(["proc/stat"])] == [1795495013, 1795492209]


@pytest.mark.parametrize("text", [b"", b"1\n", b"1.5 2.5\n", b"1.50 2.50", b"-1.00 1.00\n", b"1e3.00 1.00\n"])
def test_what_is_no_uptime(text: bytes) -> None:
    with pytest.raises(ParseError, match="expected two numbers of seconds"):
        uptime(text, "p")


@pytest.mark.parametrize("text", [b"", b"btime 12", b"btime x\n", b"xbtime 12\n"])
def test_what_has_no_boot_time(text: bytes) -> None:
    with pytest.raises(ParseError, match="expected a line btime"):
        boot_time(text, "p")


def test_pressure() -> None:
    found = [pressure(path.read_bytes(), "p") for path in captured(["proc/pressure/memory"])]
    assert found == [Pressure(some=579834, full=563236), Pressure(some=329920, full=323825)]
    # Before 5.13 the host had no line full for the CPU; a parser of the format takes that.
    assert pressure(b"some avg10=0.00 avg60=0.00 avg300=0.00 total=5\n", "p") == Pressure(some=5, full=None)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"", "lines some and full"),
        (b"full avg10=0.00 avg60=0.00 avg300=0.00 total=5\n", "lines some and full"),
        (b"some avg10=0.00 avg60=0.00 avg300=0.00 total=-5\n", "lines some and full"),
        (b"some avg10=0.00 avg60=0.00 avg300=0.00 total=18446744073709551616\n", "numbers of 64 bits"),
    ],
)
def test_what_is_no_pressure(text: bytes, expected: str) -> None:
    with pytest.raises(ParseError, match=f"expected {expected}"):
        pressure(text, "p")


def test_swaps() -> None:
    assert [swaps(path.read_bytes(), "p") for path in captured(["proc/swaps"])] == [
        [Swap("/dev/vda", "partition", 262140, 23352, -2)],
        [Swap("/swapfile", "file", 262140, 24196, -2)],
    ]
    heading = (FIXTURES / "6.1-v2/proc/swaps").read_bytes().split(b"\n")[0] + b"\n"
    assert swaps(heading, "p") == []
    odd = heading + b"/a\\040b\\134\\011\\012\\777 file\t\t7\t\t0\t\t32767\n/\xff file 9999999999999999999 0 0\n"
    assert swaps(odd, "p") == [
        Swap("/a b\\\t\n�", "file", 7, 0, 32767),
        Swap("/�", "file", 9999999999999999999, 0, 0),
    ]


@pytest.mark.parametrize("row", [b"/a file 1 2\n", b"/a file -1 2 3\n", b"/a file 1 2 3 4\n", b"\n", b"/a file 1 2 3"])
def test_what_is_no_row_of_swaps(row: bytes) -> None:
    with pytest.raises(ParseError, match="^p: found "):
        swaps(b"Filename Type Size Used Priority\n" + row, "p")


@pytest.mark.parametrize(("text", "value"), [(b"0\n", 0), (b"18446744073709551615\n", 2**64 - 1), (b"007\n", 7)])
def test_number(text: bytes, value: int) -> None:
    for parser in (number, limit, signed):
        assert parser(text, "p") == value


def test_a_number_that_may_be_negative() -> None:
    assert signed(b"-1000\n", "p") == -1000
    for parser in (number, limit):
        with pytest.raises(ParseError, match=r"found b'-1000\\n', expected one number and a line feed"):
            parser(b"-1000\n", "p")
    with pytest.raises(ParseError, match="expected one number and a line feed"):
        signed(b"--1\n", "p")


@pytest.mark.parametrize("text", [b"", b"1", b" 1\n", b"1\n\n", b"+1\n", b"1_0\n", b"18446744073709551616\n", b"1 2\n"])
def test_what_is_no_number(text: bytes) -> None:
    for parser in (number, limit):
        with pytest.raises(ParseError, match="expected one number and a line feed"):
            parser(text, "p")


def test_limit_and_switch() -> None:
    assert limit(b"max\n", "p") == math.inf
    assert (switch(b"Y\n", "p"), switch(b"N\n", "p")) == (True, False)
    for text in (b"", b"Y", b"y\n", b"1\n", b"Y\nN\n"):
        with pytest.raises(ParseError, match="expected Y or N"):
            switch(text, "p")


def test_choice() -> None:
    folder = FIXTURES / "6.18-hybrid/sys/kernel/mm/transparent_hugepage"
    assert choice((folder / "enabled").read_bytes(), "p") == {"always": False, "madvise": True, "never": False}
    assert choice((folder / "defrag").read_bytes(), "p") == {
        "always": False,
        "defer": False,
        "defer+madvise": False,
        "madvise": True,
        "never": False,
    }


@pytest.mark.parametrize(
    "text",
    [b"", b"\n", b"always never\n", b"[always] [never]\n", b"[always] never", b"[]\n", b"always [\n", b"[Always] 1\n"]
    + [b"[a]b\n", b"[a][b]\n", b"\xff [a]\n"],
)
def test_what_is_no_choice(text: bytes) -> None:
    with pytest.raises(ParseError, match="expected words, one of them in brackets"):
        choice(text, "p")


def test_a_choice_that_is_none_is_refused_at_once() -> None:
    code = "from exporter.kernel.text import choice\ntry: choice(b'a' * 64, 'p')\nexcept Exception as e: print(e)"
    # In a process of its own: a regular expression that goes astray can't be stopped from within.
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=10, check=True)
    assert done.stdout.startswith("p: found b'aaaa")


def test_pairs() -> None:
    assert pairs(b"MemTotal:       24684096 kB\nHugePages_Total:       8\nActive(anon): 3 kB\n", "p") == {
        "MemTotal": 24684096,
        "HugePages_Total": 8,
        "Active(anon)": 3,
    }
    assert pairs(b"pgfault 18446744073709551615\nnr_free_pages 0\n", "p") == {
        "pgfault": 2**64 - 1,
        "nr_free_pages": 0,
    }
    vmstat = pairs((FIXTURES / "6.18-hybrid/proc/vmstat").read_bytes(), "p")
    assert (vmstat["pgmajfault"], vmstat["pswpin"], vmstat["oom_kill"]) == (7822, 29900, 5)


@pytest.mark.parametrize(
    "text", [b"", b"\n", b"a 1", b"a 1\nb", b"a\n", b"a -1\n", b"a 1 MB\n", b"a 1\n\n", b"a 1\nb\n"]
)
def test_what_is_no_pairs(text: bytes) -> None:
    with pytest.raises(ParseError, match="expected a key and a number on each line"):
        pairs(text, "p")


def test_the_bad_line_is_the_one_shown() -> None:
    with pytest.raises(ParseError, match=r"^/proc/meminfo: found b'b: x', expected a key and a number on each line$"):
        pairs(b"a: 1\nb: x\nc: 3\n", "/proc/meminfo")
    with pytest.raises(ParseError, match="numbers of 64 bits"):
        pairs(b"a 18446744073709551616\n", "p")


def test_node_meminfo_is_meminfo_behind_the_node() -> None:
    found = [node_meminfo(path.read_bytes(), "p") for path in captured(["sys/devices/system/node/node0/meminfo"])]
    assert [node["MemTotal"] for node in found] == [482224, 6121688]
    assert node_meminfo(b"Node 12 Active(file): 5 kB\n", "p") == {"Active(file)": 5}


def test_the_mounts() -> None:
    text = (FIXTURES / "6.1-v2/proc/self/mountinfo").read_bytes()
    assert Mount("/", "/sys/fs/cgroup", "cgroup2", ("rw",)) in mountinfo(text, "p")
    text = (FIXTURES / "6.18-hybrid/proc/self/mountinfo").read_bytes()
    [memory] = [mount for mount in mountinfo(text, "p") if "memory" in mount.options]
    assert memory == Mount("/", "/sys/fs/cgroup/memory", "cgroup", ("rw", "memory"))
    odd = b"29 23 0:26 /a\\040b /mnt/\\134\\011\xff rw,nosuid shared:4 master:1 - tmpfs none rw,size=1k\n"
    assert mountinfo(odd, "p") == [Mount("/a b", "/mnt/\\\t\udcff", "tmpfs", ("rw", "size=1k"))]


@pytest.mark.parametrize("line", [b"1 2 0:1 / /proc rw - proc", b"1 2 0:1 / /proc rw proc proc rw", b"- proc proc rw"])
def test_what_is_no_mount(line: bytes) -> None:
    with pytest.raises(ParseError, match="expected the fields of a mount"):
        mountinfo(line + b"\n", "p")


def test_kills_in_a_cgroup_of_version_1() -> None:
    assert oom_kills(b"oom_kill_disable 0\nunder_oom 0\noom_kill 3\n", "p") == 3
    # Before Linux 4.13.
    assert oom_kills(b"oom_kill_disable 0\nunder_oom 0\n", "p") is None


@pytest.mark.parametrize(
    ("text", "found"), [(b"\n", []), (b"0\n", [0]), (b"0-2,5\n", [0, 1, 2, 5]), (b"7,9-9\n", [7, 9])]
)
def test_a_list_of_numbers(text: bytes, found: list[int]) -> None:
    assert numbers(text, "p") == found


@pytest.mark.parametrize("text", [b"", b"0", b"0-\n", b"a\n", b"0,,1\n", b"-1\n", b"0-99999999\n"])
def test_what_is_no_list_of_numbers(text: bytes) -> None:
    with pytest.raises(ParseError, match="expected a list of numbers and ranges"):
        numbers(text, "p")


def test_pairs_in_columns_are_the_pairs() -> None:
    for path in captured(["cgroup/**/memory.stat", "proc/vmstat"]):
        keys, values = columns_of_pairs(path.read_bytes(), "p")
        assert dict(zip((key.decode() for key in keys), values, strict=True)) == pairs(path.read_bytes(), "p")


@pytest.mark.parametrize(
    "text", [b"", b"a", b"a 1\nb\n", b"a 1 2\n", b"a -1\n", b"a 18446744073709551616\n", b"a " + b"9" * 5000 + b"\n"]
)
def test_what_is_no_pairs_is_none_in_columns(text: bytes) -> None:
    with pytest.raises(ParseError):
        columns_of_pairs(text, "p")


def test_pairs_with_units_are_read_in_columns_too() -> None:
    assert columns_of_pairs(b"a: 1 kB\n", "p") == ((b"a",), [1])


@pytest.mark.parametrize(("text", "pid"), [(b"0.00 0.01 0.05 1/80 4242\n", 4242), (b"", 0)])
def test_the_last_pid(text: bytes, pid: int) -> None:
    assert last_pid(text, "p") == pid


@pytest.mark.parametrize("text", [b"0.00 0.01 0.05 1/80 4242", b"0.00\n", b"x y\n"])
def test_what_tells_no_last_pid(text: bytes) -> None:
    with pytest.raises(ParseError, match="expected a pid at the end"):
        last_pid(text, "p")
