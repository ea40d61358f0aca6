"""What the exporter shows of itself, beside the client library's own process_ and python_info."""

from __future__ import annotations

from exporter.catalog.declare import gauge

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
