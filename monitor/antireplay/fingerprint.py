"""Fingerprints: keyed hashes of what must be used once, never the thing itself.

Each kind of thing has a label of its own, so that octets of one kind never match those of another.
"""

from hashlib import sha256

SPI_OCTETS = 4
"""A Security Parameters Index has 32 bits (RFC 4303 §2.1)."""
BLOCK = 64
"""Octets that SHA-256 takes at a time."""


class Fingerprinter:
    """Makes fingerprints under the site secret: HMAC-SHA-256, 32 octets.

    :param secret: the site secret; 16 octets or more.
    :raises ValueError: the secret is too short.
    """

    __slots__ = ("_inner", "_outer")

    def __init__(self, secret: bytes) -> None:
        if len(secret) < 16:
            raise ValueError("the site secret needs at least 16 octets")
        # HMAC by its definition (RFC 2104 §2): OpenSSL's own takes three times as long to set up.
        key = (secret if len(secret) <= BLOCK else sha256(secret).digest()).ljust(BLOCK, b"\0")
        self._inner = bytes(octet ^ 0x36 for octet in key)
        self._outer = bytes(octet ^ 0x5C for octet in key)

    def _hash(self, label: bytes, octets: bytes) -> bytes:
        inner = sha256(b"%b%b\0%b" % (self._inner, label, octets)).digest()
        return sha256(self._outer + inner).digest()

    def master_key(self, octets: bytes) -> bytes:
        """Of the decoded key‖salt of one SDES ``inline:`` parameter."""
        return self._hash(b"master-key", octets)

    def mikey(self, octets: bytes) -> bytes:
        """Of a whole MIKEY message (RFC 3830)."""
        return self._hash(b"mikey", octets)

    def wrapped_key(self, octets: bytes) -> bytes:
        """Of one encryptedKey of an envelope, normalised."""
        return self._hash(b"wrapped-key", octets)

    def content(self, octets: bytes) -> bytes:
        """Of the encrypted content of an envelope."""
        return self._hash(b"content", octets)

    def call(self, call_id: str) -> bytes:
        """Of a Call-ID; compared byte by byte (RFC 3261 §8.1.1.4)."""
        return self._hash(b"call", call_id.encode("utf-8", "surrogateescape"))

    def dialog(self, call_id: str, tag: str) -> bytes:
        """Of a Call-ID with the tag of the initial requester."""
        return self._hash(b"dialog", f"{call_id}\0{tag}".encode("utf-8", "surrogateescape"))

    def originator(self, identity: str) -> bytes:
        """Of who a message is from: a certificate's hash or an address-of-record."""
        return self._hash(b"originator", identity.encode("utf-8", "surrogateescape"))


def spi(fingerprint: bytes) -> str:
    """The SPI shown to people: the first 32 bits of a fingerprint in hexadecimal."""
    return fingerprint[:SPI_OCTETS].hex()
