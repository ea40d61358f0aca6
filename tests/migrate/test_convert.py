"""`vmem-exporter convert`: a configuration of process-exporter, and the same groups."""

import re
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from conftest import StartChild, StartExporter
from support.daemon import daemon, free_address, until
from support.exporter import COMMAND
from support.needs import program
from support.page import Page, parsed
from yaml import safe_load

from exporter.config import load

ALL = """\
process_names:
- comm: [bash, a-name-longer-than-15-bytes]
- exe: [postgres, /usr/bin/a*b, /opt/x/java, java]
- name: "{{.ExeFull}}:{{.Matches.file}}"
  exe: [tool]
  cmdline:
  - -config\\s+(?P<file>\\S+)
  - '[[:digit:]]$'
- name: fixed
  comm: [123]
- name: fixed
  exe: [fixed]
- name: all
  cmdline: []
"""


def convert(directory: Path, text: str) -> tuple[subprocess.CompletedProcess[str], Path]:
    """Run the command; gives what it did, and the file that it wrote."""
    (directory / "peer.yaml").write_text(text)
    done = subprocess.run([COMMAND, "convert", "peer.yaml"], cwd=directory, capture_output=True, text=True, check=False)
    written = directory / "converted.yaml"
    written.write_text(done.stdout)
    return done, written


def test_selectors_and_names(tmp_path: Path) -> None:
    done, written = convert(tmp_path, ALL)
    assert safe_load(done.stdout) == {
        "max_groups": 2000,
        "processes": [
            {"name": "{argv0_base}", "comm": ["bash"]},
            {"name": "{argv0_base}", "argv0": ["**/postgres", "/usr/bin/a[*]b", "**/java"]},
            {
                "name": "{argv0}:{file}",
                "argv0": ["**/tool"],
                "cmdline": [r"(?a)-config\s+(?P<file>\S+)", r"[0-9]\Z"],
            },
            {"name": "fixed", "comm": ["123"]},
            {"name": "fixed", "argv0": ["**/fixed"]},
            {"name": "all"},
        ],
    }
    said = [
        "peer.yaml:2: process_names[0].comm: 'a-name-longer-than-15-bytes' is no name of 1 to 15 bytes, as the kernel"
        " has them: it matched nothing",
        "peer.yaml:3: process_names[1].exe: process-exporter keeps one rule for each last part of a path: of those for"
        " 'java', this one",
        "peer.yaml:14: process_names[5].cmdline: it takes kernel threads too, whose command line is empty; here only"
        " comm takes one",
    ]
    assert done.stderr.splitlines() == said
    assert [line.removeprefix("# ") for line in done.stdout.splitlines() if line.startswith("# peer.yaml:")] == said
    assert done.returncode == 1
    assert len(load(str(written)).processes) == 6


def test_what_has_a_counterpart_is_converted_without_a_word(tmp_path: Path) -> None:
    done, written = convert(tmp_path, "process_names: [{name: x, comm: [a], exe: [b], cmdline: ['c', '.*']}]")
    assert (done.returncode, done.stderr) == (0, "")
    assert "max_groups" not in done.stdout
    assert [entry.name for entry in load(str(written)).processes] == ["x"]


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ("comm: []", "process_names[0]: the entry is left out: it matches no process, or can't be said"),
        ("exe: []", "process_names[0]: the entry is left out: it matches no process, or can't be said"),
        ("cmdline: ['(?=a)']", "process_names[0].cmdline: '(?=a)': (?=a, which Go's syntax doesn't have"),
        ("comm: [a], cgroup: [b]", "process_names[0].cgroup: process-exporter has no such key and passes it over"),
        ("comm: [a], name: '{{.PID}}'", "process_names[0].name: {{.PID}} makes a group of each process"),
    ],
)
def test_what_has_no_counterpart_is_said_with_its_line(tmp_path: Path, entry: str, says: str) -> None:
    done, written = convert(tmp_path, f"process_names:\n- {{{entry}}}\n")
    assert done.returncode == 1
    assert done.stderr.startswith(f"peer.yaml:2: {says}")
    load(str(written))


def test_no_groups_are_none_here_too(tmp_path: Path) -> None:
    done, written = convert(tmp_path, "process_names:\n")
    assert (done.returncode, done.stderr) == (0, "")
    assert load(str(written)).processes == ()


def test_the_exporter_s_own_group_keeps_its_name(tmp_path: Path) -> None:
    done, written = convert(tmp_path, "process_names:\n- name: other\n  cmdline: ['.+']\n")
    assert done.returncode == 1
    assert done.stderr == (
        "peer.yaml:2: process_names[0].name: 'other' is the group of what max_groups folds here:"
        " called 'other_processes'\n"
    )
    assert [entry.name for entry in load(str(written)).processes] == ["other_processes"]


