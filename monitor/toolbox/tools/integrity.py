"""Integrity: the signatures of SignedData (RFC 5652 §5.4 to §5.6)."""

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, ClassVar, Literal

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, padding, rsa

from monitor.cms import ber, name
from monitor.cms.ber import Cursor
from monitor.cms.content import DATA
from monitor.cms.enveloped import Algorithm
from monitor.cms.error import CmsError
from monitor.cms.signed import SignedData, SignerInfo, attributes
from monitor.exceptions import ExceptionName
from monitor.keys.certificate import UNREADABLE, subject_key_identifier
from monitor.toolbox.case import Case
from monitor.toolbox.layer import Kind, Layer, Service, Signed
from monitor.toolbox.tool import NOTHING, Databases, Peeled

MAX_CANDIDATES = 2
"""Certificates that are tried for one signer, where several have its identifier."""
MAX_SIGNATURES = 16
"""Signatures of one message that are checked, each of which takes up to some milliseconds."""
MAX_KEY_BITS = 8192
"""Of an RSA or DSA key; to check a signature with a longer one takes too long."""
MAX_EXPONENT_BITS = 33
"""Of an RSA key's public exponent, which is 65537 as a rule: the same."""
WEAK_RSA_BITS = 2048
"""An RSA key below this is flagged."""

_CONTENT_TYPE = "1.2.840.113549.1.9.3"
_MESSAGE_DIGEST = "1.2.840.113549.1.9.4"
_SIGNING_TIME = "1.2.840.113549.1.9.5"
_SIGNING_CERTIFICATE = "1.2.840.113549.1.9.16.2.12"
_SIGNING_CERTIFICATE_V2 = "1.2.840.113549.1.9.16.2.47"
_SINGLE = frozenset({_CONTENT_TYPE, _MESSAGE_DIGEST, _SIGNING_TIME})

_NIST_HASH, _NIST_SIGNATURE = "2.16.840.1.101.3.4.2.", "2.16.840.1.101.3.4.3."
_DIGESTS: dict[str, hashes.HashAlgorithm] = {
    "1.3.14.3.2.26": hashes.SHA1(),
    _NIST_HASH + "4": hashes.SHA224(),
    _NIST_HASH + "1": hashes.SHA256(),
    _NIST_HASH + "2": hashes.SHA384(),
    _NIST_HASH + "3": hashes.SHA512(),
    _NIST_HASH + "7": hashes.SHA3_224(),
    _NIST_HASH + "8": hashes.SHA3_256(),
    _NIST_HASH + "9": hashes.SHA3_384(),
    _NIST_HASH + "10": hashes.SHA3_512(),
    _NIST_HASH + "12": hashes.SHAKE256(64),  # with Ed448, RFC 8419 §3.2
}
_Family = Literal["rsa", "pss", "ecdsa", "dsa", "eddsa"]
_SIGNATURES: dict[str, tuple[_Family, str]] = {
    "1.2.840.113549.1.1.1": ("rsa", ""),
    "1.2.840.113549.1.1.5": ("rsa", "sha1"),
    "1.2.840.113549.1.1.14": ("rsa", "sha224"),
    "1.2.840.113549.1.1.11": ("rsa", "sha256"),
    "1.2.840.113549.1.1.12": ("rsa", "sha384"),
    "1.2.840.113549.1.1.13": ("rsa", "sha512"),
    "1.2.840.113549.1.1.10": ("pss", ""),
    "1.2.840.10045.2.1": ("ecdsa", ""),
    "1.2.840.10045.4.1": ("ecdsa", "sha1"),
    "1.2.840.10045.4.3.1": ("ecdsa", "sha224"),
    "1.2.840.10045.4.3.2": ("ecdsa", "sha256"),
    "1.2.840.10045.4.3.3": ("ecdsa", "sha384"),
    "1.2.840.10045.4.3.4": ("ecdsa", "sha512"),
    "1.2.840.10040.4.1": ("dsa", ""),
    "1.2.840.10040.4.3": ("dsa", "sha1"),
    _NIST_SIGNATURE + "1": ("dsa", "sha224"),
    _NIST_SIGNATURE + "2": ("dsa", "sha256"),
    _NIST_SIGNATURE + "9": ("ecdsa", "sha3-224"),
    _NIST_SIGNATURE + "10": ("ecdsa", "sha3-256"),
    _NIST_SIGNATURE + "11": ("ecdsa", "sha3-384"),
    _NIST_SIGNATURE + "12": ("ecdsa", "sha3-512"),
    _NIST_SIGNATURE + "13": ("rsa", "sha3-224"),
    _NIST_SIGNATURE + "14": ("rsa", "sha3-256"),
    _NIST_SIGNATURE + "15": ("rsa", "sha3-384"),
    _NIST_SIGNATURE + "16": ("rsa", "sha3-512"),
    "1.3.101.112": ("eddsa", ""),
    "1.3.101.113": ("eddsa", ""),
}
"""Family, and the digest that the identifier names, empty where it names none."""


