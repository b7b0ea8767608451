"""The latest denials, alerts and exceptions, for whoever asks what has been going on."""

from collections import deque
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from monitor.record import Record, RulingRecord

KEPT = 1000
"""Records that are kept; a further one takes the place of the oldest."""
TEXT = 256
"""Characters kept of each text from outside."""


class Recent:
    """The latest records worth telling: what was denied, and what was accepted with an alert."""

    def __init__(self) -> None:
        self._records: deque[Record] = deque(maxlen=KEPT)

    def add(self, records: Iterable[Record]) -> None:
        """Keep those of ``records`` that are worth it."""
        self._records.extend(_brief(record) for record in records if _worth_telling(record))

    def documents(self, limit: int) -> list[dict[str, Any]]:
        """The latest ``limit`` of them as JSON objects, oldest first."""
        first = max(0, len(self._records) - limit)
        return [self._records[index].document() for index in range(first, len(self._records))]


def _worth_telling(record: Record) -> bool:
    return record.denies or not isinstance(record, RulingRecord) or bool(record.alerts)


def _brief(record: Record) -> Record:
    """The record without the message itself, and without long text."""
    call_id, start_line = record.call_id[:TEXT], record.start_line[:TEXT]
    if not isinstance(record, RulingRecord):
        return replace(record, call_id=call_id, start_line=start_line, detail=record.detail[:TEXT])
    return replace(
        record,
        call_id=call_id,
        start_line=start_line,
        from_uri=record.from_uri[:TEXT],
        to_uri=record.to_uri[:TEXT],
        sightings=(),
        message=b"",
    )
