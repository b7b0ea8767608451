"""One direction of one TCP connection: its octets put in order, and held against what comes again."""

from dataclasses import dataclass
from typing import Self

from monitor.wire.flow import Flow, WireError
from monitor.wire.frame import NANOSECONDS
from monitor.wire.pieces import Pieces

WINDOW = 1 << 24
"""How far from the octet expected next a segment may lie and still belong to the stream."""
MAX_PENDING = 1 << 20
"""Memory for octets beyond a hole, in each stream; at the limit the hole is given up."""
MAX_TAIL = 1 << 16
"""Delivered octets that are kept, in each stream, to compare what comes again (up to twice as many)."""
HOLE_TIMEOUT = 120 * NANOSECONDS
"""A hole that was not filled for so long, while more came, was missed by the capture."""

_WRAP = 1 << 32


class Stream:
    """One direction of one incarnation of a connection.

    Offsets count its octets from 0, the first after the SYN, or the first seen where there was none;
    they do not wrap. ``context`` is free for the layer above.
    """

    __slots__ = (
        "_doubt_end", "_doubt_start", "_hole_since", "_origin", "_tail", "_tail_start", "acknowledged",
        "closed", "context", "doubtful", "expected", "fin", "flow", "gap", "limited", "pending", "reset",
        "reverse", "synchronized",
    )  # fmt: skip

    def __init__(self, flow: Flow, sequence: int, synchronized: bool) -> None:
        self.flow = flow
        self.reverse = flow.reversed()
        self.context: object | None = None
        self.synchronized = synchronized
        """Whether it began with a SYN."""
        self.doubtful = False
        """Whether it began without a SYN beside another stream, and nobody has acknowledged it yet."""
        self.expected = 0
        """Offset of the octet to be delivered next."""
        self.acknowledged: int | None = None
        """Offset up to which the other side has acknowledged."""
        self.pending = Pieces()
        """Octets beyond a hole."""
        self.fin: int | None = None
        """Offset of the end, once a FIN told it."""
        self.reset = False
        self.closed = False
        """Whether everything up to the FIN was delivered, or a reset came."""
        self.gap = not synchronized
        """Whether octets before ``expected`` were given up since the last delivery."""
        self.limited = ""
        """The limit that was hit since the last delivery."""
        self._origin = sequence
        self._tail = bytearray()
        self._tail_start = 0
        self._doubt_start = self._doubt_end = 0
        self._hole_since = 0

    @property
    def size(self) -> int:
        """Octets of memory held."""
        return self.pending.size + len(self._tail)

    def offset(self, sequence: int) -> int:
        """The offset nearest to the one expected that a sequence number (modulo 2^32) stands for."""
        distance = (sequence - self._origin - self.expected) % _WRAP
        return self.expected + (distance if distance < _WRAP // 2 else distance - _WRAP)

    def fits(self, offset: int) -> bool:
        """Whether octets at ``offset`` may belong to the stream; 1 before the first is a keep-alive."""
        return abs(offset - self.expected) <= WINDOW and (offset >= -1 or not self.synchronized)

    def put(self, start: int, data: bytes, time: int) -> str:
        """Take in ``data`` at offset ``start``; why it may not be what the receiver reads, or nothing."""
        doubt = ""
        known = self.expected - start
        if known > 0:
            doubt = self._compare(start, data[:known])
            start, data = self.expected, data[known:]
        if data:
            if not self.pending:
                self._hole_since = time
            if not self.pending.add(start, data):
                doubt = "overlapping segments differ"
                self.distrust(start, start + len(data))
        return doubt

    def distrust(self, start: int, end: int) -> None:
        """Remember that the octets from ``start`` to ``end`` have two readings."""
        if self._doubt_end <= self.expected:
            self._doubt_start, self._doubt_end = start, end
        else:
            self._doubt_start, self._doubt_end = min(start, self._doubt_start), max(end, self._doubt_end)

    def take(self) -> tuple[bytes, bool]:
        """The octets from ``expected`` up to the next hole, and whether they are distrusted."""
        data = self.pending.take(self.expected)
        start = self.expected
        self.expected += len(data)
        self._tail += data
        if len(self._tail) > 2 * MAX_TAIL:
            excess = len(self._tail) - MAX_TAIL
            del self._tail[:excess]
            self._tail_start += excess
        return data, start < self._doubt_end and self._doubt_start < self.expected

    def hopeless(self, time: int) -> bool:
        """Whether the hole before what is pending will not be filled any more."""
        if not self.pending or self.pending.start <= self.expected:
            return False
        if self.pending.size > MAX_PENDING:
            self.limited = f"more than {MAX_PENDING} octets beyond a hole"
            return True
        if self.acknowledged is not None and self.acknowledged >= self.pending.start:
            return True
        return time - self._hole_since > HOLE_TIMEOUT

    def skip(self, offset: int, time: int) -> None:
        """Give up the octets between ``expected`` and ``offset``."""
        self.expected = offset
        self.gap = True
        self._hole_since = time
        self.forget_tail()

    def forget_tail(self) -> None:
        """Free the octets kept to compare with."""
        self._tail.clear()
        self._tail_start = self.expected

    def _compare(self, start: int, data: bytes) -> str:
        """Hold octets that were delivered, or given up, against what is known of them."""
        end = start + len(data)
        taken = self.acknowledged is not None and self.acknowledged >= end
        if taken and len(data) == 1 and end == self.expected:
            return ""  # a keep-alive, whose octet is none of the stream (RFC 9293 §3.8.4)
        if start < self._tail_start:
            if not taken and (self.acknowledged is None or self.acknowledged < min(end, self._tail_start)):
                return "octets come that were given up, or that can no longer be compared"
            data = data[self._tail_start - start :]
            start = self._tail_start
        at = start - self._tail_start
        if self._tail[at : at + len(data)] != data:
            return "a retransmission differs from what was first sent"
        return ""


@dataclass(frozen=True, slots=True)
class Delivery:
    """What one segment did to a stream."""

    stream: Stream
    start: int
    """Offset of the segment's own first octet; it may lie before ``data_start``."""
    end: int
    """Offset after the segment's own last octet."""
    data: bytes
    """The octets that are now next in the stream, those that waited for them included. Empty where the
    segment is a retransmission, or came early."""
    data_start: int
    """Offset of the first octet of ``data``."""
    gap: bool = False
    """Octets right before ``data_start`` are not known: what is read must synchronise anew."""
    trouble: WireError | None = None
    """Why the receiver may read other octets: ambiguous, truncated or limit."""
    closed: bool = False
    """Nothing follows: the end was reached, or the sender reset the connection."""
    also: Self | None = None
    """What else the segment brought about: octets beyond a further hole, or those of the other direction
    that waited for its acknowledgment (``start`` and ``end`` are then ``data_start``)."""
