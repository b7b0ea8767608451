"""Frames to datagrams and segments: link layers, IP, tunnels, and what has two readings or none."""

import os
import shutil
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import dpkt
import pytest
from capture_files import LITTLE
from hypothesis import given
from hypothesis import strategies as st
from wire_samples import (
    DESTINATION,
    DESTINATION6,
    ETHERNET,
    EXTENSIONS,
    LINKS,
    LINKS6,
    SIP,
    SOURCE,
    SOURCE6,
    TUNNELS,
    gtp,
    ipv4,
    ipv6,
    tcp,
    udp,
)

from monitor.capture.pcap import PcapWriter, open_capture
from monitor.exceptions import ExceptionName
from monitor.wire import decoder, ip, link
from monitor.wire.address import pack
from monitor.wire.decoder import Decoder
from monitor.wire.flow import Datagram, Flow, Segment, WireError
from monitor.wire.frame import Frame

CORPORA = os.environ.get("SIP_CORPORA")
EXPECTED = Datagram(Flow(SOURCE, 5060, DESTINATION, 5080, "udp"), SIP)
EXPECTED6 = Datagram(Flow(SOURCE6, 5060, DESTINATION6, 5080, "udp"), SIP)


def decode(data: bytes, kind: int = link.RAW, length: int | None = None) -> Datagram | Segment | None:
    return Decoder().decode(Frame(1, 0, kind, data, len(data) if length is None else length))


def error(data: bytes, kind: int = link.RAW) -> WireError:
    with pytest.raises(WireError) as caught:
        decode(data, kind)
    return caught.value


@pytest.mark.parametrize(("kind", "head"), LINKS.values(), ids=LINKS)
def test_link_layers(kind: int, head: bytes) -> None:
    assert decode(head + ipv4(udp()), kind) == EXPECTED


@pytest.mark.parametrize(("kind", "head"), LINKS6.values(), ids=LINKS6)
def test_link_layers_with_ipv6(kind: int, head: bytes) -> None:
    assert decode(head + ipv6(udp()), kind) == EXPECTED6


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        (1, ETHERNET + b"\x08\x06" + bytes(46)),  # ARP
        (1, ETHERNET + b"\x88\x63\x11\x09" + bytes(46)),  # PPPoE discovery
        (1, ETHERNET + b"\x88\x64\x11\0\0\x07\0\x50\xc0\x21" + bytes(46)),  # LCP
        (1, ETHERNET + b"\0\x26\x42\x42\x03" + bytes(46)),  # spanning tree
        (113, b"\0\0\x03\x38" + bytes(40)),  # netlink
        (101, b"\0" * 40),
        (0, b"\7\0\0\0" + bytes(40)),
    ],
)
def test_what_is_no_ip_gives_nothing(kind: int, data: bytes) -> None:
    reader = Decoder()
    assert reader.decode(Frame(1, 0, kind, data, len(data))) is None
    assert reader.counts == {"not-ip": 1}


def test_a_link_type_that_is_not_read_is_told_once_and_counted() -> None:
    reader = Decoder()
    frame = Frame(1, 0, 105, b"802.11", 6)
    with pytest.raises(WireError, match="link type 105"):
        reader.decode(frame)
    assert reader.decode(frame) is None
    assert reader.counts == {"error-unsupported": 2}


def test_tags_are_bounded() -> None:
    tag = b"\x81\0\0\x05"
    deep = ETHERNET + tag * link.MAX_TAGS + b"\x08\0" + ipv4(udp())
    assert decode(deep, 1) == EXPECTED
    assert (
        error(ETHERNET + tag * (link.MAX_TAGS + 1) + b"\x08\0" + ipv4(udp()), 1).name is ExceptionName.LIMIT
    )


def test_padding_after_the_packet_is_left_off() -> None:
    assert decode(ETHERNET + b"\x08\0" + ipv4(udp(b"hi")) + bytes(18), 1) == Datagram(EXPECTED.flow, b"hi")
    assert decode(ETHERNET + b"\x86\xdd" + ipv6(udp(b"hi")) + bytes(18), 1) == Datagram(EXPECTED6.flow, b"hi")
    segment = decode(ETHERNET + b"\x08\0" + ipv4(tcp(b""), 6) + bytes(6), 1)
    assert isinstance(segment, Segment)
    assert segment.payload == b""


def test_ipv4_options_are_passed_over() -> None:
    assert decode(ipv4(udp(), options=b"\x94\x04\0\0" + b"\1" * 36)) == EXPECTED


