"""Packets made by hand, and every way of carrying them: link layers, tunnels, extension headers."""

import struct
from collections.abc import Callable

from monitor.wire.address import pack

SOURCE, DESTINATION = pack("192.0.2.1"), pack("192.0.2.2")
SOURCE6, DESTINATION6 = pack("2001:db8::1"), pack("2001:db8::2")
SIP = b"OPTIONS sip:bob@example.org SIP/2.0\r\n\r\n"
ETHERNET = b"\2\0\0\0\0\2\2\0\0\0\0\1"


def udp(payload: bytes = SIP, length: int | None = None, ports: tuple[int, int] = (5060, 5080)) -> bytes:
    return struct.pack("!HHHH", *ports, len(payload) + 8 if length is None else length, 0) + payload


def tcp(payload: bytes, flags: int = 0x18, options: bytes = b"") -> bytes:
    offset = (20 + len(options)) // 4 << 4
    return struct.pack("!HHIIBBHHH", 5060, 5080, 77, 99, offset, flags, 512, 0, 0) + options + payload


def ipv4(
    payload: bytes,
    protocol: int = 17,
    *,
    total: int | None = None,
    options: bytes = b"",
    source: bytes = SOURCE,
) -> bytes:
    length = 20 + len(options) + len(payload) if total is None else total
    first = 0x45 + len(options) // 4
    return (
        struct.pack("!BBHHHBBH", first, 0, length, 1, 0, 64, protocol, 0)
        + source
        + DESTINATION
        + options
        + payload
    )


def ipv6(payload: bytes, following: int = 17, length: int | None = None) -> bytes:
    size = len(payload) if length is None else length
    return struct.pack("!IHBB", 6 << 28, size, following, 64) + SOURCE6 + DESTINATION6 + payload


LINKS: dict[str, tuple[int, bytes]] = {
    "Ethernet": (1, ETHERNET + b"\x08\0"),
    "Ethernet, 802.1Q": (1, ETHERNET + b"\x81\0\0\x05\x08\0"),
    "Ethernet, QinQ (802.1ad)": (1, ETHERNET + b"\x88\xa8\0\x05\x81\0\0\x06\x08\0"),
    "Ethernet, QinQ (0x9100)": (1, ETHERNET + b"\x91\0\0\x05\x81\0\0\x06\x08\0"),
    "Ethernet, PPPoE": (1, ETHERNET + b"\x88\x64\x11\0\0\x07\0\x50\0\x21"),
    "Ethernet, 802.1Q and PPPoE": (1, ETHERNET + b"\x81\0\0\x05\x88\x64\x11\0\0\x07\0\x50\0\x21"),
    "Ethernet, 802.3 with SNAP": (1, ETHERNET + b"\0\x60\xaa\xaa\x03\0\0\0\x08\0"),
    "Linux cooked (SLL)": (113, b"\0\0\0\x01\0\x06\2\0\0\0\0\1\0\0\x08\0"),
    "Linux cooked (SLL), 802.1Q": (113, b"\0\0\0\x01\0\x06\2\0\0\0\0\1\0\0\x81\0\0\x05\x08\0"),
    "Linux cooked 2 (SLL2)": (276, b"\x08\0\0\0\0\0\0\x02\0\x01\0\x06\2\0\0\0\0\1\0\0"),
    "raw IP (12)": (12, b""),
    "raw IP (14)": (14, b""),
    "raw IP (101)": (101, b""),
    "raw IPv4 (228)": (228, b""),
    "BSD loopback (NULL), little endian": (0, b"\2\0\0\0"),
    "BSD loopback (NULL), big endian": (0, b"\0\0\0\2"),
    "BSD loopback (LOOP)": (108, b"\0\0\0\2"),
    "PPP": (9, b"\xff\x03\0\x21"),
    "PPP, address and control left out": (9, b"\0\x21"),
    "PPP, protocol compressed": (9, b"\x21"),
    "PPP in HDLC": (50, b"\xff\x03\0\x21"),
}
"""Link types, and what stands before an IPv4 packet."""

