"""The trust store: whether a signer's certificate is trusted, and why not."""

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from itertools import pairwise
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import (
    Criticality,
    ExtensionPolicy,
    PolicyBuilder,
    Store,
    VerificationError,
)

from monitor.keys.certificate import UNREADABLE
from monitor.keys.error import KeyStoreError

MAX_CHAIN = 8
"""Issuers above a certificate."""
MAX_REMEMBERED = 1024
"""Certificates whose chain is remembered, least recently used first to go."""
MAX_INTERMEDIATES = 16
"""Certificates of one message that may stand between a signer's and a trusted one."""
MAX_CROSS = 2
"""Those of them for one subject and key: more would make the ways to try grow without measure."""
MAX_FILE = 16 << 20
"""Octets of one file of a trust store."""

_SIP_DOMAIN = x509.ObjectIdentifier("1.3.6.1.5.5.7.3.20")
"""id-kp-sipDomain, RFC 5924."""
_PURPOSES = frozenset(
    {ExtendedKeyUsageOID.EMAIL_PROTECTION, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE, _SIP_DOMAIN}
)
_ISSUER_KEYS = (
    rsa.RSAPublicKey,
    ec.EllipticCurvePublicKey,
    ed25519.Ed25519PublicKey,
    ed448.Ed448PublicKey,
)
_LAST_SECOND = 253402300799
"""The end of the year 9999, where certificates without end end (RFC 5280 §4.1.2.5)."""


class Trust(StrEnum):
    """What there is to say of a certificate."""

    TRUSTED = "trusted"
    SELF_SIGNED = "self-signed"
    """Signed by its own key, and not in the trust store: RFC 3261 §23.2 leaves it to the user."""
    UNTRUSTED = "untrusted"
    """No chain leads to the trust store."""
    OUT_OF_DATE = "out-of-date"
    """Not yet or no longer valid at the time of the packet."""
    REVOKED = "revoked"
    UNFIT = "unfit"
    """Its key usage does not allow signing messages."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Whether a certificate is trusted, and why not."""

    trust: Trust
    detail: str = ""
    chain: tuple[x509.Certificate, ...] = ()
    """From the certificate to the trusted one; empty where there is none."""


@dataclass(slots=True)
class _Revocations:
    """A revocation list and what is known of it."""

    listing: x509.CertificateRevocationList
    serials: dict[int, datetime]
    signed_by: dict[bytes, bool]
    """Fingerprint of an issuer's certificate to whether its key signed the list."""


