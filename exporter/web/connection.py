"""One client: its bytes become requests, by h11 and where it is asked for by TLS, and their answers bytes."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Protocol, cast
from urllib.parse import unquote

import h11

from exporter.web.access import Access
from exporter.web.http import Answer, Request, plain
from exporter.web.tls import TLS, NotTLS

log = logging.getLogger(__name__)

DEADLINE = 10.0
"""Seconds for a whole request, TLS included, and as many for taking the answer."""

IDLE = 300.0
"""Seconds that a connection is kept for the next request: longer than any interval of scraping."""

HEADER_BYTES = 16 << 10
BODY_BYTES = 64 << 10

TAKEN_SECONDS = 0.05
"""How often it is looked whether a client has taken its answer."""

_RECEIVED = memoryview(bytearray(64 << 10))
"""What comes is received here, by all connections of the one loop, and taken at once: where memory is short, asyncio's
own 256 KiB for each time would be refused first.
"""

NOT_TLS = b"HTTP/1.0 400 Bad Request\r\n\r\nthis is an HTTPS server, and the request is not in TLS\n"


class Host(Protocol):
    """What a connection needs of its server."""

    access: Access

    def joined(self, connection: Connection) -> None:
        """There is one more."""

    def left(self, connection: Connection) -> None:
        """There is one less."""

    def filled(self) -> None:
        """An answer waits for its client to take it."""

    def spawn(self, work: Awaitable[None]) -> None:
        """Have the loop do it."""

    async def answer(self, request: Request) -> Answer:
        """The answer to a request."""


class Connection(asyncio.BufferedProtocol):
    """One client. It is either the client's turn, and then there is a time at which that began, or the server's."""

    def __init__(self, server: Host) -> None:
        self._server = server
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=HEADER_BYTES)
        self._transport: asyncio.Transport
        self._tls: TLS | None = None
        self._idle = False
        self._request: h11.Request | None = None
        self._body = 0
        self._timer: asyncio.TimerHandle | None = None
        self.since: float | None = None
        """The loop's time at which the client's turn began, if it is its turn."""

    @property
    def unsent(self) -> int:
        """Bytes of an answer that the client has not taken."""
        return self._transport.get_write_buffer_size()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        context = self._server.access.context
        self._tls = None if context is None else TLS(context)
        self._wait(DEADLINE, self.abort)
        self._server.joined(self)

    def connection_lost(self, error: Exception | None) -> None:
        self._server.left(self)
        self._stop()

    def get_buffer(self, sizehint: int) -> memoryview:
        return _RECEIVED

    def buffer_updated(self, nbytes: int) -> None:
        self._received(bytes(_RECEIVED[:nbytes]))

    def _received(self, data: bytes) -> None:
        if self._tls is not None:
            data = self._decrypted(self._tls, data)
            if not data:
                return
        self._http.receive_data(data)
        if self._idle:
            self._idle = False
            self._wait(DEADLINE, self.abort)
        self._read()

    def _decrypted(self, tls: TLS, data: bytes) -> bytes:
        fresh = not tls.established
        try:
            clear = tls.received(data)
        except NotTLS:
            self._transport.write(NOT_TLS)
            self._transport.close()
            return b""
        except ssl.SSLError as error:
            log.debug("no TLS with %s: %s", self._transport.get_extra_info("peername"), error)
            self._close()
            return b""
        if pending := tls.pending():
            self._transport.write(pending)
        if fresh and tls.established and not self._server.access.knows(tls.certificate):
            self._close()
            return b""
        if tls.over:
            self._close()
        return clear

    def eof_received(self) -> bool:
        if self._tls is None:
            self._http.receive_data(b"")
            self._read()
        # A client that has said all may still want its answer. TLS has no half of a connection.
        return self.since is None and self._tls is None

    def abort(self) -> None:
        """Close at once, whatever is unsent."""
        self._stop()
        self._transport.abort()

    def _close(self) -> None:
        """Close when what is unsent has been taken, in time."""
        if self._tls is not None and not self._transport.is_closing():
            self._transport.write(self._tls.end())
        self._transport.close()

    def _wait(self, seconds: float, then: Callable[[], None]) -> None:
        self._stop()
        loop = asyncio.get_running_loop()
        self.since = loop.time()
        self._timer = loop.call_at(self.since + seconds, then)

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self.since = self._timer = None

    def _read(self) -> None:
        """Take what has come of a request; when it is whole, have it answered."""
        try:
            while self.since is not None and not self._transport.is_closing():
                event = self._http.next_event()
                if event is h11.NEED_DATA:
                    return
                if isinstance(event, h11.Request):
                    self._request, self._body = event, 0
                elif isinstance(event, h11.Data):
                    self._body += len(event.data)
                    if self._body > BODY_BYTES:
                        raise h11.RemoteProtocolError("a body of more than is read here", 413)
                elif isinstance(event, h11.EndOfMessage) and self._request is not None:
                    self._stop()
                    self._transport.pause_reading()
                    self._server.spawn(self._answer(_request(self._request)))
                else:
                    self._close()
        except h11.RemoteProtocolError as error:
            status = HTTPStatus(error.error_status_hint)
            self._send(plain(f"{status.value} {status.phrase}", str(error)), "GET", ("Connection", "close"))

    async def _answer(self, request: Request) -> None:
        try:
            answer = await self._server.answer(request)
            if not self._transport.is_closing():
                self._send(answer, request.method, *self._server.access.headers)
        except MemoryError:
            # Not even for saying so. It is nobody's turn, and there would be no end to it.
            self.abort()

    def _send(self, answer: Answer, method: str, *headers: tuple[str, str]) -> None:
        code, _, reason = answer.status.partition(" ")
        always = (("Content-Length", str(len(answer.body))), ("X-Content-Type-Options", "nosniff"))
        head = h11.Response(status_code=int(code), reason=reason, headers=[*answer.headers, *always, *headers])
        events = [head, h11.Data(answer.body), h11.EndOfMessage()] if method != "HEAD" else [head, h11.EndOfMessage()]
        try:
            parts = [self._http.send(event) or b"" for event in events]
        except h11.LocalProtocolError:
            # What has come is so broken that there is no answer to it.
            self._close()
            return
        # In one piece: of several, asyncio of Python 3.12 and 3.13 keeps an empty one for ever, and never closes.
        self._transport.write(b"".join(parts if self._tls is None else self._tls.encrypted(parts)))
        self._wait(DEADLINE, self.abort)
        self._take()
        if self.unsent:
            self._server.filled()

    def _take(self) -> None:
        """Go on with the next request when the client has taken the answer."""
        if self._transport.is_closing() or self.since is None:
            return
        if self.unsent:
            asyncio.get_running_loop().call_later(TAKEN_SECONDS, self._take)
        elif self._http.our_state is self._http.their_state is h11.DONE:
            self._http.start_next_cycle()
            self._idle = not self._http.trailing_data[0]
            self._wait(IDLE if self._idle else DEADLINE, self._close)
            self._transport.resume_reading()
            self._read()
        else:
            self._close()


def _request(event: h11.Request) -> Request:
    path, _, query = event.target.decode("latin-1").partition("?")
    if "://" in path and not path.startswith("/"):
        # A proxy's form, which every server must accept.
        path = "/" + path.partition("://")[2].partition("/")[2]
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in event.headers}
    return Request(event.method.decode("latin-1"), unquote(path), query, headers)
