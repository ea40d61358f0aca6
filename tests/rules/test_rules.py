"""The rules as files: what an alert must have, what its tests must show, that its queries ask for what there is."""

from __future__ import annotations

import itertools
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml
from support.needs import program
from support.promql import metric, selectors

from exporter.catalog import METRICS

ROOT = Path(__file__).parent.parent.parent
FOLDER = ROOT / "prometheus"
FILES = sorted(FOLDER.glob("rules/*.yaml"))
TESTS = sorted(FOLDER.glob("tests/*.yaml"))
RUNBOOKS = ROOT / "docs" / "runbooks"
SECTIONS = ["What it means", "How to check by hand", "What to do", "When it is harmless"]

Rule = dict[str, Any]


def rules(*files: Path) -> list[Rule]:
    return [rule for file in files for group in yaml.safe_load(file.read_text())["groups"] for rule in group["rules"]]


RULES = rules(*FILES)
ALERTS = [rule for rule in RULES if "alert" in rule]
NAMES = sorted({rule["alert"] for rule in ALERTS})
EACH_ALERT = pytest.mark.parametrize(
    "alert", ALERTS, ids=[f"{rule['alert']}-{rule['labels']['severity']}" for rule in ALERTS]
)
EACH_NAME = pytest.mark.parametrize("name", NAMES)
ASKED_FOR = {
    "VmemProcessSwapped",
    "VmemProcessMajorFaults",
    "VmemHostSwapIn",
    "VmemProcessGrowing",
    "VmemProcessFloorRising",
    "VmemCgroupFillingUp",
    "VmemCgroupNearLimit",
    "VmemCgroupOomKill",
    "VmemHostOomKill",
    "VmemCgroupPressure",
    "VmemHostPressure",
    "VmemCgroupThrottled",
    "VmemCgroupAtLimit",
    "VmemHostCommitLimit",
    "VmemHostOvercommitMode",
    "VmemHugePagesExhausted",
    "VmemHugePagesUnused",
    "VmemProcessNotLocked",
    "VmemProcessGroupEmpty",
    "VmemExporterDown",
    "VmemExporterAbsent",
    "VmemExporterCollectorFailing",
    "VmemExporterReloadFailed",
    "VmemExporterReadErrors",
}
"""Names of alerts are an API, as those of metrics are: routes, silences and inhibitions go by them."""
OF_OTHERS = {"up", "process_start_time_seconds"}
"""What Prometheus says of every target, and the client library of every process."""
OF_ENTRIES = {"swap", "latency", "locked", "presence", "growth"}
"""Labels that a user gives to an entry, and rules go by; docs/ALERTS.md explains them."""


def asked_in(annotation: str) -> list[str]:
    """The queries that an annotation's template makes, with something for each label."""
    return [
        re.sub(r"%q", '"x"', query.replace(r"\"", '"'))
        for query in re.findall(r'printf "((?:[^"\\]|\\.)*)"[^|}]*\| query', annotation)
    ]


def queries() -> Iterator[str]:
    for rule in [*RULES, *rules(FOLDER / "overrides.example.yaml")]:
        yield rule["expr"]
        for annotation in rule.get("annotations", {}).values():
            yield from asked_in(annotation)


