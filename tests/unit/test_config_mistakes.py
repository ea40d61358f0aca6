"""The one line for each thing that is wrong in a configuration."""

import re

import pytest

from exporter.catalog import METRICS
from exporter.config import parse, reserved_labels
from exporter.errors import ConfigError


def problems(text: bytes | str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse(text.encode() if isinstance(text, str) else text, "f.yaml")
    assert str(caught.value) == "\n".join(caught.value.problems)
    return list(caught.value.problems)


def entry(inner: str, name: str = "name: a") -> str:
    return f"processes:\n- {name}\n  {inner}\n"


TOP = "one of processes, cgroups, max_groups, collectors"
KEYS = (
    "one of name, comm, exe, argv0, cmdline, user, cgroup, exclude, labels, smaps, oom_score, delays, per_process,"
    " by_cgroup, max_processes"
)
STRING = "expected a string (in quotes where YAML would read another type)"
COUNT = "expected a whole number from 1 to 999999"
VARIABLE = "expected a named capture of this entry's cmdline, or {comm}, {exe}, {argv0}, {argv0_base}, {user}, {cgroup}"
LABEL = "expected a label name: letters, digits and _, not __ first"

MISTAKES = [
    # The shape of the file.
    ("[a]", "1: found a list, expected a mapping"),
    ("a", "1: found 'a', expected a mapping"),
    ("processes: 1", "1: processes: found 1 (int), expected a list"),
    ("\n\nprocess: []", f"3: process: found an unknown key, expected {TOP}"),
    ("max_groups: 1\nmax_groups: 2", "2: max_groups: found the key a second time, expected each key once"),
    ("processes: [a]", "1: processes[0]: found 'a', expected a mapping"),
    ("processes: [[]]", "1: processes[0]: found a list, expected a mapping"),
    ("processes:", "1: processes: found nothing, expected a list"),
    ("processes: {}", "1: processes: found a mapping, expected a list"),
    ("? [1]\n: 2", f"1: a list: found an unknown key, expected {TOP}"),
    # Numbers and switches.
    ("max_groups: 0", f"1: max_groups: found 0 (int), {COUNT}"),
    ("max_groups: -1", f"1: max_groups: found -1 (int), {COUNT}"),
    ("max_groups: 1000000", f"1: max_groups: found 1000000 (int), {COUNT}"),
    ("max_groups: 1.5", f"1: max_groups: found 1.5 (float), {COUNT}"),
    ("max_groups: '5'", f"1: max_groups: found '5', {COUNT}"),
    ("max_groups: 0x10", f"1: max_groups: found 0x10 (int), {COUNT}"),
    ("max_groups: [1]", f"1: max_groups: found a list, {COUNT}"),
    ("collectors: {host: 1}", "1: collectors.host: found 1 (int), expected true or false"),
    ("collectors: {host: 'true'}", "1: collectors.host: found 'true', expected true or false"),
    ("collectors: {host: {}}", "1: collectors.host: found a mapping, expected true or false"),
    (
        "collectors: {disk: true}",
        "1: collectors.disk: found an unknown key, expected one of process, cgroup, host",
    ),
    # Entries of processes.
    (entry("nme: a"), f"3: processes[0].nme: found an unknown key, expected {KEYS}"),
    ("processes: [{}]", "1: processes[0].name: found no name, expected the group's name"),
    ("processes: [{name: ''}]", "1: processes[0].name: found '', expected a name"),
    ("processes: [{name: 5}]", f"1: processes[0].name: found 5 (int), {STRING}"),
    ("processes: [{name: null}]", f"1: processes[0].name: found nothing, {STRING}"),
    ("processes: [{name: 2024-01-01}]", f"1: processes[0].name: found 2024-01-01 (timestamp), {STRING}"),
    ("processes: [{name: on}]", f"1: processes[0].name: found on (bool), {STRING}"),
    (entry("comm: a"), "3: processes[0].comm: found 'a', expected a list"),
    (entry("comm: [5]"), f"3: processes[0].comm[0]: found 5 (int), {STRING}"),
    (
        entry("comm: [ok, 0123456789abcdef]"),
        "3: processes[0].comm[1]: found '0123456789abcdef' of 16 bytes, expected 1 to 15 bytes, as the kernel cuts comm"
        " there",
    ),
    (
        entry("comm: [ééééééééé]"),
        "3: processes[0].comm[0]: found 'ééééééééé' of 18 bytes, expected 1 to 15 bytes, as the kernel cuts comm there",
    ),
    (
        entry("comm: ['']"),
        "3: processes[0].comm[0]: found '' of 0 bytes, expected 1 to 15 bytes, as the kernel cuts comm there",
    ),
    (entry("exe: ['']"), "3: processes[0].exe[0]: found '', expected a path or a glob"),
    (entry("exe: ['[z-a]']"), "3: processes[0].exe[0]: found '[z-a]' (bad character range z-a), "),
    (entry("user: [1000]"), f"3: processes[0].user[0]: found 1000 (int), {STRING}"),
    (
        entry("cmdline: ['(']"),
        "3: processes[0].cmdline[0]: found '(' (missing ), unterminated subpattern at position 0), expected a regular"
        " expression",
    ),
    (
        entry("cmdline: ['a{99999999999}']"),
        "3: processes[0].cmdline[0]: found 'a{99999999999}' (the repetition number is too large), expected a regular"
        " expression",
    ),
    (
        entry("exclude: {cmdline: ['*']}"),
        "3: processes[0].exclude.cmdline[0]: found '*' (nothing to repeat at position 0), expected a regular"
        " expression",
    ),
    (
        entry("exclude: {name: a}"),
        "3: processes[0].exclude.name: found an unknown key, expected one of comm, exe, argv0, cmdline, user, cgroup",
    ),
    (entry("exclude: []"), "3: processes[0].exclude: found a list, expected a mapping"),
    (entry("max_processes: 0"), f"3: processes[0].max_processes: found 0 (int), {COUNT}"),
    (entry("smaps: 1"), "3: processes[0].smaps: found 1 (int), expected true or false"),
    # Names that are templates.
    (entry("comm: [a]", "name: '{app}'"), f"2: processes[0].name: found {{app}}, {VARIABLE}"),
    (entry("cmdline: ['(a)']", "name: '{a}'"), f"2: processes[0].name: found {{a}}, {VARIABLE}"),
    (
        entry("comm: [a]", "name: '{'"),
        "2: processes[0].name: found '{' (Single '{' encountered in format string), expected a name, with variables in"
        " {braces}",
    ),
    (
        entry("comm: [a]", "name: '{comm!r}'"),
        "2: processes[0].name: found '{comm!r}' ({comm} is not a plain variable), expected a name, with variables in"
        " {braces}",
    ),
    (
        entry("comm: [a]", "name: '{comm:>9}'"),
        "2: processes[0].name: found '{comm:>9}' ({comm} is not a plain variable), expected a name, with variables in"
        " {braces}",
    ),
    (
        entry("comm: [a]", "name: '{0}'"),
        "2: processes[0].name: found '{0}' ({0} is not a plain variable), expected a name, with variables in {braces}",
    ),
    # Names that are taken.
    (
        "processes:\n- name: a\n- name: b\n- {name: a, smaps: true}",
        "4: processes[2].name: found 'a' again, with other options, expected those of line 2, or another name",
    ),
    (
        "processes:\n- name: '{{'\n- {name: '{{', labels: {a: b}}",
        "3: processes[1].name: found '{' again, with other options, expected those of line 2, or another name",
    ),
    (
        "processes:\n- name: other",
        "2: processes[0].name: found 'other', expected another name: it is the group of what max_groups folds",
    ),
    # Labels.
    (entry("labels: [a]"), "3: processes[0].labels: found a list, expected a mapping"),
    (entry("labels: {a-b: x}"), f"3: processes[0].labels.a-b: found 'a-b', {LABEL}"),
    (entry("labels: {__a: x}"), f"3: processes[0].labels.__a: found '__a', {LABEL}"),
    (entry("labels: {1a: x}"), f"3: processes[0].labels.1a: found '1a', {LABEL}"),
    (entry("labels: {'': x}"), f"3: processes[0].labels.: found '', {LABEL}"),
    (entry("labels: {é: x}"), f"3: processes[0].labels.é: found 'é', {LABEL}"),
    (entry("labels: {group: x}"), "3: processes[0].labels.group: found a label that the exporter sets, "),
    (entry("labels: {pid: x}"), "3: processes[0].labels.pid: found a label that the exporter sets, "),
    (entry("labels: {part: x}"), "3: processes[0].labels.part: found a label that the exporter sets, "),
    (entry("labels: {a: 1}"), f"3: processes[0].labels.a: found 1 (int), {STRING}"),
    (entry("labels: {a: x, a: y}"), "3: processes[0].labels.a: found the key a second time, expected each key once"),
    # Entries of cgroups.
    ("cgroups: [{path: /a}]", "1: cgroups[0].name: found no name, expected the group's name"),
    ("cgroups: [{name: '', path: /a}]", "1: cgroups[0].name: found no name, expected the group's name"),
    ("cgroups: [{name: a}]", "1: cgroups[0]: found neither path nor preset, expected one of them"),
    (
        "cgroups: [{name: a, path: /a, preset: docker}]",
        "1: cgroups[0]: found both path and preset, expected one of them",
    ),
    (
        "cgroups: [{name: a, path: a}]",
        "1: cgroups[0].path: found 'a', expected a path below the cgroup root, which starts with /",
    ),
    (
        "cgroups: [{name: a, preset: k8s}]",
        "1: cgroups[0].preset: found 'k8s', expected one of kubernetes, docker, podman, systemd",
    ),
    (
        "cgroups: [{name: a, path: /a, labels_from: b}]",
        "1: cgroups[0].labels_from: found 'b', expected named captures, (?P<label>...)",
    ),
    (
        "cgroups: [{name: a, path: /a, labels_from: '(?P<group>x)'}]",
        "1: cgroups[0].labels_from: found 'group', expected captures named as labels that the exporter doesn't set",
    ),
    (
        "cgroups: [{name: a, preset: docker, labels_from: '(?P<b>x)'}]",
        "1: cgroups[0].labels_from: found it beside a preset, expected the preset's own labels",
    ),
    (
        "cgroups: [{name: a, path: /a, labels_from: '(?P<b>x)', labels: {b: c}}]",
        "1: cgroups[0].labels: found 'b', which is captured, expected another name",
    ),
    (
        "cgroups:\n- {name: a, path: /a}\n- {name: a, path: /b}",
        "3: cgroups[1].name: found 'a' again, expected another name than that of line 2",
    ),
    # YAML itself.
    ("a: [", "1: found "),
    ("a: b: c", "1: found mapping values are not allowed here, expected YAML"),
    ("x: *nowhere", "1: found undefined alias 'nowhere', expected YAML"),
    ("processes: []\n---\nprocesses: []", "2: found "),
    ("processes:\n\t- a", "2: found character '\\t' that cannot start any token, expected YAML"),
    ('processes: "\\U00110000"', "1: found "),
]


@pytest.mark.parametrize(("text", "line"), MISTAKES, ids=[line[:50] for _, line in MISTAKES])
def test_a_mistake_gives_its_one_line(text: str, line: str) -> None:
    [found] = problems(text)
    if line.endswith(" "):
        assert found.startswith(f"f.yaml:{line}")
    else:
        assert found == f"f.yaml:{line}"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (b"processes: []\n\n# \x01\n", 3),
        (b"processes: []\n\n# \xff\n", 3),
        (b"[" * 5000, 1),
        (b'max_groups: "\\UFFFFFFFF"\n', 1),
        (b'processes:\n- name: a\n  comm: [ok, "\\ud800"]\n', 3),
        (b'processes:\n- name: "\\udfff"\n', 2),
        (b'processes:\n- name: a\n  labels: {b: "\\ud800"}\n', 3),
        (b'"a\\nb": 1\n', 1),
        (b'max_groups: !!int "1\\n2"\n', 1),
        (b"!%1at'6", 1),
        (b'processes:\n- name: a\n  labels: {"a\\nb": c}\n', 3),
    ],
    ids=[
        "control",
        "not utf-8",
        "deep",
        "no character",
        "surrogate",
        "in a name",
        "in a label",
        "key",
        "int",
        "tag",
        "label",
    ],
)
def test_what_yaml_lets_through_gives_one_line_too(text: bytes, line: int) -> None:
    [found] = problems(text)
    assert found.startswith(f"f.yaml:{line}: ")
    assert re.fullmatch(r"f\.yaml:\d+: [^\n]*found [^\n]+, expected [^\n]+", found)


