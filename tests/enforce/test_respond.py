"""What the sender of a denied request is told, and how often."""

import pytest
from frames import invite, sdp

from monitor.enforce import respond as respond_module
from monitor.enforce.respond import (
    BURST,
    MAX_SOURCES,
    RATE,
    SOURCE_BURST,
    SOURCE_RATE,
    Limiter,
    Response,
    respond,
)
from monitor.sip import message as sip
from monitor.wire.address import pack
from monitor.wire.flow import Flow
from monitor.wire.frame import NANOSECONDS

BOB, ALICE, CHARLES = pack("192.0.2.5"), pack("192.0.2.1"), pack("192.0.2.66")
SECRET = b"s" * 32
REQUEST = invite(sdp("A" * 40))
VIA = b"Via: SIP/2.0/UDP 192.0.2.5;branch=z9hG4bK-1"


def flow(source: bytes = BOB, port: int = 40000) -> Flow:
    return Flow(source, port, ALICE, 5060, "udp")


def answer(request: bytes, source: bytes = BOB, reason: str = "key-reused") -> Response | None:
    return respond(sip.parse(request), len(request), flow(source), reason, SECRET)


def answered(request: bytes, source: bytes = BOB) -> tuple[Response, sip.Message]:
    response = answer(request, source)
    assert response is not None
    read = sip.parse(response.octets)
    assert read.troubles == ()
    return response, read


def test_a_request_is_forbidden_with_the_reason() -> None:
    response, read = answered(REQUEST)
    request = sip.parse(REQUEST)
    assert read.start_line == "SIP/2.0 403 Forbidden"
    for name in ("from", "call-id", "cseq"):
        assert read.header(name) == request.header(name)
    assert (read.to_uri, bool(read.to_tag)) == (request.to_uri, True)
    assert read.header("reason") == b'SIP;cause=403;text="key-reused"'
    assert (read.header("content-length"), read.body) == (b"0", b"")
    assert response.source == (ALICE, 5060)
    assert len(response.octets) <= len(REQUEST)


def test_an_exception_is_not_named() -> None:
    response = answer(REQUEST, reason="")
    assert response is not None
    assert b'text="refused"' in response.octets


def test_the_same_request_gets_the_same_tag_and_another_one_another() -> None:
    first, again = answered(REQUEST)[1], answered(REQUEST)[1]
    assert first.to_tag == again.to_tag
    assert answered(invite(sdp("A" * 40), cseq=2))[1].to_tag != first.to_tag
    other = respond(sip.parse(REQUEST), len(REQUEST), flow(), "", b"o" * 32)
    assert other is not None
    assert sip.parse(other.octets).to_tag != first.to_tag


def test_a_tag_that_is_there_stays() -> None:
    request = REQUEST.replace(b"To: <sip:alice@example.org>", b"To: <sip:alice@example.org>;tag=al")
    assert answered(request)[1].to_tag == "al"


@pytest.mark.parametrize(
    ("via", "source", "top", "port"),
    [
        (b"SIP/2.0/UDP 192.0.2.5;branch=1", BOB, b"SIP/2.0/UDP 192.0.2.5;branch=1", 5060),
        (b"SIP/2.0/UDP 192.0.2.5:5070;branch=1", BOB, b"SIP/2.0/UDP 192.0.2.5:5070;branch=1", 5070),
        (
            b"SIP/2.0/UDP 192.0.2.5;branch=1",
            CHARLES,
            b"SIP/2.0/UDP 192.0.2.5;branch=1;received=192.0.2.66",
            5060,
        ),
        (
            b"SIP/2.0/UDP phone.example.org;branch=1",
            BOB,
            b"SIP/2.0/UDP phone.example.org;branch=1;received=192.0.2.5",
            5060,
        ),
        (
            b"SIP/2.0/UDP 192.0.2.5;rport;branch=1",
            BOB,
            b"SIP/2.0/UDP 192.0.2.5;rport=40000;branch=1;received=192.0.2.5",
            40000,
        ),
        (
            b"SIP/2.0/UDP 192.0.2.5;branch=1 ; RPORT ",
            BOB,
            b"SIP/2.0/UDP 192.0.2.5;branch=1 ;rport=40000;received=192.0.2.5",
            40000,
        ),
        (
            b"SIP/2.0/UDP 192.0.2.5;received=198.51.100.1;branch=1;maddr=198.51.100.2",
            CHARLES,
            b"SIP/2.0/UDP 192.0.2.5;branch=1;maddr=198.51.100.2;received=192.0.2.66",
            5060,
        ),
        (
            b'SIP/2.0/UDP 192.0.2.5;x=",";rport, SIP/2.0/UDP 192.0.2.7;branch=2',
            BOB,
            b'SIP/2.0/UDP 192.0.2.5;x=",";rport=40000;received=192.0.2.5, SIP/2.0/UDP 192.0.2.7;branch=2',
            40000,
        ),
    ],
)
def test_it_goes_where_the_request_came_from_and_nowhere_else(
    via: bytes, source: bytes, top: bytes, port: int
) -> None:
    response, read = answered(REQUEST.replace(VIA, b"Via: " + via), source)
    assert read.header("via") == top
    assert response.destination == (source, port)


