"""Messages: header sections in all their shapes, and what stacks would read in two ways."""

import pytest
from sip_samples import SDP, request

from monitor.exceptions import ExceptionName
from monitor.sip import header
from monitor.sip.error import SipError
from monitor.sip.header import MAX_HEADER_SECTION, MAX_HEADERS
from monitor.sip.message import MAX_VIAS, Message, parse, parse_fragment

AMBIGUOUS, MALFORMED, LIMIT = ExceptionName.AMBIGUOUS, ExceptionName.MALFORMED, ExceptionName.LIMIT


def troubles(message: Message) -> list[ExceptionName]:
    return [name for name, _ in message.troubles]


def with_header(old: bytes, new: bytes, **kwargs: bytes) -> Message:
    raw = request(**kwargs)  # type: ignore[arg-type]
    assert old in raw
    return parse(raw.replace(old, new))


def test_a_request() -> None:
    message = parse(request(body=SDP))
    assert message.start_line == "INVITE sip:alice@example.org SIP/2.0"
    assert (message.method, message.status, message.cseq) == ("INVITE", None, 314159)
    assert message.call_id == "a84b4c76e66710@pc33.example.com"
    assert (message.from_uri, message.from_tag) == ("sip:bob@example.com", "1928301774")
    assert (message.to_uri, message.to_tag) == ("sip:alice@example.org", None)
    assert message.body == SDP
    assert message.header("content-type") == b"application/sdp"
    via = message.vias[0]
    assert (via.transport, via.host, via.port, via.branch) == ("UDP", "192.0.2.10", 5060, "z9hG4bK776asdhds")
    assert message.troubles == ()


def test_a_response() -> None:
    message = parse(request(start=b"SIP/2.0 200 OK"))
    assert (message.method, message.status) == ("INVITE", 200)
    assert parse(request(start=b"SIP/2.0 180")).status == 180
    assert parse(request(start=b"sip/2.0 183 \xd0\xb4\xd0\xb0")).status == 183


def test_compact_names_in_any_case() -> None:
    raw = (
        b"INVITE sip:a@b SIP/2.0\r\nv: SIP/2.0/TCP h;branch=z9hG4bKx\r\nF: <sip:x@y>;tag=1\r\nt: sip:a@b\r\n"
        b"i: 1@h\r\nCSEQ: 1 INVITE\r\nc: text/plain\r\nL: 2\r\nE: identity\r\nK: timer\r\nm: <sip:x@h>\r\n"
        b"x: 90\r\nO: dialog\r\nr: <sip:r@h>\r\nB: <sip:b@h>\r\ns: s\r\nU: dialog\r\nY: i\r\nn: n\r\n"
        b"a: *\r\nd: queue\r\nJ: *\r\n\r\nhi"
    )
    message = parse(raw)
    assert message.troubles == ()
    assert " ".join(name for name, _ in message.headers) == (
        "via from to call-id cseq content-type content-length content-encoding supported contact "
        "session-expires event refer-to referred-by subject allow-events identity identity-info "
        "accept-contact request-disposition reject-contact"
    )


@pytest.mark.parametrize(
    ("folded", "value"),
    [
        (b"Subject: one\r\n two\r\n", b"one two"),
        (b"Subject:\r\n\tone\r\n", b"one"),
        (b"Subject \t : one  \r\n", b"one"),
        (b"sUbJeCt:one\r\n", b"one"),
        (b"s:one\r\n", b"one"),
    ],
)
def test_header_shapes(folded: bytes, value: bytes) -> None:
    message = with_header(b"Max-Forwards: 70\r\n", folded)
    assert message.header("subject") == value
    assert message.troubles == ()