class SignatureStatus(StrEnum):
    """What became of one signature."""

    VALID = "valid"
    INVALID = "invalid"
    NO_CERTIFICATE = "no-certificate"
    """No certificate has the signer's identifier."""
    UNSUPPORTED = "unsupported"


@dataclass(frozen=True, slots=True)
class SignerResult:
    """One signature and what became of it."""

    status: SignatureStatus
    certificate: bytes | None = None
    """DER of the signer's certificate, whose key the signature was checked with; nothing says that it is
    trusted."""
    digest: str = ""
    weak: bool = False
    """SHA-1, or a key that is too short: valid today, perhaps a forgery all the same."""
    signing_time: int | None = None
    """What the signer says (signed), nanoseconds since the epoch."""
    detail: str = ""


class Certificates:
    """Certificates by the identifiers that signers have.

    :param encoded: DER of each. What cannot be read is left out.
    """

    def __init__(self, encoded: Iterable[bytes]) -> None:
        self._all = tuple(encoded)
        self._by_serial: dict[int, list[tuple[bytes, bytes]]] = {}
        self._by_key_identifier: dict[bytes, list[bytes]] | None = None
        for certificate in self._all:
            try:
                issuer, serial, _ = name.certificate_names(certificate)
            except CmsError:
                continue
            self._by_serial.setdefault(serial, []).append((issuer, certificate))

    def find(self, signer: SignerInfo) -> list[bytes]:
        """The certificates that have a signer's identifier."""
        if not signer.issuer:
            return self._key_identifiers().get(signer.key_identifier, [])
        candidates = self._by_serial.get(signer.serial, [])
        exact = [certificate for issuer, certificate in candidates if issuer == signer.issuer]
        if exact or not candidates:
            return exact
        wanted = name.canonical(signer.issuer)
        return [certificate for issuer, certificate in candidates if name.canonical(issuer) == wanted]

    def _key_identifiers(self) -> dict[bytes, list[bytes]]:
        if self._by_key_identifier is None:
            self._by_key_identifier = {}
            for certificate in self._all:
                if identifier := subject_key_identifier(certificate):
                    self._by_key_identifier.setdefault(identifier, []).append(certificate)
        return self._by_key_identifier


_NONE = Certificates(())


def verify(
    signed: SignedData, content: bytes | None = None, known: Certificates = _NONE
) -> tuple[SignerResult, ...]:
    """Check every signature.

    :param content: what was signed, where ``signed`` does not hold it.
    :param known: certificates besides those that came along.
    :returns: one result for each signer, in their order; none where nobody signed.
    :raises CmsError: ambiguous, there is content within and without, and they differ.
    """
    if signed.content is not None and content is not None and signed.content != content:
        ber.ambiguous("signed content within and without, which differ")
    octets = signed.content if signed.content is not None else content
    embedded = Certificates(signed.certificates)
    return tuple(_verify(signed, signer, octets, embedded, known) for signer in signed.signers)


def _verify(
    signed: SignedData, signer: SignerInfo, content: bytes | None, embedded: Certificates, known: Certificates
) -> SignerResult:
    digest = _DIGESTS.get(signer.digest.oid)
    if digest is None:
        return SignerResult(SignatureStatus.UNSUPPORTED, detail=f"digest {signer.digest.oid}")
    chosen = _SIGNATURES.get(signer.algorithm.oid)
    if chosen is None:
        return SignerResult(SignatureStatus.UNSUPPORTED, detail=f"signature {signer.algorithm.oid}")

    def result(status: SignatureStatus, detail: str = "", certificate: bytes | None = None) -> SignerResult:
        weak = digest.name == "sha1" or (certificate is not None and _weak_key(certificate))
        return SignerResult(status, certificate, digest.name, weak, time, detail)

    time: int | None = None
    if content is None:
        return result(SignatureStatus.INVALID, "the signed content is not there")
    family, named = chosen
    if named and named != digest.name:  # RFC 8933 §3
        return result(SignatureStatus.INVALID, f"digest {digest.name}, but signature with {named}")
    try:
        found = dict(_signed_attributes(signed, signer, content, digest))
        time = _signing_time(found)
        scheme = _pss(signer.algorithm, digest) if family == "pss" else None
    except CmsError as error:
        return result(SignatureStatus.INVALID, error.detail)
    candidates = (embedded.find(signer) or known.find(signer))[:MAX_CANDIDATES]
    if not candidates:
        return result(SignatureStatus.NO_CERTIFICATE, "no certificate has the signer's identifier")
    message = signer.signed_attributes or content
    outcome = result(SignatureStatus.INVALID, "the signature does not fit", candidates[0])
    for candidate in candidates:
        try:
            if not _names_certificate(found, candidate):
                outcome = result(SignatureStatus.INVALID, "signed for another certificate", candidate)
            elif _fits(family, candidate, signer.signature, message, digest, scheme) or (
                signer.signed_attributes
                and (ordered := ber.der(message)) != message
                and _fits(family, candidate, signer.signature, ordered, digest, scheme)
            ):
                return result(SignatureStatus.VALID, certificate=candidate)
        except (*UNREADABLE, CmsError) as error:
            outcome = result(SignatureStatus.UNSUPPORTED, str(error)[:120], candidate)
    return outcome


