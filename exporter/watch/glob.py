"""Globs over paths: `*` and `?` stay within one level, `**` spans any number of them."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache

_TOKEN = re.compile(r"\*\*+/|\*\*+|\*|\?|\[!?[^\]/]+\]|[^*?\[]+|\[")
_REGEX = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}


@dataclass(frozen=True, slots=True)
class Glob:
    """A glob as it was written, and the question whether a whole text is like it."""

    pattern: str
    fullmatch: Callable[[str], re.Match[str] | None] = field(compare=False, repr=False)


@lru_cache(maxsize=1024)
def compile_glob(pattern: str) -> Glob:
    """The glob, made a regular expression. Raises re.error."""
    parts = []
    for token in _TOKEN.findall(pattern):
        # More asterisks than two mean no more, and would have an expression try every way to share out the text.
        token = re.sub(r"^\*{3,}", "**", token)
        if token in _REGEX:
            parts.append(_REGEX[token])
        elif token[0] == "[" and len(token) > 2:
            negated = token[1] == "!"
            inner = re.sub(r"([\\\[\]^&|~])", r"\\\1", token[1 + negated : -1])
            # A hyphen that may be taken for a set's difference, as Python's regular expressions may have one day.
            inner = re.sub(r"(?<!^)(?<!\\)--", r"-\\-", re.sub("^-", r"\\-", inner))
            parts.append(f"(?!/)[{'^' * negated}{inner}]")
        else:
            parts.append(re.escape(token))
    return Glob(pattern, re.compile("".join(parts), re.S).fullmatch)