LINKS6: dict[str, tuple[int, bytes]] = {
    "Ethernet": (1, ETHERNET + b"\x86\xdd"),
    "Ethernet, PPPoE": (1, ETHERNET + b"\x88\x64\x11\0\0\x07\0\x60\0\x57"),
    "Linux cooked 2 (SLL2)": (276, b"\x86\xdd\0\0\0\0\0\x02\0\x01\0\x06\2\0\0\0\0\1\0\0"),
    "raw IP (101)": (101, b""),
    "raw IPv6 (229)": (229, b""),
    **{
        f"BSD loopback (NULL), {system}": (0, family.to_bytes(4, "little"))
        for system, family in (
            ("Linux", 10), ("Windows", 23), ("NetBSD", 24), ("FreeBSD", 28), ("macOS", 30)
        )
    },
    "BSD loopback (LOOP)": (108, b"\0\0\0\x1e"),
}  # fmt: skip
"""Link types, and what stands before an IPv6 packet."""

EXTENSIONS: dict[str, tuple[int, Callable[[int], bytes]]] = {
    "hop-by-hop options": (0, lambda following: bytes([following, 0]) + bytes(6)),
    "routing": (43, lambda following: bytes([following, 1]) + bytes(14)),
    "destination options": (60, lambda following: bytes([following, 2]) + bytes(22)),
    "authentication": (51, lambda following: bytes([following, 4]) + bytes(22)),
    "fragment, of a packet that is whole": (44, lambda following: bytes([following, 0, 0, 0]) + bytes(4)),
    "mobility": (135, lambda following: bytes([following, 0]) + bytes(6)),
}
"""IPv6 extension headers: their number, and how to make one before the header of another number."""


def gtp(payload: bytes, flags: int = 0x30, optional: bytes = b"") -> bytes:
    body = optional + payload
    return udp(struct.pack("!BBHI", flags, 255, len(body), 7) + body, ports=(2152, 2152))


TUNNELS: dict[str, Callable[[bytes], bytes]] = {
    "IP-in-IP": lambda inner: ipv4(inner, 4),
    "IPv4 in IPv6": lambda inner: ipv6(inner, 4),
    "GRE": lambda inner: ipv4(b"\0\0\x08\0" + inner, 47),
    "GRE over IPv6": lambda inner: ipv6(b"\0\0\x08\0" + inner, 47),
    "GRE with checksum": lambda inner: ipv4(b"\x80\0\x08\0" + bytes(4) + inner, 47),
    "GRE with checksum, key and sequence": lambda inner: ipv4(b"\xb0\0\x08\0" + bytes(12) + inner, 47),
    "GRE with key, Ethernet": lambda inner: ipv4(
        b"\x20\0\x65\x58" + bytes(4) + ETHERNET + b"\x08\0" + inner, 47
    ),
    "GRE, Ethernet with 802.1Q": lambda inner: ipv4(
        b"\0\0\x65\x58" + ETHERNET + b"\x81\0\0\1\x08\0" + inner, 47
    ),
    "GTP-U": lambda inner: ipv4(gtp(inner)),
    "GTP-U over IPv6": lambda inner: ipv6(gtp(inner)),
    "GTP-U with sequence number": lambda inner: ipv4(gtp(inner, 0x32, b"\0\1\0\0")),
    "GTP-U with an extension header": lambda inner: ipv4(gtp(inner, 0x34, b"\0\0\0\x85\1\0\1\0")),
    "GTP-U with two extension headers": lambda inner: ipv4(
        gtp(inner, 0x34, b"\0\0\0\xc0\1\0\0\x85\2\0\0\0\0\0\0\0")
    ),
}
"""Tunnels: each takes an IPv4 packet in."""
