"""A page of all collectors, whatever one of them does."""

from __future__ import annotations

import gc
import logging
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from support.page import parsed, series

from exporter.catalog.host import SWAP_PRIORITY
from exporter.collectors import build
from exporter.collectors.page import Page
from exporter.config import Collectors, Config, parse
from exporter.errors import ConfigError, ParseError, UsageError
from exporter.service import Service

GOOD = 'vmem_host_swap_device_priority{device="good",kind="file"}'
BAD = GOOD.replace("good", "bad")


class Fake:
    """A collector that adds one sample and then does what the test wants."""

    stuck = 0

    def __init__(self, name: str, label: str, act: Callable[[Page], object] = lambda page: None) -> None:
        self.name = name
        self.label = label
        self.act = act

    def collect(self, page: Page, config: Config) -> None:
        page.add(SWAP_PRIORITY, (("device", self.label), ("kind", "file")), 1)
        self.act(page)


def service(bad: Fake, config: Config | None = None) -> Service:
    return Service([bad, Fake("host", "good")], lambda: config or Config())


def success(page: dict[str, float], name: str) -> float:
    return page[series("vmem_scrape_collector_success", collector=name)]


def test_what_a_collector_notes_costs_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    failing = [True]

    def act(page: Page) -> None:
        if failing[0]:
            page.failures.append(ParseError("/proc/x", b"y", "z"))

    caplog.set_level(logging.INFO)
    exporter = service(Fake("process", "bad", act))
    for _ in range(3):
        page = parsed(exporter.page())
        assert (page[GOOD], page[BAD], success(page, "process"), success(page, "host")) == (1, 1, 0, 1)
    assert caplog.messages == ["collector process: /proc/x: found b'y', expected z"]
    failing[0] = False
    assert success(parsed(exporter.page()), "process") == 1
    assert caplog.messages[1:] == ["collector process reads all again"]


def test_a_collector_that_fails_costs_its_own_samples(caplog: pytest.LogCaptureFixture) -> None:
    def act(page: Page) -> None:
        raise ZeroDivisionError("by zero")

    exporter = service(Fake("process", "bad", act))
    for _ in range(2):
        page = parsed(exporter.page())
        assert (page[GOOD], page.get(BAD), success(page, "process")) == (1, None, 0)
    assert caplog.messages == ["collector process: this is a bug", "collector process: ZeroDivisionError: by zero"]


def test_a_collector_that_blocks_is_left_behind_and_not_asked_again_meanwhile() -> None:
    come_back, calls = threading.Event(), list[int]()

    def act(page: Page) -> None:
        calls.append(1)
        come_back.wait(60)

    exporter = service(Fake("process", "bad", act))
    try:
        for _ in range(3):
            page = parsed(exporter.page(timeout=0.4))
            assert (page[GOOD], page.get(BAD), success(page, "process"), success(page, "host")) == (1, None, 0, 1)
        assert len(calls) == 1
    finally:
        come_back.set()
    for _ in range(1000):
        page = parsed(exporter.page())
        if success(page, "process") == 1:
            break
    assert page[BAD] == 1


def test_collectors_are_chosen_by_name() -> None:
    exporter = service(Fake("process", "bad"), Config(collectors=Collectors(cgroup=False)))
    page = parsed(exporter.page(["host"]))
    assert (page[GOOD], page.get(BAD)) == (1, None)
    for name, text in (("nonsense", "missing collector: nonsense"), ("cgroup", "missing collector: cgroup")):
        with pytest.raises(UsageError, match=text):
            exporter.page([name])
    off = service(Fake("process", "bad"), Config(collectors=Collectors(process=False)))
    assert BAD not in parsed(off.page())
    with pytest.raises(UsageError, match="disabled collector: process"):
        off.page(["process"])


def test_a_reload_that_fails_leaves_the_configuration_in_force() -> None:
    texts = [b"max_groups: 3", b"max_groups: none", b"max_groups: 4"]
    exporter = Service([], lambda: parse(texts.pop(0), "c.yaml"))
    successful = "vmem_exporter_config_last_reload_successful"
    first = parsed(exporter.page())["vmem_exporter_config_last_reload_success_timestamp_seconds"]
    with pytest.raises(ConfigError, match=r"c\.yaml:1: max_groups: found 'none'"):
        exporter.reload()
    page = parsed(exporter.page())
    assert (exporter.config.max_groups, page[successful]) == (3, 0)
    assert page["vmem_exporter_config_last_reload_success_timestamp_seconds"] == first
    exporter.reload()
    page = parsed(exporter.page())
    assert (exporter.config.max_groups, page[successful]) == (4, 1)
    assert page["vmem_exporter_config_last_reload_success_timestamp_seconds"] >= first


@pytest.mark.parametrize("kernel", ["6.1-v2", "6.18-hybrid"])
def test_a_scrape_leaves_nothing_for_the_collector_of_cycles(kernel: str) -> None:
    """What is only freed when cycles are looked for stays for dozens of scrapes, with all that it holds."""
    tree = Path(__file__).parent.parent / "fixtures" / kernel
    config = parse(b"processes: [{name: '{comm}', comm: ['*']}]\ncgroups: [{name: all, path: '/**'}]\n", "c.yaml")
    exporter = Service(build(f"{tree}/proc", f"{tree}/sys", f"{tree}/cgroup", 100), lambda: config)
    for _ in range(3):
        exporter.page()
    gc.collect()
    gc.disable()
    try:
        assert "vmem_cgroup_usage_bytes{" in exporter.page()
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        left = {type(each).__qualname__ for each in gc.garbage if type(each).__module__.startswith("exporter")}
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
    assert left == set()
