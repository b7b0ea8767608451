"""SIP messages and what is no SIP, bodies, session descriptions."""

import base64
import gzip
import zlib
from functools import partial

from frames import invite, sdp, udp
from matrix import Row, Section
from probe import ALICE, BOB, KEY, OTHER, framed, outcome

from monitor.sip.coding import MAX_DECODED
from monitor.sip.header import MAX_HEADERS
from monitor.sip.mime import MAX_PARTS
from monitor.toolbox.layer import MAX_NESTING

READ, AMBIGUOUS, LIMIT = "key read", "denied as ambiguous", "denied as limit"
SDP = sdp(KEY)
MESSAGE = invite(SDP)


def datagram(message: bytes, **options: object) -> str:
    """What comes of a datagram."""
    return outcome(framed([udp(BOB, ALICE, message)]), **options)  # type: ignore[arg-type]


def _rows(named: dict[str, tuple[str, bytes]]) -> tuple[Row, ...]:
    return tuple(
        Row(name, expected, partial(datagram, message)) for name, (expected, message) in named.items()
    )


OTHERS: dict[str, bytes] = {
    "SSDP": b"NOTIFY * HTTP/1.1\r\nHost: 239.255.255.250:1900\r\nNTS: ssdp:alive\r\n\r\n",
    "SSDP search": b'M-SEARCH * HTTP/1.1\r\nHost: 239.255.255.250:1900\r\nMan: "ssdp:discover"\r\n\r\n',
    "RTSP": b"DESCRIBE rtsp://192.0.2.1/a RTSP/1.0\r\nCSeq: 1\r\n\r\n",
    "HTTP response": b"HTTP/1.1 200 OK\r\nContent-Type: application/sdp\r\n\r\n" + SDP,
    "DNS": bytes.fromhex("1234010000010000000000000473697073076578616d706c65036f72670000010001"),
    "RTP": b"\x80\x00\x00\x01" + bytes(8) + b"\xd5" * 160,
    "RTCP": bytes.fromhex("80c90001deadbeef81ca0002deadbeef01026162"),
    "STUN": bytes.fromhex("000100002112a442") + b"A" * 12,
    "DTLS": bytes.fromhex("16fefd0000000000000000") + bytes(60),
    "keep-alive (CRLF CRLF)": b"\r\n\r\n",
    "keep-alive (NUL)": b"\0\0\0\0",
    "syslog": b"<34>Oct 11 22:14:15 host sip: INVITE sip:alice@example.org SIP",
}


def recognised() -> Section:
    """What is SIP."""
    rows = _rows({name: ("no SIP", payload) for name, payload in OTHERS.items()})
    whole = udp(BOB, ALICE, MESSAGE)
    ports = [b"\x13\xc4\x13\xc4", b"\x00\x35\x00\x35", b"\xc0\x00\x1f\x90"]
    rows += tuple(
        Row(
            f"SIP, ports {int.from_bytes(port[:2])} and {int.from_bytes(port[2:])}",
            READ,
            partial(outcome, framed([whole[:20] + port + whole[24:]])),
        )
        for port in ports
    )
    return Section("What is taken for SIP", "By content, on any UDP port.", "datagram", rows)


def _with(old: str, new: str, message: bytes = MESSAGE) -> bytes:
    assert old.encode() in message, old
    return message.replace(old.encode(), new.encode(), 1)


