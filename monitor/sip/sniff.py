"""What octets are, whatever their label says: session descriptions, CMS, and traces of key material."""

import re

SDP = "application/sdp"
CMS = "application/pkcs7-mime"

SNIFFED = 4096
"""Leading octets in which a kind shows itself."""

_SDP = re.compile(rb"[\s\0\xef\xbb\xbf]*+v[ \t]*+=[ \t]*+0", re.IGNORECASE)
_DER_HEAD = rb"\x30(?:\x80|[\x01-\x7f]|[\x81-\x84].{1,4}?)"
_PKCS7 = rb"\x2a\x86\x48\x86\xf7\x0d\x01\x07"
_SMIME_CT = rb"\x2a\x86\x48\x86\xf7\x0d\x01\x09\x10\x01"
_CMS = re.compile(_DER_HEAD + rb"(?:\x06\x09" + _PKCS7 + rb"|\x06\x0b" + _SMIME_CT + rb")", re.DOTALL)
_PEM = re.compile(rb"\s*+-----BEGIN (?:PKCS ?#?7|CMS)[^\n]*-----", re.IGNORECASE)
_BASE64_CMS = re.compile(rb"M[A-P][A-Za-z0-9+/]{0,8}?(?:BgkqhkiG9w0BB[wx]|YJKoZIhvcNAQ[cg]|GCSqGSIb3DQE[HJ])")
_BASE64_DATA = re.compile(rb"(?:BgsqhkiG9w0BCRAB|YLKoZIhvcNAQkQA|GCyqGSIb3DQEJEA)")

_TRACE = re.compile(
    rb"crypto|inline[ \t]*:|key-mgmt"
    rb"|" + _PKCS7 + rb"|" + _SMIME_CT + rb""
    rb"|koZIhvcNAQ|qhkiG9w0BB|qhkiG9w0BC|SqGSIb3DQE|pkcs-?7",
    re.IGNORECASE,
)
_OPAQUE = re.compile(
    rb"[\0-\x08\x0b\x0c\x0e-\x1f\x7f]|encoding\s*+:|(?:\A|[\r\n])[ \t]*+e[ \t]*+:", re.IGNORECASE
)
_KEY_LINE = re.compile(rb"(?:\A|[\r\n])[ \t]*+a[ \t]*+=[ \t]*+(?:crypto|key-mgmt|acap)", re.IGNORECASE)


def sniff(content: bytes) -> str | None:
    """The media type that ``content`` gives itself away as: SDP or CMS (binary, PEM or base64), else None."""
    if kind := sniff_plain(content):
        return kind
    start = content[:SNIFFED].lstrip()
    if _PEM.match(start):
        return CMS
    if start.startswith(b"M"):
        dense = start.translate(None, b" \t\r\n")[:64]
        if _BASE64_CMS.match(dense) or _BASE64_DATA.search(dense):
            return CMS
    return None


def sniff_plain(content: bytes) -> str | None:
    """As ``sniff``, for content without any transfer encoding."""
    start = content[:SNIFFED]
    if _SDP.match(start):
        return SDP
    return CMS if _CMS.match(start) else None


def has_traces(octets: bytes) -> bool:
    """Whether ``octets`` might hold key material by some reading: a key attribute, or CMS in any form."""
    return _TRACE.search(octets) is not None


def is_innocent(octets: bytes) -> bool:
    """Whether the eye sees that ``octets`` hold no key material by any reading.

    They are text, nothing in them says that some of it is encoded, and however the lines are folded there is
    no trace of a key.
    """
    return _OPAQUE.search(octets) is None and not has_traces(octets.translate(None, b" \t\r\n"))


def is_readable(content: bytes) -> bool:
    """Whether key material in ``content`` can be read as it stands, without any decoding."""
    if sniff_plain(content):
        return True
    lowered = content.lower()
    return (b"crypto:" in lowered or b"key-mgmt:" in lowered) and _KEY_LINE.search(content) is not None
