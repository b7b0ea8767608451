"""IP fragments: any order gives the datagram, and what could be put together otherwise is told."""

import shutil
import struct
import subprocess
from itertools import pairwise, permutations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.capture.pcap import PcapWriter
from monitor.exceptions import ExceptionName
from monitor.wire import fragments as limits
from monitor.wire import link
from monitor.wire.address import pack
from monitor.wire.decoder import Decoder
from monitor.wire.flow import Datagram, Flow, Segment, WireError
from monitor.wire.frame import Frame

SOURCE, DESTINATION = pack("192.0.2.1"), pack("192.0.2.2")
SOURCE6, DESTINATION6 = pack("2001:db8::1"), pack("2001:db8::2")
FLOW = {
    4: Flow(SOURCE, 5060, DESTINATION, 5080, "udp"),
    6: Flow(SOURCE6, 5060, DESTINATION6, 5080, "udp"),
}


def udp(payload: bytes) -> bytes:
    return struct.pack("!HHHH", 5060, 5080, len(payload) + 8, 0) + payload


def ipv4(offset: int, data: bytes, more: bool, identification: int = 7, protocol: int = 17) -> bytes:
    place = offset // 8 | (0x2000 if more else 0)
    head = struct.pack("!BBHHHBB", 0x45, 0, 20 + len(data), identification, place, 64, protocol)
    checksum = 0xFFFF - int.from_bytes(head + SOURCE + DESTINATION) % 0xFFFF
    return head + struct.pack("!H", checksum) + SOURCE + DESTINATION + data


def ipv6(offset: int, data: bytes, more: bool, identification: int = 7, protocol: int = 17) -> bytes:
    fragment = struct.pack("!BBHI", protocol, 0, offset | more, identification) + data
    return struct.pack("!IHBB", 6 << 28, len(fragment), 44, 64) + SOURCE6 + DESTINATION6 + fragment


CRAFT = {4: ipv4, 6: ipv6}
Part = tuple[int, bytes, bool]


class Network:
    """A decoder that is fed fragments at times."""

    def __init__(self, version: int = 4) -> None:
        self.decoder = Decoder()
        self.craft = CRAFT[version]

    def send(self, *parts: Part, identification: int = 7, seconds: float = 0, cut: int = 0) -> list[Any]:
        results = []
        for offset, data, more in parts:
            packet = self.craft(offset, data, more, identification)
            captured = packet[: len(packet) - cut]
            frame = Frame(1, int(seconds * 1e9), link.RAW, captured, len(packet))
            results.append(self.decoder.decode(frame))
        return results


def whole(parts: list[Part], version: int = 4) -> Datagram:
    """What the last of the fragments completed."""
    *before, last = Network(version).send(*parts)
    assert before == [None] * len(before)
    assert isinstance(last, Datagram)
    return last


PAYLOAD = bytes(range(256))
DATA = udp(PAYLOAD)
PARTS: list[Part] = [(0, DATA[:80], True), (80, DATA[80:160], True), (160, DATA[160:], False)]


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_any_order(version: int, order: tuple[int, ...]) -> None:
    assert whole([PARTS[i] for i in order], version) == Datagram(FLOW[version], PAYLOAD)


@pytest.mark.parametrize("version", [4, 6])
def test_fragments_of_several_datagrams_are_kept_apart(version: int) -> None:
    network = Network(version)
    for part in PARTS[:2]:
        for identification in (1, 2):
            assert network.send(part, identification=identification) == [None]
    for identification in (1, 2):
        assert network.send(PARTS[2], identification=identification) == [Datagram(FLOW[version], PAYLOAD)]
    assert network.decoder.counts["fragments-reassembled"] == 2
    assert len(network.decoder.fragments) == 0


def test_ipv4_protocols_are_kept_apart() -> None:
    reader = Decoder()
    for protocol in (17, 6):
        packet = ipv4(0, DATA[:80], True, protocol=protocol)
        assert reader.decode(Frame(1, 0, link.RAW, packet, len(packet))) is None
    assert len(reader.fragments) == 2


