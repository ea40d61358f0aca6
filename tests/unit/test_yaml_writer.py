"""What is written as YAML reads back as what it was."""

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from exporter.yaml_writer import dumped


@given(st.text(), st.booleans())
@example("a\u0085b", False)
@example("a\u2028b", True)
@example("\ufeff", False)
@example("a\nb", False)
def test_any_text(text: str, flow: bool) -> None:
    for value in (text, [text, text], [{"name": text}]):
        assert yaml.load(dumped(value, flow=flow), yaml.CSafeLoader) == value


@pytest.mark.parametrize(
    ("text", "written"), [("größe", "größe"), ("日本", "日本"), ("a\u00a0ö", '"a\\_\\xF6"'), ("a\u0085b", '"a\\Nb"')]
)
def test_letters_are_themselves_where_all_can_be_seen(text: str, written: str) -> None:
    assert dumped([text], flow=True) == f"[{written}]\n"
