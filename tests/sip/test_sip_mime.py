"""Entities and multiparts, and content that hides behind its label."""

import base64

import pytest
from sip_samples import SDP, Reports, request

from monitor.exceptions import ExceptionName
from monitor.sip.error import SipError
from monitor.sip.message import parse
from monitor.sip.mime import MAX_PARTS, OCTETS, Entity, body, parse_entity, parts, sniff, tunnelled

AMBIGUOUS, MALFORMED = ExceptionName.AMBIGUOUS, ExceptionName.MALFORMED
CMS = bytes.fromhex("30820100 0609 2a864886f70d010703 a0820100") + bytes(200)


def entity(content: bytes, content_type: bytes, *extra: bytes) -> Entity:
    reports = Reports()
    found = body(parse(request(*extra, body=content, content_type=content_type)), reports)
    assert found is not None
    assert reports == []
    return found


def multipart(*pieces: bytes, boundary: bytes = b"b1", end: bytes = b"--") -> bytes:
    return b"".join(b"--" + boundary + b"\r\n" + piece + b"\r\n" for piece in pieces) + b"--" + boundary + end


PART = b"Content-Type: application/sdp\r\n\r\n" + SDP
TEXT = b"Content-Type: text/plain\r\n\r\nhello"


def test_a_body() -> None:
    found = entity(SDP, b'application/SDP ; charset="utf-8"; X=y')
    assert found.media_type == "application/sdp"
    assert found.parameters == (("charset", "utf-8"), ("x", "y"))
    assert found.parameter("charset") == "utf-8"
    assert found.content == found.raw == SDP
    assert body(parse(request()), Reports()) is None


@pytest.mark.parametrize(("content", "kind"), [(SDP, "sdp"), (CMS, "pkcs7-mime")])
def test_a_body_without_a_type(content: bytes, kind: str) -> None:
    reports = Reports()
    found = body(parse(request(body=content, content_type=b"")), reports)
    assert found is not None
    assert found.media_type == f"application/{kind}"
    assert reports.names == [MALFORMED]


@pytest.mark.parametrize("content_type", [b"sdp", b"application/", b"application/sdp, a/b", b"/", b";x=y"])
def test_a_type_that_cannot_be_read(content_type: bytes) -> None:
    reports = Reports()
    found = body(parse(request(body=SDP, content_type=content_type)), reports)
    assert found is not None
    assert found.media_type == "application/sdp"
    assert reports.names == [MALFORMED]


@pytest.mark.parametrize(
    ("encoding", "encoded"),
    [
        (b"base64", base64.encodebytes(SDP)),
        (b"BASE64", base64.b64encode(SDP).rstrip(b"=")),
        (b"quoted-printable", SDP.replace(b"=", b"=3D")),
        (b"binary", SDP),
        (b"8bit", SDP),
        (b"7bit", SDP),
    ],
)
def test_transfer_encodings(encoding: bytes, encoded: bytes) -> None:
    found = entity(encoded, b"application/sdp", b"Content-Transfer-Encoding: " + encoding)
    assert found.content == SDP
    assert found.raw == encoded


@pytest.mark.parametrize("encoding", [b"base64", b"quoted-printable"])
def test_a_transfer_encoding_does_not_hide_what_can_be_read(encoding: bytes) -> None:
    reports = Reports()
    found = body(parse(request(b"Content-Transfer-Encoding: " + encoding, body=SDP)), reports)
    assert found is not None
    assert found.content == SDP
    assert reports.names == [AMBIGUOUS]


def test_odd_transfer_encodings() -> None:
    reports = Reports()
    body(parse(request(b"Content-Transfer-Encoding: x-uuencode", body=SDP)), reports)
    assert reports.names == [ExceptionName.UNSUPPORTED]
    reports = Reports()
    encodings = (b"Content-Transfer-Encoding: 7bit", b"Content-Transfer-Encoding: base64")
    body(parse(request(*encodings, body=SDP)), reports)
    assert AMBIGUOUS in reports.names


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (SDP, "application/sdp"),
        (b"\r\n v = 0\n", "application/sdp"),
        (CMS, "application/pkcs7-mime"),
        (bytes.fromhex("3080 0609 2a864886f70d010702 a080"), "application/pkcs7-mime"),
        (bytes.fromhex("3080 060b 2a864886f70d0109100117 a080"), "application/pkcs7-mime"),
        (base64.encodebytes(CMS), "application/pkcs7-mime"),
        (base64.encodebytes(bytes.fromhex("3080 0609 2a864886f70d010703 a080")), "application/pkcs7-mime"),
        (b"-----BEGIN PKCS7-----\nMIIB", "application/pkcs7-mime"),
        (b"-----BEGIN CMS-----\nMIIB", "application/pkcs7-mime"),
        (b"hello", None),
        (b"", None),
        (b"\x30\x03\x02\x01\x01", None),
        (b"My dear friend", None),
    ],
)
def test_sniff(content: bytes, kind: str | None) -> None:
    assert sniff(content) == kind


@pytest.mark.parametrize("content_type", [b"application/pkcs7-mime", b"application/x", b"text/plain"])
def test_armoured_cms_comes_out_binary(content_type: bytes) -> None:
    assert entity(base64.encodebytes(CMS), content_type).content == CMS


def test_parts() -> None:
    reports = Reports()
    found = parts(entity(multipart(TEXT, PART), b"multipart/mixed;boundary=b1"), reports)
    assert [part.media_type for part in found] == ["text/plain", "application/sdp"]
    assert found[0].content == b"hello"
    assert found[1].content == SDP
    assert [part.raw for part in found] == [TEXT, PART]
    assert reports == []


