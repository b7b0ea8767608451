"""The latest denials, alerts and exceptions, for whoever asks what has been going on."""

from collections import deque
from collections.abc import Iterable
from typing import Any

from monitor.record import Record, RulingRecord

KEPT = 1000
"""Records that are kept; a further one takes the place of the oldest."""


class Recent:
    """The latest records worth telling: what was denied, and what was accepted with an alert."""

    def __init__(self) -> None:
        self._records: deque[Record] = deque(maxlen=KEPT)

    def add(self, records: Iterable[Record]) -> None:
        """Keep those of ``records`` that are worth it."""
        self._records.extend(record for record in records if _worth_telling(record))

    def documents(self, limit: int) -> list[dict[str, Any]]:
        """The latest ``limit`` of them as JSON objects, oldest first."""
        first = max(0, len(self._records) - limit)
        return [self._records[index].document() for index in range(first, len(self._records))]


def _worth_telling(record: Record) -> bool:
    return record.denies or not isinstance(record, RulingRecord) or bool(record.alerts)
