"""YAML that is written for a person, and reads back as what it was."""

from __future__ import annotations

import math

import yaml


def dumped(value: object, *, flow: bool = False) -> str:
    """The value as YAML: in the letters it has where all of them can be seen, escaped otherwise."""
    text = _dump(value, flow, allow_unicode=True)
    # PyYAML's own idea of what can be seen has U+0085 in it, which it reads back as a space.
    return text if text.replace("\n", "").isprintable() else _dump(value, flow, allow_unicode=False)


def _dump(value: object, flow: bool, allow_unicode: bool) -> str:
    return str(
        yaml.safe_dump(value, default_flow_style=flow, allow_unicode=allow_unicode, width=math.inf, sort_keys=False)
    )
