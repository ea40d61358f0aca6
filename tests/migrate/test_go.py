"""Go's regular expressions and templates in Python's and this exporter's words."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.migrate.go_regexp import NoCounterpart, translate
from exporter.migrate.go_template import Name, convert


@pytest.mark.parametrize(
    ("go", "python"),
    [
        (".+", ".+"),
        ("^/usr/bin/x$", r"^/usr/bin/x\Z"),
        ("(?m)^a$", "(?m:^a$)"),
        ("(?m:a$)$", r"(?m:a$)\Z"),
        ("(?m)(?-m:a$)", r"(?m:(?-m:a\Z))"),
        (r"\Aa\z", r"\Aa\Z"),
        (r"\w+\.jar", r"(?a)\w+\.jar"),
        (r"\bx", r"(?a)\bx"),
        ("(?P<a>x)(?<b>y)(?:z)(w)", "(?P<a>x)(?P<b>y)(?:z)(w)"),
        ("(?i)java", "(?i:java)"),
        ("a(?i)b|c", "a(?i:b)|(?i:c)"),
        ("(a(?i)b(?s)c|d)e", "(a(?i:b(?s:c))|(?i:(?s:d)))e"),
        ("(?i-s:a)", "(?i-s:a)"),
        ("a{2}b{2,}c{2,3}?d{,5}e{f}", r"a{2}b{2,}c{2,3}?d\{,5}e\{f}"),
        ("a*?b+?c??", "a*?b+?c??"),
        (r"\Qa.b*\E+", r"a\.b\*+"),
        (r"\Qa.b", r"a\.b"),
        (r"\x41\x{1F600}\101\07", "A\U0001f600A\x07"),
        (r"\/\-\_\ ", r"\/\-\_\ "),
        ("[a-z]", "[a-z]"),
        ("[^]a]", r"[^\]a]"),
        ("[]a]", r"[\]a]"),
        (r"[\w\]\x2e&&|[-]", r"(?a)[\w\]\.\&\&\|\[-]"),
        ("[[:alpha:]_]", "[A-Za-z_]"),
        ("[^[:space:]]", r"[^\t\n\v\f\r ]"),
        (r"\a\f\t\n\r\v", r"\a\f\t\n\r\v"),
    ],
)
def test_expressions(go: str, python: str) -> None:
    assert translate(go)[0] == python
    re.compile(python)


def test_a_class_that_is_not_in_a_posix_class() -> None:
    pattern = re.compile(translate("^[[:^alpha:]]$")[0])
    assert [text for text in ("a", "Z", "1", "]", "-", "\\", "é", "\U0001f600") if pattern.search(text)] == [
        "1",
        "]",
        "-",
        "\\",
        "é",
        "\U0001f600",
    ]


@pytest.mark.parametrize(
    ("go", "says"),
    [
        (r"\pL", r"\p, a class of Unicode"),
        (r"[\PN]", r"\P, a class of Unicode"),
        ("(?U)a+", "(?U), which makes repetitions lazy"),
        ("(?=a)", "(?=a, which Go's syntax doesn't have"),
        ("(?<!a)b", "(?<!, which Go's syntax doesn't have"),
        (r"(a)\1", r"\1, which Go's syntax doesn't have"),
        (r"\Z", r"\Z, which Go's syntax doesn't have"),
        (r"[\A]", r"\A, which Go's syntax doesn't have"),
        ("[[:nope:]]", "[:nope:], which Go's syntax doesn't have"),
        ("a**", "Go's syntax has no repetition of a repetition"),
        ("a*+", "Go's syntax has no repetition of a repetition"),
        ("a{2}{3}", "Go's syntax has no repetition of a repetition"),
        ("(a", "a ( is not closed"),
        ("a)", "a ) too many"),
        ("[a", "it breaks off"),
        ("a\\", "it breaks off"),
        ("*a", "nothing to repeat at position 0"),
        ("(?P<a>x)(?P<a>y)", "redefinition of group name 'a' as group 2; was group 1 at position 12"),
    ],
)
def test_what_has_no_counterpart(go: str, says: str) -> None:
    with pytest.raises(NoCounterpart, match=f"^{re.escape(says)}$"):
        translate(go)


def test_names_that_stand_for_something_else_here_are_changed() -> None:
    python, names = translate("(?P<comm>a)(?P<app>b)(?P<1st>c)", ["comm", "exe"])
    assert python == "(?P<comm_>a)(?P<app>b)(?P<m_1st_>c)"
    assert names == {"comm": "comm_", "app": "app", "1st": "m_1st_"}


@pytest.mark.parametrize(
    ("go", "python"),
    [
        ("nginx|redis", "(?P<m>nginx|redis)"),
        (r"(?i)\w", r"(?a)(?P<m>(?i:\w))"),
        ("(?P<a>x)", "(?P<m>(?P<a>x))"),
        ("(x)(?:y)(z(?P<a>w))", "(x)(?:y)(?P<m>z(?P<a>w))"),
    ],
)
def test_what_is_found_without_a_name_may_have_one(go: str, python: str) -> None:
    assert translate(go, matched="m")[0] == python


@given(st.text(alphabet="ab(|)[]{}?*+\\^$.,:-PQEUimsxwdz<>1=!", max_size=12))
def test_any_text_is_an_expression_or_has_no_counterpart(text: str) -> None:
    try:
        python, _ = translate(text)
    except NoCounterpart:
        return
    re.compile(python)


@pytest.mark.parametrize(
    ("go", "name"),
    [
        ("{{.Comm}}", "{comm}"),
        ("{{ .ExeBase }}:{{$.ExeFull}}", "{argv0_base}:{argv0}"),
        ("{{.Username}}@{{.Matches.App}}", "{user}@{app_}"),
        ('{{index .Matches "App"}}', "{app_}"),
        ("plain {text}", "plain {{text}}"),
        ('a {{- "{b}" -}}  c {{/* note */}} d', "a{{b}}c  d"),
        ("a {{.Comm}} b", "a {comm} b"),
        ("{{`x`}}", "x"),
        ("x-{{.Matches}}", "x-map[App:{app_}]"),
    ],
)
def test_names(go: str, name: str) -> None:
    assert convert(go, {"App": "app_"}) == Name(name)


@pytest.mark.parametrize(
    ("go", "name", "says"),
    [
        ("{{.Comm}}:{{.PID}}", "{comm}", "{{.PID}} makes a group of each process: per_process gives"),
        ("{{.StartTime}}", "{comm}", "{{.StartTime}} has no counterpart and is left out"),
        ("x-{{printf .Comm}}", "x", "{{printf .Comm}} has no counterpart and is left out"),
        ("{{.Matches.No}}-x", "x", "{{.Matches.No}} is no capture of this entry's cmdline"),
        ("{{index .Cgroups 0}}", "{cgroup}", "{{index .Cgroups 0}} is {cgroup} here"),
        ("{{.Cgroups}}", "{cgroup}", "{{.Cgroups}} is {cgroup} here"),
    ],
)
def test_names_that_have_no_counterpart(go: str, name: str, says: str) -> None:
    found = convert(go, {})
    assert (found.text, found.per_process) == (name, "PID" in go)
    [problem] = found.problems
    assert problem.startswith(says)


def test_a_map_is_in_the_order_of_its_keys() -> None:
    assert convert("{{ .Matches }}", {"b": "b", "": "matched", "B": "B_"}).text == "map[:{matched} B:{B_} b:{b}]"
