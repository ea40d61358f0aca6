"""What the exporter shows of itself, beside the client library's own process_ and python_info."""

from __future__ import annotations

from exporter.catalog.declare import counter, gauge

BUILD_INFO = gauge("vmem_exporter_build_info", "Always 1; the labels say what runs.", "version", "python_version")
RELOAD_SUCCESSFUL = gauge(
    "vmem_exporter_config_last_reload_successful",
    "Whether the last attempt to load the configuration succeeded; where it is 0 the one before is still in force.",
)
RELOAD_TIMESTAMP = gauge(
    "vmem_exporter_config_last_reload_success_timestamp_seconds",
    "Unix time at which the configuration in force was loaded.",
)
COLLECTOR_DURATION = gauge(
    "vmem_scrape_collector_duration_seconds", "Time that a collector took for this scrape.", "collector"
)
COLLECTOR_SUCCESS = gauge(
    "vmem_scrape_collector_success",
    "Whether a collector read all it should; where it is 0 the log says what it could not.",
    "collector",
)
COLLECTOR_STUCK = gauge(
    "vmem_scrape_collector_stuck_readings",
    "Readings of a collector that have not come back from the kernel: each holds a thread, and isn't made again.",
    "collector",
)

# The client library's own names and words, which dashboards of every exporter's health are written against.
OPEN_FDS = gauge("process_open_fds", "Number of open file descriptors.")
MAX_FDS = gauge("process_max_fds", "Maximum number of open file descriptors.")
CPU = counter("process_cpu_seconds_total", "Total user and system CPU time spent in seconds.")
VIRTUAL = gauge("process_virtual_memory_bytes", "Virtual memory size in bytes.")
RESIDENT = gauge("process_resident_memory_bytes", "Resident memory size in bytes.")
START_TIME = gauge("process_start_time_seconds", "Start time of the process since unix epoch in seconds.")
