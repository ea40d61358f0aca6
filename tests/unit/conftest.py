"""What all unit tests share: a /proc to change at will, and nothing left behind of it."""

from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from hypothesis import settings
from unit.tree import Tree

# How long an example takes is the machine's business.
settings.register_profile("unit", deadline=None)
settings.load_profile("unit")


@pytest.fixture(autouse=True)
def _psutil_looks_where_it_did() -> Iterator[None]:
    before = psutil.PROCFS_PATH
    yield
    psutil.PROCFS_PATH = before


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path / "proc")
