"""/proc/PID/stat (fs/proc/array.c, do_task_stat): one line of numbers around a name that may hold anything."""

from __future__ import annotations

from collections.abc import Callable
from operator import itemgetter
from typing import Any, NamedTuple, TypeVar

from exporter.catalog.declare import fields
from exporter.catalog.process import Stat, Task
from exporter.errors import ParseError

R = TypeVar("R", bound=NamedTuple)

_EXPECTED = "pid, name in parentheses and the numbers of proc(5)"
_DIGITS = 19
"""Digits of a number, at the most: of 64 bits, and never more."""


def _places(record: type[NamedTuple]) -> tuple[Callable[[list[bytes]], tuple[bytes, ...]], int]:
    # proc(5) counts the fields from 1; the state, the first one behind the name, is the third.
    places = [key.position - 3 for _, _, key, _ in fields(record)]
    return itemgetter(*places), max(places) + 1


_PLACES: dict[type, Any] = {record: _places(record) for record in (Stat, Task)}
_PICK, _SPLITS = _PLACES[Stat]


def name_end(text: bytes) -> int:
    """Where the name ends: it is in parentheses, of at most 15 bytes, any of which may be one too. -1 without."""
    return text.rfind(b")")


def stat(text: bytes, path: str) -> Stat:
    """The numbers that are shown of a process. Times in clock ticks, starttime since boot."""
    return _record(Stat, text, path)


def task(text: bytes, path: str) -> Task:
    """The numbers by which a process is known."""
    return _record(Task, text, path)


def _record(record: type[R], text: bytes, path: object) -> R:
    pick, splits = _PLACES[record]
    try:
        numbers = pick(text[text.rindex(b")", text.index(b"(")) + 2 :].split(None, splits))
    except (ValueError, IndexError):
        raise ParseError(path, text, _EXPECTED) from None
    # int() alone would take "-1" and "1_0".
    if not all(number.isdigit() and len(number) <= _DIGITS for number in numbers) or not text.endswith(b"\n"):
        raise ParseError(path, text, _EXPECTED)
    return record._make(map(int, numbers))


def stat_numbers(text: bytes, end: int, path: object) -> tuple[int, ...]:
    """The same as `stat`, for the hot path: `end` is the name's end, and there is no record, which took as long."""
    try:
        numbers = _PICK(text[end + 2 :].split(None, _SPLITS))
        digits = b"".join(numbers)
        if digits.isdigit() and text[-1] == 10 and (len(digits) < _DIGITS or max(map(len, numbers)) <= _DIGITS):
            return tuple(map(int, numbers))
    except IndexError:
        pass
    return tuple(_record(Stat, text, path))
