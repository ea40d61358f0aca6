"""The time that processes wait for memory, by the kernel's own accounting."""

from contextlib import closing
from pathlib import Path

import pytest
from conftest import StartChild, StartExporter
from kernel.cgroups import Cgroup
from support import taskstats
from support.page import Page, of, series
from support.procfs import MIB

from exporter.kernel.taskstats import Taskstats

pytestmark = pytest.mark.live

CONFIG = "processes: [{name: subject, comm: [subject], delays: true, per_process: true}]"
METRIC = "vmem_process_delay_seconds_total"
CAUSES = ("swapin", "reclaim", "thrashing", "compaction")
TO_SWAP = "m = memory(64 << 20); touch(m)"


def kernel(*pids: int) -> Page:
    """The samples of the group, as the kernel has them of processes that were all met at birth."""
    said = [taskstats.delays(pid) for pid in pids]
    return {series(METRIC, group="subject", cause=cause): sum(each[cause] for each in said) for cause in CAUSES}


def near(page: Page) -> Page:
    return {key: pytest.approx(value, abs=1e-8) for key, value in page.items()}


@pytest.mark.usefixtures("root", "swap", "delay_accounting")
def test_waiting_for_swap_is_counted_as_the_kernel_counts_it_ended_threads_and_processes_included(
    cgroup: Cgroup, start_exporter: StartExporter, start_child: StartChild
) -> None:
    exporter, child = start_exporter(CONFIG), start_child("subject", cgroup)
    assert of(exporter.scrape(), METRIC) == near(kernel(child.pid))
    swapin = series(METRIC, group="subject", cause="swapin")
    child.run(TO_SWAP)
    cgroup.limit(memory=16 * MIB, swap=1024 * MIB)
    before = exporter.scrape()
    assert before[series("vmem_process_swap_bytes", group="subject")] >= 32 * MIB
    cgroup.limit(memory=512 * MIB, swap=1024 * MIB)
    child.run("import threading; t = threading.Thread(target=touch, args=(m,)); t.start(); t.join()")
    said = kernel(child.pid)
    after = exporter.scrape()
    assert of(after, METRIC) == near(said)
    assert after[swapin] > before[swapin]
    of_one = series("vmem_pid_delay_seconds_total", group="subject", cause="swapin", pid=child.pid, comm="subject")
    assert after[of_one] == after[swapin]

    second = start_child("subject", cgroup)
    both = kernel(child.pid, second.pid)
    assert of(exporter.scrape(), METRIC) == near(both)
    child.end()
    assert of(exporter.scrape(), METRIC) == near(both)


@pytest.mark.usefixtures("root", "swap", "delay_accounting")
def test_what_a_process_waited_before_the_group_had_it_is_not_counted(
    cgroup: Cgroup, start_exporter: StartExporter, start_child: StartChild
) -> None:
    exporter, child = start_exporter(CONFIG), start_child("another", cgroup)
    child.run(TO_SWAP)
    cgroup.limit(memory=16 * MIB, swap=1024 * MIB)
    child.run("touch(m)")
    exporter.scrape()
    child.run("open('/proc/self/comm', 'w').write('subject')")
    # Any other process is looked at again by its age: at every scrape while it is young.
    page = exporter.scrape()
    assert page[series("vmem_process_count", group="subject")] == 1
    assert taskstats.delays(child.pid)["swapin"] > 0
    assert of(page, METRIC) == dict.fromkeys(kernel(), 0)


@pytest.mark.usefixtures("root")
def test_where_the_kernel_does_not_account_there_is_one_line_in_the_log_and_no_sample(
    start_exporter: StartExporter, start_child: StartChild
) -> None:
    if Path("/proc/sys/kernel/task_delayacct").read_text() != "0\n":
        pytest.skip("delays are accounted for on this machine")
    child = start_child("subject")
    exporter = start_exporter(CONFIG)
    for _ in range(3):
        page = exporter.scrape()
        assert page[series("vmem_process_threads", group="subject")] == 1
        assert not of(page, METRIC)
    [line] = [line for line in exporter.output.splitlines() if "delays" in line]
    assert "/proc/sys/kernel/task_delayacct is 0, expected 1 (sysctl kernel.task_delayacct=1)" in line
    child.end()


@pytest.mark.usefixtures("root")
def test_the_kernel_knows_a_process_for_as_long_as_it_is_there(start_child: StartChild) -> None:
    child, asked = start_child("subject"), Taskstats()
    with closing(asked._socket):
        assert asked.read(child.pid) is not None
        child.end()
        assert asked.read(child.pid) is None


@pytest.mark.usefixtures("root", "delay_accounting")
def test_an_ordinary_user_is_not_allowed_to_ask(start_exporter: StartExporter, start_child: StartChild) -> None:
    child = start_child("subject")
    exporter = start_exporter(CONFIG, user=65534)
    for _ in range(2):
        assert not of(exporter.scrape(), METRIC)
    [line] = [line for line in exporter.output.splitlines() if "delays" in line]
    assert "taskstats: Operation not permitted, expected CAP_NET_ADMIN" in line
    child.end()
