"""The parsers of what /proc has of each process."""

import re
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from unit.captures import Parser, captured, process

from exporter.catalog.process import SmapsRollup, Stat, Status, Task
from exporter.errors import ParseError
from exporter.kernel.cgroup import memory_path
from exporter.kernel.smaps_rollup import smaps_rollup
from exporter.kernel.stat import name_end, stat, stat_numbers, task
from exporter.kernel.status import status, status_numbers
from exporter.kernel.text import keyed


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


def test_a_record_of_ones_own() -> None:
    assert keyed(SmapsRollup, b"Pss: 5 kB\nSwapPss: 0 kB\n", "p") == SmapsRollup(pss=5, swap_pss=0)
    with pytest.raises(ParseError, match="expected a line feed at the end"):
        keyed(SmapsRollup, b"Pss: 5 kB", "p")


@given(st.binary(max_size=15).filter(lambda name: b"\0" not in name))
@example(b"a) R 1 2 3")
@example(b"(((")
@example(b")\n")
@example(b"")
def test_the_name_has_no_say_in_the_numbers(name: bytes) -> None:
    text = process("6.18-hybrid", 21419, "stat").replace(b"(touched)", b"(%b)" % name)
    assert stat(text, "p") == stat(process("6.18-hybrid", 21419, "stat"), "p")


def test_digits_with_blanks_between_are_not_taken_for_a_size() -> None:
    text = process("6.18-hybrid", 21424, "status").replace(b"   27948 kB", b"   2 948 kB")
    with pytest.raises(ParseError, match="VmRSS"):
        status(text, "p")