def test_fragments_of_tcp() -> None:
    data = struct.pack("!HHIIBBHHH", 5060, 5080, 1, 2, 0x50, 0x18, 512, 0, 0) + PAYLOAD
    reader = Decoder()
    packets = (ipv4(80, data[80:], False, protocol=6), ipv4(0, data[:80], True, protocol=6))
    results = [reader.decode(Frame(1, 0, link.RAW, packet, len(packet))) for packet in packets]
    assert results == [None, Segment(Flow(SOURCE, 5060, DESTINATION, 5080, "tcp"), 1, 2, 0x18, PAYLOAD)]


def test_extension_headers_inside_fragments() -> None:
    data = bytes([17, 0]) + bytes(6) + DATA
    reader = Decoder()
    # The protocol of the whole is what the first fragment says, whatever the others do.
    packets = (ipv6(80, data[80:], False, protocol=6), ipv6(0, data[:80], True, protocol=60))
    results = [reader.decode(Frame(1, 0, link.RAW, packet, len(packet))) for packet in packets]
    assert results == [None, Datagram(FLOW[6], PAYLOAD)]


def test_a_whole_packet_with_a_fragment_header_stands_alone() -> None:
    network = Network(6)
    assert network.send(PARTS[0]) == [None]
    assert network.send((0, udp(b"atomic"), False)) == [Datagram(FLOW[6], b"atomic")]


def test_fragments_in_a_tunnel() -> None:
    reader = Decoder()
    results = []
    for part in PARTS:
        inner = ipv6(*part)
        outer = ipv4(0, inner, False, protocol=41)
        results.append(reader.decode(Frame(1, 0, link.RAW, outer, len(outer))))
    assert results == [None, None, Datagram(FLOW[6], PAYLOAD)]


def test_a_tunnel_in_fragments() -> None:
    inner = ipv6(0, DATA, False)
    reader = Decoder()
    outers = (ipv4(0, inner[:80], True, protocol=41), ipv4(80, inner[80:], False, protocol=41))
    results = [reader.decode(Frame(1, 0, link.RAW, outer, len(outer))) for outer in outers]
    assert results == [None, Datagram(FLOW[6], PAYLOAD)]


@pytest.mark.parametrize("version", [4, 6])
def test_overlaps_that_agree_are_fine(version: int) -> None:
    overlapping = [(0, DATA[:80], True), (0, DATA[:80], True), (40, DATA[40:200], True), PARTS[2]]
    assert whole(overlapping, version) == Datagram(FLOW[version], PAYLOAD)


@pytest.mark.parametrize("version", [4, 6])
def test_overlaps_that_differ_have_two_readings(version: int) -> None:
    evil = bytes(40)
    datagram = whole([PARTS[0], PARTS[1], (120, evil, True), PARTS[2]], version)
    assert datagram.payload == PAYLOAD
    assert datagram.alternative == PAYLOAD[:112] + evil + PAYLOAD[152:]
    assert datagram.trouble is not None
    assert (datagram.trouble.name, datagram.trouble.source) == (
        ExceptionName.AMBIGUOUS,
        FLOW[version].source,
    )
    assert "overlapping fragments differ" in datagram.trouble.detail


def test_two_ends_have_two_readings() -> None:
    datagram = whole([(160, DATA[160:200], False), (160, DATA[160:], False), *PARTS[:2]])
    assert datagram.trouble is not None
    assert datagram.trouble.name is ExceptionName.AMBIGUOUS


@pytest.mark.parametrize("order", list(permutations(range(4))))
def test_a_fragment_beyond_the_last_is_told_in_any_order(order: tuple[int, ...]) -> None:
    parts = [*PARTS, (400, bytes(8), True)]
    results = Network().send(*(parts[i] for i in order))
    [datagram] = [result for result in results if result]
    if order[3] != 3:
        assert datagram.trouble.name is ExceptionName.AMBIGUOUS
        assert datagram.payload == PAYLOAD


def test_a_wrong_header_checksum_makes_the_datagram_ambiguous() -> None:
    reader = Decoder()
    bad = bytearray(ipv4(*PARTS[0]))
    bad[10] ^= 1
    frames = [bytes(bad), *(ipv4(*part) for part in PARTS[1:])]
    *_, datagram = [reader.decode(Frame(1, 0, link.RAW, data, len(data))) for data in frames]
    assert isinstance(datagram, Datagram)
    assert datagram.trouble is not None
    assert datagram.trouble.name is ExceptionName.AMBIGUOUS


