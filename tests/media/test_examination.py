"""Media of a capture: which packets are told to repeat a keystream, and that it is so."""

import random
import struct
from collections.abc import Callable, Sequence

import pytest
from frames import START, ipv4

from monitor.media import examination, keystream
from monitor.media.examination import Examination
from monitor.media.repeat import Harm, Repeat
from monitor.simulate.sdp import Key
from monitor.simulate.srtp import protected, speech
from monitor.wire.frame import NANOSECONDS, Frame
from monitor.wire.link import RAW

ALICE, BOB, CHARLES = ("192.0.2.1", 40000), ("192.0.2.2", 41000), ("192.0.2.66", 46000)
KEY = Key.fresh(random.Random(1))
OTHER = Key.fresh(random.Random(2))
SSRC = 0x1234

End = tuple[str, int]


class Wire:
    """Carries media packets, one every 20 ms."""

    def __init__(self) -> None:
        self.time = START
        self.frames: list[Frame] = []

    def carry(self, source: End, destination: End, packets: Sequence[bytes], cut: int = 0) -> None:
        for packet in packets:
            header = struct.pack("!HHHH", source[1], destination[1], 8 + len(packet), 0)
            data = ipv4(source[0], destination[0], 17, header + packet)
            kept = data[: len(data) - cut]
            self.frames.append(Frame(len(self.frames) + 1, self.time, RAW, kept, len(data)))
            self.time += NANOSECONDS // 50

    def wait(self, seconds: float) -> None:
        self.time += round(seconds * NANOSECONDS)

    def examined(self, *keys: Key) -> Examination:
        known = {bytes([number]) * 32: key.octets for number, key in enumerate(keys or (KEY,), 1)}
        examined = Examination(known, lambda flow, time: "")
        for frame in self.frames:
            examined.feed(frame)
        return examined


def only(examined: Examination) -> Repeat:
    (repeat,) = examined.repeats()
    return repeat


def test_a_recording_that_is_sent_again() -> None:
    wire = Wire()
    said = speech(KEY, SSRC, 5, 100)
    wire.carry(BOB, ALICE, said)
    wire.wait(60)
    wire.carry(CHARLES, ALICE, said[20:70])
    repeat = only(wire.examined())
    assert (repeat.harm, repeat.packets, repeat.identical) == (Harm.PACKETS_REPLAYED, 50, 50)
    assert (repeat.first_index, repeat.last_index) == (21, 70)
    assert (repeat.earlier_span.first_frame, repeat.earlier_span.last_frame) == (21, 70)
    assert (repeat.later_span.first_frame, repeat.later_span.last_frame) == (101, 150)
    assert repeat.earlier_span.end - repeat.earlier_span.start == 49 * NANOSECONDS // 50
    document = repeat.document()
    assert (document["earlier"]["source"], document["later"]["source"]) == (BOB[0], CHARLES[0])
    assert document["ssrc"] == "00001234"


def test_other_words_under_the_same_keystream() -> None:
    wire = Wire()
    wire.carry(BOB, ALICE, speech(KEY, SSRC, 5, 40))
    wire.wait(60)
    wire.carry(BOB, ALICE, speech(KEY, SSRC, 8, 30))
    repeat = only(wire.examined())
    silent = sum(
        one == other for one, other in zip(speech(KEY, SSRC, 5, 30), speech(KEY, SSRC, 8, 30), strict=True)
    )
    assert 0 < silent < 30
    assert (repeat.harm, repeat.packets, repeat.identical) == (Harm.KEYSTREAM_REUSED, 30, silent)


@pytest.mark.parametrize(
    "change",
    [
        lambda: speech(KEY, SSRC, 8, 50, first=51),  # the sequence goes on
        lambda: speech(KEY, SSRC + 1, 8, 50),
        lambda: speech(OTHER, SSRC, 8, 50),
    ],
    ids=("index", "ssrc", "key"),
)
def test_no_keystream_repeats_where_key_ssrc_or_index_is_another(
    change: Callable[[], list[bytes]],
) -> None:
    wire = Wire()
    wire.carry(BOB, ALICE, speech(KEY, SSRC, 5, 50))
    wire.wait(60)
    wire.carry(BOB, ALICE, change())
    examined = wire.examined(KEY, OTHER)
    assert examined.counts["verified"] == 100
    assert examined.repeats() == []


def test_addresses_prove_nothing() -> None:
    """What is not under the key is not taken for it, though it comes from the right place with the SSRC."""
    wire = Wire()
    wire.carry(BOB, ALICE, speech(KEY, SSRC, 5, 50))
    wire.wait(60)
    wire.carry(BOB, ALICE, speech(OTHER, SSRC, 5, 50))
    examined = wire.examined(KEY)
    assert examined.counts == {"rtp": 100, "verified": 50}
    assert examined.repeats() == []


def test_one_packet_seen_at_two_points_is_one_packet() -> None:
    wire = Wire()
    for packet in speech(KEY, SSRC, 5, 50):
        wire.carry(BOB, ALICE, [packet])
        wire.carry(("198.51.100.7", 5), ALICE, [packet])
        wire.carry(BOB, ALICE, [packet])
    examined = wire.examined()
    assert examined.counts["copies"] == 100
    assert examined.repeats() == []


