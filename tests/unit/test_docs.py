"""What the documents name is there: files that are linked, metrics, flags of the command."""

import re
import subprocess
from pathlib import Path

import pytest
from support.exporter import COMMAND

from exporter.catalog.declare import METRICS
from exporter.cli import COMMANDS

CHECKOUT = Path(__file__).parent.parent.parent
DOCUMENTS = sorted(
    path
    for path in (*CHECKOUT.glob("*.md"), *CHECKOUT.glob("docs/**/*.md"), *CHECKOUT.glob("helm/*/README.md"))
    if path.is_file()
)
CODE = re.compile(r"^```.*?^```", re.M | re.S)
LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)#\s]+)(?:#[^)]*)?\)")
# Without those of which only the beginning is given.
METRIC = re.compile(r"\bvmem_[a-z0-9_]++(?<!_)(?!…|\*|<|\.\.\.)")
# Whose keys are open: a field that is in no record is shown as the kernel names it.
MEMINFO = re.compile(r"vmem_(host|node)_\w+_bytes")
FLAG = re.compile(r"(?<![\w-])--(?:config|web|path|log|process)\.[a-z.-]+\b")

named = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(CHECKOUT)))


@pytest.fixture(scope="module")
def flags() -> set[str]:
    asked = [[], *([command] for command in COMMANDS)]
    help = [subprocess.check_output([COMMAND, *command, "--help"], text=True) for command in asked]
    return set(FLAG.findall("\n".join(help)))


@named
def test_a_linked_file_is_there(document: Path) -> None:
    # A regular expression in an example may look like a link.
    prose = CODE.sub("", document.read_text())
    gone = [link for link in LINK.findall(prose) if not (document.parent / link).exists()]
    assert gone == []


@named
def test_a_named_metric_is_in_the_catalogue(document: Path) -> None:
    unknown = set(METRIC.findall(document.read_text())) - set(METRICS)
    assert {name for name in unknown if not MEMINFO.fullmatch(name)} == set()


@named
def test_a_named_flag_is_one_of_the_command(document: Path, flags: set[str]) -> None:
    text = document.read_text()
    assert set(FLAG.findall(text)) - flags == set()
