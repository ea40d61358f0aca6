"""Every parser of a kernel file: on the files of both captured kernels, on all their beginnings, and on any bytes."""

import math
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from unit.tree import FIXTURES, KERNELS

from exporter.catalog.host import Pressure
from exporter.catalog.process import SmapsRollup, Stat, Status, Task
from exporter.errors import ParseError
from exporter.kernel.cgroup import memory_path
from exporter.kernel.mountinfo import Mount, mountinfo
from exporter.kernel.numa import node_meminfo
from exporter.kernel.oom_control import oom_kills
from exporter.kernel.pressure import pressure
from exporter.kernel.smaps_rollup import smaps_rollup
from exporter.kernel.stat import name_end, stat, stat_numbers, task
from exporter.kernel.status import status, status_numbers
from exporter.kernel.swaps import Swap, swaps
from exporter.kernel.text import choice, columns_of_pairs, keyed, limit, number, numbers, pairs, signed, switch
from exporter.kernel.uptime import boot_time, last_pid, uptime

Parser = Callable[[bytes, str], Any]


# Each parser with the files that it reads.
SOURCES: list[tuple[Parser, list[str]]] = [
    (stat, ["proc/*/stat"]),
    (task, ["proc/*/stat"]),
    (status, ["proc/*/status"]),
    (smaps_rollup, ["proc/*/smaps_rollup"]),
    (memory_path, ["proc/*/cgroup"]),
    (uptime, ["proc/uptime"]),
    (boot_time, ["proc/stat"]),
    (pressure, ["proc/pressure/memory", "cgroup/**/memory.pressure"]),
    (swaps, ["proc/swaps"]),
    (pairs, ["proc/meminfo", "proc/vmstat", "cgroup/**/memory.stat", "cgroup/**/memory.events"]),
    (node_meminfo, ["sys/devices/system/node/node*/meminfo"]),
    (number, ["proc/sys/vm/swappiness", "sys/kernel/mm/hugepages/*/nr_hugepages"]),
    (signed, ["proc/*/oom_score*"]),
    (limit, ["cgroup/**/memory.max", "cgroup/**/memory.limit_in_bytes"]),
    (switch, ["sys/module/zswap/parameters/enabled"]),
    (oom_kills, ["cgroup/**/memory.oom_control"]),
    (mountinfo, ["proc/self/mountinfo"]),
    (choice, [f"sys/kernel/mm/transparent_hugepage/{file}" for file in ("enabled", "defrag", "shmem_enabled")]),
]
PARSERS = [parser for parser, _ in SOURCES]
EACH_PARSER = pytest.mark.parametrize("parser", PARSERS, ids=lambda parser: parser.__name__)


def captured(patterns: list[str]) -> Iterator[Path]:
    for kernel in KERNELS:
        for pattern in patterns:
            yield from sorted((FIXTURES / kernel).glob(pattern))


def texts_of(parser: Parser) -> list[bytes]:
    return sorted({path.read_bytes() for path in captured(dict(SOURCES)[parser])})


def process(kernel: str, pid: int, file: str) -> bytes:
    return (FIXTURES / kernel / "proc" / str(pid) / file).read_bytes()


# What the captured kernels wrote.


def test_stat_of_a_captured_process() -> None:
    assert stat(process("6.18-hybrid", 21424, "stat"), "p") == Stat(
        minflt=20641,
        majflt=1462,
        utime=2,
        stime=16,
        num_threads=1,
        starttime=256860,
    )
    assert task(process("6.18-hybrid", 21424, "stat"), "p") == Task(
        flags=0x400000, starttime=256860, start_stack=140728965764320
    )


def test_status_of_a_captured_process() -> None:
    assert status(process("6.18-hybrid", 21424, "status"), "p") == Status(
        vm_peak=56660,
        vm_size=56660,
        vm_lck=0,
        vm_pin=0,
        vm_hwm=30132,
        vm_rss=27948,
        rss_anon=22072,
        rss_file=5876,
        rss_shmem=0,
        vm_data=47436,
        vm_stk=132,
        vm_exe=2764,
        vm_lib=2192,
        vm_pte=144,
        vm_swap=23828,
        hugetlb_pages=0,
        voluntary_ctxt_switches=1461,
        nonvoluntary_ctxt_switches=64,
    )


