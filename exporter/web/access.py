"""Who may read: the web configuration in force, kept up with its files, and passwords that are asked for."""

from __future__ import annotations

import hmac
import logging
import os
import ssl
import threading
import time
from base64 import b64decode
from collections import OrderedDict
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from exporter.errors import ConfigError
from exporter.web.web_config import WebConfig, load

log = logging.getLogger(__name__)

REMEMBERED = 1024
"""Pairs of user and password whose outcome is known, right ones and wrong ones."""

LONGEST_PASSWORD = 72
"""Bytes that bcrypt looks at."""


class Access:
    """The web configuration of a file, or none: plain HTTP for everyone."""

    def __init__(self, path: str | None) -> None:
        """Raises ConfigError where the file can't be used."""
        self._path = path
        self._config = WebConfig()
        self.context: ssl.SSLContext | None = None
        """TLS for the connections to come."""
        self._key = os.urandom(32)
        self._outcomes: OrderedDict[bytes, bool] = OrderedDict()
        self._lock = threading.Lock()
        self._tokens, self._counted = 0.0, time.monotonic()
        self._problems: tuple[str, ...] = ()
        self._seen: tuple[object, ...] = ()
        if path is not None:
            self._load(path)
            self._tokens = self._config.burst

    def refresh(self) -> None:
        """Read the files again if they are others than before. Files that can't be used leave in force what is."""
        if self._path is None or self._state() == self._seen:
            return
        try:
            self._load(self._path)
        except ConfigError as error:
            if error.problems != self._problems:
                for problem in error.problems:
                    log.error("the web configuration before stays in force: %s", problem)
            self._problems = error.problems
            return
        self._problems = ()
        log.info("web configuration read again")

    def _load(self, path: str) -> None:
        self._seen = self._state()
        self._config, self.context = load(path)
        # The files that it names may be others now.
        self._seen = self._state()

    def _state(self) -> tuple[object, ...]:
        tls = self._config.tls
        return tuple(_stamp(path) for path in (self._path or "", *(tls.files if tls else ())))

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """What is added to every answer."""
        return self._config.headers

    def knows(self, certificate: Mapping[str, Any] | None) -> bool:
        """Whether a client with this verified certificate may connect: by its alternative names, where they count."""
        tls = self._config.tls
        if tls is None or not tls.client_allowed_sans:
            return True
        names = {name for _, name in (certificate or {}).get("subjectAltName", ())}
        return not names.isdisjoint(tls.client_allowed_sans)

    def allows_one_more(self) -> bool:
        """Take one request from what the rate allows."""
        config = self._config
        if not config.interval:
            return True
        now = time.monotonic()
        self._tokens = min(self._tokens + (now - self._counted) / config.interval, config.burst)
        self._counted = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def known(self, authorization: str) -> bool | None:
        """Whether this header lets in; None where that takes `check`."""
        users = self._config.users
        if not users:
            return True
        given = _credentials(authorization)
        if given is None:
            return False
        with self._lock:
            return self._outcomes.get(self._digest(*given, users))

    def check(self, authorization: str) -> bool:
        """Whether this header lets in, by comparing the password, which is slow on purpose."""
        known = self.known(authorization)
        given = _credentials(authorization)
        if known is not None or given is None:
            return bool(known)
        import bcrypt

        users = self._config.users
        user, password = given
        # A user that there isn't takes as long as one that there is.
        hashed = users.get(user) or next(iter(users.values()))
        try:
            right = bcrypt.checkpw(password[:LONGEST_PASSWORD], hashed) and user in users
        except ValueError:
            right = False
        with self._lock:
            self._outcomes[self._digest(user, password, users)] = right
            while len(self._outcomes) > REMEMBERED:
                # The oldest wrong one; whoever guesses is not to drive out who knows.
                oldest = next((key for key, outcome in self._outcomes.items() if not outcome), None)
                self._outcomes.pop(oldest or next(iter(self._outcomes)))
        return right

    def _digest(self, user: str, password: bytes, users: Mapping[str, bytes]) -> bytes:
        # Of the password nothing is kept: without the key, which is this process's alone, a digest says nothing.
        text = b"\0".join((user.encode("utf-8", "surrogateescape"), users.get(user, b""), password))
        return hmac.digest(self._key, text, sha256)


def _credentials(authorization: str) -> tuple[str, bytes] | None:
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, colon, password = b64decode(encoded.strip(), validate=True).partition(b":")
    except ValueError:
        return None
    return (user.decode("utf-8", "surrogateescape"), password) if colon else None


def _stamp(path: str) -> object:
    try:
        found = os.stat(path)
    except OSError as error:
        return error.errno
    return found.st_mtime_ns, found.st_ino, found.st_size
