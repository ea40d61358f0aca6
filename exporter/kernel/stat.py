"""/proc/PID/stat (fs/proc/array.c, do_task_stat): one line of numbers around a name that may hold anything."""

from __future__ import annotations

from operator import itemgetter

from exporter.catalog.declare import fields
from exporter.catalog.process import Stat
from exporter.errors import ParseError
from exporter.kernel.text import WORD

# proc(5) counts the fields from 1 and the state, the first one behind the name, is the third.
_PLACES = [key.position - 3 for _, _, key, _ in fields(Stat)]
_PICK = itemgetter(*_PLACES)
_SPLITS = max(_PLACES) + 1
_EXPECTED = "pid, name in parentheses and the numbers of proc(5)"


def stat(text: bytes, path: str) -> Stat:
    """The numbers that the record declares. Times in clock ticks since boot.

    They stand behind the name, which is in parentheses and of at most 15 bytes, any of which may be a parenthesis, a
    space or a line feed.
    """
    if b"(" not in text:
        raise ParseError(path, text, _EXPECTED)
    return Stat._make(stat_numbers(text, path))


def stat_numbers(text: bytes, path: object) -> tuple[int, ...]:
    """The same as a plain tuple, for the hot path: making the record would take a quarter of the time."""
    try:
        numbers = _PICK(text[text.rindex(b")") + 2 :].split(None, _SPLITS))
    except (ValueError, IndexError):
        raise ParseError(path, text, _EXPECTED) from None
    # int() alone would take "-1" and "1_0".
    digits = b"".join(numbers)
    if not digits.isdigit() or text[-1] != 10 or len(digits) > 19 * len(numbers):
        raise ParseError(path, text, _EXPECTED)
    values = tuple(map(int, numbers))
    if len(digits) > 80 and max(values) >= WORD:
        raise ParseError(path, text, "numbers of 64 bits")
    return values
