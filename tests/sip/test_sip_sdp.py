"""Keys in session descriptions: the grammar of RFC 4568, dialects, and what hides from it."""

import base64

import pytest
from sip_samples import KEY_ONE, KEY_TWO, OCTETS_ONE, OCTETS_TWO, SDP, Reports

from monitor.exceptions import ExceptionName
from monitor.sip import sdp
from monitor.sip.sdes import MAX_LINE_KEYS, SUITES, KeyMaterial
from monitor.sip.sdp import MAX_HOST, MAX_KEYS, MAX_LINES, keys

AMBIGUOUS, MALFORMED, LIMIT = ExceptionName.AMBIGUOUS, ExceptionName.MALFORMED, ExceptionName.LIMIT
SUITE = b"AES_CM_128_HMAC_SHA1_80"


def description(*lines: bytes) -> bytes:
    first = [b"v=0", b"s=-", b"c=IN IP4 192.0.2.10", b"t=0 0", b"m=audio 49170 RTP/SAVP 0"]
    return b"\r\n".join([*first, *lines, b""])


def octets(content: bytes, reports: Reports) -> list[bytes]:
    return [key.octets for key in keys(content, reports)]


def test_a_description() -> None:
    reports = Reports()
    assert keys(SDP, reports) == (KeyMaterial(OCTETS_ONE, "sdes", 0, 0, ("192.0.2.10", 49170)),)
    assert keys(SDP.replace(b"crypto", b"x").replace(b"inline", b"y"), reports) == ()
    assert reports == []


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (b"1 %s inline:%s" % (SUITE, KEY_ONE), [OCTETS_ONE]),
        (b"1 %s inline:%s|2^20" % (SUITE, KEY_ONE), [OCTETS_ONE]),
        (b"1 %s inline:%s|1048576" % (SUITE, KEY_ONE), [OCTETS_ONE]),
        (b"1 %s inline:%s|1:4" % (SUITE, KEY_ONE), [OCTETS_ONE]),
        (b"1 %s inline:%s|2^20|1:4" % (SUITE, KEY_ONE), [OCTETS_ONE]),
        (
            b"999999999 %s inline:%s|2^20|1:4;inline:%s|2^20|2:4" % (SUITE, KEY_ONE, KEY_TWO),
            [OCTETS_ONE, OCTETS_TWO],
        ),
        (
            b"1 %s inline:%s KDR=1 UNENCRYPTED_SRTP FEC_KEY=inline:x WSH=60 -X" % (SUITE, KEY_ONE),
            [OCTETS_ONE],
        ),
        (b"1  %s\tinline:%s " % (SUITE, KEY_ONE), [OCTETS_ONE]),
        (b"1 SOME_SUITE inline:%s" % KEY_ONE, [OCTETS_ONE]),
        (b"1 aes_cm_128_hmac_sha1_80 inline:%s" % KEY_ONE, [OCTETS_ONE]),
    ],
)
def test_the_grammar(value: bytes, found: list[bytes]) -> None:
    reports = Reports()
    assert octets(description(b"a=crypto:" + value), reports) == found
    assert reports == []


@pytest.mark.parametrize(("suite", "length"), SUITES.items())
def test_suites_with_and_without_padding(suite: bytes, length: int) -> None:
    key = bytes(range(length))
    for text in (base64.b64encode(key), base64.b64encode(key).rstrip(b"=")):
        reports = Reports()
        assert octets(description(b"a=crypto:1 %s inline:%s" % (suite.upper(), text)), reports) == [key]
        assert reports == []


def test_text_that_varies_gives_the_same_key() -> None:
    key = bytes(range(46))
    text = base64.b64encode(key)
    variants = [text[:-3] + bytes([last]) + b"==" for last in base64.b64encode(bytes(range(192)))]
    variants = [variant for variant in variants if base64.b64decode(variant) == key]
    assert len(set(variants)) > 1
    for variant in variants:
        assert octets(description(b"a=crypto:1 AES_256_CM_HMAC_SHA1_80 inline:" + variant), Reports()) == [
            key
        ]


