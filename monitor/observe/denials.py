"""Who is denied: counts by source and reason, in bounded number, for the metrics."""

from dataclasses import dataclass

from monitor.wire import address
from monitor.wire.frame import NANOSECONDS

MAX_DENIALS = 100
"""Pairs of source and reason that are told apart; what comes beyond is counted as ``other``."""
SILENCE = 3600 * NANOSECONDS
"""A pair that has been silent for so long (nanoseconds) makes room for another: no more than ``MAX_DENIALS``
new label values an hour, whatever sources an attacker makes up."""
OTHER = "other"


@dataclass(slots=True)
class Tally:
    """The denials of one source for one reason."""

    count: int = 0
    last: int = 0
    """Time of the last one (nanoseconds since the epoch)."""


class Denials:
    """Counts denials by source and reason; IPv6 sources by their /64, all of which one host may well own."""

    def __init__(self) -> None:
        self._tallies: dict[tuple[str, str], Tally] = {}
        self._full_until = 0

    def count(self, source: bytes, reason: str, time: int) -> None:
        """Count one denial.

        :param source: packed; empty where it is unknown.
        :param time: nanoseconds since the epoch.
        """
        pair = (_label(source), reason)
        tally = self._tallies.get(pair)
        if tally is None:
            if not self._room(time):
                pair = (OTHER, reason)
            tally = self._tallies.setdefault(pair, Tally())
        tally.count += 1
        tally.last = max(tally.last, time)

    def tallies(self) -> dict[tuple[str, str], Tally]:
        """By source and reason. Any thread may ask."""
        return dict(self._tallies)

    def _room(self, time: int) -> bool:
        """Whether there is room for another pair, if need be that of one that has long been silent."""
        if len(self._tallies) < MAX_DENIALS:
            return True
        if time < self._full_until:
            return False
        oldest = min(self._tallies, key=lambda pair: self._tallies[pair].last)
        self._full_until = self._tallies[oldest].last + SILENCE
        if time < self._full_until:
            return False
        del self._tallies[oldest]
        return True


def _label(source: bytes) -> str:
    if len(source) == 16:
        return f"{address.text(source[:8] + bytes(8))}/64"
    return address.text(source) if source else "unknown"
