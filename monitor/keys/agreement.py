"""Elliptic curve key agreement: RFC 5753 for the NIST curves, RFC 8418 for X25519 and X448.

The curves of RFC 5753 have cofactor 1 and the X functions clear theirs, so standard and cofactor
Diffie-Hellman are the same here.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, x448, x25519
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.x963kdf import X963KDF

from monitor.cms import ber
from monitor.cms.ber import Cursor
from monitor.cms.enveloped import Algorithm, Recipient, read_algorithm
from monitor.cms.error import CmsError
from monitor.keys import wrap
from monitor.keys.certificate import UNREADABLE

PrivateKey = ec.EllipticCurvePrivateKey | x25519.X25519PrivateKey | x448.X448PrivateKey
PublicKey = ec.EllipticCurvePublicKey | x25519.X25519PublicKey | x448.X448PublicKey

_Hash = type[hashes.HashAlgorithm]
_SECG_STANDARD, _SECG_COFACTOR = "1.3.132.1.11.", "1.3.132.1.14."
_SECG_HASHES: dict[str, _Hash] = {
    "0": hashes.SHA224,
    "1": hashes.SHA256,
    "2": hashes.SHA384,
    "3": hashes.SHA512,
}
_X963: dict[str, _Hash] = {
    "1.3.133.16.840.63.0.2": hashes.SHA1,
    "1.3.133.16.840.63.0.3": hashes.SHA1,
    **{_SECG_STANDARD + arc: kind for arc, kind in _SECG_HASHES.items()},
    **{_SECG_COFACTOR + arc: kind for arc, kind in _SECG_HASHES.items()},
}
_HKDF: dict[str, _Hash] = {
    "1.2.840.113549.1.9.16.3.19": hashes.SHA256,
    "1.2.840.113549.1.9.16.3.20": hashes.SHA384,
    "1.2.840.113549.1.9.16.3.21": hashes.SHA512,
}
_X25519, _X448 = "1.3.101.110", "1.3.101.111"


@dataclass(frozen=True, slots=True)
class Agreement:
    """What a key agreement recipient asks for, read and found possible."""

    originator: PublicKey
    wrap: Algorithm
    derive: tuple[Callable[[bytes], bytes], ...]
    """Shared secret to key-encryption key, in each way that senders know."""


def scheme(
    private: PrivateKey, recipient: Recipient, find_originator: Callable[[Recipient], x509.Certificate | None]
) -> Agreement | None:
    """Read what a recipient asks for, None where it is not known or does not fit the private key.

    :param find_originator: the certificate of an originator that is named, not given; it takes a Recipient
        with the originator's identifier.
    """
    try:
        cursor = Cursor(recipient.algorithm.parameters)
        wrap_encoded = ber.der(cursor.element())
        cursor.finish("the parameters of a key agreement")
        wrap_algorithm = read_algorithm(Cursor(wrap_encoded))
        originator = _originator(private, recipient.originator, find_originator)
    except (CmsError, *UNREADABLE):
        return None
    length = wrap.key_length(wrap_algorithm.oid)
    if length is None or originator is None:
        return None
    material = recipient.user_keying_material
    shared_info = _shared_info(wrap_encoded, material, length)
    oid = recipient.algorithm.oid
    derive: tuple[Callable[[bytes], bytes], ...]
    if oid in _X963:
        derive = (lambda secret: X963KDF(_X963[oid](), length, shared_info).derive(secret),)
    elif oid in _HKDF:
        # RFC 8418 §2.2 has the user keying material as salt, but some senders leave it out there.
        salts = (material, None) if material else (None,)
        derive = tuple(_hkdf(_HKDF[oid], length, salt, shared_info) for salt in salts)
    else:
        return None
    return Agreement(originator, wrap_algorithm, derive)


def unwrap(private: PrivateKey, recipient: Recipient, agreed: Agreement) -> bytes | None:
    """The content-encryption key, None where it does not unwrap."""
    secret = _exchange(private, agreed.originator)
    if secret is None:
        return None
    oid, wrapped = agreed.wrap.oid, recipient.encrypted_key
    keys: Iterable[bytes | None] = [wrap.unwrap(oid, derive(secret), wrapped) for derive in agreed.derive]
    return next((key for key in keys if key is not None), None)


def _exchange(private: PrivateKey, public: PublicKey) -> bytes | None:
    try:
        if isinstance(private, ec.EllipticCurvePrivateKey) and isinstance(public, ec.EllipticCurvePublicKey):
            return private.exchange(ec.ECDH(), public)
        if isinstance(private, x25519.X25519PrivateKey) and isinstance(public, x25519.X25519PublicKey):
            return private.exchange(public)
        if isinstance(private, x448.X448PrivateKey) and isinstance(public, x448.X448PublicKey):
            return private.exchange(public)
    except ValueError:  # a point of small order, which the originator chose
        return None
    return None


def _hkdf(kind: _Hash, length: int, salt: bytes | None, info: bytes) -> Callable[[bytes], bytes]:
    return lambda secret: HKDF(kind(), length, salt, info).derive(secret)


def _shared_info(wrap_encoded: bytes, material: bytes, length: int) -> bytes:
    """ECC-CMS-SharedInfo (RFC 5753 §7.2)."""
    entity = ber.encode(0xA0, ber.encode(ber.OCTET_STRING, material)) if material else b""
    bits = ber.encode(0xA2, ber.encode(ber.OCTET_STRING, (8 * length).to_bytes(4, "big")))
    return ber.encode(ber.SEQUENCE, wrap_encoded + entity + bits)


def _originator(
    private: PrivateKey, encoded: bytes, find: Callable[[Recipient], x509.Certificate | None]
) -> PublicKey | None:
    """OriginatorIdentifierOrKey (RFC 5652 §6.2.2)."""
    outer = Cursor(encoded)
    if outer.peek() != 0xA1:
        named = _named_originator(outer)
        certificate = find(named)
        public = certificate.public_key() if certificate else None
        return public if isinstance(public, PublicKey) else None
    cursor = outer.enter(0xA1)
    algorithm = read_algorithm(cursor)
    bits = cursor.primitive(ber.BIT_STRING)
    cursor.finish("OriginatorPublicKey")
    if bits[:1] != b"\0":
        return None
    point = bits[1:]
    if isinstance(private, ec.EllipticCurvePrivateKey):
        return ec.EllipticCurvePublicKey.from_encoded_point(private.curve, point)
    if isinstance(private, x25519.X25519PrivateKey):
        return x25519.X25519PublicKey.from_public_bytes(point) if algorithm.oid == _X25519 else None
    return x448.X448PublicKey.from_public_bytes(point) if algorithm.oid == _X448 else None


def _named_originator(cursor: Cursor) -> Recipient:
    nothing = Algorithm("")
    if cursor.peek() == 0x80:
        return Recipient("kari", b"", nothing, key_identifier=cursor.string(0x80))
    inner = cursor.enter(ber.SEQUENCE)
    return Recipient("kari", b"", nothing, issuer=inner.element(), serial=inner.integer())