def test_more_octets_than_the_suite_has() -> None:
    for extra in (b"x", b"yyyy"):
        reports = Reports()
        text = base64.b64encode(OCTETS_ONE + extra)
        assert octets(description(b"a=crypto:1 %s inline:%s" % (SUITE, text)), reports) == [OCTETS_ONE]
        assert reports.names == [MALFORMED]


@pytest.mark.parametrize(
    "line",
    [
        b"A=crypto:1 %s inline:%s",
        b"a = crypto:1 %s inline:%s",
        b" a=crypto:1 %s inline:%s",
        b"a=CRYPTO:1 %s inline:%s",
        b"a= crypto :1 %s inline:%s",
        b"a=crypto: 1 %s inline:%s",
        b"a=crypto:1a %s inline:%s",
        b"a=crypto:1 %s INLINE:%s",
        b"a=crypto:1 %s inline: %s",
        b"a=crypto:1 %s inline:%s|x|y|z",
        b"a=crypto:1 %s inline:%s||1:4",
        b"a=crypto:1 %s %s",
        b"a=crypto:1 %s other:%s",
        b"a=crypto:9999999999 %s inline:%s",
    ],
)
def test_lines_against_the_grammar_are_reported_and_read(line: bytes) -> None:
    reports = Reports()
    assert octets(description(line % (SUITE, KEY_ONE)), reports) == [OCTETS_ONE]
    assert MALFORMED in reports.names


@pytest.mark.parametrize("junk", [b"@", b"-", b"=", b"%", b"\0", b"\xff"])
def test_base64_that_decoders_differ_on(junk: bytes) -> None:
    reports = Reports()
    text = KEY_ONE[:20] + junk + KEY_ONE[20:]
    assert OCTETS_ONE in octets(description(b"a=crypto:1 %s inline:%s" % (SUITE, text)), reports)
    assert AMBIGUOUS in reports.names


def test_lines_without_a_key() -> None:
    for line in (b"a=crypto:1", b"a=crypto:", b"a=crypto:1 AES inline:AAAA", b"a=crypto:1 AES inline:"):
        reports = Reports()
        assert keys(description(line), reports) == ()
        assert MALFORMED in reports.names
    reports = Reports()
    harmless = description(b"i=about crypto:1 and inline:skates", b"a=pcfg:1 a=1", b"a=fmtp:0 cryptonomicon")
    assert keys(harmless, reports) == ()
    assert reports == []


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
def test_line_ends(end: bytes) -> None:
    reports = Reports()
    assert octets(SDP.replace(b"\r\n", end), reports) == [OCTETS_ONE]
    assert reports == []


def test_levels_and_endpoints() -> None:
    content = b"\r\n".join(
        [
            b"v=0",
            b"c=IN IP4 192.0.2.1",
            b"a=crypto:1 %s inline:%s" % (SUITE, KEY_ONE),
            b"m=audio 4000/2 RTP/SAVP 0",
            b"a=crypto:1 %s inline:%s" % (SUITE, KEY_TWO),
            b"m=video 4002 RTP/SAVP 31",
            b"c=IN IP6 2001:DB8:0::9/3",
            b"a=crypto:1 %s inline:%s" % (SUITE, KEY_ONE),
            b"m=video 0 RTP/SAVP 31",
            b"a=crypto:1 %s inline:%s" % (SUITE, KEY_ONE),
            b"m=audio 4004 RTP/SAVP 0",
            b"a=crypto:1 %s inline:%s" % (SUITE, KEY_ONE),
            b"c=IN IP4 0.0.0.0",
            b"m=audio 4006 RTP/SAVP 0",
            b"c=IN IP4 Host.Example.COM",
            b"a=crypto:1 %s inline:%s" % (SUITE, KEY_ONE),
        ]
    )
    found = keys(content, Reports())
    assert [(key.media, key.line, key.endpoint) for key in found] == [
        (None, 0, None),
        (0, 1, ("192.0.2.1", 4000)),
        (1, 2, ("2001:db8::9", 4002)),
        (2, 3, None),
        (3, 4, None),
        (4, 5, ("host.example.com", 4006)),
    ]


