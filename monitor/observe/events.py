"""Events: rulings and exceptions as JSON Lines for machines, and as lines of a log for people."""

import logging
import os
import select
import stat
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from monitor import compact_json
from monitor.antireplay.ruling import Verdict
from monitor.exceptions import Outcome
from monitor.record import Record, RulingRecord
from monitor.wire import address
from monitor.wire.frame import NANOSECONDS

BACKLOG = 1 << 20
"""Octets of events that wait for a slow reader of standard output; once there are more, further ones are
lost."""
CLOSING = 1.0
"""Seconds that such a reader is waited for at the end."""
LINES_PER_SECOND = 20
"""Lines for people in one second; the rest of a flood is told as a number."""

log = logging.getLogger("monitor")


class EventFile:
    """Appends records to a file or standard output, one JSON object to a line.

    Trouble never keeps a packet waiting: what cannot be written is counted in ``lost``. A pipe or socket that
    is full is no trouble yet: what it does not take waits here, up to ``BACKLOG``, for the next ``write``.

    :param path: of the file, made with mode 0640 where it is missing; ``-`` for standard output.
    :param form: makes the object to be written of a record's document.
    :raises OSError: the file cannot be opened.
    """

    def __init__(self, path: str, form: Callable[[dict[str, Any]], dict[str, Any]] = dict) -> None:
        self._path = path
        self._form = form
        self._file = self._open()
        self._backlog = bytearray()
        self._torn = path != "-" and _is_torn(Path(path))
        """Whether what was written ends amid a line: a disk was full, or the daemon was killed."""
        self.lost = 0

    def write(self, records: Iterable[Record] = ()) -> None:
        """Append what waits and ``records``, in one write where that is possible."""
        lines = [compact_json.encode(self._form(record.document())).encode() + b"\n" for record in records]
        if len(self._backlog) > BACKLOG:
            self.lost += len(lines)
            lines.clear()
        if lines and self._torn and not self._backlog:
            # After a write that a full disk cut short, a fresh line keeps the damage to one event.
            self._backlog += b"\n"
        self._backlog += b"".join(lines)
        self._flush()

    def reopen(self) -> None:
        """Go on in a fresh file of the same name, for logrotate; where there can be none, in the old one."""
        if self._path == "-":
            return
        try:
            fresh = self._open()
        except OSError as error:
            log.error("events go on in the old file: %s: %s", self._path, error.strerror)
            return
        self._flush()
        self._drop()
        os.close(self._file)
        self._file, self._torn = fresh, False

    def close(self) -> None:
        """Give a slow reader a last chance; close the file, but leave standard output open."""
        while self._backlog and select.select((), (self._file,), (), CLOSING)[1]:
            self._flush()
        self._drop()
        if self._path != "-":
            os.close(self._file)

    def _flush(self) -> None:
        if not self._backlog:
            return
        try:
            written = os.write(self._file, self._backlog)
        except BlockingIOError:
            return
        except OSError as error:
            if not self.lost:
                log.error("events cannot be written to %s: %s", self._path, error.strerror)
            self._drop()
            return
        self._torn = not self._backlog.endswith(b"\n", 0, written)
        del self._backlog[:written]

    def _drop(self) -> None:
        self.lost += self._backlog.count(b"\n")
        self._backlog.clear()

    def _open(self) -> int:
        if self._path != "-":
            return os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
        output = sys.stdout.fileno()
        mode = os.fstat(output).st_mode
        if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode):
            os.set_blocking(output, False)
        return output


class Teller:
    """Denials and alerts as lines of the log; what is in order is not worth one."""

    def __init__(self) -> None:
        self._second = 0
        self._lines = 0

    def tell(self, record: Record, now: int) -> None:
        """Log ``record``, unless this second (of ``now``, nanoseconds since the epoch) has had its lines."""
        told = _line(record)
        if told is None:
            return
        second = now // NANOSECONDS
        if second != self._second:
            if self._lines > LINES_PER_SECOND:
                log.warning("and %d more within a second", self._lines - LINES_PER_SECOND)
            self._second, self._lines = second, 0
        self._lines += 1
        if self._lines <= LINES_PER_SECOND:
            level, text = told
            log.log(level, "%s", text, extra={"event": record.document()})


def _is_torn(path: Path) -> bool:
    """Whether the last line of a regular file has no end."""
    with suppress(OSError):
        if path.is_file() and path.stat().st_size:
            with path.open("rb") as file:
                file.seek(-1, os.SEEK_END)
                return file.read(1) != b"\n"
    return False


def _line(record: Record) -> tuple[int, str] | None:
    """Level and text of a record's line, None where it gets none."""
    if isinstance(record, RulingRecord):
        denied = record.verdict is Verdict.DENY
        if not denied and not record.alerts:
            return None
        what = f"{record.start_line} from {address.text(record.source)}: {record.reason}"
        details = f"SPI {'+'.join(record.spi) or 'none'}, Call-ID {record.call_id}"
        if record.alerts:
            details += f", alerts {', '.join(record.alerts)}"
    else:
        denied = record.outcome is Outcome.DENY
        if record.outcome is Outcome.ACCEPT:
            return None
        source = address.text(record.source) if record.source else "an unknown source"
        what, details = f"packet from {source}: {record.exception}", record.detail
    text = f"{'denied' if denied else 'accepted'} {what} ({details})"
    return logging.WARNING if denied else logging.INFO, printable(text)


def printable(text: str) -> str:
    """Text from outside, kept to one line of a log."""
    return "".join(letter if letter.isprintable() else "?" for letter in text[:500])
