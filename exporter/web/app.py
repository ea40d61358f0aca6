"""The WSGI application: /metrics, a landing page, health, readiness and reload."""

from __future__ import annotations

import gzip
import logging
import math
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from prometheus_client.exposition import choose_encoder, gzip_accepted

from exporter.errors import ConfigError, Unavailable, UsageError
from exporter.service import SCRAPE_TIMEOUT, Service

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

log = logging.getLogger(__name__)

GZIP_LEVEL = 1
"""Level 6 takes four times the time to save 11 % of the bytes."""

SHORTEST, LONGEST = 5.0, 30.0
"""Seconds that a collection is given at the least, and those from which on a client's word for them isn't taken.

A client that wants its answer at once would cost another, who shares the collection, what isn't read by then.
"""

LIFECYCLE = "/-/reload"

_Answer = tuple[str, list[tuple[str, str]], bytes]
Page = Callable[["WSGIEnvironment"], _Answer]


def plain(status: str, text: str, *headers: tuple[str, str]) -> _Answer:
    """An answer of one line."""
    return status, [("Content-Type", "text/plain; charset=utf-8"), *headers], f"{text}\n".encode()


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
        self._pages: dict[str, Page] = {
            **pages,
            "/-/healthy": lambda _: plain("200 OK", "vmem-exporter is healthy."),
            "/-/ready": lambda _: plain("200 OK", "vmem-exporter is ready."),
            telemetry_path: self._metrics,
        }
        self._lifecycle = lifecycle

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        method = environ["REQUEST_METHOD"]
        try:
            status, headers, body = self._answer(method, environ)
        except (MemoryError, Unavailable) as error:
            status, headers, body = plain("503 Service Unavailable", str(error) or "no memory")
        except Exception:
            log.exception("a request failed: this is a bug")
            status, headers, body = plain("500 Internal Server Error", "internal error, see the log")
        headers += [("Content-Length", str(len(body))), ("X-Content-Type-Options", "nosniff")]
        start_response(status, headers)
        return [] if method == "HEAD" else [body]

    def _answer(self, method: str, environ: WSGIEnvironment) -> _Answer:
        path = environ.get("PATH_INFO", "")
        if path == LIFECYCLE:
            return self._reload(method)
        if path not in self._pages:
            return plain("404 Not Found", "not found")
        if method not in ("GET", "HEAD"):
            return plain("405 Method Not Allowed", "only GET and HEAD", ("Allow", "GET, HEAD"))
        return self._pages[path](environ)

    def _reload(self, method: str) -> _Answer:
        if not self._lifecycle:
            return plain("403 Forbidden", "reloading over HTTP is off; --web.enable-lifecycle turns it on")
        if method not in ("POST", "PUT"):
            return plain("405 Method Not Allowed", "only POST and PUT", ("Allow", "POST, PUT"))
        try:
            self._service.reload()
        except ConfigError as error:
            return plain("500 Internal Server Error", f"reload failed:\n{error}")
        return plain("200 OK", "reloaded")

    def _metrics(self, environ: WSGIEnvironment) -> _Answer:
        only = parse_qs(environ.get("QUERY_STRING", "")).get("collect[]", [])
        _, content_type = choose_encoder(environ.get("HTTP_ACCEPT", ""))
        openmetrics = content_type.startswith("application/openmetrics-text")
        timeout = scrape_timeout(environ.get("HTTP_X_PROMETHEUS_SCRAPE_TIMEOUT_SECONDS", ""))
        try:
            body = self._service.page(only, timeout=timeout, openmetrics=openmetrics).encode()
        except UsageError as error:
            return plain("400 Bad Request", str(error))
        headers = [("Content-Type", content_type), ("Vary", "Accept, Accept-Encoding")]
        if gzip_accepted(environ.get("HTTP_ACCEPT_ENCODING", "")):
            body = gzip.compress(body, GZIP_LEVEL)
            headers.append(("Content-Encoding", "gzip"))
        return "200 OK", headers, body
