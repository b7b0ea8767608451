"""The daemon's log on standard error: text for people, or one JSON object a line.

Where the journal reads standard error, text goes to it by its own protocol, with fields.
"""

import json
import logging
import os
import sys
from collections.abc import Mapping
from typing import Any, Literal

from monitor.observe import ecs
from monitor.observe.journal import PRIORITIES, SOCKET, JournalHandler, is_journal

Level = Literal["debug", "info", "warning", "error"]
Format = Literal["text", "json", "ecs"]


class _Text(logging.Formatter):
    """``TIME LEVEL MESSAGE``."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s")


class _Prefixed(logging.Formatter):
    """The message with its priority, for a journal that reads lines (sd-daemon(3))."""

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        return "\n".join(f"<{PRIORITIES.get(record.levelno, 6)}>{line}" for line in text.splitlines())


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        document: dict[str, Any] = {
            "time": round(record.created, 6),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
        }
        if record.exc_info:
            document["trace"] = self.formatException(record.exc_info)
        if hasattr(record, "event"):
            document["event"] = record.event
        return json.dumps(document)


class _Ecs(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        document = ecs.base(record.created)
        document |= {"log.level": record.levelname.lower(), "message": record.getMessage()}
        if record.exc_info and record.exc_info[0] is not None:
            document |= {
                "error.type": record.exc_info[0].__name__,
                "error.message": str(record.exc_info[1]),
                "error.stack_trace": self.formatException(record.exc_info),
            }
        if hasattr(record, "event"):
            document |= ecs.event(record.event)
        return json.dumps(document)


def configure(
    level: Level, format: Format, environment: Mapping[str, str] = os.environ, journal: str = SOCKET
) -> None:
    """Send the log to standard error, or to the journal that reads it, from now on.

    :param environment: ``JOURNAL_STREAM`` in it tells whether the journal reads standard error.
    :param journal: the journal's socket.
    """
    log = logging.getLogger("monitor")
    log.handlers = [_handler(format, environment, journal)]
    log.propagate = False
    log.setLevel(level.upper())


def _handler(format: Format, environment: Mapping[str, str], journal: str) -> logging.Handler:
    lines = logging.StreamHandler(sys.stderr)
    if format != "text":
        lines.setFormatter(_Json() if format == "json" else _Ecs())
    elif not is_journal(sys.stderr, environment):
        lines.setFormatter(_Text())
    else:
        try:
            return JournalHandler(journal)
        except OSError:
            lines.setFormatter(_Prefixed())
    return lines
