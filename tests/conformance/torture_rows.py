"""Torture messages that others published."""

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from corpora import AMBIGUOUS, CLEAN, MALFORMED, UNSUPPORTED, Expected, by_file, counted, datagram, finished
from frames import invite
from matrix import Row, Section
from smime_material import corpus

RFC4475: Expected = {
    "mpart01.dat": (
        UNSUPPORTED,
        "valid; its second part is a signature of something that is not in the message",
    ),
    "baddn.dat": (MALFORMED, "invalid; saved without its blank line"),
    "badinv01.dat": (MALFORMED, "invalid; empty Via values"),
    "badvers.dat": (MALFORMED, "invalid; SIP/7.0"),
    "bigcode.dat": (MALFORMED, "invalid; status code 4294967301"),
    "clerr.dat": (MALFORMED, "invalid; Content-Length 9999"),
    "insuf.dat": (MALFORMED, "invalid; mandatory fields missing"),
    "ltgtruri.dat": (MALFORMED, "invalid; Request-URI in angle brackets"),
    "lwsruri.dat": (MALFORMED, "invalid; blanks in the Request-URI"),
    "lwsstart.dat": (MALFORMED, "invalid; blanks in the request line"),
    "mcl01.dat": (AMBIGUOUS, "invalid; two Content-Lengths that differ"),
    "mismatch01.dat": (MALFORMED, "invalid; CSeq of another method"),
    "mismatch02.dat": (MALFORMED, "invalid; CSeq of another, unknown method"),
    "multi01.dat": (AMBIGUOUS, "invalid; several Call-IDs, CSeqs, From and To"),
    "ncl.dat": (AMBIGUOUS, "invalid; Content-Length -999"),
    "quotbal.dat": (MALFORMED, "invalid; quotes that are never closed"),
    "scalar02.dat": (AMBIGUOUS, "invalid; CSeq above 32 bits"),
    "scalarlg.dat": (AMBIGUOUS, "invalid; CSeq above 32 bits"),
    "test.dat": (MALFORMED, "invalid; request line without a version, header lines without a colon"),
    "trws.dat": (MALFORMED, "invalid; blanks after the request line"),
}
READABLE = {
    "badaspec": "blanks in the URI of To",
    "badbranch": "branch without anything after the cookie",
    "baddate": "Date in EST",
    "bcast": "a response to somebody else",
    "bext01": "unknown options required",
    "cparam01": "URI parameters without brackets",
    "cparam02": "URI parameters in brackets",
    "escruri": "header fields in the Request-URI",
    "inv2543": "of RFC 2543",
    "invut": "unknown Content-Type",
    "novelsc": "unknown scheme of the Request-URI",
    "regaut01": "unknown authorization scheme",
    "regbadct": "Contact URI with a header field, unbracketed",
    "regescrt": "escaped header fields in a Contact",
    "sdp01": "SDP is not among what is accepted",
    "unkscm": "unknown scheme, on a Request-URI",
    "unksm2": "unknown schemes in From, To and Contact",
    "zeromf": "Max-Forwards 0",
}
"""RFC 4475: the invalid messages in which what is wrong, or asked for, leaves one reading."""


def rfc4475() -> Section:
    """RFC 4475, by its labels."""
    labels = dict(line.split("\t") for line in corpus("torture/rfc4475/labels.tsv").read_text().splitlines())
    expected = dict(RFC4475)
    for name, label in labels.items():
        if name not in expected:
            why = f"invalid; {READABLE[name[:-4]]}: it leaves one reading" if label == "invalid" else "valid"
            expected[name] = (CLEAN, why)
    rows = by_file("torture/rfc4475", "*.dat", expected, lambda file: datagram(file.read_bytes()))
    return Section("RFC 4475", "The torture messages, each in a datagram.", "file", rows)


