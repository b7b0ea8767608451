"""TCP streams: whatever the segmentation, the stream comes out; whatever may mislead is told."""

import random
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.exceptions import ExceptionName
from monitor.wire import stream as limits
from monitor.wire import tcp
from monitor.wire.flow import Flow, Segment, WireError
from monitor.wire.tcp import ACK, FIN, RST, SYN, URG, Delivery, Streams

THERE = Flow(b"\x0a\0\0\1", 5060, b"\x0a\0\0\2", 5061, "tcp")
BACK = THERE.reversed()
WRAP = 1 << 32
AMBIGUOUS, LIMIT, TRUNCATED = ExceptionName.AMBIGUOUS, ExceptionName.LIMIT, ExceptionName.TRUNCATED


class Conversation:
    """Two ends that talk past a ``Streams``, numbered from their initial sequence numbers."""

    def __init__(self, there: int = 1000, back: int = 5000) -> None:
        self.streams = Streams()
        self.initial = {THERE: there, BACK: back}
        self.time = 0

    def open(self) -> "Conversation":
        self.say(-1, flags=SYN)
        self.say(-1, flags=SYN | ACK, flow=BACK, acknowledges=0)
        return self

    def say(
        self,
        offset: int,
        payload: bytes = b"",
        *,
        flags: int = ACK,
        flow: Flow = THERE,
        acknowledges: int = 0,
        missing: int = 0,
        trouble: WireError | None = None,
    ) -> list[Delivery]:
        """Send a segment whose first octet is at a stream offset; what it brought about."""
        sequence = (self.initial[flow] + 1 + offset) % WRAP
        acknowledgment = (self.initial[flow.reversed()] + 1 + acknowledges) % WRAP
        segment = Segment(flow, sequence, acknowledgment, flags, payload, trouble, missing)
        self.time += 1000
        return list(chain(self.streams.feed(segment, self.time)))

    def acknowledge(self, offset: int) -> list[Delivery]:
        """The other end acknowledges all up to an offset."""
        return self.say(0, flow=BACK, acknowledges=offset)


def chain(delivery: Delivery | None) -> Iterator[Delivery]:
    while delivery:
        yield delivery
        delivery = delivery.also


def name(delivery: Delivery) -> ExceptionName | None:
    return delivery.trouble.name if delivery.trouble else None


def test_in_order() -> None:
    talk = Conversation().open()
    [one] = talk.say(0, b"hello ")
    [two] = talk.say(6, b"world")
    assert (one.start, one.end, one.data, one.data_start) == (0, 6, b"hello ", 0)
    assert (two.start, two.end, two.data, two.data_start) == (6, 11, b"world", 6)
    assert one.stream is two.stream
    assert one.stream.flow == THERE
    assert not one.gap
    assert not two.gap
    assert one.trouble is two.trouble is None


def test_the_two_directions_are_two_streams() -> None:
    talk = Conversation().open()
    [one] = talk.say(0, b"request")
    [two] = talk.say(0, b"response", flow=BACK, acknowledges=7)
    assert two.stream is not one.stream
    assert two.stream.flow == BACK
    assert two.data == b"response"


def test_bare_acknowledgments_deliver_nothing() -> None:
    talk = Conversation().open()
    assert talk.say(0) == []
    assert talk.acknowledge(0) == []


def test_out_of_order_octets_wait() -> None:
    talk = Conversation().open()
    [early] = talk.say(6, b"world")
    assert (early.start, early.end, early.data) == (6, 11, b"")
    [late] = talk.say(0, b"hello ")
    assert (late.start, late.end, late.data, late.data_start) == (0, 6, b"hello world", 0)
    assert late.trouble is None
    assert not late.gap


def test_a_retransmission_gives_its_place_and_no_octets() -> None:
    talk = Conversation().open()
    talk.say(0, b"hello")
    [again] = talk.say(0, b"hello")
    assert (again.start, again.end, again.data, again.trouble) == (0, 5, b"", None)