def test_a_name_that_is_a_process_each_is_shown_by_process(tmp_path: Path) -> None:
    done, _ = convert(tmp_path, "process_names: [{name: '{{.Comm}}-{{.PID}}', comm: [a]}]")
    assert safe_load(done.stdout)["processes"] == [{"name": "{comm}", "comm": ["a"], "per_process": True}]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "peer.yaml:1: found nothing, expected process_names"),
        ("a: 1", "peer.yaml:1: process_names: found no such key, expected the list of process-exporter's groups"),
        ("process_names: 1", "peer.yaml:1: process_names: found 1 (int), expected a list"),
        ("process_names: [{}]", "peer.yaml:1: process_names[0]: found no selector, expected comm, exe or cmdline"),
        ("process_names: [{comm: a}]", "peer.yaml:1: process_names[0].comm: found 'a', expected a list"),
        ("process_names: [{comm: [[a]]}]", "peer.yaml:1: process_names[0].comm[0]: found a list, expected a string"),
        ("process_names: [", "peer.yaml:1: found "),
    ],
)
def test_what_process_exporter_would_not_take_is_an_error(tmp_path: Path, text: str, says: str) -> None:
    done, _ = convert(tmp_path, text)
    assert done.stderr.startswith(says)
    assert "Traceback" not in done.stderr
    assert (done.returncode, done.stdout) == (2, "")


LIVE = r"""
process_names:
- name: "by-comm"
  comm: [mig-comm]
- exe: [mig-exe, /opt/mig/full]
- name: "{{.ExeFull}} {{.Matches.port}}"
  cmdline:
  - mig-cmdline
  - (?i)--PORT=(?P<port>\d+)$
- name: "titled:{{.ExeBase}}"
  cmdline: ['^mig title']
- name: "by-comm"
  exe: ['mig[odd]*']
- name: "{{.Matches}}"
  cmdline: ['mig-map (?P<b>\w)(?P<a>\w)?', '(last|least)$']
- name: "{{.Matches}}"
  cmdline: ['mig-whole \w']
- name: "{{.Comm}} of {{.Username}}"
  cmdline: ['.+']
"""
PROCESSES = {  # the arguments that each has, and how many there are
    ("mig-exe",): 1,
    ("/usr/lib/mig-exe", "x"): 2,
    ("/opt/mig/full",): 1,
    ("/opt/other/full",): 1,
    ("sh", "mig-cmdline", "--port=80"): 1,
    ("sh", "mig-cmdline", "--port=81\n"): 1,
    ("mig title: worker /run/x",): 1,
    ("/a/mig[odd]*",): 1,
    ("sh", "mig-map", "xy", "last"): 1,
    ("sh", "mig-map", "x", "least"): 1,
    ("sh", "mig-whole", "x"): 1,
}


@contextmanager
def processes() -> Iterator[None]:
    with ExitStack() as stack:
        for arguments, count in PROCESSES.items():
            for _ in range(count):
                # They wait for their input: cat takes no notice of what it is called, but for its arguments.
                code = "import sys; sys.stdin.read()"
                command = [arguments[0], "-c", code, *arguments[1:]]
                process = subprocess.Popen(command, executable="/usr/bin/python3", stdin=subprocess.PIPE)
                stack.callback(process.wait)
                stack.callback(process.kill)
                assert process.stdin
                stack.callback(process.stdin.close)
        yield


def counts(page: Page, metric: str, label: str) -> dict[str, int]:
    """How many processes each group has that has any."""
    found = {re.fullmatch(rf'{metric}{{{label}="(.*)"}}', key): value for key, value in page.items()}
    return {match[1]: int(value) for match, value in found.items() if match and value}


@pytest.mark.live
def test_both_exporters_show_the_same_groups_with_as_many_processes(
    tmp_path: Path, start_exporter: StartExporter, start_child: StartChild
) -> None:
    done, written = convert(tmp_path, LIVE)
    assert (done.returncode, done.stderr) == (0, "")
    start_child("mig-comm")
    address = free_address()
    peer = [program("prometheus-process-exporter"), "-config.path", "peer.yaml", "-web.listen-address", address]
    peer[2] = str(tmp_path / "peer.yaml")
    flags = ["-children=false", "-threads=false", "-gather-smaps=false", "-recheck"]
    with processes(), daemon([*peer, *flags], address, "/metrics", tmp_path / "peer.log") as started:
        exporter = start_exporter(written.read_text())
        seen: list[dict[str, int]] = []

        def agree() -> bool:
            # Other processes of the machine come and go between the two scrapes.
            theirs = counts(parsed(started.request("/metrics").text), "namedprocess_namegroup_num_procs", "groupname")
            ours = counts(exporter.scrape(), "vmem_process_count", "group")
            seen[:] = [theirs, ours]
            return theirs == ours

        until(agree, f"the groups are the same: {seen}")
    ours = seen[1]
    assert ours["by-comm"] == 2
    assert (ours["mig-exe"], ours["full"]) == (3, 1)
    assert ours["sh 80"] == 1
    assert ours["titled:x"] == 1
    assert (ours["map[:last a:y b:x]"], ours["map[:least a: b:x]"], ours["map[:mig-whole x]"]) == (1, 1, 1)
    assert sum(count for name, count in ours.items() if " of " in name) > 3
