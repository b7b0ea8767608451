"""Where fuzzing begins: the captures that come with the project, and what SIP_CORPORA holds, if it is set."""

import gzip
import os
import random
import zlib
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path

from fuzz_targets import KEYS, LINKS, run

from monitor.capture.pcap import open_capture
from monitor.cms import ber
from monitor.shipped import shipped
from monitor.simulate import cms, keyring
from monitor.sip import message
from monitor.sip.error import SipError
from monitor.store.memory import MemoryStore
from monitor.wire.decoder import Decoder
from monitor.wire.flow import Datagram, WireError
from monitor.wire.frame import Frame

CAPTURES = KEYS.parent
MOST = 8192
"""Octets of an input."""
GROUP = 3
"""Frames or messages in one input."""

WORDS = b"""SIP/2.0|INVITE |ACK |BYE |Via: SIP/2.0/UDP |;branch=z9hG4bK|Content-Length: 0|l: 5|Content-Type: |
c: |Content-Encoding: gzip|e: deflate|Content-Transfer-Encoding: base64|quoted-printable|application/sdp|
message/sip|message/sipfrag|application/pkcs7-mime|application/pkcs7-signature|application/octet-stream|
multipart/mixed|multipart/signed|multipart/alternative|boundary=b|--b|--b--|;tag=|Call-ID: |CSeq: 1 INVITE|
From: |To: |v=0|m=audio 1 |c=IN IP4 |a=crypto:1 |AES_CM_128_HMAC_SHA1_80 |AEAD_AES_256_GCM |inline:|;inline:|
|2^20||1:4|a=acap:1 |a=key-mgmt:mikey |a=cryptoscale:1 client |-----BEGIN PKCS7-----|[policy]|[[step]]|
tool = "|relays = ["|= true"""
"""Fragments for the fuzzer to put in, besides those of ASN.1."""
OCTETS = (
    b"\r\n\r\n", b"\r\n ", b"\n\n", b"\0\0", b"\x30\x80", b"\x24\x80", b"\x1f\x8b\x08\x00",
    bytes.fromhex("06092a864886f70d010701"), bytes.fromhex("06092a864886f70d010702"),
    bytes.fromhex("06092a864886f70d010703"), bytes.fromhex("060b2a864886f70d0109100117"),
    bytes.fromhex("060b2a864886f70d0109100109"), bytes.fromhex("06092a864886f70d01010a"),
    bytes.fromhex("0609608648016503040102"), bytes.fromhex("81000800"), bytes.fromhex("88641100"),
)  # fmt: skip


def dictionary() -> str:
    """The words in libFuzzer's form."""
    words = [*(word.strip(b"\n") for word in WORDS.split(b"|")), *OCTETS]
    escaped = ["".join(rf"\x{octet:02x}" for octet in word) for word in words if word]
    return "".join(f'"{word}"\n' for word in escaped)


