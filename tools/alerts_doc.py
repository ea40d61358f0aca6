"""Write docs/ALERTS.md from the rules in prometheus/rules, or with --check say whether it is up to date."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

ROOT = Path(__file__).parent.parent
RULES = ROOT / "prometheus" / "rules"
DOCUMENT = ROOT / "docs" / "ALERTS.md"

INTRODUCTION = """\
# Alerts

Written by `make docs` from [prometheus/rules](../prometheus/rules). `critical` wakes a person: something is slow or
gone now, and somebody can do something about it. `warning` is a ticket. Each alert has a runbook: what it means, how to
check by hand with the kernel's own files, what to do, and when it is harmless.

```yaml
# prometheus.yml, as in prometheus/prometheus.example.yaml
rule_files:
  - rules/*.yaml
  - overrides.yaml      # your own thresholds, see below
```

[prometheus/alertmanager.example.yaml](../prometheus/alertmanager.example.yaml) sends the two severities to two
receivers, and holds back what another alert has said already.
"""

LABELS = """
## What your configuration says of a group

Labels of an entry come with all its metrics, and the rules go by some of them:

| label | value | what follows |
| --- | --- | --- |
| `swap` | `forbidden` | VmemProcessSwapped pages at the first byte |
| `swap` | `allowed` | VmemProcessSwapped leaves the group alone |
| `latency` | `sensitive` | VmemProcessMajorFaults pages, above one fault a second; without it, a ticket above ten |
| `locked` | `required` | VmemProcessNotLocked watches the group; without it, it does not |
| `presence` | `required` | VmemProcessGroupEmpty pages when the group has no process |
| `presence` | `optional` | VmemProcessGroupEmpty leaves the group alone |
| `growth` | `expected` | nothing is said of its growth; entries of cgroups take this one as well |

```yaml
processes:
  - name: postgres
    comm: [postgres]
    labels: {swap: forbidden, latency: sensitive, presence: required}
```
"""

OVERRIDES = """
## Your own thresholds

The rules are not to be edited: a new version would bring the old number back. A threshold that is to differ for a
group, a host or a pool comes from a recording of your own, in a file beside the shipped ones.
[prometheus/overrides.example.yaml](../prometheus/overrides.example.yaml) has an example of each kind; here is one:

```yaml
groups:
  - name: my-thresholds
    rules:
      - record: vmem:override:process_major_page_faults_per_second
        labels: {group: elasticsearch}
        expr: vector(200)
```

What is in force is recorded as `vmem:threshold:…` under the same name, for every group, host or pool, so that a graph
can show it.

| recording | labels that it must have | without it | why |
| --- | --- | --- | --- |
"""

TESTED = """
## How they are tested

`promtool test rules prometheus/tests/*.yaml` shows each alert quiet just below its threshold and firing just above,
with its whole text. `tests/e2e` makes a process swap, another wait for the disk and a third be killed, and waits for
the pages at the other end of a real Prometheus and a real Alertmanager.
"""


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule of a file, and the comment above it."""

    reason: str
    body: dict[str, object]

    @property
    def expr(self) -> str:
        return str(self.body["expr"])


def rules(path: Path) -> Iterator[Rule]:
    """The rules of a file, in order."""
    blocks = re.findall(r"((?: {6}#.*\n)*)( {6}- (?:alert|record): .*\n(?:(?: {8}.*)?\n)*)", path.read_text())
    for comment, text in blocks:
        (body,) = yaml.safe_load(text)
        yield Rule(" ".join(line.strip().removeprefix("# ") for line in comment.splitlines()), body)


def cell(text: str) -> str:
    """Text for a cell of a table, with labels and values named where a template has them."""
    text = re.sub(r"{{ \$labels\.(\w+) }}", r"*\1*", text)
    return re.sub(r"{{ \$value[^}]*}}", "*value*", text).replace("|", "\\|")


def alert_row(rule: Rule) -> str:
    labels, annotations = rule.body["labels"], rule.body["annotations"]
    assert isinstance(labels, dict)
    assert isinstance(annotations, dict)
    name, wait = rule.body["alert"], rule.body["for"]
    return (
        f"| [{name}](runbooks/{name}.md) | {labels['severity']} | {'at once' if wait == '0m' else wait}"
        f" | {cell(annotations['summary'])} | {cell(rule.reason)} |\n"
    )


def override_rows(rule: Rule) -> Iterator[str]:
    for labels, name in re.findall(r"max by \(([^)]*)\) \((vmem:override:\w+)\)", rule.expr):
        defaults = re.findall(r"^or .* \* 0 \+ ([\d.]+)$", rule.expr, re.MULTILINE)
        without = ", ".join(defaults) if defaults else "see why"
        shown = ", ".join(f"`{label}`" for label in labels.split(", "))
        yield f"| `{name}` | {shown} | {without} | {cell(rule.reason)} |\n"


def document() -> str:
    """The whole document."""
    parts, overrides = [INTRODUCTION], []
    for path in sorted(RULES.glob("*.yaml")):
        found = list(rules(path))
        parts.append(f"\n## {path.stem.capitalize().replace('Oom', 'OOM kills')}\n\n")
        parts.append(
            "| alert | severity | after | what it says | why this threshold |\n| --- | --- | --- | --- | --- |\n"
        )
        parts += [alert_row(rule) for rule in found if "alert" in rule.body]
        overrides += [row for rule in found for row in override_rows(rule)]
    return "".join([*parts, LABELS, OVERRIDES, *overrides, TESTED])


def main() -> int:
    """Write or check. Returns the exit code."""
    text = document()
    if sys.argv[1:] != ["--check"]:
        DOCUMENT.write_text(text)
        return 0
    if DOCUMENT.exists() and DOCUMENT.read_text() == text:
        return 0
    print("docs/ALERTS.md is not what the rules say: run `make docs`", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