def test_a_length_that_is_no_multiple_of_eight_makes_the_datagram_ambiguous() -> None:
    datagram = whole([(0, DATA[:83], True), *PARTS[1:]])
    assert datagram.trouble is not None
    assert datagram.trouble.name is ExceptionName.AMBIGUOUS


@pytest.mark.parametrize(
    "part", [(65528, bytes(8), True), (65528, bytes(100), False), (8, b"", False), (0, b"abc", True)]
)
def test_what_no_host_would_take_is_discarded(part: Part) -> None:
    network = Network()
    assert network.send(part) == [None]
    assert network.decoder.counts == {"fragment-malformed": 1}
    assert len(network.decoder.fragments) == 0


@pytest.mark.parametrize("version", [4, 6])
def test_the_largest_datagram(version: int) -> None:
    payload = bytes(i % 251 for i in range(65507))
    data = udp(payload)
    parts = [(at, data[at : at + 1480], at + 1480 < len(data)) for at in range(0, len(data), 1480)]
    assert whole(parts[::-1], version) == Datagram(FLOW[version], payload)


def test_fragments_that_the_capture_cut() -> None:
    network = Network()
    assert network.send(PARTS[0], PARTS[2]) == [None, None]
    [datagram] = network.send(PARTS[1], cut=10)
    assert datagram.payload == PAYLOAD[:142]
    assert datagram.trouble.name is ExceptionName.TRUNCATED


def test_a_first_fragment_cut_within_the_udp_header_is_told() -> None:
    network = Network()
    assert network.send(PARTS[1], PARTS[2]) == [None, None]
    with pytest.raises(WireError) as caught:
        network.send(PARTS[0], cut=75)
    assert (caught.value.name, caught.value.source) == (ExceptionName.TRUNCATED, SOURCE)


def test_a_packet_that_waits_too_long_is_given_up_and_what_comes_late_is_told() -> None:
    network = Network()
    network.send(*PARTS[:2])
    assert network.send((0, udp(b"other"), True), identification=8, seconds=31) == [None]
    assert network.decoder.counts["fragments-timed-out"] == 1
    with pytest.raises(WireError) as caught:
        network.send(PARTS[2], seconds=32)
    assert (caught.value.name, caught.value.source) == (ExceptionName.LIMIT, SOURCE)
    assert network.send(*PARTS[:2], seconds=33) == [None, Datagram(FLOW[4], PAYLOAD)]


def test_fragments_that_come_twice_leave_nothing_behind() -> None:
    network = Network()
    results = network.send(PARTS[0], PARTS[0], PARTS[1], PARTS[1], PARTS[2], PARTS[2])
    assert [result for result in results if result] == [Datagram(FLOW[4], PAYLOAD)]
    network.send(PARTS[0], identification=8, seconds=31)
    assert network.decoder.counts["fragments-repeated"] == 1
    # The identification may be used anew.
    assert network.send(*PARTS, seconds=40) == [None, None, Datagram(FLOW[4], PAYLOAD)]


def test_a_datagram_that_comes_twice_is_given_twice() -> None:
    assert Network().send(*PARTS, *PARTS) == [None, None, Datagram(FLOW[4], PAYLOAD)] * 2


def test_another_datagram_may_have_the_same_identification() -> None:
    data = udp(b"another one, of the same source")
    other = [(0, data[:16], True), (16, data[16:], False)]
    results = Network().send(*PARTS, *other)
    assert results == [None, None, Datagram(FLOW[4], PAYLOAD), None, Datagram(FLOW[4], data[8:])]


def test_what_was_given_up_is_itself_forgotten() -> None:
    network = Network()
    network.send(PARTS[0])
    network.send(PARTS[0], identification=8, seconds=31)
    assert network.send(PARTS[0], seconds=200) == [None]


def test_fragments_of_one_packet_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_FRAGMENTS", 10)
    network = Network()
    for number in range(10):
        assert network.send((number * 16, bytes(8), True)) == [None]
    with pytest.raises(WireError) as caught:
        network.send((200, bytes(8), True))
    assert caught.value.name is ExceptionName.LIMIT
    assert network.decoder.counts["fragments-limit"] == 1
    assert (len(network.decoder.fragments), network.decoder.fragments.size) == (0, 0)


