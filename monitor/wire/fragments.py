"""IP fragments put together again (RFC 791 §3.2, RFC 8200 §4.5), in any order and in bounded memory."""

from collections import Counter, OrderedDict
from dataclasses import dataclass, field

from monitor.exceptions import ExceptionName
from monitor.wire.address import text
from monitor.wire.flow import Discard, WireError
from monitor.wire.frame import NANOSECONDS
from monitor.wire.ip import Fragment, Packet, unfold
from monitor.wire.pieces import PIECE_OVERHEAD, Pieces

MAX_LENGTH = 65535
"""Octets in one packet (RFC 791); what goes beyond is discarded, as hosts do."""
MAX_FRAGMENTS = 2048
"""Fragments of one packet. Smaller than the 68-octet MTU of RFC 791 makes them, nobody sends them."""
MAX_PACKETS = 8192
"""Packets that wait for fragments; the oldest go first."""
MAX_DONE = 1024
"""Packets put together that are kept, to tell fragments that only come twice; the oldest go first."""
MAX_OCTETS = 32 << 20
"""Memory for all packets that wait or are kept; those kept go first, then the oldest that wait."""
TIMEOUT = 30 * NANOSECONDS
"""How long a packet waits for its fragments, as in Linux."""
MAX_GIVEN_UP = 65536
"""Packets given up that are remembered; the oldest go first."""
GRACE = 120 * NANOSECONDS
"""How long a packet given up is remembered: some hosts wait that long (RFC 1122 §3.3.2)."""

_Key = tuple[int, bytes, bytes, int, int]


@dataclass(slots=True)
class _Partial:
    """A packet some fragments of which have come."""

    time: int
    pieces: Pieces = field(default_factory=Pieces)
    overlays: list[tuple[int, bytes]] = field(default_factory=list)
    """Fragments that contradict the pieces, in the order in which they came."""
    overlaid: int = 0
    """Octets of memory that they hold."""
    count: int = 0
    total: int | None = None
    """Octets of the whole, once the last fragment has come."""
    other_total: int | None = None
    """What another last fragment said."""
    cut: int | None = None
    """Offset of the first octet that the capture left out."""
    protocol: int = 0
    extensions: int = 0
    doubt: str = ""
    """Why it has two readings."""
    repeats: bool = False
    """Whether all of it has come before, in a packet that was put together."""

    @property
    def size(self) -> int:
        """Octets of memory held."""
        return self.pieces.size + self.overlaid


