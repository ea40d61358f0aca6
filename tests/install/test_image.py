"""The Dockerfile, without Docker: its build steps run in a folder of their own, and what they make is started."""

import json
import os
import re
import shutil
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
from dockerfile_parse import DockerfileParser
from packaging.utils import canonicalize_name
from support import ordinary
from support.child import Child
from support.exporter import exporter
from support.needs import missing, program
from support.page import of, series

import exporter as package

ROOT = Path(__file__).parent.parent.parent
OPT = "/opt/vmem-exporter"
USER = 65532
CONFINED = ("setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "--inh-caps=-all", "--bounding-set=-all")
RUNTIME = (sys.executable, Path(__file__).with_name("runtime.py"))


def instructions() -> list[tuple[str, str]]:
    parser = DockerfileParser(str(ROOT / "Dockerfile"), cache_content=False)
    return [(each["instruction"], each["value"]) for each in parser.structure if each["instruction"] != "COMMENT"]


def stages() -> list[list[tuple[str, str]]]:
    found: list[list[tuple[str, str]]] = []
    for name, value in instructions():
        if name == "FROM":
            found.append([])
        elif found:
            found[-1].append((name, value))
    return found


def last(name: str) -> str:
    return next(value for each, value in reversed(stages()[-1]) if each == name)


def test_hadolint_finds_nothing() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run(
        [hadolint, "--failure-threshold", "style", ROOT / "Dockerfile"], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_the_base_is_pinned_and_the_image_is_labelled() -> None:
    names = dict(instructions())
    base = next(value for name, value in instructions() if name == "ARG" and value.startswith("BASE="))
    assert re.fullmatch(r"BASE=python:3\.\d+-slim-\w+(@sha256:[0-9a-f]{64})?", base)
    assert next(value for name, value in stages()[-1] if name == "ARG") == f"VERSION={package.__version__}"
    labels = DockerfileParser(str(ROOT / "Dockerfile"), cache_content=False).labels
    assert {key.removeprefix("org.opencontainers.image.") for key in labels} == {
        "title",
        "description",
        "source",
        "licenses",
        "version",
    }
    assert names["EXPOSE"] == "10987"


def test_nothing_but_what_was_built_is_in_the_image_and_no_root_runs_it() -> None:
    final = stages()[-1]
    assert [value for name, value in final if name in ("COPY", "ADD", "RUN")] == [f"--from=build {OPT} {OPT}"]
    assert last("USER") == f"{USER}:{USER}"


def test_pip_is_given_the_hashes_and_resolves_nothing_itself() -> None:
    steps = [
        part for name, value in stages()[0] if name == "RUN" for part in value.split("&&") if " install --no" in part
    ]
    assert [step.partition("--no-cache-dir")[2].strip() for step in steps] == [
        "--require-hashes -r requirements.lock",
        "--no-deps .",
    ]


def copied(destination: Path, sources: list[str]) -> None:
    """What COPY does, of a context without what .dockerignore leaves out."""
    allowed = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    for source in sources:
        assert any(fnmatch(source, pattern) for pattern in allowed), f".dockerignore leaves out {source}"
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, destination / source, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / source, destination)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that stands for /opt/vmem-exporter, made by the steps of the Dockerfile."""
    if os.geteuid() != 0:
        missing("root, to give a file a capability and to become another user")
    program("setcap")
    root = tmp_path_factory.mktemp("image")
    source, made = root / "src", root / "opt"
    root.chmod(0o755)
    source.mkdir()
    environment = {"PATH": f"{Path(sys.executable).parent}:/usr/sbin:{os.environ['PATH']}", "HOME": os.environ["HOME"]}
    environment |= {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "http", "HTTP"))}
    ran = []
    for name, value in stages()[0]:
        if name == "COPY":
            *sources, target = value.split()
            assert target == "./" or [target] == sources
            copied(source, sources)
        elif name == "RUN" and not value.startswith("apt-get update"):
            step = value.replace(OPT, str(made))
            done = subprocess.run(["sh", "-ec", step], cwd=source, env=environment, capture_output=True, text=True)
            if "Failed to establish a new connection" in done.stderr or "No matching distribution" in done.stderr:
                missing("a package index")
            assert done.returncode == 0, done.stdout + done.stderr
            ran.append(value.split()[0])
    assert ran == ["python3", "pip", "cp"]
    return made


def test_the_image_holds_the_locked_versions_and_the_wheel_alone(image: Path) -> None:
    code = "import importlib.metadata as m, json; print(json.dumps({d.name: d.version for d in m.distributions()}))"
    done = subprocess.run([image / "bin/python", "-Ic", code], capture_output=True, text=True, check=True)
    installed = {canonicalize_name(name): version for name, version in json.loads(done.stdout).items()}
    assert installed.pop("vmem-exporter") == package.__version__
    locked = dict(re.findall(r"^([\w.-]+)==([\w.]+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE))
    assert installed == {name: version for name, version in locked.items() if name in installed}
    assert (image / "share/man/man1/vmem-exporter.1").exists()
    # What only another system needs is locked as well, and not installed.
    assert {"bcrypt", "h11", "jinja2", "prometheus-client", "psutil", "pyyaml", "rich"} <= set(installed)


def test_the_image_serves_as_its_user_without_any_right_and_tells_of_its_health(image: Path) -> None:
    (entry,) = json.loads(last("ENTRYPOINT"))
    assert last("ENV") == f"PATH={OPT}/bin:$PATH"
    command = ordinary.command(
        image.parent, user=USER, program=[image / "bin" / entry], through=[*CONFINED, "--no-new-privs", "--"]
    )
    with exporter(image.parent, None, command=command) as running:
        page = running.scrape()
        collectors = of(page, "vmem_scrape_collector_success")
        assert len(collectors) >= 3
        assert set(collectors.values()) == {1}
        # Whoever made the test is another user's process.
        me = series("vmem_process_resident_bytes", group=Path("/proc/self/comm").read_text().strip())
        assert page[me] > 1 << 20
        assert healthy(image, running.address) == 0
    assert healthy(image, running.address) != 0


def healthy(image: Path, address: str) -> int:
    """The exit code of HEALTHCHECK's command, for an exporter at another address."""
    command: list[Any] = json.loads(last("HEALTHCHECK").partition("CMD")[2])
    assert "http://127.0.0.1:10987/" in command[-1]
    command = [image / "bin" / command[0], *command[1:-1], command[-1].replace("127.0.0.1:10987", address)]
    return subprocess.run(command, capture_output=True, timeout=60).returncode


SMAPS = "processes: [{name: roots, comm: [smaps-of-root], exe: ['/**'], smaps: true}]"
SIZE = series("vmem_process_proportional_bytes", group="roots")


@pytest.mark.parametrize("interpreter", ["python", "python-ptrace"])
def test_the_second_interpreter_and_no_other_reads_smaps_and_exe_of_others(image: Path, interpreter: str) -> None:
    # As the chart starts it with smaps.enabled: the program's file is what brings the capability to a user.
    started = [image / "bin" / interpreter, "-I", "-m", "exporter"]
    command = ordinary.command(image.parent, user=USER, program=started, through=RUNTIME)
    child = Child("smaps-of-root")
    try:
        with exporter(image.parent, SMAPS, command=command) as running:
            assert (running.scrape().get(SIZE, 0) > 1 << 20) == (interpreter == "python-ptrace")
    finally:
        child.end()
