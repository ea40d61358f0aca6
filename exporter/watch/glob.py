"""Globs over paths: `*` and `?` stay within one level, `**` spans any number of them."""

from __future__ import annotations

import re
from functools import lru_cache

_TOKEN = re.compile(r"\*\*/|\*\*|\*|\?|\[!?[^\]/]+\]|[^*?\[]+|\[")
_REGEX = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}


@lru_cache(maxsize=1024)
def compile_glob(pattern: str) -> re.Pattern[str]:
    """The glob as a regular expression, to be used with fullmatch."""
    parts = []
    for token in _TOKEN.findall(pattern):
        if token in _REGEX:
            parts.append(_REGEX[token])
        elif token[0] == "[" and len(token) > 2:
            negated = token[1] == "!"
            inner = re.sub(r"([\\\[\]^&|~])", r"\\\1", token[1 + negated : -1])
            parts.append(f"(?!/)[{'^' * negated}{inner}]")
        else:
            parts.append(re.escape(token))
    return re.compile("".join(parts), re.S)
