"""RSA key transport: PKCS #1 v1.5 (RFC 3370 §4.2.1) and OAEP (RFC 3560)."""

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from monitor.cms import ber
from monitor.cms.ber import Cursor
from monitor.cms.enveloped import Recipient, normalise
from monitor.cms.error import CmsError

_RSA = "1.2.840.113549.1.1.1"
_OAEP = "1.2.840.113549.1.1.7"
_MGF1 = "1.2.840.113549.1.1.8"
_SPECIFIED = "1.2.840.113549.1.1.9"
_HASHES: dict[str, type[hashes.HashAlgorithm]] = {
    "1.3.14.3.2.26": hashes.SHA1,
    "2.16.840.1.101.3.4.2.4": hashes.SHA224,
    "2.16.840.1.101.3.4.2.1": hashes.SHA256,
    "2.16.840.1.101.3.4.2.2": hashes.SHA384,
    "2.16.840.1.101.3.4.2.3": hashes.SHA512,
}


def scheme(recipient: Recipient) -> padding.AsymmetricPadding | None:
    """The padding that a key transport recipient names, None where it is not known."""
    if recipient.algorithm.oid == _RSA:
        return padding.PKCS1v15()
    if recipient.algorithm.oid != _OAEP:
        return None
    try:
        return _oaep(recipient.algorithm.parameters)
    except CmsError:
        return None


def unwrap(private: RSAPrivateKey, recipient: Recipient, chosen: padding.AsymmetricPadding) -> bytes | None:
    """What the private key makes of the wrapped key, None where it shows that the padding is wrong.

    With OpenSSL 3.2 and later a wrong PKCS #1 v1.5 padding does not show: octets of a length that follows
    from key and ciphertext come out (implicit rejection).
    """
    numbers = private.public_key().public_numbers()
    ciphertext = normalise(recipient, numbers.n).rjust((private.key_size + 7) // 8, b"\0")
    try:
        return private.decrypt(ciphertext, chosen)
    except ValueError:
        return None


def _oaep(parameters: bytes) -> padding.OAEP | None:
    """RSAES-OAEP-params (RFC 4055 §4.1), each with its default."""
    hash_oid = mask_oid = "1.3.14.3.2.26"
    label: bytes | None = None
    cursor = Cursor(parameters).enter(ber.SEQUENCE) if parameters else Cursor(b"")
    if cursor.peek() == 0xA0:
        hash_oid = cursor.enter(0xA0).enter(ber.SEQUENCE).identifier()
    if cursor.peek() == 0xA1:
        mask = cursor.enter(0xA1).enter(ber.SEQUENCE)
        if mask.identifier() != _MGF1:
            return None
        mask_oid = mask.enter(ber.SEQUENCE).identifier()
    if cursor.peek() == 0xA2:
        source = cursor.enter(0xA2).enter(ber.SEQUENCE)
        if source.identifier() != _SPECIFIED:
            return None
        label = source.string() or None
    cursor.finish("RSAES-OAEP-params")
    hash_type, mask_type = _HASHES.get(hash_oid), _HASHES.get(mask_oid)
    if hash_type is None or mask_type is None:
        return None
    return padding.OAEP(padding.MGF1(mask_type()), hash_type(), label)