@pytest.mark.parametrize(
    ("kernel", "pid", "switches"),
    [("6.18-hybrid", 21427, (1, 0)), ("6.18-hybrid", 2, (70, 0)), ("6.1-v2", 122, (1, 0)), ("6.1-v2", 2, (86, 0))],
    ids=["zombie", "kernel thread", "zombie of 6.1", "kernel thread of 6.1"],
)
def test_status_of_what_has_no_memory(kernel: str, pid: int, switches: tuple[int, int]) -> None:
    assert status(process(kernel, pid, "status"), "p") == (None,) * 16 + switches


def test_smaps_rollup_of_a_captured_process() -> None:
    assert smaps_rollup(process("6.1-v2", 120, "smaps_rollup"), "p") == SmapsRollup(
        pss=13774, private_clean=0, private_dirty=13244, lazy_free=0, anon_huge_pages=8192, swap_pss=0
    )


def test_smaps_rollup_of_what_has_no_memory_is_empty() -> None:
    assert smaps_rollup(b"", "p") == SmapsRollup(None, None, None, None, None, None)


@pytest.mark.parametrize("record", [Status, SmapsRollup], ids=lambda record: record.__name__)
def test_every_captured_process_reads_as_its_lines_say(record: Any) -> None:
    file, parser = {Status: ("status", status), SmapsRollup: ("smaps_rollup", smaps_rollup)}[record]
    paths = list(captured([f"proc/*/{file}"]))
    assert len(paths) > 15
    for path in paths:
        said = dict(re.findall(r"^(\w+):\s+(\d+)(?: kB)?$", path.read_text("latin-1"), re.M))
        found = parser(path.read_bytes(), str(path))._asdict()
        keys = {re.sub("[^a-z]", "", key.lower()): int(value) for key, value in said.items()}
        assert found == {field: keys.get(field.replace("_", "")) for field in found}


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"1 touched S 0\n",
        b"1 )a( S 0\n",
        b"1 (a) S 0\n",
        b"1 (a)" + b" 1" * 25 + b"\n",
        b"1 (a) S" + b" 1" * 50,
        b"1 (a) S" + b" -1" * 50 + b"\n",
        b"1 (a) S" + b" 1_0" * 50 + b"\n",
        b"1 (a) S" + b" 18446744073709551616" * 50 + b"\n",
        b"1 (a) S" + b" 1" * 5 + b" " + b"9" * 25 + b" 1" * 40 + b"\n",
        b"1 (a) S" + b" 1" * 24 + b" " + b"9" * 100 + b" 1" * 10 + b"\n",
        b"1 (a) S" + b" 1" * 5 + b" " + b"9" * 5000 + b" 1" * 50 + b"\n",
    ],
)
def test_what_is_no_stat_line(text: bytes) -> None:
    with pytest.raises(ParseError, match="^p: found "):
        task(text, "p")


@pytest.mark.parametrize("number", [b"-1", b"1_0", b"+1", b"x", b"9" * 20, b"9" * 5000])
@pytest.mark.parametrize("place", [10, 12, 14, 15, 20, 22])
def test_a_field_that_is_no_number_is_refused_on_every_way(place: int, number: bytes) -> None:
    numbers = [b"1"] * 49
    numbers[place - 4] = number
    text = b"1 (a) S " + b" ".join(numbers) + b"\n"
    for parser in (stat, lambda text, path: stat_numbers(text, text.index(b")"), path)):
        with pytest.raises(ParseError, match="^p: found "):
            parser(text, "p")


@pytest.mark.parametrize(("parser", "file"), [(stat, "stat"), (status, "status")])
def test_the_hot_path_reads_what_the_record_says(parser: Parser, file: str) -> None:
    hot = {
        "stat": lambda text: stat_numbers(text, name_end(text), "p"),
        "status": lambda text: status_numbers(text, "p"),
    }
    for path in captured([f"proc/*/{file}"]):
        text = path.read_bytes()
        assert hot[file](text) == tuple(parser(text, "p"))


