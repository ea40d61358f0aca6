"""The HTTP server: waitress, which reads requests in one thread and answers them in a bounded few.

A client that sends its request slowly, or never ends it, holds a connection and no thread.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Sequence

from waitress.server import create_server

from exporter.errors import UsageError
from exporter.web.app import App

THREADS = 4
CONNECTIONS = 512
IDLE_SECONDS = 10
"""After this time without progress a connection is closed."""

_ADDRESS = re.compile(r"(?P<host>\[[0-9a-fA-F:.%\w]+\]|[^:\[\]]*):(?P<port>[0-9]{1,5})")


def listen_address(text: str) -> str:
    """`:PORT`, `HOST:PORT` or `[IPV6]:PORT` as the server wants it. Raises UsageError."""
    found = _ADDRESS.fullmatch(text)
    if found is None or int(found["port"]) > 65535:
        raise UsageError(f"--web.listen-address: found {text!r}, expected :PORT, HOST:PORT or [IPV6]:PORT")
    return f"{found['host'] or '*'}:{found['port']}"


class Server:
    """A server that listens from the start, and serves in a thread of its own from `start` on."""

    def __init__(self, app: App, addresses: Sequence[str]) -> None:
        """Raises UsageError where an address can't be listened at."""
        try:
            self._server = create_server(
                app,
                listen=" ".join(map(listen_address, addresses)),
                threads=THREADS,
                connection_limit=CONNECTIONS,
                channel_timeout=IDLE_SECONDS,
                cleanup_interval=IDLE_SECONDS // 2,
                max_request_header_size=16384,
                max_request_body_size=65536,
                asyncore_use_poll=True,
                ident=None,
            )
        except (OSError, ValueError) as error:
            text = getattr(error, "strerror", None) or error
            raise UsageError(f"--web.listen-address: cannot listen at {' '.join(addresses)}: {text}") from None

    def start(self, on_end: Callable[[], None]) -> None:
        """Serve until the process ends; `on_end` is called if serving ends before."""

        def run() -> None:
            try:
                self._server.run()
            finally:
                on_end()

        threading.Thread(target=run, name="http", daemon=True).start()
