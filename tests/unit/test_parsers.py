"""What holds of every parser: on the files of both captured kernels, on all their beginnings, and on any bytes."""

import math
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.captures import Parser, captured

from exporter.catalog.process import Stat
from exporter.errors import ParseError
from exporter.kernel.cgroup import memory_path
from exporter.kernel.mountinfo import mountinfo
from exporter.kernel.numa import node_meminfo
from exporter.kernel.oom_control import oom_kills
from exporter.kernel.pressure import pressure
from exporter.kernel.smaps_rollup import smaps_rollup
from exporter.kernel.stat import stat, task
from exporter.kernel.status import status
from exporter.kernel.swaps import swaps
from exporter.kernel.text import choice, limit, number, pairs, signed, switch
from exporter.kernel.uptime import boot_time, uptime

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


def texts_of(parser: Parser) -> list[bytes]:
    return sorted({path.read_bytes() for path in captured(dict(SOURCES)[parser])})


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
