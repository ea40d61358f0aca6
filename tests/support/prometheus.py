"""A real Prometheus."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.daemon import Daemon, daemon, free_address
from support.needs import program

CONFIG = """
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
scrape_configs:
- job_name: vmem
  static_configs: [{{targets: ["{target}"]}}]
"""


@dataclass(frozen=True, slots=True)
class Prometheus(Daemon):
    """A running Prometheus."""

    def api(self, path: str, **parameters: str) -> Any:
        """The data that the HTTP API answers with."""
        answer = self.request(f"/api/v1/{path}", params=parameters)
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]

    def value(self, query: str) -> float | None:
        """What a query of one series, or a scalar, comes to now; None for an empty answer."""
        result = self.api("query", query=query)["result"]
        assert len(result) <= 1, result
        return float(result[0]["value"][1]) if result else None


@contextmanager
def prometheus(directory: Path, target: str) -> Iterator[Prometheus]:
    """Run a Prometheus that scrapes this address; its data goes into the directory."""
    with configured(directory, CONFIG.format(target=target)) as started:
        yield started


@contextmanager
def configured(directory: Path, config: str) -> Iterator[Prometheus]:
    """Run a Prometheus with this configuration, whose relative paths start at the directory."""
    command, address = program("prometheus"), free_address()
    file = directory / "prometheus.yaml"
    file.write_text(config)
    flags = [f"--config.file={file}", f"--storage.tsdb.path={directory / 'data'}", f"--web.listen-address={address}"]
    log = directory / "prometheus.log"
    with daemon([command, *flags, "--log.level=warn"], address, "/-/ready", log) as started:
        yield Prometheus(started.process, started.address, started.log)
