"""The daemon's log on standard error: text for people, or one JSON object a line."""

import json
import logging
import os
import sys
from collections.abc import Mapping
from typing import Literal

_PRIORITIES = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}


class _Text(logging.Formatter):
    """``LEVEL MESSAGE``; for the journal the message alone, with its priority (sd-daemon(3))."""

    def __init__(self, journal: bool) -> None:
        super().__init__("%(message)s" if journal else "%(asctime)s %(levelname)s %(message)s")
        self._journal = journal

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        if not self._journal:
            return text
        return "\n".join(f"<{_PRIORITIES.get(record.levelno, 6)}>{line}" for line in text.splitlines())


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        document = {
            "time": round(record.created, 6),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
        }
        if record.exc_info:
            document["trace"] = self.formatException(record.exc_info)
        return json.dumps(document)


def configure(
    level: Literal["debug", "info", "warning", "error"],
    format: Literal["text", "json"],
    environment: Mapping[str, str] = os.environ,
) -> None:
    """Send the log to standard error from now on.

    :param environment: ``JOURNAL_STREAM`` in it means that the journal reads standard error.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json() if format == "json" else _Text("JOURNAL_STREAM" in environment))
    log = logging.getLogger("monitor")
    log.handlers = [handler]
    log.propagate = False
    log.setLevel(level.upper())
