"""Processes that come, go, change and have odd names, as the kernel really has them."""

import itertools
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import StartChild, StartExporter
from support.daemon import until
from support.needs import missing
from support.page import Page, series
from support.procfs import KIB, stat, status

pytestmark = pytest.mark.live


def counters(page: Page) -> Page:
    return {key: value for key, value in page.items() if key.startswith("vmem_process_") and "_total" in key}


def fallen(before: Page, after: Page) -> list[str]:
    return [key for key in counters(before) if after.get(key, -1) < before[key]]


def test_counters_never_fall_while_500_processes_come_and_go(start_exporter: StartExporter, tmp_path: Path) -> None:
    short = tmp_path / "short-lived"
    short.symlink_to("/bin/cat")
    exporter = start_exporter("processes: [{name: short, comm: [short-lived]}]")
    count = series("vmem_process_count", group="short")
    faults = series("vmem_process_minor_page_faults_total", group="short")
    pages = [exporter.scrape()]
    assert (pages[0][count], pages[0][faults]) == (0, 0)
    for _ in range(5):
        # Half of them are seen and half are born and gone between two scrapes.
        unseen = [subprocess.Popen([short], stdin=subprocess.DEVNULL) for _ in range(50)]
        assert [process.wait() for process in unseen] == [0] * 50
        pages.append(exporter.scrape())
        assert pages[-1][count] == 0
        assert counters(pages[-1]) == counters(pages[-2])
        seen = [subprocess.Popen([short], stdin=subprocess.PIPE) for _ in range(50)]
        pages.append(exporter.scrape())
        assert pages[-1][count] == 50
        assert pages[-1][faults] > pages[-2][faults]
        for process in seen:
            process.communicate()
        pages.append(exporter.scrape())
        assert pages[-1][count] == 0
    assert [fallen(before, after) for before, after in itertools.pairwise(pages)] == [[]] * 15
    assert pages[-1][faults] > 250 * 50


def test_counters_never_fall_while_processes_come_and_go_during_scrapes(
    start_exporter: StartExporter, tmp_path: Path
) -> None:
    short = tmp_path / "short-lived"
    short.symlink_to("/bin/true")
    exporter = start_exporter("processes: [{name: short, comm: [short-lived]}]")
    loop = f"i=0; while [ $i -lt 500 ]; do '{short}'; i=$((i+1)); done"
    with subprocess.Popen(["sh", "-c", loop]) as shell:
        before = exporter.scrape()
        while shell.poll() is None:
            page = exporter.scrape()
            assert fallen(before, page) == []
            before = page
    assert exporter.scrape()[series("vmem_process_count", group="short")] == 0


def test_a_zombie_counts_as_a_process_without_memory(start_exporter: StartExporter, start_child: StartChild) -> None:
    exporter = start_exporter("processes: [{name: family, comm: [family]}]")
    parent = start_child("family")
    alone = exporter.agrees_on_group("family", parent.pid)
    parent.run("import os; m = memory(8 << 20); touch(m); child = os.fork() or os._exit(0)")
    parent.run("os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)")
    children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split()
    both = exporter.agrees_on_group("family", parent.pid, *map(int, children))
    assert (alone["vmem_process_count"], both["vmem_process_count"]) == (1, 2)
    parent.run("os.waitpid(child, 0)")
    # What the child did stays in the counters.
    after = exporter.scrape()
    assert after[series("vmem_process_count", group="family")] == 1
    assert (
        after[series("vmem_process_minor_page_faults_total", group="family")]
        >= both["vmem_process_minor_page_faults_total"]
    )


@pytest.mark.parametrize(
    ("comm", "shown"),
    [
        (b"two words", "two words"),
        (b"a) (b", "a) (b"),
        (b"1) R 2 3 4 5 6", "1) R 2 3 4 5 6"),
        (b"two\nlines", r"two\nlines"),
        (b'"\\', r"\"\\"),
        (b"\xff\xfe", "\N{REPLACEMENT CHARACTER}" * 2),
        ("fünfzehn Byteé".encode()[:15], "fünfzehn Byte\N{REPLACEMENT CHARACTER}"),
    ],
)
def test_a_name_may_hold_any_bytes(
    start_exporter: StartExporter, start_child: StartChild, comm: bytes, shown: str
) -> None:
    child = start_child(comm)
    assert Path(f"/proc/{child.pid}/comm").read_bytes() == comm + b"\n"
    exporter = start_exporter("processes: [{name: 'odd {comm}', cmdline: ['child\\.py']}]")
    text = exporter.request("/metrics").text
    assert f'vmem_process_count{{group="odd {shown}"}} 1.0\n' in text
    exporter.scrape()


