"""What is locked for the image is what the project depends on."""

import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

CHECKOUT = Path(__file__).parents[2]


def test_every_dependency_is_locked_in_a_version_that_serves_and_by_its_hashes() -> None:
    text = (CHECKOUT / "requirements.lock").read_text()
    locked = {canonicalize_name(name): version for name, version in re.findall(r"^([\w.-]+)==(\S+)", text, re.M)}
    needed = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]["dependencies"]
    for requirement in map(Requirement, needed):
        version = locked.get(canonicalize_name(requirement.name))
        assert version is not None, f"{requirement.name} is not locked: make lock"
        assert version in requirement.specifier, f"{requirement} is locked as {version}: make lock"
    # A file for every requirement, by its content.
    assert len(re.findall(r"^\S+==\S+ (?:; .+ )?\\\n    --hash=sha256:[0-9a-f]{64}", text, re.M)) == len(locked)
