"""EnvelopedData (RFC 5652 §6) and AuthEnvelopedData (RFC 5083)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from monitor.cms import ber
from monitor.cms.ber import Cursor

MAX_RECIPIENTS = 256
"""RecipientInfos of one envelope, each RecipientEncryptedKey counted."""


@dataclass(frozen=True, slots=True)
class Algorithm:
    """An AlgorithmIdentifier: dotted object identifier and the raw DER or BER of its parameters."""

    oid: str
    parameters: bytes = b""


@dataclass(frozen=True, slots=True)
class Recipient:
    """One wrapped content-encryption key; a KeyAgreeRecipientInfo gives one for each encryptedKey."""

    kind: Literal["ktri", "kari", "kekri", "pwri", "ori"]
    encrypted_key: bytes
    """As it stood; of ``ori``, which has none that is known, the DER of its value. See ``normalise``."""
    algorithm: Algorithm
    issuer: bytes = b""
    """DER of the issuer Name, empty where the recipient is named by key identifier."""
    serial: int = 0
    key_identifier: bytes = b""
    """subjectKeyIdentifier, or the KEK identifier."""
    originator: bytes = b""
    """kari: the originator's public key as it stood, an OriginatorIdentifierOrKey element."""
    user_keying_material: bytes = b""


@dataclass(frozen=True, slots=True)
class EnvelopedData:
    """An envelope: what is wrapped for whom, and the encrypted content."""

    recipients: tuple[Recipient, ...]
    content_type: str
    algorithm: Algorithm
    encrypted_content: bytes
    """Empty where the content is detached: then it tells nothing about the envelope."""
    tag: bytes | None = None
    """Message authentication code of AuthEnvelopedData, None for EnvelopedData."""
    authenticated: bytes = b""
    """The authenticated attributes re-encoded as an explicit SET OF, as the AEAD takes them."""


