"""A report for scripts. The keys stay: docs/EXPLAIN.md has them."""

from __future__ import annotations

import json
import math
from typing import Any

from exporter.explain.findings import Finding, Report
from exporter.explain.rows import NAMES, Cgroup, Subject

COUNTS = ("minor_faults", "major_faults")


def render(report: Report) -> str:
    """One object. What the kernel doesn't say is null, no limit is "max"."""
    shown = {
        "interval_seconds": report.machine.seconds,
        "subjects": [_subject(subject) for subject, _ in report.subjects],
        "findings": [_finding(finding) for finding in report.findings],
    }
    return json.dumps(shown, indent=2, allow_nan=False) + "\n"


def _subject(subject: Subject) -> dict[str, Any]:
    row = subject.row
    sizes = [name for name in NAMES if name not in (*COUNTS, "waited")]
    return {
        "kind": row.kind,
        "name": row.name,
        "pids": [process.pid for process in row.processes],
        **{f"{name}_bytes": getattr(row.memory, name) for name in sizes},
        **{f"{name}_per_second": subject.rate(name) for name in COUNTS},
        "cgroup": _cgroup(row.cgroup) if row.cgroup else None,
    }


def _cgroup(cgroup: Cgroup) -> dict[str, Any]:
    numbers = {
        "usage_bytes": cgroup.usage,
        "working_set_bytes": cgroup.working_set,
        "swap_bytes": cgroup.swap,
        "effective_limit_bytes": cgroup.effective_limit,
        "headroom_bytes": cgroup.headroom,
    }
    return {
        "path": cgroup.path,
        "version": cgroup.version,
        "limited_by": cgroup.tightest.path if cgroup.tightest else None,
        **{key: "max" if value == math.inf else value for key, value in numbers.items()},
    }


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "rule": finding.rule,
        "subject": finding.subject or None,
        "severity": str(finding.severity),
        "title": finding.title,
        "evidence": [
            {"name": item.name, "value": item.value, "unit": item.unit, "source": item.source}
            for item in finding.evidence
        ],
        "meaning": finding.meaning,
        "action": finding.action,
        "document": finding.document,
    }