def test_all_problems_are_listed_at_once_in_their_order() -> None:
    text = """\
processes:
- name: a
  comm: [0123456789abcdef, 7]
  smap: true
- comm: [b]
- name: "{x}"
  cmdline: ['(']
- {name: a, smaps: true}
- name: "{y}"
max_groups: none
collectors: {host: maybe}
cgroups: {}
"""
    assert [line.split(": found ")[0] for line in problems(text)] == [
        "f.yaml:3: processes[0].comm[0]",
        "f.yaml:3: processes[0].comm[1]",
        "f.yaml:4: processes[0].smap",
        "f.yaml:5: processes[1].name",
        "f.yaml:7: processes[2].cmdline[0]",
        "f.yaml:8: processes[3].name",
        "f.yaml:9: processes[4].name",
        "f.yaml:10: max_groups",
        "f.yaml:11: collectors.host",
        "f.yaml:12: cgroups",
    ]


def test_captures_that_could_not_be_read_are_not_missed() -> None:
    assert len(problems("processes:\n- name: '{app}'\n  cmdline: ['(?P<app>x']\n")) == 1


def test_reserved_labels_are_those_of_the_catalogue() -> None:
    assert {"group", "pid", "comm", "part", "mode", "kind", "reason", "cgroup", "stat", "event"} <= reserved_labels()
    assert "node" in METRICS["vmem_node_mem_total_bytes"].labels
    assert "node" not in reserved_labels()
