"""docs/INSTALL.md: what it names is there, and its commands fit the unit, the image and the chart."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml
from support.exporter import COMMAND
from support.needs import program

import exporter as package

ROOT = Path(__file__).parent.parent.parent
TEXT = (ROOT / "docs/INSTALL.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
SHELL = [text for language, text in BLOCKS if language == "sh"]


def anchors(file: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", file.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", TEXT):
        name, _, anchor = target.partition("#")
        file = (ROOT / "docs" / name).resolve() if name else ROOT / "docs/INSTALL.md"
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), target


def test_files_of_the_commands_are_there() -> None:
    words = {word for text in SHELL for word in text.split()}
    named = {word for word in words if re.match(r"(packaging|helm|prometheus|grafana)/|[\w.]+\.(lock|yaml)$", word)}
    assert {"packaging/systemd/vmem-exporter.service", "helm/vmem-exporter", "requirements.lock"} <= named
    assert [word for word in named if not (ROOT / word).exists()] == []


@pytest.mark.parametrize("text", SHELL, ids=range(len(SHELL)))
def test_the_commands_are_shell(text: str) -> None:
    assert subprocess.run(["sh", "-n"], input=text, text=True, capture_output=True).stderr == ""


def test_systemd_starts_what_the_commands_install() -> None:
    unit = (ROOT / "packaging/systemd/vmem-exporter.service").read_text()
    (start,) = re.findall(r"^ExecStart=(.*)$", unit, re.MULTILINE)
    command, flag, config = start.split()
    assert f"python3 -m venv {Path(command).parent.parent}\n" in SHELL[0]
    assert flag == "--config.file"
    assert config in SHELL[0]


def test_the_exporter_knows_the_flags() -> None:
    known = subprocess.run([COMMAND, "--help"], capture_output=True, text=True, check=True).stdout
    flags = set(re.findall(r"--(?:config|path|web|log|process)\.[\w.-]+", TEXT))
    assert {"--config.file", "--path.procfs", "--path.sysfs", "--path.cgroupfs"} <= flags
    assert [flag for flag in flags if flag not in known] == []


def test_the_versions_are_the_exporters() -> None:
    assert set(re.findall(r"vmem-exporter:(\d[\w.]*)", TEXT)) == {package.__version__}


def test_the_container_has_no_more_than_composes() -> None:
    docker = next(text for text in SHELL if "docker run" in text)
    words = shlex.split(docker.replace("\\\n", " "))
    service = yaml.safe_load((ROOT / "packaging/compose/compose.yaml").read_text())["services"]["vmem-exporter"]
    assert {"--read-only", "--cap-drop", "--security-opt"} <= set(words)
    assert [flag for flag in service["command"] if flag.startswith("--path") and flag not in words] == []
    assert [volume for volume in service["volumes"] if volume.startswith("/") and volume not in words] == []
    assert words[words.index("--memory") + 1] == service["mem_limit"]


def test_prometheus_takes_the_example(tmp_path: Path) -> None:
    (example,) = (text for language, text in BLOCKS if language == "yaml")
    (tmp_path / "rules").symlink_to(ROOT / "prometheus/rules")
    (tmp_path / "prometheus.yml").write_text(example)
    command = [program("promtool"), "check", "config", tmp_path / "prometheus.yml"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
