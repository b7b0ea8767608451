"""Decides which sources to block: those whose messages are denied as replays again and again."""

import logging
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from monitor.enforce.programs import NetfilterError
from monitor.enforce.source import Source, Spared
from monitor.record import Record, RulingRecord
from monitor.wire.flow import Flow
from monitor.wire.frame import NANOSECONDS

log = logging.getLogger("monitor")

MAX_SOURCES = 4096
"""Sources whose denials are counted; the longest silent go first."""
MAX_ADDED = 500
"""Sources that are added to the set at a time; further ones are left for when they go on."""
ADD_INTERVAL = NANOSECONDS // 20
"""Between two additions to the set, each of which takes some milliseconds."""
BACKLOG = 5 * NANOSECONDS
"""For how long packets that were queued before their source was blocked are dropped unjudged."""


@dataclass(frozen=True, slots=True)
class Terms:
    """When a source is blocked; durations in nanoseconds."""

    denials: int
    within: int
    duration: int
    udp: bool
    """Whether denials over UDP count."""
    ipv6_prefix: int
    """Bits of an IPv6 address whose bearers are counted, and blocked, as one source."""


class Blocker:
    """Adds sources to the block set.

    :param add: adds sources to the set for so many seconds.
    :param spared: who is never blocked.
    :param proven: whether a TCP connection shows that its source is no forgery.
    """

    def __init__(
        self,
        terms: Terms,
        add: Callable[[Sequence[Source], int], None],
        spared: Spared,
        proven: Callable[[Flow], bool],
    ) -> None:
        self.spared = spared
        self.counts = Counter(blocked=0, failed=0, spared=0, unproven=0, unjudged=0)
        """Sources ``blocked``, and ``failed`` to be; denials that do not count, their source being ``spared``
        or ``unproven``; packets that were queued already and were dropped ``unjudged``."""
        self._terms = terms
        self._add = add
        self._proven = proven
        self._denials: OrderedDict[Source, deque[int]] = OrderedDict()
        self._due: dict[Source, None] = {}
        self._added = 0
        self._backlog: dict[Source, int] = {}
        """When to look at each source's packets again."""
        self._told = False

    def see(self, records: Sequence[Record], now: int) -> None:
        """Take note of what was ruled, and block who is to be; to be called now and then with nothing too."""
        for record in records:
            if isinstance(record, RulingRecord) and record.denies and record.enforced:
                self._denied(record.flow, record.time)
        if self._due and now - self._added >= ADD_INTERVAL:
            self._block(now)
        if self._backlog:
            self._backlog = {source: until for source, until in self._backlog.items() if until > now}

    def drops(self, packet: bytes) -> bool:
        """Whether a packet that was queued before its source was blocked is to be dropped unjudged."""
        if not self._backlog or len(packet) < 20:
            return False
        if packet[0] >> 4 == 4:
            drops = Source.of(packet[12:16]) in self._backlog
        elif len(packet) < 40:
            return False
        else:
            packed = packet[8:24]
            drops = (
                Source.of(packed, self._terms.ipv6_prefix) in self._backlog
                or Source.of(packed) in self._backlog
            )
        self.counts["unjudged"] += drops
        return drops

    def _denied(self, flow: Flow, time: int) -> None:
        terms = self._terms
        if flow.source in self.spared:
            self.counts["spared"] += 1
            return
        if not (self._proven(flow) if flow.transport == "tcp" else terms.udp):
            self.counts["unproven"] += 1
            return
        source = self.spared.source(flow.source, terms.ipv6_prefix)
        times = self._denials.pop(source, None) or deque(maxlen=terms.denials)
        times.append(time)
        if len(times) == terms.denials and time - times[0] <= terms.within:
            self._due[source] = None
            return
        self._denials[source] = times
        if len(self._denials) > MAX_SOURCES:
            self._denials.popitem(last=False)

    def _block(self, now: int) -> None:
        self._added = now
        sources = list(self._due)[:MAX_ADDED]
        self._due.clear()
        try:
            self._add(sources, max(1, self._terms.duration // NANOSECONDS))
        except NetfilterError as error:
            self.counts["failed"] += len(sources)
            if not self._told:
                self._told = True
                log.error("no source can be blocked: %s (told once)", error)
            return
        self._told = False
        self.counts["blocked"] += len(sources)
        self._backlog |= dict.fromkeys(sources, now + BACKLOG)
        shown = ", ".join(map(str, sources[:5]))
        more = f" and {len(sources) - 5} more" if len(sources) > 5 else ""
        log.warning("blocked for sending what is denied again and again: %s%s", shown, more)
