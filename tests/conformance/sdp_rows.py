"""Key attributes in session descriptions."""

import base64
from collections.abc import Callable
from functools import partial

from frames import invite
from matrix import Row, Section
from probe import KEY, OTHER
from sip_rows import AMBIGUOUS, LIMIT, READ, SDP, datagram

from monitor.sip.sdes import MAX_LINE_KEYS, SUITES
from monitor.sip.sdp import MAX_KEYS

SUITE = "AES_CM_128_HMAC_SHA1_80"


def line(*attributes: str) -> bytes:
    """A session description with these attribute lines."""
    return SDP.partition(b"a=crypto")[0] + "".join(f"a={each}\r\n" for each in attributes).encode()


def session(attribute: str) -> bytes:
    """A session description with this attribute at session level."""
    return f"v=0\r\ns=-\r\nt=0 0\r\na={attribute}\r\nm=audio 4000 RTP/SAVP 0\r\n".encode()


def _suite(suite: str, length: int, *, padded: bool) -> str:
    key = base64.b64encode(bytes(range(length))).decode()
    written = key if padded else key.rstrip("=")
    return datagram(invite(line(f"crypto:1 {suite} inline:{written}")), keys=(_probe(suite, key),))


def _probe(suite: str, key: str) -> str:
    """A key for the probe's session description, which is of another suite."""
    return f"{key}|2^20\r\na=crypto:2 {suite} inline:{key}"


def sdes() -> Section:
    """RFC 4568 and its suites."""
    suites = tuple(
        Row(
            f"{str(suite, 'ascii').upper()}{'' if padded else ', padding left out'}",
            READ,
            partial(_suite, str(suite, "ascii").upper(), length, padded=padded),
        )
        for suite, length in SUITES.items()
        for padded in ((True, False) if length % 3 else (True,))
    )
    short = base64.b64encode(bytes(8)).decode()
    named: dict[str, tuple[str, bytes]] = {
        "lifetime 2^20": (READ, line(f"crypto:1 {SUITE} inline:{KEY}|2^20")),
        "lifetime 1048576": (READ, line(f"crypto:1 {SUITE} inline:{KEY}|1048576")),
        "MKI": (READ, line(f"crypto:1 {SUITE} inline:{KEY}|1:4")),
        "lifetime and MKI": (READ, line(f"crypto:1 {SUITE} inline:{KEY}|2^20|1:4")),
        "session parameters": (
            READ,
            line(f"crypto:1 {SUITE} inline:{KEY} KDR=1 UNENCRYPTED_SRTP FEC_ORDER=FEC_SRTP WSH=60 -X"),
        ),
        "tag of nine digits": (READ, line(f"crypto:999999999 {SUITE} inline:{KEY}")),
        "unknown suite": (READ, line(f"crypto:1 SOME_SUITE inline:{KEY}")),
        "key at session level": (READ, session(f"crypto:1 {SUITE} inline:{KEY}")),
        "key too short for its suite": ("malformed", line(f"crypto:1 {SUITE} inline:{short}")),
        "tag that is no number": (f"malformed, {READ}", line(f"crypto:a {SUITE} inline:{KEY}")),
        "tag of ten digits": (f"malformed, {READ}", line(f"crypto:1234567890 {SUITE} inline:{KEY}")),
        "key method left out": (f"malformed, {READ}", line(f"crypto:1 {SUITE} {KEY}")),
        "key method in capitals": (f"malformed, {READ}", line(f"crypto:1 {SUITE} INLINE:{KEY}")),
        "attribute in capitals": (f"malformed, {READ}", line(f"CRYPTO:1 {SUITE} inline:{KEY}")),
        "blanks in the line": (f"malformed, {READ}", line(f" crypto :1 {SUITE} inline:{KEY}")),
        "lifetime that is none": (f"malformed, {READ}", line(f"crypto:1 {SUITE} inline:{KEY}|x|y")),
        "characters that are no base64": (
            f"malformed, {AMBIGUOUS}",
            line(f"crypto:1 {SUITE} inline:{KEY[:9]}@{KEY[9:]}"),
        ),
        "no key at all": ("malformed", line(f"crypto:1 {SUITE}")),
        f"more than {MAX_LINE_KEYS} keys in a line": (
            LIMIT,
            line(f"crypto:1 {SUITE} inline:{KEY}" + f";inline:{OTHER}" * MAX_LINE_KEYS),
        ),
        f"more than {MAX_KEYS} keys": (LIMIT, line(*[f"crypto:1 {SUITE} inline:{KEY}"] * (MAX_KEYS + 1))),
        "lines that end in LF": (READ, SDP.replace(b"\r\n", b"\n")),
        "lines that end in CR": (READ, SDP.replace(b"\r\n", b"\r")),
    }
    both: dict[str, Callable[[], str]] = {
        "two keys in one line": lambda: datagram(
            invite(line(f"crypto:1 {SUITE} inline:{KEY}|2^20|1:4;inline:{OTHER}|2^20|2:4")), keys=(KEY, OTHER)
        ),
        "two lines": lambda: datagram(
            invite(line(f"crypto:1 {SUITE} inline:{KEY}", f"crypto:2 {SUITE} inline:{OTHER}")),
            keys=(KEY, OTHER),
        ),
    }
    rows = tuple(
        Row(name, expected, partial(datagram, invite(body))) for name, (expected, body) in named.items()
    )
    rows += tuple(Row(name, "2 of 2 keys read", observe) for name, observe in both.items())
    about = "RFC 4568, with the suites of RFC 6188, RFC 7714 and RFC 5669."
    return Section("SDES", about, "attribute", (*suites, *rows))