def test_line_ends() -> None:
    body = SDP.replace(b"\r\n", b"\n")
    raw = request(body=body).replace(b"\r\n", b"\n")
    message = parse(raw)
    assert message.body == body
    assert message.cseq == 314159
    assert message.troubles == ()
    mixed = request(body=SDP).replace(b"70\r\n", b"70\n")
    assert parse(mixed).troubles == ()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"Max-Forwards: 70\r\n", b"Max-Forwards: 70\r"),
        (b"Max-Forwards: 70\r\n", b"Max-Forwards: 70\r\r\n"),
        (b"Max-Forwards: 70\r\n", b"Subject: a\r\n \r\n"),
        (b"Max-Forwards: 70\r\n", b"Subject: a\n\n"),
        (b"Max-Forwards: 70\r\n", b"Subject: a\0b\r\n"),
        (b"SIP/2.0\r\nVia", b"SIP/2.0\r\n Via"),
        (b"Max-Forwards: 70", b"Call-ID: other"),
        (b"Max-Forwards: 70", b"CSeq: 2 INVITE"),
        (b"Max-Forwards: 70", b"f: <sip:bob@example.com>;tag=2"),
        (b"Max-Forwards: 70", b"To: <sip:carol@example.org>"),
        (b"Max-Forwards: 70", b"Content-Type: text/plain"),
        (b"Max-Forwards: 70", b"l: 7"),
        (b"Max-Forwards: 70", b"Content-Length: 7, 5"),
        (b"tag=1928301774", b"tag=1928301774;tag=2"),
        (b"tag=1928301774", b"tag=1, <sip:x@y>;tag=2"),
        (b"CSeq: 314159", b"CSeq: 4294967296"),
        (b"INVITE sip", b"invite sip"),
        (b";rport", b";branch=z9hG4bKother"),
        (b";rport", b";received=192.0.2.1;received=192.0.2.2"),
    ],
)
def test_two_readings_are_ambiguous(old: bytes, new: bytes) -> None:
    raw = request(body=SDP)
    assert old in raw
    assert AMBIGUOUS in troubles(parse(raw.replace(old, new, 1)))


@pytest.mark.parametrize("length", [b"-1", b"+5", b"0x10", b"1e2", b"5;x", b"", b"9" * 11, b"4294967297"])
def test_a_content_length_that_is_no_number(length: bytes) -> None:
    message = with_header(b"Content-Length: %d" % len(SDP), b"Content-Length: " + length, body=SDP)
    assert troubles(message) == [AMBIGUOUS]
    assert message.body == SDP


def test_content_length_against_the_datagram() -> None:
    longer = parse(request(body=SDP, length=9999))
    assert longer.body == SDP
    assert troubles(longer) == [MALFORMED]
    absent = parse(request(body=SDP, length=-1))
    assert absent.body == SDP
    assert absent.troubles == ()
    padded = parse(request(body=SDP) + b"\r\n\0\0")
    assert padded.body == SDP
    assert padded.troubles == ()
    zeros = with_header(b"Content-Length: ", b"Content-Length: 0000000000", body=SDP)
    assert zeros.body == SDP
    assert zeros.troubles == ()


def test_octets_after_the_body_that_some_stacks_would_read() -> None:
    hidden = parse(request(body=SDP, length=0))
    assert hidden.body == b""
    assert troubles(hidden) == [AMBIGUOUS]
    cut = parse(request(body=SDP, length=len(SDP) - 20))
    assert troubles(cut) == [AMBIGUOUS]
    keyless = SDP.replace(b"crypto", b"ptime").replace(b"inline:", b"")
    assert parse(request(body=keyless, length=len(keyless) - 20)).troubles == ()
    encoded = parse(request(b"Content-Encoding: gzip", body=b"\x1f\x8b more", length=2))
    assert troubles(encoded) == [AMBIGUOUS]


