"""The HTTP server: asyncio has the sockets, `Connection` each client's bytes; a few threads answer requests.

A client costs a connection and no thread until its request is whole. What it may hold is bounded: its request must be
whole, and its answer taken, within DEADLINE; where connections or unsent bytes are too many, the client that has been
waited for longest loses its connection.
"""

from __future__ import annotations

import asyncio
import errno
import gc
import logging
import os
import re
import resource
import socket
import threading
from collections.abc import Awaitable, Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import cast

from exporter import heap
from exporter.errors import UsageError
from exporter.web.access import Access
from exporter.web.app import App
from exporter.web.connection import Connection
from exporter.web.http import Answer, Request, plain

log = logging.getLogger(__name__)

THREADS = 4
CONNECTIONS = 512
"""At the most; an eighth of the file descriptors where that is less."""

CROWD = 32
"""Connections that are more than Prometheus and a few people have."""

UNSENT_BYTES = 16 << 20
"""Answers that clients have asked for and do not take, of all connections together."""

BACKLOG = 512
"""Connections that wait in the kernel for being taken."""

AT_ONCE = 32
"""Of which so many are taken before anything else is done: each is several objects, before there is a limit to it."""

_ADDRESS = re.compile(r"(?P<host>\[[0-9a-fA-F:.%\w]+\]|[^:\[\]]*):(?P<port>[0-9]{1,5})")


def listen_address(text: str) -> tuple[str | None, int]:
    """Host, None for any, and port of `:PORT`, `HOST:PORT` or `[IPV6]:PORT`. Raises UsageError."""
    found = _ADDRESS.fullmatch(text)
    if found is None or int(found["port"]) > 65535:
        raise UsageError(f"--web.listen-address: found {text!r}, expected :PORT, HOST:PORT or [IPV6]:PORT")
    return found["host"].strip("[]") or None, int(found["port"])


class Server:
    """A server that listens from the start, and serves in a thread of its own from `start` on."""

    def __init__(self, app: App, addresses: Sequence[str], access: Access, max_requests: int) -> None:
        """Requests that are worked on at a time are at most `max_requests`, 0 for any number.

        Raises UsageError where an address can't be listened at.
        """
        self.app, self.access = app, access
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._most = CONNECTIONS if soft < 0 else max(8, min(CONNECTIONS, soft // 8))
        self._max_requests = max_requests
        self._connections: set[Connection] = set()
        self._shared: dict[Hashable, asyncio.Future[Answer]] = {}
        self._working = self._peak = self._gone = 0
        self._workers = ThreadPoolExecutor(THREADS, "answer")
        # Passwords are slow to compare: with a thread of their own they hold up nobody whose password is known.
        self._passwords = ThreadPoolExecutor(1, "password")
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(_log)
        self._tasks: set[asyncio.Future[None]] = set()
        self._listeners = [self._listen(address) for address in addresses]

    def _listen(self, address: str) -> asyncio.Server:
        host, port = listen_address(address)
        make = self._loop.create_server(lambda: Connection(self), host, port, backlog=AT_ONCE)
        try:
            listener = self._loop.run_until_complete(make)
            for each in listener.sockets:
                # For asyncio it is one number. A duplicate is of the same queue.
                with socket.socket(fileno=os.dup(each.fileno())) as same:
                    same.listen(BACKLOG)
            return listener
        except OSError as error:
            # Names that aren't known have a negative errno and their text. From Python 3.13 on, an address of another
            # machine has neither.
            text = error.strerror if (error.errno or 0) < 0 else os.strerror(error.errno or errno.EADDRNOTAVAIL)
            raise UsageError(f"--web.listen-address: cannot listen at {address}: {text}") from None

    def start(self, on_end: Callable[[], None]) -> None:
        """Serve until the process ends; `on_end` is called if serving ends before.

        Raises UsageError where its threads can't be had.
        """

        def run() -> None:
            try:
                self._loop.create_task(self._follow())
                self._loop.run_forever()
            finally:
                on_end()

        # To start a thread is what fails first where memory is short: they are there from the beginning.
        all_there = threading.Barrier(THREADS)
        try:
            for _ in range(THREADS):
                self._workers.submit(all_there.wait)
            self._passwords.submit(threading.get_ident)
            threading.Thread(target=run, name="http", daemon=True).start()
        except (RuntimeError, MemoryError):
            # Those that wait for the others would be waited for at the end.
            all_there.abort()
            raise UsageError(f"no memory, or no right, to start {THREADS + 2} threads") from None

    async def _follow(self) -> None:
        """Keep up with the files that say who may read."""
        while True:
            await asyncio.sleep(1)
            with suppress(MemoryError):
                await self._loop.run_in_executor(self._workers, self.access.refresh)
            if self._peak > CROWD >= len(self._connections):
                # What the crowd took is free in pieces, which the C library keeps unless it is asked.
                self._peak = 0
                heap.trim()

    def spawn(self, work: Awaitable[None]) -> None:
        """Have the loop do it. It holds its tasks weakly."""
        task = asyncio.ensure_future(work, loop=self._loop)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def joined(self, connection: Connection) -> None:
        """Make room for one more."""
        self._connections.add(connection)
        self._peak = max(self._peak, len(self._connections))
        if len(self._connections) > self._most:
            self._drop()

    def left(self, connection: Connection) -> None:
        """One less."""
        self._connections.discard(connection)
        self._gone += 1
        if self._gone % CROWD == 0:
            # The transport of each is a cycle, of asyncio's own, and otherwise cycles are looked for seldom.
            gc.collect()

    def filled(self) -> None:
        """An answer waits for its client to take it: make room where too much waits."""
        while sum(connection.unsent for connection in self._connections) > UNSENT_BYTES and self._drop():
            pass

    def _drop(self) -> bool:
        """Let the connection go whose client has been waited for longest, but none that is being worked for."""
        longest = min((c for c in self._connections if c.since is not None), key=lambda c: c.since or 0, default=None)
        if longest is not None:
            longest.abort()
        return longest is not None

    async def answer(self, request: Request) -> Answer:
        """The answer to a request, from whoever asks."""
        refused = await self._refused(request)
        if refused is not None:
            return refused
        done = self.app.at_once(request)
        if done is not None:
            return done
        key = self.app.same(request)
        if key is not None and key in self._shared:
            return await asyncio.shield(self._shared[key])
        if 0 < self._max_requests <= self._working:
            return plain("503 Service Unavailable", f"limit of concurrent requests reached ({self._max_requests})")
        self._working += 1
        future = self._loop.run_in_executor(self._workers, self.app.answer, request)
        future.add_done_callback(lambda _: self._worked(key))
        if key is not None:
            self._shared[key] = future
        return await asyncio.shield(future)

    def _worked(self, key: Hashable | None) -> None:
        self._working -= 1
        if key is not None:
            del self._shared[key]

    async def _refused(self, request: Request) -> Answer | None:
        access = self.access
        if not access.allows_one_more():
            return plain("429 Too Many Requests", "more requests than rate_limit allows")
        given = request.headers.get("authorization", "")
        known = access.known(given)
        if known is None:
            known = await self._loop.run_in_executor(self._passwords, access.check, given)
        if known:
            return None
        return plain("401 Unauthorized", "user and password, please", ("WWW-Authenticate", "Basic"))


def _log(loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
    """What goes wrong with one connection is the client's doing, want of memory, or a bug."""
    error = context.get("exception")
    if error is None or isinstance(error, OSError | MemoryError):
        log.debug("%s: %s", context.get("message"), error)
    else:
        log.error("%s: this is a bug", context.get("message"), exc_info=cast(Exception, error))
