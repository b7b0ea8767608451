"""ContentInfo (RFC 5652 §3): what kind of CMS some octets are."""

import binascii
from collections.abc import Callable
from dataclasses import dataclass

from monitor.cms import ber
from monitor.cms.ber import Cursor
from monitor.cms.enveloped import (
    Algorithm,
    EnvelopedData,
    read_algorithm,
    read_auth_enveloped,
    read_enveloped,
)
from monitor.cms.error import CmsError
from monitor.cms.signed import SignedData, read_signed
from monitor.exceptions import ExceptionName

DATA = "1.2.840.113549.1.7.1"
SIGNED_DATA = "1.2.840.113549.1.7.2"
ENVELOPED_DATA = "1.2.840.113549.1.7.3"
COMPRESSED_DATA = "1.2.840.113549.1.9.16.1.9"
AUTH_ENVELOPED_DATA = "1.2.840.113549.1.9.16.1.23"


@dataclass(frozen=True, slots=True)
class Data:
    """Plain octets, whose meaning CMS does not know (RFC 5652 §4)."""

    content: bytes


@dataclass(frozen=True, slots=True)
class CompressedData:
    """Compressed content (RFC 3274), not decompressed."""

    algorithm: Algorithm
    content_type: str
    compressed: bytes


Content = Data | SignedData | EnvelopedData | CompressedData


def parse(octets: bytes) -> Content:
    """Read a ContentInfo in DER, BER, base64 or PEM armour.

    Blank or zero octets may follow it; whatever else does is ambiguous.

    :raises CmsError: it is none, or ambiguous, unsupported, or hits a limit.
    """
    if octets[:1] != b"0":
        octets = _undo_armour(octets)
    outer = Cursor(octets)
    cursor = outer.enter(ber.SEQUENCE)
    if outer.at != outer.end and outer.rest().strip(b"\0\t\n\r "):
        ber.ambiguous("octets after the ContentInfo")
    content_type = cursor.identifier()
    if cursor.at == cursor.end:
        raise CmsError(ExceptionName.UNSUPPORTED, f"CMS: no content, of type {content_type}")
    explicit = cursor.enter(0xA0)
    cursor.finish("ContentInfo")
    content = _read(content_type, explicit)
    explicit.finish("ContentInfo")
    return content


def parse_content(content_type: str, octets: bytes) -> Content:
    """Read content of a type that what held it names: ``SignedData.content`` or decrypted octets.

    :raises CmsError: it is none, or ambiguous, unsupported, or hits a limit.
    """
    if content_type == DATA:
        return Data(octets)
    cursor = Cursor(octets)
    content = _read(content_type, cursor)
    if cursor.rest().strip(b"\0\t\n\r "):
        ber.ambiguous("octets after the content")
    return content


def _read(content_type: str, cursor: Cursor) -> Content:
    reader = _READERS.get(content_type)
    if reader is None:
        raise CmsError(ExceptionName.UNSUPPORTED, f"CMS: content of type {content_type}")
    return reader(cursor)


def _read_data(cursor: Cursor) -> Data:
    return Data(cursor.string())


def _read_compressed(outer: Cursor) -> CompressedData:
    cursor = outer.enter(ber.SEQUENCE)
    cursor.integer()
    algorithm = read_algorithm(cursor)
    encapsulated = cursor.enter(ber.SEQUENCE)
    cursor.finish("CompressedData")
    content_type = encapsulated.identifier()
    if encapsulated.at == encapsulated.end:
        return CompressedData(algorithm, content_type, b"")
    explicit = encapsulated.enter(0xA0)
    compressed = explicit.string()
    explicit.finish("eContent")
    encapsulated.finish("EncapsulatedContentInfo")
    return CompressedData(algorithm, content_type, compressed)


_READERS: dict[str, Callable[[Cursor], Content]] = {
    DATA: _read_data,
    SIGNED_DATA: read_signed,
    ENVELOPED_DATA: read_enveloped,
    AUTH_ENVELOPED_DATA: read_auth_enveloped,
    COMPRESSED_DATA: _read_compressed,
}


def _undo_armour(octets: bytes) -> bytes:
    """Octets in BER as they are, those in PEM or base64 decoded."""
    if octets[:1] == b"\x3f":  # a SEQUENCE whose tag is in the long form
        return octets
    text = octets.strip()
    if text.startswith(b"-----BEGIN "):
        _, _, text = text.partition(b"-----")[2].partition(b"-----")
        text, end, _ = text.partition(b"-----END ")
        if not end:
            ber.malformed("PEM armour without end")
    try:
        return binascii.a2b_base64(text.translate(None, b"\t\n\v\f\r "), strict_mode=True)
    except binascii.Error:
        ber.malformed("neither BER nor base64")
