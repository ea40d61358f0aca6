"""No test is skipped everywhere: where everything is said to be there, what is missing is a failure."""

import re
from pathlib import Path

import pytest
from support.needs import PACKAGES, REQUIRE_ALL, missing, program

CI = Path(__file__).parent.parent.parent / ".ci" / "run"


def test_what_is_missing_skips_a_test_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(REQUIRE_ALL, raising=False)
    with pytest.raises(pytest.skip.Exception, match=r"^needs a fair wind$"):
        missing("a fair wind")


def test_what_is_missing_fails_a_test_where_nothing_may_be(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(REQUIRE_ALL, "1")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(pytest.fail.Exception, match="needs promtool of the Debian package prometheus"):
        program("promtool")


def test_ci_installs_each_package_that_a_test_asks_for() -> None:
    installed = re.search(r"^packages=\(\n((?:    [\w-]+\n)+)\)$", CI.read_text(), re.M)
    assert installed
    assert set(PACKAGES.values()) <= set(installed[1].split())
