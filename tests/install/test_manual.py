"""The manual page, and what real shells complete when someone presses Tab."""

import re
import subprocess
from pathlib import Path

import pytest
from support.exporter import COMMAND
from support.needs import program
from support.terminal import terminal

from exporter.cli import COMMANDS

SHARE = Path(__file__).parents[2] / "packaging/share"
PAGE = SHARE / "man/man1/vmem-exporter.1"

SHELLS = {
    "bash": (
        ["bash", "--norc", "--noprofile"],
        f"source {SHARE}/bash-completion/completions/vmem-exporter; vmem-exporter() {{ echo ran: $*.; }}",
    ),
    "zsh": (
        ["zsh", "-f"],
        f"fpath=({SHARE}/zsh/site-functions $fpath); autoload -Uz compinit; compinit -D -u;"
        " vmem-exporter() { echo ran: $*.; }",
    ),
    "fish": (
        ["fish", "--no-config"],
        f'source {SHARE}/fish/vendor_completions.d/vmem-exporter.fish; function vmem-exporter; echo "ran: $argv."; end',
    ),
}
"""How each is started, and told to say what the command would be given."""


def test_a_strict_reader_finds_nothing_wrong_with_the_page() -> None:
    linted = subprocess.run(
        [program("mandoc"), "-T", "lint", "-W", "warning", PAGE], capture_output=True, text=True, check=False
    )
    # The page has no date: it is as old as the version that it names.
    assert [line for line in linted.stdout.splitlines() if "missing date" not in line] == []


def test_the_page_has_every_command_and_flag() -> None:
    shown = subprocess.run([program("mandoc"), "-T", "ascii", PAGE], capture_output=True, text=True, check=True).stdout
    shown = re.sub(r".\x08", "", shown)
    for name in COMMANDS:
        assert f"\n     {name}\n" in shown or f"\n   {name}\n" in shown, name
        told = subprocess.run([COMMAND, name, "--help"], capture_output=True, text=True, check=True).stdout
        assert [flag for flag in re.findall(r"--[a-z.-]+", told) if flag not in shown] == []
    assert "A file with a mistake leaves the one before in force" in " ".join(shown.split())


@pytest.mark.live
@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_completes_commands_flags_their_values_and_files(shell: str, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").touch()
    (tmp_path / "sub").mkdir()
    command, set_up = SHELLS[shell]
    if shell != "bash":
        program(shell)
    with terminal(*command, HOME=str(tmp_path)) as person:
        person.type(f"cd {tmp_path}; {set_up}; echo re''ady\n")
        person.until(lambda lines: any(line.startswith("ready") for line in lines), "the shell's prompt")
        for typed, given in (
            ("ex", "explain"),
            ("--web.listen", "--web.listen-address"),
            ("--config.file mi", "--config.file mine.yaml"),
            ("--config.file=mi", "--config.file=mine.yaml"),
            ("--path.procfs su", "--path.procfs sub"),
            ("--log.level=wa", "--log.level=warn"),
            ("--log.level=warn test-m", "--log.level=warn test-match"),
            ("check-config mi", "check-config mine.yaml"),
            ("top --iter", "top --iterations"),
        ):
            person.type(f"vmem-exporter {typed}\t\n")
            ran = re.compile(rf"ran: {re.escape(given)}[=/]?\.")
            person.until(lambda lines, ran=ran: any(map(ran.match, lines)), given)
