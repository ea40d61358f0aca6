"""`vmem-exporter test-match`: which entry takes a process, and why not another."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

import pytest
from conftest import StartChild
from support.exporter import COMMAND
from unit.tree import FIXTURES, KERNELS, Tree, ordinary_user

from exporter.cli import main
from exporter.watch.why import why

CONFIG = """
processes:
  - {name: postgres, comm: [postgres]}
  - {name: "java-{app}", cmdline: ['-jar (?P<app>\\w+)']}
  - {name: shops, cgroup: ['/shop/*']}
"""


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    (tmp_path / "config.yaml").write_text(CONFIG)
    tree = Tree(tmp_path / "proc")
    tree.process(7, b"java", [b"java", b"-jar", b"shop.jar"], cgroup="/shop/one", exe="/usr/bin/java", uid=4242)
    tree.process(8, b"kworker/0:1", kernel_thread=True)
    tree.process(9, b"java", zombie=True, cgroup="/shop/two")
    return tree


def ask(tree: Tree, *flags: str) -> int:
    return main(["test-match", f"--path.procfs={tree.path}", f"--config.file={tree.root.parent}/config.yaml", *flags])


def test_one_process_selector_by_selector(tree: Tree, capsys: pytest.CaptureFixture[str]) -> None:
    assert ask(tree, "--pid=7") == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    assert printed.out == (
        "process 7 'java'\n"
        "  1. 'postgres' does not take it\n"
        "     - comm: found 'java', expected 'postgres'\n"
        "  2. 'java-{app}' takes it: group 'java-shop'\n"
        "     + kernel thread: it is none\n"
        "     + cmdline: found 'java -jar shop.jar', as asked\n"
        "     + name: 'java-shop'\n"
        "  3. 'shops' would take it, but an earlier entry does: group 'shops'\n"
        "     + kernel thread: it is none\n"
        "     + cgroup: found '/shop/one', as asked\n"
        "     + name: 'shops'\n"
        "\n"
    )


def test_all_processes_and_how_many_each_entry_takes(tree: Tree, capsys: pytest.CaptureFixture[str]) -> None:
    assert ask(tree) == 0
    printed = capsys.readouterr().out
    headlines = [line for line in printed.splitlines() if line.startswith("process ")]
    assert headlines == [
        "process 1 'init'",
        "process 7 'java'",
        "process 8 'kworker/0:1', a kernel thread",
        "process 9 'java', a zombie",
    ]
    assert "     - kernel thread: it is one, and comm doesn't ask for it\n" in printed
    assert "     - cmdline: found nothing, expected '-jar (?P<app>\\w+)'\n" in printed
    assert printed.endswith(
        "entries and the processes that they take\n  1. 'postgres': none\n  2. 'java-{app}': 1\n  3. 'shops': 1\n"
    )


def test_it_fits_into_80_columns(tree: Tree, capsys: pytest.CaptureFixture[str]) -> None:
    tree.process(7, b"java", [b"x" * 300, b"y"])
    entry = f"name: '{'n' * 200}', argv0: ['{'g' * 200}']"
    (tree.root.parent / "config.yaml").write_text(f"processes: [{{{entry}}}]")
    assert ask(tree) == 0
    assert max(map(len, capsys.readouterr().out.splitlines())) == 80


@pytest.mark.parametrize("pid", ["2", "0", "-1", "x", "07", "99999999999999999999", ""])
def test_a_process_that_is_not_there_is_one_line_and_exit_code_2(
    tree: Tree, capsys: pytest.CaptureFixture[str], pid: str
) -> None:
    assert ask(tree, f"--pid={pid}") == 2
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == (
        "",
        f"vmem-exporter: --pid: found {pid!r}, expected the number of a process that is there and may be seen\n",
    )


def test_a_damaged_file_and_one_that_may_not_be_read(capsys: pytest.CaptureFixture[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        tree = Tree(Path(folder) / "proc")
        (Path(folder) / "config.yaml").write_text("processes: [{name: '{cgroup}', exe: [/x], cmdline: [y]}]")
        (tree.process(7, b"a") / "stat").write_bytes(b"7 (a\n")
        (tree.process(8, b"b", [b"y"]) / "cmdline").chmod(0)
        with ordinary_user():
            assert ask(tree, "--pid=7") == 0
            assert ask(tree, "--pid=8") == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "process 7 cannot be read: " in printed
    assert "stat: found b'7 (a\\n', expected pid, name in parentheses" in printed
    assert "1. '{cgroup}' does not take it + kernel thread: it is none - exe: found nothing, expected '/x'" in printed
    assert "? cmdline: cannot be read: " in printed
    assert "/cmdline: Permission denied" in printed


def test_without_entries_and_without_a_configuration(tree: Tree, capsys: pytest.CaptureFixture[str]) -> None:
    (tree.root.parent / "config.yaml").write_text("")
    assert ask(tree, "--pid=7") == 0
    assert capsys.readouterr().out == "process 7 'java': there are no entries\n\n"
    assert main(["test-match", f"--path.procfs={tree.path}", "--pid=7"]) == 0
    assert "1. '{comm}' takes it: group 'java'\n" in capsys.readouterr().out


def test_a_process_that_goes_meanwhile_is_left_out_and_a_bug_is_no_answer(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert [subject.pid for subject in why(tree.path, None, [7, 70, 8], ())] == [7, 8]

    def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("exporter.watch.why.verdicts", fail)
    with pytest.raises(ZeroDivisionError):
        list(why(tree.path, None, [7], ()))


@pytest.mark.parametrize("kernel", KERNELS)
def test_every_process_of_a_captured_kernel_is_answered(kernel: str, capsys: pytest.CaptureFixture[str]) -> None:
    procfs = FIXTURES / kernel / "proc"
    assert main(["test-match", f"--path.procfs={procfs}"]) == 0
    printed = capsys.readouterr().out
    there = [path.name for path in procfs.iterdir() if path.name.isdigit()]
    assert len(there) > 5
    for pid in there:
        assert f"process {pid} '" in printed


@pytest.mark.live
def test_a_process_of_this_machine(start_child: StartChild, tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("processes: [{name: odd, comm: ['<b>&;rm -rf *']}, {name: '{comm}'}]")
    child = start_child("<b>&;rm -rf *")
    command = [COMMAND, "test-match", f"--config.file={config}", f"--pid={child.pid}"]
    asked = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (asked.returncode, asked.stderr) == (0, "")
    assert asked.stdout.startswith(f"process {child.pid} '<b>&;rm -rf *'\n  1. 'odd' takes it: group 'odd'\n")


@pytest.mark.live
def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    asked = subprocess.run(
        [COMMAND, "test-match"], stdout=writing, stderr=subprocess.PIPE, text=True, check=False, timeout=60
    )
    os.close(writing)
    assert (asked.returncode, asked.stderr) == (0, "")