RFC5118: Expected = {
    "ipv6-bug-abnf-3-colons": (MALFORMED, "saved without its blank line"),
    "ipv6-correct-abnf-2-colons": (MALFORMED, "saved without its blank line"),
    "ipv6-in-sdp": (MALFORMED, "saved with LF, and its Content-Length counts CRLF"),
    "mult-ip-in-sdp": (MALFORMED, "saved with LF, and its Content-Length counts CRLF"),
}


def rfc5118() -> Section:
    """RFC 5118."""
    rows = by_file("torture/rfc5118", "[!R]*", RFC5118, lambda file: datagram(file.read_bytes()))
    return Section("RFC 5118", "The torture messages of IPv6, as they were saved.", "file", rows)


JAIN: Expected = {
    "001_expectfail.sip": (MALFORMED, "stray blanks in the request line"),
    "003_expectfail.sip": (MALFORMED, "Request-URI in angle brackets"),
    "004_expectfail.sip": (MALFORMED, "blanks in the Request-URI"),
    "014_ok.sip": (AMBIGUOUS, "a line of blanks, which some take for the end of the header section"),
    "017_expectfail.sip": (MALFORMED, "From, To, Call-ID and CSeq twice, alike"),
    "025_ok.sip": (MALFORMED, "no From, To and Call-ID"),
    "031_expectfail.sip": (MALFORMED, "no From and To"),
    "035_expectfail.sip": (MALFORMED, "SIP/02.00"),
    "066_expectfail.sip": (MALFORMED, "CSeq of another method"),
    "327_expectfail.sip": ("no SIP", "no blank between the method and the URI"),
    "333_ok.sip": (AMBIGUOUS, "saved without the blank line between two messages"),
    "336_ok.sip": (AMBIGUOUS, "binary S/MIME that was saved as text, longer than Content-Length"),
    "339_expectfail.sip": (MALFORMED, "empty Via values"),
    "340_expectfail.sip": (MALFORMED, "Content-Length 9999"),
    "341_expectfail.sip": (AMBIGUOUS, "Content-Length -999"),
    "342_expectfail.sip": (AMBIGUOUS, "CSeq above 32 bits"),
    "343_expectfail.sip": (AMBIGUOUS, "CSeq above 32 bits"),
    "344_expectfail.sip": (MALFORMED, "quotes that are never closed"),
    "345_expectfail.sip": (MALFORMED, "Request-URI in angle brackets"),
    "346_expectfail.sip": (MALFORMED, "blanks in the Request-URI"),
    "347_expectfail.sip": (MALFORMED, "blanks in the request line"),
    "348_expectfail.sip": (MALFORMED, "blanks after the request line"),
    "354_expectfail.sip": (MALFORMED, "SIP/7.0"),
    "355_expectfail.sip": (MALFORMED, "CSeq of another method"),
    "356_expectfail.sip": (MALFORMED, "CSeq of another method"),
    "357_expectfail.sip": (MALFORMED, "status code 4294967301"),
    "359_expectfail.sip": (MALFORMED, "mandatory fields missing"),
    "366_ok.sip": (AMBIGUOUS, "several Call-IDs, CSeqs, From and To"),
    "367_expectfail.sip": (AMBIGUOUS, "two Content-Lengths that differ"),
}
JAIN_READABLE: Expected = {
    "006_expectfail.sip": (CLEAN, "header fields in the Request-URI leave one reading"),
    "007_expectfail.sip": (CLEAN, "an unknown scheme leaves one reading"),
    "024_expectfail.sip": (CLEAN, "an unknown method is none of our business"),
    "029_expectfail.sip": (CLEAN, "Call-Info and Contact are not read"),
    "349_expectfail.sip": (CLEAN, "header fields in the Request-URI leave one reading"),
    "350_expectfail.sip": (CLEAN, "Date is not read"),
    "351_expectfail.sip": (CLEAN, "Contact is not read"),
    "352_expectfail.sip": (CLEAN, "blanks in the URI of To leave one reading"),
    "353_expectfail.sip": (CLEAN, "a display name that should be quoted leaves one reading"),
}


