"""Captures in pcap: every header, gzip, damage, and what other readers make of the same files."""

import gzip
import io
import os
import shutil
import struct
import subprocess
import sys
import tracemalloc
from itertools import pairwise
from pathlib import Path

import dpkt
import pytest
from capture_files import pcap_file
from hypothesis import given
from hypothesis import strategies as st

from monitor.capture import pcap
from monitor.capture.pcap import Capture, CaptureError, PcapWriter, open_capture
from monitor.wire.frame import NANOSECONDS, Frame

CORPORA = os.environ.get("SIP_CORPORA")
needs_corpora = pytest.mark.skipif(not CORPORA, reason="SIP_CORPORA is not set")


def captures() -> list[Path]:
    return sorted(Path(CORPORA, "pcap").iterdir()) if CORPORA else []


def read(path: Path, first_number: int = 1) -> list[Frame]:
    with open_capture(str(path), first_number) as capture:
        return list(capture)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize(("magic", "factor"), [(0xA1B2C3D4, 1000), (0xA1B23C4D, 1)])
def test_byte_orders_and_resolutions(tmp_path: Path, order: str, magic: int, factor: int) -> None:
    path = tmp_path / "a.pcap"
    path.write_bytes(pcap_file([(1700000000, 7, b"one"), (1700000001, 8, b"")], order, magic, 113))
    assert read(path, 5) == [
        Frame(5, 1700000000 * NANOSECONDS + 7 * factor, 113, b"one", 3),
        Frame(6, 1700000001 * NANOSECONDS + 8 * factor, 113, b"", 0),
    ]


def test_the_length_of_the_check_sequence_is_no_part_of_the_link_type(tmp_path: Path) -> None:
    path = tmp_path / "a.pcap"
    path.write_bytes(pcap_file([(1, 0, b"x")], link=0x14000001))
    assert read(path)[0].link == 1


def test_a_packet_that_a_snapshot_length_cut_keeps_its_length(tmp_path: Path) -> None:
    path = tmp_path / "a.pcap"
    path.write_bytes(pcap_file([]) + struct.pack("<IIII", 1, 2, 3, 1500) + b"abc")
    assert read(path) == [Frame(1, NANOSECONDS + 2000, 1, b"abc", 1500)]


@pytest.mark.parametrize("name", ["one member", "several members"])
def test_gzip_is_taken_off(tmp_path: Path, name: str) -> None:
    packets = [(i, 0, os.urandom(900)) for i in range(1000)]
    plain = pcap_file(packets)
    path = tmp_path / "a.pcap.gz"
    cuts = [0, len(plain)] if name == "one member" else [0, 3, 70000, 70001, len(plain)]
    path.write_bytes(b"".join(gzip.compress(plain[a:b]) for a, b in pairwise(cuts)))
    with open_capture(str(path)) as capture:
        assert [frame.data for frame in capture] == [data for _, _, data in packets]
        assert capture.position == capture.size == path.stat().st_size
        assert capture.warnings == []


def test_position_and_size_serve_a_progress_bar(tmp_path: Path) -> None:
    path = tmp_path / "a.pcap"
    path.write_bytes(pcap_file([(i, 0, bytes(1000)) for i in range(1000)]))
    with open_capture(str(path)) as capture:
        positions = [capture.position for _ in capture]
        assert capture.size == path.stat().st_size
    assert positions == sorted(positions)
    assert positions[0] < positions[-1] == path.stat().st_size


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_standard_input(pack: type[bytes]) -> None:
    program = "from monitor.capture.pcap import *; print([f.data for f in open_capture('-')])"
    data = pack(pcap_file([(1, 0, b"one"), (2, 0, b"two")]))
    result = subprocess.run([sys.executable, "-c", program], input=data, capture_output=True, check=True)
    assert result.stdout.decode().strip() == "[b'one', b'two']"


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_cut_off_tail_is_read_up_to_and_told(tmp_path: Path, pack: type[bytes]) -> None:
    whole = [(1, 0, b"first packet"), (2, 0, b"second packet")]
    data = pack(pcap_file(whole))
    path = tmp_path / "a.pcap"
    ends = {24: 0, 24 + 28: 1, len(data): 2} if pack is bytes else {len(data): 2}
    for length in range(24 if pack is bytes else 4, len(data) + 1):
        path.write_bytes(data[:length])
        try:
            with open_capture(str(path)) as capture:
                frames = list(capture)
        except CaptureError:
            if pack is bytes:
                raise
            continue  # so short that gzip gave nothing
        assert [frame.data for frame in frames] == [d for _, _, d in whole][: len(frames)]
        if length in ends:
            assert len(frames) == ends[length]
            assert capture.warnings == []
        else:
            assert len(capture.warnings) >= 1
            assert "cut off" in capture.warnings[0]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "the file is empty"),
        (b"hello, world, this is text", "it begins with 68 65 6c 6c at octet 0"),
        (b"\x28\xb5\x2f\xfd" + bytes(50), "it is compressed with zstd"),
        (struct.pack("<IHHiIII", 0xA1B2C3D4, 3, 0, 0, 0, 0, 1), "pcap version 3 at octet 4"),
        (gzip.compress(b"hello"), "it begins with 68 65 6c 6c"),
        (pcap_file([])[:4], "cut off in the file header"),
        (pcap_file([])[:23], "cut off in the file header"),
    ],
)
def test_what_is_no_capture_is_told_in_one_line(tmp_path: Path, content: bytes, told: str) -> None:
    path = tmp_path / "a.pcap"
    path.write_bytes(content)
    with pytest.raises(CaptureError) as caught:
        open_capture(str(path))
    assert told in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_cannot_be_opened_is_told(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match=r"nowhere\.pcap: cannot be opened: No such file"):
        open_capture(str(tmp_path / "nowhere.pcap"))
    with pytest.raises(CaptureError, match="cannot be opened: Is a directory"):
        open_capture(str(tmp_path))
    with pytest.raises(CaptureError, match="cannot be opened"):
        open_capture("a\0b")