def messages() -> Section:
    """The forms of a message."""
    length = f"Content-Length: {len(SDP)}\r\n"
    compact = MESSAGE
    for name, short in (
        ("Via", "V"),
        ("From", "f"),
        ("To", "T"),
        ("Call-ID", "i"),
        ("Contact", "m"),
        ("Content-Type", "C"),
        ("Content-Length", "l"),
    ):
        compact = _with(f"\r\n{name}:", f"\r\n{short}:", compact)
    long = "".join(f"X-{number}: {'y' * 100}\r\n" for number in range(300))
    crowd = "".join(f"X-{number}: y\r\n" for number in range(MAX_HEADERS))
    named = {
        "plain": (READ, MESSAGE),
        "compact names in either case": (READ, compact),
        "names in any case": (READ, _with("Content-Type", "cONTENT-tYPE")),
        "folded header fields": (READ, _with("Content-Type: ", "Content-Type:\r\n \t ")),
        "blanks before and after the colon": (READ, _with("Content-Length:", "Content-Length \t:  ")),
        "LF alone ends lines": (
            READ,
            invite(SDP).replace(b"\r\n", b"\n").replace(SDP.replace(b"\r\n", b"\n"), SDP),
        ),
        "line ends that differ": (
            AMBIGUOUS,
            _with("70\r\n", "70\n").replace(b"\r\n\r\n", b"\n\r\n") + b"\r\n\r\n",
        ),
        "CR alone ends a line": (AMBIGUOUS, _with("Max-Forwards: 70\r\n", "Max-Forwards: 70\r")),
        "a line of blanks in the header section": (
            AMBIGUOUS,
            _with("Max-Forwards: 70\r\n", "Max-Forwards: 70\r\n \r\n"),
        ),
        "NUL in the header section": (AMBIGUOUS, _with("Max-Forwards: 70", "Max-Forwards: 7\0")),
        "keep-alives before it": (READ, b"\r\n\r\n\0" + MESSAGE),
        "no Content-Length": (READ, _with(length, "")),
        "Content-Length with zeros before it": (READ, _with(length, f"Content-Length: {len(SDP):012}\r\n")),
        "Content-Length above the datagram": (
            f"malformed, {READ}",
            _with(length, "Content-Length: 9999\r\n"),
        ),
        "Content-Length below the body, in which there is a key": (
            AMBIGUOUS,
            _with(length, "Content-Length: 9\r\n"),
        ),
        "Content-Length below the body, plain and without a key": (
            "clean, no key",
            invite(b"v=0\r\ns=-\r\na=sendrecv\r\n").replace(b"Content-Length: 22", b"Content-Length: 10"),
        ),
        "Content-Length 0 before an S/MIME body": (
            AMBIGUOUS,
            invite(b"0\x80\x06\x09", content_type="application/pkcs7-mime").replace(
                b"Length: 4", b"Length: 0"
            ),
        ),
        "Content-Length negative": (AMBIGUOUS, _with(length, "Content-Length: -1\r\n")),
        "Content-Length above 32 bits": (AMBIGUOUS, _with(length, "Content-Length: 4294967296\r\n")),
        "Content-Length twice, alike": (f"malformed, {READ}", _with(length, length * 2)),
        "Content-Length twice, different": (AMBIGUOUS, _with(length, length + "l: 9\r\n")),
        "no Content-Type": (f"malformed, {READ}", _with("Content-Type: application/sdp\r\n", "")),
        "Content-Type wrong (text/plain)": (READ, invite(SDP, content_type="text/plain")),
        "Content-Type that cannot be read": (f"malformed, {READ}", invite(SDP, content_type="sdp")),
        "Content-Type twice, alike": (
            f"malformed, {READ}",
            _with("Content-Type: application/sdp\r\n", "Content-Type: application/sdp\r\n" * 2),
        ),
        "Content-Type twice, different": (
            AMBIGUOUS,
            _with("Content-Type: ", "c: text/plain\r\nContent-Type: "),
        ),
        "unknown method": (READ, invite(SDP, method="NEWMETHOD")),
        "method in the wrong case": (AMBIGUOUS, _with("INVITE sip", "Invite sip")),
        "response": (READ, _with("INVITE sip:alice@example.org SIP/2.0", "SIP/2.0 183 Session Progress")),
        "response without a reason phrase": (
            READ,
            _with("INVITE sip:alice@example.org SIP/2.0", "SIP/2.0 200"),
        ),
        "stray blanks in the request line": (f"malformed, {READ}", _with("INVITE sip", "INVITE  sip")),
        "other SIP version": (f"malformed, {READ}", _with("SIP/2.0\r\n", "SIP/3.0\r\n")),
        "mandatory header fields missing": (f"malformed, {READ}", _with("Call-ID: call-1\r\n", "")),
        "Call-ID twice, different": (AMBIGUOUS, _with("Call-ID: ", "i: other\r\nCall-ID: ")),
        "CSeq above 32 bits": (AMBIGUOUS, _with("CSeq: 1 ", "CSeq: 4294967297 ")),
        "CSeq of another method": (f"malformed, {READ}", _with("CSeq: 1 INVITE", "CSeq: 1 OPTIONS")),
        "quotes that are never closed": (f"malformed, {READ}", _with("From: <", 'From: "Bob <')),
        "UTF-8 and escapes": (READ, _with("From: <", 'From: "Bj\u00f6rn \\"B\\" \u5f20" <')),
        "long header section (30 kB)": (READ, _with("Max-Forwards", long + "Max-Forwards")),
        f"more than {MAX_HEADERS} header lines": (LIMIT, _with("Max-Forwards", crowd + "Max-Forwards")),
        "no blank line after the header section": ("malformed", _with("\r\n\r\n", "\r\n", invite(b""))),
    }
    return Section("SIP messages", "Forms of one INVITE, in a datagram.", "form", _rows(named))