def test_a_retransmission_with_more_gives_what_is_new() -> None:
    talk = Conversation().open()
    talk.say(0, b"hello")
    [again] = talk.say(0, b"hello world")
    assert (again.start, again.end, again.data, again.data_start) == (0, 11, b" world", 5)
    assert again.trouble is None


def test_a_retransmission_that_differs_is_ambiguous() -> None:
    talk = Conversation().open()
    talk.say(0, b"hello")
    [again] = talk.say(0, b"jello")
    assert (again.data, name(again)) == (b"", AMBIGUOUS)
    [beyond] = talk.say(3, b"xx world")
    assert (beyond.data, name(beyond)) == (b" world", AMBIGUOUS)


def test_waiting_octets_that_are_contradicted_are_ambiguous_also_when_delivered() -> None:
    talk = Conversation().open()
    talk.say(3, b"DEF")
    [contradiction] = talk.say(2, b"cDxF")
    assert (contradiction.data, name(contradiction)) == (b"", AMBIGUOUS)
    [filled] = talk.say(0, b"ab")
    assert (filled.data, name(filled)) == (b"abcDEF", AMBIGUOUS)
    [after] = talk.say(6, b"ghi")
    assert (after.data, after.trouble) == (b"ghi", None)


def test_the_sequence_number_wraps() -> None:
    talk = Conversation(there=WRAP - 4).open()
    [one] = talk.say(0, b"abcdef")
    [two] = talk.say(6, b"ghi")
    assert (one.data, two.data, two.data_start) == (b"abcdef", b"ghi", 6)


def test_a_stream_longer_than_the_sequence_space() -> None:
    talk = Conversation().open()
    [one] = talk.say(0, b"x")
    one.stream.skip(WRAP * 3 + 5, 0)
    [two] = talk.say(WRAP * 3 + 5, b"abc")
    assert (two.start, two.data_start, two.data, two.gap) == (WRAP * 3 + 5, WRAP * 3 + 5, b"abc", True)


def test_octets_in_the_syn() -> None:
    talk = Conversation()
    [one] = talk.say(-1, b"early", flags=SYN)
    # It is one octet ahead of its sequence number, which the SYN takes.
    assert (one.start, one.data, one.gap) == (0, b"early", False)
    [again] = talk.say(0, b"early data")
    assert (again.data, again.trouble) == (b" data", None)


def test_a_stream_picked_up_in_its_midst_begins_with_a_gap() -> None:
    talk = Conversation()
    [one] = talk.say(777, b"abc")
    [two] = talk.say(780, b"def")
    assert (one.data, one.data_start, one.gap) == (b"abc", 0, True)
    assert (two.data, two.data_start, two.gap) == (b"def", 3, False)
    assert one.trouble is two.trouble is None


def test_octets_from_before_the_pick_up_are_ambiguous() -> None:
    talk = Conversation()
    talk.say(777, b"def")
    [one] = talk.say(774, b"abc")
    assert (one.data, name(one)) == (b"", AMBIGUOUS)


def test_the_end_closes() -> None:
    talk = Conversation().open()
    [early] = talk.say(5, b"world", flags=FIN | ACK)
    assert not early.closed
    [late] = talk.say(0, b"hello")
    assert (late.data, late.closed) == (b"helloworld", True)
    [again] = talk.say(5, b"world", flags=FIN | ACK)
    assert (again.data, again.closed, again.trouble) == (b"", True, None)


def test_octets_after_the_end_are_ambiguous() -> None:
    talk = Conversation().open()
    talk.say(0, b"all", flags=FIN | ACK)
    [after] = talk.say(3, b"more")
    assert (after.data, name(after)) == (b"more", AMBIGUOUS)


def test_two_ends_are_ambiguous() -> None:
    talk = Conversation().open()
    talk.say(5, flags=FIN | ACK)
    [other] = talk.say(3, flags=FIN | ACK)
    assert name(other) is AMBIGUOUS


