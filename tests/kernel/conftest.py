"""Fixtures of the laboratory, and with -v its table: the kernel's number beside the exporter's."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from kernel.borrow import swap
from kernel.cgroups import Hierarchy
from kernel.experiment import Experiment, Record
from kernel.machine import boot, missing_tools
from kernel.scenarios import CONFIG, run
from kernel.watched import Exporter, exporter
from support.needs import missing

Line = dict[str, object]

TABLE = pytest.StashKey[dict[str, list[Record]]]()


@pytest.fixture(scope="session")
def emulated(pytestconfig: pytest.Config) -> tuple[dict[str, Record], Line]:
    """What each scenario found in the emulated machine, by its name; and what became of the exporter there."""
    if tools := missing_tools():
        missing(", ".join(tools))
    *lines, end = boot("scenarios")
    records = [Record.from_json(line) for line in lines]
    pytestconfig.stash.setdefault(TABLE, {})["emulated"] = records
    return {record.scenario: record for record in records}, end


@pytest.fixture(scope="session")
def hierarchy() -> Hierarchy:
    """This machine's own memory cgroups, where a test may make some."""
    try:
        found = Hierarchy.of_this_machine()
        found.make("/lab").remove()
    except (LookupError, OSError) as error:
        missing(f"the right to make a memory cgroup ({error})")
    found.made.clear()
    return found


@pytest.fixture(scope="session")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exporter]:
    with exporter(CONFIG, tmp_path_factory.mktemp("exporter")) as started:
        yield started


@pytest.fixture(scope="session")
def found_here(
    request: pytest.FixtureRequest, pytestconfig: pytest.Config, hierarchy: Hierarchy, watched: Exporter
) -> Record:
    """What a scenario, the fixture's parameter, found on the kernel that runs here."""
    record = Record(request.param)
    with swap():
        run(Experiment(hierarchy, watched.scrape if watched.alive else dict, record))
    pytestconfig.stash.setdefault(TABLE, {}).setdefault("this machine", []).append(record)
    return record


def shown(*numbers: float | None) -> str:
    """One number; or the two between which it moved while the exporter read it."""
    return " .. ".join(dict.fromkeys("none" if each is None else f"{each:.15g}" for each in numbers))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if config.get_verbosity() < 1:
        return
    for where, records in config.stash.get(TABLE, {}).items():
        terminalreporter.section(f"kernel and exporter, {where}")
        for record in records:
            terminalreporter.write_line(f"{record.scenario} ({record.seconds:.1f} s)")
            for claim in record.claims:
                terminalreporter.write_line(f"    {claim.what}: {shown(claim.found)}")
            for pair in record.pairs:
                source, _, path = pair.what.partition(" of /")
                mark = " " if pair.agrees else "!"
                numbers = f"{shown(pair.before, pair.after):>26} {shown(pair.exporter):>14}"
                terminalreporter.write_line(f"  {mark} {numbers}  {source} of /{Path(path).name:.40}")
