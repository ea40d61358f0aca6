"""Delay accounting of one process: struct taskstats, asked for over generic netlink (Linux 2.6.18).

Documentation/accounting/taskstats.rst and delay-accounting.rst; include/uapi/linux/taskstats.h. It needs CAP_NET_ADMIN,
and kernel.task_delayacct=1 before the tasks were started.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator

from exporter.catalog.process import Delays
from exporter.errors import ParseError, Refused

SOURCE = "taskstats"
"""What stands for the path in errors: there is no file."""

_PLACES = (56, 320, 336, 360)
"""Where the delays of `Delays` are in the struct: version 8 ends behind the second, 9 behind the third."""

_PLACES_15 = (88, 368, 400, 440)
"""The same in version 15 (Linux 6.14 and 6.15), which has the longest and shortest delays in between."""

_HEADER = struct.Struct("=IHHII")  # struct nlmsghdr: length, kind, flags, sequence, port
_SEQUENCE = slice(8, 12)
_GENERIC = struct.Struct("=BBH")  # struct genlmsghdr: command, version, reserved
_ATTRIBUTE = struct.Struct("=HH")  # struct nlattr: length, kind
_ERRNO = struct.Struct("=i")
_U16, _U32, _U64 = struct.Struct("=H"), struct.Struct("=I"), struct.Struct("=Q")

_NETLINK_GENERIC = 16
_REQUEST = 1
_ERROR = 2
_CONTROLLER, _GET_FAMILY, _FAMILY_ID, _FAMILY_NAME = 16, 3, 1, 2
_GET, _TGID, _AGGREGATE_TGID, _STATS = 1, 2, 5, 3

LONGEST = 1 << 13
"""Bytes of an answer that are looked at. They have been some 600 at most."""

PATIENCE = 1.0
"""Seconds that an answer may take. The kernel gives it before the request returns."""


def delays(stats: bytes) -> Delays:
    """The delays in a struct taskstats, in nanoseconds; None for one that this kernel's version lacks.

    Raises ParseError.
    """
    if len(stats) < _PLACES[0] + _U64.size:
        raise ParseError(SOURCE, stats, "struct taskstats")
    places = _PLACES_15 if _U16.unpack_from(stats)[0] == 15 else _PLACES
    return Delays(*(_U64.unpack_from(stats, at)[0] if at + _U64.size <= len(stats) else None for at in places))


def payload(message: bytes) -> bytes:
    """The attributes of an answer. Raises OSError with the kernel's refusal, and ParseError."""
    begin = _HEADER.size + _GENERIC.size
    if len(message) >= begin:
        length, kind, *_ = _HEADER.unpack_from(message)
        if kind == _ERROR:
            number = -_ERRNO.unpack_from(message, _HEADER.size)[0]
            raise OSError(number, os.strerror(number))
        if begin <= length <= len(message):
            return message[begin:length]
    raise ParseError(SOURCE, message, "an answer over generic netlink")


def attribute(attributes: bytes, kind: int) -> bytes:
    """The value of the attribute of this kind. Raises ParseError where there is none."""
    for found, value in _attributes(attributes):
        if found == kind:
            return value
    raise ParseError(SOURCE, attributes, f"an attribute of kind {kind}")


def _attributes(text: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + _ATTRIBUTE.size <= len(text):
        length, kind = _ATTRIBUTE.unpack_from(text, at)
        if not _ATTRIBUTE.size <= length <= len(text) - at:
            return
        yield kind, text[at + _ATTRIBUTE.size : at + length]
        at += (length + 3) & ~3


def request(family: int, command: int, kind: int, value: bytes, sequence: int) -> bytes:
    """A request of one attribute."""
    length = _ATTRIBUTE.size + len(value)
    body = _GENERIC.pack(command, 1, 0) + _ATTRIBUTE.pack(length, kind) + value + b"\0" * (-length % 4)
    return _HEADER.pack(_HEADER.size + len(body), family, _REQUEST, sequence, 0) + body


class Taskstats:
    """The socket at which the kernel is asked."""

    def __init__(self) -> None:
        """Raises Refused where this kernel has none of it."""
        self._sequence = 0
        try:
            self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_GENERIC)
            self._socket.settimeout(PATIENCE)
            self._socket.bind((0, 0))
            answer = self._ask(_CONTROLLER, _GET_FAMILY, _FAMILY_NAME, b"TASKSTATS\0")
        except OSError as error:
            raise Refused(SOURCE, error) from None
        self._family = _U16.unpack(attribute(answer, _FAMILY_ID))[0]

    def read(self, pid: int) -> Delays | None:
        """The delays of all threads of a process, those that ended included; None where it has gone.

        Raises Refused and ParseError.
        """
        try:
            answer = self._ask(self._family, _GET, _TGID, _U32.pack(pid))
        except ProcessLookupError:
            return None
        except OSError as error:
            raise Refused(SOURCE, error) from None
        return delays(attribute(attribute(answer, _AGGREGATE_TGID), _STATS))

    def _ask(self, family: int, command: int, kind: int, value: bytes) -> bytes:
        self._sequence = (self._sequence + 1) % (1 << 32)
        self._socket.send(request(family, command, kind, value, self._sequence))
        while True:
            message = self._socket.recv(LONGEST)
            # The answer to a request that took too long may still come.
            if message[_SEQUENCE] == _U32.pack(self._sequence):
                return payload(message)
