"""Envelopes and signatures (RFC 5652) whose randomness comes from a seed, and disguises for envelopes.

FOR TEST DATA ONLY: the randomness is predictable and the RSA encryption is done by plain ``pow``.
"""

import datetime
import random
from collections.abc import Callable, Sequence

from cryptography.hazmat.primitives import hashes, padding
from cryptography.hazmat.primitives.asymmetric import padding as rsa_padding
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.serialization import Encoding

from monitor.simulate import der
from monitor.simulate.keyring import Identity

DATA, SIGNED_DATA, ENVELOPED_DATA = (f"1.2.840.113549.1.7.{arc}" for arc in (1, 2, 3))
RSA_ENCRYPTION = "1.2.840.113549.1.1.1"
SHA256 = "2.16.840.1.101.3.4.2.1"
CONTENT_TYPE, MESSAGE_DIGEST, SIGNING_TIME = (f"1.2.840.113549.1.9.{arc}" for arc in (3, 4, 5))
AES_CBC = {16: "2.16.840.1.101.3.4.1.2", 24: "2.16.840.1.101.3.4.1.22", 32: "2.16.840.1.101.3.4.1.42"}
PRIVATE_ATTRIBUTE = "1.3.6.1.4.1.32473.1"
"""Under the enterprise number for documentation (RFC 5612)."""


def envelope(
    content: bytes, recipients: Sequence[Identity], rng: random.Random, key_length: int = 16
) -> bytes:
    """ContentInfo with an EnvelopedData of ``content``, AES-CBC, the key wrapped by RSA for each recipient;
    DER.
    """
    key, vector = rng.randbytes(key_length), rng.randbytes(16)
    padder = padding.PKCS7(128).padder()
    encryptor = Cipher(algorithms.AES(key), modes.CBC(vector)).encryptor()
    encrypted = encryptor.update(padder.update(content) + padder.finalize()) + encryptor.finalize()
    return _content_info(
        ENVELOPED_DATA,
        der.sequence(
            der.integer(0),
            der.set_of(*(_recipient(identity, key, rng) for identity in recipients)),
            der.sequence(
                der.oid(DATA),
                der.sequence(der.oid(AES_CBC[key_length]), der.octet_string(vector)),
                der.tagged(0, encrypted, constructed=False),
            ),
        ),
    )


def signature(content: bytes, signer: Identity, time: int, *, detached: bool) -> bytes:
    """ContentInfo with a SignedData over ``content`` by RSA with SHA-256, certificate included; DER.

    :param time: of the signature, in seconds since the epoch.
    :raises ValueError: the signer's private key is not there.
    """
    if signer.key is None:
        raise ValueError("a signer needs a private key")
    issuer, serial = signer.issuer_and_serial
    stamp = datetime.datetime.fromtimestamp(time, datetime.UTC).strftime("%y%m%d%H%M%SZ").encode()
    attributes = (
        _attribute(CONTENT_TYPE, der.oid(DATA)),
        _attribute(SIGNING_TIME, der.element(der.UTC_TIME, stamp)),
        _attribute(MESSAGE_DIGEST, der.octet_string(_sha256(content))),
    )
    # Signed as a SET OF, sent under an implicit tag (RFC 5652 §5.4).
    value = signer.key.sign(der.set_of(*attributes), rsa_padding.PKCS1v15(), hashes.SHA256())
    digest_algorithm = der.sequence(der.oid(SHA256))
    signer_info = der.sequence(
        der.integer(1),
        der.sequence(issuer, der.integer(serial)),
        digest_algorithm,
        der.tagged(0, *sorted(attributes)),
        der.sequence(der.oid(RSA_ENCRYPTION), der.element(der.NULL)),
        der.octet_string(value),
    )
    inner = () if detached else (der.tagged(0, der.octet_string(content)),)
    return _content_info(
        SIGNED_DATA,
        der.sequence(
            der.integer(1),
            der.set_of(digest_algorithm),
            der.sequence(der.oid(DATA), *inner),
            der.tagged(0, signer.certificate.public_bytes(Encoding.DER)),
            der.set_of(signer_info),
        ),
    )


Disguise = Callable[[bytes, random.Random], bytes]
"""Writes a recorded envelope in other octets, without any private key."""


def indefinite(blob: bytes, rng: random.Random) -> bytes:
    """The same value in BER: indefinite lengths, octet strings in pieces."""
    return der.parse(blob).ber(chunk=rng.randrange(100, 400))


