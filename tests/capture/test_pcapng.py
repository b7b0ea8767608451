"""Captures in pcapng: sections, interfaces, clocks and every kind of packet block."""

import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from capture_files import BIG, LITTLE, Builder
from hypothesis import given
from hypothesis import strategies as st

from monitor.capture import pcapng
from monitor.capture.pcap import CaptureError, open_capture
from monitor.wire.frame import NANOSECONDS, Frame


def read(tmp_path: Path, data: bytes, first_number: int = 1) -> list[Frame]:
    path = tmp_path / "a.pcapng"
    path.write_bytes(data)
    with open_capture(str(path), first_number) as capture:
        return list(capture)


@pytest.mark.parametrize("order", "<>")
def test_every_kind_of_packet_block(tmp_path: Path, order: str) -> None:
    build = Builder(order)
    data = (
        build.section()
        + build.interface(
            1, 4, build.option(2, b"eth0") + build.option(1, b"a comment") + build.option(0, b"")
        )
        + build.interface(276)
        + build.block(4, b"name resolution, which is passed over")
        + build.packet(0, 1700000000_000001, b"abc", 1500)
        + build.obsolete(1, 1700000000_000002, b"defgh")
        + build.simple(9, b"wxyz")
        + build.block(0x80000BAD, b"custom")
    )
    assert read(tmp_path, data, 3) == [
        Frame(3, 1700000000_000001_000, 1, b"abc", 1500, 0, "eth0"),
        Frame(4, 1700000000_000002_000, 276, b"defgh", 5),
        Frame(5, 1700000000_000002_000, 1, b"wxyz", 9, 0, "eth0"),
    ]


@pytest.mark.parametrize(
    ("resolution", "shift", "ticks", "time"),
    [
        (b"\x09", 0, 1700000000_123456789, 1700000000_123456789),
        (b"\x06", 0, 1700000000_123456, 1700000000_123456000),
        (b"\x03", 0, 1700000000_123, 1700000000_123000000),
        (b"\x00", 0, 1700000000, 1700000000_000000000),
        (b"\x0c", 0, 1700000_123456789012, 1700000_123456789),
        (b"\x8a", 0, 1700000000 * 1024 + 512, 1700000000_500000000),
        (b"\x06", 3600, 1, 3600_000001000),
        (b"\x06", -1, 1700000000_000000, 1699999999_000000000),
    ],
)
@pytest.mark.parametrize("order", "<>")
def test_clocks(tmp_path: Path, order: str, resolution: bytes, shift: int, ticks: int, time: int) -> None:
    build = Builder(order)
    options = build.option(9, resolution) + build.option(14, struct.pack(order + "q", shift))
    data = build.section() + build.interface(1, 0, options) + build.packet(0, ticks, b"x")
    assert [frame.time for frame in read(tmp_path, data)] == [time]


def test_times_out_of_all_bounds_are_moved_to_the_bound_and_told(tmp_path: Path) -> None:
    options = LITTLE.option(14, struct.pack("<q", -(1 << 63)))
    path = tmp_path / "a.pcapng"
    data = (
        LITTLE.section() + LITTLE.interface(1, 0, options) + LITTLE.interface(1, 0, LITTLE.option(9, b"\0"))
    )
    path.write_bytes(data + LITTLE.packet(0, 1, b"x") + LITTLE.packet(1, (1 << 64) - 1, b"x"))
    with open_capture(str(path)) as capture:
        assert [frame.time for frame in capture] == [0, pcapng.MAX_TIME]
    assert len(capture.warnings) == 1


def test_several_sections_of_both_byte_orders(tmp_path: Path) -> None:
    data = b"".join(
        build.section() + build.interface(link) + build.packet(0, 1_000_000, bytes([link]))
        for build, link in ((LITTLE, 1), (BIG, 101), (LITTLE, 113))
    )
    assert [(f.number, f.link, f.data, f.time) for f in read(tmp_path, data)] == [
        (1, 1, b"\x01", NANOSECONDS),
        (2, 101, b"\x65", NANOSECONDS),
        (3, 113, b"\x71", NANOSECONDS),
    ]


