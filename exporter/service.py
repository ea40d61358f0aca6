"""The exporter as a whole: the configuration in force, the collectors, and a page of metrics when one is asked for."""

from __future__ import annotations

import argparse
import logging
import platform
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, PlatformCollector
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

from exporter import __version__
from exporter.catalog import itself
from exporter.catalog.declare import Family
from exporter.collectors import Collector, keep_open_default
from exporter.collectors import build as build_collectors
from exporter.collectors.itself import show_process
from exporter.collectors.page import Page
from exporter.collectors.process import ProcessCollector
from exporter.config import DEFAULT, Config, load
from exporter.errors import ConfigError, Unavailable, UsageError, VmemError
from exporter.exposition import EOF, render
from exporter.lane import Lane, Stuck
from exporter.watch.groups import Key
from exporter.watch.process import Process

log = logging.getLogger(__name__)

SCRAPE_TIMEOUT = 10.0
"""Seconds that a scrape may take where the client doesn't say: Prometheus' own default."""

RESERVE = 0.5
"""Seconds of a scrape's time that are kept for writing and sending the page."""

ITSELF, SCRAPE = "the exporter's own process", "a scrape"
"""What else may fail, and is logged as a collector is."""


@dataclass(slots=True)
class _Flight:
    """A collection under way, and those who wait for it."""

    landed: threading.Event = field(default_factory=threading.Event)
    families: list[Family] | None = None


