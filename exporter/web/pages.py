"""The pages for people: what is watched and what is found, and which entry means what.

Made on the server, without script or anything from elsewhere. What they need is imported when one is first opened.
"""

from __future__ import annotations

import os
import time
from base64 import b64encode
from collections.abc import Callable, Mapping
from functools import cached_property
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from exporter import __version__
from exporter.catalog import METRICS
from exporter.service import Service
from exporter.web.http import Answer, Request

if TYPE_CHECKING:
    import argparse

    from jinja2 import Environment

    from exporter.watch.groups import Key
    from exporter.web.overview import Samples

HOME, CONFIG, DOCS = "/", "/config", "/docs"

_TEMPLATES = os.path.join(os.path.dirname(__file__), "templates")


class Pages:
    """The pages over a service; `options` are the flags of the command line."""

    def __init__(self, service: Service, options: argparse.Namespace) -> None:
        self._service = service
        self._options = options

    @property
    def paths(self) -> dict[str, Callable[[Request], Answer]]:
        """What answers at which path."""
        return {HOME: self._overview, CONFIG: self._configuration, DOCS: self._docs}

    def _overview(self, request: Request) -> Answer:
        from exporter.web import overview

        told, problem = self._samples.newest(self._service.config)
        found = overview.view(told, problem, all=bool(_asked(request, "all")))
        return self._page("home.html", HOME, found, self._samples.unread)

    def _configuration(self, request: Request) -> Answer:
        from exporter.web import configuration

        config, options = self._service.config, self._options
        pid = _asked(request, "pid")
        everyone = self._service.processes()
        found = configuration.of_processes(config, everyone)
        found |= configuration.of_cgroups(config, options.procfs, options.cgroupfs)
        found |= configuration.of_process(config, options.procfs, options.cgroupfs, pid, everyone)
        return self._page("config.html", CONFIG, found)

    def _docs(self, _: Request) -> Answer:
        return self._page("docs.html", DOCS, {"metrics": METRICS.values()})

    def _page(
        self, template: str, here: str, found: Mapping[str, Any], unread: Mapping[tuple[Key, str], str] | None = None
    ) -> Answer:
        """A page; `unread` is what it met itself that can't be read, beside what scrapes met."""
        service, options = self._service, self._options
        links = [
            (HOME, "Overview"),
            (CONFIG, "Configuration"),
            (DOCS, "Documentation"),
            (options.telemetry_path, "Metrics"),
        ]
        links += [("/-/healthy", "Health"), ("/-/ready", "Readiness")]
        text = self._templates.get_template(template).render(
            version=__version__,
            links=links,
            here=here,
            config_path=CONFIG,
            docs_path=DOCS,
            file=options.config_file,
            since=time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(service.loaded)),
            problems=service.problems,
            unread=[(key[0], reason, text) for (key, reason), text in {**(unread or {}), **service.unread}.items()],
            collectors=[(name, *_state(text)) for name, text in service.states.items()],
            **found,
        )
        return Answer("200 OK", self._headers, text.encode())

    @cached_property
    def _samples(self) -> Samples:
        from exporter.explain.observer import Observer
        from exporter.web.overview import Samples

        options = self._options
        return Samples(Observer(options.procfs, options.sysfs, options.cgroupfs))

    @cached_property
    def _templates(self) -> Environment:
        from jinja2 import Environment, FileSystemLoader, StrictUndefined
        from markupsafe import Markup

        environment = Environment(
            loader=FileSystemLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined, auto_reload=False
        )
        environment.globals["style"] = Markup(self._style)  # noqa: S704 (a file of this package)
        return environment

    @cached_property
    def _style(self) -> str:
        with open(os.path.join(_TEMPLATES, "style.css"), encoding="utf-8") as file:
            return file.read()

    @cached_property
    def _headers(self) -> tuple[tuple[str, str], ...]:
        digest = b64encode(sha256(self._style.encode()).digest()).decode()
        allowed = f"default-src 'none'; style-src 'sha256-{digest}'; form-action 'self'; base-uri 'none'"
        return (
            ("Content-Type", "text/html; charset=utf-8"),
            ("Content-Security-Policy", f"{allowed}; frame-ancestors 'none'"),
            ("X-Frame-Options", "DENY"),
            ("Referrer-Policy", "no-referrer"),
            ("Cache-Control", "no-store"),
        )


def _asked(request: Request, name: str) -> str:
    """The last value of a parameter, empty without one."""
    return (request.asked(name) or [""])[-1].strip()


def _state(unread: str | None) -> tuple[str, str]:
    if unread is None:
        return "info", "off"
    return ("critical", unread) if unread else ("good", "reads all")
