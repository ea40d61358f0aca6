"""The scenarios: what a memory cgroup does, shown with real processes, on whichever version holds the controller.

Each takes an Experiment, and says in claims what the kernel must do and in comparisons what the exporter must show.
"""

import math
import os
import signal
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from kernel.cgroups import QUANTITIES
from kernel.experiment import KIB, MIB, Experiment, Pair
from kernel.watched import once_in_a_namespace

Scenario = Callable[[Experiment], None]
SCENARIOS: dict[str, tuple[Scenario, tuple[int, ...]]] = {}

BATCH = 64 * 4 * KIB  # MEMCG_CHARGE_BATCH: the kernel charges a cgroup 64 pages at a time, on each CPU
SLACK = 2 * BATCH + 128 * KIB  # two CPUs' batches, and the page tables of what was touched

CONFIG = r"""
cgroups:
  - name: lab
    path: /lab/**
  - name: services
    path: /system.slice/*.service
    exclude: ['/system.slice/systemd-*']
    labels_from: '(?P<unit>[^/]+)\.service$'
  - name: pods
    preset: kubernetes
"""
"""What the exporter is told to watch while the scenarios run."""


def scenario(*versions: int) -> Callable[[Scenario], Scenario]:
    """Enter a function among the scenarios, for these versions of cgroups."""

    def enter(function: Scenario) -> Scenario:
        SCENARIOS[function.__name__] = function, versions
        return function

    return enter


