"""Cgroups on the kernel that runs here, whichever version holds its memory controller."""

import pytest
from kernel.cgroups import Hierarchy
from kernel.experiment import Record
from kernel.scenarios import SCENARIOS
from kernel.watched import Exporter

pytestmark = pytest.mark.live


def scenarios() -> list[str]:
    """Those that the version here can do; all, to be skipped with the reason, where no controller is mounted."""
    try:
        version = Hierarchy.of_this_machine().version
    except (LookupError, OSError):
        return list(SCENARIOS)
    return [name for name, (_, versions) in SCENARIOS.items() if version in versions]


EACH = pytest.mark.parametrize("found_here", scenarios(), indirect=True, scope="session")


@EACH
def test_the_kernel_does_what_the_scenario_says(found_here: Record) -> None:
    assert found_here.error is None
    assert [claim for claim in found_here.claims if not claim.holds] == []


@EACH
def test_the_exporter_shows_the_kernels_numbers(found_here: Record, watched: Exporter) -> None:
    assert watched.alive, watched.log.read_text()
    assert found_here.pairs
    assert [pair for pair in found_here.pairs if not pair.agrees] == []
