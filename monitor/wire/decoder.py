"""Frames to UDP datagrams and TCP segments: link layer, IP, fragments and tunnels joined."""

from collections import Counter
from struct import Struct

from monitor.exceptions import ExceptionName
from monitor.wire import ip, link, tunnel
from monitor.wire.flow import Datagram, Discard, Flow, Segment, WireError
from monitor.wire.fragments import Fragments
from monitor.wire.frame import Frame
from monitor.wire.ip import Packet

MAX_TUNNELS = 4
"""Tunnels in one another; more is the exception ``limit``."""

_UDP = Struct("!HHH").unpack_from
_TCP = Struct("!HHIIBB").unpack_from


class Decoder:
    """Turns frames into datagrams and segments. Holds the fragments of packets that are not whole yet."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        """Frames that gave nothing by reason, and what happened to fragments."""
        self.fragments = Fragments(self.counts)
        self._unsupported: set[int] = set()

    def decode(self, frame: Frame) -> Datagram | Segment | None:
        """The datagram or segment that the frame carries or completes.

        None where there is none: another protocol, a fragment of a packet that is not whole yet, or
        what no host would take; ``counts`` has the reason.

        :raises WireError: the frame may carry something that cannot be read for sure. For a link type that
            is not supported it is raised once, then counted.
        """
        try:
            kind, at = link.network(frame.link, frame.data)
            return self._packet(ip.read(kind, frame.data, at, len(frame.data)), frame.time)
        except Discard as discard:
            self.counts[discard.reason] += 1
        except WireError as error:
            self.counts[f"error-{error.name}"] += 1
            if error.name is not ExceptionName.UNSUPPORTED or frame.link not in self._unsupported:
                self._unsupported.add(frame.link)
                raise
        return None

    def _packet(self, packet: Packet, time: int) -> Datagram | Segment | None:
        trouble: WireError | None = None
        for _ in range(MAX_TUNNELS + 1):
            if packet.fragment:
                whole = self.fragments.add(packet, time)
                if whole is None:
                    return None
                packet = whole
            trouble = packet.trouble or trouble
            match packet.protocol:
                case ip.UDP:
                    inside = _gtp(packet)
                    if inside is None:
                        return _datagram(packet, trouble)
                    packet = inside
                case ip.TCP:
                    return _segment(packet, trouble)
                case ip.IPIP:
                    packet = ip.read(link.ETHERTYPE_IPV4, packet.data, packet.start, packet.end)
                case ip.IPV6:
                    packet = ip.read(link.ETHERTYPE_IPV6, packet.data, packet.start, packet.end)
                case ip.GRE:
                    kind, at = tunnel.gre(packet)
                    packet = ip.read(kind, packet.data, at, packet.end)
                case _:
                    raise Discard("other-protocol")
        raise WireError(ExceptionName.LIMIT, f"more than {MAX_TUNNELS} tunnels in one another", packet.source)


def _gtp(packet: Packet) -> Packet | None:
    """The packet in GTP-U, None where the datagram is no GTP-U."""
    data, start, end = packet.data, packet.start, packet.end
    if end - start < 16 or tunnel.GTP_U_PORT not in _UDP(data, start)[:2]:
        return None
    inside = tunnel.gtp_u(data, start + 8, end)
    if inside is None:
        return None
    kind, at = inside
    try:
        return ip.read(kind, data, at, end)
    except (Discard, WireError):
        return None


def _datagram(packet: Packet, trouble: WireError | None) -> Datagram:
    """UDP (RFC 768); a length of 0 is that of a jumbogram (RFC 2675 §4)."""
    data, start, end = packet.data, packet.start, packet.end
    if end - start < 8:
        raise _header_cut(packet, "UDP")
    source, destination, length = _UDP(data, start)
    if length == 0 and packet.version == 6:
        length = end + packet.missing - start
    elif length < 8:
        raise Discard("udp-malformed")
    flow = Flow(packet.source, source, packet.destination, destination, "udp")
    stop = start + length
    if stop > end:
        detail = f"{end - start - 8} octets of a UDP payload of {length - 8}"
        trouble = trouble or WireError(ExceptionName.TRUNCATED, detail, packet.source)
        stop = end
    alternative = None
    if packet.alternative is not None:
        other = packet.alternative[packet.start :]
        alternative = other[8 : int.from_bytes(other[4:6])]
    return Datagram(flow, data[start + 8 : stop], trouble, alternative)


def _segment(packet: Packet, trouble: WireError | None) -> Segment:
    """TCP (RFC 9293 §3.1); options are passed over."""
    data, start, end = packet.data, packet.start, packet.end
    if end - start < 20:
        raise _header_cut(packet, "TCP")
    source, destination, sequence, acknowledgment, offset, flags = _TCP(data, start)
    header = (offset >> 4) * 4
    if header < 20 or start + header > end + packet.missing:
        raise Discard("tcp-malformed")
    missing = packet.missing
    if start + header > end:
        missing -= start + header - end
    if missing and trouble is None:
        captured = max(0, end - start - header)
        detail = f"{captured} octets of a TCP payload of {captured + missing}"
        trouble = WireError(ExceptionName.TRUNCATED, detail, packet.source)
    flow = Flow(packet.source, source, packet.destination, destination, "tcp")
    return Segment(flow, sequence, acknowledgment, flags, data[start + header : end], trouble, missing)


def _header_cut(packet: Packet, name: str) -> Exception:
    if packet.missing:
        return WireError(ExceptionName.TRUNCATED, f"the capture cuts off the {name} header", packet.source)
    return Discard(f"{name.lower()}-malformed")
