"""One ruled message, as much of it as a report shows: no body, no key."""

import hashlib
import re
from dataclasses import dataclass

from monitor.antireplay.observation import Tier
from monitor.antireplay.ruling import Reason
from monitor.record import RulingRecord
from monitor.wire import address
from monitor.wire.flow import Flow

MAX_HEAD = 4096
"""Octets of start line and header fields that are kept of a message."""
MAX_TEXT = 256
"""Characters of an identifier that are kept."""
MAX_FINGERPRINTS = 32
"""Fingerprints that are kept of a message."""

_BLANK_LINE = re.compile(rb"\r?\n\r?\n|\r\r")
_FOLD = re.compile(rb"\r?\n[ \t]+")


@dataclass(frozen=True, slots=True)
class Judged:
    """A ruled message."""

    frame: int
    time: int
    """Nanoseconds since the epoch."""
    flow: Flow
    source: str
    """The effective source address."""
    start_line: str
    method: str
    status: int | None
    call_id: str
    from_uri: str
    to_uri: str
    reason: Reason
    alerts: tuple[str, ...]
    enforced: bool
    fingerprints: tuple[tuple[bytes, Tier], ...]
    further: int
    """Fingerprints that were not kept."""
    head: tuple[str, ...]
    """Its lines from the start line to the last header field, unfolded."""
    cut: bool
    """There is more of the head than was kept."""
    body_octets: int
    body_hash: str
    """The start of its SHA-256, empty where there is no body."""

    @classmethod
    def of(cls, record: RulingRecord) -> "Judged":
        """What a report shows of a record's message."""
        raw = record.message.lstrip(b"\r\n")
        end = _BLANK_LINE.search(raw)
        head, body = (raw[: end.start()], raw[end.end() :]) if end else (raw, b"")
        kept = _FOLD.sub(b" ", head[:MAX_HEAD])
        return cls(
            record.frame,
            record.time,
            record.flow,
            address.text(record.source),
            record.start_line[:MAX_TEXT],
            record.method[:MAX_TEXT],
            record.status,
            record.call_id[:MAX_TEXT],
            record.from_uri[:MAX_TEXT],
            record.to_uri[:MAX_TEXT],
            record.reason,
            record.alerts,
            record.enforced,
            tuple((each.fingerprint, each.tier) for each in record.sightings[:MAX_FINGERPRINTS]),
            max(0, len(record.sightings) - MAX_FINGERPRINTS),
            tuple(line.rstrip("\r") for line in kept.decode("utf-8", "backslashreplace").split("\n")),
            len(head) > MAX_HEAD,
            len(body),
            hashlib.sha256(body).hexdigest()[:16] if body else "",
        )

    @property
    def sender(self) -> str:
        """Who the message says that it is from: From in requests, To in responses."""
        return self.from_uri if self.status is None else self.to_uri

    @property
    def receiver(self) -> str:
        """Who it says that it is for."""
        return self.to_uri if self.status is None else self.from_uri

    @property
    def what(self) -> str:
        """What it is, in a word or two."""
        return self.method if self.status is None else f"{self.status} to {self.method}"
