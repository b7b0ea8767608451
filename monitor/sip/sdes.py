"""Key material in session descriptions: SDES (RFC 4568) and MIKEY blobs (RFC 4567)."""

import re
from typing import Literal, NamedTuple

from monitor.exceptions import ExceptionName, Report
from monitor.sip.coding import base64_readings
from monitor.sip.start_line import text

SUITES = {
    b"aes_cm_128_hmac_sha1_80": 30,
    b"aes_cm_128_hmac_sha1_32": 30,
    b"f8_128_hmac_sha1_80": 30,
    b"aes_192_cm_hmac_sha1_80": 38,
    b"aes_192_cm_hmac_sha1_32": 38,
    b"aes_256_cm_hmac_sha1_80": 46,
    b"aes_256_cm_hmac_sha1_32": 46,
    b"aead_aes_128_gcm": 28,
    b"aead_aes_256_gcm": 44,
    b"seed_ctr_128_hmac_sha1_80": 30,
    b"aria_128_ctr_hmac_sha1_80": 30,
    b"aria_128_ctr_hmac_sha1_32": 30,
    b"aria_192_ctr_hmac_sha1_80": 38,
    b"aria_192_ctr_hmac_sha1_32": 38,
    b"aria_256_ctr_hmac_sha1_80": 46,
    b"aria_256_ctr_hmac_sha1_32": 46,
    b"aead_aria_128_gcm": 28,
    b"aead_aria_256_gcm": 44,
    b"aes_cm_192_hmac_sha1_80": 38,
    b"aes_cm_192_hmac_sha1_32": 38,
    b"aes_cm_256_hmac_sha1_80": 46,
    b"aes_cm_256_hmac_sha1_32": 46,
    b"aead_aes_128_gcm_8": 28,
    b"aead_aes_256_gcm_8": 44,
}
"""Octets of key‖salt by suite, in lower case: RFC 4568 §6.2, RFC 6188, RFC 7714, RFC 5669, RFC 8269, then the
names that drafts gave and stacks still send. Of any other suite every octet counts."""

MIN_KEY = 16
"""Octets of the shortest SRTP master key. Less is no key, whatever the line says."""

MAX_LINE_KEYS = 64
"""Keys in one attribute line."""


class KeyMaterial(NamedTuple):
    """One thing that must be used once, where it stood, and the media it protects."""

    octets: bytes
    """The decoded key‖salt of one ``inline:`` parameter, or a whole MIKEY message."""
    kind: Literal["sdes", "mikey"]
    media: int | None
    """0-based index of the m-line, None at session level."""
    line: int
    """0-based index of the attribute line among all key-bearing lines of the description."""
    endpoint: tuple[str, int] | None = None
    """Connection address and port of the media, None at session level, on hold or with port 0."""


_KEY_PARAM = rb"inline:[A-Za-z0-9+/]++={0,2}+(?>(?:\|(?>(?:2\^)?)\d++(?!:))?)(?>(?:\|\d++:\d++)?)"
_CRYPTO = re.compile(
    rb"\d{1,9}+[ \t]++([A-Za-z0-9_]++)[ \t]++(" + _KEY_PARAM + rb"(?>(?:;" + _KEY_PARAM + rb")*))"
    rb"(?>(?:[ \t]++[!-~]++)*)[ \t]*+"
)
_INLINE = re.compile(rb"inline\s*+:\s*+([^|;\s]*+)", re.IGNORECASE)


def crypto(value: bytes, report: Report) -> list[bytes]:
    """The keys in the value of an ``a=crypto`` attribute (RFC 4568 §9.1), each cut to its suite's length.

    A value that does not follow the grammar is reported, and its keys are given all the same. Where
    decoders differ on the base64 text there is a key for each reading.
    """
    match = _CRYPTO.fullmatch(value)
    if match:
        suite, texts = match[1], [param[7:].partition(b"|")[0] for param in match[2].split(b";")]
    else:
        report(ExceptionName.MALFORMED, "crypto attribute against the grammar of RFC 4568")
        words = value.split(None, 3)
        suite = words[1] if len(words) > 1 else b""
        texts = _INLINE.findall(value)
        if not texts and len(words) > 2:
            texts = [re.split(rb"[|;]", words[2].rpartition(b":")[2])[0]]
    if len(texts) > MAX_LINE_KEYS:
        report(ExceptionName.LIMIT, f"more than {MAX_LINE_KEYS} keys in one line")
    length = SUITES.get(suite.lower())
    keys: list[bytes] = []
    for encoded in texts[:MAX_LINE_KEYS]:
        keys += _readings(encoded, length, report)
    return keys


def _readings(encoded: bytes, length: int | None, report: Report) -> list[bytes]:
    """A receiver takes as many octets as its suite needs, so more than that could vary and is cut off."""
    readings = base64_readings(encoded)
    if len(readings) > 1:
        report(ExceptionName.AMBIGUOUS, "key with characters that are not base64")
    if length and len(readings[0]) != length:
        report(ExceptionName.MALFORMED, f"key of {len(readings[0])} octets where the suite has {length}")
    elif len(readings[0]) < MIN_KEY:
        report(ExceptionName.MALFORMED, f"key of {len(readings[0])} octets")
    return list(dict.fromkeys(key[:length] for key in readings if len(key) >= MIN_KEY))


def inline(value: bytes, report: Report) -> list[bytes]:
    """The keys of every ``inline:`` in an attribute value of no known form."""
    keys: list[bytes] = []
    for encoded in _INLINE.findall(value)[:MAX_LINE_KEYS]:
        keys += _readings(encoded, None, report)
    return keys


def key_mgmt(value: bytes, report: Report) -> list[bytes]:
    """The blob in the value of an ``a=key-mgmt`` attribute (RFC 4567 §3.1): ``mikey`` and base64."""
    protocol, _, encoded = value.strip().partition(b" ")
    if protocol.lower() != b"mikey":
        report(ExceptionName.UNSUPPORTED, f"key management protocol {text(protocol[:32])!r}")
    readings = base64_readings(encoded)
    if len(readings) > 1:
        report(ExceptionName.AMBIGUOUS, "MIKEY message with characters that are not base64")
    elif not readings[0]:
        report(ExceptionName.MALFORMED, "key-mgmt attribute without data")
    return [blob for blob in readings if blob]
