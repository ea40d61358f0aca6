"""TLS of one connection, between the bytes of its socket and those of HTTP.

asyncio's own costs 100 KiB for each connection from its first moment on, this one 40 KiB once a client has said hello.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

HELLO = 0x16
"""The type of the record that a client begins with."""

_HEAD = 5
_RECORD_BYTES = (16 << 10) + 256
_PIECE = 64 << 10
"""What is encrypted at a time: OpenSSL's buffer stays as large as it has once been."""


class NotTLS(Exception):
    """The client speaks something else."""


class TLS:
    """The server's side of it."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        self._hello = b""
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._object: ssl.SSLObject | None = None
        self.established = False
        self.over = False
        """The client has said that it says no more."""

    def received(self, data: bytes) -> bytes:
        """What the client says, in the clear; empty while that takes more bytes.

        Raises NotTLS and, where it breaks the rules, ssl.SSLError.
        """
        if self._object is None:
            data = self._hello = self._hello + data
            if data[0] != HELLO:
                raise NotTLS
            # Whoever does not say hello to the end costs no more than what it has said.
            size = int.from_bytes(data[3:_HEAD])
            if len(data) < _HEAD or len(data) < _HEAD + size < _RECORD_BYTES:
                return b""
            self._object, self._hello = self._context.wrap_bio(self._in, self._out, server_side=True), b""
        self._in.write(data)
        clear = []
        with suppress(ssl.SSLWantReadError):
            if not self.established:
                self._object.do_handshake()
                self.established = True
            while part := self._object.read(_PIECE):
                clear.append(part)
            self.over = True
        return b"".join(clear)

    @property
    def certificate(self) -> Mapping[str, Any] | None:
        """The client's, where it has shown one and that is verified."""
        return None if self._object is None else self._object.getpeercert()

    def encrypted(self, parts: Iterable[bytes]) -> Iterator[bytes]:
        """What is to be sent for these, once TLS is established."""
        assert self._object is not None
        for part in parts:
            view = memoryview(part)
            for start in range(0, len(view), _PIECE):
                self._object.write(view[start : start + _PIECE])
                yield self._out.read()

    def pending(self) -> bytes:
        """What is to be sent for the protocol's own sake."""
        return self._out.read()

    def end(self) -> bytes:
        """What says to the client that there is no more."""
        if self._object is not None and self.established:
            with suppress(ssl.SSLError):
                self._object.unwrap()
        return self._out.read()