def run(*command: str | Path) -> None:
    done = subprocess.run(
        [program(str(command[0])), *map(str, command[1:])], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_promtool_finds_the_rules_and_the_examples_right() -> None:
    run("promtool", "check", "rules", *FILES, FOLDER / "overrides.example.yaml")
    run("promtool", "check", "config", FOLDER / "prometheus.example.yaml")
    run("amtool", "check-config", FOLDER / "alertmanager.example.yaml")


@pytest.mark.parametrize("file", TESTS, ids=[file.stem for file in TESTS])
def test_promtool_sees_each_alert_quiet_and_firing(file: Path) -> None:
    run("promtool", "test", "rules", file)


def test_alerts_keep_their_names() -> None:
    assert set(NAMES) == ASKED_FOR


@EACH_ALERT
def test_an_alert_says_what_a_person_needs_at_night(alert: Rule) -> None:
    assert alert["labels"]["severity"] in {"critical", "warning"}
    assert re.fullmatch(r"\d+[mh]", alert["for"])
    annotations = alert["annotations"]
    assert annotations.keys() == {"summary", "description", "runbook_url"}
    # Where, in one line that ends; and numbers, or else the name of what is not there.
    assert re.search(r"\$labels\.(instance|job)", annotations["summary"])
    assert annotations["summary"].endswith(".")
    assert annotations["description"].rstrip().endswith((".", "{{ end }}."))
    absence = {"VmemProcessGroupEmpty", "VmemExporterDown"}
    assert alert["alert"] in absence or re.search(r"\$value|value \|", annotations["description"])
    assert annotations["runbook_url"].endswith(f"/blob/main/docs/runbooks/{alert['alert']}.md")


def test_each_alert_and_each_threshold_gives_its_reason_in_a_comment() -> None:
    bare = []
    for file in FILES:
        lines = file.read_text().splitlines()
        for above, line in itertools.pairwise(lines):
            if re.match(r" {6}- (alert:|record: vmem:threshold:)", line) and not re.match(r" {6}# \S+", above):
                bare.append(f"{file.name}: {line.strip()}")
    assert bare == []


@EACH_NAME
def test_an_alert_has_a_runbook_whose_commands_are_right_and_ask_the_kernel(name: str) -> None:
    text = (RUNBOOKS / f"{name}.md").read_text()
    assert text.startswith(f"# {name}\n")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == SECTIONS
    for section in re.split(r"^## .+$", text, flags=re.MULTILINE)[1:]:
        assert len(section.split()) >= 10
    (commands,) = re.findall(r"^```bash\n(.+?)^```$", text, re.MULTILINE | re.DOTALL)
    assert re.search(r"/proc|/sys", commands)
    checked = subprocess.run(["bash", "-n"], input=commands, capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")


def test_runbooks_are_of_alerts_and_lead_to_what_is_there() -> None:
    assert sorted(file.stem for file in RUNBOOKS.iterdir()) == NAMES
    for file in RUNBOOKS.iterdir():
        text = file.read_text()
        for link in re.findall(r"\]\(([^)#]+)", text):
            assert (RUNBOOKS / link).exists(), f"{file.name}: {link}"
        overrides = set(re.findall(r"vmem:override:\w+", text))
        assert overrides <= set(re.findall(r"vmem:override:\w+", " ".join(rule["expr"] for rule in RULES))), file.name


def test_a_test_is_named_by_one_sentence() -> None:
    names = [case["name"] for file in TESTS for case in yaml.safe_load(file.read_text())["tests"]]
    assert [name for name in names if not re.fullmatch(r"[A-Z](?!.*\. ).+\.", name)] == []
    assert len(set(names)) == len(names)


@EACH_ALERT
def test_an_alert_has_a_test_that_shows_it_quiet_just_below_and_firing_just_above(alert: Rule) -> None:
    """By the names of the instances in it: it fires for the one called above, never for the one called below, and for
    neither at first."""

    def shows(case: Rule) -> bool:
        looks = [look for look in case.get("alert_rule_test", []) if look["alertname"] == alert["alert"]]
        fired = [each["exp_labels"] for look in looks for each in look.get("exp_alerts", [])]
        values = {
            value for labels in fired if labels["severity"] == alert["labels"]["severity"] for value in labels.values()
        }
        there = any('="below"' in each["series"] for each in case["input_series"])
        quiet = any("exp_alerts" not in look for look in looks)
        return there and quiet and "above" in values and "below" not in values

    cases = [case for file in TESTS for case in yaml.safe_load(file.read_text())["tests"]]
    assert any(shows(case) for case in cases)


def test_the_queries_of_rules_and_of_their_texts_ask_for_metrics_and_labels_that_are_there() -> None:
    recorded = {rule["record"] for rule in RULES if "record" in rule}
    known = recorded | OF_OTHERS | METRICS.keys()
    document = (ROOT / "docs" / "METRICS.md").read_text()
    checked = 0
    for query in queries():
        for selector in selectors(query):
            name = metric(selector)
            assert name in known or name.startswith("vmem:override:"), query
            if name.startswith("vmem_"):
                assert f"`{name}`" in document
                labels = {matcher.name for matcher in selector.matchers.matchers}
                assert labels <= {"job", "instance", *METRICS[name].labels, *OF_ENTRIES}, query
                checked += 1
    assert checked > 100


def test_an_override_of_the_example_is_one_that_the_rules_look_for() -> None:
    looked_for = {
        metric(selector)
        for rule in RULES
        for selector in selectors(rule["expr"])
        if metric(selector).startswith("vmem:override:")
    }
    for rule in rules(FOLDER / "overrides.example.yaml"):
        assert rule["record"] in looked_for
    # What is in force for everybody is recorded under the same name, the mode that nobody expects aside.
    recorded = {rule["record"].replace("threshold", "override") for rule in RULES if "record" in rule}
    assert looked_for - {"vmem:override:host_overcommit_memory"} <= recorded


def test_a_range_of_a_rate_is_long_enough_for_a_scrape_each_minute() -> None:
    for query in queries():
        for call in re.findall(r"(?:rate|increase)\([^[]*\[(\w+)\]", query):
            assert promql_parser.parse(f"x[{call}]").range.total_seconds() >= 4 * 60, query