def jain_sip() -> Section:
    """The tests of JAIN-SIP: those that are read as their label says, and each of the others."""
    known = JAIN | JAIN_READABLE
    rest = sorted(file for file in corpus("torture/jain-sip").glob("*.sip") if file.name not in known)
    files = [file for file in sorted(corpus("torture/jain-sip").glob("*.sip")) if file.name in known]
    rows = [
        counted(
            "_ok, but those below",
            f"{sum('_ok' in file.name for file in rest)} × {CLEAN}",
            lambda: (datagram(finished(file)) for file in rest),
            "valid",
        )
    ]
    rows += [
        Row(file.name, known[file.name][0], lambda file=file: datagram(finished(file)), known[file.name][1])  # type: ignore[misc]
        for file in files
    ]
    assert all("_ok" in file.name for file in rest)
    about = (
        "Valid (`_ok`) and invalid (`_expectfail`) messages; a last line end is put to those saved without."
    )
    return Section("JAIN-SIP", about, "file", tuple(rows))


LIBOSIP2: Expected = {
    "sip0": (AMBIGUOUS, "two Call-IDs"),
    "sip2": (AMBIGUOUS, "multipart, said to be compressed, longer than Content-Length"),
    "sip37": (MALFORMED, "no Via"),
    "sip44": (MALFORMED, "no Via"),
    "sip52": (MALFORMED, "CSeq of another method"),
    "sip58": (AMBIGUOUS, "line ends that differ: two places may end the header section"),
    "sip66": (MALFORMED, "Content-Length 562 before 561 octets"),
    "sip74": (AMBIGUOUS, "line ends that differ: two places may end the header section"),
    "sip77": (MALFORMED, "SIP/7.0"),
    "sip79": (AMBIGUOUS, "line ends that differ: two places may end the header section"),
    "sip88": (MALFORMED, "no blank line after the header section"),
    "sip90": (MALFORMED, "CSeq of another method"),
    "sip91": (AMBIGUOUS, "octets after the body that are no text"),
    "sip92": (MALFORMED, "mandatory fields missing"),
    "sip93": (AMBIGUOUS, "CR alone in the header section"),
    "sip94": (AMBIGUOUS, "CR alone in the header section"),
    "sip95": (MALFORMED, "mandatory fields missing, and a Via that is none"),
    "sip-malformed1": (MALFORMED, "mandatory fields missing"),
    "sip-malformed2": (AMBIGUOUS, "two Call-IDs"),
    "sip-malformed3": (MALFORMED, "empty Via values"),
    "sip-malformed4": (MALFORMED, "Content-Length 9999"),
    "sip-malformed5": (AMBIGUOUS, "Content-Length -999"),
    "sip-malformed6": (MALFORMED, "quotes that are never closed"),
    "sip-malformed7": (MALFORMED, "no blank line after the header section"),
    "sip-malformed8": (MALFORMED, "blanks after the request line"),
    "sip-malformed9": (AMBIGUOUS, "multipart, said to be compressed, longer than Content-Length"),
    "sip-malformed10": (MALFORMED, "blanks in the Request-URI"),
    "sip-malformed12": (MALFORMED, "Request-URI in angle brackets"),
    "sip-malformed13": (AMBIGUOUS, "CR alone in the header section"),
    "sip-malformed14": (f"{MALFORMED}, {AMBIGUOUS}", "NUL in the header section"),
    "sip-malformed15": (AMBIGUOUS, "CR alone in the header section"),
    "sip-malformed16": (MALFORMED, "a status line without a status code"),
    "sip-malformed17": (AMBIGUOUS, "CR alone in the header section"),
    "sip-malformed18": (MALFORMED, "a status line without a status code"),
    "sip-malformed19": (AMBIGUOUS, "two From fields that differ"),
    "sip-malformed21": (AMBIGUOUS, "two Call-IDs"),
    "sip-malformed22": (AMBIGUOUS, "octets after the body that are no text"),
}
FIELDS = {
    "auths.txt": "Proxy-Authorization",
    "wwwas.txt": "WWW-Authenticate",
    "callids.txt": "Call-ID",
    "contacts.txt": "Contact",
    "contenttypes.txt": "Content-Type",
    "froms.txt": "From",
    "tos.txt": "To",
    "recordroutes.txt": "Record-Route",
    "routes.txt": "Route",
    "urls.txt": "",
    "urls-2.txt": "",
    "urls-3.txt": "",
    "vias.txt": "Via",
}
"""libosip2: values by line, and the header field that they belong in; the Request-URI where that is empty."""


