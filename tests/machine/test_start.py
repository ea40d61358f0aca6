"""What keeps it from starting: one line for the person who started it, and exit code 2."""

import re
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import ordinary
from support.exporter import COMMAND

pytestmark = pytest.mark.live

AT_ANY = "--web.listen-address=127.0.0.1:0"


@pytest.fixture
def taken() -> Iterator[str]:
    """An address at which somebody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def open_to_all(tmp_path: Path) -> Path:
    """A directory that an ordinary user can enter."""
    made = tmp_path / "open"
    made.mkdir()
    made.chmod(0o755)
    return made


def refusal(*command: str | Path) -> str:
    """The one line with which it refuses to start."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(r"[^\n]+\n", done.stderr), done.stderr
    return done.stderr.strip()


def test_an_address_in_use(taken: str) -> None:
    assert refusal(COMMAND, f"--web.listen-address={taken}") == (
        f"vmem-exporter: --web.listen-address: cannot listen at {taken}: Address already in use"
    )


def test_an_address_of_another_machine() -> None:
    assert refusal(COMMAND, "--web.listen-address=192.0.2.1:80").endswith(
        "192.0.2.1:80: Cannot assign requested address"
    )


@pytest.mark.parametrize("flag", ["--config.file", "--web.config.file"])
def test_a_configuration_that_is_not_there_or_a_directory(tmp_path: Path, flag: str) -> None:
    for path, found in (tmp_path / "none.yaml", "No such file or directory"), (tmp_path, "Is a directory"):
        assert refusal(COMMAND, AT_ANY, f"{flag}={path}") == f"{path}: found {found}, expected a readable YAML file"


@pytest.mark.usefixtures("root")
@pytest.mark.parametrize("flag", ["--config.file", "--web.config.file"])
def test_a_configuration_that_may_not_be_read(open_to_all: Path, flag: str) -> None:
    config = open_to_all / "config.yaml"
    config.write_text("")
    config.chmod(0)
    said = refusal(*ordinary.command(open_to_all), AT_ANY, f"{flag}={config}")
    assert said == f"{config}: found Permission denied, expected a readable YAML file"


@pytest.mark.usefixtures("root")
def test_a_certificate_that_may_not_be_read(open_to_all: Path) -> None:
    web, key = open_to_all / "web.yaml", open_to_all / "key.pem"
    web.write_text("tls_server_config: {cert_file: key.pem, key_file: key.pem}")
    web.chmod(0o644)
    key.write_text("")
    key.chmod(0)
    said = refusal(*ordinary.command(open_to_all), AT_ANY, f"--web.config.file={web}")
    assert said.startswith(f"{web}:1: tls_server_config: {key}: found Permission denied, expected a readable PEM file")


@pytest.mark.parametrize("text", [b"\xff", b"processes: [", b"a: &a [*a]", b"\0", b"[" * 5000])
def test_a_configuration_that_is_none(tmp_path: Path, text: bytes) -> None:
    config = tmp_path / "config.yaml"
    config.write_bytes(text)
    assert refusal(COMMAND, AT_ANY, f"--config.file={config}").startswith(f"{config}:1: ")