def coded(coding: str, body: bytes) -> bytes:
    return invite(body, headers=f"Content-Encoding: {coding}\r\n")


def codings() -> Section:
    """Content codings and transfer encodings."""
    bomb = bytes(MAX_DECODED + 1)
    raw = zlib.compressobj(wbits=-15)
    transfer = "Content-Transfer-Encoding: {}\r\n"
    quoted = SDP.replace(b"=", b"=3D").replace(b"crypto", b"cr=79p=\r\nto")
    named = {
        "gzip": (READ, coded("gzip", gzip.compress(SDP))),
        "x-gzip": (READ, coded("x-gzip", gzip.compress(SDP))),
        "deflate": (READ, coded("deflate", zlib.compress(SDP))),
        "deflate without zlib's header": (READ, coded("deflate", raw.compress(SDP) + raw.flush())),
        "compact name": (READ, invite(gzip.compress(SDP), headers="e: gzip\r\n")),
        "deflate, then gzip": (READ, coded("deflate, gzip", gzip.compress(zlib.compress(SDP)))),
        "gzip of several members": (READ, coded("gzip", gzip.compress(SDP[:50]) + gzip.compress(SDP[50:]))),
        "identity": (READ, coded("identity", SDP)),
        "gzip with octets after it": (AMBIGUOUS, coded("gzip", gzip.compress(SDP) + b"more")),
        "gzip cut off": (f"malformed, {READ}", coded("gzip", gzip.compress(SDP)[:-9])),
        "said to be gzip and is plain": (AMBIGUOUS, coded("gzip", SDP)),
        "br": ("unsupported", coded("br", b"\x0b\x02\x80hello\x03")),
        "bomb in gzip": (LIMIT, coded("gzip", gzip.compress(bomb))),
        "bomb in deflate": (LIMIT, coded("deflate", zlib.compress(bomb))),
        "five codings": (LIMIT, coded("gzip, gzip, gzip, gzip, gzip", gzip.compress(SDP))),
        "transfer encoding base64": (
            READ,
            invite(base64.encodebytes(SDP), headers=transfer.format("base64")),
        ),
        "transfer encoding quoted-printable": (
            READ,
            invite(quoted, headers=transfer.format("Quoted-Printable")),
        ),
        "transfer encoding binary": (READ, invite(SDP, headers=transfer.format("binary"))),
        "transfer encoding 8bit": (READ, invite(SDP, headers=transfer.format("8bit"))),
        "said to be base64 and is plain": (AMBIGUOUS, invite(SDP, headers=transfer.format("base64"))),
        "unknown transfer encoding": (f"unsupported, {READ}", invite(SDP, headers=transfer.format("x-uu"))),
    }
    return Section(
        "Codings", "Content-Encoding and Content-Transfer-Encoding of a body.", "coding", _rows(named)
    )


ODD = "=_'()+,-./:?"
PART = b"Content-Type: application/sdp\r\n\r\n" + SDP
TEXT = b"Content-Type: text/plain\r\n\r\nHello"


def multipart(*parts: bytes, boundary: bytes = b"b1") -> bytes:
    opened = b"".join(b"--" + boundary + b"\r\n" + part + b"\r\n" for part in parts)
    return opened + b"--" + boundary + b"--\r\n"