def test_packets_that_wait_are_bounded_and_the_oldest_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_PACKETS", 4)
    network = Network()
    for identification in range(6):
        network.send(*PARTS[:2], identification=identification)
    assert len(network.decoder.fragments) == 4
    assert network.decoder.counts["fragments-evicted"] == 2
    assert network.send(PARTS[2], identification=5) == [Datagram(FLOW[4], PAYLOAD)]
    with pytest.raises(WireError, match="given up"):
        network.send(PARTS[2], identification=0)


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_OCTETS", 10_000)
    network = Network()
    for identification in range(100):
        network.send((0, bytes(800), True), (0, b"\1" * 800, True), identification=identification)
        assert network.decoder.fragments.size <= 10_000
    assert network.decoder.counts["fragments-evicted"] > 90


@st.composite
def fragmentations(draw: st.DrawFn) -> tuple[bytes, list[Part]]:
    """A payload, and fragments that cover it, overlapping and repeated, in any order."""
    payload = draw(st.binary(min_size=1, max_size=300))
    data = udp(payload)
    units = (len(data) + 7) // 8
    cuts = sorted(draw(st.sets(st.integers(1, units - 1), min_size=1, max_size=8)) | {0, units})
    spans = list(pairwise(cuts))
    place = st.integers(0, units)
    spans += draw(st.lists(st.tuples(place, place).map(lambda p: (min(p), max(p))), max_size=5))
    spans = [span for span in draw(st.permutations(spans)) if span[0] < span[1] and span != (0, units)]
    return payload, [(a * 8, data[a * 8 : b * 8], b < units) for a, b in spans]


@given(fragmentations(), st.sampled_from([4, 6]))
def test_any_fragmentation_gives_the_datagram(fragmentation: tuple[bytes, list[Part]], version: int) -> None:
    payload, parts = fragmentation
    given_up_to = [result for result in Network(version).send(*parts) if result]
    assert given_up_to
    assert all(result == Datagram(FLOW[version], payload) for result in given_up_to)


@given(st.lists(st.tuples(st.integers(0, 20), st.binary(max_size=40), st.booleans()), max_size=12))
def test_conflicting_fragments_never_raise_anything_else(parts: list[tuple[int, bytes, bool]]) -> None:
    network = Network()
    for offset, data, more in parts:
        try:
            network.send((offset * 8, data, more))
        except WireError:
            continue
    assert 0 <= network.decoder.fragments.size < 100_000


@pytest.mark.oracle
def test_scapy_fragments_are_put_together() -> None:
    scapy: Any = pytest.importorskip("scapy.all")
    payload = bytes(i % 251 for i in range(60000))
    packet = scapy.IP(src="192.0.2.1", dst="192.0.2.2", id=9) / scapy.UDP(sport=5060, dport=5080) / payload
    packet6 = (
        scapy.IPv6(src="2001:db8::1", dst="2001:db8::2")
        / scapy.IPv6ExtHdrFragment(id=9)
        / scapy.UDP(sport=5060, dport=5080)
        / payload
    )
    for version, parts in ((4, scapy.fragment(packet, 1400)), (6, scapy.fragment6(packet6, 1400))):
        reader = Decoder()
        frames = [bytes(part) for part in parts][::-1]
        *before, last = [reader.decode(Frame(1, 0, link.RAW, data, len(data))) for data in frames]
        assert len(before) > 40
        assert before == [None] * len(before)
        assert last == Datagram(FLOW[version], payload)


@pytest.mark.oracle
@pytest.mark.skipif(not shutil.which("tshark"), reason="tshark is not installed")
@pytest.mark.parametrize("version", [4, 6])
def test_tshark_puts_the_same_together(tmp_path: Path, version: int) -> None:
    path = tmp_path / "fragments.pcap"
    parts = [PARTS[2], PARTS[0], (0, DATA[:40], True), PARTS[1]]
    with PcapWriter(path, link.RAW) as writer:
        for part in parts:
            data = CRAFT[version](*part)
            writer.write(Frame(1, 0, link.RAW, data, len(data)))
    command = ["tshark", "-r", str(path), "-T", "fields", "-e", "udp.payload"]
    output = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    [theirs] = [line for line in output.splitlines() if line]
    assert bytes.fromhex(theirs) == whole(parts, version).payload