@pytest.mark.parametrize(
    ("line", "value"),
    [
        (b"VmRSS:\t    1234 kB", 1234),
        (b"VmRSS:\t1234", 1234),
        (b"VmRSS: 0 kB", 0),
        (b"VmRSS:\t18446744073709551615 kB", 2**64 - 1),
    ],
)
def test_a_line_by_itself(line: bytes, value: int) -> None:
    # Without its neighbours it is not found by the one pass over the kernel's order, but by its key.
    assert status(b"Name:\ta\n%b\nThreads:\t1\n" % line, "p") == Status(vm_rss=value)
    assert status(line + b"\n", "p") == Status(vm_rss=value)


@pytest.mark.parametrize(
    "line",
    [b"VmRSS:", b"VmRSS: kB", b"VmRSS: -1 kB", b"VmRSS: 1_0 kB", b"VmRSS: 1 MB", b"VmRSS: 18446744073709551616 kB"]
    + [b"VmRSS: " + b"9" * 5000 + b" kB", b"voluntary_ctxt_switches:\t1 kB"],
    ids=range(8),
)
def test_a_line_that_is_no_key_and_number(line: bytes) -> None:
    with pytest.raises(ParseError, match="expected a key and a number"):
        status(b"Name:\ta\n%b\n" % line, "p")


def test_a_key_is_found_at_the_start_of_a_line_only() -> None:
    assert status(b"Name:\tVmRSS: 7 kB\nXVmRSS: 8 kB\n", "p") == Status()


def test_a_kernel_without_some_of_the_lines() -> None:
    whole = process("6.18-hybrid", 21424, "status")
    old = re.sub(rb"(?m)^(?:VmPin|RssAnon|RssFile|RssShmem|HugetlbPages):.*\n", b"", whole)
    less = status(whole, "p")._replace(vm_pin=None, rss_anon=None, rss_file=None, rss_shmem=None, hugetlb_pages=None)
    assert status(old, "p") == less


def test_lines_of_a_newer_kernel_between_the_known_ones() -> None:
    whole = process("6.18-hybrid", 21424, "status")
    new = whole.replace(b"VmSwap:", b"VmNew:\t      12 kB\nVmSwap:")
    assert status(new, "p") == status(whole, "p")


@given(st.lists(st.integers(0, 2**64 - 1), min_size=18, max_size=18))
@example([2**64 - 1] * 18)
@example([104_857_600] * 18)
@example([99_999_999, 100_000_000] * 9)
def test_sizes_of_any_width(values: list[int]) -> None:
    """Up to 95 GiB the kernel pads a size to eight digits; from there on the columns move."""
    text = process("6.18-hybrid", 21424, "status")
    keys = re.findall(rb"^((?:Vm|Rss|Huge)\w+|\w+_ctxt_switches):", text, re.M)
    for key, value in zip(keys, values, strict=True):
        width = 0 if b"ctxt" in key else 8
        text = re.sub(rb"(?m)^%b:\t +\d+|^%b:\t\d+" % (key, key), b"%b:\t%*d" % (key, width, value), text)
    assert status(text, "p") == tuple(values)


def test_smaps_rollup_needs_its_heading() -> None:
    with pytest.raises(ParseError, match=r"expected a line that ends in \[rollup\]"):
        smaps_rollup(b"Rss: 1 kB\nPss: 1 kB\n", "p")


