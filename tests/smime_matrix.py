"""Every kind of recipient, cipher and encoding: what ``openssl cms`` makes, and what only we make."""

import os
import zlib
from collections.abc import Callable
from functools import cache
from itertools import product

from cryptography.hazmat.primitives import hashes, keywrap
from cryptography.hazmat.primitives.asymmetric import ed448, ed25519, padding, rsa, x448, x25519
from cryptography.hazmat.primitives.ciphers import Cipher, aead, algorithms, modes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.x963kdf import X963KDF
from cryptography.hazmat.primitives.padding import PKCS7
from smime_material import CONTENT, Party, material, openssl

from monitor.cms import ber, content
from monitor.cms.enveloped import Algorithm, EnvelopedData, Recipient
from monitor.keys import ring
from monitor.keys.ring import KeyRing
from monitor.toolbox.tools import confidentiality

SECRETS = {length: bytes(range(length, 2 * length)) for length in (16, 24, 32)}


@cache
def keys() -> KeyRing:
    """All the private keys of the material, and a secret of each length."""
    folder = material().folder / "ring"
    folder.mkdir()
    for number, party in enumerate(material().parties.values()):
        for file in (party.key_file, party.certificate_file):
            target = folder / f"{number}{file.suffix}.txt"
            target.write_bytes(file.read_bytes())
            target.chmod(0o600)
    lines = [f"{secret[:4].hex()} {secret.hex()}  # of {length}" for length, secret in SECRETS.items()]
    (folder / "site.kek").write_text("\n".join(lines))
    return ring.load(folder)


def opened(octets: bytes, held: KeyRing | None = None) -> bytes:
    """What the whole way from octets to content gives."""
    held = held or keys()
    envelope = content.parse(octets)
    assert isinstance(envelope, EnvelopedData)
    request = held.directory.request(envelope, confidentiality.key_length(envelope.algorithm))
    assert request is not None, "no recipient is known"
    answer = held.unwrap(request)
    assert answer.key is not None, "nothing to unwrap with"
    return confidentiality.decrypt(envelope, answer.key, *answer.further)


Options = tuple[str, ...]


def sealed(options: Options, given: bytes = CONTENT) -> bytes:
    """An envelope by ``openssl cms -encrypt``; ``@rsa`` among the options is that party's certificate."""
    words = [str(material()[word[1:]].certificate_file) if word.startswith("@") else word for word in options]
    return openssl("-encrypt", "-binary", "-outform", "DER", *words, given=given)


CIPHERS = {
    "AES-128-CBC": "-aes128",
    "AES-192-CBC": "-aes192",
    "AES-256-CBC": "-aes256",
    "3DES-CBC": "-des3",
    "AES-128-GCM": "-aes-128-gcm",
    "AES-192-GCM": "-aes-192-gcm",
    "AES-256-GCM": "-aes-256-gcm",
}
HASHES = ("sha1", "sha224", "sha256", "sha384", "sha512")


def _key_options(*options: str) -> Options:
    return tuple(word for option in options for word in ("-keyopt", option))


def _oaep(digest: str, mask: str, label: str = "") -> Options:
    options = ["rsa_padding_mode:oaep", f"rsa_oaep_md:{digest}", f"rsa_mgf1_md:{mask}"]
    options += [f"rsa_oaep_label:{label}"] if label else []
    return ("-aes128", "-recip", "@rsa", *_key_options(*options))


def _derived(digest: str, cofactor: int) -> Options:
    options = _key_options(f"ecdh_kdf_md:{digest}", f"ecdh_cofactor_mode:{cofactor}")
    return ("-aes128", "-keyid", "-recip", "@p384", *options)


ENVELOPES: dict[str, tuple[Options, ...]] = {
    **{
        f"{name}; RSA PKCS #1 v1.5; DER and BER; by serial number and by key identifier": tuple(
            (cipher, form, *identifier, "-recip", "@rsa")
            for form, identifier in product(("-stream", "-noindef"), ((), ("-keyid",)))
        )
        for name, cipher in CIPHERS.items()
    },
    **{f"RSA-OAEP, {digest} and MGF1 with the same": (_oaep(digest, digest),) for digest in HASHES},
    "RSA-OAEP, hash and MGF1 hash that differ": (_oaep("sha256", "sha1"), _oaep("sha1", "sha512")),
    "RSA-OAEP with a label": (_oaep("sha256", "sha256", "6c6162656c"),),
    **{
        f"ECDH P-{curve}; key wrap AES-128, AES-192, AES-256, 3DES": tuple(
            ("-aes256", f"-{wrap}-wrap", "-recip", f"@p{curve}")
            for wrap in ("aes128", "aes192", "aes256", "des3")
        )
        for curve in (256, 384, 521)
    },
    **{
        f"ECDH {kind}, KDF with {digest}": (_derived(digest, cofactor),)
        for (cofactor, kind), digest in product(enumerate(("standard", "cofactor")), HASHES)
    },
    **{
        f"key-encryption key of {8 * length} bits": (
            ("-aes256", "-secretkey", secret.hex(), "-secretkeyid", secret[:4].hex()),
        )
        for length, secret in SECRETS.items()
    },
    "several recipients of different kinds": (("-aes128", "@p256", "@rsa", "@p521"),),
}
"""What openssl is asked for, by what that is called. The options of one entry differ in encoding only."""