def test_all_vias_come_back_in_order() -> None:
    vias = VIA + b"\r\nv: SIP/2.0/TCP a;branch=2\r\nVia: SIP/2.0/UDP b;branch=3"
    _, read = answered(REQUEST.replace(VIA, vias))
    assert [via.branch for via in read.vias] == ["z9hG4bK-1", "2", "3"]


@pytest.mark.parametrize(
    "message",
    [
        b"SIP/2.0 200 OK" + REQUEST[REQUEST.index(b"\r\n") :],
        REQUEST.replace(b"INVITE", b"ACK"),
        REQUEST.replace(VIA + b"\r\n", b""),
        REQUEST.replace(b"CSeq: 1 INVITE", b"CSeq: 1 BYE"),
        REQUEST.replace(b"Call-ID: call-1\r\n", b"Call-ID: call-1\r\nCall-ID: call-2\r\n"),
        REQUEST.replace(b"Max-Forwards: 70\r\n", b"Max-Forwards: 70\r"),
    ],
    ids=["response", "ack", "no-via", "methods", "call-ids", "bare-cr"],
)
def test_what_gets_no_answer(message: bytes) -> None:
    assert answer(message) is None


def test_an_answer_is_never_larger_than_the_request() -> None:
    request = invite(b"x" * 10)
    response = answer(request)
    size = len(response.octets) if response else 0
    assert respond(sip.parse(request), size, flow(), "key-reused", SECRET) == response
    assert respond(sip.parse(request), size - 1, flow(), "key-reused", SECRET) is None


class TestLimits:
    def test_one_source(self) -> None:
        limiter = Limiter()
        assert sum(limiter.allows(BOB, 0) for _ in range(100)) == SOURCE_BURST
        assert limiter.allows(ALICE, 0), "another has his own"
        second = NANOSECONDS
        assert sum(limiter.allows(BOB, second) for _ in range(100)) == SOURCE_RATE
        assert not limiter.allows(BOB, second // 2), "time that goes back gives nothing"

    def test_all_sources(self) -> None:
        limiter = Limiter()
        sources = [number.to_bytes(4) for number in range(10 * BURST)]
        assert sum(limiter.allows(source, NANOSECONDS) for source in sources) == BURST
        assert sum(limiter.allows(source, 2 * NANOSECONDS) for source in sources) == RATE

    def test_a_network_of_ipv6_is_one_source(self) -> None:
        limiter = Limiter()
        sources = [pack(f"2001:db8::{number:x}") for number in range(1, 100)]
        assert sum(limiter.allows(source, 0) for source in sources) == SOURCE_BURST
        assert limiter.allows(pack("2001:db8:0:1::1"), 0)

    def test_what_is_remembered_is_bounded(self) -> None:
        limiter = Limiter()
        for number in range(2 * MAX_SOURCES):
            limiter.allows(number.to_bytes(4), 0)
        assert len(limiter._sources) == MAX_SOURCES


def test_a_received_parameter_is_looked_for_from_its_semicolon() -> None:
    """Were it from the blanks before, thousands of them without one would be read again from each."""
    assert respond_module._RECEIVED.match(b" ;received=192.0.2.5") is None
    _, read = answered(REQUEST.replace(VIA, VIA + b" " * 100 + b";received=198.51.100.1" + b" " * 100, 1))
    assert read.vias[0].received == ""