def test_dialects() -> None:
    reports = Reports()
    found = keys(
        description(
            b"a=cryptoscale:1 client %s inline:%s|2^31|1:1" % (SUITE, KEY_ONE),
            b"a=crypto:2 %s inline:%s|2^31|1:1" % (SUITE, KEY_TWO),
            b"a=acap:1 crypto:1 %s inline:%s|2^20|1:32" % (SUITE, KEY_ONE),
            b"a=pcfg:1 t=1 a=1",
            b"a=fingerprint:sha-256 AA:BB",
            b"a=ice-pwd:inlinecrypto",
        ),
        reports,
    )
    assert [key.octets for key in found] == [OCTETS_ONE, OCTETS_TWO, OCTETS_ONE]
    assert [key.line for key in found] == [0, 1, 2]
    assert reports == []
    nested = description(b"a=" + b"acap:1 " * 5000 + b"crypto:1 %s inline:%s" % (SUITE, KEY_ONE))
    assert octets(nested, reports) == [OCTETS_ONE]


def test_mikey() -> None:
    reports = Reports()
    blob = bytes(range(200))
    content = b"v=0\r\na=key-mgmt:mikey %s\r\nm=audio 4000 RTP/SAVP 0\r\na=key-mgmt:mikey %s\r\n"
    found = keys(content % (base64.b64encode(blob), base64.b64encode(blob[1:])), reports)
    assert found == (
        KeyMaterial(blob, "mikey", None, 0, None),
        KeyMaterial(blob[1:], "mikey", 0, 1, None),
    )
    assert reports == []
    capability = description(b"a=acap:7 key-mgmt:mikey " + base64.b64encode(blob))
    assert octets(capability, reports) == [blob]
    assert reports == []
    assert octets(description(b"a=key-mgmt:other " + base64.b64encode(blob)), reports) == [blob]
    assert octets(description(b"a=key-mgmt:mikey"), reports) == []
    assert octets(description(b"a=key-mgmt:mikey AA@AA"), reports) != []
    assert reports.names == [ExceptionName.UNSUPPORTED, MALFORMED, AMBIGUOUS]


def test_limits() -> None:
    line = b"a=crypto:1 %s inline:%s" % (SUITE, KEY_ONE)
    reports = Reports()
    assert len(keys(description(*[line] * (MAX_KEYS + 5)), reports)) == MAX_KEYS
    assert reports.names == [LIMIT]
    reports = Reports()
    assert len(keys(description(line + (b";inline:" + KEY_ONE) * 100), reports)) == MAX_LINE_KEYS
    assert reports.names == [LIMIT]
    reports = Reports()
    assert len(keys(description(line) + b"\n" * MAX_LINES, reports)) == 1
    assert reports.names == [LIMIT]


def test_of_an_address_that_is_none_only_the_beginning_is_kept() -> None:
    """It is kept with each key: hundreds of them would fill the store from one datagram."""
    named = description(b"a=crypto:1 %s inline:%s" % (SUITE, KEY_ONE))
    (key,) = keys(named.replace(b"192.0.2.10", b"X" * 40_000), Reports())
    assert key.endpoint == ("x" * MAX_HOST, 49170)


def test_a_role_is_looked_for_at_the_beginning_only() -> None:
    """Else each of thousands of digits would be a beginning, and be read to the last."""
    assert sdp._ROLE.search(b"x" + b"1" * 1000 + b" client ") is None
    content = description(b"a=cryptoscale:1 client %s inline:%s" % (SUITE, KEY_ONE))
    assert octets(content, Reports()) == [OCTETS_ONE]