def test_a_process_that_becomes_another_program_changes_its_group(
    start_exporter: StartExporter, tmp_path: Path
) -> None:
    before, after = tmp_path / "before-exec", tmp_path / "after-exec"
    before.symlink_to("/bin/sh")
    after.symlink_to("/bin/cat")
    exporter = start_exporter("processes: [{name: before, comm: [before-exec]}, {name: after, comm: [after-exec]}]")
    with subprocess.Popen(
        [before, "-c", f"echo ready; read line; exec '{after}'"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        met = exporter.agrees_on_group("before", process.pid)
        assert exporter.scrape()[series("vmem_process_count", group="after")] == 0
        process.stdin.write(b"\n")
        process.stdin.flush()
        until(lambda: Path(f"/proc/{process.pid}/comm").read_text() == "after-exec\n", "the exec")
        page = exporter.scrape()
        assert page[series("vmem_process_count", group="before")] == 0
        assert page[series("vmem_process_count", group="after")] == 1
        # What it did as the first stays there; for the second it counts from when it was met there.
        faults = "vmem_process_minor_page_faults_total"
        assert page[series(faults, group="before")] >= met[faults]
        assert page[series(faults, group="after")] <= 300
        process.stdin.write(b"\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"\n"
        assert exporter.scrape()[series("vmem_process_count", group="after")] == 1


def test_an_exec_of_the_same_name_with_another_command_line_changes_the_group(start_exporter: StartExporter) -> None:
    exporter = start_exporter(
        "processes: [{name: first, cmdline: ['exec-test-first$']}, {name: second, cmdline: ['exec-test-second$']}]"
    )
    sleep = "import sys; print('ready', flush=True); sys.stdin.read()"
    second = [sys.executable, "-I", "-S", "-c", sleep, "exec-test-second"]
    first = f"import os; print('ready', flush=True); os.read(0, 1); os.execv({second[0]!r}, {second!r})"
    with subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", first, "exec-test-first"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        counts = [series("vmem_process_count", group=group) for group in ("first", "second")]
        assert process.stdout.readline() == b"ready\n"
        page = exporter.scrape()
        assert [page[count] for count in counts] == [1, 0]
        process.stdin.write(b"\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"ready\n"
        page = exporter.scrape()
        assert [page[count] for count in counts] == [0, 1]


@pytest.mark.usefixtures("root")
def test_a_pid_that_is_used_again_is_another_process(start_exporter: StartExporter, start_child: StartChild) -> None:
    exporter = start_exporter("processes: [{name: reuse, comm: [reuse]}]")
    first = start_child("reuse")
    first.run("m = memory(32 << 20); touch(m)")
    before = exporter.agrees_on_group("reuse", first.pid)
    first.end()
    for _ in range(100):
        Path("/proc/sys/kernel/ns_last_pid").write_text(str(first.pid - 1))
        second = start_child("reuse")
        if second.pid == first.pid:
            break
        second.end()
    else:
        pytest.fail(f"others were faster each time to take the pid {first.pid}")
    page, faults = exporter.scrape(), series("vmem_process_minor_page_faults_total", group="reuse")
    assert page[series("vmem_process_count", group="reuse")] == 1
    assert page[faults] == before["vmem_process_minor_page_faults_total"] + stat(second.pid)[10]
    assert page[series("vmem_process_resident_bytes", group="reuse")] == status(second.pid)["VmRSS"] * KIB


def test_threads_are_counted(start_exporter: StartExporter, start_child: StartChild) -> None:
    exporter, child = start_exporter("processes: [{name: threads, comm: [threads]}]"), start_child("threads")
    child.run("import threading; stop = threading.Event()")
    child.run("for _ in range(5): threading.Thread(target=stop.wait, daemon=True).start()")
    assert exporter.agrees_on_group("threads", child.pid)["vmem_process_threads"] == 6


def test_a_kernel_thread_is_watched_only_where_it_is_asked_for(start_exporter: StartExporter) -> None:
    names = {int(path.parent.name): path.read_text().strip() for path in Path("/proc").glob("[0-9]*/comm")}
    if names.get(2) != "kthreadd":
        missing("to see kernel threads, and not a pid namespace of its own")
    exporter = start_exporter("processes: [{name: asked, comm: [kthreadd]}, {name: 'all {comm}'}]")
    page = exporter.scrape()
    assert page[series("vmem_process_count", group="asked")] == 1
    assert series("vmem_process_virtual_bytes", group="asked") not in page
    children = Path("/proc/2/task/2/children").read_text().split()
    kernel = {names[int(pid)] for pid in children if int(pid) in names}
    user = {name for pid, name in names.items() if str(pid) not in children}
    assert [name for name in kernel - user if series("vmem_process_count", group=f"all {name}") in page] == []


def test_the_counters_of_a_process_that_was_there_before_start_from_what_the_kernel_says(
    start_exporter: StartExporter, start_child: StartChild
) -> None:
    child = start_child("old")
    child.run("m = memory(32 << 20); touch(m)")
    exporter = start_exporter("processes: [{name: old, comm: [old]}]")
    assert exporter.agrees_on_group("old", child.pid)["vmem_process_minor_page_faults_total"] >= 8192


def test_each_process_can_be_shown_by_itself(start_exporter: StartExporter, start_child: StartChild) -> None:
    small, large = start_child("each"), start_child("each")
    large.run("m = memory(16 << 20); touch(m)")
    exporter = start_exporter("processes: [{name: each, comm: [each], per_process: true, max_processes: 1}]")

    def kernel() -> Page:
        text = Path(f"/proc/{large.pid}/statm").read_text().split()
        labels = {"comm": "each", "group": "each", "pid": large.pid}
        return {series("vmem_pid_virtual_bytes", **labels): int(text[0]) * os.sysconf("SC_PAGE_SIZE")}

    exporter.agrees(kernel)
    page = exporter.scrape()
    assert page[series("vmem_process_count", group="each")] == 2
    assert not [key for key in page if f'pid="{small.pid}"' in key]
