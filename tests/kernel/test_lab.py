"""Cgroups on another kernel, with cgroup v2: what Debian's does, and what the exporter says of it there."""

import pytest
from kernel.experiment import Record
from kernel.scenarios import SCENARIOS

pytestmark = pytest.mark.kernel
EACH = pytest.mark.parametrize("scenario", [name for name, (_, versions) in SCENARIOS.items() if 2 in versions])
Emulated = tuple[dict[str, Record], dict[str, object]]


@EACH
def test_the_kernel_does_what_the_scenario_says(emulated: Emulated, scenario: str) -> None:
    record = emulated[0][scenario]
    assert record.error is None
    assert [claim for claim in record.claims if not claim.holds] == []


@EACH
def test_the_exporter_shows_the_kernels_numbers(emulated: Emulated, scenario: str) -> None:
    pairs = emulated[0][scenario].pairs
    assert pairs
    assert [pair for pair in pairs if not pair.agrees] == []


def test_the_exporter_lived_through_it_in_silence(emulated: Emulated) -> None:
    _, end = emulated
    assert (end["alive"], end["status"]) == (True, 0), end["log"]
    quiet = "level=debug", "level=info"
    assert [line for line in str(end["log"]).splitlines() if not any(word in line for word in quiet)] == []
