"""The private keys, and the work that needs them."""

import hmac
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

from monitor.cms import name
from monitor.cms.enveloped import Recipient
from monitor.cms.error import CmsError
from monitor.keys import agreement, transport, wrap
from monitor.keys.agreement import PrivateKey as AgreementKey
from monitor.keys.certificate import UNREADABLE, subject_key_identifier
from monitor.keys.directory import Directory, Holding
from monitor.keys.error import KeyStoreError
from monitor.keys.request import MAX_RECIPIENTS, UnwrapAnswer, UnwrapRequest

MAX_FILE = 1 << 20
"""Octets of a key file; a larger one is an error."""
MAX_KEY_LENGTH = 64
"""Octets of a content-encryption key."""

PrivateKey = rsa.RSAPrivateKey | AgreementKey

_PEM = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----.*?-----END \1-----", re.DOTALL)
_PRIVATE_LABELS = frozenset({b"PRIVATE KEY", b"RSA PRIVATE KEY", b"EC PRIVATE KEY"})
_CERTIFICATE_LABELS = frozenset({b"CERTIFICATE", b"X509 CERTIFICATE"})
_DER_SUFFIXES = frozenset({".der", ".cer", ".crt", ".p8", ".pri", ".key"})
_SECRET_SUFFIX = ".kek"


class KeyRing:
    """Private keys and key-encryption keys.

    :param keys: the private keys, in the order of the holdings of ``directory``.
    :param secrets: the key-encryption keys, in the order of its secrets.
    """

    def __init__(
        self,
        directory: Directory,
        keys: tuple[PrivateKey, ...] = (),
        secrets: tuple[bytes, ...] = (),
        warnings: tuple[str, ...] = (),
    ) -> None:
        self.directory = directory
        self.warnings = warnings
        self._keys = keys
        self._secrets = secrets
        self._rejection_secret = os.urandom(32)

    def unwrap(self, request: UnwrapRequest) -> UnwrapAnswer:
        """Unwrap every recipient that names a held key.

        What is asked and what is held decide which operations run. Each that runs gives a key of the length
        asked for: where the unwrapping failed, one that is derived from a secret and the wrapped key, so that
        asking again tells nothing either.
        """
        found: list[bytes] = []
        for recipient in request.recipients[:MAX_RECIPIENTS]:
            key = self._unwrap(recipient, min(request.key_length, MAX_KEY_LENGTH))
            if key is not None:
                found.append(key)
        return UnwrapAnswer(found[0], tuple(found[1:])) if found else UnwrapAnswer(None)

    def _unwrap(self, recipient: Recipient, length: int) -> bytes | None:
        index = self.directory.find(recipient)
        if index is None:
            return None
        rejected = hmac.digest(self._rejection_secret, recipient.encrypted_key, "sha512")[:length]
        key: bytes | None
        if recipient.kind == "kekri":
            secret, oid = self._secrets[index], recipient.algorithm.oid
            if wrap.key_length(oid) != len(secret):
                return None
            key = wrap.unwrap(oid, secret, recipient.encrypted_key)
        else:
            private = self._keys[index]
            if isinstance(private, rsa.RSAPrivateKey):
                chosen = transport.scheme(recipient) if recipient.kind == "ktri" else None
                if chosen is None:
                    return None
                key = transport.unwrap(private, recipient, chosen)
            else:
                agreed = (
                    agreement.scheme(private, recipient, self._originator)
                    if recipient.kind == "kari"
                    else None
                )
                if agreed is None:
                    return None
                key = agreement.unwrap(private, recipient, agreed)
        return key if key is not None and len(key) == length else rejected

    def _originator(self, named: Recipient) -> x509.Certificate | None:
        """The certificate of an originator that is named only (static-static key agreement)."""
        for encoded in self.directory.certificates:
            if named.issuer:
                issuer, serial, _ = name.certificate_names(encoded)
                match = serial == named.serial and name.canonical(issuer) == name.canonical(named.issuer)
            else:
                match = subject_key_identifier(encoded) == named.key_identifier
            if match:
                return x509.load_der_x509_certificate(encoded)
        return None


def load(path: Path) -> KeyRing:
    """Load every key and certificate of a directory, whatever its files are called.

    Files are PEM, with any number of private keys (PKCS #8, PKCS #1, SEC 1; not encrypted) and certificates;
    or one DER certificate or private key (``.der``, ``.cer``, ``.crt``, ``.p8``, ``.pri``, ``.key``); or
    key-encryption keys (``.kek``): lines of an identifier and a secret of 16, 24 or 32 octets, both
    hexadecimal, with a blank between them; ``#`` starts a comment. Hidden files and directories are passed
    over.

    :raises KeyStoreError: something cannot be read.
    """
    if not path.is_dir():
        raise KeyStoreError(f"{path}: no such directory; name the directory that holds the key files")
    found = _Found()
    for file in sorted(path.iterdir()):
        if file.is_file() and not file.name.startswith("."):
            _load_file(file, found)
    return found.ring(path)