def packed(pieces: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The inverse of ``fuzz_targets.cut``."""
    return b"".join(head + len(octets).to_bytes(2) + octets for head, octets in pieces if len(octets) < MOST)


def groups(pieces: Iterable[tuple[bytes, bytes]]) -> Iterator[bytes]:
    """A few pieces at a time."""
    pieces = list(pieces)
    for at in range(0, len(pieces), GROUP):
        yield packed(pieces[at : at + GROUP])


@cache
def frames() -> tuple[Frame, ...]:
    """Some frames of every capture."""
    found: list[Frame] = []
    for path in [*sorted(CAPTURES.glob("*.pcap*")), *corpus("pcap/*")]:
        with open_capture(str(path)) as capture:
            found += [frame for frame, _ in zip(capture, range(60), strict=False)]
    return tuple(found)


@cache
def corpus(pattern: str) -> tuple[Path, ...]:
    """Third-party files."""
    root = os.environ.get("SIP_CORPORA")
    return tuple(sorted(path for path in Path(root).glob(pattern) if path.is_file())) if root else ()


@cache
def payloads() -> tuple[bytes, ...]:
    """SIP messages."""
    found = [path.read_bytes() for path in corpus("torture/*/*")]
    reader = Decoder()
    for frame in frames():
        try:
            unit = reader.decode(frame)
        except WireError:
            continue
        if isinstance(unit, Datagram):
            found.append(unit.payload)
    return tuple(found)


@cache
def bodies() -> tuple[bytes, ...]:
    """Bodies with the header fields that tell of them."""
    found = []
    for payload in payloads():
        try:
            read = message.parse(payload)
        except SipError:
            continue
        if read.body:
            fields = [(name, value) for name, value in read.headers if name.startswith("content-")]
            found.append(b"".join(b"%s: %s\r\n" % (name.encode(), value) for name, value in fields))
            found[-1] += b"\r\n" + read.body
    return tuple(found)


@cache
def blobs() -> tuple[bytes, ...]:
    """CMS of every kind, and certificates."""
    found = [path.read_bytes() for path in corpus("smime/*/*") + corpus("smime/*/*/*")]
    found += [body.partition(b"\r\n\r\n")[2] for body in bodies() if b"pkcs7" in body]
    people, chance = keyring.load(KEYS), random.Random(1)
    for detached in (True, False):
        found.append(cms.signature(b"content", people["bob"], 1_700_000_000, detached=detached))
    sealed = cms.envelope(found[-1], [people["alice"], people["bob"]], chance)
    found += [sealed, cms.indefinite(sealed, chance), cms.with_recipient(sealed, chance)]
    found += [path.read_bytes() for path in sorted(KEYS.glob("*.pem"))]
    found.append(ber.encode(0x30, b"".join(ber.encode(tag, b"\1") for tag in (1, 2, 3, 4, 6))))
    return tuple(found)


@cache
def written() -> tuple[bytes, ...]:
    """Records that a run over the captures leaves in its store."""
    store = MemoryStore()
    run(iter(frames()[:400]), store)
    return tuple(entry.record for entry in store.records(limit=300))


def texts(*folders: Path) -> tuple[bytes, ...]:
    """TOML files."""
    return tuple(path.read_bytes() for folder in folders for path in sorted(folder.rglob("*.toml")))


def sessions() -> Iterator[bytes]:
    """Session descriptions."""
    yield from (body.partition(b"\r\n\r\n")[2] for body in bodies() if b"v=0" in body)
    yield from (path.read_bytes() for path in (*corpus("sdes/*/*.sdp"), *corpus("sdes/*/*/*.sdp")))


def captures() -> Iterator[bytes]:
    """The first octets of capture files."""
    for path in [*sorted(CAPTURES.glob("*.pcap*")), *corpus("pcap/*")]:
        octets = path.read_bytes()
        yield from (octets[:700], octets[:4000], gzip.compress(octets[:4000]))


def compressed() -> Iterator[bytes]:
    """Bodies in each coding."""
    for body in bodies()[:20]:
        yield b"\0" + gzip.compress(body)
        yield b"\1" + zlib.compress(body)
        yield b"\1" + zlib.compress(body)[2:-4]
        yield b"\2" + zlib.compress(gzip.compress(body))


def _messages(payloads: Iterable[bytes], head: bytes) -> Iterator[bytes]:
    return groups((head, payload) for payload in payloads)


def _segments() -> Iterator[bytes]:
    for payload in payloads()[:100]:
        cuts = [payload[at : at + 300] for at in range(0, len(payload), 300)]
        yield packed((b"\0\x18", piece) for piece in cuts)


def _raw_segments() -> Iterator[bytes]:
    chance = random.Random(1)
    for _ in range(60):
        sequence, pieces = chance.randrange(-900, 900), []
        for _ in range(chance.randrange(1, 12)):
            octets, flags = chance.randbytes(chance.randrange(40)), chance.choice((2, 0x10, 0x18, 0x11, 0x14))
            head = bytes((chance.randrange(4), flags)) + (sequence % 65536).to_bytes(2) + bytes(4)
            pieces.append((head, octets))
            sequence += chance.choice((len(octets), len(octets), 0, -7, 60))
        yield packed(pieces)


def _frames() -> Iterator[bytes]:
    return groups((bytes((LINKS.index(frame.link), 1)), frame.data) for frame in frames())


def _pieces() -> Iterator[bytes]:
    for payload in payloads():
        cuts = [payload[at : at + 500] for at in range(0, len(payload), 500)]
        yield packed((b"", piece) for piece in cuts)


SEEDS: dict[str, Callable[[], Iterable[bytes]]] = {
    "capture": captures,
    "decoder": _frames,
    "streams": _raw_segments,
    "sip-message": payloads,
    "framing": _pieces,
    "entities": bodies,
    "codings": compressed,
    "session": sessions,
    "elements": blobs,
    "cms": blobs,
    "signatures": blobs,
    "recipients": blobs,
    "records": written,
    "templates": lambda: texts(shipped("templates"), shipped("templates").parent),
    "configuration": lambda: texts(CAPTURES, shipped("templates").parent),
    "datagrams": lambda: _messages(payloads(), b"\1"),
    "connection": _segments,
    "pipeline": _frames,
}


def seeds(target: str) -> list[bytes]:
    """Inputs to begin with, the same for the same files."""
    return list(dict.fromkeys(seed[:MOST] for seed in SEEDS[target]()))