@scenario(1, 2)
def usage_and_peak_follow_an_allocation(lab: Experiment) -> None:
    cgroup = lab.cgroup("/lab/allocation")
    process = lab.start(cgroup)
    empty = cgroup.number("usage")
    lab.compare(cgroup, "usage", "peak", "anon", "processes", "limit", "effective limit", "swap")
    process.ask("lazy=64M")
    lab.claim("usage grown by 64 MiB mapped and not touched", cgroup.number("usage") - empty, 0, SLACK)
    process.ask("anon=32M")
    full = cgroup.number("usage")
    lab.claim("usage grown by 32 MiB touched", full - empty, 32 * MIB - BATCH, 32 * MIB + SLACK)
    lab.claim("anonymous memory", cgroup.number("anon"), 32 * MIB)
    lab.claim("page faults of 32 MiB", cgroup.number("page faults"), 32 * MIB // (4 * KIB))
    lab.compare(cgroup, "usage", "peak", "anon", "page faults", "major page faults")
    process.ask("free=all")
    lab.claim("usage fallen when it was given back", full - cgroup.number("usage"), 32 * MIB - SLACK)
    lab.claim("peak, which stays", cgroup.number("peak"), full)
    lab.compare(cgroup, "usage", "peak", "anon")


@scenario(2)
def memory_high_throttles(lab: Experiment) -> None:
    cgroup = lab.cgroup("/lab/high")
    cgroup.write("memory.high", 16 * MIB)
    cgroup.write("memory.swap.max", 0)
    process = lab.start(cgroup)
    lab.compare(cgroup, "high", "limit", "high events", "some stall", "full stall")
    lab.claim("high events before", cgroup.number("high events"), 0, 0)
    # Each batch above the limit costs the square of how far above it is, up to two seconds: so not far.
    process.ask(f"anon={int(17 * MIB - cgroup.number('usage'))}")
    lab.until(lambda: cgroup.number("some stall") > 0)
    lab.claim("high events", cgroup.number("high events"), 1)
    lab.claim("seconds of stall", cgroup.number("some stall"), 0.001)
    lab.claim("oom kills", cgroup.number("oom kills"), 0, 0)
    lab.compare(cgroup, "usage", "high", "high events", "max events", "oom kills", "some stall", "full stall")


@scenario(1, 2)
def a_limit_with_swap_swaps(lab: Experiment) -> None:
    cgroup = lab.cgroup("/lab/swap")
    cgroup.limit(memory=24 * MIB, swap=64 * MIB)
    process = lab.start(cgroup)
    process.ask("anon=48M")
    lab.claim("usage, held at 24 MiB", cgroup.number("usage"), 16 * MIB, 24 * MIB)
    lab.claim("swap", cgroup.number("swap"), 24 * MIB, 64 * MIB)
    lab.claim("the limit met", cgroup.number("max events"), 1)
    lab.claim("oom kills", cgroup.number("oom kills"), 0, 0)
    names = "usage", "limit", "effective limit", "swap", "swap limit", "anon", "max events", "oom kills"
    lab.compare(cgroup, *names, "page faults", "major page faults", "some stall", "full stall")


@scenario(1, 2)
def a_limit_without_swap_kills_one(lab: Experiment) -> None:
    cgroup = lab.cgroup("/lab/oom")
    cgroup.limit(memory=24 * MIB, swap=0)
    bystander, victim = lab.start(cgroup), lab.start(cgroup)
    lab.compare(cgroup, "oom events", "oom kills", "oom group kills", "processes")
    lab.claim("the victim lived through 48 MiB", victim.ask("anon=48M"), 0, 0)
    lab.claim("the signal that ended it", -victim.wait(), signal.SIGKILL, signal.SIGKILL)
    lab.claim("the other one still answers", bystander.ask("anon=1M"), 1, 1)
    lab.claim("oom kills", cgroup.number("oom kills"), 1, 1)
    lab.compare(
        cgroup, "usage", "peak", "limit", "max events", "oom events", "oom kills", "oom group kills", "processes"
    )


@scenario(2)
def oom_group_kills_all(lab: Experiment) -> None:
    cgroup = lab.cgroup("/lab/group")
    cgroup.limit(memory=32 * MIB, swap=0)
    cgroup.write("memory.oom.group", 1)
    first, second, victim = lab.start(cgroup), lab.start(cgroup), lab.start(cgroup)
    victim.ask("anon=64M")
    for process in (first, second, victim):
        lab.claim("the signal that ended one of three", -process.wait(), signal.SIGKILL, signal.SIGKILL)
    # The kernel kills its victim, then all of the group: a victim that has not gone by then is counted once more.
    lab.claim("oom kills", cgroup.number("oom kills"), 3, 4)
    lab.claim("oom group kills", cgroup.number("oom group kills"), 1, 1)
    lab.compare(cgroup, "oom events", "oom kills", "oom group kills", "processes")


@scenario(1, 2)
def a_parents_limit_is_the_effective_one(lab: Experiment) -> None:
    parent, child = lab.cgroup("/lab/pod"), lab.cgroup("/lab/pod/container")
    grandchild = lab.cgroup("/lab/pod/container/worker")
    parent.limit(memory=64 * MIB, swap=0)
    child.limit(memory=256 * MIB, swap=0)
    lab.start(grandchild).ask("anon=4M")
    lab.claim("the child's own limit", child.number("limit"), 256 * MIB, 256 * MIB)
    lab.claim("the grandchild's own limit", grandchild.number("limit"), math.inf)
    for cgroup in (parent, child, grandchild):
        lab.claim(f"the limit in force on {cgroup.path}", cgroup.number("effective limit"), 64 * MIB, 64 * MIB)
        lab.compare(cgroup, "limit", "effective limit", "usage", "processes")


@scenario(2)
def hugetlb_limits(lab: Experiment) -> None:
    cgroup = lab.cgroup("/lab/huge")
    cgroup.write("hugetlb.2MB.max", 4 * MIB)
    process = lab.start(cgroup)
    process.ask("hugetlb=4M")
    lab.claim("hugetlb bytes", cgroup.number("hugetlb"), 4 * MIB, 4 * MIB)
    lab.compare(cgroup, "hugetlb", "hugetlb limit", "usage")
    lab.claim("the process lived through 2 MiB more", process.ask("hugetlb=2M"), 0, 0)
    lab.claim("the signal that ended it", -process.wait(), signal.SIGBUS, signal.SIGBUS)
    lab.compare(cgroup, "hugetlb", "hugetlb limit", "oom kills")


@scenario(1, 2)
def a_cgroup_goes_while_it_is_read(lab: Experiment) -> None:
    gone = lab.cgroup("/lab/gone")
    with (gone.directory / QUANTITIES["usage"].source(gone.version)).open("rb", buffering=0) as file:
        gone.remove()
        with suppress(OSError):
            lab.claim("bytes read from a cgroup that went after it was opened", len(file.read()), 0, 0)

    stays = lab.cgroup("/lab/churn/stays")
    stop, rounds = threading.Event(), 0

    def churn() -> None:
        nonlocal rounds
        while not stop.is_set():
            made = [lab.cgroup(f"/lab/churn/{index}") for index in range(8)]
            for each in made:
                each.remove()
                lab.hierarchy.made.remove(each)
            rounds += 1

    thread = threading.Thread(target=churn)
    thread.start()
    pages = []
    try:
        lab.until(lambda: rounds > 0)
        pages = [lab.scrape() for _ in range(20)]
    finally:
        stop.set()
        thread.join()
    last: dict[str, float] = {}
    fallen = 0
    for page in pages:
        for series, value in page.items():
            if "_total" in series.partition("{")[0]:
                fallen += value < last.get(series, -math.inf)
                last[series] = value
    lab.claim("times that eight cgroups were made and removed", rounds, 1)
    lab.claim("counters that fell in 20 scrapes", fallen, 0, 0)
    lab.compare(stays, "usage", "limit", "page faults", "processes")


@scenario(1, 2)
def a_tree_as_systemd_makes_it(lab: Experiment) -> None:
    web = lab.cgroup("/system.slice/nginx.service")
    lab.cgroup("/system.slice/systemd-journald.service")
    lab.start(web, "anon=4M")
    names = "usage", "peak", "anon", "processes", "page faults"
    lab.claim("anonymous memory of the service", web.number("anon"), 4 * MIB)
    lab.compare(web, *names, group="services", labels={"unit": "nginx"})


UID = "6f4b1c2d-90ab-4cde-8f01-23456789abcd"
CONTAINER = "0123456789abcdef" * 4


@scenario(1, 2)
def trees_as_the_kubelet_makes_them(lab: Experiment) -> None:
    cgroupfs = f"/kubepods/burstable/pod{UID}"
    slices = "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod" + UID.replace("-", "_") + ".slice"
    trees = {
        "burstable": (cgroupfs, f"{cgroupfs}/{CONTAINER}"),
        "besteffort": (slices, f"{slices}/cri-containerd-{CONTAINER}.scope"),
    }
    for qos, (pod_path, container_path) in trees.items():
        pod, container = lab.cgroup(pod_path), lab.cgroup(container_path)
        pod.limit(memory=96 * MIB, swap=0)
        lab.start(container, "anon=4M")
        lab.claim(f"the limit in force on a {qos} container", container.number("effective limit"), 96 * MIB, 96 * MIB)
        labels = {"pod_uid": UID, "container_id": CONTAINER, "qos": qos}
        lab.compare(container, "usage", "anon", "limit", "effective limit", "processes", group="pods", labels=labels)


CONTAINED = r"""
processes:
  - name: "{cgroup}"
    cgroup: [/lab/containers/*]
    by_cgroup: true
cgroups:
  - name: containers
    path: /lab/containers/*
    labels_from: '(?P<container>[^/]+)$'
"""


@scenario(1, 2)
def a_container_sees_the_hosts_tree(lab: Experiment) -> None:
    """There, /proc/PID/cgroup says / of the exporter's own cgroup and /../db of the one beside it."""
    own, beside = lab.cgroup("/lab/containers/exporter"), lab.cgroup("/lab/containers/db")
    lab.start(beside, "anon=4M")
    # Version 1 says / of it as well.
    lab.start(lab.cgroup("/lab/elsewhere"), "zombie=1")
    page = once_in_a_namespace(own, CONTAINED)
    for cgroup, count in (own, 1), (beside, beside.number("processes")):
        labels = f'cgroup="{cgroup.path}",container="{Path(cgroup.path).name}",group='
        for series in (
            f'vmem_process_count{{{labels}"{cgroup.path}"}}',
            f'vmem_cgroup_processes{{{labels}"containers"}}',
        ):
            what = f"cgroup.procs of {cgroup.path}"
            lab.record.pairs.append(Pair(what, series, count, count, page.get(series)))


def run(experiment: Experiment) -> None:
    """Run the scenario that the experiment's record names, and clean up after it, whatever happens."""
    function, _ = SCENARIOS[experiment.record.scenario]
    started = os.times().elapsed
    try:
        function(experiment)
    except Exception:  # the record is how the outside learns of it
        experiment.record.error = traceback.format_exc(chain=False)
    finally:
        experiment.clean()
        experiment.record.seconds = round(os.times().elapsed - started, 2)
