"""The shapes that kernel files come in, and how each is read.

Every function takes the bytes of a file and its path (for the error) and gives the value or a ParseError, whatever the
bytes are. A file that does not end in a line feed was cut short: its last number can't be trusted, so none is.
"""

from __future__ import annotations

import math
import re
from typing import Any, NamedTuple, TypeVar

from exporter.catalog.declare import ONE, Number, fields
from exporter.errors import ParseError

WORD = 1 << 64
"""No number of the kernel's is as large as this."""

_PAIR = re.compile(rb"^([!-9;-~]+):?[ \t]+([0-9]{1,20})(?: kB)?$", re.M)
_LIST = re.compile(rb"(?:[0-9]{1,5}(?:-[0-9]{1,5})?(?:,[0-9]{1,5}(?:-[0-9]{1,5})?)*)?\n")
_WORD = re.compile(rb"\[([a-z+_]+)\]|([a-z+_]+)")

R = TypeVar("R", bound=NamedTuple)


def number(text: bytes, path: str) -> int:
    """A file of one number, which is not negative."""
    digits = text[:-1]
    if digits.isdigit() and text[-1] == 10 and (len(digits) < 20 or (len(digits) == 20 and int(digits) < WORD)):
        return int(digits)
    raise ParseError(path, text, "one number and a line feed")


def signed(text: bytes, path: str) -> int:
    """A file of one number, which may be negative."""
    return -number(text[1:], path) if text.startswith(b"-") else number(text, path)


def numbers(text: bytes, path: str) -> list[int]:
    """A file of a list such as `0-2,5` (lib/vsprintf.c, bitmap_list_string), which may be empty."""
    if not _LIST.fullmatch(text):
        raise ParseError(path, text, "a list of numbers and ranges")
    found: list[int] = []
    for part in text.strip().split(b","):
        first, _, last = part.partition(b"-")
        found += range(int(first), int(last or first) + 1) if part else ()
    return found


def limit(text: bytes, path: str) -> Number:
    """A file of one number or `max`, which is math.inf."""
    return math.inf if text == b"max\n" else number(text, path)


def switch(text: bytes, path: str) -> bool:
    """A module's parameter that is on or off: Y or N."""
    if text not in (b"Y\n", b"N\n"):
        raise ParseError(path, text, "Y or N")
    return text == b"Y\n"


def choice(text: bytes, path: str) -> dict[str, bool]:
    """The words of a file such as `always [madvise] never`, and whether each is the one in force."""
    words = [_WORD.fullmatch(word) for word in text.removesuffix(b"\n").split(b" ") if word]
    found = {(word[1] or word[2]).decode(): word[1] is not None for word in words if word}
    if None in words or sum(found.values()) != 1 or not text.endswith(b"\n"):
        raise ParseError(path, text, "words, one of them in brackets")
    return found


def pairs(text: bytes, path: str) -> dict[str, int]:
    """The lines `key value` or `key: value kB` of a file whose set of keys is open, in the kernel's unit."""
    found = _PAIR.findall(text)
    if len(found) != text.count(b"\n") or not text.endswith(b"\n"):
        bad = next((line for line in text.split(b"\n")[:-1] if not _PAIR.fullmatch(line)), text[-60:])
        raise ParseError(path, bad, "a key and a number on each line")
    values = {key.decode("ascii"): int(value) for key, value in found}
    if max(values.values(), default=0) >= WORD:
        raise ParseError(path, text, "numbers of 64 bits")
    return values


def columns_of_pairs(text: bytes, path: str) -> tuple[tuple[bytes, ...], list[int]]:
    """The same as two columns, keys and values, for lines `key value` that are read often."""
    words = text.split()
    values = words[1::2]
    digits = b"".join(values)
    if 2 * text.count(b"\n") != len(words) or not digits.isdigit() or not text.endswith(b"\n"):
        slowly = pairs(text, path)
        return tuple(key.encode() for key in slowly), list(slowly.values())
    try:
        numbers = list(map(int, values))
    except ValueError:  # int() takes no more than 4300 digits
        numbers = [WORD]
    if max(numbers) >= WORD:
        raise ParseError(path, text, "numbers of 64 bits")
    return tuple(words[::2]), numbers


def keyed(record: type[R], text: bytes, path: str) -> R:
    """The lines `Key: value` of a file, for the keys that the record declares; None for one that isn't there."""
    if not text.endswith(b"\n"):
        raise ParseError(path, text[-60:], "a line feed at the end")
    return record._make([_line(key.name, key.unit is ONE, text, path) for _, _, key, _ in _declared(record)])


def _line(name: str, bare: bool, text: bytes, path: str) -> int | None:
    head = b"\n" + name.encode() + b":"
    at = text.find(head)
    if at < 0:
        if not text.startswith(head[1:]):
            return None
        at = -1
    line = text[at + 1 : text.index(b"\n", at + 1)]
    value = line[len(head) - 1 :].removesuffix(b"" if bare else b" kB").strip(b" \t")
    if not value.isdigit() or len(value) > 20 or int(value) >= WORD:
        raise ParseError(path, line, "a key and a number")
    return int(value)


_fields: dict[type, list[Any]] = {}


def _declared(record: type) -> list[Any]:
    if record not in _fields:
        _fields[record] = list(fields(record))
    return _fields[record]
