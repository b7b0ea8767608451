"""The journal's own protocol: log entries with fields that can be asked for.

https://systemd.io/JOURNAL_NATIVE_PROTOCOL/; for instance ``journalctl REPLAY_MONITOR_REASON=key-reused``.
"""

import logging
import os
import socket
from collections.abc import Mapping
from typing import IO, Any

SOCKET = "/run/systemd/journal/socket"
IDENTIFIER = "replay-monitor"
PREFIX = "REPLAY_MONITOR_"
MAX_VALUE = 2000
"""Characters of a field's value; what is longer is cut."""
PRIORITIES = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}


def is_journal(stream: IO[str], environment: Mapping[str, str] = os.environ) -> bool:
    """Whether the journal reads what is written to ``stream`` (systemd.exec(5), JOURNAL_STREAM)."""
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return environment.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


class JournalHandler(logging.Handler):
    """Sends log records to the journal, with the fields of the event that they tell of.

    Nothing waits for a journal that is busy: what it does not take is lost.

    :param path: of the journal's socket.
    :raises OSError: there is none.
    """

    def __init__(self, path: str = SOCKET) -> None:
        super().__init__()
        self._channel = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        try:
            self._channel.connect(path)
        except OSError:
            self._channel.close()
            raise
        self._channel.setblocking(False)

    def emit(self, record: logging.LogRecord) -> None:
        """Send one entry."""
        try:
            self._channel.send(entry(record, self.format(record)))
        except OSError:
            pass
        except Exception:
            self.handleError(record)

    def close(self) -> None:
        """Let go of the socket."""
        self._channel.close()
        super().close()


def entry(record: logging.LogRecord, message: str) -> bytes:
    """A log record in the journal's protocol."""
    fields: dict[str, Any] = {
        "MESSAGE": message,
        "PRIORITY": PRIORITIES.get(record.levelno, 6),
        "SYSLOG_IDENTIFIER": IDENTIFIER,
    }
    document: Mapping[str, Any] = getattr(record, "event", {})
    for name, value in document.items():
        text = " ".join(map(str, value)) if isinstance(value, list) else value
        if text not in (None, ""):
            fields[PREFIX + name.upper()] = text
    return b"".join(_field(name, str(value)[:MAX_VALUE]) for name, value in fields.items())


def _field(name: str, value: str) -> bytes:
    octets = value.encode("utf-8", "backslashreplace")
    if b"\n" not in octets:
        return b"%s=%s\n" % (name.encode(), octets)
    return b"%s\n%s%s\n" % (name.encode(), len(octets).to_bytes(8, "little"), octets)
