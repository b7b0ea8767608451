"""Whose key protects an SRTP packet: session keys derived, authentication tags checked (RFC 3711)."""

import hmac
from dataclasses import dataclass
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

ENCRYPTION, AUTHENTICATION, SALTING = 0, 1, 2
"""Labels of the session keys of SRTP (RFC 3711 §4.3.2)."""
MKI_LENGTHS = (0, 1, 2, 4)
"""Octets of the master key identifiers that are tried."""
_SHA1_KEY = 20


def derive(master: bytes, salt: bytes, label: int, length: int) -> bytes:
    """A session key (RFC 3711 §4.3.1, §4.3.3; RFC 6188 §3; RFC 7714 §11), for a key derivation rate of 0."""
    block = bytearray(salt.ljust(16, b"\0"))
    block[7] ^= label
    return Cipher(algorithms.AES(master), modes.CTR(bytes(block))).encryptor().update(bytes(length))


class Protection(Protocol):
    """How packets under one master key are protected: a crypto suite, and the MKI's length."""

    @property
    def suite(self) -> str:
        """Its name in SDES (RFC 4568 §6.2)."""
        ...

    @property
    def certain(self) -> bool:
        """Whether one tag that fits proves the key; of the short ones some fit by chance."""
        ...

    def verifies(self, packet: bytes, header: int, rollovers: int) -> bool:
        """Whether a packet has the tag that it has under this key.

        :param header: octets of the RTP header.
        :param rollovers: the rollover counter of its index.
        """
        ...

    def ciphertext(self, packet: bytes, header: int) -> bytes:
        """The encrypted octets of a packet that verifies."""
        ...


@dataclass(frozen=True, slots=True, repr=False)
class HashedProtection:
    """AES in counter mode with HMAC-SHA1 (RFC 3711 §4.1.1, §4.2.1; RFC 6188)."""

    suite: str
    key: bytes
    """For the authentication."""
    tag: int
    mki: int

    @property
    def certain(self) -> bool:
        """RFC 3711 §4.2: 80 bits, or 32."""
        return self.tag >= 10

    def verifies(self, packet: bytes, header: int, rollovers: int) -> bool:
        """RFC 3711 §4.2: over header, ciphertext and ROC."""
        end = len(packet) - self.tag
        authenticated = packet[: end - self.mki]
        if len(authenticated) < header:
            return False
        tag = hmac.digest(self.key, authenticated + rollovers.to_bytes(4), "sha1")
        return tag[: self.tag] == packet[end:]

    def ciphertext(self, packet: bytes, header: int) -> bytes:
        """Between header and MKI."""
        return packet[header : len(packet) - self.tag - self.mki]


@dataclass(frozen=True, slots=True, repr=False)
class SealedProtection:
    """AES in Galois counter mode (RFC 7714)."""

    suite: str
    cipher: AESGCM
    salt: bytes
    mki: int
    certain: bool = True

    def verifies(self, packet: bytes, header: int, rollovers: int) -> bool:
        """RFC 7714 §8: the header is the associated data."""
        iv = bytes(2) + packet[8:12] + rollovers.to_bytes(4) + packet[2:4]
        nonce = bytes(one ^ other for one, other in zip(iv, self.salt, strict=True))
        sealed = packet[header : len(packet) - self.mki]
        try:
            self.cipher.decrypt(nonce, sealed, packet[:header])
        except (InvalidTag, ValueError):
            return False
        return True

    def ciphertext(self, packet: bytes, header: int) -> bytes:
        """Between header and tag."""
        return packet[header : len(packet) - self.mki - 16]


def protections(octets: bytes) -> tuple[Protection, ...]:
    """The ways in which packets may be protected under a key‖salt; its length tells the cipher."""
    if len(octets) in (28, 44):
        return _sealed(octets)
    bits = {30: 128, 38: 192, 46: 256}.get(len(octets))
    if bits is None:
        return ()
    name = "AES_CM_128" if bits == 128 else f"AES_{bits}_CM"
    key = derive(octets[:-14], octets[-14:], AUTHENTICATION, _SHA1_KEY)
    return tuple(
        HashedProtection(f"{name}_HMAC_SHA1_{8 * tag}", key, tag, mki)
        for mki in MKI_LENGTHS
        for tag in (10, 4)
    )


def _sealed(octets: bytes) -> tuple[Protection, ...]:
    master, salt = octets[:-12], octets[-12:]
    cipher = AESGCM(derive(master, salt, ENCRYPTION, len(master)))
    session_salt = derive(master, salt, SALTING, 12)
    suite = f"AEAD_AES_{8 * len(master)}_GCM"
    return tuple(SealedProtection(suite, cipher, session_salt, mki) for mki in MKI_LENGTHS)