class Service:
    """Serves pages. `load` reads the configuration, at first and at each reload."""

    def __init__(self, collectors: Sequence[Collector], load: Callable[[], Config]) -> None:
        """Raises ConfigError where the first configuration can't be used."""
        self._collectors = collectors
        self._load = load
        self._lane = Lane("collect")
        self._one_collection = threading.Lock()
        self._flights: dict[frozenset[str], _Flight] = {}
        self._flights_lock = threading.Lock()
        self._failing: dict[str, str] = {}
        self._client = CollectorRegistry()
        PlatformCollector(registry=self._client)
        self.config = load()
        self.problems: tuple[str, ...] = ()
        """What was wrong with the configuration at the last reload."""
        self.loaded = time.time()
        """Unix time since when the configuration is in force."""

    def reload(self) -> None:
        """Load the configuration anew. Raises ConfigError, and then the one before stays in force."""
        try:
            self.config = self._load()
        except ConfigError as error:
            self.problems = error.problems
            for problem in error.problems:
                log.error("reload failed, the configuration before stays in force: %s", problem)
            raise
        self.loaded, self.problems = time.time(), ()
        log.info("configuration reloaded")

    @property
    def enabled(self) -> list[Collector]:
        """The collectors that the configuration leaves on."""
        return [collector for collector in self._collectors if getattr(self.config.collectors, collector.name)]

    @property
    def states(self) -> dict[str, str | None]:
        """Each collector by name: what it could not read, "" where it reads all, None where it is off."""
        enabled = self.enabled
        return {
            collector.name: self._failing.get(f"collector {collector.name}", "") if collector in enabled else None
            for collector in self._collectors
        }

    def processes(self, timeout: float = SCRAPE_TIMEOUT) -> list[Process]:
        """Every process that is there, and its group, as of a collection of them now. Raises Unavailable."""
        for collector in self.enabled:
            if isinstance(collector, ProcessCollector):
                self._collected(frozenset([collector.name]), time.monotonic() + timeout)
                return collector.everyone
        return []

    @property
    def unread(self) -> dict[tuple[Key, str], str]:
        """What scrapes could not read of processes: the first error of each group and reason, by these."""
        return next((each.unread for each in self.enabled if isinstance(each, ProcessCollector)), {})

    def page(self, only: Sequence[str] = (), *, timeout: float = SCRAPE_TIMEOUT, openmetrics: bool = False) -> str:
        """The page of metrics, of all collectors or of the named ones.

        Raises UsageError for a name that isn't on, Unavailable where there is no memory or no time for a page.
        """
        enabled = {collector.name for collector in self.enabled}
        for name in only:
            if name not in enabled:
                known = any(collector.name == name for collector in self._collectors)
                raise UsageError(f"{'disabled' if known else 'missing'} collector: {name}")
        try:
            families = self._collected(frozenset(only or enabled), time.monotonic() + timeout)
            client = generate_openmetrics(self._client) if openmetrics else generate_latest(self._client)  # type: ignore[no-untyped-call]
            text = render(families, openmetrics=openmetrics) + client.decode().removesuffix(EOF)
        except (MemoryError, Unavailable) as error:
            self._judge(SCRAPE, Unavailable(str(error) or "no memory"), Page())
            raise Unavailable(str(error) or "no memory") from None
        self._judge(SCRAPE, None, Page())
        return text + EOF if openmetrics else text

    def _collected(self, names: frozenset[str], deadline: float) -> list[Family]:
        """The families of a collection. One that is under way already is shared. Raises Unavailable."""
        while True:
            with self._flights_lock:
                flight = self._flights.get(names)
                if flight is None:
                    own = self._flights[names] = _Flight()
                    break
            if not flight.landed.wait(max(deadline - time.monotonic(), 0)):
                raise Unavailable("the collection under way took all the time")
            if flight.families is not None:
                return flight.families
            # It failed, for a reason that need not be this scrape's.
        try:
            own.families = self._alone(names, deadline)
        finally:
            with self._flights_lock:
                del self._flights[names]
            own.landed.set()
        return own.families

    def _alone(self, names: frozenset[str], deadline: float) -> list[Family]:
        """Collect when nobody else does."""
        timeout = max(deadline - time.monotonic(), 0.0)
        if not self._one_collection.acquire(timeout=timeout):
            raise Unavailable("the collection under way took all the time")
        try:
            return self._collect(names, deadline - min(RESERVE, timeout / 2))
        finally:
            self._one_collection.release()

    def _collect(self, names: frozenset[str], deadline: float) -> list[Family]:
        config = self.config
        page = Page()
        page.add(itself.BUILD_INFO, (("version", __version__), ("python_version", platform.python_version())), 1)
        page.add(itself.RELOAD_SUCCESSFUL, (), int(not self.problems))
        page.add(itself.RELOAD_TIMESTAMP, (), self.loaded)
        try:
            show_process(page)
            self._judge(ITSELF, None, page)
        except VmemError as error:
            self._judge(ITSELF, error, page)
        families: list[Family] = []
        collectors = [collector for collector in self._collectors if collector.name in names]
        for place, collector in enumerate(collectors):
            labels = (("collector", collector.name),)
            start = time.monotonic()
            patience = max(deadline - start, 0.0) / (len(collectors) - place)
            found = Page(start + patience)
            [(_, outcome)] = self._lane.run(
                [(collector.name, lambda c=collector, p=found: c.collect(p, config))],  # type: ignore[misc]
                patience=patience,
            )
            if isinstance(outcome, MemoryError | Unavailable):
                raise outcome
            success = self._judge(f"collector {collector.name}", outcome, found)
            page.add(itself.COLLECTOR_DURATION, labels, time.monotonic() - start)
            page.add(itself.COLLECTOR_SUCCESS, labels, int(success))
            page.add(itself.COLLECTOR_STUCK, labels, collector.stuck + isinstance(outcome, Stuck))
            if outcome is None:
                families += found.families
        return families + page.families

    def _judge(self, what: str, outcome: object, found: Page) -> bool:
        """Whether a collector read all it should; what it couldn't is logged once, until it changes."""
        if isinstance(outcome, Stuck | VmemError):
            text = str(outcome)
        elif isinstance(outcome, Exception):
            text = f"{type(outcome).__name__}: {outcome}"
            if self._failing.get(what) != text:
                log.error("%s: this is a bug", what, exc_info=outcome)
        else:
            text = "; ".join(map(str, found.failures))
        if text and self._failing.get(what) != text:
            log.warning("%s: %s", what, text)
        elif not text and what in self._failing:
            log.info("%s reads all again", what)
        if text:
            self._failing[what] = text
        else:
            self._failing.pop(what, None)
        return not text


def build(options: argparse.Namespace) -> Service:
    """The service that the command line asks for. Raises ConfigError."""
    path = options.config_file
    keep_open = keep_open_default() if options.keep_open is None else options.keep_open
    made = build_collectors(options.procfs, options.sysfs, options.cgroupfs, keep_open)
    return Service(made, lambda: load(path) if path else DEFAULT)
