"""What is answered at which path: /metrics, health, readiness, reload, and the pages for people."""

from __future__ import annotations

import gzip
import logging
import math
from collections.abc import Callable, Hashable, Mapping

from prometheus_client.exposition import choose_encoder, gzip_accepted

from exporter.errors import ConfigError, Unavailable, UsageError
from exporter.service import SCRAPE_TIMEOUT, Service
from exporter.web.http import Answer, Request, plain

log = logging.getLogger(__name__)

GZIP_LEVEL = 1
"""Level 6 takes four times the time to save 11 % of the bytes."""

SHORTEST, LONGEST = 5.0, 30.0
"""Seconds that a collection is given at the least, and those from which on a client's word for them isn't taken.

A client that wants its answer at once would cost another, who shares the collection, what isn't read by then.
"""

RELOAD = "/-/reload"

Page = Callable[[Request], Answer]

HEALTH = {
    "/-/healthy": plain("200 OK", "vmem-exporter is healthy."),
    "/-/ready": plain("200 OK", "vmem-exporter is ready."),
}


def scrape_timeout(header: str) -> float:
    """The seconds that a client says it waits, within bounds, as the page may be shared with others who wait longer."""
    try:
        asked = float(header)
    except ValueError:
        asked = math.nan
    # A comparison with NaN is false.
    return asked if SHORTEST < asked < LONGEST else SHORTEST if asked <= SHORTEST else SCRAPE_TIMEOUT


class App:
    """The application over a service."""

    def __init__(self, service: Service, telemetry_path: str, pages: Mapping[str, Page], *, lifecycle: bool) -> None:
        """`pages` are those for people."""
        self._service = service
        self._telemetry_path = telemetry_path
        self._pages = {**pages, telemetry_path: self._metrics}
        self._lifecycle = lifecycle

    def at_once(self, request: Request) -> Answer | None:
        """The answer where there is nothing to work for it, None where `answer` is to be asked."""
        path, method = request.path, request.method
        if path == RELOAD:
            if not self._lifecycle:
                return plain("403 Forbidden", "reloading over HTTP is off; --web.enable-lifecycle turns it on")
            if method not in ("POST", "PUT"):
                return plain("405 Method Not Allowed", "only POST and PUT", ("Allow", "POST, PUT"))
            return None
        if path not in self._pages and path not in HEALTH:
            return plain("404 Not Found", "not found")
        if method not in ("GET", "HEAD"):
            return plain("405 Method Not Allowed", "only GET and HEAD", ("Allow", "GET, HEAD"))
        return HEALTH.get(path)

    def same(self, request: Request) -> Hashable | None:
        """Requests of one key get one answer, where they wait for it at the same time. None: each has its own."""
        if request.path != self._telemetry_path:
            return None
        headers = request.headers
        return request.query, headers.get("accept", ""), gzip_accepted(headers.get("accept-encoding", ""))

    def answer(self, request: Request) -> Answer:
        """The answer to a request that takes work. It takes its time, and never raises."""
        try:
            return self._reload() if request.path == RELOAD else self._pages[request.path](request)
        except (MemoryError, Unavailable) as error:
            return plain("503 Service Unavailable", str(error) or "no memory")
        except Exception:
            log.exception("a request failed: this is a bug")
            return plain("500 Internal Server Error", "internal error, see the log")

    def _reload(self) -> Answer:
        try:
            self._service.reload()
        except ConfigError as error:
            return plain("500 Internal Server Error", f"reload failed:\n{error}")
        return plain("200 OK", "reloaded")

    def _metrics(self, request: Request) -> Answer:
        _, content_type = choose_encoder(request.headers.get("accept", ""))
        openmetrics = content_type.startswith("application/openmetrics-text")
        timeout = scrape_timeout(request.headers.get("x-prometheus-scrape-timeout-seconds", ""))
        try:
            # The text is gone by the time that it is compressed: two copies of a page at a time are enough.
            body = self._service.page(request.asked("collect[]"), timeout=timeout, openmetrics=openmetrics).encode()
        except UsageError as error:
            return plain("400 Bad Request", str(error))
        headers = [("Content-Type", content_type), ("Vary", "Accept, Accept-Encoding")]
        if gzip_accepted(request.headers.get("accept-encoding", "")):
            # A clock that says it is before 1970, or after 2106, has no place in gzip's header.
            body = gzip.compress(body, GZIP_LEVEL, mtime=0)
            headers.append(("Content-Encoding", "gzip"))
        return Answer("200 OK", tuple(headers), body)
