"""Readers of the kernel's memory files: one small module a source, each a pure parser of its bytes."""