def mixed(body: bytes, content_type: str = "multipart/mixed;boundary=b1") -> bytes:
    return invite(body, content_type=content_type)


def _nested(depth: int) -> bytes:
    part = PART
    for number in range(depth - 1):
        boundary = f"n{number}"
        inner = multipart(part, boundary=boundary.encode())
        part = f"Content-Type: multipart/mixed;boundary={boundary}\r\n\r\n".encode() + inner
    return mixed(multipart(part))


def bodies() -> Section:
    """MIME."""
    other = PART.replace(KEY.encode(), OTHER.encode())
    inner = invite(sdp(KEY), "inner")
    fragment = b"From: <sip:bob@example.org>\r\nContent-Type: application/sdp\r\n\r\n" + SDP
    shown = multipart(TEXT, PART)
    named = {
        **{
            f"multipart/{kind}": (READ, mixed(shown, f"multipart/{kind};boundary=b1"))
            for kind in ("mixed", "alternative", "related", "x-unknown")
        },
        "multipart/alternative with the same keys twice (Lync)": (
            READ,
            mixed(multipart(PART, PART), "multipart/alternative;boundary=b1"),
        ),
        "multipart of one part": (READ, mixed(multipart(PART))),
        "nested four deep": (READ, _nested(4)),
        f"nested deeper than {MAX_NESTING}": (LIMIT, _nested(MAX_NESTING + 2)),
        f"more than {MAX_PARTS} parts": (LIMIT, mixed(multipart(*[TEXT] * MAX_PARTS, PART))),
        "boundary in quotes": (
            READ,
            mixed(multipart(PART, boundary=b"a b:1"), 'multipart/mixed; boundary="a b:1"'),
        ),
        "odd boundary characters": (
            READ,
            mixed(multipart(PART, boundary=ODD.encode()), f'multipart/mixed; boundary="{ODD}"'),
        ),
        "LF alone ends lines": (READ, mixed(shown.replace(b"\r\n", b"\n"))),
        "preamble and epilogue": (READ, mixed(b"preamble\r\n" + shown + b"epilogue\r\n")),
        "a key in the preamble": (AMBIGUOUS, mixed(SDP + multipart(TEXT))),
        "a key in the epilogue": (AMBIGUOUS, mixed(multipart(TEXT) + SDP)),
        "no closing boundary": (f"malformed, {READ}", mixed(b"--b1\r\n" + PART)),
        "no boundary parameter": (AMBIGUOUS, mixed(shown, "multipart/mixed")),
        "boundary that is not the one named": (AMBIGUOUS, mixed(shown, "multipart/mixed;boundary=other")),
        "two boundary parameters": (AMBIGUOUS, mixed(shown, "multipart/mixed;boundary=b1;boundary=b2")),
        "part that begins with a longer boundary": (
            AMBIGUOUS,
            mixed(multipart(TEXT + b"\r\n--b12\r\nx", PART)),
        ),
        "part without header fields": (READ, mixed(multipart(b"\r\n" + SDP))),
        "part in base64": (
            READ,
            mixed(
                multipart(PART[:31] + b"Content-Transfer-Encoding: base64\r\n\r\n" + base64.encodebytes(SDP))
            ),
        ),
        "part in gzip": (
            READ,
            mixed(multipart(PART[:31] + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(SDP))),
        ),
        "session description as application/octet-stream": (
            READ,
            invite(SDP, content_type="application/octet-stream"),
        ),
        "message/sip (RFC 3261 §23.4)": (READ, invite(inner, content_type="message/sip")),
        "message/sipfrag (RFC 3420, RFC 3893)": (READ, invite(fragment, content_type="message/sipfrag")),
        "message/sip in multipart": (
            READ,
            mixed(multipart(TEXT, b"Content-Type: message/sip\r\n\r\n" + inner)),
        ),
        "message/sip that is no message": ("malformed", invite(b"Hello", content_type="message/sip")),
    }
    rows = _rows(named)
    rows += (
        Row(
            "two session descriptions with a key each",
            "2 of 2 keys read",
            partial(datagram, mixed(multipart(PART, other)), keys=(KEY, OTHER)),
        ),
    )
    return Section("MIME", "Bodies with a session description in them.", "body", rows)
