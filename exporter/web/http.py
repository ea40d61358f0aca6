"""What a request and an answer are, between the server and what answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qs


@dataclass(frozen=True, slots=True)
class Request:
    """A request whose path is decoded, and whose header names are in lower case."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]

    def asked(self, name: str) -> list[str]:
        """The values of a parameter of the query, in order."""
        return parse_qs(self.query, errors="replace").get(name, [])


@dataclass(frozen=True, slots=True)
class Answer:
    """Status as in the first line of an answer, headers, and the body of a GET."""

    status: str
    headers: tuple[tuple[str, str], ...]
    body: bytes


def plain(status: str, text: str, *headers: tuple[str, str]) -> Answer:
    """An answer of one line."""
    return Answer(status, (("Content-Type", "text/plain; charset=utf-8"), *headers), f"{text}\n".encode())