class TrustStore:
    """The certificates that are trusted as they are, and the revocation lists.

    A self-signed or any other end-entity certificate in it is trusted itself.
    """

    def __init__(
        self,
        certificates: Iterable[x509.Certificate],
        revocations: Iterable[x509.CertificateRevocationList] = (),
    ) -> None:
        self.certificates = tuple(certificates)
        self._store = Store(list(self.certificates)) if self.certificates else None
        self._remembered: OrderedDict[bytes, Standing] = OrderedDict()
        self._revocations: dict[x509.Name, list[_Revocations]] = {}
        for listing in revocations:
            serials = {entry.serial_number: entry.revocation_date_utc for entry in listing}
            self._revocations.setdefault(listing.issuer, []).append(_Revocations(listing, serials, {}))

    @classmethod
    def load(cls, path: Path) -> "TrustStore":
        """Load a file, or each file of a directory, of PEM or DER certificates and revocation lists.

        :raises KeyStoreError: something cannot be read, or there is no certificate.
        """
        certificates: list[x509.Certificate] = []
        revocations: list[x509.CertificateRevocationList] = []
        for file in _files(path):
            try:
                with file.open("rb") as stream:
                    octets = stream.read(MAX_FILE + 1)
            except OSError as error:
                mend = (
                    "name certificates, or a directory of them"
                    if not file.exists()
                    else "mend its owner and mode"
                )
                raise KeyStoreError(f"{file}: {error.strerror}; {mend}") from None
            if len(octets) > MAX_FILE:
                raise KeyStoreError(f"{file}: larger than {MAX_FILE} octets")
            _load(file, octets, certificates, revocations)
        if not certificates:
            raise KeyStoreError(f"{path}: no certificate to trust; add PEM or DER certificates")
        return cls(certificates, revocations)

    def verify(
        self, certificate: x509.Certificate, time: int, intermediates: Iterable[bytes] = ()
    ) -> Standing:
        """Whether a certificate is trusted to sign messages.

        :param time: of the packet, nanoseconds since the epoch.
        :param intermediates: DER of certificates that came along.
        """
        moment = datetime.fromtimestamp(min(max(time // 1_000_000_000, 0), _LAST_SECOND), UTC)
        try:
            standing = self._standing(certificate, moment, intermediates)
            if standing.trust != Trust.TRUSTED:
                return standing
            if revoked := self._revoked(standing.chain, moment):
                return Standing(Trust.REVOKED, revoked, standing.chain)
            if unfit := _unfit(certificate):
                return Standing(Trust.UNFIT, unfit, standing.chain)
        except UNREADABLE as error:
            return Standing(Trust.UNTRUSTED, f"a certificate that cannot be read: {first_line(error)}")
        return standing

    def _standing(
        self, certificate: x509.Certificate, moment: datetime, intermediates: Iterable[bytes]
    ) -> Standing:
        """Build a chain, or remember one."""
        fingerprint = certificate.fingerprint(hashes.SHA256())
        remembered = self._remembered.get(fingerprint)
        if remembered is not None and all(_in_date(link, moment) for link in remembered.chain):
            self._remembered.move_to_end(fingerprint)
            return remembered
        standing = self._build(certificate, moment, intermediates)
        if standing.trust == Trust.TRUSTED:
            self._remembered[fingerprint] = standing
            if len(self._remembered) > MAX_REMEMBERED:
                self._remembered.popitem(last=False)
        return standing

    def _build(
        self, certificate: x509.Certificate, moment: datetime, intermediates: Iterable[bytes]
    ) -> Standing:
        if not _in_date(certificate, moment):
            return Standing(Trust.OUT_OF_DATE, f"valid {_period(certificate)}")
        if self._store is None:
            return _stranger(certificate, "nobody is trusted")
        builder = PolicyBuilder().store(self._store).time(moment.replace(tzinfo=None))
        builder = builder.max_chain_depth(MAX_CHAIN)
        builder = builder.extension_policies(ca_policy=_ISSUERS, ee_policy=ExtensionPolicy.permit_all())
        try:
            verified = builder.build_client_verifier().verify(certificate, list(_readable(intermediates)))
        except VerificationError as error:
            return _stranger(certificate, first_line(error))
        return Standing(Trust.TRUSTED, "", tuple(verified.chain))

    def _revoked(self, chain: tuple[x509.Certificate, ...], moment: datetime) -> str:
        for certificate, issuer in pairwise(chain):
            for known in self._revocations.get(certificate.issuer, ()):
                since = known.serials.get(certificate.serial_number)
                if since is not None and since <= moment and _signed_by(known, issuer):
                    return f"{certificate.subject.rfc4514_string()} was revoked on {since:%Y-%m-%d}"
        return ""


def _issuer_usage(policy: object, certificate: x509.Certificate, usage: x509.KeyUsage | None) -> None:
    if usage is not None and not usage.key_cert_sign:
        raise ValueError("the key of an issuer may not sign certificates")


def _issuer_constraints(
    policy: object, certificate: x509.Certificate, constraints: x509.BasicConstraints
) -> None:
    if not constraints.ca:
        raise ValueError("an issuer is no certification authority")


_ISSUERS = (
    ExtensionPolicy.permit_all()
    .require_present(x509.BasicConstraints, Criticality.AGNOSTIC, _issuer_constraints)
    .may_be_present(x509.KeyUsage, Criticality.AGNOSTIC, _issuer_usage)
)


def _unfit(certificate: x509.Certificate) -> str:
    """Why a key may not sign messages (RFC 8550 §4.4.2, §4.4.4), empty where it may."""
    try:
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
        if not (usage.digital_signature or usage.content_commitment):
            return "its key usage does not allow signatures"
    except x509.ExtensionNotFound:
        pass
    try:
        purposes = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        if _PURPOSES.isdisjoint(purposes):
            return "its extended key usage allows neither e-mail protection nor SIP"
    except x509.ExtensionNotFound:
        pass
    return ""


def _stranger(certificate: x509.Certificate, detail: str) -> Standing:
    if certificate.issuer == certificate.subject:
        try:
            certificate.verify_directly_issued_by(certificate)
        except (*UNREADABLE, InvalidSignature):
            pass
        else:
            return Standing(Trust.SELF_SIGNED, "self-signed, and not in the trust store")
    return Standing(Trust.UNTRUSTED, detail)


def _signed_by(known: _Revocations, issuer: x509.Certificate) -> bool:
    fingerprint = issuer.fingerprint(hashes.SHA256())
    if fingerprint not in known.signed_by:
        if len(known.signed_by) >= MAX_REMEMBERED:
            known.signed_by.clear()
        key = issuer.public_key()
        try:
            known.signed_by[fingerprint] = isinstance(key, _ISSUER_KEYS) and (
                known.listing.is_signature_valid(key)
            )
        except UNREADABLE:
            known.signed_by[fingerprint] = False
    return known.signed_by[fingerprint]


def _in_date(certificate: x509.Certificate, moment: datetime) -> bool:
    return certificate.not_valid_before_utc <= moment <= certificate.not_valid_after_utc


def _period(certificate: x509.Certificate) -> str:
    return f"from {certificate.not_valid_before_utc:%Y-%m-%d} to {certificate.not_valid_after_utc:%Y-%m-%d}"


def _readable(encoded: Iterable[bytes]) -> Iterator[x509.Certificate]:
    identities: list[tuple[x509.Name, object]] = []
    for count, one in enumerate(encoded):
        if count == MAX_INTERMEDIATES:
            return
        try:
            certificate = x509.load_der_x509_certificate(one)
            identity = (certificate.subject, certificate.public_key())
        except UNREADABLE:
            continue
        if identities.count(identity) < MAX_CROSS:
            identities.append(identity)
            yield certificate


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(file for file in path.iterdir() if file.is_file() and not file.name.startswith("."))
    return [path]


def _load(
    file: Path,
    octets: bytes,
    certificates: list[x509.Certificate],
    revocations: list[x509.CertificateRevocationList],
) -> None:
    try:
        if b"-----BEGIN " not in octets:
            _load_der(octets, certificates, revocations)
            return
        if b"-----BEGIN CERTIFICATE-----" in octets:
            certificates += x509.load_pem_x509_certificates(octets)
        end = b"-----END X509 CRL-----"
        for part in octets.split(end)[:-1]:
            block = part[part.index(b"-----BEGIN X509 CRL-----") :] + end + b"\n"
            revocations.append(x509.load_pem_x509_crl(block))
    except UNREADABLE as error:
        raise KeyStoreError(f"{file}: no certificate or revocation list ({first_line(error)})") from None


def _load_der(
    octets: bytes,
    certificates: list[x509.Certificate],
    revocations: list[x509.CertificateRevocationList],
) -> None:
    try:
        certificates.append(x509.load_der_x509_certificate(octets))
    except UNREADABLE:
        revocations.append(x509.load_der_x509_crl(octets))


def first_line(error: Exception) -> str:
    return " ".join(str(error).split())[:160]
