"""How a metric is declared: once, beside the kernel field that it shows.

A record is a NamedTuple whose fields carry, in `Annotated`, where the kernel writes the value (`Key`) and what becomes
of it (`Show`). Parsers, samples, docs/METRICS.md and the tests all follow from these declarations. They are resolved
when the module is imported: asking for type hints at each parse would cost more than the parse.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Literal, get_type_hints

Kind = Literal["gauge", "counter"]
Number = int | float
Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Unit:
    """The kernel's unit as a fraction of the base unit. A division keeps 57 ticks at 0.57, a product would not."""

    multiply: int = 1
    divide: int = 1

    def __call__(self, value: Number) -> Number:
        value *= self.multiply
        return value if self.divide == 1 else value / self.divide


ONE = Unit()
KIB = Unit(1024)
TICKS = Unit(1, os.sysconf("SC_CLK_TCK"))
PERCENT = Unit(1, 100)
MICROSECONDS = Unit(1, 1_000_000)
NANOSECONDS = Unit(1, 1_000_000_000)


@lru_cache(maxsize=2048)
def escape(value: str) -> str:
    r"""A label value as both exposition formats write it: \\, \n and \" escaped."""
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def label_text(pairs: Iterable[tuple[str, str]]) -> str:
    """`a="1",b="2"`: the labels sorted by name, as the client library writes them."""
    return ",".join([f'{name}="{escape(value)}"' for name, value in sorted(pairs)])


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric family, as docs/METRICS.md and the HELP line have it."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    source: str = ""
    since: str = ""

    def series(self, pairs: Iterable[tuple[str, str]] = ()) -> str:
        """A series of this metric as the exposition formats write it."""
        inner = label_text(pairs)
        return f"{self.name}{{{inner}}}" if inner else self.name


@dataclass(frozen=True, slots=True)
class Family:
    """A metric with its samples: the series as the format writes it, and the value in the metric's unit."""

    metric: Metric
    samples: list[tuple[str, Number]] = field(default_factory=list)

    def add(self, value: Number | None, *pairs: tuple[str, str]) -> None:
        """One sample more; a value that the kernel did not give is none."""
        if value is not None:
            self.samples.append((self.metric.series(pairs), value))


METRICS: dict[str, Metric] = {}
"""Every metric that is declared, by name, in the order of declaration."""


def declare(metric: Metric) -> Metric:
    """Enter a metric in the catalogue. A name stands for one thing."""
    if METRICS.setdefault(metric.name, metric) != metric:
        raise ValueError(f"{metric.name} is declared twice")
    return metric


def gauge(name: str, help: str, *labels: str, source: str = "", since: str = "") -> Metric:
    return declare(Metric(name, "gauge", help, labels, source, since))


def counter(name: str, help: str, *labels: str, source: str = "", since: str = "") -> Metric:
    return declare(Metric(name, "counter", help, labels, source, since))


@dataclass(frozen=True, slots=True)
class Key:
    """Where the kernel writes a field: its name there, or its place in a line, and its unit."""

    name: str
    unit: Unit = ONE
    position: int = 0
    since: str = ""


@dataclass(frozen=True, slots=True)
class Show:
    """What becomes of a field: the metric, how a group's values make one, and labels that tell fields apart."""

    name: str
    kind: Kind
    merge: Callable[[Iterable[Any]], Any]
    help: str
    fixed: Pairs = ()


def total(name: str, help: str = "", **fixed: str) -> Show:
    """The sum over the group: a counter where the name says so."""
    return Show(name, "counter" if name.endswith("_total") else "gauge", sum, help, tuple(fixed.items()))


def value(name: str, help: str = "", **fixed: str) -> Show:
    """The one value there is: a counter where the name says so."""
    return replace(total(name, help, **fixed), merge=_the_one)


def _the_one(values: Iterable[Any]) -> Any:
    (one,) = values
    return one


def largest(name: str, help: str) -> Show:
    return Show(name, "gauge", max, help)


def oldest(name: str, help: str) -> Show:
    return Show(name, "gauge", min, help)


@dataclass(frozen=True, slots=True)
class Column:
    """One Show of one field of a record, resolved: where in the record, what to make of it."""

    index: int
    key: Key
    show: Show
    metric: Metric


def fields(record: type) -> Iterator[tuple[int, str, Key, list[Show]]]:
    """Index, name, key and shows of each field of a record, in order."""
    hints = get_type_hints(record, include_extras=True)
    for index, name in enumerate(record._fields):  # type: ignore[attr-defined]
        notes = getattr(hints[name], "__metadata__", ())
        key = next((note for note in notes if isinstance(note, Key)), Key(name))
        yield index, name, key, [note for note in notes if isinstance(note, Show)]


_MERGED = {
    sum: ", summed over the group",
    max: ", the largest in the group",
    min: ", the oldest in the group",
    _the_one: "",
}


def columns(record: type, source: str, *labels: str) -> tuple[Column, ...]:
    """Resolve a record's declarations and enter its metrics in the catalogue.

    Fields that show as one metric (RssAnon, RssFile, RssShmem) share its HELP, which names them all.
    """
    found = [(index, key, show) for index, _, key, shows in fields(record) for show in shows]
    by_name: dict[str, list[tuple[int, Key, Show]]] = {}
    for item in found:
        by_name.setdefault(item[2].name, []).append(item)
    metrics: Mapping[str, Metric] = {
        name: declare(
            Metric(
                name,
                items[0][2].kind,
                f"{items[0][2].help} {', '.join(key.name for _, key, _ in items)} of {source}"
                f"{_MERGED[items[0][2].merge]}.",
                labels + tuple(label for label, _ in items[0][2].fixed),
                source,
                next((key.since for _, key, _ in items if key.since), ""),
            )
        )
        for name, items in by_name.items()
    }
    return tuple(Column(index, key, show, metrics[show.name]) for index, key, show in found)
