"""The chart, by the real Helm engine: what it refuses, what it packs, and that Kubernetes takes what it renders."""

import importlib.util
import io
import json
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import helm_python
import kubernetes_validate
import pytest
import yaml
from support.exporter import exporter

ROOT = Path(__file__).parent.parent.parent
CHART = ROOT / "helm/vmem-exporter"
VALUES = sorted((CHART / "ci").glob("*.yaml"))
KUBERNETES = ("1.31", "1.34", "1.37")
"""From the first that the chart takes to the last whose schemas there are."""

OPERATOR = "monitoring.coreos.com/v1"


def values(name: str) -> dict[str, Any]:
    return yaml.safe_load((CHART / "ci" / f"{name}.yaml").read_text())  # type: ignore[no-any-return]


def render(given: dict[str, Any]) -> list[dict[str, Any]]:
    with helm_python.Chart.load(CHART) as chart:
        files = chart.render(given, name="node", namespace="watch")
    files.pop("vmem-exporter/templates/NOTES.txt", None)
    return [document for text in files.values() for document in yaml.safe_load_all(text) if document]


@cache
def rendered(name: str) -> list[dict[str, Any]]:
    return render(values(name))


def of_kind(documents: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [document for document in documents if document["kind"] == kind]


def the(documents: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    (found,) = of_kind(documents, kind)
    return found


def pod(documents: list[dict[str, Any]]) -> dict[str, Any]:
    return the(documents, "DaemonSet")["spec"]["template"]["spec"]  # type: ignore[no-any-return]


def container(documents: list[dict[str, Any]]) -> dict[str, Any]:
    (found,) = pod(documents)["containers"]
    return found  # type: ignore[no-any-return]


def test_there_are_at_least_eight_files_of_values() -> None:
    assert len(VALUES) >= 8


@pytest.mark.parametrize("name", [path.stem for path in VALUES])
def test_lint_finds_nothing(name: str) -> None:
    found = helm_python.lint(CHART, values(name), strict=True, namespace="watch", kube_version=f"v{KUBERNETES[-1]}.0")
    problems = [message for message in found["messages"] if "icon is recommended" not in str(message)]
    assert problems == []


@pytest.mark.parametrize("version", KUBERNETES)
@pytest.mark.parametrize("name", [path.stem for path in VALUES])
def test_kubernetes_takes_every_object(name: str, version: str) -> None:
    documents = rendered(name)
    assert {"DaemonSet", "Service", "ServiceAccount", "ConfigMap", "Pod"} <= {each["kind"] for each in documents}
    for document in documents:
        assert document["metadata"]["namespace"] == "watch"
        if document["apiVersion"] != OPERATOR:
            kubernetes_validate.validate(document, version, strict=True)


@pytest.mark.parametrize("name", [path.stem for path in VALUES])
def test_no_two_objects_share_a_name(name: str) -> None:
    names = [(each["kind"], each["metadata"]["name"]) for each in rendered(name)]
    assert sorted(names) == sorted(set(names))


@pytest.mark.parametrize("name", [path.stem for path in VALUES])
def test_the_exporter_takes_the_configuration(name: str, tmp_path: Path) -> None:
    from exporter.config import load

    file = tmp_path / "config.yaml"
    configs = [
        each["data"]["config.yaml"] for each in of_kind(rendered(name), "ConfigMap") if "config.yaml" in each["data"]
    ]
    assert len(configs) == 1
    file.write_text(configs[0])
    load(str(file))


def test_the_default_sees_the_node_and_may_do_nothing() -> None:
    documents = rendered("default")
    spec, main = pod(documents), container(documents)
    assert spec["hostPID"] is True
    assert "hostNetwork" not in spec
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 65532,
        "runAsGroup": 65532,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert main["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert "command" not in main


def test_the_nodes_files_are_mounted_read_only_and_the_flags_point_there() -> None:
    documents = rendered("default")
    hosts = {each["name"]: each["hostPath"]["path"] for each in pod(documents)["volumes"] if "hostPath" in each}
    assert hosts == {"proc": "/proc", "sys": "/sys"}
    mounts = {each["name"]: each for each in container(documents)["volumeMounts"]}
    assert all(mount["readOnly"] is True for mount in mounts.values())
    assert {name: mounts[name]["mountPath"] for name in hosts} == {"proc": "/host/proc", "sys": "/host/sys"}
    # The cgroups are mounts of their own below /sys.
    assert all(mounts[name]["recursiveReadOnly"] == "IfPossible" for name in hosts)
    assert {
        "--path.procfs=/host/proc",
        "--path.sysfs=/host/sys",
        "--path.cgroupfs=/host/sys/fs/cgroup",
        "--config.file=/etc/vmem-exporter/config.yaml",
        "--web.listen-address=:10987",
    } == set(container(documents)["args"])


def test_smaps_adds_one_capability_and_the_interpreter_that_can_have_it() -> None:
    without, main = container(rendered("default")), container(rendered("smaps"))
    security = main["securityContext"]
    assert security["capabilities"] == {"drop": ["ALL"], "add": ["SYS_PTRACE"]}
    assert security.pop("appArmorProfile") == {"type": "Unconfined"}
    assert {**security, "capabilities": None} == {**without["securityContext"], "capabilities": None}
    assert main["command"] == ["/opt/vmem-exporter/bin/python-ptrace", "-I", "-m", "exporter"]
    assert pod(rendered("smaps"))["securityContext"] == pod(rendered("default"))["securityContext"]


def test_a_change_of_the_configuration_rolls_the_pods() -> None:
    def checksum(given: dict[str, Any]) -> str:
        return the(render(given), "DaemonSet")["spec"]["template"]["metadata"]["annotations"]["checksum/config"]  # type: ignore[no-any-return]

    assert checksum({}) == checksum({"priorityClassName": "high"})
    assert checksum({}) != checksum({"config": {"max_groups": 7}})


def test_the_web_configuration_comes_from_a_secret() -> None:
    documents = rendered("web-config")
    assert {"name": "web", "secret": {"secretName": "vmem-exporter-web"}} in pod(documents)["volumes"]
    main = container(documents)
    assert "--web.config.file=/etc/vmem-exporter-web/web-config.yml" in main["args"]
    assert {"name": "web", "mountPath": "/etc/vmem-exporter-web", "readOnly": True} in main["volumeMounts"]
    # A probe knows no password.
    for probe in ("livenessProbe", "readinessProbe"):
        assert main[probe]["tcpSocket"] == {"port": "metrics"}
        assert "httpGet" not in main[probe]


def test_probes_ask_for_health_and_readiness_with_patience() -> None:
    main = container(rendered("default"))
    assert main["readinessProbe"] == {"httpGet": {"path": "/-/ready", "port": "metrics"}, "timeoutSeconds": 3}
    assert main["livenessProbe"] == {
        "httpGet": {"path": "/-/healthy", "port": "metrics"},
        "timeoutSeconds": 10,
        "failureThreshold": 6,
    }


def test_where_it_runs_and_what_it_may_use() -> None:
    every, some = pod(rendered("default")), pod(rendered("some-nodes"))
    assert every["tolerations"] == [{"operator": "Exists"}]
    assert "priorityClassName" not in every
    assert some["priorityClassName"] == "system-node-critical"
    assert some["nodeSelector"]["node-role.example/database"] == "true"
    assert some["tolerations"] == values("some-nodes")["tolerations"]
    assert some["imagePullSecrets"] == [{"name": "registry"}]
    main = container(rendered("some-nodes"))
    image = values("some-nodes")["image"]
    assert main["image"] == f"{image['repository']}:{image['tag']}"
    assert main["resources"] == values("some-nodes")["resources"]
    # 72 MB at 5,000 processes, of which the unit of systemd allows as much.
    assert container(rendered("default"))["resources"]["limits"] == {"memory": "96Mi"}
    assert "MemoryMax=96M" in (ROOT / "packaging/systemd/vmem-exporter.service").read_text()


def test_a_network_policy_lets_in_prometheus_and_the_test_only() -> None:
    assert of_kind(rendered("default"), "NetworkPolicy") == []
    documents = rendered("network-policy")
    spec = the(documents, "NetworkPolicy")["spec"]
    assert spec["podSelector"]["matchLabels"] == the(documents, "DaemonSet")["spec"]["selector"]["matchLabels"]
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    assert "egress" not in spec
    (ingress,) = spec["ingress"]
    assert ingress["ports"] == [{"port": "metrics"}]
    prometheus, test = ingress["from"]
    assert prometheus == values("network-policy")["networkPolicy"]["from"][0]
    labels = the(documents, "Pod")["metadata"]["labels"]
    assert test["podSelector"]["matchLabels"].items() <= labels.items()
    assert "from" not in the(rendered("network-policy-open"), "NetworkPolicy")["spec"]["ingress"][0]


@pytest.mark.parametrize(
    ("name", "kind", "endpoints"),
    [("operator", "PodMonitor", "podMetricsEndpoints"), ("service-monitor", "ServiceMonitor", "endpoints")],
)
def test_a_monitor_finds_the_pods_and_gives_the_job_that_the_rules_know(name: str, kind: str, endpoints: str) -> None:
    documents = rendered(name)
    monitor = the(documents, kind)
    assert monitor["apiVersion"] == OPERATOR
    found = the(documents, "Service" if kind == "ServiceMonitor" else "DaemonSet")
    labels = (
        found["metadata"]["labels"] if kind == "ServiceMonitor" else found["spec"]["template"]["metadata"]["labels"]
    )
    assert monitor["spec"]["selector"]["matchLabels"].items() <= labels.items()
    (endpoint,) = monitor["spec"][endpoints]
    assert endpoint["port"] == "metrics"
    assert endpoint["honorLabels"] is True
    relabelings = {each.get("targetLabel"): each for each in endpoint["relabelings"]}
    assert relabelings["job"]["replacement"] == "vmem-exporter"
    assert relabelings["instance"]["sourceLabels"] == ["__meta_kubernetes_pod_node_name"]
    if name == "operator":
        assert monitor["metadata"]["labels"]["release"] == "kube-prometheus-stack"
        assert (endpoint["interval"], endpoint["scrapeTimeout"]) == ("30s", "10s")
        assert endpoint["metricRelabelings"] == values(name)["monitor"]["endpoint"]["metricRelabelings"]


def test_rules_arrive_as_they_are_with_their_own_templates() -> None:
    assert of_kind(rendered("default"), "PrometheusRule") == []
    objects = of_kind(rendered("operator"), "PrometheusRule")
    files = sorted((ROOT / "prometheus/rules").glob("*.yaml"))
    assert {each["metadata"]["name"]: each["spec"] for each in objects} == {
        f"node-vmem-exporter-{file.stem}": yaml.safe_load(file.read_text()) for file in files
    }
    assert "{{ $labels" in json.dumps([each["spec"] for each in objects])
    assert all(each["metadata"]["labels"]["release"] == "kube-prometheus-stack" for each in objects)


def test_dashboards_arrive_as_they_are_with_the_sidecars_label() -> None:
    objects = [each for each in of_kind(rendered("operator"), "ConfigMap") if "config.yaml" not in each["data"]]
    files = sorted((ROOT / "grafana/dashboards").glob("*.json"))
    assert {key: json.loads(text) for each in objects for key, text in each["data"].items()} == {
        f"vmem-exporter-{file.name}": json.loads(file.read_text()) for file in files
    }
    for each in objects:
        assert each["metadata"]["labels"]["grafana_dashboard"] == "1"
        assert each["metadata"]["annotations"] == {"grafana_folder": "Memory"}
        assert len(json.dumps(each)) < 1 << 20  # what Kubernetes stores of a ConfigMap
    assert len(objects) == len(files)


def test_the_test_of_a_release_scrapes_it() -> None:
    documents = rendered("default")
    test = the(documents, "Pod")
    assert test["metadata"]["annotations"]["helm.sh/hook"] == "test"
    (main,) = test["spec"]["containers"]
    program, host, port = main["args"]
    compile(program, "scrape.yaml", "exec")
    service = the(documents, "Service")
    assert (host, int(port)) == (service["metadata"]["name"], service["spec"]["ports"][0]["port"])
    assert (
        not the(documents, "DaemonSet")["spec"]["selector"]["matchLabels"].items() <= test["metadata"]["labels"].items()
    )


@pytest.mark.live
def test_the_exporter_serves_with_the_charts_flags_and_the_releases_test_passes(tmp_path: Path) -> None:
    documents = rendered("default")
    (config,) = (each["data"] for each in of_kind(documents, "ConfigMap") if "config.yaml" in each["data"])
    args = [arg for arg in container(documents)["args"] if not arg.startswith(("--config.", "--web.listen-"))]
    # The folders below /host are the node's own.
    flags = [arg.replace("=/host/", "=/") for arg in args]
    program, *_ = the(documents, "Pod")["spec"]["containers"][0]["args"]
    with exporter(tmp_path, config["config.yaml"], *flags) as running:
        command = [sys.executable, "-c", program, *map(str, running.host_and_port)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, env={})
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("lines of metrics, every collector succeeded\n")


def notes(given: dict[str, Any]) -> str:
    with helm_python.Chart.load(CHART) as chart:
        return chart.render(given, name="node", namespace="watch")["vmem-exporter/templates/NOTES.txt"]


def test_the_notes_say_what_is_still_to_do() -> None:
    text = notes({})
    for words in (
        "daemonset/node-vmem-exporter",
        "enforce=privileged",
        "monitor.enabled",
        "rules.enabled",
        "smaps.enabled",
    ):
        assert words in text
    done = notes({"monitor": {"enabled": True}, "rules": {"enabled": True}, "smaps": {"enabled": True}})
    assert not any(words in done for words in ("monitor.enabled", "rules.enabled", "smaps.enabled"))


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"smap": {"enabled": True}}, "smap"),
        ({"smaps": {"enabled": "yes"}}, "smaps"),
        ({"smaps": {"enable": True}}, "enable"),
        ({"service": {"port": 80}}, "port"),
        ({"service": {"port": "10987"}}, "port"),
        ({"monitor": {"kind": "Probe"}}, "kind"),
        ({"monitor": {"interval": "30"}}, "interval"),
        ({"monitor": {"endpoint": {"port": "other"}}}, "propertyName 'port'"),
        ({"image": {"repository": "vmem-exporter:latest"}}, "repository"),
        ({"image": {"tag": 1.0}}, "tag"),
        ({"image": {"pullPolicy": "Sometimes"}}, "pullPolicy"),
        ({"resources": {"limits": {"memory": "96MB"}}}, "memory"),
        ({"tolerations": [{"operator": "Any"}]}, "tolerations"),
        ({"extraArgs": ["log.level=debug"]}, "extraArgs"),
        ({"config": []}, "config"),
        ({"webConfig": {"secretName": "Not A Name"}}, "secretName"),
        ({"networkPolicy": {"from": {"podSelector": {}}}}, "from"),
        ({"nodeSelector": {"database": True}}, "nodeSelector"),
    ],
    ids=lambda value: json.dumps(value) if isinstance(value, dict) else "",
)
def test_wrong_values_are_refused_by_name(wrong: dict[str, Any], named: str) -> None:
    with helm_python.Chart.load(CHART) as chart, pytest.raises(helm_python.HelmError, match=named):
        chart.validate_schema(wrong)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tarfile.TarFile]:
    archive = helm_python.package(CHART, destination=tmp_path_factory.mktemp("package"))
    with tarfile.open(fileobj=io.BytesIO(Path(archive).read_bytes())) as opened:
        yield opened


def test_the_package_holds_the_rules_and_dashboards_themselves(package: tarfile.TarFile) -> None:
    linked = [*(ROOT / "prometheus/rules").glob("*.yaml"), *(ROOT / "grafana/dashboards").glob("*.json")]
    for file in linked:
        member = package.extractfile(f"vmem-exporter/{file.parent.name}/{file.name}")
        assert member is not None
        assert member.read() == file.read_bytes()
    assert not [name for name in package.getnames() if "/ci/" in name]
    assert "vmem-exporter/values.schema.json" in package.getnames()


def test_the_versions_are_the_exporters() -> None:
    import exporter

    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["appVersion"] == exporter.__version__


def test_a_value_without_documentation_is_refused() -> None:
    spec = importlib.util.spec_from_file_location("readme", ROOT / "helm/readme.py")
    assert spec is not None
    assert spec.loader is not None
    readme = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(readme)
    assert "| `a.b` | `1` | What it is. |" in readme.table("a:\n  # What it is.\n  b: 1\n")
    with pytest.raises(readme.Undocumented, match="a: no comment above it"):
        readme.table("a: 1\n")