def with_attribute(blob: bytes, rng: random.Random) -> bytes:
    """An unprotected attribute added; the version follows it (RFC 5652 §6.1)."""
    root, enveloped = _open(blob)
    enveloped.children[0].content = b"\x02"
    enveloped.children.append(
        der.parse(der.tagged(1, _attribute(PRIVATE_ATTRIBUTE, der.octet_string(rng.randbytes(16)))))
    )
    return root.der()


def with_recipient(blob: bytes, rng: random.Random) -> bytes:
    """A recipient put in front, with random octets for a wrapped key."""
    root, enveloped = _open(blob)
    recipients = enveloped.children[1].children
    added = der.parse(recipients[0].der())
    added.children[1].children[1].content = b"\x5a" + rng.randbytes(15)
    added.children[3].content = rng.randbytes(len(added.children[3].content))
    recipients.insert(0, added)
    return root.der()


def reordered_recipients(blob: bytes, rng: random.Random) -> bytes:
    """The recipients in the opposite order."""
    root, enveloped = _open(blob)
    enveloped.children[1].children.reverse()
    return root.der()


def only_recipient(blob: bytes, serial: int) -> bytes:
    """Every recipient taken off but the one whose certificate has this serial number."""
    root, enveloped = _open(blob)
    recipients = enveloped.children[1]
    recipients.children = [
        recipient
        for recipient in recipients.children
        if int.from_bytes(recipient.children[1].children[1].content) == serial
    ]
    return root.der()


def foreign_recipients(blob: bytes, rng: random.Random) -> bytes:
    """Every wrapped key replaced by random octets: only the encrypted content remains of the recording."""
    root, enveloped = _open(blob)
    for recipient in enveloped.children[1].children:
        # Below any modulus, so that it is a possible ciphertext.
        recipient.children[3].content = b"\0" + rng.randbytes(len(recipient.children[3].content) - 1)
    return root.der()


def flipped_block(blob: bytes, rng: random.Random) -> bytes:
    """A bit of the CBC vector flipped: the first plaintext block changes in that bit alone."""
    root, enveloped = _open(blob)
    vector = enveloped.children[2].children[1].children[1]
    vector.content = bytes((vector.content[0] ^ 0x20, *vector.content[1:]))
    return root.der()


def cut_content(blob: bytes, rng: random.Random) -> bytes:
    """A block of random octets put before the encrypted content: other content, same wrapped key."""
    root, enveloped = _open(blob)
    encrypted = enveloped.children[2].children[2]
    encrypted.content = rng.randbytes(16) + encrypted.content
    return root.der()


def _content_info(kind: str, content: bytes) -> bytes:
    return der.sequence(der.oid(kind), der.tagged(0, content))


def _attribute(kind: str, value: bytes) -> bytes:
    return der.sequence(der.oid(kind), der.set_of(value))


def _sha256(octets: bytes) -> bytes:
    digest = hashes.Hash(hashes.SHA256())
    digest.update(octets)
    return digest.finalize()


def _recipient(identity: Identity, key: bytes, rng: random.Random) -> bytes:
    """A KeyTransRecipientInfo (RFC 5652 §6.2.1)."""
    issuer, serial = identity.issuer_and_serial
    return der.sequence(
        der.integer(0),
        der.sequence(issuer, der.integer(serial)),
        der.sequence(der.oid(RSA_ENCRYPTION), der.element(der.NULL)),
        der.octet_string(_rsa_encrypt(identity, key, rng)),
    )


def _rsa_encrypt(identity: Identity, octets: bytes, rng: random.Random) -> bytes:
    """RSAES-PKCS1-v1_5 (RFC 8017 §7.2.1) with padding from the seed. For test data only."""
    public = identity.certificate.public_key()
    if not isinstance(public, rsa.RSAPublicKey):
        raise ValueError("a recipient needs an RSA key")
    numbers = public.public_numbers()
    size = (numbers.n.bit_length() + 7) // 8
    filler = bytes(rng.randrange(1, 256) for _ in range(size - 3 - len(octets)))
    block = int.from_bytes(b"\0\2" + filler + b"\0" + octets)
    return pow(block, numbers.e, numbers.n).to_bytes(size)


def _open(blob: bytes) -> tuple[der.Node, der.Node]:
    root = der.parse(blob)
    return root, root.children[1].children[0]
