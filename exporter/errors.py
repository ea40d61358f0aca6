"""Everything this package raises on purpose.

    VmemError
    ├── UsageError       what the user gave cannot be served: one line each, exit code 2
    │   └── ConfigError  a configuration file, with all of its problems
    ├── ParseError       a kernel file does not read as its format says
    ├── Refused          a kernel file is there and cannot be read
    └── Unavailable      the exporter itself is refused memory, threads or descriptors, or time: no page now

A file that is not there is no error: reading it gives None.
"""

from __future__ import annotations

from collections.abc import Sequence


class VmemError(Exception):
    """The root of the tree."""


class UsageError(VmemError):
    """What the user gave cannot be served; the text is one line for that user."""


class ConfigError(UsageError):
    """A configuration that cannot be used; `problems` holds one line for each thing wrong in it."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


class ParseError(VmemError):
    """Bytes of a kernel file that are not what its format says."""

    def __init__(self, path: object, found: bytes, expected: str) -> None:
        shown = found if len(found) <= 60 else found[:60] + b"..."
        super().__init__(f"{path}: found {shown!r}, expected {expected}")
        self.path, self.found, self.expected = str(path), found, expected

    def below(self, folder: str) -> ParseError:
        """The same of a file that was named from its folder."""
        return ParseError(f"{folder}/{self.path}", self.found, self.expected)


class Refused(VmemError):
    """A kernel file that is there and that this process may not, or cannot, read."""

    def __init__(self, path: str, error: OSError) -> None:
        super().__init__(f"{path}: {error.strerror or error}")
        self.path, self.error = path, error
        self.errno = error.errno

    def below(self, folder: str) -> Refused:
        """The same of a file that was named from its folder."""
        return self if self.path.startswith("/") else Refused(f"{folder}/{self.path}", self.error)


class Unavailable(VmemError):
    """What a page needs is not to be had now: memory, a thread, a descriptor, or the time that it takes."""
