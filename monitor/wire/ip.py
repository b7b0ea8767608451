"""IPv4 and IPv6 headers, extension headers included, down to the transport protocol (RFC 791, RFC 8200)."""

from dataclasses import dataclass
from struct import Struct
from typing import NamedTuple

from monitor.exceptions import ExceptionName
from monitor.wire.address import fold
from monitor.wire.flow import Discard, WireError
from monitor.wire.link import ETHERTYPE_IPV4

MAX_EXTENSIONS = 16
"""Extension headers in one packet; more is the exception ``limit``."""

IPIP = 4
TCP = 6
UDP = 17
IPV6 = 41
GRE = 47

_FRAGMENT = 44
_AUTHENTICATION = 51
_EXTENSIONS = frozenset({0, 43, 60, 135, 139, 140, _FRAGMENT, _AUTHENTICATION})
"""Hop-by-hop, routing, destination, mobility, HIP, shim6, fragment (RFC 8200 §4) and AH (RFC 4302)."""

_IPV4 = Struct("!BBHHHBBH4s4s").unpack_from
_IPV6 = Struct("!IHBB16s16s").unpack_from
_FRAGMENT_HEADER = Struct("!BBHI").unpack_from


class Fragment(NamedTuple):
    """Where in its datagram a fragment belongs."""

    identification: int
    offset: int
    """In octets."""
    more: bool
    doubt: str = ""
    """Why a receiver might not take the fragment, empty where it will."""


@dataclass(slots=True)
class Packet:
    """One IP packet, its headers taken off: the payload is ``data[start:end]``."""

    version: int
    source: bytes
    destination: bytes
    protocol: int
    data: bytes
    start: int
    end: int
    missing: int
    """Octets that the payload had on the wire beyond ``end``, and that were not captured."""
    fragment: Fragment | None = None
    """Set where the payload is but a part, to be put together first."""
    trouble: WireError | None = None
    alternative: bytes | None = None
    """The other reading of the payload, where fragments disagreed."""
    extensions: int = 0
    """Extension headers taken off."""


def read(kind: int, data: bytes, at: int, limit: int) -> Packet:
    """The packet whose header begins at offset ``at``, of which no octet lies at ``limit`` or beyond.

    Octets after its total length (Ethernet padding) are left off. A length of 0 is that of a segment which
    the network card was to cut up (or a jumbogram): it then goes up to ``limit``.

    :param kind: EtherType of the packet, which must agree with its version.
    :raises Discard: no host would take it for an IP packet.
    :raises WireError: extension headers beyond the limit, or cut off.
    """
    if kind == ETHERTYPE_IPV4:
        return _read_ipv4(data, at, limit)
    return _read_ipv6(data, at, limit)


def _read_ipv4(data: bytes, at: int, limit: int) -> Packet:
    if limit - at < 20:
        raise Discard("ip-short")
    first, _, total, identification, place, _, protocol, _, source, destination = _IPV4(data, at)
    header = (first & 0x0F) * 4
    if first >> 4 != 4 or header < 20:
        raise Discard("ip-malformed")
    if total == 0:
        total = limit - at
    elif total < header:
        raise Discard("ip-malformed")
    start = at + header
    if start > limit:
        raise WireError(ExceptionName.TRUNCATED, "the capture cuts off the IPv4 header", source)
    end = min(at + total, limit)
    packet = Packet(4, source, destination, protocol, data, start, end, at + total - end)
    if place & 0x3FFF:
        more, doubt = bool(place & 0x2000), ""
        # The sum over a right header, its checksum included, is 0 in ones' complement (RFC 1071).
        if int.from_bytes(data[at:start]) % 0xFFFF:
            doubt = "IPv4 header checksum is wrong"
        packet.fragment = Fragment(identification, (place & 0x1FFF) * 8, more, doubt)
    elif protocol == _AUTHENTICATION:
        unfold(packet)
    return packet


def _read_ipv6(data: bytes, at: int, limit: int) -> Packet:
    if limit - at < 40:
        raise Discard("ip-short")
    first, length, protocol, _, source, destination = _IPV6(data, at)
    if first >> 28 != 6:
        raise Discard("ip-malformed")
    start = at + 40
    wire_end = start + length if length else limit
    end = min(wire_end, limit)
    packet = Packet(6, fold(source), fold(destination), protocol, data, start, end, wire_end - end)
    if protocol in _EXTENSIONS:
        unfold(packet)
    return packet


def unfold(packet: Packet) -> None:
    """Take off the extension headers that ``packet.start`` points at, up to a fragment header and with it.

    :raises Discard: a header that no host would take.
    :raises WireError: more than ``MAX_EXTENSIONS``, or cut off by the capture.
    """
    data, at, protocol = packet.data, packet.start, packet.protocol
    while protocol in _EXTENSIONS and (packet.version == 6 or protocol == _AUTHENTICATION):
        packet.extensions += 1
        if packet.extensions > MAX_EXTENSIONS:
            detail = f"more than {MAX_EXTENSIONS} IPv6 extension headers"
            raise WireError(ExceptionName.LIMIT, detail, packet.source)
        if packet.end - at < 8:
            _cut_off(packet)
        if protocol == _FRAGMENT:
            protocol, _, place, identification = _FRAGMENT_HEADER(data, at)
            at += 8
            if place & 0xFFF9:
                packet.fragment = Fragment(identification, place & 0xFFF8, bool(place & 1))
                break
            continue  # an atomic fragment is a whole packet (RFC 6946)
        length = (data[at + 1] + 2) * 4 if protocol == _AUTHENTICATION else (data[at + 1] + 1) * 8
        if length > packet.end - at:
            _cut_off(packet)
        protocol = data[at]
        at += length
    packet.protocol, packet.start = protocol, at


def _cut_off(packet: Packet) -> None:
    if packet.missing:
        raise WireError(
            ExceptionName.TRUNCATED, "the capture cuts off the IP extension headers", packet.source
        )
    raise Discard("ip-malformed")
