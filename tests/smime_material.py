"""Keys, certificates and CMS for the tests of ``cms``, ``keys`` and the tools; made once for each run."""

import atexit
import os
import random
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa, x448, x25519
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.x509.oid import NameOID

from monitor.cms import ber

PrivateKey = (
    rsa.RSAPrivateKey
    | ec.EllipticCurvePrivateKey
    | x25519.X25519PrivateKey
    | x448.X448PrivateKey
    | ed25519.Ed25519PrivateKey
    | ed448.Ed448PrivateKey
)
PublicKey = (
    rsa.RSAPublicKey
    | ec.EllipticCurvePublicKey
    | x25519.X25519PublicKey
    | x448.X448PublicKey
    | ed25519.Ed25519PublicKey
    | ed448.Ed448PublicKey
)
NOW = 1_750_000_000 * 10**9
"""A time, in nanoseconds, at which every certificate here is valid unless it is said not to be."""
BEGIN, END = datetime(2024, 1, 1, tzinfo=UTC), datetime(2034, 1, 1, tzinfo=UTC)
CONTENT = (
    b"Content-Type: application/sdp\r\n\r\nv=0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" + b"A" * 40
)


def name(common: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "DE"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Example Org"),
            x509.NameAttribute(NameOID.COMMON_NAME, common),
        ]
    )


def issue(
    common: str,
    public: PublicKey,
    issuer: str,
    issuer_key: CertificateIssuerPrivateKeyTypes,
    extensions: Iterable[tuple[x509.ExtensionType, bool]] = (),
    *,
    serial: int | None = None,
    begin: datetime = BEGIN,
    end: datetime = END,
) -> x509.Certificate:
    builder = x509.CertificateBuilder().subject_name(name(common)).issuer_name(name(issuer))
    builder = builder.public_key(public).serial_number(serial or x509.random_serial_number())
    builder = builder.not_valid_before(begin).not_valid_after(end)
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    eddsa = isinstance(issuer_key, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey)
    return builder.sign(issuer_key, None if eddsa else hashes.SHA256())


AUTHORITY = (x509.BasicConstraints(ca=True, path_length=None), True)


@dataclass(frozen=True)
class Party:
    """A key with its certificate, and the PEM files of both."""

    key: PrivateKey
    certificate: x509.Certificate
    key_file: Path
    certificate_file: Path

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.DER)


@dataclass(frozen=True)
class Material:
    folder: Path
    authority: Party
    parties: dict[str, Party]

    def __getitem__(self, who: str) -> Party:
        return self.parties[who]


def write(folder: Path, who: str, key: PrivateKey, certificate: x509.Certificate) -> Party:
    key_file, certificate_file = folder / f"{who}.key", folder / f"{who}.pem"
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    key_file.chmod(0o600)
    certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return Party(key, certificate, key_file, certificate_file)


@cache
def material() -> Material:
    """An authority and a party of each kind of key; each party's name is its kind."""
    folder = Path(tempfile.mkdtemp(prefix="smime-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    root = ec.generate_private_key(ec.SECP256R1())
    authority = write(folder, "ca", root, issue("Test CA", root.public_key(), "Test CA", root, [AUTHORITY]))
    keys: dict[str, PrivateKey] = {
        "rsa": rsa.generate_private_key(65537, 2048),
        "p256": ec.generate_private_key(ec.SECP256R1()),
        "p384": ec.generate_private_key(ec.SECP384R1()),
        "p521": ec.generate_private_key(ec.SECP521R1()),
        "x25519": x25519.X25519PrivateKey.generate(),
        "x448": x448.X448PrivateKey.generate(),
        "ed25519": ed25519.Ed25519PrivateKey.generate(),
        "ed448": ed448.Ed448PrivateKey.generate(),
    }
    parties = {}
    for number, (who, key) in enumerate(keys.items(), start=1):
        public = key.public_key()
        extensions: list[tuple[x509.ExtensionType, bool]] = [
            (x509.SubjectKeyIdentifier.from_public_key(public), False),
            (
                x509.SubjectAlternativeName([x509.UniformResourceIdentifier(f"sip:{who}@example.org")]),
                False,
            ),
        ]
        # Every second one with its highest bit set, which takes one octet more as an INTEGER.
        serial = (0x7F80 if number % 2 else 0x80) << 8 * number | number
        certificate = issue(who, public, "Test CA", root, extensions, serial=serial)
        parties[who] = write(folder, who, key, certificate)
    return Material(folder, authority, parties)


def openssl(*arguments: str | Path, given: bytes = CONTENT) -> bytes:
    """Run ``openssl cms``; skips the test where it is not installed."""
    program = shutil.which("openssl")
    if program is None:
        pytest.skip("openssl is not installed")
    done = subprocess.run(
        [program, "cms", *map(str, arguments)], input=given, capture_output=True, check=False
    )
    if done.returncode:
        raise AssertionError(done.stderr.decode())
    return done.stdout


def corpus(*parts: str) -> Path:
    """A folder or file of the third-party test data; skips the test where SIP_CORPORA is not set."""
    root = os.environ.get("SIP_CORPORA")
    if not root:
        pytest.skip("SIP_CORPORA is not set")
    return Path(root, *parts)


def loosen(encoded: bytes, chance: random.Random, *, segment: bool = True, nested: int = 0) -> bytes:
    """The same value as an element in DER has, in other BER: odd lengths, strings in segments."""
    tag, start, stop, after = ber.element(encoded, 0, len(encoded))
    assert after == len(encoded)
    contents = encoded[start:stop]
    if tag == ber.OCTET_STRING or (tag == 0x80 and segment):
        if nested < 4 and chance.random() < 0.4:
            cut = chance.randrange(len(contents) + 1)
            parts = [ber.encode(ber.OCTET_STRING, part) for part in (contents[:cut], contents[cut:])]
            loose = b"".join(loosen(part, chance, nested=nested + 1) for part in parts)
            return _element(tag | ber.CONSTRUCTED, loose, chance)
    elif tag & ber.CONSTRUCTED:
        parts = []
        at = start
        while at < stop:
            begin = at
            at = ber.element(encoded, at, stop)[3]
            parts.append(loosen(encoded[begin:at], chance, segment=segment))
        return _element(tag, b"".join(parts), chance)
    return _element(tag, contents, chance)


def _element(tag: int, contents: bytes, chance: random.Random) -> bytes:
    kind = chance.randrange(4)
    identifier = bytes((tag,)) if tag < 0x100 else ber.encode(tag, b"")[:-1]
    if kind == 0 and tag & ber.CONSTRUCTED:
        return identifier + b"\x80" + contents + b"\0\0"
    if kind == 1:
        count = chance.randrange(4, 9)
        return identifier + bytes((0x80 | count,)) + len(contents).to_bytes(count, "big") + contents
    if kind == 2 and tag < 0x100:
        identifier = bytes((tag | 0x1F, tag & 0x1F))
    return identifier + ber.encode(0x04, contents)[1:]