def test_packets_that_overtake_each_other_make_one_stream() -> None:
    wire = Wire()
    said = speech(KEY, SSRC, 5, 100)
    rng = random.Random(3)
    wire.carry(BOB, ALICE, sorted(said, key=lambda packet: said.index(packet) + rng.randrange(30)))
    examined = wire.examined()
    assert [stream.packets for stream in examined.streams] == [100]
    assert examined.repeats() == []


def test_the_rollover_counter_is_followed() -> None:
    wire = Wire()
    wire.carry(BOB, ALICE, speech(KEY, SSRC, 5, 60, first=65500))
    wire.wait(60)
    # This joins in the middle, after two rollovers.
    later = [protected(KEY, SSRC, (2 << 16) + number, b"later" * 30) for number in range(65500 - 65536, 30)]
    wire.carry(CHARLES, ALICE, later)
    examined = wire.examined()
    assert examined.counts["verified"] == 60 + len(later)
    repeat_from = [stream.highest for stream in examined.streams]
    assert repeat_from == [65559, (2 << 16) + 29]
    assert examined.repeats() == []
    wire.carry(CHARLES, ALICE, speech(KEY, SSRC, 7, 10, first=65530))
    repeat = only(wire.examined())
    assert (repeat.first_index, repeat.last_index) == (65530, 65539)


def test_a_stream_that_begins_anew_at_the_same_place_is_another() -> None:
    wire = Wire()
    for pitch in (5, 8):
        wire.carry(BOB, ALICE, speech(KEY, SSRC, pitch, 100))
    examined = wire.examined()
    assert [stream.packets for stream in examined.streams] == [100, 100]
    assert only(examined).packets == 100


def test_a_key_that_comes_in_the_middle_of_a_source_is_found() -> None:
    wire = Wire()
    wire.carry(BOB, ALICE, speech(OTHER, SSRC, 5, 300))
    wire.wait(2)
    wire.carry(BOB, ALICE, speech(KEY, SSRC, 5, 100, first=301))
    assert wire.examined(KEY).counts["verified"] == 100
    wire = Wire()
    wire.carry(BOB, ALICE, speech(OTHER, SSRC, 5, 300) + speech(KEY, SSRC, 5, 100, first=301))
    assert 100 - examination.TRY_AGAIN <= wire.examined(KEY).counts["verified"] <= 100


@pytest.mark.parametrize("suite", ["AES_CM_128_HMAC_SHA1_32", "AES_256_CM_HMAC_SHA1_80", "AEAD_AES_256_GCM"])
def test_other_suites(suite: str) -> None:
    key = Key.fresh(random.Random(suite), suite)
    wire = Wire()
    wire.carry(BOB, ALICE, speech(key, SSRC, 5, 50))
    wire.wait(60)
    wire.carry(BOB, ALICE, speech(key, SSRC, 8, 50))
    repeat = only(wire.examined(key))
    assert (repeat.packets, repeat.document()["suite"]) == (50, suite)


def test_one_short_tag_alone_proves_nothing() -> None:
    key = Key.fresh(random.Random(4), "AES_CM_128_HMAC_SHA1_32")
    wire = Wire()
    wire.carry(BOB, ALICE, speech(key, SSRC, 5, 50))
    wire.carry(CHARLES, ALICE, speech(key, SSRC, 8, 1))
    assert wire.examined(key).repeats() == []
    wire.carry(CHARLES, ALICE, speech(key, SSRC, 8, 1, first=2))
    assert only(wire.examined(key)).packets == 2


def test_cut_packets_are_counted_and_not_told_of() -> None:
    wire = Wire()
    wire.carry(BOB, ALICE, speech(KEY, SSRC, 5, 50))
    wire.wait(60)
    wire.carry(BOB, ALICE, speech(KEY, SSRC, 8, 50), cut=60)
    examined = wire.examined()
    assert (examined.counts["cut"], examined.repeats()) == (50, [])


def test_what_is_no_media_is_passed_over() -> None:
    wire = Wire()
    rng = random.Random(5)
    wire.carry(BOB, ALICE, [rng.randbytes(rng.randrange(80)) for _ in range(500)])
    wire.carry(BOB, ALICE, [b"\x80\xc8" + bytes(30), b"INVITE sip:alice@example.org SIP/2.0\r\n\r\n"])
    wire.frames.append(Frame(len(wire.frames) + 1, wire.time, RAW, b"\x45", 1))
    assert wire.examined().counts["verified"] == 0


@pytest.mark.parametrize(
    ("module", "limit", "most"),
    [
        (examination, "MAX_SOURCES", 1),
        (examination, "MAX_STREAMS", 1),
        (examination, "MAX_REPEATS", 0),
        (examination, "MAX_TRIALS", 1),
        (keystream, "MAX_PAGES", 0),
    ],
)
def test_limits_are_said(module: object, limit: str, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, limit, most)
    wire = Wire()
    wire.carry(BOB, ALICE, speech(KEY, SSRC, 5, 50))
    wire.wait(60)
    wire.carry(CHARLES, ALICE, speech(KEY, SSRC, 8, 50) + speech(OTHER, SSRC + 1, 8, 50))
    examined = wire.examined()
    assert examined.counts["limited"] > 0
    assert examined.repeats() == []
