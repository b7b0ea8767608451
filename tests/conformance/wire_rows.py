"""Captures, link layers, tunnels, fragments, TCP."""

import gzip
import os
import struct
from collections.abc import Callable, Sequence
from functools import partial

import wire_samples as wire
from capture_files import BIG, LITTLE, Builder, pcap_file
from frames import fragments, invite, ipv4, sdp, tcp, udp
from matrix import Row, Section, together
from probe import ALICE, BOB, KEY, OTHER, START, framed, outcome

from monitor.capture.pcap import open_capture
from monitor.sip.header import MAX_HEADER_SECTION
from monitor.wire.fragments import MAX_FRAGMENTS
from monitor.wire.frame import NANOSECONDS, Frame
from monitor.wire.ip import MAX_EXTENSIONS
from monitor.wire.stream import MAX_PENDING

MESSAGE = invite(sdp(KEY))
PACKET = udp(BOB, ALICE, MESSAGE)
SECONDS = START // NANOSECONDS


def captured(octets: bytes) -> str:
    """A capture file through ``replay``'s reader: what comes of its frames, and its warnings."""
    file = os.memfd_create("capture")
    try:
        os.write(file, octets)
        with open_capture(f"/proc/self/fd/{file}") as capture:
            found = outcome(list(capture))
            cut = any("cut off" in warning for warning in capture.warnings)
            return f"{found}, cut off" if cut else found
    finally:
        os.close(file)


def _pcap(order: str, magic: int) -> bytes:
    return pcap_file([(SECONDS, 0, PACKET)], order, magic, 101)


