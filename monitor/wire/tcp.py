"""TCP streams out of segments (RFC 9293), for an onlooker who may miss some and must not be misled.

The onlooker delivers the reading in which the octets that came first stay. Wherever the receiver could have
another one, the delivery says so: segments that contradict each other, octets given up that come after all,
a segment that fits two incarnations of a connection or none, urgent data, octets after the end.
"""

from collections import Counter, OrderedDict
from collections.abc import Iterator
from dataclasses import replace

from monitor.exceptions import ExceptionName
from monitor.wire.flow import Flow, Segment, WireError
from monitor.wire.frame import NANOSECONDS
from monitor.wire.stream import Delivery, Stream

__all__ = ["Delivery", "Stream", "Streams"]

MAX_STREAMS = 65536
"""Streams in all; those of the flow longest silent go first."""
MAX_INCARNATIONS = 4
"""Streams of one flow; the longest silent goes first."""
MAX_OCTETS = 64 << 20
"""Memory for octets of all streams; those of the stream longest silent go first."""
FORGOTTEN = 3600 * NANOSECONDS
"""For how long after an open stream was forgotten one that begins without a SYN may be the rest of it."""

FIN, SYN, RST, PSH, ACK, URG = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20


class Streams:
    """All TCP streams under way."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        """Limits hit (``streams-evicted``, ``incarnations-evicted``, ``octets-evicted``, ``pending-limit``)
        and what else happened: ``holes-given-up``, ``midstream``, ``astray``, ``resets-ignored``."""
        self._flows: OrderedDict[Flow, list[Stream]] = OrderedDict()
        self._holding: OrderedDict[Stream, int] = OrderedDict()
        self._size = 0
        self._number = 0
        self._forgotten_until: int | None = None

    def __len__(self) -> int:
        return self._number

    @property
    def size(self) -> int:
        """Octets of memory held."""
        return self._size

    def feed(self, segment: Segment, time: int) -> Delivery | None:
        """Take a segment in; None where it carries nothing of a stream (a bare acknowledgment).

        :param time: of the frame, in nanoseconds.
        """
        streams = self._flows.get(segment.flow)
        if streams:
            self._flows.move_to_end(segment.flow)
        if segment.flags & RST:
            return self._reset(segment, streams or [])
        stream, doubt = self._find(segment, streams or [], time)
        deliveries: list[Delivery] = []
        if stream:
            deliveries = self._take(stream, segment, doubt, time)
        if segment.flags & ACK and (stream or not streams):
            deliveries += self._acknowledge(stream, segment, time)
        if not deliveries:
            return None
        chain = deliveries.pop()
        while deliveries:
            chain = replace(deliveries.pop(), also=chain)
        return chain

    def flush(self) -> Iterator[Delivery]:
        """Give up every hole, at the end of a capture: what waited beyond them."""
        for streams in list(self._flows.values()):
            for stream in streams:
                while stream.pending:
                    yield self._skip(stream, 0)
                self._account(stream)

    def _find(self, segment: Segment, streams: list[Stream], time: int) -> tuple[Stream | None, str]:
        """The stream that a segment belongs to, made where there is none, and why that may be wrong."""
        if segment.flags & SYN:
            first = (segment.sequence + 1) % (1 << 32)
            for stream in streams:
                if stream.synchronized and stream.offset(first) == 0:
                    return stream, ""
            return self._begin(segment.flow, first, True, time), ""
        fitting = [stream for stream in streams if stream.fits(stream.offset(segment.sequence))]
        fitting = [stream for stream in fitting if not stream.closed] or fitting
        if fitting:
            stream = fitting[-1]
            if len(fitting) > 1:
                return stream, "a segment fits two incarnations of its connection"
            return stream, ""
        if not segment.payload:
            return None, ""
        self.counts["midstream"] += 1
        beside = any(not stream.closed for stream in streams)
        stream = self._begin(segment.flow, segment.sequence, False, time)
        if beside:
            self.counts["astray"] += 1
            stream.doubtful = True
        elif self._forgotten_until is not None and time <= self._forgotten_until:
            stream.limited = f"it may be the rest of a stream forgotten, more than {MAX_STREAMS} being open"
        return stream, ""

    def _begin(self, flow: Flow, sequence: int, synchronized: bool, time: int) -> Stream:
        streams = self._flows.setdefault(flow, [])
        if len(streams) >= MAX_INCARNATIONS:
            self._drop(streams, streams[0])
            self.counts["incarnations-evicted"] += 1
        stream = Stream(flow, sequence, synchronized)
        streams.append(stream)
        self._number += 1
        while self._number > MAX_STREAMS:
            _, oldest = self._flows.popitem(last=False)
            if any(not each.closed for each in oldest):
                self.counts["streams-evicted"] += 1
                self._forgotten_until = time + FORGOTTEN
            for each in list(oldest):
                self._drop(oldest, each)
        return stream

    def _drop(self, streams: list[Stream], stream: Stream) -> None:
        streams.remove(stream)
        self._number -= 1
        self._size -= self._holding.pop(stream, 0)

    def _take(self, stream: Stream, segment: Segment, doubt: str, time: int) -> list[Delivery]:
        flags, payload = segment.flags, segment.payload
        start = stream.offset(segment.sequence + (flags & SYN > 0))
        end = start + len(payload)
        if not payload and not flags & FIN and not segment.missing:
            return []
        if not flags & (ACK | SYN):
            # Receivers discard it (RFC 9293 §3.10.7.4), so it must not enter the stream.
            refused = _ambiguous(segment, "a segment with neither ACK nor SYN")
            return [Delivery(stream, start, end, b"", stream.expected, trouble=refused)]
        if flags & URG and payload:
            doubt = doubt or "urgent data, which may be read apart from the stream"
        if payload and (stream.reset or (stream.fin is not None and end > stream.fin)):
            doubt = doubt or "octets after the end of the stream"
        if stream.doubtful:
            doubt = doubt or "a segment far from what its connection expects"
        if doubt or (segment.trouble and segment.trouble.name is ExceptionName.AMBIGUOUS):
            stream.distrust(start, end)
        if payload:
            doubt = stream.put(start, payload, time) or doubt
        if flags & FIN:
            last = end + segment.missing
            if stream.fin is not None and stream.fin != last:
                doubt = doubt or "the stream has two ends"
            stream.fin = last
        trouble = _ambiguous(segment, doubt) if doubt else segment.trouble
        deliveries = [self._next(stream, start, end, trouble)]
        if segment.missing and stream.expected == end:
            stream.skip(end + segment.missing, time)
        deliveries += self._give_up(stream, time)
        self._account(stream)
        return deliveries

    def _next(self, stream: Stream, start: int, end: int, trouble: WireError | None) -> Delivery:
        """What can be delivered now."""
        data_start, gap = stream.expected, stream.gap
        data, distrusted = stream.take()
        if data:
            stream.gap = False
            if stream.limited and trouble is None:
                trouble = WireError(ExceptionName.LIMIT, stream.limited, stream.flow.source)
            stream.limited = ""
            if distrusted and trouble is None:
                trouble = WireError(
                    ExceptionName.AMBIGUOUS, "segments of the stream differ", stream.flow.source
                )
        closed = stream.reset or (stream.fin is not None and stream.expected >= stream.fin)
        stream.closed = stream.closed or closed
        return Delivery(stream, start, end, data, data_start, gap and bool(data), trouble, closed)

    def _give_up(self, stream: Stream, time: int) -> Iterator[Delivery]:
        while stream.hopeless(time):
            if stream.limited:
                self.counts["pending-limit"] += 1
            yield self._skip(stream, time)

    def _skip(self, stream: Stream, time: int) -> Delivery:
        self.counts["holes-given-up"] += 1
        start = stream.pending.start
        stream.skip(start, time)
        return self._next(stream, start, start, None)

    def _acknowledge(self, own: Stream | None, segment: Segment, time: int) -> list[Delivery]:
        """Note in the other direction what a segment, of the stream ``own``, acknowledges."""
        deliveries: list[Delivery] = []
        streams = self._flows.get(own.reverse if own else segment.flow.reversed(), [])
        for stream in list(streams):
            offset = stream.offset(segment.acknowledgment)
            if stream not in streams or not stream.fits(offset) or offset < 0:
                continue
            stream.acknowledged = max(offset, stream.acknowledged or 0)
            if own and segment.flags & SYN and offset == 0:
                self._settle(stream)
                self._settle(own)
            elif stream.doubtful and 0 < offset <= stream.expected + 1:
                stream.doubtful = False
                self._settle(stream)
            if stream.pending:
                deliveries += self._give_up(stream, time)
                self._account(stream)
        return deliveries

    def _settle(self, stream: Stream) -> None:
        """Both ends agree on this incarnation, so the others of its flow are over."""
        streams = self._flows[stream.flow]
        for other in [other for other in streams if other is not stream]:
            self._drop(streams, other)

    def _reset(self, segment: Segment, streams: list[Stream]) -> Delivery | None:
        """A reset counts where it is exactly at the octet expected (RFC 5961 §3.2); nothing is forgotten."""
        for stream in reversed(streams):
            offset = stream.offset(segment.sequence)
            if offset == stream.expected:
                stream.reset = stream.closed = True
                return Delivery(stream, offset, offset, b"", offset, closed=True)
        self.counts["resets-ignored"] += 1
        return None

    def _account(self, stream: Stream) -> None:
        """Bring the books up to date, and free memory of the streams longest silent where it is too much."""
        size = stream.size
        self._size += size - self._holding.pop(stream, 0)
        if size:
            self._holding[stream] = size
        while self._size > MAX_OCTETS:
            oldest, held = self._holding.popitem(last=False)
            self._size -= held
            self.counts["octets-evicted"] += 1
            oldest.forget_tail()
            if oldest.pending:
                oldest.pending.clear()
                oldest.limited = f"more than {MAX_OCTETS} octets wait in all streams"


def _ambiguous(segment: Segment, detail: str) -> WireError:
    return WireError(ExceptionName.AMBIGUOUS, detail, segment.flow.source)