def dialects() -> Section:
    """MIKEY and what vendors send."""
    blob = base64.b64encode(bytes(range(100))).decode()
    lync = line(
        f"cryptoscale:1 client {SUITE} inline:{OTHER}|2^31|1:1",
        f"crypto:2 {SUITE} inline:{KEY}|2^31|1:1",
        f"crypto:3 {SUITE} inline:{KEY}|2^31",
    )
    twice = lync + lync.partition(b"t=0 0\r\n")[2].replace(b"m=audio 4000", b"m=video 4002")
    mikey = _probe_mikey(blob)
    rows = (
        Row("MIKEY at media level (RFC 4567)", READ, lambda: _mikey(line(f"key-mgmt:mikey {blob}"), mikey)),
        Row(
            "MIKEY at session level",
            READ,
            lambda: _mikey(session(f"key-mgmt:mikey {blob}"), mikey),
        ),
        Row(
            "key management other than MIKEY",
            f"unsupported, {READ}",
            lambda: _mikey(line(f"key-mgmt:other {blob}"), mikey),
        ),
        Row("MIKEY without data", "malformed", lambda: datagram(invite(line("key-mgmt:mikey")))),
        Row(
            "potential configuration (acap, RFC 5939)",
            READ,
            lambda: datagram(invite(line(f"acap:1 crypto:1 {SUITE} inline:{KEY}|2^20|1:32", "pcfg:1 a=1"))),
        ),
        Row(
            "Lync: cryptoscale, and a key in two lines",
            "duplicate-key, 2 of 2 keys read",
            lambda: datagram(invite(lync), keys=(KEY, OTHER)),
        ),
        Row(
            "Lync: the same keys in every m-line",
            "duplicate-key, 2 of 2 keys read",
            lambda: datagram(invite(twice), keys=(KEY, OTHER)),
        ),
        Row(
            "DTLS fingerprint, which is no secret",
            "clean, no key",
            lambda: datagram(invite(line("fingerprint:sha-256 AA:BB"))),
        ),
    )
    return Section("MIKEY and dialects", "Other attributes with keys in them.", "attribute", rows)


def _probe_mikey(blob: str) -> str:
    return f"{OTHER}\r\na=key-mgmt:mikey {blob}"


def _mikey(body: bytes, probe: str) -> str:
    return datagram(invite(body), keys=(probe,))
