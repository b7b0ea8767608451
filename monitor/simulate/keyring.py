"""The test keys and certificates of the parties. They protect nothing: anyone may have them."""

import datetime
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DOMAIN = "example.org"
NOT_BEFORE = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
NOT_AFTER = datetime.datetime(2120, 1, 1, tzinfo=datetime.UTC)

HOLDERS = ("alice", "bob", "charles")
"""Whose private keys are kept beside their certificates."""
IMPOSTOR = "impostor"
"""A self-signed certificate that names Bob."""
STRANGER = "dave"
"""A certificate only: its private key was thrown away, so that nobody can read what is sent to it."""


@dataclass(frozen=True, slots=True)
class Identity:
    """A certificate and, where it is there, its private key."""

    certificate: x509.Certificate
    key: rsa.RSAPrivateKey | None = None

    @property
    def issuer_and_serial(self) -> tuple[bytes, int]:
        """DER of the issuer's Name and the serial number: how CMS names a certificate."""
        return self.certificate.issuer.public_bytes(), self.certificate.serial_number


def key_file(folder: Path, name: str) -> Path:
    """Where the private key of ``name`` is."""
    return folder / f"{name}-test-key.pem"


def certificate_file(folder: Path, name: str) -> Path:
    """Where the certificate of ``name`` is."""
    return folder / f"{name}-test-cert.pem"


def load(folder: Path) -> dict[str, Identity]:
    """The identities in ``folder`` by name, made there first where they are missing.

    :raises ValueError: a file is there and cannot be read as what it should be.
    :raises OSError: the folder cannot be read or written.
    """
    if not (folder / "ca.pem").exists():
        generate(folder)
    identities = {}
    for name in (*HOLDERS, IMPOSTOR, STRANGER):
        certificate = x509.load_pem_x509_certificate(certificate_file(folder, name).read_bytes())
        path, key = key_file(folder, name), None
        if path.exists():
            loaded = serialization.load_pem_private_key(path.read_bytes(), None)
            if not isinstance(loaded, rsa.RSAPrivateKey):
                raise ValueError(f"{path}: not an RSA key")
            key = loaded
        identities[name] = Identity(certificate, key)
    return identities


def generate(folder: Path) -> None:
    """Make a test authority, and keys and certificates under it, in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    authority_key = _new_key()
    authority = _certificate("Test CA, not for use", authority_key, None, authority_key)
    for name in (*HOLDERS, IMPOSTOR, STRANGER):
        key = _new_key()
        if name == IMPOSTOR:
            certificate = _certificate("bob", key, None, key)
        else:
            certificate = _certificate(name, key, authority, authority_key)
        if name != STRANGER:
            path = key_file(folder, name)
            path.touch(mode=0o600)
            path.write_bytes(
                key.private_bytes(
                    serialization.Encoding.PEM,
                    serialization.PrivateFormat.PKCS8,
                    serialization.NoEncryption(),
                )
            )
        certificate_file(folder, name).write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    # Last, since its presence says that the folder is complete.
    (folder / "ca.pem").write_bytes(authority.public_bytes(serialization.Encoding.PEM))


def _new_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def _certificate(
    name: str, key: rsa.RSAPrivateKey, issuer: x509.Certificate | None, issuer_key: rsa.RSAPrivateKey
) -> x509.Certificate:
    """A certificate as RFC 3261 §23.1 wants it; without ``issuer`` self-signed, and an authority unless
    Bob's.
    """
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "sip-replay-monitor test data"),
            x509.NameAttribute(NameOID.COMMON_NAME, name),
        ]
    )
    authority = issuer is None and name != "bob"
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOT_BEFORE)
        .not_valid_after(NOT_AFTER)
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False
        )
        .add_extension(
            x509.KeyUsage(
                digital_signature=not authority,
                content_commitment=not authority,
                key_encipherment=not authority,
                data_encipherment=False,
                key_agreement=False,
                key_cert_sign=authority,
                crl_sign=authority,
                encipher_only=False,
                decipher_only=False,
            ),
            critical=True,
        )
    )
    if not authority:
        uri = f"sip:{name}@{DOMAIN}"
        builder = builder.add_extension(
            x509.SubjectAlternativeName(
                [x509.UniformResourceIdentifier(uri), x509.RFC822Name(f"{name}@{DOMAIN}")]
            ),
            critical=False,
        ).add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
    return builder.sign(issuer_key, hashes.SHA256())