def _signed_attributes(
    signed: SignedData, signer: SignerInfo, content: bytes, digest: hashes.HashAlgorithm
) -> list[tuple[str, list[bytes]]]:
    """The signed attributes, found to fit the content (RFC 5652 §5.6, §11).

    :raises CmsError: they do not, or there are none where there must be.
    """
    if not signer.signed_attributes:
        if signed.content_type != DATA:
            ber.malformed("content that is not data is signed without attributes")
        if _are_attributes(content):
            # The signature over the attributes of one message is one over such content too.
            ber.ambiguous("content without signed attributes that could be signed attributes itself")
        return []
    found = attributes(signer.signed_attributes)
    names = [kind for kind, _ in found]
    if len(set(names)) != len(names):
        ber.malformed("a signed attribute stands there twice")
    values = dict(found)
    if any(len(values[kind]) != 1 for kind in _SINGLE & values.keys()):
        ber.malformed("a signed attribute that must have one value has not")
    if Cursor(_one(values, _CONTENT_TYPE)).identifier() != signed.content_type:
        ber.malformed("the signed content type is another")
    context = hashes.Hash(digest)
    context.update(content)
    if not hmac.compare_digest(Cursor(_one(values, _MESSAGE_DIGEST)).string(), context.finalize()):
        ber.malformed("the content is not what was signed")
    return found


def _one(values: dict[str, list[bytes]], kind: str) -> bytes:
    if kind not in values:
        ber.malformed(f"the signed attribute {kind} is missing")
    return values[kind][0]


def _are_attributes(content: bytes) -> bool:
    if content[:1] != b"\x31":
        return False
    try:
        return any(kind == _MESSAGE_DIGEST for kind, _ in attributes(content))
    except CmsError:
        return False


def _signing_time(values: dict[str, list[bytes]]) -> int | None:
    if _SIGNING_TIME not in values:
        return None
    encoded = values[_SIGNING_TIME][0]
    tag, start, stop, _ = ber.element(encoded, 0, len(encoded))
    form = {0x17: "%y%m%d%H%M%SZ", 0x18: "%Y%m%d%H%M%SZ"}.get(tag)
    try:
        moment = datetime.strptime(encoded[start:stop].decode("ascii"), form or "").replace(tzinfo=UTC)
    except (ValueError, UnicodeError):
        return None
    return int(moment.timestamp()) * 1_000_000_000


def _names_certificate(values: dict[str, list[bytes]], certificate: bytes) -> bool:
    """Whether the signing certificate attribute (RFC 5035), where there is one, means this certificate."""
    for kind, default in ((_SIGNING_CERTIFICATE_V2, hashes.SHA256()), (_SIGNING_CERTIFICATE, hashes.SHA1())):
        if kind not in values:
            continue
        digest: hashes.HashAlgorithm | None = default
        first = Cursor(_one(values, kind)).enter(ber.SEQUENCE).enter(ber.SEQUENCE).enter(ber.SEQUENCE)
        if first.peek() == ber.SEQUENCE:
            digest = _DIGESTS.get(first.enter(ber.SEQUENCE).identifier())
        if digest is None:
            return False
        context = hashes.Hash(digest)
        context.update(certificate)
        if not hmac.compare_digest(first.string(), context.finalize()):
            return False
    return True


def _weak_key(certificate: bytes) -> bool:
    try:
        key = x509.load_der_x509_certificate(certificate).public_key()
    except UNREADABLE:
        return False
    return isinstance(key, dsa.DSAPublicKey) or (
        isinstance(key, rsa.RSAPublicKey) and key.key_size < WEAK_RSA_BITS
    )


