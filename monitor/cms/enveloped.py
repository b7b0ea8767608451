"""EnvelopedData (RFC 5652 §6) and AuthEnvelopedData (RFC 5083)."""

from dataclasses import dataclass
from typing import Literal


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
    tag: bytes | None = None
    """Message authentication code of AuthEnvelopedData, None for EnvelopedData."""
    authenticated: bytes = b""
    """The authenticated attributes re-encoded as an explicit SET OF, as the AEAD takes them."""
