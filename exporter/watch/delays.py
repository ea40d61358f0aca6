"""What processes have waited for memory, by the kernel's delay accounting, and what that makes for their groups."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable

from exporter.catalog.process import Delays
from exporter.errors import ParseError, Refused
from exporter.kernel.read import link, read
from exporter.kernel.taskstats import Taskstats
from exporter.watch.groups import Group
from exporter.watch.process import Process
from exporter.watch.processes import Processes

log = logging.getLogger(__name__)


class DelayReader:
    """The newest delays of each process that an entry with `delays` watches, and the counters of their groups."""

    def __init__(self, procfs: str) -> None:
        self._procfs = procfs
        self._taskstats: Taskstats | None = None
        self._members: dict[Process, Group] = {}
        self._said = ""
        self.readings: dict[Process, Delays] = {}

    def refresh(self, processes: Processes, groups: Iterable[Group]) -> bool:
        """Read every member of these groups. False where the kernel doesn't tell, which is logged once."""
        wanted = {process: group for group in groups for process in group.members}
        for process, group in self._members.items():
            if wanted.get(process) is not group:
                group.delays.leave(_counts(self.readings.pop(process)))
        self._members = {process: group for process, group in self._members.items() if process in self.readings}
        if not wanted:
            return not self._said
        if obstacle := self._obstacle():
            if obstacle != self._said:
                log.warning("delays can't be read, they have no samples: %s", obstacle)
            self._said = obstacle
            return False
        self._said = ""
        for process, group in wanted.items():
            self._read(processes, process, group)
        return True

    def sums(self, group: Group) -> Delays:
        """The counters of a group; None for one that this kernel's version lacks."""
        members = [self.readings[process] for process in group.members if process in self.readings]
        sums = group.delays.sums([_counts(reading) for reading in members])
        lacks = next(iter(self.readings.values()), Delays())
        return Delays(*(None if lack is None else value for value, lack in zip(sums, lacks, strict=True)))

    def _read(self, processes: Processes, process: Process, group: Group) -> None:
        assert self._taskstats
        try:
            new = self._taskstats.read(process.pid)
        except (ParseError, Refused) as error:
            processes.error(group, error)
            return
        if new is None:
            return
        if process in self.readings:
            group.delays.read(_counts(self.readings[process]), _counts(new))
        elif process.first < processes.refreshes:
            group.delays.join(_counts(new))
        self._members[process] = group
        self.readings[process] = new

    def _obstacle(self) -> str:
        """Why the kernel doesn't tell; empty where it does."""
        switch = f"{self._procfs}/sys/kernel/task_delayacct"
        if read(switch) == b"0\n":
            return f"{switch} is 0, expected 1 (sysctl kernel.task_delayacct=1)"
        # The kernel is asked by pid, as this process's namespace counts; another namespace's procfs counts otherwise.
        if link(f"{self._procfs}/self") != str(os.getpid()):
            return f"{self._procfs} is of another pid namespace, expected this one's (hostPID in a container)"
        try:
            self._taskstats = self._taskstats or Taskstats()
            self._taskstats.read(os.getpid())
        except (ParseError, Refused) as error:
            return f"{error}, expected CAP_NET_ADMIN and a kernel with CONFIG_TASK_DELAY_ACCT"
        return ""


def _counts(reading: Delays) -> tuple[int, ...]:
    return tuple(value or 0 for value in reading)
