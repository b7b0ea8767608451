"""Time for a daemon whose host's clock is set while it runs."""

import logging
import time
from collections.abc import Callable

from monitor.wire.frame import NANOSECONDS

log = logging.getLogger("monitor")

STEP = NANOSECONDS // 10
"""A smaller change of the host's clock is followed as it comes (nanoseconds)."""
RATE = 16
"""A greater one is made up for by one part in so many of the time that passes."""
LEAST = 86400 * NANOSECONDS
"""One of so much (nanoseconds) is followed at once: the time before it was none."""


def _steady() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


class SteadyClock:
    """Nanoseconds since the epoch, without steps.

    What counts between packets is seconds (T is 37). A clock that is set forward by an hour would make each
    retransmission a late copy, one set back each late copy a retransmission; so a step is made up for
    gradually, as ``adjtime`` does it, and the transactions of the day are told apart as before. At this
    rate 32 s, the last time that a request is sent again (RFC 3261 §17.1.1.2), stay below T.
    """

    def __init__(self, wall: Callable[[], int] = time.time_ns, steady: Callable[[], int] = _steady) -> None:
        self._wall, self._steady = wall, steady
        self._last = wall(), steady()
        self._lead = 0
        """How much this clock is ahead of the host's."""

    def __call__(self) -> int:
        """The time now."""
        wall, steady = self._wall(), self._steady()
        last_wall, last_steady = self._last
        self._last = wall, steady
        elapsed = steady - last_steady
        step = wall - last_wall - elapsed
        if abs(step) >= STEP:
            self._stepped(step)
        if self._lead:
            made_up = min(abs(self._lead), elapsed // RATE)
            self._lead -= made_up if self._lead > 0 else -made_up
        return wall + self._lead

    def _stepped(self, step: int) -> None:
        seconds = step / NANOSECONDS
        if abs(step) >= LEAST:
            self._lead = 0
            log.warning("the host's clock was set by %+.0f s: that is followed at once", seconds)
        else:
            self._lead -= step
            log.warning("the host's clock was set by %+.1f s: that is made up for slowly", seconds)
