"""The configuration: what a file says, and that any text is one or has its problems."""

import re
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from exporter.config import (
    DEFAULT,
    CgroupEntry,
    Collectors,
    Config,
    ProcessEntry,
    Selectors,
    load,
    parse,
    variables,
)
from exporter.errors import ConfigError, UsageError
from exporter.watch.glob import compile_glob
from exporter.watch.presets import PRESETS

DOCUMENTED = rb"""
processes:
  - name: postgres
    comm: [postgres]
  - name: "{app}"
    exe: [/usr/bin/java]
    cmdline: ['-jar\s+(?P<app>[\w-]+)\.jar']
    exclude: {cmdline: ['--test']}
    user: [app]
    cgroup: ['/system.slice/app-*.service']
    labels: {team: payments}
    smaps: false
    oom_score: false
    per_process: false
    max_processes: 20
cgroups: []
collectors: {process: true, cgroup: true, host: true}
"""


def test_the_documented_example() -> None:
    assert parse(DOCUMENTED, "f.yaml") == Config(
        processes=(
            ProcessEntry(name="postgres", select=Selectors(comm=(b"postgres",))),
            ProcessEntry(
                name="{app}",
                select=Selectors(
                    exe=(compile_glob("/usr/bin/java"),),
                    cmdline=(re.compile(r"-jar\s+(?P<app>[\w-]+)\.jar"),),
                    user=("app",),
                    cgroup=(compile_glob("/system.slice/app-*.service"),),
                ),
                exclude=Selectors(cmdline=(re.compile("--test"),)),
                labels=(("team", "payments"),),
                smaps=False,
                oom_score=False,
                per_process=False,
                max_processes=20,
            ),
        ),
        cgroups=(),
        max_groups=200,
        collectors=Collectors(process=True, cgroup=True, host=True),
    )


@pytest.mark.parametrize("text", [b"", b"# nothing\n", b"{}\n", b"processes: []\n"])
def test_what_is_left_out_has_its_default(text: bytes) -> None:
    assert parse(text, "f.yaml") == Config(processes=(), cgroups=(), max_groups=200, collectors=Collectors())


def test_every_option() -> None:
    text = b"""\
max_groups: 7
collectors: {host: no, process: on}
processes:
- name: 'fixed {{}}'
  comm: [a, '{x}']
  argv0: ['*/b']
  exclude: {comm: [c], exe: [/d], argv0: [e], user: [f], cgroup: [/g]}
  labels: {z: '1', a: ''}
  smaps: true
  oom_score: yes
  delays: true
  per_process: True
  by_cgroup: false
  max_processes: 999999
"""
    config = parse(text, "f.yaml")
    [found] = config.processes
    assert (config.max_groups, config.collectors) == (7, Collectors(process=True, cgroup=True, host=False))
    assert found == ProcessEntry(
        name="fixed {{}}",
        select=Selectors(comm=(b"a", b"{x}"), argv0=(compile_glob("*/b"),)),
        exclude=Selectors(
            comm=(b"c",),
            exe=(compile_glob("/d"),),
            argv0=(compile_glob("e"),),
            user=("f",),
            cgroup=(compile_glob("/g"),),
        ),
        labels=(("a", ""), ("z", "1")),
        smaps=True,
        oom_score=True,
        delays=True,
        per_process=True,
        max_processes=999999,
    )
    assert (found.fixed, found.templated, found.group) == (True, False, "fixed {}")


def test_cgroups() -> None:
    text = rb"""
cgroups:
- name: web
  path: /lab/*
  exclude: [/lab/db]
  labels_from: '/lab/(?P<app>\w+)$'
  labels: {team: x}
  max_cgroups: 3
- {name: pods, preset: kubernetes}
"""
    assert parse(text, "f.yaml").cgroups == (
        CgroupEntry(
            name="web",
            path="/lab/*",
            exclude=(compile_glob("/lab/db"),),
            labels_from=re.compile(r"/lab/(?P<app>\w+)$"),
            labels=(("team", "x"),),
            max_cgroups=3,
        ),
        CgroupEntry(name="pods", preset="kubernetes", labels_from=PRESETS["kubernetes"], max_cgroups=500),
    )