def _osip(file: Path) -> str:
    return datagram(re.sub(rb"\Aexpected_error[^\r\n]*\r?\n?", b"", file.read_bytes()))


def _with_value(name: str, value: bytes) -> bytes:
    message = invite(b"")
    if not name:
        return message.replace(b"sip:alice@example.org SIP", value + b" SIP", 1)
    field = name.encode()
    if b"\r\n" + field + b": " in message:
        return re.sub(rb"(?<=\r\n" + field + rb": )[^\r\n]*", lambda _: value, message, count=1)
    return message.replace(b"\r\nMax-Forwards", b"\r\n" + field + b": " + value + b"\r\nMax-Forwards", 1)


def _values(file: Path) -> Iterator[str]:
    for line in file.read_bytes().splitlines():
        if line.strip() and not line.startswith(b"#"):
            yield datagram(_with_value(FIELDS[file.name], line.strip()))


def _parts(name: str) -> list[bytes]:
    """A file in which lines that begin with a bar part messages from one another."""
    octets = corpus("torture/libosip2", name).read_bytes()
    return [part for part in re.split(rb"(?m)^\|", octets) if part.strip()]


def _messages(name: str) -> Iterator[str]:
    for part in _parts(name):
        # What is wrong with a message stands in the line before it.
        start = re.search(rb"(?m)^(?:SIP/2.0 |\S+ +\S.* SIP/)", part)
        yield datagram(part[start.start() if start else 0 :])


def libosip2() -> Section:
    """The tests of libosip2."""
    folder = corpus("torture/libosip2")
    rows = list(by_file("torture/libosip2", "sip*", LIBOSIP2, _osip))
    rows += [
        counted(f"{name}, by line as {field or 'Request-URI'}", VALUES[name], partial(_values, folder / name))
        for name, field in FIELDS.items()
    ]
    rows += by_file("torture/libosip2", "sdp*", {}, lambda file: datagram(invite(file.read_bytes())))
    rows += [
        counted(
            "torture_sdps",
            f"15 × {CLEAN}",
            lambda: (datagram(invite(part)) for part in _parts("torture_sdps")),
        ),
        counted(
            "torture_hgs",
            f"29 × {CLEAN}, 2 × {AMBIGUOUS}, 11 × {MALFORMED}",
            lambda: _messages("torture_hgs"),
        ),
        counted(
            "torture_msgs2",
            f"79 × {CLEAN}, 3 × {AMBIGUOUS}, 11 × {MALFORMED}",
            lambda: _messages("torture_msgs2"),
        ),
    ]
    return Section("libosip2", "Messages, header field values and session descriptions.", "file", tuple(rows))


VALUES = {
    "auths.txt": f"14 × {CLEAN}",
    "wwwas.txt": f"15 × {CLEAN}",
    "callids.txt": f"4 × {CLEAN}",
    "contacts.txt": f"89 × {CLEAN}",
    "contenttypes.txt": f"9 × {CLEAN}",
    "froms.txt": f"93 × {CLEAN}, 12 × {MALFORMED}",
    "tos.txt": f"81 × {CLEAN}, 1 × {MALFORMED}",
    "recordroutes.txt": f"7 × {CLEAN}",
    "routes.txt": f"7 × {CLEAN}",
    "urls.txt": f"75 × {CLEAN}, 3 × {MALFORMED}",
    "urls-2.txt": f"15 × {CLEAN}",
    "urls-3.txt": f"11 × {CLEAN}",
    "vias.txt": f"18 × {CLEAN}, 1 × {MALFORMED}",
}