def normalise(recipient: Recipient, modulus: int = 0) -> bytes:
    """The wrapped key in the one form that is fingerprinted.

    It leaves out all that can be changed while a receiver still unwraps the same key: who is named and how,
    the algorithm's parameters, the originator's point (its negative, its compressed form, or for X25519 any
    of several encodings give the same secret), the user keying material and the encoding. An RSA ciphertext
    is a number: leading zero octets come off, and with the recipient's ``modulus`` it is reduced by it. The
    key wraps of the other kinds are permutations under the key-encryption key, so nothing in them can vary.
    """
    if recipient.kind != "ktri":
        return recipient.encrypted_key
    stripped = recipient.encrypted_key.lstrip(b"\0")
    if modulus and len(stripped) * 8 >= modulus.bit_length():
        number = int.from_bytes(stripped, "big")
        if number >= modulus:
            number %= modulus
            return number.to_bytes((number.bit_length() + 7) // 8, "big")
    return stripped


def read_enveloped(outer: Cursor) -> EnvelopedData:
    """Read EnvelopedData at a cursor.

    :raises CmsError: it is none, or ambiguous, or hits a limit.
    """
    cursor = outer.enter(ber.SEQUENCE)
    recipients = _start(cursor)
    content_type, algorithm, encrypted = _encrypted_content(cursor)
    if cursor.peek() == 0xA1:  # unprotectedAttrs
        cursor.element()
    cursor.finish("EnvelopedData")
    return EnvelopedData(recipients, content_type, algorithm, encrypted)


def read_auth_enveloped(outer: Cursor) -> EnvelopedData:
    """Read AuthEnvelopedData at a cursor.

    :raises CmsError: it is none, or ambiguous, or hits a limit.
    """
    cursor = outer.enter(ber.SEQUENCE)
    recipients = _start(cursor)
    content_type, algorithm, encrypted = _encrypted_content(cursor)
    authenticated = b""
    if cursor.peek() == 0xA1:  # authAttrs
        attributes = ber.der(cursor.element())
        authenticated = ber.der(b"\x31" + attributes[1:])
    tag = cursor.string()
    if cursor.peek() == 0xA2:  # unauthAttrs
        cursor.element()
    cursor.finish("AuthEnvelopedData")
    return EnvelopedData(recipients, content_type, algorithm, encrypted, tag, authenticated)


def read_algorithm(outer: Cursor, tag: int = ber.SEQUENCE) -> Algorithm:
    """Read an AlgorithmIdentifier at a cursor."""
    cursor = outer.enter(tag)
    return Algorithm(cursor.identifier(), cursor.rest())


def read_identifier(outer: Cursor, key_identifier: Callable[[Cursor], bytes]) -> tuple[bytes, int, bytes]:
    """Read who a recipient or a signer is: the issuer's Name and the number of a certificate
    (IssuerAndSerialNumber), or a key identifier, which each kind of info has in a form of its own.

    :param key_identifier: reads the latter.
    :returns: the Name's element and the number, or empty and 0; the key identifier, or empty.
    """
    if outer.peek() != ber.SEQUENCE:
        return b"", 0, key_identifier(outer)
    cursor = outer.enter(ber.SEQUENCE)
    issuer, serial = cursor.element(), cursor.integer()
    cursor.finish("IssuerAndSerialNumber")
    return issuer, serial, b""


def read_key_identifier(cursor: Cursor) -> bytes:
    """Read the key identifier of a KeyTransRecipientInfo or a SignerInfo."""
    return cursor.string(0x80)


def _recipient_key_identifier(cursor: Cursor) -> bytes:
    """That of a RecipientEncryptedKey; date and other attributes may follow it."""
    return cursor.enter(0xA0).string()


def _start(cursor: Cursor) -> tuple[Recipient, ...]:
    """Version, originatorInfo and recipientInfos."""
    cursor.integer()
    if cursor.peek() == 0xA0:  # originatorInfo
        cursor.element()
    infos = cursor.enter(ber.SET)
    recipients: list[Recipient] = []
    while (tag := infos.peek()) >= 0:
        if tag == ber.SEQUENCE:
            recipients.append(_key_transport(infos))
        elif tag == 0xA1:
            recipients += _key_agreement(infos)
        elif tag == 0xA2:
            recipients.append(_key_encryption_key(infos))
        elif tag == 0xA3:
            recipients.append(_password(infos))
        elif tag == 0xA4:
            recipients.append(_other(infos))
        else:
            ber.ambiguous(f"a RecipientInfo of unknown kind {tag:#04x}")
        if len(recipients) > MAX_RECIPIENTS:
            ber.limit(f"more than {MAX_RECIPIENTS} recipients")
    return tuple(recipients)


def _key_transport(outer: Cursor) -> Recipient:
    cursor = outer.enter(ber.SEQUENCE)
    cursor.integer()
    issuer, serial, key_identifier = read_identifier(cursor, read_key_identifier)
    algorithm = read_algorithm(cursor)
    encrypted_key = cursor.string()
    cursor.finish("KeyTransRecipientInfo")
    return Recipient("ktri", encrypted_key, algorithm, issuer, serial, key_identifier)


def _key_agreement(outer: Cursor) -> list[Recipient]:
    cursor = outer.enter(0xA1)
    cursor.integer()
    originator_cursor = cursor.enter(0xA0)
    originator = originator_cursor.element()
    originator_cursor.finish("the originator of a KeyAgreeRecipientInfo")
    material = b""
    if cursor.peek() == 0xA1:
        explicit = cursor.enter(0xA1)
        material = explicit.string()
        explicit.finish("UserKeyingMaterial")
    algorithm = read_algorithm(cursor)
    keys = cursor.enter(ber.SEQUENCE)
    cursor.finish("KeyAgreeRecipientInfo")
    recipients: list[Recipient] = []
    while keys.at < keys.end:
        if len(recipients) == MAX_RECIPIENTS:
            ber.limit(f"more than {MAX_RECIPIENTS} recipients")
        key = keys.enter(ber.SEQUENCE)
        issuer, serial, key_identifier = read_identifier(key, _recipient_key_identifier)
        encrypted_key = key.string()
        key.finish("RecipientEncryptedKey")
        recipients.append(
            Recipient("kari", encrypted_key, algorithm, issuer, serial, key_identifier, originator, material)
        )
    return recipients


def _key_encryption_key(outer: Cursor) -> Recipient:
    cursor = outer.enter(0xA2)
    cursor.integer()
    key_identifier = cursor.enter(ber.SEQUENCE).string()  # date and other attributes may follow it
    algorithm = read_algorithm(cursor)
    encrypted_key = cursor.string()
    cursor.finish("KEKRecipientInfo")
    return Recipient("kekri", encrypted_key, algorithm, key_identifier=key_identifier)


def _password(outer: Cursor) -> Recipient:
    cursor = outer.enter(0xA3)
    cursor.integer()
    if cursor.peek() == 0xA0:  # keyDerivationAlgorithm
        cursor.element()
    algorithm = read_algorithm(cursor)
    encrypted_key = cursor.string()
    cursor.finish("PasswordRecipientInfo")
    return Recipient("pwri", encrypted_key, algorithm)


def _other(outer: Cursor) -> Recipient:
    cursor = outer.enter(0xA4)
    algorithm = Algorithm(cursor.identifier())
    value = cursor.rest()
    return Recipient("ori", ber.der(value), algorithm)


def _encrypted_content(outer: Cursor) -> tuple[str, Algorithm, bytes]:
    cursor = outer.enter(ber.SEQUENCE)
    content_type = cursor.identifier()
    algorithm = read_algorithm(cursor)
    encrypted = cursor.string(0x80) if cursor.at < cursor.end else b""
    cursor.finish("EncryptedContentInfo")
    return content_type, algorithm, encrypted
