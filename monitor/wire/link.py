"""Link layers: where in a frame the IP packet begins, through VLAN tags, PPPoE and pseudo headers."""

from struct import Struct

from monitor.exceptions import ExceptionName
from monitor.wire.flow import Discard, WireError

NULL = 0
ETHERNET = 1
PPP = 9
PPP_HDLC = 50
RAW = 101
LOOP = 108
SLL = 113
IPV4 = 228
IPV6 = 229
SLL2 = 276
RAW_TYPES = frozenset({12, 14, RAW})
"""LINKTYPE_RAW, and the platform values of DLT_RAW that writers have let into files."""

SUPPORTED = RAW_TYPES | {NULL, ETHERNET, PPP, PPP_HDLC, LOOP, SLL, IPV4, IPV6, SLL2}
"""The LINKTYPE_ values that are read."""

MAX_TAGS = 8
"""VLAN tags and PPPoE headers before the IP packet; more is the exception ``limit``."""

ETHERTYPE_IPV4 = 0x0800
ETHERTYPE_IPV6 = 0x86DD
ETHERTYPE_ETHERNET = 0x6558
"""Transparent Ethernet bridging (RFC 1701), as GRE carries it."""

_IP = frozenset({ETHERTYPE_IPV4, ETHERTYPE_IPV6})
_ETHERTYPE_PPPOE_SESSION = 0x8864
_TAGS = frozenset({0x8100, 0x88A8, 0x9100, 0x9200})
_LENGTH_LIMIT = 0x0600
"""Below it the field is an IEEE 802.3 length and LLC follows."""
_SNAP = b"\xaa\xaa\x03\x00\x00\x00"
_ARPHRD_NETLINK = 824

_PPP_PROTOCOLS = {0x0021: ETHERTYPE_IPV4, 0x0057: ETHERTYPE_IPV6}
_FAMILIES = {2: ETHERTYPE_IPV4, **dict.fromkeys((10, 23, 24, 28, 30), ETHERTYPE_IPV6)}
"""AF_INET everywhere, and AF_INET6 of Linux, Windows, the BSDs and macOS."""

_SHORT = Struct("!H").unpack_from


def network(link: int, data: bytes) -> tuple[int, int]:
    """The EtherType of the IP packet in a frame and the offset at which it begins.

    :raises Discard: the frame carries no IP.
    :raises WireError: the link type is not supported, or the tags are too deep.
    """
    if link == ETHERNET:
        return ethernet(data, 0)
    if link in RAW_TYPES:
        return by_version(data, 0), 0
    if link == SLL:
        if len(data) < 16:
            raise Discard("link-short")
        return _cooked(data, 16, _SHORT(data, 14)[0], _SHORT(data, 2)[0])
    if link == SLL2:
        if len(data) < 20:
            raise Discard("link-short")
        return _cooked(data, 20, _SHORT(data, 0)[0], _SHORT(data, 8)[0])
    if link in (NULL, LOOP):
        return _loopback(data)
    if link in (PPP, PPP_HDLC):
        return _ppp(data, 2 if data[:2] == b"\xff\x03" else 0)
    if link == IPV4:
        return ETHERTYPE_IPV4, 0
    if link == IPV6:
        return ETHERTYPE_IPV6, 0
    raise WireError(ExceptionName.UNSUPPORTED, f"link type {link} is not read")


def ethernet(data: bytes, at: int) -> tuple[int, int]:
    """As ``network``, for the Ethernet frame that begins at offset ``at``."""
    if len(data) < at + 14:
        raise Discard("link-short")
    kind: int = _SHORT(data, at + 12)[0]
    at += 14
    if kind in _IP:
        return kind, at
    if kind < _LENGTH_LIMIT and data[at : at + 6] == _SNAP and len(data) >= at + 8:
        return _tagged(data, at + 8, _SHORT(data, at + 6)[0])
    return _tagged(data, at, kind)


def by_version(data: bytes, at: int) -> int:
    """The EtherType that the version of the IP header at offset ``at`` stands for."""
    version = data[at] >> 4 if at < len(data) else 0
    if version == 4:
        return ETHERTYPE_IPV4
    if version == 6:
        return ETHERTYPE_IPV6
    raise Discard("not-ip")


def _tagged(data: bytes, at: int, kind: int) -> tuple[int, int]:
    """Past VLAN tags (IEEE 802.1Q and 802.1ad) and PPPoE (RFC 2516), of which ``kind`` is the first."""
    for _ in range(MAX_TAGS + 1):
        if kind in _IP:
            return kind, at
        if kind == _ETHERTYPE_PPPOE_SESSION:
            if data[at : at + 2] != b"\x11\x00":
                raise Discard("not-ip")
            return _ppp(data, at + 6)
        if kind not in _TAGS:
            raise Discard("not-ip")
        if len(data) < at + 4:
            raise Discard("link-short")
        kind = _SHORT(data, at + 2)[0]
        at += 4
    raise WireError(ExceptionName.LIMIT, f"more than {MAX_TAGS} VLAN tags")


def _cooked(data: bytes, at: int, protocol: int, hardware: int) -> tuple[int, int]:
    if hardware == _ARPHRD_NETLINK:
        raise Discard("not-ip")
    return _tagged(data, at, protocol)


def _loopback(data: bytes) -> tuple[int, int]:
    """The address family is in the byte order of the capturing host, or in network order for LOOP."""
    if len(data) < 4:
        raise Discard("link-short")
    head = data[:4]
    kind = _FAMILIES.get(int.from_bytes(head, "little")) or _FAMILIES.get(int.from_bytes(head))
    if kind is None:
        raise Discard("not-ip")
    return kind, 4


def _ppp(data: bytes, at: int) -> tuple[int, int]:
    """The PPP protocol field at offset ``at`` (RFC 1661 §2), one octet long where it was compressed."""
    if len(data) < at + 2:
        raise Discard("link-short")
    if data[at] & 1:
        protocol, at = data[at], at + 1
    else:
        protocol, at = _SHORT(data, at)[0], at + 2
    kind = _PPP_PROTOCOLS.get(protocol)
    if kind is None:
        raise Discard("not-ip")
    return kind, at
