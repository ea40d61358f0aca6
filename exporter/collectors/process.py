"""Watched processes: what their groups hold now, and what they have counted."""

from __future__ import annotations

from collections.abc import Sequence
from heapq import nlargest
from typing import NamedTuple

from exporter.catalog import process as catalog
from exporter.catalog.declare import Column, Metric, Number, Pairs
from exporter.collectors.page import Page
from exporter.config import Config
from exporter.errors import ParseError, Refused
from exporter.kernel.read import read
from exporter.kernel.text import number, signed
from exporter.kernel.uptime import boot_time
from exporter.watch.delays import DelayReader
from exporter.watch.groups import Group, Key
from exporter.watch.namespace import Namespace
from exporter.watch.process import Process
from exporter.watch.processes import PATIENCE, Processes
from exporter.watch.smaps import Smaps
from exporter.watch.tally import Row, merge_given

_COUNTERS = tuple(column for column in catalog.ROW if column.metric.kind == "counter")
_GAUGES = tuple(column for column in catalog.ROW if column.metric.kind == "gauge")
_COUNTER_PLACES = tuple(column.index for column in _COUNTERS)
_RESIDENT = next(column.index for column in catalog.ROW if column.key.name == "VmRSS")

Rows = dict[Process, Sequence[int | None]]
_Record = tuple[Sequence[Column], Sequence[Column], Rows]
"""Columns for the group, columns for one process, and what was read of each process."""


class _Found(NamedTuple):
    """What was read of a group: its gauges, the rows of its largest processes, and VmRSS where smaps asks for it."""

    values: list[Number | None]
    largest: dict[Process, Row]
    resident: dict[Process, int]


