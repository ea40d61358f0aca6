"""What a person reads: numbers, names that could do harm, colours, widths."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from unit.tree import FIXTURES

from exporter.commands.explain import coloured
from exporter.config import DEFAULT
from exporter.errors import ParseError
from exporter.explain import as_json, text
from exporter.explain.findings import Evidence, Finding, Report, Severity, report
from exporter.explain.observer import Observer
from exporter.explain.rows import Cgroup, Host, Machine, Memory, Process, Row, Subject
from exporter.explain.table import COLUMNS, cut, lines
from exporter.explain.units import shown, size
from exporter.explain.view import View, bar, screen
from exporter.kernel.limits import locked_memory
from exporter.kernel.status import effective_capabilities

EVIL = "\x1b[2J<script>\n"


def subject(name: str, resident: int | None = 1 << 20, limit: float = math.inf) -> Subject:
    memory = Memory(resident=resident)
    cgroup = Cgroup(path="/c", folder="/cg/c", version="2", limit=limit, working_set=0, effective_limit=limit)
    process = Process(pid=7, comm=name, born=1.0, memory=memory)
    return Subject(Row(kind="group", name=name, at=2.0, processes=(process,), memory=memory, cgroup=cgroup))


def finding(severity: Severity, name: str = "a") -> Finding:
    evidence = (Evidence("VmRSS", 1, "bytes", "/proc/7/status"),)
    return Finding("rule", name, severity, f"title of {severity}", evidence, "", "act", "Documentation/x.rst")


def told(*findings: Finding, name: str = "a") -> Report:
    host = Host(at=2.0, meminfo={"MemTotal": 4 << 20}, vmstat={})
    return Report(((subject(name), findings),), Machine(host), ())


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        (0, "bytes", "0 B"),
        (1023, "bytes", "1023 B"),
        (1024, "bytes", "1.0 KiB"),
        (1048575, "bytes", "1.0 MiB"),
        (5 << 40, "bytes", "5.0 TiB"),
        (math.inf, "bytes", "max"),
        (None, "bytes", "-"),
        (None, "count", "-"),
        (3 << 20, "bytes/s", "3.0 MiB/s"),
        (0.1234, "ratio", "12.3 %"),
        (1.5, "seconds", "1.50 s"),
        (0.0123, "seconds", "12.3 ms"),
        (12.34, "1/s", "12.3/s"),
        (12, "count", "12"),
        (12345.6, "1/s", "12,346/s"),
        ("never", "word", "never"),
    ],
)
def test_a_number_is_shown_with_its_unit(value: float | str | None, unit: str, expected: str) -> None:
    assert shown(value, unit) == expected


def test_a_name_can_not_speak_to_the_terminal() -> None:
    for whole in True, False:
        page = text.render(told(finding(Severity.WARNING, EVIL), name=EVIL), whole=whole, width=80, colour=False)
        assert "\x1b" not in page
        assert r"\x1b[2J<script>\n" in page
    console = Console(width=80, height=10, record=True, force_terminal=True, color_system=None)
    with console.capture() as captured:
        console.print(screen(told(name="[red]" + EVIL), View(), 80, 10))
    assert "\x1b[2J" not in captured.get()
    assert r"[red]\x1b[2J" in captured.get()


def test_only_a_terminal_is_given_colours() -> None:
    report = told(finding(Severity.CRITICAL), finding(Severity.INFO))
    plain = text.render(report, whole=False, width=80, colour=False)
    assert "\x1b" not in plain
    coloured = text.render(report, whole=False, width=80, colour=True)
    assert "\x1b[31mcritical\x1b[0m  title of critical" in coloured
    assert coloured.replace("\x1b[31m", "").replace("\x1b[36m", "").replace("\x1b[0m", "") == plain


def test_a_subject_is_shown_with_what_its_cgroup_waited_and_whose_limit_it_meets() -> None:
    above = Cgroup(path="/c", folder="/cg/c", version="2", limit=100 << 20, working_set=80 << 20)

    def at(seconds: float, waited: float) -> Row:
        cgroup = Cgroup(
            path="/c/in", folder="/cg/c/in", version="2", usage=1 << 20, working_set=1 << 20,
            effective_limit=100 << 20, pressure_some=waited, above=above,
        )  # fmt: skip
        return Row(kind="cgroup", name="/c/in", at=seconds, cgroup=cgroup)

    subject = Subject(at(4.0, 1.5), at(2.0, 1.0))
    page = text.render(
        Report(((subject, ()),), Machine(Host(at=4.0, meminfo={}, vmstat={})), ()), whole=False, width=80, colour=False
    )
    assert page.startswith("cgroup /c/in: 0 processes\n")
    assert "    limit       100.0 MiB   headroom 20.0 MiB, the limit of /c\n" in page
    assert "    pressure         25 %   of the time some task waited for memory\n" in page
    assert "  major faults        0/s   0 in 2.0 s\n" in page
    assert page.endswith("Nothing to say: all is as it should be.\n")


@pytest.mark.parametrize(
    ("terminal", "variables", "expected"),
    [
        (True, {"TERM": "xterm"}, True),
        (False, {"TERM": "xterm"}, False),
        (True, {"TERM": "xterm", "NO_COLOR": "1"}, False),
        # no-color.org: an empty one is none.
        (True, {"TERM": "xterm", "NO_COLOR": ""}, True),
        (True, {"TERM": "dumb"}, False),
    ],
)
def test_colours_are_wanted_in_a_terminal_that_has_them_and_by_nobody_who_says_no(
    terminal: bool, variables: dict[str, str], expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.stdout.isatty", lambda: terminal)
    assert coloured() is expected


def test_of_the_machine_only_what_is_informative_has_one_line() -> None:
    page = text.render(told(finding(Severity.WARNING), finding(Severity.INFO)), whole=True, width=80, colour=False)
    assert "warning   a: title of warning\n  evidence  VmRSS 1 B (/proc/7/status)\n  do        act\n" in page
    assert page.endswith("\ninfo      a: title of info\n")
    assert "Nothing to say" in text.render(told(), whole=True, width=80, colour=False)


def test_a_table_is_as_wide_as_it_may_be_and_long_names_lose_their_beginnings() -> None:
    table = lines([subject("/kubepods.slice/" + "x" * 100 + "/end"), subject("b", None)], 80)
    assert {len(line) for line in table} == {80}
    assert table[1].split()[0].startswith("…x")
    assert table[1].split()[0].endswith("/end")
    assert table[2].split() == ["b", "1", "-", "-", "-", "max", "-"]
    assert cut("abcdef", 4) == "…def"


def test_a_bar_is_what_is_resident_of_the_limit_or_of_the_machine() -> None:
    machine = Machine(Host(at=1.0, meminfo={"MemTotal": 4 << 20}, vmstat={}))
    assert bar(subject("a", 1 << 20), machine) == "||........"
    assert bar(subject("a", 1 << 20, limit=2 << 20), machine) == "|||||....."
    assert bar(subject("a", 9 << 20), machine) == "||||||||||"
    assert bar(subject("a"), Machine(Host(at=1.0, meminfo={}, vmstat={}))) == ".........."


def test_rows_are_sorted_by_the_worst_of_what_is_asked_for() -> None:
    small, large, unknown = subject("small", 1, limit=10), subject("large", 9, limit=90), subject("unknown", None)
    view = View()
    names = [item.row.name for item in view.chosen([unknown, small, large])]
    assert names == ["large", "small", "unknown"]
    view.press("h")
    assert [item.row.name for item in view.chosen([unknown, large, small])] == ["small", "large", "unknown"]
    for key in "/SMALX\x7f\x07":
        view.press(key)
    assert view.filter == "SMAL"
    assert [item.row.name for item in view.chosen([unknown, large, small])] == ["small"]
    view.press("\x1b")
    assert (view.filter, view.typing) == ("", False)
    view.press("z")
    assert (view.sort, view.ended) == ("h", False)
    view.press("\x03")
    assert view.ended


def test_a_screen_shows_what_fits_and_says_how_much_does_not() -> None:
    report = told(finding(Severity.CRITICAL))
    many = Report(tuple((subject(f"g{i:02}"), ()) for i in range(30)), report.machine, ())
    console = Console(width=120, height=10, force_terminal=True, color_system=None)
    with console.capture() as captured:
        console.print(screen(many, View(filter="g", typing=True), 120, 10))
    shown_lines = captured.get().splitlines()
    assert "PROCS" in captured.get()
    assert "… 25 more" in captured.get()
    assert shown_lines[-1].startswith("filter: g_")
    coloured = Console(width=80, height=10, force_terminal=True, color_system="standard")
    with coloured.capture() as captured:
        coloured.print(screen(report, View(), 80, 10))
    assert "\x1b[31m" in captured.get()


def test_the_keys_for_scripts_are_those_that_are_documented() -> None:
    tree = FIXTURES / "6.1-v2"
    observer = Observer(str(tree / "proc"), str(tree / "sys"), str(tree / "cgroup"))
    pid = json.loads((tree / "specimen.json").read_text())["swapped"]["pid"]
    shown = json.loads(as_json.render(report(None, observer.sample(DEFAULT, str(pid)))))
    assert list(shown) == ["interval_seconds", "subjects", "findings"]
    (row,) = shown["subjects"]
    assert row["pids"] == [pid]
    assert row["major_faults_per_second"] is None
    assert row["cgroup"]["path"] == "/lab/db"
    assert shown["findings"][0]["evidence"][0].keys() == {"name", "value", "unit", "source"}
    document = (FIXTURES.parents[1] / "docs/EXPLAIN.md").read_text()
    finding = {key for item in shown["findings"] for key in item if key != "evidence"}
    for key in [*row, *row["cgroup"], *finding]:
        assert f"`{key}`" in document.replace("….", ""), key
    unlimited = json.loads(as_json.render(told()))["subjects"][0]["cgroup"]
    assert (unlimited["effective_limit_bytes"], unlimited["headroom_bytes"]) == ("max", "max")
    assert {column.key for column in COLUMNS} == set("nrsfhp")
    assert size(None) == "-"


LIMITS = (FIXTURES / "6.1-v2/proc/119/limits").read_bytes()


def test_the_limit_of_locked_memory_is_the_soft_one() -> None:
    assert locked_memory(LIMITS, "limits") == 8388608
    row = b"Max locked memory         8388608              8388608 "
    soft = LIMITS.replace(row, b"Max locked memory         unlimited            8388608 ")
    assert locked_memory(soft, "limits") == math.inf
    with pytest.raises(ParseError, match="a number of 64 bits"):
        locked_memory(LIMITS.replace(row, b"Max locked memory         99999999999999999999 8388608 "), "limits")


@given(st.binary() | st.integers(0, len(LIMITS)).map(lambda end: LIMITS[:end]))
def test_any_bytes_of_limits_and_status_give_a_number_or_a_parse_error(found: bytes) -> None:
    for parser in locked_memory, effective_capabilities:
        try:
            assert parser(found, "file") >= 0
        except ParseError as error:
            assert str(error).startswith("file: found ")


def test_capabilities_are_the_effective_ones() -> None:
    found = (FIXTURES / "6.18-hybrid/proc/21419/status").read_bytes()
    assert effective_capabilities(found, "status") == 0x1FFFEFFFFFF
