"""The exporter itself: whether it answers, what it costs, and what it may not read."""

from __future__ import annotations

from panels import (
    BYTES,
    COUNT,
    ORANGE,
    RATIO,
    RED,
    SECONDS,
    Column,
    Line,
    every,
    figure,
    graph,
    listing,
    page,
    rate,
    row,
    steps,
    variable,
)

UID = "vmem-exporter"

BOARD = page(
    UID,
    "Memory / Exporter",
    "vmem-exporter itself: whether it answers, how long a scrape takes, what it may not read, and what it costs.",
    (
        variable("job", "Job", "vmem_exporter_build_info"),
        variable("instance", "Instance", 'up{job="$job"}', several=True),
    ),
    (
        figure(
            "Answering",
            "Exporters that answered the last scrape.",
            COUNT,
            f"sum({every('up')})",
        ),
        figure(
            "Not answering",
            "Exporters that did not. Nothing is known of their hosts, and none of their alerts can fire.",
            COUNT,
            f"count({every('up')} == 0) or vector(0)",
            steps((1, RED)),
        ),
        figure(
            "Failing collectors",
            "Collectors that could not read all that they should; the exporter's log says what.",
            COUNT,
            f"count({every('vmem_scrape_collector_success')} == 0) or vector(0)",
            steps((1, RED)),
        ),
        figure(
            "Refused configurations",
            "Exporters whose configuration file could not be loaded the last time: the one before is still in force.",
            COUNT,
            f"count({every('vmem_exporter_config_last_reload_successful')} == 0) or vector(0)",
            steps((1, ORANGE)),
        ),
        figure(
            "Groups folded",
            "Groups beyond max_groups, whose processes all count as the group other. Above 0 a template makes more"
            " groups than was meant.",
            COUNT,
            f"sum({every('vmem_process_groups_folded')})",
            steps((1, ORANGE)),
        ),
        figure(
            "Cgroups not shown",
            "Cgroups that match an entry, beyond its max_cgroups. Above 0 the smallest of them are missing on the"
            " other dashboards.",
            COUNT,
            f"sum({every('vmem_cgroup_not_shown')}) or vector(0)",
            steps((1, ORANGE)),
        ),
    ),
    row(
        "Scrapes",
        graph(
            "Time of a scrape",
            "How long Prometheus waited for the page. Bad: near the scrape timeout (10 s unless it was changed), where"
            " the host goes dark just when it is busy.",
            SECONDS,
            Line(every("scrape_duration_seconds"), "{{instance}}"),
        ),
        graph(
            "Time by collector",
            "How long each collector took. Bad: one that grows from day to day: more processes or cgroups than was"
            " planned, or the option smaps on a large group.",
            SECONDS,
            Line(every("vmem_scrape_collector_duration_seconds"), "{{collector}} on {{instance}}"),
        ),
        graph(
            "Samples",
            "Series on the page. Bad: a climb without end: a template in the configuration makes a group for each job,"
            " port or user.",
            COUNT,
            Line(every("scrape_samples_scraped"), "{{instance}}"),
        ),
    ),
    row(
        "What could not be read",
        graph(
            "Collectors that failed",
            "1 where a collector could not read all that it should. Bad: a 1 that stays for more than one scrape.",
            COUNT,
            Line(f"1 - {every('vmem_scrape_collector_success')}", "{{collector}} on {{instance}}"),
            most=1,
        ),
        graph(
            "Reads refused",
            "Processes that were there and could not be read, by reason. Bad: permission all the time: smaps_rollup"
            " and other users' processes need CAP_SYS_PTRACE.",
            "count:reads/s",
            Line(
                f"sum by (instance, reason) ({rate(every('vmem_process_read_errors_total'))})",
                "{{reason}} on {{instance}}",
            ),
        ),
        graph(
            "Age of smaps readings",
            "How old the oldest reading of smaps_rollup is, for groups with the option smaps. It is read in turns, for"
            " it is slow. Bad: an age that only grows: the walk never finishes.",
            SECONDS,
            Line(every("vmem_process_smaps_age_seconds"), "{{group}} on {{instance}}"),
            nothing="No group has the option smaps",
        ),
    ),
    row(
        "What it costs",
        graph(
            "Its own memory",
            "RAM that the exporter holds. Bad: growth over days with the same processes to watch.",
            BYTES,
            Line(every("process_resident_memory_bytes"), "{{instance}}"),
        ),
        graph(
            "Its own CPU",
            "Processor time that the exporter takes; 100 % is one processor. Bad: more than a few percent: scrape less"
            " often, or watch less.",
            RATIO,
            Line(rate(every("process_cpu_seconds_total")), "{{instance}}"),
        ),
        graph(
            "Its own open files",
            "File descriptors. Bad: a climb toward the limit of the process: a leak in the exporter.",
            COUNT,
            Line(every("process_open_fds"), "{{instance}}"),
        ),
        listing(
            "What runs where",
            "Version of the exporter and of Python on each instance, and for how long its configuration has been in"
            " force. Bad: versions that differ after a rollout, or a configuration older than your last change.",
            ("instance", "version", "python_version"),
            Column(
                "Configured for",
                f"(time() - {every('vmem_exporter_config_last_reload_success_timestamp_seconds')})"
                f" * on (instance) group_right () {every('vmem_exporter_build_info')}",
                SECONDS,
            ),
            sort="Configured for",
            height=6,
        ),
    ),
)