class ProcessCollector:
    """The collector `process`."""

    name = "process"

    def __init__(self, procfs: str, cgroupfs: str | None, keep_open: int) -> None:
        """The files of `keep_open` processes are kept open between scrapes."""
        self._procfs = procfs
        self._processes = Processes(procfs, Namespace(procfs, cgroupfs), _COUNTER_PLACES, keep_open)
        self._smaps = Smaps(procfs)
        self._delays = DelayReader(procfs)
        self._delays_known = False
        self._series: dict[Key, list[tuple[Metric, str]]] = {}
        self._boot = 0
        self._config: Config | None = None

    @property
    def everyone(self) -> list[Process]:
        """Every process as of the last collection, watched or not."""
        return self._processes.everyone

    @property
    def unread(self) -> dict[tuple[Key, str], str]:
        """The first error of each group and reason since the configuration is in force."""
        return dict(self._processes.unread)

    @property
    def stuck(self) -> int:
        """Command lines and other names, and smaps_rollup files, that have not come back."""
        return self._processes.stuck + self._smaps.stuck

    def collect(self, page: Page, config: Config) -> None:
        """The families vmem_process_ and vmem_pid_. Raises ParseError where the kernel's clocks can't be read.

        After a change of the configuration, counters go on from where they are.
        """
        if config is not self._config:
            self._processes.configure(config)
            self._config = config
        path = f"{self._procfs}/stat"
        self._boot = boot_time(read(path) or b"", path)
        self._processes.refresh(page.patience(PATIENCE))
        # What is read of a group is summed at once: the rows of all processes would take more memory than the rest.
        found = {group: self._read(group) for group in self._processes.groups}
        found |= {group: self._read(group) for group in self._processes.moved()}
        self._read_smaps(found, page.deadline)
        groups = list(self._processes.groups)
        self._delays_known = self._delays.refresh(self._processes, [g for g in groups if g.entry and g.entry.delays])
        for group in groups:
            self._show(page, group, found.get(group) or self._read(group))
        self._series = {group.key: self._series[group.key] for group in groups}
        for group in (*groups, self._processes.groups.nameless):
            for reason, count in group.errors.items():
                page.add(catalog.READ_ERRORS, (*group.labels, ("reason", reason)), count)
        for entry in config.processes:
            if entry.by_cgroup and not entry.templated and not any(group.entry is entry for group in groups):
                page.add(catalog.COUNT, (("group", entry.group), *entry.labels), 0)
        page.add(catalog.GROUPS_FOLDED, (), self._processes.groups.folded)

    def _read(self, group: Group) -> _Found:
        tally = self._processes.read(group)
        # Where there are processes and none could be read, their sum isn't known, and not 0.
        unknown: list[Number | None] = [None] * len(_GAUGES)
        values = self._values(_GAUGES, tally.values(_GAUGES), tally) if tally or not group.members else unknown
        rows, entry = tally.rows, group.entry
        largest: dict[Process, Row] = {}
        if entry and entry.per_process:
            of_size = nlargest(entry.max_processes, rows, key=lambda process: rows[process][_RESIDENT] or 0)
            largest = {process: rows[process] for process in of_size}
        resident = {process: row[_RESIDENT] or 0 for process, row in rows.items()} if entry and entry.smaps else {}
        return _Found(values, largest, resident)

    def _read_smaps(self, found: dict[Group, _Found], deadline: float) -> None:
        wanted = {process: size for part in found.values() for process, size in part.resident.items() if process.group}
        self._smaps.refresh(self._processes, wanted, deadline)

    def _show(self, page: Page, group: Group, found: _Found) -> None:
        labels = group.labels
        series = self._series.get(group.key)
        if series is None:
            series = [(c.metric, c.metric.series((*labels, *c.show.fixed))) for c in (*_GAUGES, *_COUNTERS)]
            self._series[group.key] = series
        members = list(group.members)
        page.add(catalog.COUNT, labels, len(members))
        counts = group.ledger.sums([process.counts for process in members if process.counts])
        values = found.values + [column.key.unit(count) for column, count in zip(_COUNTERS, counts, strict=True)]
        for (metric, text), value in zip(series, values, strict=True):
            if value is not None:
                page.family(metric).samples.append((text, value))
        entry = group.entry
        if entry is None:
            return
        records: list[_Record] = []
        if entry.oom_score:
            scores: Rows = {process: self._oom_score(process) for process in members}
            records.append((catalog.OOM_SCORE, catalog.OOM_SCORE_OF_ONE, scores))
        if entry.smaps:
            known = self._smaps.readings
            readings = {process: known[process] for process in members if process in known}
            rows: Rows = {process: reading.record for process, reading in readings.items()}
            records.append((catalog.SMAPS_ROLLUP, catalog.SMAPS_ROLLUP_OF_ONE, rows))
            if readings:
                oldest = min(reading.at for reading in readings.values())
                page.add(catalog.SMAPS_AGE, labels, self._processes.uptime - oldest)
        if entry.delays and self._delays_known:
            waited = self._delays.readings
            self._record(page, catalog.DELAYS, labels, [self._delays.sums(group)])
            # The group's are counters of its own; what is left is to show those of one process.
            delays: Rows = {process: waited[process] for process in members if process in waited}
            records.append(((), catalog.DELAYS_OF_ONE, delays))
        for columns, _, rows in records:
            if rows or not members:
                self._record(page, columns, labels, list(rows.values()))
        for process, row in found.largest.items():
            comm = process.comm.decode("utf-8", "replace")
            own = (*labels, ("pid", str(process.pid)), ("comm", comm))
            self._record(page, catalog.ROW_OF_ONE, own, [row])
            for _, columns, rows in records:
                if process in rows:
                    self._record(page, columns, own, [rows[process]])

    def _oom_score(self, process: Process) -> catalog.OomScore:
        values: list[int | None] = []
        for file in catalog.OomScore._fields:
            path = f"{self._procfs}/{process.pid}/{file}"
            try:
                text = read(path)
                parse = number if file == "oom_score" else signed
                values.append(None if text is None else parse(text, path))
            except (ParseError, Refused) as error:
                self._processes.error(process.group, error)
                values.append(None)
        return catalog.OomScore(*values)

    def _values(self, columns: Sequence[Column], merged: Sequence[int | None], some: object) -> list[Number | None]:
        """What a group's merged columns come to in the unit of their metric: None where no process has a value.

        A sum over no process is 0; there is no largest and no oldest of none.
        """
        if not some:
            return [0 if column.show.merge is sum else None for column in columns]
        return [
            None if value is None else column.key.unit(value) + (self._boot if column.show.merge is min else 0)
            for column, value in zip(columns, merged, strict=True)
        ]

    def _record(
        self, page: Page, columns: Sequence[Column], labels: Pairs, rows: Sequence[Sequence[int | None]]
    ) -> None:
        """The samples of a record; fields that show as one series (Private_Clean, Private_Dirty) are added up."""
        sums: dict[tuple[str, Pairs], tuple[Metric, Number]] = {}
        merged = [merge_given(column.show.merge, [row[column.index] for row in rows]) for column in columns]
        for column, value in zip(columns, self._values(columns, merged, rows), strict=True):
            if value is not None:
                series = column.metric.name, column.show.fixed
                _, so_far = sums.get(series, (None, 0))
                sums[series] = column.metric, so_far + value
        for (_, fixed), (metric, value) in sums.items():
            page.add(metric, (*labels, *fixed), value)