def test_a_length_of_zero_is_that_of_a_segment_yet_to_be_cut_up() -> None:
    assert decode(ipv4(udp(), total=0)) == EXPECTED
    assert decode(ipv6(udp(), length=0)) == EXPECTED6


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x45",
        ipv4(udp())[:19],
        b"\x44" + ipv4(udp())[1:],
        ipv4(udp(), total=19),
        ipv6(udp())[:39],
        ipv4(b"\0" * 7),
        ipv4(udp(length=7)),
        ipv4(udp(length=0)),
        ipv4(tcp(b"")[:19], 6),
        ipv4(tcp(b"")[:12] + b"\x40" + tcp(b"")[13:], 6),
        ipv4(tcp(b"")[:12] + b"\xf0" + tcp(b"")[13:], 6),
        ipv6(b"\0" * 7, 0),
        ipv6(b"\x11\xff" + bytes(14), 0),
        ETHERNET + b"\x08\0" + ipv6(udp()),
        ipv4(b"\x40\0\x08\0" + ipv4(udp()), 47),
        ipv4(b"\0\1\x08\0" + ipv4(udp()), 47),
        ipv4(b"\xb0\0\x08\0" + bytes(4), 47),
        ipv4(b"\0" * 8, 1),
        ipv4(b"\0" * 8, 50),
    ],
)
def test_what_no_host_would_take_gives_nothing(data: bytes) -> None:
    reader = Decoder()
    assert reader.decode(Frame(1, 0, 1 if data.startswith(ETHERNET) else 101, data, len(data))) is None
    assert reader.counts.total() == 1


def test_the_udp_length_rules() -> None:
    assert decode(ipv4(udp(b"read" + b"not", length=12))) == Datagram(EXPECTED.flow, b"read")
    assert decode(ipv4(udp(b""))) == Datagram(EXPECTED.flow, b"")
    long = decode(ipv4(udp(b"short", length=100)))
    assert isinstance(long, Datagram)
    assert long.payload == b"short"
    assert long.trouble is not None
    assert long.trouble.name is ExceptionName.TRUNCATED
    assert long.trouble.source == SOURCE
    assert decode(ipv6(udp(length=0))) == EXPECTED6


@pytest.mark.parametrize("packet", [ipv4(udp()), ipv6(udp())])
def test_a_datagram_that_the_capture_cut_is_truncated(packet: bytes) -> None:
    whole = decode(packet)
    assert isinstance(whole, Datagram)
    header = len(packet) - len(SIP)
    for length in range(len(packet)):
        if length < header:
            try:
                assert decode(packet[:length], length=len(packet)) is None
            except WireError as caught:
                assert caught.name is ExceptionName.TRUNCATED  # noqa: PT017
        else:
            cut = decode(packet[:length], length=len(packet))
            assert isinstance(cut, Datagram)
            assert cut.flow == whole.flow
            assert cut.payload == SIP[: length - header]
            assert cut.trouble is not None
            assert cut.trouble.name is ExceptionName.TRUNCATED


def test_a_cut_beyond_the_udp_length_is_none() -> None:
    assert decode(ipv4(udp() + b"trailer")[:-3]) == EXPECTED


def test_segments() -> None:
    segment = decode(ipv4(tcp(b"payload", 0x19, b"\2\4\5\xb4"), 6))
    assert segment == Segment(Flow(SOURCE, 5060, DESTINATION, 5080, "tcp"), 77, 99, 0x19, b"payload")
    cut = decode(ipv4(tcp(b"payload", options=bytes(8)), 6)[:-3])
    assert isinstance(cut, Segment)
    assert (cut.payload, cut.missing) == (b"payl", 3)
    assert cut.trouble is not None
    assert cut.trouble.name is ExceptionName.TRUNCATED
    bare = decode(ipv4(tcp(b"payload", options=bytes(8)), 6)[:-12])
    assert isinstance(bare, Segment)
    assert (bare.payload, bare.missing) == (b"", 7)


def test_mapped_addresses_are_folded() -> None:
    mapped = ipv6(udp())
    mapped = mapped[:8] + pack("::")[:10] + b"\xff\xff" + SOURCE + mapped[24:]
    datagram = decode(mapped)
    assert isinstance(datagram, Datagram)
    assert datagram.flow.source == SOURCE


@given(st.lists(st.sampled_from(list(EXTENSIONS.values())), max_size=ip.MAX_EXTENSIONS + 3))
def test_ipv6_extension_headers_in_any_order(chosen: list[tuple[int, Callable[[int], bytes]]]) -> None:
    following, payload = 17, udp()
    for number, build in reversed(chosen):
        payload, following = build(following) + payload, number
    if len(chosen) <= ip.MAX_EXTENSIONS:
        assert decode(ipv6(payload, following)) == EXPECTED6
    else:
        limit = error(ipv6(payload, following))
        assert (limit.name, limit.source) == (ExceptionName.LIMIT, SOURCE6)


