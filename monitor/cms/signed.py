"""SignedData (RFC 5652 §5)."""

from dataclasses import dataclass

from monitor.cms import ber
from monitor.cms.ber import Cursor
from monitor.cms.enveloped import Algorithm, read_algorithm, read_identifier, read_key_identifier

MAX_SIGNERS = 8
"""SignerInfos of one SignedData; each may cost a signature's verification."""
MAX_CERTIFICATES = 64
"""Certificates of one SignedData."""
MAX_CRLS = 16
"""Revocation lists of one SignedData."""
MAX_ATTRIBUTES = 64
"""Signed attributes of one signer."""


@dataclass(frozen=True, slots=True)
class SignerInfo:
    """One signature."""

    digest: Algorithm
    algorithm: Algorithm
    signature: bytes
    issuer: bytes = b""
    """DER of the issuer Name, empty where the signer is named by key identifier."""
    serial: int = 0
    key_identifier: bytes = b""
    signed_attributes: bytes = b""
    """The signed attributes as an explicit SET OF in DER, their order as received; empty where there are
    none. The signature is over these octets (RFC 5652 §5.4)."""


@dataclass(frozen=True, slots=True)
class SignedData:
    """Signed content: its signers, and what came with it."""

    content_type: str
    content: bytes | None
    """The octets that are signed, None where they are detached."""
    signers: tuple[SignerInfo, ...]
    certificates: tuple[bytes, ...] = ()
    """Each whole as it stood; attribute certificates and other formats are left out."""
    crls: tuple[bytes, ...] = ()


def read_signed(outer: Cursor) -> SignedData:
    """Read SignedData at a cursor.

    :raises CmsError: it is none, or ambiguous, or hits a limit.
    """
    cursor = outer.enter(ber.SEQUENCE)
    cursor.integer()
    cursor.enter(ber.SET)  # digestAlgorithms: each signer names its own again
    content_type, content = _encapsulated(cursor)
    certificates = _whole_elements(cursor, 0xA0, MAX_CERTIFICATES, "certificates")
    crls = _whole_elements(cursor, 0xA1, MAX_CRLS, "revocation lists")
    infos = cursor.enter(ber.SET)
    cursor.finish("SignedData")
    signers: list[SignerInfo] = []
    while infos.at < infos.end:
        if len(signers) == MAX_SIGNERS:
            ber.limit(f"more than {MAX_SIGNERS} signers")
        signers.append(_signer(infos))
    return SignedData(content_type, content, tuple(signers), certificates, crls)


def attributes(encoded: bytes) -> list[tuple[str, list[bytes]]]:
    """The type and the values, whole elements, of each attribute of a SET OF Attribute.

    :raises CmsError: it is none, or hits a limit.
    """
    outer = Cursor(encoded)
    cursor = outer.enter(ber.SET)
    outer.finish("a set of attributes")
    found: list[tuple[str, list[bytes]]] = []
    while cursor.at < cursor.end:
        if len(found) == MAX_ATTRIBUTES:
            ber.limit(f"more than {MAX_ATTRIBUTES} attributes")
        attribute = cursor.enter(ber.SEQUENCE)
        name, members = attribute.identifier(), attribute.enter(ber.SET)
        attribute.finish("an attribute")
        values: list[bytes] = []
        while members.at < members.end:
            if len(values) == MAX_ATTRIBUTES:
                ber.limit(f"more than {MAX_ATTRIBUTES} values of one attribute")
            values.append(members.element())
        found.append((name, values))
    return found


def _encapsulated(outer: Cursor) -> tuple[str, bytes | None]:
    cursor = outer.enter(ber.SEQUENCE)
    content_type = cursor.identifier()
    if cursor.at == cursor.end:
        return content_type, None
    explicit = cursor.enter(0xA0)
    cursor.finish("EncapsulatedContentInfo")
    if explicit.peek() & ~ber.CONSTRUCTED == ber.OCTET_STRING:
        content = explicit.string()
    else:  # PKCS #7 has any type here and signs its contents octets (RFC 5652 §5.2.1)
        content = explicit.enter(explicit.peek()).rest()
    explicit.finish("eContent")
    return content_type, content


def _whole_elements(outer: Cursor, tag: int, most: int, what: str) -> tuple[bytes, ...]:
    if outer.peek() != tag:
        return ()
    cursor = outer.enter(tag)
    found: list[bytes] = []
    while (kind := cursor.peek()) >= 0:
        if len(found) == most:
            ber.limit(f"more than {most} {what}")
        whole = cursor.element()
        if kind == ber.SEQUENCE:
            found.append(whole)
    return tuple(found)


def _signer(outer: Cursor) -> SignerInfo:
    cursor = outer.enter(ber.SEQUENCE)
    cursor.integer()
    issuer, serial, key_identifier = read_identifier(cursor, read_key_identifier)
    digest = read_algorithm(cursor)
    signed = b""
    if cursor.peek() == 0xA0:
        signed = b"\x31" + ber.der(cursor.element(), sort=False)[1:]
    algorithm = read_algorithm(cursor)
    signature = cursor.string()
    if cursor.peek() == 0xA1:  # unsignedAttrs
        cursor.element()
    cursor.finish("SignerInfo")
    return SignerInfo(digest, algorithm, signature, issuer, serial, key_identifier, signed)
