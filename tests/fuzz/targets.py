"""What is fuzzed: every parser of kernel files, in two groups, and the configuration.

A target takes any bytes and raises where the code does what it must not: anything but a value or the error that it
names, or two ways over the same bytes that differ. The first byte of an input chooses among a group's parsers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from exporter.catalog.process import Stat, Status
from exporter.config import Config, parse
from exporter.errors import ConfigError, ParseError, UsageError
from exporter.kernel.cgroup import memory_path
from exporter.kernel.mountinfo import mountinfo
from exporter.kernel.numa import node_meminfo
from exporter.kernel.oom_control import oom_kills
from exporter.kernel.pressure import pressure
from exporter.kernel.smaps_rollup import smaps_rollup
from exporter.kernel.stat import name_end, stat, stat_numbers, task
from exporter.kernel.status import status, status_numbers
from exporter.kernel.swaps import swaps
from exporter.kernel.text import choice, columns_of_pairs, keyed, limit, number, numbers, pairs, signed, switch
from exporter.kernel.uptime import boot_time, last_pid, uptime
from exporter.watch.cgroups import owner
from exporter.watch.match import decide
from exporter.web.web_config import WebConfig, _Reader
from exporter.yaml_reader import Invalid, compose

Parser = Callable[[bytes, str], Any]
PATH = "/proc/file"

T = TypeVar("T")


def numbers_in(value: Any) -> Iterator[float]:
    """All numbers of a record, a table or a list."""
    if isinstance(value, int | float):
        yield value
    elif isinstance(value, dict):
        yield from value.values()
    elif isinstance(value, list | tuple):
        for item in value:
            yield from numbers_in(item)


def outcome(parser: Parser, text: bytes) -> Any:
    """What a parser makes of some bytes, None for a ParseError. AssertionError for what no parser may give."""
    try:
        value = parser(text, PATH)
    except ParseError as error:
        assert str(error).startswith(f"{PATH}: found b"), error
        assert "\n" not in str(error), error
        return None
    assert all(-(2**64) < number < 2**64 or number == math.inf for number in numbers_in(value)), value
    return value


def _stat_fast(text: bytes, path: str) -> Stat:
    # Whoever takes this way has compared all up to the name's end with what it was before.
    if (end := name_end(text)) < 0 or b"(" not in text[:end]:
        raise ParseError(path, text, "a name in parentheses")
    return Stat._make(stat_numbers(text, end, path))


def _status_slowly(text: bytes, path: str) -> Status:
    return keyed(Status, text, path)


def _status_fast(text: bytes, path: str) -> Status:
    return Status._make(status_numbers(text, path))  # type: ignore[arg-type]


def _columns(text: bytes, path: str) -> list[tuple[str, int]]:
    keys, values = columns_of_pairs(text, path)
    return [(key.decode("latin-1"), value) for key, value in zip(keys, values, strict=True)]


PROCESS: list[tuple[Parser, list[str]]] = [
    (stat, ["proc/*/stat"]),
    (task, ["proc/*/stat"]),
    (_stat_fast, ["proc/*/stat"]),
    (status, ["proc/*/status"]),
    (_status_fast, ["proc/*/status"]),
    (_status_slowly, ["proc/*/status"]),
    (smaps_rollup, ["proc/*/smaps_rollup"]),
    (memory_path, ["proc/*/cgroup"]),
    (signed, ["proc/*/oom_score*"]),
]
HOST: list[tuple[Parser, list[str]]] = [
    (uptime, ["proc/uptime"]),
    (number, ["proc/sys/vm/swappiness"]),
    (boot_time, ["proc/stat"]),
    (last_pid, ["proc/loadavg"]),
    (pressure, ["proc/pressure/memory", "cgroup/**/memory.pressure"]),
    (swaps, ["proc/swaps"]),
    (pairs, ["proc/meminfo", "proc/vmstat", "cgroup/**/memory.stat", "cgroup/**/memory.events"]),
    (_columns, ["cgroup/**/memory.stat"]),
    (node_meminfo, ["sys/devices/system/node/node*/meminfo"]),
    (numbers, ["sys/devices/system/node/online"]),
    (limit, ["cgroup/**/memory.max", "cgroup/**/memory.limit_in_bytes"]),
    (switch, ["sys/module/zswap/parameters/enabled"]),
    (choice, [f"sys/kernel/mm/transparent_hugepage/{file}" for file in ("enabled", "defrag", "shmem_enabled")]),
    (oom_kills, ["cgroup/**/memory.oom_control"]),
    (mountinfo, ["proc/self/mountinfo"]),
]


def process(data: bytes) -> None:
    """The files of one process; both ways over stat and status say the same."""
    parser, _ = PROCESS[data[0] % len(PROCESS)] if data else PROCESS[0]
    value = outcome(parser, data[1:])
    if parser is stat:
        assert outcome(_stat_fast, data[1:]) == value
    elif parser is _status_fast:
        # The fast way doesn't look at whether a blank between two fields is a digit or has its place, nor for a field a
        # second time; it never reads another number.
        slowly = outcome(_status_slowly, data[1:])
        keys = [line.partition(b":")[0] for line in data[1:].split(b"\n")]
        same = slowly is None or all(slow in (None, fast) for slow, fast in zip(slowly, value or (), strict=True))
        assert same or len(set(keys)) < len(keys), (slowly, value)


def host(data: bytes) -> None:
    """The files of the host and of cgroups."""
    parser, _ = HOST[data[0] % len(HOST)] if data else HOST[0]
    outcome(parser, data[1:])


class _Somebody:
    """A process whose facts have what globs and expressions may look for."""

    comm = b"java"
    kernel_thread = False
    exe = "/usr/lib/jvm/bin/java"
    argv = ("/usr/bin/java", "-Xmx2g", "--name=a=b")
    user = ("root", "0")
    cgroup = "/kubepods/burstable/pod6f4b1c2d/0123"


def parsed(parser: Callable[[bytes, str], T], data: bytes) -> T | None:
    """What a configuration file says, None where it is refused, in lines that each name a place."""
    try:
        return parser(data, "c.yaml")
    except ConfigError as error:
        assert error.problems
        for problem in error.problems:
            assert problem.startswith("c.yaml:"), problem
            assert problem.isprintable(), problem
            problem.encode()
        return None
    except UsageError as error:  # pragma: no cover - nothing else is documented
        raise AssertionError("not a ConfigError") from error


def configuration(data: bytes) -> None:
    """A configuration file, and what it says of a process."""
    config = parsed(parse, data)
    if config is None:
        return
    assert isinstance(config, Config)
    config.summary.encode()
    if all(len(each.pattern) < 20 for entry in config.processes for each in entry.select.cmdline):
        decide(config.processes, _Somebody())  # type: ignore[arg-type]
    owner(_Somebody.cgroup, tuple(entry for entry in config.cgroups if entry.path))


def _web(data: bytes, path: str) -> WebConfig:
    # Without what follows: the files of the certificate.
    reader = _Reader(path)
    config = WebConfig()
    if (root := compose(data, path)) is not None:
        with suppress(Invalid):
            config = reader.config(root)
    reader.check()
    return config


def web(data: bytes) -> None:
    """A web configuration file."""
    config = parsed(_web, data)
    assert config is None or config.interval >= 0


@dataclass(frozen=True, slots=True)
class Group:
    """A target, and where its first inputs are: captured files behind the byte that chooses their parser."""

    run: Callable[[bytes], None]
    parsers: list[tuple[Parser, list[str]]]
    files: list[str]


GROUPS = {
    "process": Group(process, PROCESS, []),
    "host": Group(host, HOST, []),
    "configuration": Group(configuration, [], ["config.example.yaml", "tests/golden/config.yaml"]),
    "web": Group(web, [], []),
}
