"""Distinguished names (RFC 5280 §4.1.2.4) and the fields of a certificate that name it."""

import unicodedata

from monitor.cms import ber
from monitor.cms.ber import Cursor
from monitor.cms.error import CmsError

_CODECS = {0x0C: "utf-8", 0x13: "ascii", 0x14: "latin-1", 0x16: "ascii", 0x1C: "utf-32-be", 0x1E: "utf-16-be"}

Name = tuple[tuple[tuple[str, str | bytes], ...], ...]
"""Relative distinguished names in order, each a sorted set of attribute type and folded value."""


def canonical(encoded: bytes) -> Name | bytes:
    """A Name as receivers compare it: string type, case and runs of blanks do not matter (RFC 5280 §7.1).

    A Name that cannot be read is only equal to itself.
    """
    try:
        outer = Cursor(encoded)
        names = outer.enter(ber.SEQUENCE)
        found = []
        while names.at < names.end:
            members = names.enter(ber.SET)
            attributes = []
            while members.at < members.end:
                attribute = members.enter(ber.SEQUENCE)
                kind, value = attribute.identifier(), attribute.element()
                attributes.append((kind, _fold(value)))
            found.append(tuple(sorted(attributes, key=repr)))
    except CmsError:
        return encoded
    return tuple(found)


def certificate_names(certificate: bytes) -> tuple[bytes, int, bytes]:
    """Issuer and serial number of a certificate, and its subject; the Names as they stand.

    :raises CmsError: it is no certificate.
    """
    cursor = Cursor(certificate).enter(ber.SEQUENCE).enter(ber.SEQUENCE)
    if cursor.peek() == 0xA0:  # version
        cursor.element()
    serial = cursor.integer()
    cursor.element()  # signature
    issuer = cursor.element()
    cursor.element()  # validity
    return issuer, serial, cursor.element()


def _fold(value: bytes) -> str | bytes:
    tag, start, stop, _ = ber.element(value, 0, len(value))
    codec = _CODECS.get(tag)
    if codec is None:
        return value
    try:
        text = value[start:stop].decode(codec)
    except UnicodeError:
        return value
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())