def test_an_absurd_packet_length_is_damage_with_its_offset(tmp_path: Path) -> None:
    path = tmp_path / "a.pcap"
    path.write_bytes(pcap_file([(1, 0, b"good")]) + struct.pack("<IIII", 0, 0, 0xFFFFFFFF, 1) + bytes(100))
    frames: list[Frame] = []
    with pytest.raises(CaptureError, match="damaged at octet 44: a packet of 4294967295 octets"):
        frames.extend(open_capture(str(path)))
    with open_capture(str(path)) as capture:
        assert next(iter(capture)).data == b"good"


def test_corrupt_gzip_is_damage(tmp_path: Path) -> None:
    data = bytearray(gzip.compress(pcap_file([(i, 0, os.urandom(500)) for i in range(2000)])))
    data[len(data) // 2 : len(data) // 2 + 400] = os.urandom(400)
    path = tmp_path / "a.pcap.gz"
    path.write_bytes(data)
    with pytest.raises(CaptureError, match=r"gzip data is corrupt|damaged at octet"):
        read(path)


def test_octets_after_the_gzip_data_are_told(tmp_path: Path) -> None:
    path = tmp_path / "a.pcap.gz"
    path.write_bytes(gzip.compress(pcap_file([(1, 0, b"x")])) + bytes(10))
    with open_capture(str(path)) as capture:
        assert len(list(capture)) == 1
    assert capture.warnings == [f"{path}: octets after the end of the gzip data are ignored"]


def test_memory_stays_flat_whatever_gzip_unpacks_to(tmp_path: Path) -> None:
    record = struct.pack("<IIII", 1, 0, 60000, 60000) + bytes(60000)
    path = tmp_path / "bomb.pcap.gz"
    with gzip.open(path, "wb", compresslevel=6) as file:
        file.write(pcap_file([]))
        for _ in range(1500):
            file.write(record)
    assert path.stat().st_size < 200_000
    tracemalloc.start()
    try:
        with open_capture(str(path)) as capture:
            assert sum(len(frame.data) for frame in capture) == 90_000_000
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4_000_000


@given(st.binary(max_size=400), st.sampled_from([b"", pcap_file([]), pcap_file([], ">", 0xA1B23C4D)]))
def test_garbage_gives_frames_or_the_capture_error(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, head: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "garbage.pcap"
    path.write_bytes(head + data)
    try:
        for frame in Capture(str(path)):
            assert len(frame.data) <= pcap.MAX_PACKET
    except CaptureError:
        pass


def test_the_writer_writes_what_is_read_back(tmp_path: Path) -> None:
    frames = [
        Frame(1, 1700000000_123456789, 276, b"abc", 3),
        Frame(2, 0, 276, b"", 0),
        Frame(3, (1 << 32) * NANOSECONDS - 1, 276, bytes(70000), 80000),
    ]
    path = tmp_path / "a.pcap"
    with PcapWriter(path, 276) as writer:
        for frame in frames:
            writer.write(frame)
    assert read(path) == frames
    file = io.BytesIO()
    with PcapWriter(file, 276) as writer:
        for frame in frames:
            writer.write(frame)
    assert file.getvalue() == path.read_bytes()
    with pytest.raises(ValueError, match="link type 1 in a capture of 276"):
        writer.write(Frame(1, 0, 1, b"", 0))
    with pytest.raises(ValueError, match="does not fit"):
        writer.write(Frame(1, -1, 276, b"", 0))


@pytest.mark.oracle
def test_dpkt_reads_what_the_writer_wrote(tmp_path: Path) -> None:
    path = tmp_path / "a.pcap"
    with PcapWriter(path, 1) as writer:
        writer.write(Frame(1, 1700000000_250000000, 1, b"abc", 3))
    with path.open("rb") as file:
        reader = dpkt.pcap.Reader(file)
        assert reader.datalink() == 1
        assert [(float(time), data) for time, data in reader] == [(1700000000.25, b"abc")]


@needs_corpora
@pytest.mark.oracle
@pytest.mark.parametrize("path", captures(), ids=lambda path: path.name)
def test_frames_are_those_that_dpkt_reads(path: Path) -> None:
    with path.open("rb") as file:
        theirs = list(dpkt.pcap.UniversalReader(file))
    ours = read(path)
    assert [frame.data for frame in ours] == [data for _, data in theirs]
    for frame, (time, _) in zip(ours, theirs, strict=True):
        assert abs(frame.time - int(time * NANOSECONDS)) < 1000


@needs_corpora
@pytest.mark.oracle
@pytest.mark.skipif(not shutil.which("capinfos"), reason="capinfos is not installed")
@pytest.mark.parametrize("path", captures(), ids=lambda path: path.name)
def test_frame_counts_are_those_of_capinfos(path: Path) -> None:
    output = subprocess.run(["capinfos", "-TrcM", path], capture_output=True, check=True, text=True).stdout
    assert len(read(path)) == int(output.split("\t")[-1])
