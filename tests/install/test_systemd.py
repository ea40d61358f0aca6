"""The unit of systemd: what systemd says of it, and that its command runs with as little."""

import re
import signal
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

import pytest
from support import ordinary
from support.child import Child
from support.daemon import until
from support.exporter import COMMAND, exporter
from support.needs import program
from support.page import of, series

FOLDER = Path(__file__).parent.parent.parent / "packaging/systemd"
UNIT = FOLDER / "vmem-exporter.service"
DROP_INS = sorted(FOLDER.glob("*.conf"))


def analyze(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [program("systemd-analyze"), "--no-pager", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def installed(root: Path, *drop_ins: Path) -> Path:
    """The unit as it is installed with drop-ins, with a command that is there."""
    unit = root / UNIT.name
    unit.write_text(UNIT.read_text().replace("/opt/vmem-exporter/bin/vmem-exporter", str(COMMAND)))
    folder = root / f"{UNIT.name}.d"
    folder.mkdir()
    for each in drop_ins:
        (folder / each.name).write_text(each.read_text())
    return unit


@pytest.mark.parametrize("drop_ins", [[], DROP_INS], ids=["alone", "with drop-ins"])
def test_systemd_takes_the_unit_without_a_word(tmp_path: Path, drop_ins: list[Path]) -> None:
    done = analyze("verify", "--man=no", installed(tmp_path, *drop_ins))
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.parametrize(("drop_ins", "most"), [([], 2.0), ([FOLDER / "smaps.conf"], 2.0)], ids=["alone", "smaps"])
def test_exposure_is_below_two(tmp_path: Path, drop_ins: list[Path], most: float) -> None:
    done = analyze("security", "--offline=true", installed(tmp_path, *drop_ins))
    exposure = re.search(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
    assert exposure, done.stdout + done.stderr
    assert float(exposure[1]) < most


def unit() -> dict[str, str]:
    """The settings of [Service]; of one that is there twice, the last."""
    parser = ConfigParser(strict=False, interpolation=None, delimiters=["="])
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string(UNIT.read_text())
    return dict(parser["Service"])


def test_it_sees_the_processes_of_others_and_writes_nowhere() -> None:
    settings = unit()
    assert (settings["ProtectProc"], settings["ProcSubset"], settings["PrivateUsers"]) == ("default", "all", "no")
    assert "PrivatePIDs" not in settings
    assert (settings["DynamicUser"], settings["ProtectSystem"], settings["NoNewPrivileges"]) == ("yes", "strict", "yes")
    assert settings["CapabilityBoundingSet"] == ""
    assert not [name for name in settings if name.startswith("ReadWrite") or name.endswith("Directory")]
    assert settings["ExecReload"] == "/bin/kill -HUP $MAINPID"


CONFINED = [
    sys.executable,
    "-c",
    # MemoryDenyWriteExecute=, as the kernel has it from 6.3 on; older ones answer with an error.
    "import ctypes, os, sys; ctypes.CDLL(None).prctl(65, 1, 0, 0, 0); os.execvp(sys.argv[1], sys.argv[1:])",
    *("setpriv", f"--reuid={ordinary.NOBODY}", f"--regid={ordinary.NOBODY}", "--clear-groups", "--no-new-privs"),
]
PTRACE = ["--inh-caps=-all,+sys_ptrace", "--ambient-caps=-all,+sys_ptrace", "--bounding-set=-all,+sys_ptrace"]
CONFIG = "processes: [{name: roots, comm: [child-of-root], exe: ['/**'], smaps: true}, {name: '{comm}'}]"


@pytest.mark.live
@pytest.mark.parametrize("smaps", [False, True], ids=["alone", "smaps.conf"])
def test_it_serves_and_reloads_with_no_more_rights_than_the_unit_gives(tmp_path: Path, smaps: bool) -> None:
    tmp_path.chmod(0o755)
    rights = PTRACE if smaps else ["--inh-caps=-all", "--bounding-set=-all"]
    command = ordinary.command(tmp_path, through=[*CONFINED, *rights, "--"])
    child = Child("child-of-root")
    try:
        with exporter(tmp_path, CONFIG, command=command) as running:
            page = running.scrape()
            assert set(of(page, "vmem_scrape_collector_success").values()) == {1}
            group = "roots" if smaps else "child-of-root"
            assert page[series("vmem_process_resident_bytes", group=group)] > 1 << 20
            assert (page.get(series("vmem_process_proportional_bytes", group="roots"), 0) > 1 << 20) == smaps
            running.config.write_text("processes: [{name: all, comm: ['*']}]")
            running.signal(signal.SIGHUP)
            until(lambda: series("vmem_process_resident_bytes", group="all") in running.scrape(), "the reload")
    finally:
        child.end()


@pytest.mark.live
def test_it_makes_no_system_call_that_the_unit_forbids(tmp_path: Path) -> None:
    sets: dict[str, set[str]] = {}
    for line in analyze("syscall-filter").stdout.splitlines():
        if line.startswith("@"):
            name = line
            sets[name] = set()
        elif line.strip() and not line.strip().startswith("#"):
            sets[name].add(line.strip())

    def calls(name: str) -> set[str]:
        return {call for each in sets[name] for call in (calls(each) if each.startswith("@") else {each})}

    allowed = calls("@system-service") - calls("@privileged") - calls("@resources") | calls("@default")
    trace = tmp_path / "trace"
    command = [program("strace"), "--daemonize", "--follow-forks", "--output", trace, COMMAND]
    with exporter(tmp_path, None, command=command) as running:
        running.scrape()
    made = set(re.findall(r"^\d+ +(\w+)\(", trace.read_text(errors="replace"), re.MULTILINE))
    # It does without: the unit sets the limit itself.
    assert made - allowed <= {"setrlimit", "prlimit64"}
    assert {"read", "openat", "accept4"} <= made
