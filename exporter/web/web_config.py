"""Who may read, in the format of Prometheus' exporter-toolkit: TLS, passwords, headers, a limit of requests.

What this server can't do is refused by name, so that nobody believes to have it.
"""

from __future__ import annotations

import os
import re
import ssl
import warnings
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import Any

import yaml

from exporter.errors import ConfigError
from exporter.yaml_reader import Invalid, Reader, bind, compose, join, read_bytes, shown

VERSIONS = {
    "TLS10": ssl.TLSVersion.TLSv1,
    "TLS11": ssl.TLSVersion.TLSv1_1,
    "TLS12": ssl.TLSVersion.TLSv1_2,
    "TLS13": ssl.TLSVersion.TLSv1_3,
}

CIPHERS = {
    f"TLS_ECDHE_{key}_WITH_{suite}": f"ECDHE-{key}-{name}"
    for key in ("ECDSA", "RSA")
    for suite, name in (
        ("AES_128_GCM_SHA256", "AES128-GCM-SHA256"),
        ("AES_256_GCM_SHA384", "AES256-GCM-SHA384"),
        ("CHACHA20_POLY1305_SHA256", "CHACHA20-POLY1305"),
        ("AES_128_CBC_SHA", "AES128-SHA"),
        ("AES_256_CBC_SHA", "AES256-SHA"),
    )
}
"""Go's names of the suites up to TLS 1.2 that it holds to be safe, and OpenSSL's."""

OF_TLS_1_3 = ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256")
"""Which Go takes in the list as well, and uses whether they are in it or not."""

CURVES = {"CurveP256": "prime256v1", "CurveP384": "secp384r1", "CurveP521": "secp521r1", "X25519": "X25519"}

NO_CERTIFICATE = ("NoClientCert", "RequestClientCert")
"""RequestClientCert lets in whoever has one, has none, or has a wrong one: as if nobody had asked."""
VERIFIED = {"VerifyClientCertIfGiven": ssl.CERT_OPTIONAL, "RequireAndVerifyClientCert": ssl.CERT_REQUIRED}

HEADERS: Mapping[str, tuple[str, ...]] = {
    "Content-Security-Policy": (),
    "Strict-Transport-Security": (),
    "X-Content-Type-Options": ("nosniff",),
    "X-Frame-Options": ("deny", "sameorigin"),
    "X-XSS-Protection": (),
}
"""Those that may be set, and their values where not every one will do."""

_BCRYPT = re.compile(r"\$2[aby]\$[0-9]{2}\$[./A-Za-z0-9]{53}")
_DURATION = re.compile(r"(?:[0-9]+(?:\.[0-9]+)?(?:ns|us|µs|ms|s|m|h))+|0")
_PART = re.compile(r"([0-9.]+)(ns|us|µs|ms|s|m|h)")
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True, slots=True)
class Tls:
    """`tls_server_config`. A certificate, key or authority is either a file or its text."""

    cert_file: str = ""
    cert: str = ""
    key_file: str = ""
    key: str = field(default="", repr=False)
    client_ca_file: str = ""
    client_ca: str = ""
    client_auth_type: str = "NoClientCert"
    client_allowed_sans: tuple[str, ...] = ()
    min_version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_2
    max_version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3
    cipher_suites: tuple[str, ...] = ()
    prefer_server_cipher_suites: bool = True
    curve_preferences: tuple[str, ...] = ()

    @property
    def files(self) -> tuple[str, ...]:
        """Those that are read when a context is made."""
        return tuple(filter(None, (self.cert_file, self.key_file, self.client_ca_file)))

    def context(self) -> ssl.SSLContext:
        """What OpenSSL makes of it. Raises OSError and ValueError, which name no file, for what it can't use."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with warnings.catch_warnings():
            # TLS 1.0 and 1.1 are old, and whoever names them knows.
            warnings.simplefilter("ignore", DeprecationWarning)
            context.minimum_version, context.maximum_version = self.min_version, self.max_version
        if not self.prefer_server_cipher_suites:
            context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
        old = [CIPHERS[suite] for suite in self.cipher_suites if suite in CIPHERS]
        if old:
            context.set_ciphers(":".join(old))
        for curve in self.curve_preferences:
            context.set_ecdh_curve(CURVES[curve])
        if self.client_auth_type in VERIFIED:
            context.load_verify_locations(self.client_ca_file or None, cadata=self.client_ca or None)
            context.verify_mode = VERIFIED[self.client_auth_type]
        with ExitStack() as stack:
            certificate = self.cert_file or _in_memory(stack, self.cert)
            context.load_cert_chain(certificate, self.key_file or _in_memory(stack, self.key))
        return context


def _in_memory(stack: ExitStack, text: str) -> str:
    """A file of this text that is on no disk: Python gives OpenSSL certificates and keys by path alone."""
    file = os.memfd_create("pem")
    stack.callback(os.close, file)
    os.write(file, text.encode())
    return f"/proc/self/fd/{file}"


@dataclass(frozen=True, slots=True)
class WebConfig:
    """A whole file. `users` are bcrypt hashes by name; one more request is allowed every `interval` seconds, 0: any."""

    tls: Tls | None = None
    users: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    headers: tuple[tuple[str, str], ...] = ()
    interval: float = 0.0
    burst: int = 0


def load(path: str) -> tuple[WebConfig, ssl.SSLContext | None]:
    """A file's configuration, and the TLS that it asks for. Raises ConfigError with all problems of the file."""
    root = compose(read_bytes(path), path)
    reader = _Reader(path)
    config = WebConfig()
    if root is not None:
        with suppress(Invalid):
            config = reader.config(root)
    reader.check()
    if config.tls is None:
        return config, None
    try:
        return config, config.tls.context()
    except (OSError, ValueError) as error:
        # OpenSSL says what is wrong, and not with which of the files.
        raise ConfigError([_unusable(path, reader.tls_line, config.tls, error)]) from None


