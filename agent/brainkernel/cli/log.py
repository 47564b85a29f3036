"""Our own log records as JSON lines on stderr, beside the reports: what the journal keeps of a service."""

from __future__ import annotations

import logging
import os
import sys
from typing import TYPE_CHECKING

from brainkernel.cli.flood import FloodFilter
from brainkernel.cli.terminal import json_line
from brainkernel.escape import shown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from brainkernel.cli.flood import Flood

_PRIORITIES = {"debug": 7, "info": 6, "notice": 5, "warning": 4, "error": 3, "critical": 2}  # sd-daemon(3)


def priority_of(level: str, environment: Mapping[str, str] = os.environ) -> str:
    """What the journal takes off a line's head as its priority; "" where stderr does not lead there (systemd.exec(5))."""
    return f"<{_PRIORITIES[level]}>" if "JOURNAL_STREAM" in environment else ""


class JsonFormatter(logging.Formatter):
    """One object per record. Text is escaped: a record may quote what a process chose."""

    def format(self, record: logging.LogRecord) -> str:
        """The record, with its traceback if it has one."""
        level = record.levelname.lower()
        line = {"type": "log", "level": level, "logger": record.name, "text": shown(record.getMessage())}
        if record.exc_info:
            line["traceback"] = shown(self.formatException(record.exc_info))
        return priority_of(level) + json_line(line)


def start(level: int = logging.INFO, flood: Flood | None = None) -> None:
    """Send all records of this process to stderr; of a `flood` only the first, and who reports tells of the rest."""
    stream = logging.StreamHandler(sys.stderr)
    stream.setFormatter(JsonFormatter())
    if flood is not None:
        stream.addFilter(FloodFilter(flood))
    logging.basicConfig(level=level, handlers=[stream], force=True)