@pytest.mark.parametrize(
    ("after", "told"),
    [
        (b"\r\n \0", []),
        (b"a=sendrecv\r\ni=Gr\xc3\xbc\xc3\x9fe\r\ne=bob@example.org\r\n", []),
        (request(), []),
        (request(body=b"v=0\r\n"), []),
        (request(body=SDP), [AMBIGUOUS]),
        (request(b"Content-Encoding: gzip", body=b"\x1f\x8b"), [AMBIGUOUS]),
        (request(b"e : br", body=b"v=0"), [AMBIGUOUS]),
        (request(b"Content-Transfer-Encoding\r\n : quoted-printable", body=b"a=3Dcr=79pto"), [AMBIGUOUS]),
        (request(body=b"MIAGCSqG\r\nSIb3\r\nDQ\r\nEHA6CA", content_type=b"a/b"), [AMBIGUOUS]),
        (b"\x30\x03\x04\x01x", [AMBIGUOUS]),
        ("v=0".encode("utf-16"), [AMBIGUOUS]),
    ],
)
def test_octets_after_the_body_that_are_another_message(after: bytes, told: list[ExceptionName]) -> None:
    keyless = b"v=0\r\ns=-\r\n"
    assert troubles(parse(request(body=keyless + after, length=len(keyless)))) == told
    assert troubles(parse(request(body=after, content_type=b"", length=0))) == told


def test_a_stream_needs_content_length() -> None:
    with_type = request(body=SDP, length=-1)
    assert troubles(parse(with_type, stream=True)) == [AMBIGUOUS]
    without = request(length=-1)
    assert troubles(parse(without, stream=True)) == [MALFORMED]
    assert parse(without).troubles == ()


@pytest.mark.parametrize(
    "start",
    [
        b"INVITE  sip:alice@example.org SIP/2.0",
        b"INVITE sip:alice@example.org SIP/2.0 ",
        b"INVITE sip:alice@example.org; lr SIP/2.0",
        b"INVITE <sip:alice@example.org> SIP/2.0",
        b"INVITE sip:alice@example.org SIP/7.0",
        b"INVITE sip:alice@example.org",
        b"SIP/2.0 700 Strange",
        b"SIP/2.0 4294967301 Strange",
        b"SIP/02.0 200 OK",
    ],
)
def test_odd_start_lines_are_read(start: bytes) -> None:
    message = parse(request(start=start, body=SDP))
    assert message.body == SDP
    assert MALFORMED in troubles(message)


@pytest.mark.parametrize(
    "start", [b"HTTP/1.1 200 OK", b"", b"hello", b"SIP/2.0", b"SIP/2.0 99999999999", b"\x80"]
)
def test_what_is_no_start_line(start: bytes) -> None:
    with pytest.raises(SipError) as caught:
        parse(start + b"\r\nCall-ID: 1\r\n\r\n")
    assert caught.value.name is MALFORMED


def test_a_message_without_its_mandatory_fields_still_gives_its_body() -> None:
    message = parse(b"INVITE sip:a@b SIP/2.0\r\nContent-Type: application/sdp\r\n\r\n" + SDP)
    assert message.body == SDP
    assert (message.call_id, message.cseq, message.vias) == ("", 0, ())
    assert message.troubles == ((MALFORMED, "no via, from, to, call-id, cseq"),)


@pytest.mark.parametrize("value", [b"x INVITE", b"5"])
def test_a_cseq_that_cannot_be_read_is_one_trouble(value: bytes) -> None:
    message = with_header(b"CSeq: 314159 INVITE", b"CSeq: " + value)
    assert message.troubles == ((MALFORMED, f"CSeq {value.decode()!r}"),)


