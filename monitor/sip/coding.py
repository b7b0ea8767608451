"""Codings of bodies: Content-Encoding (RFC 3261 §20.12) and Content-Transfer-Encoding (RFC 2045 §6)."""

import binascii
import quopri
import re
import zlib

from monitor.exceptions import ExceptionName, Report
from monitor.sip.error import SipError
from monitor.sip.sniff import has_traces, sniff
from monitor.sip.start_line import text

MAX_DECODED = 1024 * 1024
"""Octets that a compressed body may become."""

MAX_CODINGS = 4
"""Content-Encodings on one body."""

_BASE64 = re.compile(rb"[A-Za-z0-9+/]*+={0,2}")
_NOT_BASE64 = bytes(
    set(range(256)) - set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
)
_URL_SAFE = bytes.maketrans(b"-_", b"+/")
_PEM_LINE = re.compile(rb"-----(?:BEGIN|END) [^\n]*+", re.IGNORECASE)
_BLANKS = b" \t\r\n"

_FHCRC, _FEXTRA, _FNAME, _FCOMMENT = 2, 4, 8, 16


def decode(content: bytes, encodings: bytes, report: Report) -> bytes:
    """Undo the codings of a Content-Encoding value, the last one first.

    What cannot be undone is reported and given as it stands: many stacks do not look at the field, and read
    content that is labelled wrongly. Content in which that would show key material is ambiguous.

    :raises SipError: limit; too many codings, or too much comes out of them.
    """
    names = [name for part in encodings.split(b",") if (name := part.partition(b";")[0].strip().lower())]
    if len(names) > MAX_CODINGS:
        raise SipError(ExceptionName.LIMIT, f"{len(names)} content codings")
    names = [name for name in names if name != b"identity"]
    if names and (has_traces(content) or sniff(content)):
        report(ExceptionName.AMBIGUOUS, "content said to be compressed that can be read without")
        return content
    decoded = content
    try:
        for name in reversed(names):
            decoded = _decode(name, decoded, report)
    except SipError as error:
        if error.name is ExceptionName.LIMIT:
            raise
        report(error.name, error.detail)
        return content
    return decoded


def _decode(name: bytes, content: bytes, report: Report) -> bytes:
    if name in (b"gzip", b"x-gzip"):
        return _gunzip(content, report)
    if name == b"deflate":
        return deflated(content, report)
    raise SipError(ExceptionName.UNSUPPORTED, f"Content-Encoding {text(name[:32])!r}")


def _inflate(deflated: bytes, report: Report) -> tuple[bytes, bytes]:
    """Raw deflate (RFC 1951): what it holds, and the octets after it."""
    stream = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        content = stream.decompress(deflated, MAX_DECODED + 1)
    except zlib.error as error:
        raise SipError(ExceptionName.MALFORMED, f"compressed body: {error}") from None
    if len(content) > MAX_DECODED:
        raise SipError(ExceptionName.LIMIT, f"compressed body of more than {MAX_DECODED} octets")
    if not stream.eof:
        report(ExceptionName.MALFORMED, "compressed body without an end")
    return content, stream.unused_data


def _gunzip(content: bytes, report: Report) -> bytes:
    whole = b""
    while content.startswith(b"\x1f\x8b") or not whole:
        part, rest = _inflate(content[_gzip_header(content) :], report)
        if zlib.crc32(part) != int.from_bytes(rest[:4], "little"):
            report(ExceptionName.MALFORMED, "gzip checksum")
        whole += part
        content = rest[8:]
        if len(whole) > MAX_DECODED:
            raise SipError(ExceptionName.LIMIT, f"compressed body of more than {MAX_DECODED} octets")
        if not part:
            break
    if content.strip(b"\0\r\n"):
        report(ExceptionName.AMBIGUOUS, f"{len(content)} octets after the gzip body")
    return whole


def _gzip_header(content: bytes) -> int:
    """The length of a gzip member's header (RFC 1952 §2.3)."""
    if len(content) < 10 or not content.startswith(b"\x1f\x8b\x08"):
        raise SipError(ExceptionName.MALFORMED, "no gzip header")
    flags, end = content[3], 10
    if flags & _FEXTRA:
        end += 2 + int.from_bytes(content[end : end + 2], "little")
    for flag in (_FNAME, _FCOMMENT):
        if flags & flag:
            end = content.find(b"\0", end) + 1
            if not end:
                raise SipError(ExceptionName.MALFORMED, "gzip header without an end")
    return end + 2 if flags & _FHCRC else end


def deflated(content: bytes, report: Report) -> bytes:
    """What ``deflate`` is undone to: it is zlib (RFC 1950), and raw deflate is also sent under this name.

    :raises SipError: malformed, or limit: too much comes out of it.
    """
    zlib_header = len(content) >= 2 and content[0] & 15 == 8 and int.from_bytes(content[:2]) % 31 == 0
    plain, rest = _inflate(content[2:] if zlib_header else content, report)
    if zlib_header:
        if zlib.adler32(plain) != int.from_bytes(rest[:4]):
            report(ExceptionName.MALFORMED, "zlib checksum")
        rest = rest[4:]
    if rest.strip(b"\0\r\n"):
        report(ExceptionName.AMBIGUOUS, f"{len(rest)} octets after the deflated body")
    return plain


def base64_readings(value: bytes) -> tuple[bytes, ...]:
    """What decoders make of base64 text: one reading, or where they differ each one, the best first.

    Blanks and missing padding are of no account, bits beyond the last whole octet neither.
    """
    if _BASE64.fullmatch(value):
        return (_base64(value),)
    dense = value.translate(None, _BLANKS)
    if _BASE64.fullmatch(dense):
        return (_base64(dense),)
    mapped = dense.translate(_URL_SAFE)
    clean = _BASE64.match(dense)
    readings = [mapped, mapped.partition(b"=")[0], dense, clean[0] if clean else b""]
    return tuple(dict.fromkeys(_base64(reading) for reading in readings))


def _base64(value: bytes) -> bytes:
    if len(value) % 4 == 0 and value.isalnum():
        return binascii.a2b_base64(value)
    digits = value.translate(None, _NOT_BASE64)
    if len(digits) % 4 == 1:
        digits = digits[:-1]
    return binascii.a2b_base64(digits + b"=" * (-len(digits) % 4))


def base64(value: bytes, report: Report) -> bytes:
    """Base64 content (RFC 2045 §6.8), whatever its line lengths and padding."""
    readings = base64_readings(value)
    if len(readings) > 1:
        report(ExceptionName.AMBIGUOUS, "base64 with stray characters")
    return readings[0]


def unarmoured(content: bytes) -> bytes:
    """CMS content without PEM lines and base64; binary content as it is."""
    if content[:1] == b"\x30":
        return content
    return base64_readings(_PEM_LINE.sub(b"", content))[0]


def quoted_printable(value: bytes) -> bytes:
    """Quoted-printable content (RFC 2045 §6.7); what is no escape stays as it is."""
    return quopri.decodestring(value)