class Fragments:
    """The fragments of packets that are not whole yet.

    :param counts: counts ``fragments-timed-out``, ``fragments-evicted``, ``fragments-limit``,
        ``fragments-ambiguous``, ``fragments-repeated`` and ``fragments-reassembled``.
    """

    def __init__(self, counts: Counter[str]) -> None:
        self.counts = counts
        self._waiting: OrderedDict[_Key, _Partial] = OrderedDict()
        self._done: OrderedDict[_Key, tuple[int, bytes]] = OrderedDict()
        self._given_up: OrderedDict[_Key, int] = OrderedDict()
        self._size = 0

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def size(self) -> int:
        """Octets of memory held."""
        return self._size

    def add(self, packet: Packet, time: int) -> Packet | None:
        """Take a fragment in; the whole packet if this completes it.

        A whole packet with ``trouble`` is one that the capture cut (the payload ends there), or one with two
        readings: the payload is then what came first, ``alternative`` what came last.

        :param time: of the frame, in nanoseconds.
        :raises Discard: no host would take the fragment.
        :raises WireError: a limit was hit, or a fragment of a packet came that had been given up.
        """
        fragment = packet.fragment
        assert fragment is not None
        self._expire(time)
        # IPv6 tells the protocol of the whole by its first fragment alone (RFC 8200 §4.5).
        protocol = packet.protocol if packet.version == 4 else 0
        key = (packet.version, packet.source, packet.destination, protocol, fragment.identification)
        data, doubt = _content(packet, fragment)
        partial = self._waiting.get(key)
        late = False
        if partial is None:
            late = self._given_up.pop(key, None) is not None
            partial = self._waiting[key] = _Partial(time, repeats=key in self._done)
        if partial.repeats:
            known = self._done[key][1] if key in self._done else b""
            partial.repeats = known[fragment.offset : fragment.offset + len(data)] == data
        before = partial.size
        self._put(partial, packet, fragment, data, doubt)
        self._size += partial.size - before
        if partial.count > MAX_FRAGMENTS:
            self._give_up(key, "fragments-limit")
            raise WireError(ExceptionName.LIMIT, f"more than {MAX_FRAGMENTS} fragments", packet.source)
        self._bound()
        if late:
            detail = f"a fragment from {text(packet.source)} of a packet that had been given up"
            raise WireError(ExceptionName.LIMIT, detail, packet.source)
        total = partial.total
        if total is None or partial.pieces.octets < total or not partial.pieces.reaches(0, total):
            return None
        if self._waiting.pop(key, None):
            self._size -= partial.size
        whole = self._whole(partial, total, packet)
        self._keep(key, time, whole.data)
        return whole

    def _put(self, partial: _Partial, packet: Packet, fragment: Fragment, data: bytes, doubt: str) -> None:
        start, end = fragment.offset, fragment.offset + len(data)
        partial.count += 1
        if start == 0:
            partial.protocol, partial.extensions = packet.protocol, packet.extensions
        if packet.missing:
            cut = end - packet.missing
            partial.cut = cut if partial.cut is None else min(cut, partial.cut)
        if not fragment.more:
            if partial.total is None:
                partial.total = end
                if partial.pieces and partial.pieces.end > end:
                    doubt = "a fragment lies beyond the last"
            elif partial.total != end:
                partial.other_total = end
                doubt = "two last fragments end at different offsets"
        elif partial.total is not None and end > partial.total:
            doubt = "a fragment lies beyond the last"
        if not partial.pieces.add(start, data):
            doubt = doubt or "overlapping fragments differ"
            partial.overlays.append((start, data))
            partial.overlaid += len(data) + PIECE_OVERHEAD
        partial.doubt = partial.doubt or doubt

    def _whole(self, partial: _Partial, total: int, last: Packet) -> Packet:
        self.counts["fragments-reassembled"] += 1
        data = partial.pieces.take(0)
        payload = data[:total]
        end = len(payload)
        if partial.cut is not None:
            end = min(end, partial.cut)
        whole = Packet(
            last.version, last.source, last.destination, partial.protocol or last.protocol,
            payload, 0, end, len(payload) - end, extensions=partial.extensions,
        )  # fmt: skip
        if partial.doubt:
            self.counts["fragments-ambiguous"] += 1
            whole.trouble = WireError(ExceptionName.AMBIGUOUS, partial.doubt, last.source)
            other = bytearray(data)
            for start, overlay in partial.overlays:
                other[start : start + len(overlay)] = overlay
            whole.alternative = bytes(other[: partial.other_total])
        unfold(whole)
        return whole

    def _keep(self, key: _Key, time: int, data: bytes) -> None:
        self._forget(key)
        self._done[key] = (time, data)
        self._size += len(data) + PIECE_OVERHEAD
        if len(self._done) > MAX_DONE:
            self._forget(next(iter(self._done)))
        self._bound()

    def _forget(self, key: _Key) -> None:
        _, data = self._done.pop(key, (0, None))
        if data is not None:
            self._size -= len(data) + PIECE_OVERHEAD

    def _bound(self) -> None:
        while self._size > MAX_OCTETS and self._done:
            self._forget(next(iter(self._done)))
        while self._size > MAX_OCTETS or len(self._waiting) > MAX_PACKETS:
            self._give_up(next(iter(self._waiting)), "fragments-evicted")

    def _expire(self, time: int) -> None:
        while self._waiting:
            key, partial = next(iter(self._waiting.items()))
            if time - partial.time <= TIMEOUT:
                break
            self._give_up(key, "fragments-timed-out")
        while self._done:
            key, (since, _) = next(iter(self._done.items()))
            if time - since <= TIMEOUT:
                break
            self._forget(key)
        while self._given_up:
            key, since = next(iter(self._given_up.items()))
            if time - since <= GRACE and len(self._given_up) <= MAX_GIVEN_UP:
                break
            del self._given_up[key]

    def _give_up(self, key: _Key, counter: str) -> None:
        partial = self._waiting.pop(key)
        self._size -= partial.size
        if partial.repeats:
            self.counts["fragments-repeated"] += 1
            return
        self._given_up[key] = partial.time
        self.counts[counter] += 1


def _content(packet: Packet, fragment: Fragment) -> tuple[bytes, str]:
    """The octets of a fragment, zeros for those not captured, and why some hosts would not take it."""
    data = packet.data[packet.start : packet.end]
    if packet.missing:
        data += bytes(packet.missing)
    doubt = fragment.doubt
    if fragment.more and len(data) % 8:
        # Linux takes what is whole of an IPv4 fragment, others take nothing.
        data = data[: len(data) & ~7]
        doubt = doubt or "the length of a fragment is no multiple of 8"
    if not data or fragment.offset + len(data) > MAX_LENGTH:
        raise Discard("fragment-malformed")
    return data, doubt
