"""Content-Encoding and base64, as lenient receivers undo them."""

import gzip
import zlib

import pytest
from sip_samples import SDP, Reports

from monitor.exceptions import ExceptionName
from monitor.sip.coding import MAX_DECODED, base64, base64_readings, decode, quoted_printable, unarmoured
from monitor.sip.error import SipError

RAW = zlib.compressobj(wbits=-15)
RAW_DEFLATED = RAW.compress(SDP) + RAW.flush()
NAMED = b"\x1f\x8b\x08\x1e" + bytes(6) + b"\x03\0abcname\0comment\0\xff\xff" + RAW_DEFLATED
NAMED += zlib.crc32(SDP).to_bytes(4, "little") + len(SDP).to_bytes(4, "little")


@pytest.mark.parametrize(
    ("encodings", "content"),
    [
        (b"gzip", gzip.compress(SDP)),
        (b"X-GZIP", gzip.compress(SDP)),
        (b"gzip", NAMED),
        (b"gzip", gzip.compress(SDP[:50]) + gzip.compress(SDP[50:])),
        (b"deflate", zlib.compress(SDP)),
        (b"deflate", RAW_DEFLATED),
        (b"identity", SDP),
        (b"", SDP),
        (b"deflate, gzip", gzip.compress(zlib.compress(SDP))),
        (b" gzip ,identity", gzip.compress(SDP)),
    ],
)
def test_codings(encodings: bytes, content: bytes) -> None:
    reports = Reports()
    assert decode(content, encodings, reports) == SDP
    assert reports == []


def test_a_bomb_is_a_limit() -> None:
    bomb = gzip.compress(bytes(MAX_DECODED + 1))
    for encodings, content in ((b"gzip", bomb), (b"gzip", gzip.compress(b"x" * MAX_DECODED) * 2)):
        with pytest.raises(SipError) as caught:
            decode(content, encodings, Reports())
        assert caught.value.name is ExceptionName.LIMIT
    with pytest.raises(SipError) as caught:
        decode(SDP, b",".join([b"gzip"] * 5), Reports())
    assert caught.value.name is ExceptionName.LIMIT


@pytest.mark.parametrize(
    ("encodings", "content", "expected", "name"),
    [
        (b"gzip", gzip.compress(SDP)[:-4], SDP, None),
        (b"gzip", gzip.compress(SDP)[:-6] + bytes(6), SDP, ExceptionName.MALFORMED),
        (b"gzip", gzip.compress(SDP) + b"more", SDP, ExceptionName.AMBIGUOUS),
        (b"deflate", zlib.compress(SDP)[:-4] + bytes(4), SDP, ExceptionName.MALFORMED),
        (b"gzip", b"\x1f\x8b\x08", b"\x1f\x8b\x08", ExceptionName.MALFORMED),
        (b"gzip", b"", b"", ExceptionName.MALFORMED),
        (b"deflate", b"\xff\xff\xff", b"\xff\xff\xff", ExceptionName.MALFORMED),
        (b"br", b"\x0b\x02", b"\x0b\x02", ExceptionName.UNSUPPORTED),
    ],
)
def test_broken_codings(
    encodings: bytes, content: bytes, expected: bytes, name: ExceptionName | None
) -> None:
    reports = Reports()
    assert decode(content, encodings, reports) == expected
    assert reports.names == ([name] if name else [])


@pytest.mark.parametrize("encodings", [b"gzip", b"br", b"deflate"])
def test_a_label_does_not_hide_what_can_be_read(encodings: bytes) -> None:
    reports = Reports()
    assert decode(SDP, encodings, reports) == SDP
    assert reports.names == [ExceptionName.AMBIGUOUS]


@pytest.mark.parametrize(
    ("text", "readings"),
    [
        (b"MTIzNA==", [b"1234"]),
        (b"MTIzNA", [b"1234"]),
        (b"MTIzNB==", [b"1234"]),
        (b"MTIz\r\n NA==", [b"1234"]),
        (b"MTIzN", [b"123"]),
        (b"", [b""]),
        (b"MTIz@NDU2", [b"123456", b"123"]),
        (b"MTIz=NDU2", [b"123456", b"123"]),
        (b"_-8=", [b"\xff\xef", b"", b"\xff\xef"]),
    ],
)
def test_base64_readings(text: bytes, readings: list[bytes]) -> None:
    found = base64_readings(text)
    assert found[0] == readings[0]
    assert set(readings) <= {*found, b""}


def test_stray_characters_are_ambiguous() -> None:
    reports = Reports()
    assert base64(b"MTIz\r\nNDU2\r\n", reports) == b"123456"
    assert reports == []
    assert base64(b"MTIz%NDU2", reports) == b"123456"
    assert reports.names == [ExceptionName.AMBIGUOUS]


def test_armour() -> None:
    assert unarmoured(b"\x30\x80") == b"\x30\x80"
    assert unarmoured(b"-----BEGIN PKCS7-----\nMTIz\nNDU2\n-----END PKCS7-----\n") == b"123456"
    assert quoted_printable(b"a=3Db=\r\nc") == b"a=bc"
