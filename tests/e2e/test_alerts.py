"""From a process in trouble to the page: the exporter, Prometheus, Alertmanager, and a webhook at the end, all real.

The shipped rules and both example configurations are used as they are, but for addresses, and for the time: each
duration in them (for, keep_firing_for, ranges, offsets, intervals) is divided by LAPSE, so that a quarter of an hour
is half a minute, and every rule keeps its meaning. Thresholds, labels, routes and texts are not touched.
"""

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from conftest import memory_cgroup
from kernel import borrow
from kernel.cgroups import Cgroup, Hierarchy
from support.alertmanager import Notice, Receiver, alertmanager, receiver
from support.child import Child
from support.daemon import until
from support.exporter import exporter
from support.needs import allowed
from support.procfs import MIB
from support.prometheus import configured

pytestmark = [pytest.mark.e2e, pytest.mark.live]

ROOT = Path(__file__).parent.parent.parent
SHIPPED = ROOT / "prometheus"
LAPSE = 30
"""So many times as fast: a scrape every half second in place of one every 15."""
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
DURATION = re.compile(r"(?<=\[)\d+[smhdw](?=\])|(?:(?<=offset )|(?<=for: )|(?<=interval: )|(?<=wait: ))\d+[smhdw]\b")

CONFIG = """
processes:
  - {name: ledger, comm: [ledger], labels: {swap: forbidden, team: payments}}
  - {name: search, comm: [search], labels: {swap: allowed, latency: sensitive}}
cgroups:
  - {name: containers, path: "TOP/*"}
"""
LEDGER, SEARCH, VICTIM = 80 * MIB, 64 * MIB, 64 * MIB
SWAPPED, FAULTS, KILLED = "VmemProcessSwapped", "VmemProcessMajorFaults", "VmemCgroupOomKill"


def lapsed(text: str) -> str:
    """A shipped file, with its durations divided."""

    def divided(found: re.Match[str]) -> str:
        return f"{int(found[0][:-1]) * SECONDS[found[0][-1]] * 1000 // LAPSE}ms"

    return DURATION.sub(divided, text)


def start(name: str, cgroup: Cgroup, stack: ExitStack) -> Child:
    child = Child(name, cgroup.directory / "cgroup.procs")
    stack.callback(child.end)
    return child


@pytest.fixture(scope="module")
def swapped_bytes() -> list[int]:
    """What the kernel said of the process that swapped, while it did."""
    return []


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory, swapped_bytes: list[int]) -> Iterator[Receiver]:
    """What arrives while one process is swapped out, another waits for the disk and a third is killed, and after."""
    directory = tmp_path_factory.mktemp("alerts")
    (directory / "rules").mkdir()
    for file in SHIPPED.glob("rules/*.yaml"):
        (directory / "rules" / file.name).write_text(lapsed(file.read_text()))
    with ExitStack() as stack:
        stack.enter_context(allowed("swap", borrow.swap()))
        top = stack.enter_context(allowed("the right to make a memory cgroup", memory_cgroup()))
        hierarchy = Hierarchy.of_this_machine()
        stack.callback(hierarchy.remove_all)
        ledger_in, search_in, victim_in = (hierarchy.make(f"{top.path}/{name}") for name in ("db", "search", "victim"))
        ledger, search = start("ledger", ledger_in, stack), start("search", search_in, stack)
        victim = start("victim", victim_in, stack)
        ledger_in.limit(memory=24 * MIB, swap=128 * MIB)
        search_in.limit(memory=32 * MIB, swap=128 * MIB)
        victim_in.limit(memory=16 * MIB, swap=0)
        watcher = stack.enter_context(exporter(directory, CONFIG.replace("TOP", top.path)))
        found = stack.enter_context(receiver())
        manager = (SHIPPED / "alertmanager.example.yaml").read_text().replace("http://localhost:8080", found.url)
        alerts = stack.enter_context(alertmanager(directory, lapsed(manager)))
        example = (SHIPPED / "prometheus.example.yaml").read_text()
        example = example.replace("localhost:10987", watcher.address).replace("localhost:9093", alerts.address)
        server = stack.enter_context(configured(directory, lapsed(example)))
        until(lambda: server.value('count(vmem_cgroup_events_total{event="oom_kill"})') == 3, "all is scraped")

        ledger.run(f"held = memory({LEDGER}); touch(held)")
        search.run(f"import threading; held = memory({SEARCH})")
        search.run("threading.Thread(target=lambda: [touch(held) for _ in range(10**6)], daemon=True).start()")
        with pytest.raises(OSError, match="it died"):
            victim.run(f"touch(memory({VICTIM}))")
        until(lambda: found.notice(SWAPPED, "firing"), "the page of a process in swap arrives")
        until(lambda: found.notice(KILLED, "firing"), "the ticket of a process that was killed arrives")
        status = Path(f"/proc/{ledger.pid}/status").read_text()
        swapped_bytes.append(1024 * int(re.findall(r"VmSwap:\s*(\d+)", status)[0]))
        ledger.end()
        until(lambda: found.notice(FAULTS, "firing"), "the page of a process that waits for the disk arrives")
        search.end()
        for alert in (SWAPPED, FAULTS, KILLED):
            until(lambda alert=alert: found.notice(alert, "resolved"), f"{alert} is resolved")  # type: ignore[misc]
        for each in found.notices:
            print("POST", each.path, json.dumps(each.body, indent=2))
        yield found