def _pcapng(build: Builder) -> bytes:
    return build.section() + build.interface(101) + build.packet(0, START // 1000, PACKET)


def _halves(first: int, second: int) -> bytes:
    """A message in two fragments on two interfaces, of two link types and clocks, in two sections."""
    one, two = fragments(PACKET, 400)[0], fragments(PACKET, 400)[1:]
    binary = BIG.option(9, b"\x94")  # 2^-20 s
    return b"".join(
        [
            LITTLE.section(),
            LITTLE.interface(101),
            LITTLE.interface(1),
            LITTLE.packet(first, START // 1000, wire.ETHERNET + b"\x08\0" + one if first else one),
            BIG.section(),
            BIG.interface(101),
            BIG.interface(1, 0, binary),
            *(
                BIG.packet(second, SECONDS << 20, wire.ETHERNET + b"\x08\0" + part if second else part)
                for part in two
            ),
        ]
    )


def _blocks() -> str:
    head = LITTLE.section() + LITTLE.interface(101)
    return together(
        captured(head + LITTLE.obsolete(0, START // 1000, PACKET)),
        captured(head + LITTLE.simple(len(PACKET), PACKET)),
    )


def captures() -> Section:
    """Capture files."""
    whole, many = _pcapng(LITTLE), _pcap("<", 0xA1B2C3D4)
    named = {
        "pcap, little endian, µs": many,
        "pcap, big endian, µs": _pcap(">", 0xA1B2C3D4),
        "pcap, little endian, ns": _pcap("<", 0xA1B23C4D),
        "pcap, big endian, ns": _pcap(">", 0xA1B23C4D),
        "pcapng, little endian": whole,
        "pcapng, big endian": _pcapng(BIG),
        "pcapng, sections of both byte orders, interfaces with other link types and clocks": _halves(0, 1),
        "pcap in gzip": gzip.compress(many),
        "pcapng in gzip, several members": gzip.compress(whole[:100]) + gzip.compress(whole[100:]),
    }
    rows = [Row(name, "key read", partial(captured, octets)) for name, octets in named.items()]
    rows.append(Row("pcapng, obsolete and simple packet blocks", "key read", _blocks))
    tails = {
        "pcap with a cut-off tail": many + many[24:50],
        "pcapng with a cut-off tail": whole + LITTLE.packet(0, 0, PACKET)[:-30],
        "gzip with a cut-off tail": gzip.compress(many)[:-4],
    }
    rows += [Row(name, "key read, cut off", partial(captured, octets)) for name, octets in tails.items()]
    return Section("Captures", "Files as `replay` reads them.", "format", tuple(rows))


def _linked(link: int, head: bytes, packet: bytes) -> str:
    return outcome(framed([head + packet], link))


IPV4 = wire.ipv4(wire.udp(MESSAGE))
IPV6 = wire.ipv6(wire.udp(MESSAGE))


def links() -> Section:
    """Link layers."""
    rows = [
        Row(f"{name}{version}", "key read", partial(_linked, link, head, packet))
        for version, heads, packet in (("", wire.LINKS, IPV4), ("; IPv6", wire.LINKS6, IPV6))
        for name, (link, head) in heads.items()
    ]
    rows.append(Row("any other (IEEE 802.11)", "unsupported", partial(_linked, 105, b"", IPV4)))
    return Section("Link types", "With IPv4 where nothing else is said.", "link type", tuple(rows))


def _nested(depth: int) -> str:
    packet = IPV4
    for _ in range(depth):
        packet = wire.TUNNELS["GRE"](packet)
    return outcome(framed([packet]))


def _extended(names: Sequence[str]) -> str:
    following, payload = 17, wire.udp(MESSAGE)
    for name in reversed(names):
        number, build = wire.EXTENSIONS[name]
        payload, following = build(following) + payload, number
    return outcome(framed([wire.ipv6(payload, following)]))


def tunnels() -> Section:
    """Tunnels and extension headers."""
    rows = [
        Row(name, "key read", lambda wrap=wrap: outcome(framed([wrap(IPV4)])))  # type: ignore[misc]
        for name, wrap in wire.TUNNELS.items()
    ]
    rows += [
        Row("6in4", "key read", lambda: outcome(framed([wire.ipv4(IPV6, 41)]))),
        Row("four tunnels in one another", "key read", partial(_nested, 4)),
        Row("five tunnels in one another", "denied as limit", partial(_nested, 5)),
    ]
    rows += [
        Row(f"IPv6 extension header: {name}", "key read", partial(_extended, [name]))
        for name in wire.EXTENSIONS
    ]
    every = [name for name in wire.EXTENSIONS if not name.startswith("fragment")]
    rows += [
        Row("IPv6 extension headers of every kind", "key read", partial(_extended, every)),
        Row(
            f"more than {MAX_EXTENSIONS} IPv6 extension headers",
            "denied as limit",
            partial(_extended, ["destination options"] * (MAX_EXTENSIONS + 1)),
        ),
        Row("IPv4 options", "key read", lambda: outcome(framed([_with_options()]))),
    ]
    return Section(
        "Tunnels and extension headers", "Of a tunnel, what is inside counts.", "form", tuple(rows)
    )


def _with_options() -> bytes:
    return wire.ipv4(wire.udp(MESSAGE), options=b"\x94\x04\0\0")


def _fragmented(arrange: Callable[[list[bytes]], list[bytes]], packet: bytes = PACKET) -> str:
    return outcome(framed(arrange(fragments(packet, 200))))


def _differing(parts: list[bytes]) -> list[bytes]:
    """Before the second fragment comes another in its place."""
    return [parts[0], parts[1][:-1] + bytes([parts[1][-1] ^ 1]), *parts[1:]]


def _crowd(parts: list[bytes]) -> list[bytes]:
    return [parts[0]] * (MAX_FRAGMENTS + 1)


def fragmentation() -> Section:
    """IP fragments."""
    rows = []
    for version, packet in (("IPv4", PACKET), ("IPv6", IPV6)):
        arranged: dict[str, tuple[str, Callable[[list[bytes]], list[bytes]]]] = {
            "in order": ("key read", list),
            "last first": ("key read", lambda parts: parts[::-1]),
            "repeated": ("key read", lambda parts: [*parts[:-1], *parts]),
            "overlapping, alike": ("key read", lambda parts: [parts[0], *parts]),
            "overlapping, of different content": ("denied as ambiguous", _differing),
            "one lost": ("no SIP", lambda parts: parts[:1] + parts[2:]),
            f"more than {MAX_FRAGMENTS}": ("denied as limit", _crowd),
        }
        rows += [
            Row(f"{version} fragments, {name}", expected, partial(_fragmented, arrange, packet))
            for name, (expected, arrange) in arranged.items()
        ]
    tunnel = wire.TUNNELS["IP-in-IP"]
    rows += [
        Row(
            "fragments in a tunnel",
            "key read",
            partial(_fragmented, lambda parts: [tunnel(part) for part in parts]),
        ),
        Row("a tunnel in fragments", "key read", partial(_fragmented, list, tunnel(PACKET))),
    ]
    return Section("Fragments", "Of one datagram with a session description in it.", "fragments", tuple(rows))


SYN, ACK, RST = 0x02, 0x10, 0x04
Cut = tuple[int, bytes]


def _cuts(size: int = 100, message: bytes = MESSAGE) -> list[Cut]:
    return [(at, message[at : at + size]) for at in range(0, len(message), size)]


def _stream(
    cuts: Sequence[Cut], *, first: int = 1000, syn: bool = True, extra: Sequence[bytes] = ()
) -> list[Frame]:
    """Segments at offsets of a stream."""
    packets = [tcp(BOB, ALICE, first - 1, b"", SYN)] if syn else []
    packets += [tcp(BOB, ALICE, first + at, octets) for at, octets in cuts]
    return framed([*packets, *extra])


def _swapped(cuts: list[Cut]) -> list[Cut]:
    return [*cuts[1:3][::-1], cuts[0], *cuts[3:]]


def _changed(cuts: list[Cut]) -> list[Cut]:
    at, octets = cuts[1]
    return [cuts[0], cuts[1], (at, octets[:-1] + b"!"), *cuts[2:]]


def streams() -> Section:
    """TCP."""
    cuts, options = _cuts(), MESSAGE.replace(b"INVITE", b"OPTIONS").replace(KEY.encode(), OTHER.encode())
    length = len(MESSAGE)
    lost = [cuts[0], *cuts[2:]]
    acknowledgment = struct.pack("!HHIIBBHHH", 5060, 40000, 1, 1000 + length, 0x50, ACK, 65535, 0, 0)
    huge = MESSAGE.replace(b"Content-Length: ", b"Content-Length: 9999")
    heads = MESSAGE.partition(b"\r\n")[0] + b"\r\n" + b"X: y\r\n" * (MAX_HEADER_SECTION // 6)
    ahead = [(at, bytes(MAX_PENDING // 32)) for at in range(1000, MAX_PENDING + 20_000, MAX_PENDING // 32)]
    named: dict[str, tuple[str, list[Frame]]] = {
        "in one segment": ("key read", _stream([(0, MESSAGE)])),
        "in many segments": ("key read", _stream(cuts)),
        "octet by octet": ("key read", _stream(_cuts(1))),
        "out of order": ("key read", _stream(_swapped(cuts))),
        "last segment first": ("key read", _stream(cuts[::-1])),
        "retransmitted": ("key read", _stream([*cuts[:3], *cuts])),
        "overlapping segments, alike": (
            "key read",
            _stream([(at, MESSAGE[at : at + 150]) for at, _ in cuts]),
        ),
        "overlapping segments that differ": ("denied as ambiguous, key read", _stream(_changed(cuts))),
        "sequence numbers that wrap": ("key read", _stream(cuts, first=(1 << 32) - 150)),
        "picked up in its midst, at a message": ("key read", _stream(cuts, syn=False)),
        "picked up in its midst, within a message": (
            "key read",
            _stream([(0, MESSAGE[150:]), (length - 150, MESSAGE)], syn=False),
        ),
        "two messages in one segment": ("key read", _stream([(0, options + MESSAGE)])),
        "keep-alives between messages": ("key read", _stream([(0, b"\r\n\r\n" + MESSAGE)])),
        "reset at the octet expected": (
            "key read",
            _stream(cuts, extra=[tcp(BOB, ALICE, 1000 + length, b"", RST)]),
        ),
        "reset out of the blue, within": (
            "key read",
            framed(
                [
                    tcp(BOB, ALICE, 1000, MESSAGE[:100]),
                    tcp(BOB, ALICE, 1050, b"", RST),
                    tcp(BOB, ALICE, 1100, MESSAGE[100:]),
                ]
            ),
        ),
        "a segment that was lost, and acknowledged": (
            "denied as truncated",
            _stream(lost, extra=[ipv4(ALICE, BOB, 6, acknowledgment)]),
        ),
        "a segment that was lost, at the end of the capture": ("denied as truncated", _stream(lost)),
        "urgent data": (
            "denied as ambiguous",
            framed([tcp(BOB, ALICE, 999, b"", SYN), tcp(BOB, ALICE, 1000, MESSAGE, 0x38)]),
        ),
        "without Content-Length": (
            "denied as ambiguous",
            _stream([(0, MESSAGE.replace(b"Content-Length: ", b"X-Length: "))]),
        ),
    }
    named |= {
        "a message that says it is longer than is held": ("denied as limit", _stream([(0, huge)])),
        "a header section longer than is held": ("denied as limit", _stream(_cuts(1400, heads))),
        "more octets beyond a hole than wait": ("denied as limit", _stream([cuts[0], *ahead])),
    }
    rows = [Row(name, expected, partial(outcome, frames)) for name, (expected, frames) in named.items()]
    about = "One direction of a connection, with a message of some 500 octets in it."
    return Section("TCP", about, "stream", tuple(rows))
