"""Write the manual page and the shells' completions from the command's own parser, or with --check say whether they
are up to date.

argparse-manpage was tried: it dates the page, repeats the daemon's flags for each command and leaves NAME half empty.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import shtab

from exporter import __version__, cli

SHARE = Path(__file__).parents[1] / "packaging/share"
"""As below /usr/share: the wheel has it so, and where a system looks for such files."""

# shtab's own way with fish knows no --flag=value.
FISH_FILE = "(__fish_complete_path (string replace -r '^--[^=]+=' '' -- (commandline -ct)))"
COMPLETED = {"FILE": shtab.FILE | {"fish": FISH_FILE}, "DIR": shtab.DIRECTORY}
"""What a shell can complete, by the flag's word for it."""

BASH = "complete -o bashdefault -F _shtab_vmem_exporter vmem-exporter"
BASH_EQUALS = r"""
# bash makes three words of --flag=value.
_vmem_exporter() {
  local word words=() at=$COMP_CWORD place=0
  for word in "${COMP_WORDS[@]}"; do
    if [[ $word == = && $place -gt 0 ]]; then
      if (( place == COMP_CWORD )); then words+=(""); else (( place < COMP_CWORD )) && (( at -= 1 )); fi
    else
      words+=("$word")
    fi
    (( place += 1 ))
  done
  local COMP_WORDS=("${words[@]}") COMP_CWORD=$at
  _shtab_vmem_exporter
}

complete -o bashdefault -F _vmem_exporter vmem-exporter
"""

SUMMARY = "memory of processes, cgroups and the host, for Prometheus"

DESCRIPTION = """\
Without a command it serves, at http://localhost:10987/ for people and at /metrics for Prometheus, until SIGTERM or
SIGINT. Without a configuration every process is watched, grouped by its name.
"""

BEHIND_COMMAND = "It takes the flags of the configuration, of the kernel's files and of the log as well."

REST = r"""
.SH SIGNALS
.TP
SIGHUP
The daemon reads its configuration anew. A file with a mistake leaves the one before in force.
.SH EXIT STATUS
.TP
0
As asked.
.TP
1
.B explain
has found something critical;
.B convert
something that has no counterpart.
.TP
2
Something that the user can mend: a flag, the configuration, an address in use, a process that is not there. One line on
standard error says what was found and what was expected.
.SH ENVIRONMENT
.TP
NO_COLOR
Set to anything, no colours are shown.
.SH EXAMPLES
.EX
vmem-exporter init > config.yaml
vmem-exporter check-config config.yaml
vmem-exporter --config.file=config.yaml
vmem-exporter explain postgres --config.file=config.yaml
.EE
.SH SEE ALSO
.BR proc (5),
.BR cgroups (7)
.PP
https://github.com/vmem-exporter/vmem-exporter/tree/main/docs
"""


def page(parser: argparse.ArgumentParser) -> str:
    """The manual page, in man(7)."""
    daemon = [action for action in parser._actions if action.option_strings]
    shared = {option for action in daemon for option in action.option_strings}
    # Without a date: the page is as old as the version.
    lines = [f'.TH VMEM-EXPORTER 1 "" "vmem-exporter {__version__}"']
    lines += [".SH NAME", rf"vmem-exporter \- {SUMMARY}"]
    lines += [".SH SYNOPSIS", ".B vmem-exporter", r"[\fIFLAG\fR]..."]
    for name, command in commands(parser).items():
        own = [action for action in command._actions if not shared & {*action.option_strings}]
        lines += [
            ".br",
            f".B vmem-exporter {text(name)}",
            " ".join(r"\fI" + text(usage(action)) + r"\fR" for action in own),
        ]
    lines += [".SH DESCRIPTION", text(parser.description or ""), text(DESCRIPTION)]
    lines += [".SH FLAGS", *entries(daemon)]
    lines += [".SH COMMANDS"]
    for name, command in commands(parser).items():
        own = [action for action in command._actions if not shared & {*action.option_strings}]
        lines += [f".SS {text(name)}", *paragraphs(command.description or "")]
        if shared & {option for action in command._actions for option in action.option_strings if "." in option}:
            lines += [".PP", text(BEHIND_COMMAND)]
        lines += entries(own)
    return "\n".join(line for line in lines if line) + REST


def commands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """The parser of each command."""
    [found] = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    return dict(found.choices)


def entries(actions: Iterable[argparse.Action]) -> Iterator[str]:
    """A flag or argument each."""
    for action in actions:
        yield ".TP"
        word = "" if action.nargs == 0 else rf" \fI{text(str(action.metavar))}\fR"
        if action.choices:
            word = " " + "|".join(rf"\fB{text(choice)}\fR" for choice in action.choices)
        names = ", ".join(rf"\fB{text(option)}\fR" for option in action.option_strings)
        yield (names + word).strip()
        told = action.help or ("(default: %(default)s)" if action.default else "")
        yield text(told % vars(action))


def usage(action: argparse.Action) -> str:
    """An argument in the synopsis."""
    if not action.option_strings:
        return f"[{action.metavar}]" if action.nargs == "?" else str(action.metavar)
    word = "" if action.nargs == 0 else f" {action.metavar}"
    return f"[{action.option_strings[-1]}{word}]"


def paragraphs(description: str) -> Iterator[str]:
    """The paragraphs of a docstring."""
    for place, paragraph in enumerate(description.strip().split("\n\n")):
        if place:
            yield ".PP"
        yield text(paragraph)


def text(words: str) -> str:
    """Words as roff has them: no line of them is a request, and a dash is the one that is typed."""
    escaped = " ".join(words.split()).replace("\\", r"\e").replace("-", r"\-")
    return re.sub(r"^([.'])", r"\&\1", escaped)


def files() -> dict[Path, str]:
    """Every file and what it should hold."""
    parser = cli.command_line(tuple(cli.COMMANDS))
    for each in (parser, *commands(parser).values()):
        for action in each._actions:
            if action.metavar in COMPLETED:
                action.complete = COMPLETED[action.metavar]  # type: ignore[attr-defined]
    manual = page(parser)
    # A shell shows a line.
    for name, command in commands(parser).items():
        command.description = cli.COMMANDS[name]
    bash, zsh, fish = (shtab.complete(parser, shell) for shell in ("bash", "zsh", "fish"))
    return {
        SHARE / "man/man1/vmem-exporter.1": manual,
        SHARE / "bash-completion/completions/vmem-exporter": bash.replace(BASH, BASH_EQUALS.strip()),
        # The same for zsh, where a flag takes a value.
        SHARE / "zsh/site-functions/_vmem-exporter": re.sub(r'^(  "\*?--[\w.-]+)(\[.*\]:)', r"\1=\2", zsh, flags=re.M),
        SHARE / "fish/vendor_completions.d/vmem-exporter.fish": fish,
    }


def main() -> int:
    """Write or check. Returns the exit code."""
    check = sys.argv[1:] == ["--check"]
    old = {path: text for path, text in files().items() if not path.exists() or path.read_text() != text}
    for path, content in old.items():
        if check:
            print(f"{path.relative_to(SHARE.parents[1])} is not what the parser says: run `make docs`", file=sys.stderr)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
    return int(check and bool(old))


if __name__ == "__main__":
    sys.exit(main())
