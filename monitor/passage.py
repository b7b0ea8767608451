"""What of a TCP stream may pass: stretches that are undecided or denied, and the message under way.

Where a policy makes denied messages harmless in place, the segments of a message wait until it is whole. They
are let go, so that the connection does not stall, as soon as the sender shows that it waits for them (it
sends one again), or that it soon would: the message is longer than what a sender may send unacknowledged.
"""

from dataclasses import dataclass, field
from typing import Protocol

from monitor.denial import Denial
from monitor.sip.framing import StreamFramer
from monitor.wire.frame import NANOSECONDS
from monitor.wire.tcp import Delivery

HOLD_OCTETS = 14600
"""Of a message that is held: a sender's initial window (RFC 6928 §2)."""
HOLD_SEGMENTS = 32
"""Segments of one message that are held."""
HOLD_TIME = NANOSECONDS
"""For how long (nanoseconds)."""
MAX_SPANS = 64
"""Stretches of one stream that are kept as undecided or denied."""
END_OF_STREAM = 1 << 62
"""Beyond any offset."""


class Carrier(Protocol):
    """A frame whose verdict may wait."""

    start: int
    end: int
    waiting: int
    denied: bool
    dropped: bool
    turn: int
    denials: list[Denial]


@dataclass(slots=True, eq=False)
class Fate:
    """What becomes of a message, and of every frame that carries octets of it."""

    start: int = 0
    """Offset in the stream of the first octet."""
    end: int = 0
    passage: "Passage | None" = None
    """Of the stream that it is in; None in a datagram."""
    decided: bool = False
    denied: bool = False
    denial: Denial | None = None
    """How it is enforced; None: by dropping."""
    passed: tuple[int, int] = (0, 0)
    """See ``Denial.passed``."""
    reach: int = 0
    """Offset from which octets share it; it is before the message where the recipient has octets of that
    already, and needs earlier ones to read them."""
    turns: int = 0
    """Frames denied for it that bring nothing before it."""
    frames: dict[Carrier, None] = field(default_factory=dict)
    """Those that wait for it, or have its octets again."""

    def bind(self, frame: Carrier) -> None:
        """Let a frame share this fate."""
        if self.denied:
            frame.denied = True
            frame.dropped |= self.denial is None
            if frame.start >= self.reach:
                self.turns += 1
                frame.turn = self.turns
            if self.denial is not None and self.denial not in frame.denials:
                frame.denials.append(self.denial)
        elif not self.decided and frame not in self.frames:
            frame.waiting += 1
            self.frames[frame] = None

    def decide(self, denied: bool, denial: Denial | None = None) -> None:
        """Settle it for all frames that share it."""
        self.decided, self.denied, self.denial = True, denied, denial
        for frame in self.frames:
            frame.waiting -= 1
            self.bind(frame)

    def revoke(self, denial: Denial | None) -> None:
        """Deny what was accepted, before any of its frames has its verdict."""
        self.denied, self.denial = True, denial
        for frame in self.frames:
            self.bind(frame)
        if self.passage is not None:
            self.passage.spans.append(self)

    def overlaps(self, start: int, end: int) -> bool:
        """Whether octets between these offsets share it."""
        return start < self.end and self.reach < end


class Passage:
    """What hangs on one TCP stream: its framer, and the stretches that are not free to pass."""

    __slots__ = ("_released", "floor", "framer", "passed", "since", "spans", "under_way")

    def __init__(self) -> None:
        self.framer = StreamFramer()
        self.spans: list[Fate] = []
        self.under_way: Fate | None = None
        """The message that is held until it is whole; it is among the spans."""
        self.since = 0
        """When its first frame came."""
        self.floor = 0
        """Below it stood denied messages that are forgotten: what comes of it again must not be read."""
        self.passed = (0, 0)
        """Offsets between which octets may have passed that are in no message yet."""
        self._released = -1

    def stretch(self, start: int, end: int) -> Fate:
        """A new stretch."""
        fate = Fate(start, end, self, reach=start)
        self.spans.append(fate)
        return fate

    def whole(self, start: int, end: int, by: Delivery) -> Fate:
        """The stretch of a message that a delivery makes whole, or in which there is none."""
        fate = self.under_way
        if fate is not None and fate.start == start:
            self.under_way = None
            fate.end = end
        else:
            fate = self.stretch(start, end)
        low, high = max(start, self.passed[0]), min(end, self.passed[1])
        if low < high:
            fate.passed = low, high
            if by.end < end:
                fate.reach = min(start, by.data_start)
        else:
            fate.passed = start, start
        return fate

    def hold(self, time: int) -> None:
        """Let the message under way wait until it is whole."""
        if self.under_way is None:
            self.under_way = self.stretch(self.framer.start, END_OF_STREAM)
            self.since = time

    @property
    def released(self) -> bool:
        """Whether the message under way was let go."""
        return self.framer.start == self._released

    @property
    def too_much(self) -> bool:
        """Whether the message under way is more than is held."""
        segments = len(self.under_way.frames) if self.under_way is not None else 0
        return max(self.framer.need, self.framer.pending) > HOLD_OCTETS or segments >= HOLD_SEGMENTS

    def release(self) -> None:
        """Let the message under way go, what is held of it and what follows."""
        self._released = self.framer.start
        fate, self.under_way = self.under_way, None
        if fate is not None:
            self.spans.remove(fate)
            fate.decide(False)
            for frame in fate.frames:
                self.let_pass(frame.start, frame.end)

    def let_pass(self, start: int, end: int) -> None:
        """Note that octets between these offsets may have passed; those of whole messages do not count."""
        start, (low, high) = max(start, self.framer.start), self.passed
        if start < end:
            self.passed = (min(low, start), max(high, end)) if high > self.framer.start else (start, end)

    def tidy(self) -> bool:
        """Forget stretches that are free to pass, and the oldest made harmless where there are too many.

        :returns: whether there are too many others: then all that follows is denied.
        """
        self.spans = [span for span in self.spans if span.denied or not span.decided]
        while len(self.spans) > MAX_SPANS:
            oldest = next((span for span in self.spans if span.denial is not None), None)
            if oldest is None:
                start = min(span.reach for span in self.spans)
                self.spans = [Fate(start, END_OF_STREAM, self, decided=True, denied=True, reach=start)]
                return True
            self.forget(oldest)
        return False

    def forget(self, span: Fate) -> None:
        """Forget a denied stretch."""
        if span in self.spans:
            self.spans.remove(span)
            self.floor = max(self.floor, span.end)