@pytest.mark.parametrize("name", ["{comm}", "{exe}", "{user}", "{cgroup}", "a-{comm}-{user}", "{app}", "{app}/{comm}"])
def test_what_a_name_may_use(name: str) -> None:
    [found] = parse(f"processes: [{{name: '{name}', cmdline: ['(?P<app>x)']}}]".encode(), "f.yaml").processes
    assert (found.name, found.fixed, found.templated) == (name, False, True)


def test_variables() -> None:
    assert list(variables("a {b} {{c}} {d}")) == ["b", "d"]
    assert list(variables("plain")) == []


def test_the_default_watches_every_process_by_comm() -> None:
    assert Config(processes=(ProcessEntry(name="{comm}"),)) == DEFAULT
    assert DEFAULT.summary == "every process, grouped by comm (no --config.file given)"


def test_a_summary_names_what_is_watched() -> None:
    config = parse(b"processes: [{name: a}, {name: '{comm}'}]\ncgroups: [{name: c, path: /c}]", "f.yaml")
    assert config.summary == "processes: a, {comm}; cgroups: c"
    assert Config().summary == "processes: none; cgroups: none"


def test_a_file(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_bytes(b"max_groups: 3\n")
    assert load(str(file)).max_groups == 3
    file.write_bytes(b"max_groups: x\n")
    with pytest.raises(ConfigError, match=rf"^{re.escape(str(file))}:1: max_groups: found 'x', expected a whole"):
        load(str(file))


def test_an_error_shows_the_beginning_of_a_value() -> None:
    """A file of something else is one long string, and may be nobody else's business."""
    with pytest.raises(ConfigError) as caught:
        parse(b"x" * 61, "config.yaml")
    assert caught.value.problems == (f"config.yaml:1: found '{'x' * 60}'…, expected a mapping",)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    for path, reason in ((tmp_path / "none", "No such file or directory"), (tmp_path, "Is a directory")):
        with pytest.raises(ConfigError) as caught:
            load(str(path))
        assert caught.value.problems == (f"{path}: found {reason}, expected a readable YAML file",)
        assert isinstance(caught.value, UsageError)


def test_a_file_without_an_end_is_not_read_to_it() -> None:
    with pytest.raises(ConfigError) as caught:
        load("/dev/zero")
    assert caught.value.problems == ("/dev/zero: found more than 4 MiB, expected a YAML file",)


FRAGMENTS = [
    *("processes:", "cgroups:", "- ", "name:", "comm:", "exe:", "cmdline:", "user:", "labels:", "exclude:", "a", "'"),
    *("[", "]", "{", "}", ",", "\n", "  ", ": ", '"', "{comm}", "(?P<x>", ")", "*", "&a ", "*a", "!!int ", "? ", "|\n"),
    *("true", "5", "null", "smaps:", "max_groups:", "collectors:", "path:", "/a", "preset:", "docker", "labels_from:"),
    *("\\ud800", "\\n", "<<: ", "~", "é", "\t", "#", "[[", "(?i)", "é" * 9, "a" * 16),
]


@given(st.lists(st.sampled_from(FRAGMENTS), max_size=25).map("".join) | st.text(max_size=60))
@example("processes: [{name: a, exe: ['[[a]']}]")
@example("processes: [{name: a, cmdline: ['[[a]']}]")
@example('cgroups: [{name: "\\ud800", path: /a}]')
def test_any_text_gives_a_configuration_or_its_problems(text: str) -> None:
    _gives_a_configuration_or_its_problems(text.encode("utf-8", "surrogatepass"))


@given(st.binary(max_size=60))
def test_any_bytes_give_a_configuration_or_its_problems(text: bytes) -> None:
    _gives_a_configuration_or_its_problems(text)


def _gives_a_configuration_or_its_problems(text: bytes) -> None:
    try:
        config = parse(text, "f.yaml")
    except ConfigError as error:
        assert error.problems
        for line in error.problems:
            assert re.fullmatch(r"f\.yaml:\d+: [^\n]*found [^\n]*, expected [^\n]+", line), line
    else:
        assert isinstance(config, Config)
        # What a configuration says can be shown.
        repr(config).encode()
        config.summary.encode()