def der(tag: int, *parts: bytes) -> bytes:
    return ber.encode(tag, b"".join(parts))


def integer(number: int) -> bytes:
    return der(ber.INTEGER, number.to_bytes((number.bit_length() + 8) // 8, signed=True))


def oid(text: str) -> bytes:
    first, second, *arcs = map(int, text.split("."))
    octets = b""
    for arc in (40 * first + second, *arcs):
        part = bytes((arc & 0x7F,))
        while arc := arc >> 7:
            part = bytes((arc & 0x7F | 0x80,)) + part
        octets += part
    return der(ber.OBJECT_IDENTIFIER, octets)


def x25519_originator(public: x25519.X25519PublicKey | x448.X448PublicKey) -> bytes:
    name = "1.3.101.110" if isinstance(public, x25519.X25519PublicKey) else "1.3.101.111"
    return der(0xA1, der(0x30, oid(name)), der(0x03, b"\0", public.public_bytes_raw()))


AES_WRAPS = {"2.16.840.1.101.3.4.1.5": 16, "2.16.840.1.101.3.4.1.25": 24, "2.16.840.1.101.3.4.1.45": 32}


def agreed(
    scheme: str,
    derive: Callable[[bytes, bytes, int], bytes],
    aes_wrap: str,
    material_: bytes,
    who: str,
    key: bytes,
) -> Recipient:
    """A recipient by RFC 8418, or by RFC 5753 for an elliptic curve."""
    party = material()[who]
    private = party.key
    if isinstance(private, x25519.X25519PrivateKey):
        ephemeral = x25519.X25519PrivateKey.generate()
        secret, originator = (
            ephemeral.exchange(private.public_key()),
            x25519_originator(ephemeral.public_key()),
        )
    else:
        assert isinstance(private, x448.X448PrivateKey)
        other = x448.X448PrivateKey.generate()
        secret, originator = other.exchange(private.public_key()), x25519_originator(other.public_key())
    info = der(
        0x30,
        der(0x30, oid(aes_wrap)),
        der(0xA0, der(0x04, material_)) if material_ else b"",
        der(0xA2, der(0x04, (8 * AES_WRAPS[aes_wrap]).to_bytes(4, "big"))),
    )
    wrapped = keywrap.aes_key_wrap(derive(secret, info, AES_WRAPS[aes_wrap]), key)
    return Recipient(
        "kari",
        wrapped,
        Algorithm(scheme, der(0x30, oid(aes_wrap))),
        party.certificate.issuer.public_bytes(),
        party.certificate.serial_number,
        originator=originator,
        user_keying_material=material_,
    )


def x963(kind: type[hashes.HashAlgorithm]) -> Callable[[bytes, bytes, int], bytes]:
    return lambda secret, info, length: X963KDF(kind(), length, info).derive(secret)


def hkdf(kind: type[hashes.HashAlgorithm], salt: bytes = b"") -> Callable[[bytes, bytes, int], bytes]:
    return lambda secret, info, length: HKDF(kind(), length, salt or None, info).derive(secret)


UKM = b"user keying material"
DERIVATIONS = [
    ("1.3.133.16.840.63.0.2", x963(hashes.SHA1), UKM),
    ("1.3.132.1.11.0", x963(hashes.SHA224), b""),
    ("1.3.132.1.11.1", x963(hashes.SHA256), UKM),
    ("1.3.132.1.11.2", x963(hashes.SHA384), b""),
    ("1.3.132.1.11.3", x963(hashes.SHA512), b""),
    ("1.3.132.1.14.1", x963(hashes.SHA256), b""),
    ("1.2.840.113549.1.9.16.3.19", hkdf(hashes.SHA256), b""),
    ("1.2.840.113549.1.9.16.3.19", hkdf(hashes.SHA256, UKM), UKM),
    ("1.2.840.113549.1.9.16.3.19", hkdf(hashes.SHA256), UKM),
    ("1.2.840.113549.1.9.16.3.20", hkdf(hashes.SHA384, UKM), UKM),
    ("1.2.840.113549.1.9.16.3.21", hkdf(hashes.SHA512), b""),
]


def enveloped(recipient: bytes, algorithm: bytes, encrypted: bytes, tag: bytes | None = None) -> bytes:
    """A ContentInfo of EnvelopedData, or with a tag of AuthEnvelopedData."""
    info = der(0x30, oid(content.DATA), algorithm, der(0x80, encrypted))
    inner = der(0x30, der(2, b"\0"), der(0x31, recipient), info, *([] if tag is None else [der(4, tag)]))
    kind = content.ENVELOPED_DATA if tag is None else content.AUTH_ENVELOPED_DATA
    return der(0x30, oid(kind), der(0xA0, inner))


def sealed_by_agreement(
    scheme: str,
    derive: Callable[[bytes, bytes, int], bytes],
    aes_wrap: str,
    material_: bytes,
    who: str,
    given: bytes = CONTENT,
) -> bytes:
    """An envelope for X25519 or X448, which openssl does not make."""
    key, vector = os.urandom(16), os.urandom(16)
    one = agreed(scheme, derive, aes_wrap, material_, who, key)
    recipient = der(
        0xA1,
        der(2, b"\3"),
        der(0xA0, one.originator),
        der(0xA1, der(4, material_)) if material_ else b"",
        der(0x30, oid(scheme), one.algorithm.parameters),
        der(0x30, der(0x30, _issuer_and_serial(material()[who]), der(4, one.encrypted_key))),
    )
    padder, cipher = PKCS7(128).padder(), Cipher(algorithms.AES(key), modes.CBC(vector)).encryptor()
    encrypted = cipher.update(padder.update(given) + padder.finalize())
    return enveloped(recipient, der(0x30, oid("2.16.840.1.101.3.4.1.2"), der(4, vector)), encrypted)


def sealed_by_chacha20(given: bytes = CONTENT) -> bytes:
    """AuthEnvelopedData with ChaCha20-Poly1305 (RFC 8103) for the RSA party."""
    key, nonce, party = os.urandom(32), os.urandom(12), material()["rsa"]
    public = party.key.public_key()
    assert isinstance(public, rsa.RSAPublicKey)
    recipient = der(
        0x30,
        der(2, b"\0"),
        _issuer_and_serial(party),
        der(0x30, oid("1.2.840.113549.1.1.1"), der(5)),
        der(4, public.encrypt(key, padding.PKCS1v15())),
    )
    encrypted = aead.ChaCha20Poly1305(key).encrypt(nonce, given, None)
    algorithm = der(0x30, oid("1.2.840.113549.1.9.16.3.18"), der(4, nonce))
    return enveloped(recipient, algorithm, encrypted[:-16], encrypted[-16:])


def compressed(given: bytes = CONTENT, algorithm: str = "1.2.840.113549.1.9.16.3.8") -> bytes:
    """A ContentInfo of CompressedData (RFC 3274)."""
    info = der(0x30, oid(content.DATA), der(0xA0, der(4, zlib.compress(given))))
    inner = der(0x30, der(2, b"\0"), der(0x30, oid(algorithm)), info)
    return der(0x30, oid(content.COMPRESSED_DATA), der(0xA0, inner))


def signed_data(signers: bytes, given: bytes = CONTENT, *certificates: bytes, digest: str = "") -> bytes:
    """A ContentInfo of SignedData: opaque, with these SignerInfos."""
    digests = der(0x30, oid(digest)) if digest else b""
    encapsulated = der(0x30, oid(content.DATA), der(0xA0, der(4, given)))
    inner = (der(2, b"\1"), der(0x31, digests), encapsulated, der(0xA0, *certificates), der(0x31, signers))
    return der(0x30, oid(content.SIGNED_DATA), der(0xA0, der(0x30, *inner)))


def signed_by_eddsa(who: str, given: bytes = CONTENT) -> bytes:
    """SignedData by Ed25519 or Ed448 (RFC 8419), without attributes, which ``openssl cms`` does not make."""
    party = material()[who]
    assert isinstance(party.key, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey)
    short = isinstance(party.key, ed25519.Ed25519PrivateKey)
    digest = "2.16.840.1.101.3.4.2.3" if short else "2.16.840.1.101.3.4.2.12"
    signer = der(
        0x30,
        der(2, b"\1"),
        _issuer_and_serial(party),
        der(0x30, oid(digest)),
        der(0x30, oid("1.3.101.112" if short else "1.3.101.113")),
        der(4, party.key.sign(given)),
    )
    return signed_data(signer, given, party.der, digest=digest)


def _issuer_and_serial(party: Party) -> bytes:
    certificate = party.certificate
    return der(0x30, certificate.issuer.public_bytes(), integer(certificate.serial_number))
