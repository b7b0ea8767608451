"""Telling SIP from the rest of the traffic, and cutting streams into messages."""

import pytest
from sip_samples import SDP, request

from monitor.exceptions import ExceptionName
from monitor.sip.framing import MAX_MESSAGE, Framed, StreamFramer, Unframed, is_keepalive, looks_like_sip
from monitor.sip.header import MAX_HEADER_SECTION
from monitor.sip.message import parse


@pytest.mark.parametrize(
    "payload",
    [
        b"INVITE sip:a@b SIP/2.0\r\n",
        b"invite sip:a@b sip/2.0\n",
        b"\r\n\r\n  INVITE sip:a@b SIP/2.0\r\n",
        b"SIP/2.0 200 OK\r\n",
        b"sip / 2.0 100\r",
        b"!interesting-Method0123456789_*+`.%indeed'~ sip:x SIP/2.0\r\n",
        b"INVITE\tbob\tSIP/2.0\n",
        b"INVITE sip:a@b ; lr  SIP / 7.0 \r\n",
        b"INVITE sip:a@b\r\nVia: x",
        b"\0\0\0\0OPTIONS tel:+1 SIP/2.0\r",
    ],
)
def test_sip(payload: bytes) -> None:
    assert looks_like_sip(payload)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\r\n\r\n",
        b"NOTIFY * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\n\r\n",
        b"M-SEARCH * HTTP/1.1\r\nST: urn:sip:SIP/2.0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: SIP/2.0\r\n\r\n",
        b"DESCRIBE rtsp://example.com/ RTSP/1.0\r\nCSeq: 1\r\n\r\n",
        b"RTSP/1.0 200 OK\r\n\r\n",
        b"GET sip:a@b HTTP/1.1\r\n\r\n",
        b"<134>Oct 11 22:14:15 host proxy: INVITE sip:a@b SIP/2.0",
        b"Oct 11 22:14:15 host proxy: INVITE sip:a@b SIP/2.0",
        b"\0\1\0\0\x21\x12\xa4\x42" + bytes(12),
        b"\x80\x00" + b"SIP/2.0 200 OK" * 10,
        b"AB\1\0\0\1\0\0\0\0\0\0\x03sip\x07example\x03org\0\0\x23\0\1",
        b"v=0\r\ns=SIP/2.0\r\n",
    ],
)
def test_not_sip(payload: bytes) -> None:
    assert not looks_like_sip(payload)


def test_keepalives() -> None:
    assert is_keepalive(b"\r\n\r\n")
    assert is_keepalive(b"\0\0\0\0")
    assert is_keepalive(b"")
    assert not is_keepalive(b"\r\nx")


def raws(found: list[Framed | Unframed]) -> list[bytes]:
    return [one.raw for one in found if isinstance(one, Framed)]


def errors(found: list[Framed | Unframed]) -> list[ExceptionName]:
    return [one.error.name for one in found if isinstance(one, Unframed)]


def test_several_messages_in_one_feed() -> None:
    one, two = request(body=SDP), request(call_id=b"other")
    framer = StreamFramer()
    found = framer.feed(b"\r\n\r\n" + one + b"\r\n" + two, 1000)
    assert found == [
        Framed(one, 1004, 1004 + len(one)),
        Framed(two, 1006 + len(one), 1006 + len(one) + len(two)),
    ]
    assert framer.pending == 0
    assert framer.speaks_sip


def test_a_message_over_hundreds_of_feeds() -> None:
    raw = request(body=b"x" * 60000, content_type=b"application/pkcs7-mime")
    framer = StreamFramer()
    found = []
    for offset in range(0, len(raw), 100):
        found += framer.feed(raw[offset : offset + 100], offset)
        assert found or framer.pending == min(offset + 100, len(raw))
    assert found == [Framed(raw, 0, len(raw))]


def test_a_retransmitted_stretch_is_taken_once() -> None:
    raw = request(body=SDP)
    framer = StreamFramer()
    framer.feed(raw[:50], 0)
    assert raws(framer.feed(raw[20:], 20)) == [raw]


def test_after_a_gap_it_goes_on_at_the_next_start_line() -> None:
    one, two = request(body=SDP), request(call_id=b"other")
    framer = StreamFramer()
    framer.feed(one[:100], 0)
    found = framer.feed(one[200:] + two, 200, gap=True)
    assert errors(found) == [ExceptionName.TRUNCATED, ExceptionName.TRUNCATED]
    assert raws(found) == [two]


def test_a_stream_picked_up_in_the_middle() -> None:
    raw = request(body=SDP)
    framer = StreamFramer()
    assert raws(framer.feed(SDP[30:] + raw, 5000)) == [raw]


def test_garbage_between_messages_is_told_once() -> None:
    raw = request()
    framer = StreamFramer()
    found = framer.feed(raw + b"junk\r\nmore junk\r\n", 0)
    found += framer.feed(b"and more\r\n" + raw, 2 * len(raw) + 1000)
    assert raws(found) == [raw, raw]
    found = StreamFramer().feed(raw + b"junk\r\nmore junk\r\n" + raw, 0)
    assert errors(found) == [ExceptionName.MALFORMED]


def test_a_body_that_content_length_leaves_out_is_ambiguous() -> None:
    found = StreamFramer().feed(request(body=SDP, length=0), 0)
    assert errors(found) == [ExceptionName.AMBIGUOUS]


@pytest.mark.parametrize(
    ("extra", "length", "name"),
    [
        ((b"Content-Length: 3",), None, ExceptionName.AMBIGUOUS),
        ((), -1, ExceptionName.AMBIGUOUS),
    ],
)
def test_lengths_in_doubt(extra: tuple[bytes, ...], length: int | None, name: ExceptionName) -> None:
    framer = StreamFramer()
    found = framer.feed(request(*extra, body=SDP, length=length), 0)
    assert name in [trouble for trouble, _ in parse(raws(found)[0], stream=True).troubles]


def test_limits() -> None:
    framer = StreamFramer()
    found = framer.feed(request(length=MAX_MESSAGE), 0)
    assert errors(found) == [ExceptionName.LIMIT]
    assert framer.pending == 0
    later = request()
    assert raws(framer.feed(b"x" * 5000 + b"\r\n" + later, len(request(length=MAX_MESSAGE)))) == [later]

    endless = b"INVITE sip:a@b SIP/2.0\r\n" + b"X: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n" * 10000
    whole = StreamFramer().feed(endless, 0)
    framer, pieces, most = StreamFramer(), [], 0
    for offset in range(0, len(endless), 1460):
        pieces += framer.feed(endless[offset : offset + 1460], offset)
        most = max(most, framer.pending)
    assert errors(whole) == errors(pieces) == [ExceptionName.LIMIT]
    assert most <= MAX_HEADER_SECTION


@pytest.mark.parametrize(
    "line",
    [
        b"\x16\x03\x01\x02\x00" + bytes(range(256)) * 5,
        b"220 mail.example.com ESMTP\r\n" * 50,
        b"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n" + b"<p>text</p>" * 100,
        b"A" * 1460,
    ],
)
def test_other_streams_are_let_by(line: bytes) -> None:
    framer = StreamFramer()
    for number in range(300):
        assert framer.feed(line, number * len(line)) == []
    assert framer.pending <= 64
    assert not framer.speaks_sip
