"""A dashboard as Grafana would show it: its variables filled and its queries run, against a real Prometheus.

The rules are those of Grafana's Prometheus data source: how a value is escaped in a query, how long $__interval and
$__rate_interval are, and what label_values asks.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

ROOT = Path(__file__).parent.parent.parent
FOLDER = ROOT / "grafana" / "dashboards"

Json = dict[str, Any]
Labels = Mapping[str, str]


def boards() -> dict[str, Json]:
    """The dashboards that are committed, by file name without its suffix."""
    return {path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))}


def panels(board: Json) -> list[Json]:
    """The panels that show data: all but the headings."""
    return [panel for panel in board["panels"] if panel["type"] != "row"]


@dataclass(frozen=True, slots=True)
class Series:
    """One series of an answer: its labels, the times in Unix seconds, and the values."""

    labels: Labels
    times: tuple[float, ...]
    values: tuple[float, ...]

    @property
    def finite(self) -> list[float]:
        return [value for value in self.values if math.isfinite(value)]


@dataclass(frozen=True, slots=True)
class Answer:
    """A query of a panel, as it was asked, and what came back."""

    target: Json
    query: str
    series: tuple[Series, ...]

    def name(self, series: Series) -> str:
        """The series' name in the legend."""
        template = str(self.target.get("legendFormat", ""))
        return re.sub(r"\{\{\s*(\w+)\s*\}\}", lambda match: series.labels.get(match[1], ""), template)


@dataclass(slots=True)
class Prometheus:
    """The two sides of its API that Grafana uses."""

    url: str
    session: requests.Session = field(default_factory=requests.Session)

    def __post_init__(self) -> None:
        self.session.trust_env = False

    def ask(self, path: str, **parameters: object) -> Any:
        """The data of an answer. AssertionError with Prometheus's words where it refuses."""
        answer = self.session.get(f"{self.url}/api/v1/{path}", params=parameters, timeout=60).json()  # type: ignore[arg-type]
        assert answer["status"] == "success", f"{answer.get('error')}: {parameters}"
        return answer["data"]

    def label_values(self, label: str, selector: str, start: float, end: float) -> list[str]:
        return list(self.ask(f"label/{label}/values", **{"match[]": selector, "start": start, "end": end}))

    def instant(self, query: str, time: float) -> tuple[Series, ...]:
        return _series(self.ask("query", query=query, time=time))

    def range(self, query: str, start: float, end: float, step: float) -> tuple[Series, ...]:
        return _series(self.ask("query_range", query=query, start=start, end=end, step=step))


def _series(data: Json) -> tuple[Series, ...]:
    found = []
    for each in data["result"]:
        samples = each.get("values") or [each["value"]]
        times, values = zip(*((float(time), float(value)) for time, value in samples), strict=True)
        found.append(Series(each["metric"], times, values))
    return tuple(found)


ALL = "$__all"
STEPS = (
    *((limit, step) for limit, step in ((1500, 1), (3500, 2), (7500, 5), (12500, 10), (17500, 15), (25000, 20))),
    *((limit, step) for limit, step in ((45000, 30), (90000, 60), (210000, 120), (450000, 300), (750000, 600))),
)
"""Grafana's round intervals: up to so many milliseconds, so many seconds."""


def _rounded(milliseconds: float) -> int:
    return next((step for limit, step in STEPS if milliseconds < limit), 900)


@dataclass(slots=True)
class Viewer:
    """Someone who looks at a dashboard, with a span of time chosen, and values for its variables.

    `scrape` is the scrape interval that the data source is told of, in seconds; `points` the width of a panel.
    """

    prometheus: Prometheus
    start: float
    end: float
    scrape: int
    points: int = 600
    chosen: dict[str, str] = field(default_factory=dict)
    """A value for a variable, in place of the one that Grafana would choose."""

    def variables(self, board: Json) -> dict[str, list[str]]:
        """The values that each query variable offers."""
        self._values = {}
        offered = {}
        for variable in board["templating"]["list"]:
            if variable["type"] != "query":
                continue
            query = self._filled(variable["query"]["query"], {})
            match = re.fullmatch(r"label_values\((.+),\s*(\w+)\)", query)
            assert match, query
            values = self.prometheus.label_values(match[2], match[1], self.start, self.end)
            offered[variable["name"]] = values
            name = variable["name"]
            if variable["multi"]:
                self._values[name] = (variable, self.chosen.get(name, ALL))
            elif values:
                wanted = self.chosen.get(name)
                self._values[name] = (variable, wanted if wanted in values else values[0])
        return offered

    _values: dict[str, tuple[Json, str]] = field(default_factory=dict)

    @property
    def values(self) -> dict[str, str]:
        """The value in force for each variable."""
        return {name: "All" if value == ALL else value for name, (_, value) in self._values.items()}

    def look(self, board: Json) -> Iterator[tuple[Json, list[Answer]]]:
        """Each panel of a dashboard, with the answers to its queries."""
        self.variables(board)
        for panel in panels(board):
            yield panel, [self.answer(target) for target in panel["targets"]]

    def answer(self, target: Json) -> Answer:
        step = max(_rounded((self.end - self.start) * 1000 / self.points), self.scrape)
        built_in = {
            "__interval": f"{step}s",
            "__rate_interval": f"{max(step + self.scrape, 4 * self.scrape)}s",
            "__range": f"{round(self.end - self.start)}s",
        }
        query = self._filled(target["expr"], built_in)
        if target.get("instant"):
            return Answer(target, query, self.prometheus.instant(query, self.end))
        start, end = (math.floor(time / step) * step for time in (self.start, self.end))
        return Answer(target, query, self.prometheus.range(query, start, end, step))

    def _filled(self, query: str, built_in: Mapping[str, str]) -> str:
        def value(match: re.Match[str]) -> str:
            name = match[1] or match[2]
            if name in built_in:
                return built_in[name]
            variable, chosen = self._values[name]
            return _escaped(variable, chosen)

        return re.sub(r"\$(\w+)|\$\{(\w+)\}", value, query)


def _escaped(variable: Json, value: str) -> str:
    """A value as it stands in a query: one of several is meant as part of a regular expression."""
    if variable["multi"] or variable["includeAll"]:
        if value == ALL:
            return str(variable["allValue"])
        return re.sub(r"[$^*{}\[\]'+?.()|]", r"\\\\\g<0>", value.replace("\\", "\\\\\\\\"))
    return value.replace("\\", "\\\\").replace("'", "\\\\'")


def unanswered(answers: Sequence[Answer]) -> list[Answer]:
    return [answer for answer in answers if not answer.series]
