"""Key wraps: AES (RFC 3394, 5649, as CMS uses them by RFC 3565) and Triple-DES (RFC 3217)."""

import hashlib
import hmac

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives import keywrap
from cryptography.hazmat.primitives.ciphers import Cipher, modes

_AES = "2.16.840.1.101.3.4.1."
_AES_WRAP = {_AES + "5": 16, _AES + "25": 24, _AES + "45": 32}
_AES_WRAP_PAD = {_AES + "8": 16, _AES + "28": 24, _AES + "48": 32}
_TRIPLE_DES_WRAP = {"1.2.840.113549.1.9.16.3.6": 24}
_KEY_LENGTHS = _AES_WRAP | _AES_WRAP_PAD | _TRIPLE_DES_WRAP
_TRIPLE_DES_WRAPPED = range(24, 81, 8)
"""Octets of a wrapped key: an initialisation vector and a checksum, 8 each, and the key."""
_TRIPLE_DES_IV = bytes.fromhex("4adda22c79e82105")


def key_length(oid: str) -> int | None:
    """Octets of the key-encryption key that a wrap takes, None where the wrap is not known."""
    return _KEY_LENGTHS.get(oid)


def unwrap(oid: str, key: bytes, wrapped: bytes) -> bytes | None:
    """The key within ``wrapped``, None where its integrity check fails; ``oid`` is a known wrap."""
    try:
        if oid in _AES_WRAP:
            return keywrap.aes_key_unwrap(key, wrapped)
        if oid in _AES_WRAP_PAD:
            return keywrap.aes_key_unwrap_with_padding(key, wrapped)
        return _triple_des_unwrap(key, wrapped)
    except (keywrap.InvalidUnwrap, ValueError):
        return None


def _triple_des_unwrap(key: bytes, wrapped: bytes) -> bytes | None:
    if len(wrapped) not in _TRIPLE_DES_WRAPPED:
        return None
    outer = Cipher(TripleDES(key), modes.CBC(_TRIPLE_DES_IV)).decryptor()
    reversed_octets = (outer.update(wrapped) + outer.finalize())[::-1]
    inner = Cipher(TripleDES(key), modes.CBC(reversed_octets[:8])).decryptor()
    checked = inner.update(reversed_octets[8:]) + inner.finalize()
    unwrapped, check = checked[:-8], checked[-8:]
    digest = hashlib.sha1(unwrapped, usedforsecurity=False).digest()
    return unwrapped if hmac.compare_digest(digest[:8], check) else None