def test_a_reset_at_the_octet_expected_closes_and_forgets_nothing() -> None:
    talk = Conversation().open()
    talk.say(0, b"INVITE")
    [reset] = talk.say(6, flags=RST)
    assert (reset.closed, reset.data) == (True, b"")
    [after] = talk.say(6, b" sip:")
    assert (after.stream is reset.stream, after.data, name(after)) == (True, b" sip:", AMBIGUOUS)


@pytest.mark.parametrize("offset", [5, 7, -1, 1 << 20, 1 << 30])
def test_a_blind_reset_does_nothing(offset: int) -> None:
    talk = Conversation().open()
    talk.say(0, b"INVITE")
    assert talk.say(offset, flags=RST) == []
    [after] = talk.say(6, b" sip:")
    assert (after.data, after.trouble, after.closed) == (b" sip:", None, False)
    assert talk.streams.counts["resets-ignored"] == 1


def test_a_reset_out_of_nowhere_begins_nothing() -> None:
    talk = Conversation()
    assert talk.say(0, b"connection refused", flags=RST) == []
    assert len(talk.streams) == 0


@pytest.mark.parametrize("octet", [b"", b"\0"])
def test_keep_alive_probes(octet: bytes) -> None:
    talk = Conversation().open()
    talk.say(0, b"hello")
    talk.acknowledge(5)
    assert all(d.trouble is None and not d.data for d in talk.say(4, octet))
    [after] = talk.say(5, b"world")
    assert (after.data, after.trouble) == (b"world", None)


def test_a_keep_alive_probe_before_the_first_octet() -> None:
    talk = Conversation().open()
    assert all(d.trouble is None and not d.data for d in talk.say(-1, b"\0"))
    [after] = talk.say(0, b"hello")
    assert (after.data, after.trouble, after.gap) == (b"hello", None, False)


def test_a_single_octet_that_nobody_acknowledged_is_compared() -> None:
    talk = Conversation().open()
    talk.say(0, b"hello")
    [again] = talk.say(4, b"\0")
    assert name(again) is AMBIGUOUS


def test_zero_window_probes() -> None:
    talk = Conversation().open()
    talk.say(0, b"hello")
    [probe] = talk.say(5, b"w")
    [again] = talk.say(5, b"w")
    [whole] = talk.say(5, b"world")
    assert (probe.data, again.data, whole.data) == (b"w", b"", b"orld")
    assert again.trouble is whole.trouble is None


def test_a_hole_that_the_other_side_acknowledged_is_given_up() -> None:
    talk = Conversation().open()
    talk.say(0, b"one")
    assert [d.data for d in talk.say(10, b"two")] == [b""]
    assert talk.acknowledge(9) == []
    [given] = talk.acknowledge(13)
    assert (given.stream.flow, given.data, given.data_start, given.gap) == (THERE, b"two", 10, True)
    [after] = talk.say(13, b"three")
    assert (after.data, after.gap) == (b"three", False)
    assert talk.streams.counts["holes-given-up"] == 1


def test_an_acknowledgment_with_octets_of_its_own_delivers_both() -> None:
    talk = Conversation().open()
    talk.say(10, b"two")
    talk.say(20, b"three")
    own, one, other = talk.say(0, b"ok", flow=BACK, acknowledges=25)
    assert (own.stream.flow, own.data) == (BACK, b"ok")
    assert (one.stream.flow, one.data, one.data_start, one.gap) == (THERE, b"two", 10, True)
    assert (other.stream.flow, other.data, other.data_start, other.gap) == (THERE, b"three", 20, True)


def test_an_acknowledgment_that_comes_before_the_octets_gives_up_nothing() -> None:
    talk = Conversation().open()
    assert talk.acknowledge(5) == []
    [late] = talk.say(0, b"hello")
    assert (late.data, late.gap) == (b"hello", False)


