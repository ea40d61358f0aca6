"""The captured kernels with faults."""

from faults.faulty import faulty_os

__all__ = ["faulty_os"]
