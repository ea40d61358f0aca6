"""The examples of docs/CONFIGURATION.md: they take the processes that they are for, and their alerts fire."""

from __future__ import annotations

import re
import subprocess
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.needs import program
from unit.tree import Tree, Watch

from exporter.config import CgroupEntry, Config, ProcessEntry, Selectors, parse

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs/CONFIGURATION.md").read_text().partition("\n## Examples\n")[2]
RULES = sorted((ROOT / "prometheus/rules").glob("*.yaml"))

EXAMPLES: dict[str, str] = dict(re.findall(r"^### (.*?)\n(.*?)(?=^### |\Z)", TEXT, re.M | re.S))

PROCESSES: dict[str, list[tuple[str, bytes, str]]] = {
    "PostgreSQL": [
        ("postgres", b"postgres", "/usr/lib/postgresql/16/bin/postgres -D /var/lib/postgresql/16/main"),
        ("postgres", b"postgres", "postgres: 16/main: checkpointer "),
        ("postgres", b"postgres", "postgres: walwriter "),
        ("postgres", b"postgres", "postgres: 16/main: background writer "),
        ("postgres-backends", b"postgres", "postgres: 16/main: shop shop 10.0.0.7(41822) idle"),
        ("postgres-backends", b"postgres", "postgres: shop shop [local] SELECT"),
        ("postgres-backends", b"postgres", "postgres: 16/main: autovacuum worker shop"),
        ("", b"psql", "psql shop"),
    ],
    "JVM": [
        ("java-shop", b"java", "/usr/bin/java -Xmx4g -jar /opt/shop/shop-1.4.2.jar --server.port=80"),
        ("java-shop", b"java", "java -jar shop.jar"),
        ("java-CassandraDaemon", b"java", "java -cp /a:/b.jar -Da=b org.apache.cassandra.service.CassandraDaemon"),
        ("java-Kafka", b"java", "java --add-opens java.base/java.lang=ALL-UNNAMED kafka.Kafka server.properties"),
        ("", b"bash", "bash start -jar x.jar"),
    ],
    "Elasticsearch": [
        ("elasticsearch", b"java", "java -m org.elasticsearch.server/org.elasticsearch.bootstrap.Elasticsearch"),
        ("elasticsearch", b"java", "java -cp /opt/elasticsearch/lib/* org.elasticsearch.bootstrap.Elasticsearch -q"),
        ("", b"java", "/jdk/bin/java -Xmx64m org.elasticsearch.launcher.CliToolLauncher"),
    ],
    "Inference server": [
        ("inference-llama-server", b"llama-server", "/opt/llama/llama-server -m /models/one.gguf --port 80"),
        ("inference-ollama", b"ollama", "ollama serve"),
        ("inference-vllm", b"vllm", "/opt/venv/bin/python3 /opt/venv/bin/vllm serve one/model"),
        ("inference-vllm", b"VLLM::EngineCor", "VLLM::EngineCore"),
        ("inference-vllm", b"python3", "python3 -m vllm.entrypoints.openai.api_server --model one/model"),
        ("", b"less", "less /var/log/llama-server"),
    ],
    "Python web application": [
        ("web-shop", b"gunicorn", "/venv/bin/python3 /venv/bin/gunicorn --bind localhost:8000 shop.wsgi:application"),
        ("web-shop", b"gunicorn", "gunicorn: worker [shop.wsgi:application]"),
        ("web-api", b"uvicorn", "/usr/bin/python3 /usr/bin/uvicorn --uds /run/api.sock api.main:app --workers 4"),
        ("", b"python3", "python3 manage.py shop:run"),
    ],
}  # fmt: skip
"""The group, the name and the arguments of processes as these programs have them; no group for what isn't meant."""

TAKES_DAYS = {"VmemProcessGrowing", "VmemProcessFloorRising", "VmemHugePagesUnused"}
"""Alerts that look back for more than an hour; their own tests go through those days."""

GIB = 1 << 30


def blocks(title: str) -> tuple[str, list[dict[str, Any]]]:
    """The configuration of an example, and the files of rules."""
    config, *rules = re.findall(r"^```yaml\n(.*?)^```$", EXAMPLES[title], re.M | re.S)
    return config, [yaml.safe_load(text) for text in rules]


def table(title: str) -> list[tuple[str, str]]:
    """The alerts that matter, with their severities."""
    return re.findall(r"^\| (Vmem\w+) \| (\w+) \|", EXAMPLES[title], re.M)


def test_every_key_of_the_configuration_is_documented() -> None:
    text = (ROOT / "docs/CONFIGURATION.md").read_text()
    keys = {field.name for kind in (Config, ProcessEntry, CgroupEntry, Selectors) for field in fields(kind)}
    assert {key for key in keys - {"select"} if not re.search(rf"`{key}`|^{key}:", text, re.M)} == set()


def test_there_is_an_example_for_each() -> None:
    assert EXAMPLES.keys() == PROCESSES.keys()


@pytest.mark.parametrize("title", EXAMPLES)
def test_an_example_takes_the_processes_that_it_is_for(title: str, tmp_path: Path) -> None:
    tree = Tree(tmp_path / "proc")
    for pid, (_, comm, arguments) in enumerate(PROCESSES[title], 100):
        # A program that writes a title has it in one piece.
        one = arguments.partition(" ")[0].endswith(":")
        tree.process(pid, comm, [arguments.encode()] if one else arguments.encode().split())
    config, _ = blocks(title)
    names = [group for group, *_ in PROCESSES[title] if group]
    shown = Watch(tree, config).scrape().counts
    assert {name: count for name, count in shown.items() if count} == {name: names.count(name) for name in names}