def test_octets_that_come_after_they_were_given_up_are_ambiguous() -> None:
    talk = Conversation().open()
    deliveries: list[Delivery] = []
    for start in range(10, 10 + limits.MAX_PENDING, 1 << 16):
        deliveries += talk.say(start, bytes(1 << 16))
    [given] = [delivery for delivery in deliveries if delivery.data]
    assert (given.data_start, given.gap, name(given)) == (10, True, LIMIT)
    [late] = talk.say(0, b"0123456789")
    assert (late.data, name(late)) == (b"", AMBIGUOUS)
    assert talk.streams.counts["pending-limit"] == 1


def test_a_hole_that_nobody_filled_for_long_is_given_up() -> None:
    talk = Conversation().open()
    talk.say(10, b"one")
    talk.time += limits.HOLE_TIMEOUT
    own, given = talk.say(20, b"two")
    assert own.data == b""
    assert (given.data, given.gap) == (b"one", True)


def test_the_end_of_the_capture_gives_up_every_hole() -> None:
    talk = Conversation().open()
    talk.say(10, b"one")
    talk.say(20, b"two")
    talk.say(5, b"three", flow=BACK)
    given = list(talk.streams.flush())
    assert [(d.data, d.data_start, d.gap) for d in given] == [
        (b"one", 10, True),
        (b"two", 20, True),
        (b"three", 5, True),
    ]
    assert list(talk.streams.flush()) == []


def test_octets_that_the_capture_cut_off_leave_a_gap() -> None:
    talk = Conversation().open()
    cut = WireError(TRUNCATED, "3 octets of 10")
    [one] = talk.say(0, b"abc", missing=7, trouble=cut)
    [two] = talk.say(10, b"next")
    assert (one.data, name(one), one.end) == (b"abc", TRUNCATED, 3)
    assert (two.data, two.data_start, two.gap, two.trouble) == (b"next", 10, True, None)


def test_a_segment_of_doubtful_fragments_is_ambiguous_also_when_it_waited() -> None:
    talk = Conversation().open()
    talk.say(3, b"def", trouble=WireError(AMBIGUOUS, "fragments"))
    [filled] = talk.say(0, b"abc")
    assert (filled.data, name(filled)) == (b"abcdef", AMBIGUOUS)


def test_urgent_data_is_ambiguous() -> None:
    talk = Conversation().open()
    [one] = talk.say(0, b"abc", flags=ACK | URG)
    assert name(one) is AMBIGUOUS


def test_a_segment_without_ack_does_not_enter_the_stream() -> None:
    talk = Conversation().open()
    [one] = talk.say(0, b"abc", flags=0)
    assert (one.data, name(one)) == (b"", AMBIGUOUS)
    [two] = talk.say(0, b"xyz")
    assert (two.data, two.trouble) == (b"xyz", None)


@pytest.mark.parametrize("offset", [limits.WINDOW + 100, -limits.WINDOW - 100, 1 << 31, 3 << 30])
def test_a_segment_far_off_is_no_part_of_the_stream_and_told(offset: int) -> None:
    talk = Conversation().open()
    [one] = talk.say(0, b"one")
    [stray] = talk.say(offset, b"stray")
    assert stray.stream is not one.stream
    assert (stray.data, stray.gap, name(stray)) == (b"stray", True, AMBIGUOUS)
    [two] = talk.say(3, b"two")
    assert two.stream is one.stream
    assert (two.data, two.gap, two.trouble) == (b"two", False, None)


def test_a_stream_far_off_that_is_acknowledged_takes_over() -> None:
    talk = Conversation().open()
    talk.say(0, b"one")
    talk.say(1 << 30, b"stray")
    talk.acknowledge((1 << 30) + 5)
    [after] = talk.say((1 << 30) + 5, b"after")
    assert (after.data, after.trouble) == (b"after", None)
    assert len(talk.streams) == 2


def test_a_new_syn_begins_a_new_incarnation() -> None:
    talk = Conversation().open()
    [old] = talk.say(0, b"old")
    talk.initial = {THERE: 1 << 30, BACK: 1 << 29}
    talk.open()
    [new] = talk.say(0, b"new")
    assert new.stream is not old.stream
    assert (new.data, new.data_start, new.gap, new.trouble) == (b"new", 0, False, None)
    assert len(talk.streams) == 2


