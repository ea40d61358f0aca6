"""The example for docker compose: what it mounts is there, and each program takes the files that it is given."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.exporter import COMMAND
from support.needs import program

import exporter as package
from exporter.config import load

ROOT = Path(__file__).parent.parent.parent
FOLDER = ROOT / "packaging/compose"
COMPOSE: dict[str, Any] = yaml.safe_load((FOLDER / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]


def mounts(service: str) -> dict[str, tuple[str, str]]:
    """Where something is mounted: what, and how."""
    found = {}
    for volume in SERVICES[service]["volumes"]:
        source, target, *options = volume.split(":")
        if source.startswith("."):
            source = os.path.normpath(FOLDER / source)
        found[target] = source, ",".join(options)
    return found


@pytest.mark.parametrize("service", SERVICES)
def test_what_is_mounted_is_there_and_read_only(service: str) -> None:
    for source, options in mounts(service).values():
        if source.startswith("/"):
            assert Path(source).exists()
            assert options == "ro"
        else:
            assert source in COMPOSE["volumes"]


@pytest.mark.parametrize("service", SERVICES)
def test_images_have_a_version_and_nothing_is_open_to_the_network(service: str) -> None:
    tag = SERVICES[service]["image"].partition(":")[2]
    assert tag.strip("v")[0].isdigit()
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[service]["ports"])


def test_the_exporter_sees_the_host_and_may_do_nothing() -> None:
    service = SERVICES["vmem-exporter"]
    assert (service["pid"], service["read_only"], service["cap_drop"]) == ("host", True, ["ALL"])
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service
    assert "cap_add" not in service
    assert service["image"] == f"vmem-exporter:{package.__version__}"
    assert Path(os.path.normpath(FOLDER / service["build"]), "Dockerfile").exists()


def test_the_exporter_takes_its_flags_and_its_configuration() -> None:
    mounted = mounts("vmem-exporter")
    flags = []
    for flag in SERVICES["vmem-exporter"]["command"]:
        name, _, value = flag.partition("=")
        target = next(each for each in mounted if value.startswith(each))
        flags.append(f"{name}={value.replace(target, mounted[target][0], 1)}")
    load(mounted["/etc/vmem-exporter/config.yaml"][0])
    done = subprocess.run([COMMAND, *flags, "once"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "vmem_process_resident_bytes{" in done.stdout


def test_prometheus_takes_its_configuration_and_the_rules(tmp_path: Path) -> None:
    for target, (source, _) in mounts("prometheus").items():
        if source.startswith("/"):
            place = tmp_path / Path(target).relative_to("/etc/prometheus")
            (shutil.copytree if Path(source).is_dir() else shutil.copy)(source, place)
    done = subprocess.run(
        [program("promtool"), "check", "config", tmp_path / "prometheus.yml"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(list((ROOT / 'prometheus/rules').glob('*.yaml')))} rule files found" in done.stdout


def test_prometheus_knows_the_services_by_their_names() -> None:
    here = yaml.safe_load((FOLDER / "prometheus.yaml").read_text())
    (job,) = here["scrape_configs"]
    assert job["static_configs"] == [{"targets": ["vmem-exporter:10987"]}]
    assert here["alerting"]["alertmanagers"] == [{"static_configs": [{"targets": ["alertmanager:9093"]}]}]
    # But for the names it is the example.
    names = {"vmem-exporter:10987": "localhost:10987", "alertmanager:9093": "localhost:9093"}
    text = json.dumps(here)
    for name, local in names.items():
        text = text.replace(name, local)
    assert json.loads(text) == yaml.safe_load((ROOT / "prometheus/prometheus.example.yaml").read_text())


def test_alertmanager_takes_its_configuration() -> None:
    source, _ = mounts("alertmanager")["/etc/alertmanager/alertmanager.yml"]
    done = subprocess.run([program("amtool"), "check-config", source], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_grafana_finds_the_dashboards_and_prometheus() -> None:
    mounted = mounts("grafana")
    provisioning = Path(mounted["/etc/grafana/provisioning"][0])
    (provider,) = yaml.safe_load((provisioning / "dashboards/vmem-exporter.yaml").read_text())["providers"]
    dashboards = list(Path(mounted[provider["options"]["path"]][0]).glob("*.json"))
    assert len(dashboards) >= 5
    (source,) = yaml.safe_load((provisioning / "datasources/prometheus.yaml").read_text())["datasources"]
    assert source["url"] == "http://prometheus:9090"
    assert "prometheus" in SERVICES
