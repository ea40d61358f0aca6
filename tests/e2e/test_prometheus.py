"""A real Prometheus scrapes the exporter while a real process swaps."""

from pathlib import Path

import pytest
from conftest import StartChild, StartExporter
from kernel.cgroups import Cgroup
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from support.daemon import until
from support.page import series
from support.procfs import MIB
from support.prometheus import prometheus

pytestmark = pytest.mark.e2e

CONFIG = "processes: [{name: swapper, comm: [swapper]}]"
MAJOR = series("vmem_process_major_page_faults_total", group="swapper")
RATE = f"rate({MAJOR}[10s])"


@pytest.mark.usefixtures("swap")
def test_prometheus_sees_major_page_faults_while_a_process_swaps_and_none_after(
    tmp_path: Path, cgroup: Cgroup, start_exporter: StartExporter, start_child: StartChild
) -> None:
    child = start_child("swapper", cgroup)
    exporter = start_exporter(CONFIG)
    with prometheus(tmp_path, exporter.address) as server:
        until(lambda: server.value("up") == 1, "Prometheus has scraped")
        until(lambda: server.value(RATE) == 0, "it has scraped often enough for a rate")

        child.run("m = memory(80 << 20); touch(m)")
        cgroup.limit(memory=24 * MIB, swap=1024 * MIB)

        def swapping() -> bool:
            child.run("touch(m)")
            return (server.value(RATE) or 0) > 0

        until(swapping, "the rate of major page faults is above 0")
        swapped = series("vmem_process_swap_bytes", group="swapper")
        until(lambda: (server.value(swapped) or 0) >= 40 * MIB, "swap is seen")

        until(lambda: server.value(RATE) == 0, "the rate of major page faults is 0 again")
        # What Prometheus has is what the exporter said, and it never missed a scrape.
        assert server.value(MAJOR) == exporter.scrape()[MAJOR] > 0
        assert server.value("min_over_time(up[10m])") == 1
        assert server.value("max_over_time(scrape_samples_scraped[10m])") == len(exporter.scrape())
        [target] = server.api("targets")["activeTargets"]
        assert (target["health"], target["lastError"]) == ("up", "")


def test_prometheus_knows_each_metric_by_its_kind_and_help(tmp_path: Path, start_exporter: StartExporter) -> None:
    exporter = start_exporter(None)
    with prometheus(tmp_path, exporter.address) as server:
        until(lambda: server.value("up") == 1, "Prometheus has scraped")
        known = server.api("targets/metadata", match_target='{job="vmem"}')
    text = exporter.request("/metrics", headers={"Accept": "application/openmetrics-text"}).text
    said = {(each["metric"], each["type"], each["help"]) for each in known if each["metric"].startswith("vmem_")}
    families = list(text_string_to_metric_families(text))  # type: ignore[no-untyped-call]
    assert said == {(each.name, each.type, each.documentation) for each in families if each.name.startswith("vmem_")}
    assert len(said) > 200
