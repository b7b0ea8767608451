"""Finds the SRTP packets of a capture whose keystream repeats.

A packet belongs to a key if its authentication tag says so, wherever it comes from: addresses and ports may
be anybody's, a tag is not.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from monitor.media import rtp
from monitor.media.keystream import Keystream, KeystreamFull, Use, digest
from monitor.media.repeat import Repeat, Span, Stream
from monitor.media.rtp import RtpHeader
from monitor.media.srtp import Protection, protections
from monitor.wire.decoder import Decoder
from monitor.wire.flow import Datagram, Flow, WireError
from monitor.wire.frame import NANOSECONDS, Frame

MAX_SOURCES = 65_536
"""RTP sources, told apart by flow and SSRC, that are looked at."""
MAX_STREAMS = 65_535
"""Streams under a known key; a number of 16 bits."""
MAX_REPEATS = 10_000
"""Pairs of streams that repeat each other."""
MAX_TRIALS = 10_000_000
"""Tags that are computed to find out whether a source is under one of the keys at all."""
MAX_ROLLOVERS = 8
"""Rollover counters that are tried where a stream is joined in the middle: three hours of voice."""

TRY_AGAIN = 64
"""Packets between two searches for the key of a source that none was found for: it may change its key."""
PAUSE = NANOSECONDS
"""Silence after which the key of a source is searched for at once."""
SILENCE = 10 * NANOSECONDS
"""Silence after which another stream begins."""
DISORDER = 64
"""Packets by which an index may go back within one stream, the least replay window of RFC 3711 §3.3.2."""
COPY = NANOSECONDS
"""An equal packet within this time is the same, seen at another point of the network or duplicated there."""


@dataclass(slots=True, eq=False)
class _Source:
    """One SSRC on one flow."""

    flow: Flow
    ssrc: int
    stream: Stream | None = None
    last: int = 0
    """Time of its last packet."""
    strange: int = 0
    """Packets in a row for which no key was found."""


class Examination:
    """Looks at the media of a capture, frame by frame.

    :param keys: key‖salt by fingerprint: those under which media may repeat.
    :param call_of: tells the call that a flow belongs to at a time.
    """

    def __init__(self, keys: Mapping[bytes, bytes], call_of: Callable[[Flow, int], str]) -> None:
        self._protections = [(key, protections(octets)) for key, octets in keys.items()]
        self._call_of = call_of
        self._decoder = Decoder()
        self._sources: dict[tuple[Flow, int], _Source] = {}
        self._keystream = Keystream()
        self._repeats: dict[tuple[int, int], Repeat] = {}
        self._trials = 0
        self.streams: list[Stream] = []
        self.counts: Counter[str] = Counter()
        """``rtp``: packets that look like RTP; ``verified``: under a known key; ``copies``: seen twice at
        once; ``cut``: not captured whole, so not to be told; ``limited``: passed over as a limit was hit."""

    def feed(self, frame: Frame) -> None:
        """Look at one frame."""
        try:
            unit = self._decoder.decode(frame)
        except WireError:
            return
        if isinstance(unit, Datagram) and (header := rtp.read(unit.payload)) is not None:
            self.counts["rtp"] += 1
            if unit.trouble is None:
                self._packet(frame, unit.flow, unit.payload, header)
            else:
                self.counts["cut"] += 1

    def repeats(self) -> list[Repeat]:
        """What repeats, in the order in which it was found."""
        return [each for each in self._repeats.values() if _proved(each.earlier) and _proved(each.later)]

    def _packet(self, frame: Frame, flow: Flow, packet: bytes, header: RtpHeader) -> None:
        source = self._sources.get((flow, header.ssrc))
        if source is None:
            if len(self._sources) >= MAX_SOURCES:
                self.counts["limited"] += 1
                return
            source = self._sources[flow, header.ssrc] = _Source(flow, header.ssrc)
        paused, source.last = frame.time - source.last > PAUSE, frame.time
        index = self._follow(source, packet, header)
        if index is None:
            source.strange += 1
            if not (paused or source.strange <= 2 or source.strange % TRY_AGAIN == 0):
                return
            index = self._search(source, frame.time, packet, header)
        stream = source.stream
        if index is None or stream is None:
            return
        source.strange = 0
        if index + DISORDER < stream.highest or frame.time - stream.end > SILENCE:
            stream = self._open(source, stream.key, stream.protection, frame.time, index)
        if stream is not None:
            self._note(stream, index, frame, stream.protection.ciphertext(packet, header.length))

    @staticmethod
    def _follow(source: _Source, packet: bytes, header: RtpHeader) -> int | None:
        """The index of a packet under the key that its source had so far, None where it is not."""
        stream = source.stream
        if stream is None:
            return None
        guess = rtp.packet_index(header.sequence, stream.highest)
        # The counter begins anew with each call.
        for rollovers in dict.fromkeys((guess >> 16, 0)):
            if stream.protection.verifies(packet, header.length, rollovers):
                return rollovers << 16 | header.sequence
        return None

    def _search(self, source: _Source, time: int, packet: bytes, header: RtpHeader) -> int | None:
        """Find the key of a packet by trial and open a stream; the packet's index, None where no key fits."""
        for key, protection, rollovers in self._candidates():
            if self._trials >= MAX_TRIALS:
                self.counts["limited"] += 1
                return None
            self._trials += 1
            if protection.verifies(packet, header.length, rollovers):
                index = rollovers << 16 | header.sequence
                self._open(source, key, protection, time, index)
                return index
        return None

    def _candidates(self) -> Iterator[tuple[bytes, Protection, int]]:
        for key, ways in self._protections:
            for protection in ways:
                for rollovers in range(MAX_ROLLOVERS):
                    yield key, protection, rollovers

    def _open(
        self, source: _Source, key: bytes, protection: Protection, time: int, index: int
    ) -> Stream | None:
        """Begin a stream of a source; None where there are too many."""
        source.stream = None
        if len(self.streams) >= MAX_STREAMS:
            self.counts["limited"] += 1
            return None
        number, flow = len(self.streams) + 1, source.flow
        call_id = self._call_of(flow, time)
        source.stream = Stream(number, key, protection, source.ssrc, flow, call_id, time, time, index)
        self.streams.append(source.stream)
        return source.stream

    def _note(self, stream: Stream, index: int, frame: Frame, ciphertext: bytes) -> None:
        """Take a verified packet in, and see whether its keystream was used before."""
        self.counts["verified"] += 1
        stream.packets += 1
        stream.end = max(stream.end, frame.time)
        stream.highest = max(stream.highest, index)
        use = Use(stream.number, digest(ciphertext), frame.number, frame.time)
        try:
            first = self._keystream.use(stream.key, stream.ssrc, index, use)
        except KeystreamFull:
            self.counts["limited"] += 1
            return
        if first is None:
            return
        if first.digest == use.digest and abs(use.time - first.time) < COPY:
            self.counts["copies"] += 1
            return
        repeat = self._repeats.get((first.stream, use.stream))
        if repeat is None:
            if len(self._repeats) >= MAX_REPEATS:
                self.counts["limited"] += 1
                return
            earlier = self.streams[first.stream - 1]
            repeat = Repeat(earlier, stream, Span.of(first), Span.of(use), index, index)
            self._repeats[first.stream, use.stream] = repeat
        repeat.add(index, first, use)


def _proved(stream: Stream) -> bool:
    return stream.protection.certain or stream.packets > 1
