"""What a test needs of the machine, and what becomes of the test where that is missing.

It is skipped, with the reason; or it fails, where VMEM_TESTS_REQUIRE_ALL=1 says that this machine has everything.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import NoReturn, TypeVar

import pytest

REQUIRE_ALL = "VMEM_TESTS_REQUIRE_ALL"
FULL = "VMEM_TESTS_FULL"

PACKAGES = {
    "chromedriver": "chromium-driver",
    "chromium": "chromium",
    "prometheus": "prometheus",
    "fish": "fish",
    "mandoc": "mandoc",
    "libfaketimeMT.so.1": "libfaketime",
    "promtool": "prometheus",
    "prometheus-alertmanager": "prometheus-alertmanager",
    "amtool": "prometheus-alertmanager",
    "prometheus-process-exporter": "prometheus-process-exporter",
    "prometheus-node-exporter": "prometheus-node-exporter",
    "setcap": "libcap2-bin",
    "strace": "strace",
    "stress-ng": "stress-ng",
    "systemd-analyze": "systemd",
    "zsh": "zsh",
}
"""Programs that tests start, and the Debian packages that bring them; .ci/run installs these."""

T = TypeVar("T")


def missing(what: str) -> NoReturn:
    """Skip the test that asks, or fail it where nothing may be missing."""
    if os.environ.get(REQUIRE_ALL) == "1":
        pytest.fail(f"needs {what}, and {REQUIRE_ALL}=1 says that it is there", pytrace=False)
    pytest.skip(f"needs {what}")


def full() -> bool:
    """Whether the tests of faults go to every byte and through every repetition, as `make faults` has it."""
    return os.environ.get(FULL) == "1"


def program(name: str) -> str:
    """The path of a program."""
    path = shutil.which(name)
    return path or missing(f"{name} of the Debian package {PACKAGES[name]}")


def library(name: str) -> str:
    """The path of a library that isn't where the linker looks."""
    found = sorted(Path("/usr/lib").glob(f"**/{name}"))
    return str(found[0]) if found else missing(f"{name} of the Debian package {PACKAGES[name]}")


@contextmanager
def allowed(what: str, borrowed: AbstractContextManager[T]) -> Iterator[T]:
    """Enter a context that may be refused: by rights, or for want of the thing."""
    with ExitStack() as stack:
        try:
            value = stack.enter_context(borrowed)
        except (OSError, LookupError, subprocess.CalledProcessError) as error:
            missing(f"{what} ({error})")
        yield value
