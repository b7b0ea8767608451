"""Messages that others published: what is valid reads clean, what is not is told or read."""

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from sip_samples import Reports

from monitor.exceptions import ExceptionName
from monitor.sip import mime, sdp
from monitor.sip.error import SipError
from monitor.sip.framing import looks_like_sip
from monitor.sip.message import Message, parse
from monitor.sip.mime import Entity

CORPORA = Path(os.environ.get("SIP_CORPORA", "/nonexistent"))
pytestmark = pytest.mark.skipif(not CORPORA.is_dir(), reason="SIP_CORPORA does not name a folder")

AMBIGUOUS, MALFORMED = ExceptionName.AMBIGUOUS, ExceptionName.MALFORMED


def names(message: Message) -> set[ExceptionName]:
    return {name for name, _ in message.troubles}


def read(raw: bytes) -> set[ExceptionName]:
    """Every exception that reading a message to its keys raises."""
    reports = Reports()
    try:
        message = parse(raw)
    except SipError as error:
        return {error.name}
    body = mime.body(message, reports)
    entities = [] if body is None else [body]
    while entities:
        entity: Entity = entities.pop()
        if entity.media_type.startswith("multipart/"):
            entities += mime.parts(entity, reports)
        else:
            sdp.keys(entity.content, reports)
    return names(message) | set(reports.names)


TOLD = {
    "baddn": MALFORMED,
    "badinv01": MALFORMED,
    "badvers": MALFORMED,
    "bigcode": MALFORMED,
    "clerr": MALFORMED,
    "insuf": MALFORMED,
    "ltgtruri": MALFORMED,
    "lwsruri": MALFORMED,
    "lwsstart": MALFORMED,
    "mcl01": AMBIGUOUS,
    "mismatch01": MALFORMED,
    "mismatch02": MALFORMED,
    "multi01": AMBIGUOUS,
    "ncl": AMBIGUOUS,
    "quotbal": MALFORMED,
    "scalar02": AMBIGUOUS,
    "scalarlg": AMBIGUOUS,
    "test": MALFORMED,
    "trws": MALFORMED,
}
"""RFC 4475: the invalid messages whose fault matters for reading them. The others ask for what is invalid,
and are written well enough."""


def test_rfc4475() -> None:
    folder = CORPORA / "torture/rfc4475"
    for line in (folder / "labels.tsv").read_text().splitlines():
        name, label = line.split()
        raw = (folder / name).read_bytes()
        assert looks_like_sip(raw), name
        found = read(raw)
        if label == "valid":
            assert found == set(), name
        else:
            assert found == ({TOLD[name[:-4]]} if name[:-4] in TOLD else set()), name


def test_rfc4475_values() -> None:
    message: Callable[[str], Message] = lambda name: parse((CORPORA / f"torture/rfc4475/{name}").read_bytes())  # noqa: E731
    wsinv = message("wsinv.dat")
    assert (wsinv.from_uri, wsinv.from_tag, wsinv.to_tag) == (
        "sip:jdrosen@example.com",
        "98asjd8",
        "1918181833n",
    )
    assert [(via.transport, via.host, via.branch) for via in wsinv.vias] == [
        ("UDP", "192.0.2.2", "390skdjuw"),
        ("TCP", "spindle.example.com", "z9hG4bK9ikj8"),
        ("UDP", "192.168.255.111", "z9hG4bK30239"),
    ]
    assert (wsinv.cseq, wsinv.call_id) == (9, "wsinv.ndaksdj@192.0.2.1")
    intmeth = message("intmeth.dat")
    assert intmeth.method == "!interesting-Method0123456789_*+`.%indeed'~"
    assert intmeth.from_tag == "_token~1'+`*%!-."
    assert message("esc02.dat").method == "RE%47IST%45R"
    assert len(message("longreq.dat").vias) == 34
    assert message("dblreq.dat").body == b""
    found = mime.body(message("mpart01.dat"), Reports())
    assert found is not None
    kinds = [(part.media_type, mime.sniff(part.content)) for part in mime.parts(found, Reports())]
    assert kinds == [("text/plain", None), ("application/octet-stream", "application/pkcs7-mime")]


def test_rfc5118() -> None:
    # The files have LF line ends, which their Content-Length does not always count.
    wrong_length = {"ipv6-in-sdp": {MALFORMED}}
    for path in sorted((CORPORA / "torture/rfc5118").iterdir()):
        if path.suffix == ".md":
            continue
        raw = path.read_bytes().replace(b"\n", b"\r\n")
        if b"\r\n\r\n" not in raw:
            raw += b"\r\n"
        assert read(raw) == wrong_length.get(path.name, set()), path.name
    hosts = parse((CORPORA / "torture/rfc5118/via-received-param-no-delim").read_bytes()).vias[0]
    assert (hosts.host, hosts.received) == ("2001:db8::9:1", "2001:db8::9:255")


JAIN_ODD = {
    "014_ok.sip": "a line of blanks that this stack takes for the end of the header section",
    "017_expectfail.sip": "doubles",
    "025_ok.sip": "no From, To and Call-ID",
    "333_ok.sip": "two messages run into one another",
    "336_ok.sip": "binary content that was saved as text",
    "366_ok.sip": "two of every field",
}


def test_jain_sip() -> None:
    clean = told = 0
    for path in sorted((CORPORA / "torture/jain-sip").glob("*.sip")):
        raw = path.read_bytes()
        if not re.search(rb"\n\r?\n", raw.lstrip()):
            raw += b"\r\n"  # the files were saved without their last line
        found = read(raw)
        if path.name.endswith("_ok.sip") and path.name not in JAIN_ODD:
            assert found == set(), path.name
            clean += 1
        else:
            told += bool(found)
    assert clean == 336
    assert told >= 24


def test_libosip2() -> None:
    for path in sorted((CORPORA / "torture/libosip2").iterdir()):
        raw = re.sub(rb"\Aexpected_error[^\r\n]*\r?\n?", b"", path.read_bytes())
        read(raw)
        sdp.keys(raw, Reports())


def test_rfc4568() -> None:
    counts = {"ex_4_5.sdp": 2, "ex_7_offer.sdp": 3, "ex_7_answer.sdp": 1}
    for name, count in counts.items():
        reports = Reports()
        assert len(sdp.keys((CORPORA / "sdes/rfc4568" / name).read_bytes(), reports)) == count
        assert reports == []


def test_pjproject_seeds() -> None:
    keyless = {"invalid-base64", "missing-components", "short-key"}
    for path in sorted((CORPORA / "sdes/pjproject-seeds/sdes").glob("*.sdp")):
        found = sdp.keys(path.read_bytes(), Reports())
        assert bool(found) != (path.stem.removeprefix("seed-crypto-") in keyless), path.name
    for path in sorted((CORPORA / "sdes/pjproject-seeds").glob("sip*/*/*")):
        read(path.read_bytes())
