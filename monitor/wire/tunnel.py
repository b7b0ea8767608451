"""Tunnels: where in GRE and GTP-U the packet inside begins. The packet inside is what counts."""

from struct import Struct

from monitor.wire import link
from monitor.wire.flow import Discard
from monitor.wire.ip import Packet

GTP_U_PORT = 2152
"""UDP port of GTP-U (3GPP TS 29.281 §4.4.2)."""
MAX_GTP_EXTENSIONS = 16
"""GTP-U extension headers; with more it is not taken for GTP-U."""

_GRE_CHECKSUM = 0x8000
_GRE_KEY = 0x2000
_GRE_SEQUENCE = 0x1000
_GRE_ROUTING_AND_VERSION = 0x4007

_GTP_VERSION_AND_TYPE = 0xF0
_GTP_OPTIONAL = 0x07
_GTP_EXTENSION = 0x04
_GTP_G_PDU = 0xFF

_GRE = Struct("!HH").unpack_from
_GTP = Struct("!BBH").unpack_from


def gre(packet: Packet) -> tuple[int, int]:
    """EtherType and offset of the packet in GRE (RFC 2784, RFC 2890), which may be in Ethernet.

    :raises Discard: it carries no IP.
    :raises WireError: as ``link.ethernet``.
    """
    data, at = packet.data, packet.start
    if packet.end - at < 4:
        raise Discard("gre-malformed")
    flags, kind = _GRE(data, at)
    if flags & _GRE_ROUTING_AND_VERSION:
        raise Discard("gre-unknown")
    at += 4
    for flag in (_GRE_CHECKSUM, _GRE_KEY, _GRE_SEQUENCE):
        if flags & flag:
            at += 4
    if at > packet.end:
        raise Discard("gre-malformed")
    if kind in (link.ETHERTYPE_IPV4, link.ETHERTYPE_IPV6):
        return kind, at
    if kind == link.ETHERTYPE_ETHERNET:
        return link.ethernet(data[: packet.end], at)
    raise Discard("not-ip")


def gtp_u(data: bytes, at: int, end: int) -> tuple[int, int] | None:
    """EtherType and offset of the packet in a G-PDU (3GPP TS 29.281 §5), None if it is no G-PDU."""
    if end - at < 8:
        return None
    flags, kind, length = _GTP(data, at)
    if flags & _GTP_VERSION_AND_TYPE != 0x30 or kind != _GTP_G_PDU or at + 8 + length > end:
        return None
    end = at + 8 + length
    at += 8
    if flags & _GTP_OPTIONAL:
        at += 4
        following = data[at - 1] if at <= end and flags & _GTP_EXTENSION else 0
        for _ in range(MAX_GTP_EXTENSIONS):
            if not following:
                break
            size = data[at] * 4 if at < end else 0
            at += size
            if not size or at > end:
                return None
            following = data[at - 1]
        if following:
            return None
    if at >= end:
        return None
    try:
        return link.by_version(data[:end], at), at
    except Discard:
        return None