def test_an_authentication_header_on_ipv4() -> None:
    assert decode(ipv4(b"\x11\x04" + bytes(22) + udp(), 51)) == EXPECTED


@pytest.mark.parametrize("wrap", TUNNELS.values(), ids=TUNNELS)
def test_of_a_tunnel_the_packet_inside_counts(wrap: Callable[[bytes], bytes]) -> None:
    assert decode(wrap(ipv4(udp()))) == EXPECTED
    assert isinstance(decode(wrap(ipv4(tcp(b"x"), 6))), Segment)


def test_ipv6_in_tunnels() -> None:
    assert decode(ipv4(ipv6(udp()), 41)) == EXPECTED6
    assert decode(ipv4(b"\0\0\x86\xdd" + ipv6(udp()), 47)) == EXPECTED6
    assert decode(ipv4(gtp(ipv6(udp())))) == EXPECTED6


OVER_IPV4 = [wrap for wrap in TUNNELS.values() if wrap(b"")[0] >> 4 == 4]


@given(st.lists(st.sampled_from(OVER_IPV4), max_size=decoder.MAX_TUNNELS + 2))
def test_tunnels_in_one_another_are_bounded(chosen: list[Callable[[bytes], bytes]]) -> None:
    packet = ipv4(udp())
    for wrap in chosen:
        packet = wrap(packet)
    if len(chosen) <= decoder.MAX_TUNNELS:
        assert decode(packet) == EXPECTED
    else:
        assert error(packet).name is ExceptionName.LIMIT


@pytest.mark.parametrize(
    "payload",
    [
        SIP,
        b"",
        b"\x30\xff\0\x04\0\0\0\x07\x45\0\0\0",  # too short inside
        b"\x30\xff\0\x50\0\0\0\x07" + ipv4(udp()),  # length beyond the datagram
        b"\x30\x01\0\x30\0\0\0\x07" + ipv4(udp()),  # an echo request
        b"\x50\xff\0\x30\0\0\0\x07" + ipv4(udp()),  # another version
        b"\x30\xff\0\x30\0\0\0\x07" + b"\x35" + ipv4(udp())[1:],
        b"\x34\xff\0\x08\0\0\0\x07\0\0\0\x85\0\0\0\0",  # an extension header of no length
        b"\x34\xff\0\x04\0\0\0\x07\0\0\0\x85",
    ],
)
def test_what_only_looks_like_gtp_is_a_plain_datagram(payload: bytes) -> None:
    datagram = decode(ipv4(udp(payload, ports=(2152, 2152))))
    assert isinstance(datagram, Datagram)
    assert datagram == Datagram(Flow(SOURCE, 2152, DESTINATION, 2152, "udp"), payload)


@given(st.binary(max_size=200), st.sampled_from([*sorted(link.SUPPORTED), 105]))
def test_garbage_gives_nothing_or_the_wire_error(data: bytes, kind: int) -> None:
    with suppress(WireError):
        Decoder().decode(Frame(1, 0, kind, data, len(data)))


@given(
    st.sampled_from(list(TUNNELS.values())),
    st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255))),
    st.integers(0, 300),
)
def test_damaged_packets_give_nothing_or_the_wire_error(
    wrap: Callable[[bytes], bytes], changes: list[tuple[int, int]], length: int
) -> None:
    data = bytearray(wrap(ipv6(EXTENSIONS["hop-by-hop options"][1](17) + udp(), 0)))
    for at, value in changes:
        data[at % len(data)] = value
    reader = Decoder()
    for _ in range(2):
        with suppress(WireError):
            reader.decode(Frame(1, 0, 101, bytes(data[:length]), len(data)))


@pytest.mark.oracle
def test_scapy_crafts_what_is_read() -> None:
    scapy: Any = pytest.importorskip("scapy.all")
    plain = scapy.IP(src="192.0.2.1", dst="192.0.2.2") / scapy.UDP(sport=5060, dport=5080) / SIP
    ethernet = scapy.Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
    outer = scapy.IP(src="198.51.100.1", dst="198.51.100.2")
    frames = [
        (1, ethernet / scapy.Dot1Q(vlan=5) / plain),
        (1, ethernet / scapy.Dot1AD(vlan=5) / scapy.Dot1Q(vlan=6) / plain),
        (1, ethernet / scapy.PPPoE(sessionid=7) / scapy.PPP() / plain),
        (1, ethernet / outer / plain),
        (1, ethernet / outer / scapy.GRE(key_present=1, seqnum_present=1, chksum_present=1) / plain),
        (1, ethernet / outer / scapy.GRE(proto=0x6558) / ethernet / plain),
        (113, scapy.CookedLinux(proto=0x800) / plain),
        (276, scapy.CookedLinuxV2(proto=0x800) / plain),
        (0, scapy.Loopback(type=2) / plain),
        (101, plain),
    ]
    for kind, frame in frames:
        assert decode(bytes(frame), kind) == EXPECTED


