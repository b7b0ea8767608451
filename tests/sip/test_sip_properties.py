"""Properties: nothing but the layer's error escapes, and how a stream is cut never matters."""

import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sip_samples import SDP, Reports, request

from monitor.sip import framing, mime, sdp
from monitor.sip.error import SipError
from monitor.sip.framing import Framed, StreamFramer
from monitor.sip.message import parse, parse_fragment

MULTIPART = (
    b"--b\r\nContent-Type: application/sdp\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" + SDP + b"\r\n--b\r\n"
    b'Content-Type: multipart/alternative; boundary="c"\r\n\r\n--c\r\n\r\nx\r\n--c--\r\n--b--\r\n'
)
SEEDS = [
    request(body=SDP),
    request(b"Content-Encoding: gzip", body=SDP),
    request(b"Content-Transfer-Encoding: base64", body=b"dj0w"),
    request(body=MULTIPART, content_type=b"multipart/mixed;boundary=b"),
    request(body=request(body=SDP), content_type=b"message/sip"),
    request(start=b"SIP/2.0 200 OK", body=SDP),
]
TOKENS = [
    b"\r\n", b"\n", b"\r", b"\0", b" ", b"\t", b":", b";", b",", b'"', b"\\", b"<", b">", b"=", b"--", b"--b",
    b"SIP/2.0", b"Via: ", b"Content-Length: 5\r\n", b"l: 99999\r\n", b"\r\n\r\n", b"\n\n", b"a=crypto:1 ",
    b"inline:", b"a=acap:1 ", b"boundary=", b"tag=", b"\xff", b"m=", b"c=", b"2^20", b"|", b"30",
]  # fmt: skip


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A message with a few octets cut, doubled, replaced or put in."""
    octets = draw(st.sampled_from(SEEDS))
    for _ in range(draw(st.integers(0, 6))):
        at = draw(st.integers(0, len(octets)))
        upto = min(len(octets), at + draw(st.integers(0, 20)))
        octets = octets[:at] + draw(st.sampled_from([*TOKENS, b"", octets[at:upto] * 2])) + octets[upto:]
    return octets


def read(raw: bytes, depth: int = 0) -> None:
    """Read a message as deep as it goes."""
    reports = Reports()
    for reader in (parse, parse_fragment):
        try:
            message = reader(raw)
        except SipError:
            continue
        body = mime.body(message, reports)
        entities = [] if body is None else [body]
        while entities and len(reports) < 100:
            entity = entities.pop()
            sdp.keys(entity.content, reports)
            if entity.media_type.startswith("multipart/"):
                found = mime.parts(entity, reports)
                assert sum(len(part.raw) for part in found) <= len(entity.content)
                entities += found
            if entity.media_type.startswith("message/") and depth < 3:
                read(entity.content, depth + 1)
        str(message).encode("utf-8")
    framing.looks_like_sip(raw)


@settings(max_examples=400)
@given(mutated())
def test_mutated_messages_are_read_or_refused(raw: bytes) -> None:
    read(raw)
    try:
        parse(raw, stream=True)
    except SipError:
        return


@settings(max_examples=200)
@given(st.binary(max_size=300))
def test_any_octets_are_read_or_refused(raw: bytes) -> None:
    read(raw)
    read(b"INVITE sip:a@b SIP/2.0\r\n" + raw)
    sdp.keys(b"a=crypto:" + raw, Reports())
    try:
        mime.parse_entity(raw)
    except SipError:
        return


@settings(max_examples=200)
@given(st.lists(mutated(), min_size=1, max_size=4), st.randoms(use_true_random=False))
def test_cutting_a_stream_changes_nothing(messages: list[bytes], source: random.Random) -> None:
    stream = b"".join(messages)
    whole = StreamFramer()
    expected = [one for one in whole.feed(stream, 7) if isinstance(one, Framed)]
    pieces, found, offset = StreamFramer(), [], 0
    while offset < len(stream):
        length = source.choice([1, 2, 3, 10, 100, 1000])
        found += pieces.feed(stream[offset : offset + length], 7 + offset)
        offset += length
    assert [one for one in found if isinstance(one, Framed)] == expected
    assert pieces.pending <= len(stream)
    for one in expected:
        assert stream[one.start - 7 : one.end - 7] == one.raw


@settings(max_examples=100)
@given(st.lists(st.sampled_from(SEEDS), min_size=1, max_size=5), st.data())
def test_every_message_of_a_clean_stream_is_found(messages: list[bytes], data: st.DataObject) -> None:
    gaps = [data.draw(st.sampled_from([b"", b"\r\n", b"\r\n\r\n"])) for _ in messages]
    stream = b"".join(gap + raw for gap, raw in zip(gaps, messages, strict=True))
    cuts = sorted({0, len(stream), *data.draw(st.lists(st.integers(0, len(stream)), max_size=20))})
    framer, found = StreamFramer(), []
    for begin, end in itertools.pairwise(cuts):
        found += framer.feed(stream[begin:end], begin)
    assert [one.raw for one in found if isinstance(one, Framed)] == messages
    assert len(found) == len(messages)


RUNS = b' |\t|;|,|"|\\|=|<|:|a|a b:|\r|\n|\r\n|--b|M|=\r\n'.split(b"|")
INVITE = b"INVITE sip:a@b SIP/2.0\r\n"
FRONTS = [
    b"",
    b"A b:",
    b"A ",
    b"SIP/2.0 ",
    INVITE + b"From: ",
    INVITE + b"From: <a>;tag",
    INVITE + b"Via: ",
    INVITE + b"Via: SIP/2.0/UDP h",
    INVITE + b"Via: SIP/2.0/UDP h;branch=",
    INVITE + b"CSeq: 1",
    INVITE + b"Content-Type: ",
    INVITE + b"Content-Type: multipart/mixed; boundary=b\r\n\r\n",
    INVITE + b"Content-Type: a/b\r\nContent-Length: 0\r\n\r\n",
    INVITE + b"Content-Transfer-Encoding: base64\r\n\r\n",
    INVITE + b"\r\nv=0\r\na=",
    INVITE + b"\r\nv=0\r\na=crypto:1 A inline:",
    INVITE + b"\r\n a ",
]


@pytest.mark.parametrize("front", FRONTS)
def test_long_runs(front: bytes) -> None:
    """Takes minutes where a pattern takes quadratic time."""
    for run in RUNS:
        read((front + run * 60000)[:60000])