def test_a_syn_near_the_old_one_is_settled_by_the_answer() -> None:
    talk = Conversation().open()
    [old] = talk.say(0, b"old")
    talk.initial = {THERE: 2000, BACK: 1 << 29}
    talk.say(-1, flags=SYN)
    [unsure] = talk.say(0, b"new")
    assert (unsure.data, name(unsure)) == (b"new", AMBIGUOUS)
    talk.say(-1, flags=SYN | ACK, flow=BACK, acknowledges=0)
    [sure] = talk.say(3, b"er")
    assert sure.stream is unsure.stream is not old.stream


def test_a_blind_syn_does_not_make_the_stream_forgotten() -> None:
    talk = Conversation().open()
    [one] = talk.say(0, b"one")
    talk.say(1 << 30, flags=SYN)
    [two] = talk.say(3, b"two")
    assert two.stream is one.stream
    assert (two.data, two.trouble) == (b"two", None)


def test_a_syn_sent_again_is_the_same_stream() -> None:
    talk = Conversation().open()
    [one] = talk.say(0, b"one")
    talk.open()
    [two] = talk.say(3, b"two")
    assert two.stream is one.stream


def test_a_stream_after_the_end_needs_no_syn() -> None:
    talk = Conversation().open()
    talk.say(0, b"old", flags=FIN | ACK)
    [new] = talk.say(1 << 30, b"new")
    assert (new.data, new.gap, new.trouble) == (b"new", True, None)


def test_incarnations_of_a_flow_are_bounded() -> None:
    talk = Conversation()
    for number in range(tcp.MAX_INCARNATIONS + 3):
        talk.say(number << 28, flags=SYN)
    assert len(talk.streams) == tcp.MAX_INCARNATIONS
    assert talk.streams.counts["incarnations-evicted"] == 3


def test_streams_are_bounded_and_the_rest_of_a_forgotten_one_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tcp, "MAX_STREAMS", 10)
    streams = Streams()

    def say(port: int, sequence: int, payload: bytes, time: int = 0) -> Delivery | None:
        flow = Flow(b"\x0a\0\0\1", port, b"\x0a\0\0\2", 5060, "tcp")
        return streams.feed(Segment(flow, sequence, 0, ACK, payload), time)

    say(1, 100, b"INVITE sip:bob")
    for port in range(2, 13):
        say(port, 100, b"x")
    assert len(streams) == 10
    assert streams.counts["streams-evicted"] == 2
    rest = say(1, 114, b"@example.org")
    assert rest is not None
    assert (rest.data, rest.gap, name(rest)) == (b"@example.org", True, LIMIT)
    later = say(99, 100, b"x", tcp.FORGOTTEN * 3)
    assert later is not None
    assert name(later) is LIMIT  # it has driven out another


def test_octets_are_bounded_and_those_longest_silent_go_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tcp, "MAX_OCTETS", 100_000)
    streams = Streams()

    def say(port: int, sequence: int, payload: bytes) -> Delivery:
        flow = Flow(b"\x0a\0\0\1", port, b"\x0a\0\0\2", 5060, "tcp")
        delivery = streams.feed(Segment(flow, sequence, 0, ACK, payload), 0)
        assert delivery is not None
        return delivery

    for port in range(1, 10):
        say(port, 0, b"x")
        say(port, 100, bytes(20_000))
        assert streams.size <= 100_000
    assert streams.counts["octets-evicted"] == 5
    kept = say(9, 1, bytes(99))
    assert (len(kept.data), kept.trouble) == (99 + 20_000, None)
    lost = say(1, 1, bytes(99))
    assert (len(lost.data), name(lost)) == (99, LIMIT)


def test_hostile_segments_stay_within_memory_and_in_books() -> None:
    talk = Conversation().open()
    for offset in range(2, 40_000, 2):
        talk.say(offset, b"x")
    assert talk.streams.size <= limits.MAX_PENDING * 2
    list(talk.streams.flush())
    assert talk.streams.size <= limits.MAX_TAIL * 2