def test_all_of_them_in_one_file_take_the_same(tmp_path: Path) -> None:
    tree, pid = Tree(tmp_path / "proc"), 100
    order = ["PostgreSQL", "Elasticsearch", "JVM", "Inference server", "Python web application"]
    for title in order:
        for _, comm, arguments in PROCESSES[title]:
            tree.process(pid := pid + 1, comm, arguments.encode().split())
    entries = [entry for title in order for entry in yaml.safe_load(blocks(title)[0])["processes"]]
    shown = Watch(tree, yaml.safe_dump({"processes": entries})).scrape().counts
    assert shown["elasticsearch"] == 2
    # Its launcher is a Java program as any other.
    assert shown["java-CliToolLauncher"] == 1


@pytest.mark.parametrize("title", EXAMPLES)
def test_the_alerts_of_an_example_fire_for_what_it_labels(title: str, tmp_path: Path) -> None:
    """With everything wrong that can be at once: in swap, faulting, at the limit, and on another host not there."""
    text, rules = blocks(title)
    config = parse(text.encode(), "config.yaml")
    files = [str(path) for path in RULES]
    for number, content in enumerate(rules):
        (tmp_path / f"own-{number}.yaml").write_text(yaml.safe_dump(content))
        files.append(f"own-{number}.yaml")
    subprocess.run([program("promtool"), "check", "rules", *files], cwd=tmp_path, check=True, capture_output=True)
    own = [
        (rule["alert"], rule["labels"]["severity"])
        for content in rules
        for group in content["groups"]
        for rule in group["rules"]
        if "alert" in rule
    ]
    asked = [(name, severity) for name, severity in table(title) + own if name not in TAKES_DAYS]
    assert len(asked) >= 3
    expected = [
        {
            "expr": f'group(ALERTS{{alertstate="firing", alertname="{name}", severity="{severity}"}})',
            "eval_time": "60m",
            "exp_samples": [{"labels": "{}", "value": 1}],
        }
        for name, severity in asked
    ]
    case = {"interval": "1m", "input_series": series(title, config), "promql_expr_test": expected}
    (tmp_path / "test.yaml").write_text(
        yaml.safe_dump({"rule_files": files, "evaluation_interval": "1m", "tests": [case]})
    )
    done = subprocess.run(
        [program("promtool"), "test", "rules", "test.yaml"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("title", EXAMPLES)
def test_the_alerts_of_an_example_are_alerts(title: str) -> None:
    known = {
        (rule["alert"], rule["labels"]["severity"])
        for path in RULES
        for group in yaml.safe_load(path.read_text())["groups"]
        for rule in group["rules"]
        if "alert" in rule
    }
    assert set(table(title)) <= known


def series(title: str, config: Config) -> list[dict[str, str]]:
    """What the exporter would show, as promtool takes it."""
    found = []

    def show(name: str, values: str, instance: str = "here", **labels: str) -> None:
        text = ",".join(f'{key}="{value}"' for key, value in {"job": "vmem", "instance": instance, **labels}.items())
        found.append({"series": f"{name}{{{text}}}", "values": values})

    show("vmem_host_mem_total_bytes", f"{64 * GIB}+0x60")
    show("vmem_vm_overcommit_memory", "2+0x60")
    show("vmem_host_committed_as_bytes", f"{99 * GIB}+0x60")
    show("vmem_host_commit_limit_bytes", f"{100 * GIB}+0x60")
    groups = {name: comm for name, comm, _ in PROCESSES[title] if name}
    for group in groups:
        entry = next(entry for entry in config.processes if not entry.fixed or entry.group == group)
        labels = {"group": group, **dict(entry.labels)}
        show("vmem_process_count", "1+0x60", **labels)
        show("vmem_process_count", "0+0x60", "gone", **labels)
        show("vmem_process_resident_bytes", f"{4 * GIB}+0x60", **labels)
        show("vmem_process_resident_part_bytes", f"{4 * GIB}+0x60", part="anon", **labels)
        show("vmem_process_swap_bytes", f"{GIB}+0x60", **labels)
        show("vmem_process_locked_bytes", f"{3 * GIB}+0x60", **labels)
        show("vmem_process_page_table_bytes", f"{2 * GIB}+0x60", **labels)
        show("vmem_process_major_page_faults_total", "0+60000x60", **labels)
        if entry.delays:
            show("vmem_process_delay_seconds_total", "0+30x60", cause="thrashing", **labels)
    for cgroup in config.cgroups:
        labels = {"group": cgroup.name, "cgroup": "/x.service"}
        show("vmem_cgroup_count", "1+0x60", group=cgroup.name)
        show("vmem_cgroup_working_set_bytes", f"{99 * GIB}+0x60", **labels)
        show("vmem_cgroup_effective_limit_bytes", f"{100 * GIB}+0x60", **labels)
        show("vmem_cgroup_events_total", "0+10x60", event="max", **labels)
        show("vmem_cgroup_events_total", "0+1x60", event="oom_kill", **labels)
        show("vmem_cgroup_pressure_stall_seconds_total", "0+30x60", stall="full", **labels)
    return found
