"""Write the table of values in the chart's README.md from values.yaml: the lines above a key are its documentation.

    python helm/readme.py [--check]

With --check nothing is written; exit code 1 says that the file isn't what would be written.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import yaml

CHART = Path(__file__).with_name("vmem-exporter")
BEGIN, END = "<!-- values: written by helm/readme.py -->", "<!-- end of values -->"


class Undocumented(Exception):
    """A value without a line above it that says what it is."""


def comment_above(lines: list[str], line: int) -> str:
    """The comment that ends right above a line, as one text."""
    found: list[str] = []
    while line > 0 and lines[line - 1].lstrip().startswith("#"):
        line -= 1
        found.insert(0, lines[line].strip().removeprefix("#").strip())
    return " ".join(found)


def values(node: yaml.MappingNode, lines: list[str], above: str = "") -> Iterator[tuple[str, str, str]]:
    """Key, default and documentation of every value: a mapping with a comment is one value, any other is its keys."""
    for key_node, value_node in node.value:
        key = f"{above}{key_node.value}"
        comment = comment_above(lines, key_node.start_mark.line)
        if isinstance(value_node, yaml.MappingNode) and not comment:
            yield from values(value_node, lines, f"{key}.")
        elif comment:
            default = json.dumps(yaml.SafeLoader("").construct_object(value_node, deep=True))
            yield key, default, comment
        else:
            raise Undocumented(f"{CHART / 'values.yaml'}:{key_node.start_mark.line + 1}: {key}: no comment above it")


def table(text: str) -> str:
    """The table of a values.yaml, in Markdown."""
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    assert isinstance(root, yaml.MappingNode)
    rows = ["| value | default | |", "| --- | --- | --- |"]
    for row in values(root, text.splitlines()):
        key, default, comment = (cell.replace("|", "\\|") for cell in row)
        rows.append(f"| `{key}` | `{default}` | {comment} |")
    return "\n".join(rows)


def main(arguments: list[str]) -> int:
    """Write README.md, or check it."""
    readme = CHART / "README.md"
    text = readme.read_text()
    before, _, rest = text.partition(BEGIN)
    _, _, behind = rest.partition(END)
    made = f"{before}{BEGIN}\n{table((CHART / 'values.yaml').read_text())}\n{END}{behind}"
    if arguments == ["--check"]:
        if made != text:
            print(f"{readme}: not what helm/readme.py makes of values.yaml; run it", file=sys.stderr)
            return 1
        return 0
    readme.write_text(made)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