def _unusable(path: str, line: int, tls: Tls, error: Exception) -> str:
    for file in tls.files:
        try:
            read_bytes(file)
        except ConfigError as unreadable:
            found = str(unreadable).partition(": found ")[2].partition(", expected")[0]
            return f"{path}:{line}: tls_server_config: {file}: found {found}, expected a readable PEM file"
    text = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
    given = ", ".join(tls.files) or "the certificate and key"
    return f"{path}:{line}: tls_server_config: {given}: found {text}, expected a PEM certificate and its key"


class _Reader(Reader):
    """Reads a web configuration. Relative files are beside it."""

    tls_line = 1

    def config(self, root: yaml.Node) -> WebConfig:
        found = self.section(
            root,
            "",
            {
                "tls_server_config": self._tls,
                "http_server_config": self._http,
                "basic_auth_users": self._users,
                "rate_limit": self._rate,
            },
        )
        return WebConfig(
            tls=found.get("tls_server_config"),
            headers=found.get("http_server_config", ()),
            users=found.get("basic_auth_users", {}),
            **found.get("rate_limit", {}),
        )

    def _tls(self, node: yaml.Node, key: str) -> Tls | None:
        self.tls_line = node.start_mark.line + 1
        pem = self._pem
        found = self.section(
            node,
            key,
            {
                "cert": pem,
                "key": pem,
                "client_ca": pem,
                "cert_file": self._file,
                "key_file": self._file,
                "client_ca_file": self._file,
                "client_auth_type": self._client_auth,
                "client_allowed_sans": bind(self.each, self.string),
                "min_version": self._one_of(VERSIONS),
                "max_version": self._one_of(VERSIONS),
                "cipher_suites": bind(self.each, self._one_of({name: name for name in (*CIPHERS, *OF_TLS_1_3)})),
                "prefer_server_cipher_suites": self.boolean,
                "curve_preferences": self._curves,
            },
        )
        if not found:
            return None
        tls = Tls(**found)
        for name in "cert", "key":
            if not getattr(tls, name) and not getattr(tls, f"{name}_file"):
                self.problem(node, key, "no certificate" if name == "cert" else "no key", f"{name}_file or {name}")
        for name in "cert", "key", "client_ca":
            if getattr(tls, name) and getattr(tls, f"{name}_file"):
                self.problem(node, key, f"{name} and {name}_file", "one of them")
        authority = tls.client_ca_file or tls.client_ca
        if tls.client_auth_type in VERIFIED and not authority:
            self.problem(node, key, f"{tls.client_auth_type} and no authority", "client_ca_file or client_ca")
        if authority and tls.client_auth_type not in VERIFIED:
            self.problem(
                node, key, "an authority that no client is verified by", "client_auth_type to say " + _verified()
            )
        if tls.client_allowed_sans and tls.client_auth_type != "RequireAndVerifyClientCert":
            self.problem(node, key, "client_allowed_sans", "them with client_auth_type: RequireAndVerifyClientCert")
        if tls.min_version > tls.max_version:
            self.problem(node, key, "min_version above max_version", "a version between them")
        return tls

    def _client_auth(self, node: yaml.Node, key: str) -> str:
        text = self.string(node, key)
        if text in NO_CERTIFICATE or text in VERIFIED:
            return text
        # A certificate of any issuer, which proves nothing: OpenSSL's Python has no way to take it.
        raise self.problem(node, key, shown(node), "one of " + ", ".join((*NO_CERTIFICATE, *VERIFIED)))

    def _curves(self, node: yaml.Node, key: str) -> tuple[str, ...]:
        curves: tuple[str, ...] = self.each(node, key, self._one_of({name: name for name in CURVES}))
        if len(curves) > 1:
            # Python can tell OpenSSL one; a list of which the rest is ignored isn't what was asked for.
            raise self.problem(node, key, f"{len(curves)} curves", "one, or none for OpenSSL's own list")
        return curves

    def _http(self, node: yaml.Node, key: str) -> tuple[tuple[str, str], ...]:
        found = self.section(node, key, {"http2": self._http2, "headers": self._headers})
        headers: tuple[tuple[str, str], ...] = found.get("headers", ())
        return headers

    def _http2(self, node: yaml.Node, key: str) -> bool:
        if self.boolean(node, key):
            raise self.problem(node, key, shown(node), "false: this server speaks HTTP/1.1")
        return False

    def _headers(self, node: yaml.Node, key: str) -> tuple[tuple[str, str], ...]:
        found = self.section(node, key, {name: self._header(allowed) for name, allowed in HEADERS.items()})
        return tuple((name, value) for name, value in found.items() if value)

    def _header(self, allowed: tuple[str, ...]) -> Callable[[yaml.Node, str], str]:
        def read(node: yaml.Node, key: str) -> str:
            value = self.string(node, key)
            if value and allowed and value not in allowed:
                raise self.problem(node, key, shown(node), "one of " + ", ".join(allowed))
            if not value.isascii() or not value.isprintable():
                raise self.problem(node, key, shown(node), "printable ASCII")
            return value

        return read

    def _users(self, node: yaml.Node, key: str) -> dict[str, bytes]:
        users = {}
        for name, (_, value) in self.mapping(node, key, None).items():
            text = value.value if isinstance(value, yaml.ScalarNode) else ""
            if _BCRYPT.fullmatch(text):
                users[name] = text.encode()
            else:
                # Whatever it is, it may be a password.
                self.problem(value, join(key, name), "no bcrypt hash", "one, as of htpasswd -nB")
        return users

    def _rate(self, node: yaml.Node, key: str) -> dict[str, Any]:
        found = self.section(node, key, {"interval": self._duration, "burst": self.count})
        if found.get("interval") and not any(name.value == "burst" for name, _ in node.value):
            raise self.problem(node, key, "interval and no burst", "how many requests may come at once")
        return found

    def _duration(self, node: yaml.Node, key: str) -> float:
        text = str(node.value) if isinstance(node, yaml.ScalarNode) else ""
        if not _DURATION.fullmatch(text):
            raise self.problem(node, key, shown(node), "a duration such as 100ms or 1s, 0 for no limit")
        return sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(text))

    def _file(self, node: yaml.Node, key: str) -> str:
        return os.path.join(os.path.dirname(self.path), self.string(node, key))

    def _pem(self, node: yaml.Node, key: str) -> str:
        if not isinstance(node, yaml.ScalarNode) or "-----BEGIN " not in node.value:
            raise self.problem(node, key, "no PEM", "-----BEGIN ... in a block of text")
        return str(node.value)

    def _one_of(self, known: Mapping[str, Any]) -> Callable[[yaml.Node, str], Any]:
        def read(node: yaml.Node, key: str) -> Any:
            text = self.string(node, key)
            if text not in known:
                raise self.problem(node, key, shown(node), "one of " + ", ".join(known))
            return known[text]

        return read


def _verified() -> str:
    return " or ".join(VERIFIED)