@dataclass(slots=True)
class _Found:
    keys: dict[bytes, PrivateKey] = field(default_factory=dict)
    certificates: dict[bytes, bytes] = field(default_factory=dict)
    """DER to the DER of its SubjectPublicKeyInfo."""
    secrets: dict[bytes, bytes] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def ring(self, path: Path) -> KeyRing:
        """Pair keys and certificates by public key."""
        holdings = [
            Holding(public, tuple(der for der, own in self.certificates.items() if own == public))
            for public in self.keys
        ]
        bare = sum(not holding.certificates for holding in holdings)
        if bare:
            self.warnings.append(
                f"{path}: {bare} private key(s) without certificate: only key identifiers name them"
            )
        if not self.keys and not self.secrets:
            self.warnings.append(f"{path}: no private key here: nothing can be decrypted")
        others = [der for der, public in self.certificates.items() if public not in self.keys]
        directory = Directory(holdings, self.secrets, others)
        return KeyRing(
            directory, tuple(self.keys.values()), tuple(self.secrets.values()), tuple(self.warnings)
        )


def _load_file(file: Path, found: _Found) -> None:
    try:
        with file.open("rb") as stream:
            mode = os.fstat(stream.fileno()).st_mode
            octets = stream.read(MAX_FILE + 1)
    except OSError as error:
        raise KeyStoreError(f"{file}: {error.strerror}; mend its owner and mode, or take it away") from None
    if len(octets) > MAX_FILE:
        raise KeyStoreError(f"{file}: larger than {MAX_FILE} octets; take it away if it holds no keys")
    before = len(found.keys) + len(found.secrets)
    if file.suffix == _SECRET_SUFFIX:
        _load_secrets(file, octets, found)
    elif b"-----BEGIN " in octets:
        for label, block in _pem_blocks(octets):
            _load_pem(file, label, block, found)
    elif file.suffix in _DER_SUFFIXES:
        _load_der(file, octets, found)
    else:
        found.warnings.append(f"{file}: passed over, neither PEM nor of a known kind")
    private = len(found.keys) + len(found.secrets) > before
    if private and mode & (stat.S_IRWXG | stat.S_IRWXO):
        found.warnings.append(f"{file}: others than its owner may read it; chmod 600 it")


def _pem_blocks(octets: bytes) -> Iterator[tuple[bytes, bytes]]:
    for match in _PEM.finditer(octets):
        yield match[1], match[0]


def _load_pem(file: Path, label: bytes, block: bytes, found: _Found) -> None:
    if label == b"ENCRYPTED PRIVATE KEY" or b"Proc-Type: 4,ENCRYPTED" in block:
        raise KeyStoreError(f"{file}: the private key is encrypted; decrypt it with 'openssl pkey'")
    try:
        if label in _PRIVATE_LABELS:
            _add_key(file, serialization.load_pem_private_key(block + b"\n", None), found)
        elif label in _CERTIFICATE_LABELS:
            _add_certificate(x509.load_pem_x509_certificate(block + b"\n"), found)
        elif label not in (b"EC PARAMETERS", b"X509 CRL"):
            found.warnings.append(f"{file}: a {label.decode()} was passed over")
    except (*UNREADABLE, CmsError) as error:
        raise KeyStoreError(f"{file}: a {label.decode()} that cannot be read ({_line(error)})") from None


def _load_der(file: Path, octets: bytes, found: _Found) -> None:
    try:
        _add_certificate(x509.load_der_x509_certificate(octets), found)
        return
    except (*UNREADABLE, CmsError):
        pass
    try:
        _add_key(file, serialization.load_der_private_key(octets, None), found)
    except TypeError:
        raise KeyStoreError(f"{file}: the private key is encrypted; decrypt it with 'openssl pkey'") from None
    except UNREADABLE as error:
        raise KeyStoreError(f"{file}: no DER certificate or private key ({_line(error)})") from None


def _add_key(file: Path, key: object, found: _Found) -> None:
    if not isinstance(key, PrivateKey):
        found.warnings.append(f"{file}: a private key that cannot decrypt was passed over")
        return
    found.keys.setdefault(_public_octets(key.public_key()), key)


def _add_certificate(certificate: x509.Certificate, found: _Found) -> None:
    encoded = certificate.public_bytes(serialization.Encoding.DER)
    name.certificate_names(encoded)
    try:
        public = certificate.public_key()
    except UNREADABLE:
        found.certificates.setdefault(encoded, b"")
        return
    found.certificates.setdefault(encoded, _public_octets(public))


def _public_octets(public: PublicKeyTypes) -> bytes:
    return public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def _load_secrets(file: Path, octets: bytes, found: _Found) -> None:
    for number, line in enumerate(octets.decode("ascii", "replace").splitlines(), 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        try:
            identifier, secret = map(bytes.fromhex, words)
        except ValueError:
            raise KeyStoreError(
                f"{file}:{number}: not an identifier and a secret, both hexadecimal"
            ) from None
        if len(secret) not in (16, 24, 32):
            raise KeyStoreError(f"{file}:{number}: a secret of {len(secret)} octets; 16, 24 or 32 are right")
        if found.secrets.setdefault(identifier, secret) != secret:
            raise KeyStoreError(f"{file}:{number}: another secret under an identifier that is taken")


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__