def _pss(algorithm: Algorithm, digest: hashes.HashAlgorithm) -> padding.PSS:
    """RSASSA-PSS-params (RFC 4055 §3.1), each with its default."""
    hash_oid = mask_oid = "1.3.14.3.2.26"
    salt_length = 20
    outer = Cursor(algorithm.parameters)
    cursor = outer.enter(ber.SEQUENCE)
    if cursor.peek() == 0xA0:
        hash_oid = cursor.enter(0xA0).enter(ber.SEQUENCE).identifier()
    if cursor.peek() == 0xA1:
        mask = cursor.enter(0xA1).enter(ber.SEQUENCE)
        mask.identifier()
        mask_oid = mask.enter(ber.SEQUENCE).identifier()
    if cursor.peek() == 0xA2:
        salt_length = cursor.enter(0xA2).integer()
    if cursor.peek() == 0xA3 and cursor.enter(0xA3).integer() != 1:
        ber.malformed("RSASSA-PSS with an unknown trailer")
    cursor.finish("RSASSA-PSS-params")
    mask_digest = _DIGESTS.get(mask_oid)
    if _DIGESTS.get(hash_oid) is not digest or mask_digest is None or not 0 <= salt_length <= 512:
        ber.malformed("RSASSA-PSS with another digest than the content's")
    return padding.PSS(padding.MGF1(mask_digest), salt_length)


def _fits(
    family: _Family,
    certificate: bytes,
    signature: bytes,
    message: bytes,
    digest: hashes.HashAlgorithm,
    scheme: padding.PSS | None,
) -> bool:
    """Whether a signature is one over ``message`` with the key of ``certificate``."""
    key = x509.load_der_x509_certificate(certificate).public_key()
    if isinstance(key, rsa.RSAPublicKey | dsa.DSAPublicKey) and _is_slow(key):
        raise CmsError(ExceptionName.UNSUPPORTED, "CMS: a key that takes too long to check with")
    try:
        if family in ("rsa", "pss") and isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, message, scheme or padding.PKCS1v15(), digest)
        elif family == "ecdsa" and isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, message, ec.ECDSA(digest))
        elif family == "dsa" and isinstance(key, dsa.DSAPublicKey):
            key.verify(signature, message, digest)
        elif family == "eddsa" and isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey):
            key.verify(signature, message)
        else:
            return False
    except InvalidSignature:
        return False
    return True


def _is_slow(key: rsa.RSAPublicKey | dsa.DSAPublicKey) -> bool:
    if key.key_size > MAX_KEY_BITS:
        return True
    return isinstance(key, rsa.RSAPublicKey) and key.public_numbers().e.bit_length() > MAX_EXPONENT_BITS


class Integrity:
    """Checks signatures. Whoever signed well is known to the case from then on."""

    takes: ClassVar[frozenset[Kind]] = frozenset({Kind.SIGNED})
    provides: ClassVar[frozenset[Service]] = frozenset({Service.INTEGRITY})
    needs: ClassVar[frozenset[Service]] = frozenset()
    parameters: ClassVar[Mapping[str, type]] = {}

    def __init__(self, databases: Databases) -> None:
        self._known = Certificates(databases.directory.certificates)

    def apply(self, layer: Layer, case: Case) -> Peeled:
        """Check all signatures of one layer."""
        value = layer.value
        assert isinstance(value, Signed)
        signed = value.data
        content = value.covered.raw if value.covered is not None else None
        case.signers, case.signed_times = [], []
        if content is None and signed.content is None and signed.signers:
            # It gives no service to anything in the message, so it takes nothing from it either.
            case.report(ExceptionName.UNSUPPORTED, "a signature whose content is not in the message")
            return NOTHING
        case.signatures += len(signed.signers)
        if case.signatures > MAX_SIGNATURES:
            case.report(ExceptionName.LIMIT, f"more than {MAX_SIGNATURES} signatures in one message")
            return NOTHING
        try:
            results = verify(signed, content, self._known)
        except CmsError as error:
            case.report(error.name, error.detail)
            return NOTHING
        for result in results:
            if result.status is SignatureStatus.VALID and result.certificate is not None:
                case.signers.append(result.certificate)
                if not case.signer:
                    case.signed_by = result.certificate
                    case.signer = hashlib.sha256(result.certificate).hexdigest()
                if result.signing_time is not None:
                    case.signed_times.append(result.signing_time)
                if result.weak and WEAK_SIGNATURE not in case.alerts:
                    case.alerts.append(WEAK_SIGNATURE)
            else:
                case.report(_EXCEPTIONS[result.status], result.detail or "the signature is wrong")
        case.certificates = signed.certificates
        if case.signers:
            case.provided.add(Service.INTEGRITY)
        return NOTHING


WEAK_SIGNATURE = "weak-signature"
"""Alert: a signature that is valid and may be a forgery all the same: SHA-1, or too short a key."""

_EXCEPTIONS = {
    SignatureStatus.INVALID: ExceptionName.BAD_SIGNATURE,
    SignatureStatus.NO_CERTIFICATE: ExceptionName.UNTRUSTED_SIGNER,
    SignatureStatus.UNSUPPORTED: ExceptionName.UNSUPPORTED,
}

TOOLS: dict[str, type[Any]] = {"integrity": Integrity}
