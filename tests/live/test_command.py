"""What a newcomer types: `make run`, the example configuration, `once`."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import StartExporter
from support.daemon import free_address, until
from support.exporter import COMMAND
from support.needs import missing
from support.page import Page, parsed, series

from exporter.cli import main

pytestmark = pytest.mark.live

CHECKOUT = Path(__file__).parent.parent.parent
EXAMPLE = CHECKOUT / "config.example.yaml"


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, stdin=subprocess.DEVNULL)


def test_make_run_says_in_its_first_lines_what_it_watches_and_the_address_to_open(tmp_path: Path) -> None:
    make = shutil.which("make") or missing("make")
    address, log = free_address(), tmp_path / "log"
    # What an outer make leaves in the environment is not this one's business.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    # In the environment of the tests: making another one takes its time, and pip may have something to say.
    command = [
        make,
        "--silent",
        "-C",
        str(CHECKOUT),
        "run",
        f"VENV={sys.prefix}",
        f"ARGS=--web.listen-address={address}",
    ]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    try:
        until(lambda: "serving at" in log.read_text() or process.poll() is not None, "make run serves")
        watches, serves = log.read_text().splitlines()[:2]
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=60)
    assert "watches every process, grouped by comm (no --config.file given)" in watches
    assert f"serving at http://{address}/metrics" in serves


def test_the_example_configuration_runs(start_exporter: StartExporter) -> None:
    checked = run(COMMAND, "check-config", EXAMPLE)
    assert (checked.returncode, checked.stderr) == (0, "")
    exporter = start_exporter(EXAMPLE.read_text())
    page = exporter.scrape()
    collectors = [value for key, value in page.items() if key.startswith("vmem_scrape_collector_success{")]
    assert collectors
    assert set(collectors) == {1}
    assert [key for key in page if key.startswith("vmem_process_count{")]


def test_another_system_is_refused_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("platform.system", lambda: "Darwin")
    for command in ([], ["once"], ["check-config", str(EXAMPLE)]):
        assert main(command) == 2
        found = capsys.readouterr()
        line = "vmem-exporter: found Darwin, expected Linux: the kernel's files are what is exported\n"
        assert (found.out, found.err) == ("", line)


@pytest.mark.parametrize("command", [[COMMAND, "once"], [sys.executable, "-m", "exporter", "once"]])
def test_once_prints_what_a_scrape_answers(start_exporter: StartExporter, command: list[str | Path]) -> None:
    exporter = start_exporter("processes: [{name: fixed, comm: [not-there]}]")
    printed = run(*command, f"--config.file={exporter.config}")
    assert (printed.returncode, printed.stderr) == (0, "")

    def steady(page: Page) -> set[str]:
        return {key for key in page if key.startswith("vmem_")}

    assert steady(parsed(printed.stdout)) == steady(exporter.scrape())


def test_once_takes_its_flags_before_and_behind_its_name(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("processes: [{name: fixed, comm: [not-there]}]")
    for arguments in ["once", f"--config.file={config}"], [f"--config.file={config}", "once"]:
        page = parsed(run(COMMAND, *arguments).stdout)
        counts = {key for key in page if key.startswith("vmem_process_count{")}
        assert counts == {series("vmem_process_count", group="fixed")}, arguments


def test_a_command_says_what_it_takes() -> None:
    for arguments, expected in (["--help"], "check-config"), (["once", "--help"], "(default: /proc)"):
        answer = run(COMMAND, *arguments)
        assert (answer.returncode, answer.stderr) == (0, "")
        assert expected in answer.stdout


@pytest.mark.parametrize("arguments", [["once"], ["check-config", EXAMPLE]])
def test_a_disk_that_is_full_is_one_line(arguments: list[str | Path]) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [COMMAND, *arguments], stdout=full, stderr=subprocess.PIPE, text=True, check=False, timeout=60
        )
    expected = "standard output: found No space left on device, expected room to write"
    assert (done.returncode, done.stderr) == (2, f"vmem-exporter: {expected}\n")


def test_once_into_a_pipe_that_closes_is_no_error() -> None:
    with subprocess.Popen([COMMAND, "once"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 0
