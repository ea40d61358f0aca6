"""The catalogue: every metric, declared once, in the module of what it is about."""

from exporter.catalog import cgroup, host, itself, process
from exporter.catalog.declare import METRICS, Family, Metric

__all__ = ["METRICS", "Family", "Metric", "cgroup", "host", "itself", "process"]