@pytest.mark.oracle
def test_scapy_crafts_gtp_that_is_read() -> None:
    scapy: Any = pytest.importorskip("scapy.all")
    gtp_layer: Any = pytest.importorskip("scapy.contrib.gtp")
    plain = scapy.IP(src="192.0.2.1", dst="192.0.2.2") / scapy.UDP(sport=5060, dport=5080) / SIP
    outer = scapy.IP(src="198.51.100.1", dst="198.51.100.2") / scapy.UDP(sport=2152, dport=2152)
    session = gtp_layer.GTPPDUSessionContainer(type=1, QFI=3)
    for header in (
        gtp_layer.GTP_U_Header(teid=7, gtp_type=255),
        gtp_layer.GTP_U_Header(teid=7, gtp_type=255, E=1, next_ex=0x85) / session,
    ):
        assert decode(bytes(outer / header / plain)) == EXPECTED


def corpora() -> list[Path]:
    return sorted(Path(CORPORA, "pcap").iterdir()) if CORPORA else []


@pytest.mark.oracle
@pytest.mark.skipif(not CORPORA, reason="SIP_CORPORA is not set")
@pytest.mark.parametrize("path", corpora(), ids=lambda path: path.name)
def test_datagrams_are_those_that_dpkt_reads(path: Path) -> None:
    reader = Decoder()
    for frame in open_capture(str(path)):
        packet = dpkt.ethernet.Ethernet(frame.data).data
        if isinstance(packet, dpkt.pppoe.PPPoE):
            packet = packet.data.data
        theirs = packet.data if isinstance(packet, dpkt.ip.IP | dpkt.ip6.IP6) else None
        ours = reader.decode(frame)
        if isinstance(theirs, dpkt.udp.UDP):
            assert isinstance(ours, Datagram)
            assert ours.trouble is None
            assert ours.flow == Flow(packet.src, theirs.sport, packet.dst, theirs.dport, "udp")
            assert ours.payload == bytes(theirs.data)[: theirs.ulen - 8]
        elif isinstance(theirs, dpkt.tcp.TCP):
            assert isinstance(ours, Segment)
            assert ours.flow == Flow(packet.src, theirs.sport, packet.dst, theirs.dport, "tcp")
            assert (ours.sequence, ours.acknowledgment, ours.flags) == (theirs.seq, theirs.ack, theirs.flags)
            assert ours.payload == bytes(theirs.data)
        else:
            assert ours is None


@pytest.mark.oracle
@pytest.mark.skipif(not shutil.which("tshark"), reason="tshark is not installed")
def test_tshark_sees_the_same_inside_every_tunnel(tmp_path: Path) -> None:
    path = tmp_path / "tunnels.pcap"
    with PcapWriter(path, link.RAW) as writer:
        for number, wrap in enumerate(TUNNELS.values(), 1):
            data = wrap(ipv4(udp()))
            writer.write(Frame(number, 0, link.RAW, data, len(data)))
    command = [
        "tshark",
        "-r",
        str(path),
        "-T",
        "fields",
        "-E",
        "occurrence=l",
        "-e",
        "ip.src",
        "-e",
        "udp.payload",
    ]
    output = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    for line, wrap in zip(output.splitlines(), TUNNELS.values(), strict=True):
        datagram = decode(wrap(ipv4(udp())))
        assert isinstance(datagram, Datagram)
        assert line.split("\t") == ["192.0.2.1", datagram.payload.hex()]


@pytest.mark.oracle
@pytest.mark.skipif(not shutil.which("tshark"), reason="tshark is not installed")
def test_tshark_sees_the_same_behind_every_link_layer(tmp_path: Path) -> None:
    forms = [(kind, head + ipv4(udp())) for kind, head in LINKS.values()]
    # It does not know the numbers that Linux and Windows have for IPv6.
    forms += [
        (kind, head + ipv6(udp())) for kind, head in LINKS6.values() if head[:1] not in (b"\n", b"\x17")
    ]
    path = tmp_path / "links.pcapng"
    blocks = [LITTLE.interface(kind) for kind, _ in forms]
    blocks += [LITTLE.packet(number, 0, data) for number, (_, data) in enumerate(forms)]
    path.write_bytes(LITTLE.section() + b"".join(blocks))
    command = ["tshark", "-n", "-r", str(path), "-T", "fields", "-e", "udp.payload"]
    output = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    assert output.split() == [SIP.hex()] * len(forms)
    for frame in open_capture(str(path)):
        datagram = Decoder().decode(frame)
        assert isinstance(datagram, Datagram)
        assert datagram.payload == SIP