@pytest.mark.parametrize(
    ("kernel", "pid", "path"),
    [
        ("6.18-hybrid", 21419, "/lab/web"),
        ("6.18-hybrid", 21429, "/system.slice/nginx.service"),
        ("6.1-v2", 114, "/lab/web"),
        (
            "6.1-v2",
            125,
            "/kubepods/burstable/pod6f4b1c2d-90ab-4cde-8f01-23456789abcd/"
            "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        ),
    ],
)
def test_the_cgroup_of_the_memory_controller(kernel: str, pid: int, path: str) -> None:
    assert memory_path(process(kernel, pid, "cgroup"), "p") == path


@pytest.mark.parametrize(
    ("text", "path"),
    [
        (b"4:memory:/v1\n0::/v2\n", "/v1"),
        (b"0::/v2\n4:cpu,memory,pids:/v1\n", "/v1"),
        (b"4:name=memory:/named\n0::/v2\n", "/v2"),
        (b"0::/with:colons\n", "/with:colons"),
        (b"0::/\xff\n", "/\udcff"),
    ],
)
def test_which_hierarchy_counts(text: bytes, path: str) -> None:
    assert memory_path(text, "p") == path


@pytest.mark.parametrize("text", [b"", b"\n", b"1:name=systemd:/\n", b"0:/\n", b"x::/\n", b"::/\n"])
def test_what_is_no_cgroup_file(text: bytes) -> None:
    with pytest.raises(ParseError, match="^p: found "):
        memory_path(text, "p")


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


def test_a_record_of_ones_own() -> None:
    assert keyed(SmapsRollup, b"Pss: 5 kB\nSwapPss: 0 kB\n", "p") == SmapsRollup(pss=5, swap_pss=0)
    with pytest.raises(ParseError, match="expected a line feed at the end"):
        keyed(SmapsRollup, b"Pss: 5 kB", "p")


# What holds of all of them.


def consists_of(part: Any, whole: Any) -> bool:
    """Whether a value has nothing that the whole one doesn't have; what a file lacks is absent in it."""
    if part is None:
        return True
    if isinstance(part, Stat):
        return bool(part == whole)
    if isinstance(part, dict):
        return part.items() <= whole.items()
    if isinstance(part, list):
        return bool(part == whole[: len(part)])
    if isinstance(part, tuple) and hasattr(part, "_fields"):
        return all(value is None or value == full for value, full in zip(part, whole, strict=True))
    return bool(part == whole)


@EACH_PARSER
def test_a_file_that_was_cut_short_never_says_anything_else(parser: Parser) -> None:
    texts = texts_of(parser)
    assert texts
    wrong = []
    for text in texts[:3] + texts[-3:]:
        whole = parser(text, "p")
        for end in range(len(text)):
            try:
                part = parser(text[:end], "p")
            except ParseError:
                continue
            if not consists_of(part, whole):
                wrong.append((text[:end], part))
    assert wrong == []


@EACH_PARSER
def test_every_captured_file_parses(parser: Parser) -> None:
    for text in texts_of(parser):
        assert parser(text, "p") is not None


def numbers_in(value: Any) -> Iterator[float]:
    if isinstance(value, int | float):
        yield value
    elif isinstance(value, dict):
        yield from value.values()
    elif isinstance(value, list | tuple):
        for item in value:
            yield from numbers_in(item)


def damaged(texts: list[bytes]) -> st.SearchStrategy[bytes]:
    """Captured files, with something else in some place."""

    def damage(text: bytes, at: float, length: int, other: bytes) -> bytes:
        start = int(at * len(text))
        return text[:start] + other + text[start + length :]

    pieces = st.one_of(st.binary(max_size=30), st.sampled_from([b"\n", b" ", b"-", b"kB", b":", b")", b"9" * 30, b"["]))
    return st.builds(damage, st.sampled_from(texts), st.floats(0, 1), st.integers(0, 40), pieces)


@EACH_PARSER
@given(data=st.data())
def test_any_bytes_parse_or_give_a_parse_error(parser: Parser, data: st.DataObject) -> None:
    text = data.draw(st.one_of(st.binary(max_size=200), damaged([text[:3000] for text in texts_of(parser)])))
    try:
        value = parser(text, "/proc/file")
    except ParseError as error:
        assert str(error).startswith("/proc/file: found b")
        assert "\n" not in str(error)
        assert error.path == "/proc/file"
    else:
        assert all(-(2**64) < number < 2**64 or number == math.inf for number in numbers_in(value))


@given(st.binary(max_size=15).filter(lambda name: b"\0" not in name))
@example(b"a) R 1 2 3")
@example(b"(((")
@example(b")\n")
@example(b"")
def test_the_name_has_no_say_in_the_numbers(name: bytes) -> None:
    text = process("6.18-hybrid", 21419, "stat").replace(b"(touched)", b"(%b)" % name)
    assert stat(text, "p") == stat(process("6.18-hybrid", 21419, "stat"), "p")


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


def test_digits_with_blanks_between_are_not_taken_for_a_size() -> None:
    text = process("6.18-hybrid", 21424, "status").replace(b"   27948 kB", b"   2 948 kB")
    with pytest.raises(ParseError, match="VmRSS"):
        status(text, "p")
