"""vmem-exporter: what the Linux kernel knows of memory, as Prometheus metrics."""

__version__ = "0.1.0"
