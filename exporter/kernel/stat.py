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


def comm(text: bytes, path: str) -> bytes:
    """The name: at most 15 bytes, any of which may be a space, a parenthesis or a line feed."""
    start, end = text.find(b"("), text.rfind(b")")
    if not 0 <= start < end:
        raise ParseError(path, text, _EXPECTED)
    return text[start + 1 : end]


def stat(text: bytes, path: str) -> Stat:
    """The numbers that the record declares. Times in clock ticks since boot."""
    try:
        numbers = _PICK(text[text.rindex(b")") + 2 :].split(None, _SPLITS))
    except (ValueError, IndexError):
        raise ParseError(path, text, _EXPECTED) from None
    # int() alone would take "-1" and "1_0".
    digits = b"".join(numbers)
    if not digits.isdigit() or not text.endswith(b"\n") or len(digits) > 20 * len(numbers):
        raise ParseError(path, text, _EXPECTED)
    record = Stat._make(map(int, numbers))
    if max(record) >= WORD:
        raise ParseError(path, text, "numbers of 64 bits")
    return record
