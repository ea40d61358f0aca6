"""Regular expressions of Go's regexp package (RE2 syntax), as Python's re reads them.

https://pkg.go.dev/regexp/syntax. Both take the leftmost match and prefer what is written first; what differs is
rewritten, or refused.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field


class NoCounterpart(ValueError):
    """Something that this exporter can't say; the text tells what."""


_POSIX = {
    "alnum": "0-9A-Za-z",
    "alpha": "A-Za-z",
    "ascii": r"\x00-\x7f",
    "blank": r"\t ",
    "cntrl": r"\x00-\x1f\x7f",
    "digit": "0-9",
    "graph": "!-~",
    "lower": "a-z",
    "print": " -~",
    "punct": r"!-/:-@\[-`{-~",
    "space": r"\t\n\v\f\r ",
    "upper": "A-Z",
    "word": "0-9A-Za-z_",
    "xdigit": "0-9A-Fa-f",
}
_REPEAT = re.compile(r"\{\d+(?:,\d*)?\}")
_FLAGS = re.compile(r"\?([imsU]*)(?:-([imsU]+))?([:)])")
_NAME = re.compile(r"\?P?<(\w+)>")
_HEX = re.compile(r"x(?:\{([0-9A-Fa-f]{1,6})\}|([0-9A-Fa-f]{2}))")
_OCTAL = re.compile(r"[1-7][0-7]{1,2}|0[0-7]{0,2}")
_CLASS_NAME = re.compile(r"\[:(\^?)(\w+):\]")


@dataclass(slots=True)
class _Level:
    """A group that is open: the scopes of flags that it began on its way, and whether $ is the end of a line in it."""

    multiline: bool
    scopes: list[str] = field(default_factory=list)


