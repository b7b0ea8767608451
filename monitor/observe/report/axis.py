"""A time axis that leaves out the long stretches in which nothing happens."""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from monitor.wire.frame import NANOSECONDS

MAX_BREAKS = 10
"""Stretches that are left out at most."""
LONG = 0.12
"""A stretch is left out if it is longer than this part of the time on the axis …"""
SHORT = NANOSECONDS
"""… and than this."""
BREAK = 26.0
"""Width of what stands for one."""
LEAST = 22.0
"""Width of what is between two of them, if it is but an instant."""


class Segment(NamedTuple):
    """A stretch of time that is drawn."""

    start: int
    """Nanoseconds since the epoch."""
    end: int
    left: float
    width: float


class Axis:
    """Maps times to places between ``left`` and ``right``.

    :param times: when something happens, nanoseconds since the epoch; at least one.
    """

    def __init__(self, times: Sequence[int], left: float, right: float) -> None:
        moments = sorted(set(times))
        omitted = _omitted(moments)
        starts = [moments[0], *(end for _, end in omitted)]
        ends = [*(start for start, _ in omitted), moments[-1]]
        drawn = sum(end - start for start, end in zip(starts, ends, strict=True))
        room = right - left - BREAK * len(omitted)
        scale = (room - LEAST * len(starts)) / drawn if drawn else 0.0
        self.segments: list[Segment] = []
        for start, end in zip(starts, ends, strict=True):
            width = LEAST + (end - start) * scale if drawn else room / len(starts)
            self.segments.append(Segment(start, end, left, width))
            left += width + BREAK
        self._starts = starts

    def place(self, time: int) -> float:
        """Where a time is; one that is left out is where the axis is broken."""
        segment = self.segments[max(bisect_right(self._starts, time) - 1, 0)]
        if segment.end == segment.start:
            return segment.left + segment.width / 2
        part = (time - segment.start) / (segment.end - segment.start)
        return segment.left + min(max(part, 0.0), 1.0) * segment.width


def _omitted(moments: Sequence[int]) -> list[tuple[int, int]]:
    """The gaps that are left out, in order."""
    drawn = moments[-1] - moments[0]
    omitted = []
    for start, end in sorted(pairwise(moments), key=lambda gap: gap[0] - gap[1])[:MAX_BREAKS]:
        if end - start <= max(LONG * drawn, SHORT):
            break
        drawn -= end - start
        omitted.append((start, end))
    return sorted(omitted)