@st.composite
def segmentations(draw: st.DrawFn) -> tuple[bytes, list[tuple[int, int]]]:
    """A stream, and segments that cover it: cut anywhere, overlapping, repeated, in any order."""
    data = draw(st.binary(min_size=1, max_size=200))
    cuts = sorted(draw(st.sets(st.integers(1, len(data)), max_size=12)) | {0, len(data)})
    parts = list(pairwise(cuts))
    place = st.integers(0, len(data))
    extra = draw(st.lists(st.tuples(place, place).map(lambda p: (min(p), max(p))), max_size=8))
    return data, draw(st.permutations(parts + [part for part in extra if part[0] < part[1]]))


@given(segmentations(), st.integers(0, WRAP - 1), st.booleans())
def test_any_segmentation_order_and_repetition_delivers_the_stream(
    segmentation: tuple[bytes, list[tuple[int, int]]], initial: int, end: bool
) -> None:
    data, parts = segmentation
    talk = Conversation(there=initial).open()
    delivered = b""
    for start, stop in parts:
        flags = ACK | FIN if end and stop == len(data) else ACK
        [delivery] = talk.say(start, data[start:stop], flags=flags)
        assert (delivery.start, delivery.end) == (start, stop)
        assert delivery.trouble is None
        assert not delivery.gap
        if delivery.data:
            assert delivery.data_start == len(delivered)
        delivered += delivery.data
    assert delivered == data
    assert delivery.stream.closed is end
    assert list(talk.streams.flush()) == []
    assert talk.streams.size == len(data)


@given(segmentations(), st.data())
def test_any_octet_changed_on_the_way_is_told(
    segmentation: tuple[bytes, list[tuple[int, int]]], draw: st.DataObject
) -> None:
    """Of two copies of an octet that differ, one is told of, in whatever order they come."""
    data, parts = segmentation
    at = draw.draw(st.integers(0, len(data) - 1))
    other = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
    start = draw.draw(st.integers(0, at))
    segments = [(a, data[a:b]) for a, b in parts]
    segments.insert(draw.draw(st.integers(0, len(segments))), (start, other[start : at + 1]))
    talk = Conversation().open()
    troubles = [name(d) for offset, payload in segments for d in talk.say(offset, payload)]
    assert AMBIGUOUS in troubles


@given(
    st.lists(st.tuples(st.integers(0, WRAP - 1), st.integers(0, 63), st.binary(max_size=30), st.booleans()))
)
def test_garbage_never_raises(segments: list[tuple[int, int, bytes, bool]]) -> None:
    streams = Streams()
    for time, (sequence, flags, payload, there) in enumerate(segments):
        flow = THERE if there else BACK
        for near in (sequence, sequence % 64):
            for delivery in chain(streams.feed(Segment(flow, near, sequence % 77, flags, payload), time)):
                assert delivery.stream.expected >= delivery.data_start + len(delivery.data)
    list(streams.flush())


def test_random_streams_with_loss_deliver_what_was_seen() -> None:
    """Segments lost to the capture leave gaps, and everything else comes out at its place."""
    source = random.Random(20240601)
    for _ in range(100):
        data = source.randbytes(2000)
        talk = Conversation().open()
        seen, deliveries = bytearray(len(data)), []
        for start in range(0, len(data), 100):
            if source.random() < 0.8:
                deliveries += talk.say(start, data[start : start + 100])
                seen[start : start + 100] = b"\1" * 100
            if source.random() < 0.3:
                deliveries += talk.acknowledge(start + 100)
        deliveries += talk.streams.flush()
        out = bytearray(len(data))
        for delivery in deliveries:
            assert delivery.data == data[delivery.data_start :][: len(delivery.data)]
            out[delivery.data_start : delivery.data_start + len(delivery.data)] = b"\1" * len(delivery.data)
        assert out == seen