def notice(found: Receiver, alert: str, status: str) -> Notice:
    made = found.notice(alert, status)
    assert made
    return made


def the_alert(found: Receiver, name: str, path: str, labels: dict[str, str]) -> dict[str, Any]:
    """The alert that fired first, and is resolved by now: to this receiver, with all of these labels."""
    fired, resolved = notice(found, name, "firing"), notice(found, name, "resolved")
    assert (fired.path, resolved.path) == (path, path)
    [alert], [ended] = fired.body["alerts"], resolved.body["alerts"]
    instance = alert["labels"]["instance"]
    assert alert["labels"] == ended["labels"] == {**labels, "alertname": name, "instance": instance}
    assert ended["fingerprint"] == alert["fingerprint"]
    assert ended["endsAt"] > alert["startsAt"]
    assert alert["annotations"]["runbook_url"].endswith(f"/docs/runbooks/{name}.md")
    assert f" on {instance} " in alert["annotations"]["summary"]
    return dict(alert["annotations"])


UNITS = {"": 1, "k": 1000, "Ki": 1024, "Mi": MIB, "Gi": 1024 * MIB}


def number(pattern: str, text: str) -> float:
    """What stands for % in the pattern, as humanize and humanize1024 write it."""
    [(digits, unit)] = re.findall(pattern.replace("%", r"([\d.]+)(k|[KMG]i|)"), text)
    return float(digits) * UNITS[unit]


def test_a_page_says_how_much_of_a_process_is_in_swap_and_ends_when_the_process_is_gone(
    told: Receiver, swapped_bytes: list[int]
) -> None:
    labels = {"job": "vmem-exporter", "severity": "critical", "group": "ledger", "swap": "forbidden"}
    said = the_alert(told, SWAPPED, "/page", {**labels, "team": "payments"})
    assert re.fullmatch(r"ledger on \S+ is in swap, and must not be\.", said["summary"])
    swap = number("%B of ledger are in swap", said["description"])
    assert swap == pytest.approx(swapped_bytes[0], rel=0.05)
    assert swap > LEDGER - 24 * MIB
    assert number("; % major page faults a second", said["description"]) < 100
    # All that it holds is in the one or the other; the interpreter itself adds a little.
    assert LEDGER < swap + number("in swap, %B in RAM", said["description"]) < LEDGER + 24 * MIB


def test_a_page_says_how_often_a_process_waits_for_the_disk_and_ends_when_the_process_is_gone(told: Receiver) -> None:
    labels = {"job": "vmem-exporter", "severity": "critical", "group": "search", "latency": "sensitive"}
    said = the_alert(told, FAULTS, "/page", {**labels, "swap": "allowed"})
    assert number("^% major page faults a second, 1 are expected", said["description"]) > 10
    assert 24 * MIB < number("; %B of it are in swap, 0B locked", said["description"]) < 128 * MIB


def test_a_ticket_says_which_cgroup_had_a_process_killed_at_which_limit_and_ends_after_the_window(
    told: Receiver,
) -> None:
    victim = next(
        notice.body["alerts"][0]["labels"]["cgroup"]
        for notice in told.notices
        if notice.body["groupLabels"]["alertname"] == KILLED
    )
    assert victim.endswith("/victim")
    labels = {"job": "vmem-exporter", "severity": "warning", "group": "containers", "cgroup": victim}
    said = the_alert(told, KILLED, "/ticket", {**labels, "event": "oom_kill"})
    start = "1 killed in ten minutes; the limit is 16MiB, the peak was 16MiB, and "
    assert said["description"].startswith(start), said
    # The kill is that cgroup's, and nobody is paged for the host.
    assert told.notice("VmemHostOomKill", "firing") is None
