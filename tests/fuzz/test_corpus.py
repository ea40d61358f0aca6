"""What fuzzing found worth keeping, run again: inputs that reach what captured files don't, or that once failed."""

from pathlib import Path

import pytest
from fuzz.targets import GROUPS, HOST, PROCESS, Parser, outcome

TESTS = Path(__file__).parents[1]


@pytest.mark.parametrize("name", GROUPS)
def test_the_corpus_of_a_group_gives_what_its_target_allows(name: str) -> None:
    inputs = sorted((TESTS / "fuzz/corpus" / name).iterdir())
    assert len(inputs) > 10
    for path in inputs:
        GROUPS[name].run(path.read_bytes())


@pytest.mark.parametrize(("parser", "patterns"), PROCESS + HOST)
def test_what_is_fuzzed_begins_with_files_that_parse(parser: Parser, patterns: list[str]) -> None:
    texts = {path.read_bytes() for pattern in patterns for path in (TESTS / "fixtures").glob(f"*/{pattern}")}
    assert texts
    for text in texts:
        assert outcome(parser, text) is not None
