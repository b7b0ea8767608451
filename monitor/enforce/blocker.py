"""Decides which sources to block: those whose messages are denied as replays again and again."""

import ipaddress
import logging
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from monitor.enforce.programs import NetfilterError
from monitor.record import Record, RulingRecord
from monitor.wire import address
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


class Blocker:
    """Adds sources to the block set.

    :param add: adds sources (packed) to the set for so many seconds.
    :param spare: whether a source is never blocked.
    :param proven: whether a TCP connection shows that its source is no forgery.
    """

    def __init__(
        self,
        terms: Terms,
        add: Callable[[Sequence[bytes], int], None],
        spare: Callable[[bytes], bool],
        proven: Callable[[Flow], bool],
    ) -> None:
        self.spare = spare
        self.counts = Counter(blocked=0, failed=0, spared=0, unproven=0, unjudged=0)
        """Sources ``blocked``, and ``failed`` to be; denials that do not count, their source being ``spared``
        or ``unproven``; packets that were queued already and were dropped ``unjudged``."""
        self._terms = terms
        self._add = add
        self._proven = proven
        self._denials: OrderedDict[bytes, deque[int]] = OrderedDict()
        self._due: dict[bytes, None] = {}
        self._added = 0
        self._backlog: dict[bytes, int] = {}
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
        drops = (packet[12:16] if packet[0] >> 4 == 4 else packet[8:24]) in self._backlog
        self.counts["unjudged"] += drops
        return drops

    def _denied(self, flow: Flow, time: int) -> None:
        source, terms = flow.source, self._terms
        if self.spare(source):
            self.counts["spared"] += 1
            return
        if not (self._proven(flow) if flow.transport == "tcp" else terms.udp):
            self.counts["unproven"] += 1
            return
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
        shown = ", ".join(map(address.text, sources[:5]))
        more = f" and {len(sources) - 5} more" if len(sources) > 5 else ""
        log.warning("blocked for sending what is denied again and again: %s%s", shown, more)


def sparing(
    allowed: Collection[ipaddress.IPv4Network | ipaddress.IPv6Network], relays: Collection[bytes]
) -> Callable[[bytes], bool]:
    """Says who is never blocked: these networks, these relays and B2BUAs (packed), and the host to itself."""

    def spare(source: bytes) -> bool:
        found = ipaddress.ip_address(source)
        return source in relays or found.is_loopback or any(found in network for network in allowed)

    return spare
