"""What all unit tests share: a /proc to change at will, and nothing left behind of it."""

import tempfile
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


@pytest.fixture
def open_tree() -> Iterator[Tree]:
    """A tree that any user can look into; of its process 10 nobody may read the files."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        tree = Tree(Path(folder) / "proc")
        for file in tree.process(10, b"a", [b"x"]).iterdir():
            file.chmod(0)
        yield tree