@pytest.mark.parametrize(
    ("value", "uri", "tag"),
    [
        (b'"x;tag=a" <sip:b@c>;tag=d', "sip:b@c", "d"),
        (b'"a \\" <sip:evil@x>;tag=e" <sip:b@c> ; TAG = d', "sip:b@c", "d"),
        (b"sip:b@c;tag=d", "sip:b@c", "d"),
        (b"<sip:b@c;tag=x>;tag=d", "sip:b@c;tag=x", "d"),
        (b'<sip:b@c>;x="tag=y;tag=z";tag=d', "sip:b@c", "d"),
        (b"caller<sip:b@c>;tag=d", "sip:b@c", "d"),
        (b"\xd0\xb4 <sip:b@c>;tag=d", "sip:b@c", "d"),
        (b"< sip:b@c >;tag=d", "sip:b@c", "d"),
        (b"<sip:b@[2001:db8::1]:5060>;tag=d", "sip:b@[2001:db8::1]:5060", "d"),
        (b"<tel:+1-212;ext=\xff>;tag=d", "tel:+1-212;ext=\\xff", "d"),
    ],
)
def test_addresses(value: bytes, uri: str, tag: str) -> None:
    message = with_header(b"Bob <sip:bob@example.com>;tag=1928301774", value)
    assert (message.from_uri, message.from_tag) == (uri, tag)
    assert message.troubles == ()


def test_via_forms() -> None:
    message = with_header(
        b"Via: SIP/2.0/UDP 192.0.2.10:5060;branch=z9hG4bK776asdhds;rport",
        b"Via: SIP  /  2.0\r\n /tls  [2001:db8::9:1] : 5061 ;received=[2001:db8::9:255]; "
        b"BRANCH = z9hG4bKa,\r\n"
        b" SIP/2.0/UDP host.example.com;rport=4242;branch=z9hG4bKb;received=192.0.2.1\r\n"
        b"v: SIP/2.0/UDP old.example.com;branch=a7c6.1 (Acme server)",
    )
    first, second, third = message.vias
    assert (first.transport, first.host, first.port) == ("TLS", "2001:db8::9:1", 5061)
    assert (first.branch, first.received) == ("z9hG4bKa", "2001:db8::9:255")
    assert (second.host, second.port, second.rport, second.received) == (
        "host.example.com",
        None,
        4242,
        "192.0.2.1",
    )
    assert third.branch == "a7c6.1"
    assert message.troubles == ()


def test_leading_keep_alives() -> None:
    assert parse(b"\r\n\r\n\0" + request()).troubles == ()


def test_limits() -> None:
    with pytest.raises(SipError) as caught:
        parse(request(*[b"X: y"] * MAX_HEADERS))
    assert caught.value.name is LIMIT
    with pytest.raises(SipError) as caught:
        parse(request(b"X: " + b"y" * MAX_HEADER_SECTION))
    assert caught.value.name is LIMIT
    assert parse(request(b"X: " + b"y" * 65000)).troubles == ()
    many = parse(request(b"Via: " + b",".join([b"SIP/2.0/UDP h"] * (MAX_VIAS + 1))))
    assert len(many.vias) == MAX_VIAS
    assert troubles(many) == [LIMIT]
    huge = parse(request().replace(b"CSeq: 314159", b"CSeq: " + b"9" * 60000))
    assert troubles(huge) == [AMBIGUOUS]


def test_fragments() -> None:
    whole = parse_fragment(b"SIP/2.0 603 Declined\r\n\r\n")
    assert (whole.status, whole.troubles) == (603, ())
    headers = parse_fragment(b"From: <sip:a@b>;tag=1\r\nCall-ID: x\r\n")
    assert (headers.start_line, headers.from_tag, headers.call_id) == ("", "1", "x")
    assert headers.troubles == ()
    with_body = parse_fragment(b"Content-Type: application/sdp\r\n\r\n" + SDP)
    assert with_body.body == SDP


@pytest.mark.parametrize("end", [b"", b"\\", b"x"])
def test_the_end_of_a_quoted_string_is_looked_for_once(end: bytes) -> None:
    """Else each of thousands of escaped quotes would be a start, and what follows be read to the end."""
    value = b'"' + b'\\"' * 1000 + end
    assert [found.span() for found in header.QUOTED.finditer(value)] == [(0, len(value))]
    assert header.without_quoted(value) == value