class _Translation:
    def __init__(self, text: str, taken: Collection[str]) -> None:
        self.text = text
        self.taken = taken
        self.at = 0
        self.parts: list[str] = []
        self.levels = [_Level(multiline=False)]
        self.ascii = False
        self.repeated = False
        self.names: dict[str, str] = {}
        self.nameless: int | None = None
        """The part that begins the last group without a name."""

    def take(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        found = pattern.match(self.text, self.at)
        if found:
            self.at = found.end()
        return found

    def next(self) -> str:
        if self.at == len(self.text):
            raise NoCounterpart("it breaks off")
        self.at += 1
        return self.text[self.at - 1]

    def run(self) -> None:
        while self.at < len(self.text):
            repeats = False
            character = self.next()
            if character == "\\":
                self.parts.append(self.escape())
            elif character == "[":
                self.character_class()
            elif character == "(":
                self.open()
            elif character == ")":
                self.close()
            elif character == "|":
                scopes = self.levels[-1].scopes
                self.parts.append(")" * len(scopes) + "|" + "".join(scopes))
            elif character == "$":
                # Python's $ also holds before a line's end at the end of the text.
                self.parts.append("$" if self.levels[-1].multiline else r"\Z")
            elif character in "*+?" or (character == "{" and _REPEAT.match(self.text, self.at - 1)):
                repeats = True
                self.repeat()
            else:
                self.parts.append(r"\{" if character == "{" else character)
            self.repeated = repeats
        if len(self.levels) > 1:
            raise NoCounterpart("a ( is not closed")
        self.parts.append(")" * len(self.levels[0].scopes))

    def named(self, name: str) -> None:
        """Give the last group without a name this one, or the whole expression where there is none."""
        if self.nameless is None:
            self.parts = [f"(?P<{name}>", *self.parts, ")"]
        else:
            self.parts[self.nameless] = f"(?P<{name}>"

    def python(self) -> str:
        return ("(?a)" if self.ascii else "") + "".join(self.parts)

    def repeat(self) -> None:
        if self.repeated:
            raise NoCounterpart("Go's syntax has no repetition of a repetition")
        self.at -= 1
        braces = self.take(_REPEAT)
        self.parts.append(braces[0] if braces else self.next())
        if self.text.startswith("?", self.at):
            self.parts.append(self.next())

    def escape(self, *, in_class: bool = False) -> str:
        if found := self.take(_HEX):
            return re.escape(chr(min(int(found[1] or found[2], 16), 0x10FFFF)))
        if found := self.take(_OCTAL):
            return re.escape(chr(int(found[0], 8)))
        character = self.next()
        if character in "dDsSwW" or (character in "bB" and not in_class):
            self.ascii = True
        elif character in "pP":
            raise NoCounterpart(rf"\{character}, a class of Unicode")
        elif character == "Q" and not in_class:
            quoted, _, _ = self.text[self.at :].partition(r"\E")
            self.at = min(self.at + len(quoted) + 2, len(self.text))
            return re.escape(quoted)
        elif character == "z" and not in_class:
            return r"\Z"
        elif character.isalnum() and character not in ("aftnrv" if in_class else "aftnrvA"):
            raise NoCounterpart(rf"\{character}, which Go's syntax doesn't have")
        return "\\" + character

    def character_class(self) -> None:
        inner = []
        negated = self.text.startswith("^", self.at)
        self.at += negated
        while True:
            if found := self.take(_CLASS_NAME):
                inner.append(self.posix(found[2], complement=bool(found[1])))
                continue
            character = self.next()
            if character == "]" and inner:
                break
            if character == "\\":
                inner.append(self.escape(in_class=True))
            else:
                # What other languages read as operations of sets, Python may one day.
                inner.append("\\" + character if character in "[]&|~" else character)
        self.parts.append(f"[{'^' * negated}{''.join(inner)}]")

    def posix(self, name: str, *, complement: bool) -> str:
        if name not in _POSIX:
            raise NoCounterpart(f"[:{name}:], which Go's syntax doesn't have")
        if not complement:
            return _POSIX[name]
        within = re.compile(f"[{_POSIX[name]}]")
        return "".join(re.escape(chr(i)) for i in range(128) if not within.match(chr(i))) + "\\\u0080-\U0010ffff"

    def open(self) -> None:
        multiline = self.levels[-1].multiline
        if not self.text.startswith("?", self.at):
            self.nameless = len(self.parts)
            self.parts.append("(")
        elif found := self.take(_NAME):
            name = found[1]
            given = name if name.isidentifier() and name not in self.taken else f"{'m_' * name[0].isdigit()}{name}_"
            self.names[name] = given
            self.parts.append(f"(?P<{given}>")
        elif found := self.take(_FLAGS):
            on, off, end = found[1], found[2] or "", found[3]
            if "U" in on + off:
                raise NoCounterpart("(?U), which makes repetitions lazy")
            multiline = "m" in on or (multiline and "m" not in off)
            scope = f"(?{on}{'-' * bool(off)}{off}:"
            self.parts.append(scope)
            if end == ")":
                # From here to the group's end.
                self.levels[-1].scopes.append(scope)
                self.levels[-1].multiline = multiline
                return
        else:
            raise NoCounterpart(f"({self.text[self.at : self.at + 3]}, which Go's syntax doesn't have")
        self.levels.append(_Level(multiline))

    def close(self) -> None:
        if len(self.levels) == 1:
            raise NoCounterpart("a ) too many")
        self.parts.append(")" * len(self.levels.pop().scopes) + ")")


def translate(text: str, taken: Collection[str] = (), matched: str = "") -> tuple[str, dict[str, str]]:
    r"""The expression in Python's syntax, and what its named groups are called there: not by a name that is taken.

    `matched` is a name for what Go has without one: its last group without a name, or all that was found.
    \w and its like are of ASCII in Go: (?a). Raises NoCounterpart.
    """
    translation = _Translation(text, taken)
    translation.run()
    if matched:
        translation.named(matched)
    python = translation.python()
    try:
        re.compile(python)
    except re.error as error:
        raise NoCounterpart(str(error)) from None
    return python, translation.names