@pytest.mark.parametrize(
    ("parameter", "boundary"),
    [
        (b'"b 1"', b"b 1"),
        (b'"----=_Part_(1)"', b"----=_Part_(1)"),
        (b"----=_Part_1", b"----=_Part_1"),
        (b"a:b'()+_,-./:=?", b"a:b'()+_,-./:=?"),
        (b'"quo\\"ted"', b'quo"ted'),
        (b"\xff\xfe", b"\xff\xfe"),
        (b"x" * 200, b"x" * 200),
    ],
)
def test_boundaries(parameter: bytes, boundary: bytes) -> None:
    reports = Reports()
    content = multipart(PART, boundary=boundary)
    found = parts(entity(content, b"multipart/mixed; boundary=" + parameter), reports)
    assert [part.content for part in found] == [SDP]
    assert reports == []


@pytest.mark.parametrize(
    "content",
    [
        b"preamble\r\n" + multipart(PART) + b"\r\nepilogue",
        multipart(PART).replace(b"\r\n", b"\n"),
        multipart(PART).replace(b"--b1\r\n", b"--b1 \t\r\n"),
        multipart(PART, end=b"-- \r\n"),
    ],
)
def test_shapes_of_multiparts(content: bytes) -> None:
    reports = Reports()
    found = parts(entity(content, b"multipart/mixed;boundary=b1"), reports)
    assert [part.content.replace(b"\r\n", b"\n") for part in found] == [SDP.replace(b"\r\n", b"\n")]
    assert reports == []


@pytest.mark.parametrize(
    ("content", "content_type", "name"),
    [
        (multipart(PART, end=b""), b"multipart/mixed;boundary=b1", MALFORMED),
        (b"--b1\r\n" + PART, b"multipart/mixed;boundary=b1", MALFORMED),
        (b"\r\n--b1\r\n" + PART + b"\r\n--b1--", b"multipart/mixed", AMBIGUOUS),
        (multipart(PART), b"multipart/mixed", AMBIGUOUS),
        (multipart(PART), b"multipart/mixed;boundary=", AMBIGUOUS),
        (multipart(PART), b"multipart/mixed;boundary=other", AMBIGUOUS),
        (multipart(PART), b"multipart/mixed;boundary=other;boundary=b1", AMBIGUOUS),
        (multipart(TEXT + b"\r\n--b12\r\nx", PART), b"multipart/mixed;boundary=b1", AMBIGUOUS),
        (SDP + multipart(PART), b"multipart/mixed;boundary=b1", AMBIGUOUS),
        (CMS + b"\r\n" + multipart(PART), b"multipart/mixed;boundary=b1", AMBIGUOUS),
        (multipart(PART) + b"\r\na=crypto:1", b"multipart/mixed;boundary=b1", AMBIGUOUS),
        (multipart(PART) + b"\r\n--b1\r\n\r\nx", b"multipart/mixed;boundary=b1", AMBIGUOUS),
        (multipart(PART) + b"\r\n" + base64.b64encode(CMS), b"multipart/mixed;boundary=b1", AMBIGUOUS),
        (SDP, b"multipart/mixed;boundary=b1", AMBIGUOUS),
    ],
)
def test_odd_multiparts(content: bytes, content_type: bytes, name: ExceptionName) -> None:
    reports = Reports()
    found = parts(entity(content, content_type), reports)
    assert name in reports.names
    assert SDP.strip() in [part.content.strip() for part in found]


def test_parts_over_the_limit() -> None:
    reports = Reports()
    found = parts(entity(multipart(*[TEXT] * 100), b"multipart/mixed;boundary=b1"), reports)
    assert len(found) == MAX_PARTS
    assert reports.names == [ExceptionName.LIMIT]


def test_part_headers() -> None:
    folded = b"content-TYPE:\r\n\tapplication/sdp\r\nContent-Disposition: session\r\n\r\n" + SDP
    bare, headerless = b"\r\n" + SDP, SDP
    reports = Reports()
    found = parts(entity(multipart(folded, bare, headerless), b"multipart/mixed;boundary=b1"), reports)
    assert [part.media_type for part in found] == ["application/sdp"] * 3
    assert [part.content for part in found] == [SDP] * 3
    assert found[0].headers[1] == ("content-disposition", b"session")
    assert reports == []
    twice = b"Content-Type: text/plain\r\n" + PART
    parts(entity(multipart(twice), b"multipart/mixed;boundary=b1"), reports)
    assert reports.names == [AMBIGUOUS]


def test_key_lines_without_any_label() -> None:
    reports = Reports()
    found = parse_entity(b" Content-Type: application/sdp\r\n\r\n" + SDP, reports)
    assert found.media_type == "application/sdp"
    assert AMBIGUOUS in reports.names
    assert parse_entity(b"\r\nhello").media_type == OCTETS


def test_parse_entity() -> None:
    found = parse_entity(b"Content-Type: text/plain; charset=x\r\n\r\nhi")
    assert (found.media_type, found.content) == ("text/plain", b"hi")
    assert parse_entity(SDP).content == SDP
    assert parse_entity(CMS).media_type == "application/pkcs7-mime"
    with pytest.raises(SipError) as caught:
        parse_entity(b"X: y\r\n" * 1000)
    assert caught.value.name is ExceptionName.LIMIT


def test_tunnels() -> None:
    inner = request(body=SDP)
    assert tunnelled(entity(inner, b"message/sip")).body == SDP
    fragment = tunnelled(entity(b"From: <sip:a@b>;tag=1\r\n\r\n", b"message/sipfrag;version=2.0"))
    assert (fragment.from_tag, fragment.troubles) == ("1", ())
    with pytest.raises(SipError):
        tunnelled(entity(b"From: <sip:a@b>;tag=1\r\n\r\n", b"message/sip"))
