"""Log lines on standard error, as logfmt or JSON, in the shape that the ecosystem's daemons have."""

from __future__ import annotations

import json
import logging
import re
from datetime import UTC, datetime

LEVELS = ("debug", "info", "warn", "error")
FORMATS = ("logfmt", "json")

_BARE = re.compile(r"[^\s\"=\x00-\x1f\x7f]+")


class _Line(logging.Formatter):
    def __init__(self, as_json: bool) -> None:
        super().__init__()
        self._json = as_json

    def format(self, record: logging.LogRecord) -> str:
        fields = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": {"WARNING": "warn"}.get(record.levelname, record.levelname.lower()),
            "msg": record.getMessage(),
        }
        if record.exc_info:
            fields["error"] = self.formatException(record.exc_info)
        if self._json:
            return json.dumps(fields)
        return " ".join(
            f"{key}={value if _BARE.fullmatch(value) else json.dumps(value)}" for key, value in fields.items()
        )


def set_up(level: str, format: str) -> None:
    """Log from this level on, in this format."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Line(format == "json"))
    logging.basicConfig(level={"warn": "WARNING"}.get(level, level.upper()), handlers=[handler], force=True)
    # What asyncio says of a client's broken connection is the client's business.
    logging.getLogger("asyncio").setLevel(logging.ERROR)
