"""Globs over paths."""

import fnmatch
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from exporter.watch.glob import compile_glob


@pytest.mark.parametrize(
    ("pattern", "matches", "does_not"),
    [
        ("/usr/bin/java", ["/usr/bin/java"], ["/usr/bin/java8", "/usr/bin/jav", "x/usr/bin/java", "/usr/bin/java\n"]),
        ("/usr/*/java", ["/usr/bin/java", "/usr//java"], ["/usr/lib/jvm/java", "/usr/java"]),
        ("/opt/**/java", ["/opt/java", "/opt/a/java", "/opt/a/b/java"], ["/opt/ajava", "/optjava", "/opt/a/java/b"]),
        ("/opt/**", ["/opt/", "/opt/a", "/opt/a/b"], ["/opt", "/op"]),
        ("**", ["", "a", "/a/b", "a\nb"], []),
        ("**/b", ["b", "/b", "a/b", "/a/a/b"], ["ab", "b/"]),
        ("a**b", ["ab", "a/b", "acb", "a/c/b"], ["a", "ba"]),
        ("*", ["", "a", "a b", "\n"], ["/", "a/b"]),
        ("?", ["a", "é", "\n"], ["", "/", "ab"]),
        ("a.b+(c)|^$", ["a.b+(c)|^$"], ["axb+(c)|^$", "a.b"]),
        ("pg_[0-9]", ["pg_0", "pg_9"], ["pg_", "pg_a", "pg_10"]),
        ("[ab]c", ["ac", "bc"], ["cc", "[ab]c"]),
        ("[!ab]c", ["cc", "!c"], ["ac", "bc", "c"]),
        ("[a!]c", ["ac", "!c"], ["bc"]),
        ("[\\]c", ["\\c"], ["c", "]c"]),
        ("[", ["["], [""]),
        ("a]", ["a]"], ["a"]),
        ("[]", ["[]"], ["", "]"]),
        ("[a/b]", ["[a/b]"], ["a", "/", "b"]),
        ("[a", ["[a"], ["a"]),
        ("/opt/****/java", ["/opt/java", "/opt/a/b/java"], ["/opt/ajava"]),
        ("a***b", ["ab", "a/c/b"], ["ba"]),
        ("[--0]", ["-", ".", "0"], ["1", "/"]),
        ("[!--x]", ["!", "y"], ["-", "5", "x"]),
        ("[+--]", ["+", ",", "-"], ["."]),
    ],
)
def test_what_a_glob_matches(pattern: str, matches: list[str], does_not: list[str]) -> None:
    compiled = compile_glob(pattern)
    assert [path for path in matches if not compiled.fullmatch(path)] == []
    assert [path for path in does_not if compiled.fullmatch(path)] == []


@pytest.mark.parametrize("pattern", ["a[!b]c", "a[.-0]c", "a[!b-d]c"])
def test_a_bracket_stays_within_one_level_too(pattern: str) -> None:
    assert compile_glob(pattern).fullmatch("a/c") is None


def test_many_asterisks_take_no_time() -> None:
    # As many ways to share out the text as there are to put sixty marks into it would never end.
    assert compile_glob("/usr/" + "*" * 120 + "lib").fullmatch("/usr/" + "lib/" * 5000) is None


@pytest.mark.parametrize("pattern", ["[z-a]", "x[9-0]y"])
def test_a_range_that_is_none(pattern: str) -> None:
    with pytest.raises(re.error, match="bad character range"):
        compile_glob(pattern)


@pytest.mark.parametrize(
    ("pattern", "path"),
    [("[[a]", "["), ("[[:alpha:]", ":"), ("[a&&b]", "&"), ("[a||b]", "|"), ("[a~~b]", "~")],
)
def test_what_is_special_in_a_regular_expression_only(pattern: str, path: str) -> None:
    assert compile_glob(pattern).fullmatch(path)


LEVEL = st.text(st.sampled_from("ab.[!-+"), max_size=4)
PATHS = st.lists(LEVEL, min_size=1, max_size=4).map("/".join)


@given(PATHS)
@example("[a")
def test_a_path_without_magic_matches_itself_alone(path: str) -> None:
    plain = path.replace("[", "")
    compiled = compile_glob(plain)
    assert compiled.fullmatch(plain)
    assert not compiled.fullmatch(plain + "a")
    assert not compiled.fullmatch("a" + plain)


@given(st.lists(st.text(st.sampled_from("ab*?.\\+("), max_size=4), min_size=1, max_size=3), PATHS)
def test_level_by_level_it_is_what_a_shell_matches(pattern: list[str], path: str) -> None:
    if any("**" in level for level in pattern):
        return
    levels = path.split("/")
    expected = len(levels) == len(pattern) and all(map(fnmatch.fnmatchcase, levels, pattern))
    assert bool(compile_glob("/".join(pattern)).fullmatch(path)) == expected
