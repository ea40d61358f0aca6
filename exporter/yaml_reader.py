"""YAML into values, or every problem of a file, each in a line of its own: file, line, key, found, expected."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import yaml

from exporter.errors import ConfigError

T = TypeVar("T")

SHOWN_LENGTH = 60
"""Characters of a value that an error shows: a file that is no configuration is one long string."""

LARGEST = 4 << 20
"""Bytes of a file: forty times a configuration of a thousand entries, and less than there is of /dev/zero."""

Read = Callable[[yaml.Node, str], T]
"""Gives the value of a node; the key is for the errors. Reports what is wrong and raises Invalid."""


class Invalid(Exception):
    """A value that has been reported; the rest of the file is still read."""


def read_bytes(path: str) -> bytes:
    """The bytes of a configuration file. Raises ConfigError."""
    try:
        with open(path, "rb") as file:
            text = file.read(LARGEST + 1)
    except OSError as error:
        raise ConfigError([f"{path}: found {error.strerror}, expected a readable YAML file"]) from None
    if len(text) > LARGEST:
        raise ConfigError([f"{path}: found more than {LARGEST >> 20} MiB, expected a YAML file"])
    return text


def compose(text: bytes, path: str) -> yaml.Node | None:
    """The root node of a file's bytes, None for an empty one; `path` is for the errors. Raises ConfigError."""
    try:
        root: yaml.Node | None = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        found = (error.problem or error.context or "nothing").removeprefix("found ")
        raise ConfigError([f"{path}:{line}: found {printable(found)}, expected YAML"]) from None
    except yaml.reader.ReaderError as error:
        line = text[: error.position].count(b"\n") + 1
        raise ConfigError([f"{path}:{line}: found {str(error).splitlines()[0]}, expected YAML in UTF-8"]) from None
    except (RecursionError, ValueError, OverflowError) as error:
        raise ConfigError([f"{path}:1: found what can't be read ({printable(str(error))}), expected YAML"]) from None
    return root


class Reader:
    """Walks the nodes of one file and keeps what is wrong with them."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.problems: list[tuple[int, str]] = []

    def problem(self, node: yaml.Node, key: str, found: object, expected: str) -> Invalid:
        """Report; gives what a reader then raises."""
        line = node.start_mark.line + 1
        where = f"{self.path}:{line}: {key}: " if key else f"{self.path}:{line}: "
        self.problems.append((line, f"{where}found {found}, expected {expected}"))
        return Invalid()

    def check(self) -> None:
        """Raises ConfigError with all that was reported, in the order of lines."""
        if self.problems:
            raise ConfigError([text for _, text in sorted(self.problems, key=lambda problem: problem[0])])

    def mapping(
        self, node: yaml.Node, key: str, known: Mapping[str, Any] | None
    ) -> dict[str, tuple[yaml.Node, yaml.Node]]:
        """The nodes of each key and its value; keys that aren't known are reported."""
        if not isinstance(node, yaml.MappingNode):
            raise self.problem(node, key, shown(node), "a mapping")
        found: dict[str, tuple[yaml.Node, yaml.Node]] = {}
        for key_node, value_node in node.value:
            name = str(key_node.value) if isinstance(key_node, yaml.ScalarNode) else shown(key_node)
            if known is not None and name not in known:
                self.problem(key_node, join(key, name), "an unknown key", "one of " + ", ".join(known))
            elif name in found:
                self.problem(key_node, join(key, name), "the key a second time", "each key once")
            else:
                found[name] = (key_node, value_node)
        return found

    def items(self, node: yaml.Node, key: str) -> list[tuple[str, yaml.Node]]:
        """The items of a list, each with its own key."""
        if not isinstance(node, yaml.SequenceNode):
            raise self.problem(node, key, shown(node), "a list")
        return [(f"{key}[{i}]", item) for i, item in enumerate(node.value)]

    def string(self, node: yaml.Node, key: str) -> str:
        """A string, of characters that UTF-8 can encode."""
        if not isinstance(node, yaml.ScalarNode) or node.tag != "tag:yaml.org,2002:str":
            raise self.problem(node, key, shown(node), "a string (in quotes where YAML would read another type)")
        text = str(node.value)
        if any("\ud800" <= character <= "\udfff" for character in text):
            raise self.problem(node, key, ascii(text), "characters of Unicode, no surrogates")
        return text

    def boolean(self, node: yaml.Node, key: str) -> bool:
        """What YAML 1.1 calls a boolean."""
        if not isinstance(node, yaml.ScalarNode) or node.tag != "tag:yaml.org,2002:bool":
            raise self.problem(node, key, shown(node), "true or false")
        return str(node.value).lower() in ("true", "yes", "on")

    def count(self, node: yaml.Node, key: str) -> int:
        """A whole number, not 0."""
        text = str(node.value) if isinstance(node, yaml.ScalarNode) else ""
        if not re.fullmatch("[1-9][0-9]{0,5}", text) or node.tag != "tag:yaml.org,2002:int":
            raise self.problem(node, key, shown(node), "a whole number from 1 to 999999")
        return int(text)

    def each(self, node: yaml.Node, key: str, read: Read[T]) -> tuple[T, ...]:
        """The values of a list, read in one way; those that are wrong are reported and left out."""
        values = []
        for item_key, item in self.items(node, key):
            try:
                values.append(read(item, item_key))
            except Invalid:
                continue
        return tuple(values)

    def section(self, node: yaml.Node, key: str, readers: Mapping[str, Read[Any]]) -> dict[str, Any]:
        """The values of a mapping, each read as its key wants; those that are wrong are reported and left out."""
        values: dict[str, Any] = {}
        for name, (_, value) in self.mapping(node, key, readers).items():
            try:
                values[name] = readers[name](value, join(key, name))
            except Invalid:
                continue
        return values


def bind(each: Callable[[yaml.Node, str, Read[Any]], Any], kind: Read[Any]) -> Read[Any]:
    """The reader of a list of a kind."""
    return lambda node, key: each(node, key, kind)


def join(key: str, name: str) -> str:
    """The name of a key below another."""
    return f"{key}.{printable(name)}" if key else printable(name)


def printable(text: str) -> str:
    """The text as one line of a terminal can show it."""
    return text if text.isprintable() else ascii(text)


def shown(node: yaml.Node) -> str:
    """What a value is, in a few words."""
    if isinstance(node, yaml.ScalarNode):
        kind, value = node.tag.rsplit(":", 1)[-1], node.value[:SHOWN_LENGTH]
        more = "…" * (len(node.value) > SHOWN_LENGTH)
        return {"null": "nothing", "str": f"{value!a}{more}"}.get(kind, f"{printable(value)}{more} ({printable(kind)})")
    return "a list" if isinstance(node, yaml.SequenceNode) else "a mapping"
