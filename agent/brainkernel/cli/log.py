"""Our own log records as JSON lines on stderr, beside the reports: what the journal keeps of a service."""

from __future__ import annotations

import logging
import sys

from brainkernel.cli.terminal import json_line
from brainkernel.escape import shown


class JsonFormatter(logging.Formatter):
    """One object per record. Text is escaped: a record may quote what a process chose."""

    def format(self, record: logging.LogRecord) -> str:
        """The record, with its traceback if it has one."""
        line = {"type": "log", "level": record.levelname.lower(), "logger": record.name, "text": shown(record.getMessage())}
        if record.exc_info:
            line["traceback"] = shown(self.formatException(record.exc_info))
        return json_line(line)


def start(level: int = logging.INFO) -> None:
    """Send all records of this process to stderr."""
    stream = logging.StreamHandler(sys.stderr)
    stream.setFormatter(JsonFormatter())
    logging.basicConfig(level=level, handlers=[stream], force=True)