@pytest.mark.parametrize(
    ("blocks", "told"),
    [
        (LITTLE.packet(0, 1, b"x"), "octet 28: a packet of interface 0, which is not described"),
        (LITTLE.simple(1, b"x"), "octet 28: a simple packet block without an interface"),
        (struct.pack("<III", 6, 8, 8), "octet 28: a block of 8 octets"),
        (struct.pack("<III", 6, 0xFFFFFFF0, 8), "octet 28: a block of 4294967280 octets"),
        (LITTLE.block(1, b"abcd"), "octet 28: an interface description that is too short"),
        (LITTLE.block(6, b"abcd"), "octet 28: a packet block of 16 octets"),
        (
            LITTLE.interface(1) + LITTLE.block(6, struct.pack("<IIIII", 0, 0, 0, 500, 500)),
            "octet 48: a packet of 500 octets in a block of 32",
        ),
        (LITTLE.block(0x0A0D0D0A, b"abcdefgh"), "octet 28: a section with the byte-order magic 61626364"),
    ],
)
def test_damage_is_told_with_its_offset(tmp_path: Path, blocks: bytes, told: str) -> None:
    with pytest.raises(CaptureError) as caught:
        read(tmp_path, LITTLE.section() + blocks)
    assert told in str(caught.value)


def test_a_cut_off_tail_is_read_up_to_and_told(tmp_path: Path) -> None:
    parts = [
        LITTLE.section() + LITTLE.interface(1),
        LITTLE.packet(0, 1, b"first"),
        LITTLE.packet(0, 2, b"second"),
    ]
    data = b"".join(parts)
    path = tmp_path / "a.pcapng"
    whole = {len(b"".join(parts[:n])): n - 1 for n in (1, 2, 3)} | {28: 0}
    for length in range(28, len(data) + 1):
        path.write_bytes(data[:length])
        with open_capture(str(path)) as capture:
            count = len(list(capture))
        assert count == sum(length >= len(b"".join(parts[:n])) for n in (2, 3))
        if length in whole:
            assert (count, capture.warnings) == (whole[length], [])
        else:
            assert "cut off" in capture.warnings[0]


@pytest.mark.parametrize("length", [4, 11, 12, 27])
def test_a_cut_off_first_block_cannot_be_read(tmp_path: Path, length: int) -> None:
    path = tmp_path / "a.pcapng"
    path.write_bytes(LITTLE.section()[:length])
    with pytest.raises(CaptureError, match="cut off in the file header"), open_capture(str(path)) as capture:
        list(capture)


@given(st.binary(max_size=300), st.sampled_from([LITTLE, BIG]), st.booleans())
def test_garbage_gives_frames_or_the_capture_error(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, build: Builder, framed: bool
) -> None:
    body = build.block(int.from_bytes(data[:1]) % 8, data) if framed else data
    path = tmp_path_factory.getbasetemp() / "garbage.pcapng"
    path.write_bytes(build.section() + build.interface(1) + body)
    try:
        for frame in open_capture(str(path)):
            assert 0 <= frame.time <= pcapng.MAX_TIME
    except CaptureError:
        pass


@pytest.mark.oracle
@pytest.mark.skipif(not shutil.which("tshark"), reason="tshark is not installed")
def test_tshark_reads_the_same(tmp_path: Path) -> None:
    options = BIG.option(9, b"\x8a") + BIG.option(14, struct.pack(">q", 1000))
    data = (
        BIG.section()
        + BIG.interface(1, 0, options)
        + BIG.interface(101, 0, BIG.option(9, b"\x09"))
        + BIG.packet(0, 1700000000 * 1024 + 1, bytes(60))
        + BIG.packet(1, 1700000000_000000007, bytes(40))
        + LITTLE.section()
        + LITTLE.interface(113)
        + LITTLE.packet(0, 1700000000_000007, bytes(30), 99)
    )
    ours = read(tmp_path, data)
    fields = ["-e", "frame.time_epoch", "-e", "frame.cap_len", "-e", "frame.len"]
    command = ["tshark", "-r", str(tmp_path / "a.pcapng"), "-T", "fields", *fields]
    output = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    theirs = [line.split("\t") for line in output.splitlines()]
    assert [(f"{f.time // NANOSECONDS}.{f.time % NANOSECONDS:09}", len(f.data), f.length) for f in ours] == [
        (time, int(captured), int(length)) for time, captured, length in theirs
    ]
