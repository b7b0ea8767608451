"""Counts over time in bins that grow with the time they cover, so that there are never many."""

from collections.abc import Iterator

from monitor.wire.frame import NANOSECONDS

MAX_BINS = 512
"""Bins; when there are more, each two become one."""


class Density:
    """Counts of some kinds of events over time."""

    def __init__(self, kinds: int) -> None:
        self._kinds = kinds
        self.width = NANOSECONDS // 8
        """Nanoseconds in a bin."""
        self._bins: dict[int, list[int]] = {}

    def add(self, time: int, kind: int) -> None:
        """Count one event."""
        counts = self._bins.setdefault(time // self.width, [0] * self._kinds)
        counts[kind] += 1
        while len(self._bins) > MAX_BINS:
            self._halve()

    def _halve(self) -> None:
        self.width *= 2
        bins, self._bins = self._bins, {}
        for number, counts in bins.items():
            both = self._bins.setdefault(number // 2, [0] * self._kinds)
            for kind, count in enumerate(counts):
                both[kind] += count

    def __iter__(self) -> Iterator[tuple[int, list[int]]]:
        """When each bin begins, and its counts; the earliest first."""
        for number in sorted(self._bins):
            yield number * self.width, self._bins[number]
