"""The public part of the keys held: which recipients they are. This is what the core knows."""

import base64
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key

from monitor.cms import ber, enveloped, name
from monitor.cms.ber import Cursor
from monitor.cms.enveloped import EnvelopedData, Recipient
from monitor.keys.certificate import UNREADABLE, subject_key_identifier
from monitor.keys.request import MAX_RECIPIENTS, UnwrapRequest

MAX_REQUEST = 32768
"""Octets of all fields of the recipients of one request."""


@dataclass(frozen=True, slots=True)
class Holding:
    """The public side of one private key."""

    public_key: bytes
    """DER of its SubjectPublicKeyInfo."""
    certificates: tuple[bytes, ...]
    """DER of each certificate for it; without one only key identifiers name it."""


class Directory:
    """Says which recipients name a key that is held.

    :param holdings: one for each private key.
    :param secrets: the identifier of each key-encryption key.
    :param certificates: DER of certificates for whose keys nothing is held: of signers and of originators.
    """

    def __init__(
        self,
        holdings: Iterable[Holding] = (),
        secrets: Iterable[bytes] = (),
        certificates: Iterable[bytes] = (),
    ) -> None:
        self.holdings = tuple(holdings)
        self.secrets = tuple(secrets)
        self.others = tuple(certificates)
        self._secret_indices = {identifier: index for index, identifier in enumerate(self.secrets)}
        self._by_serial: dict[int, list[tuple[bytes, int]]] = {}
        self._by_key_identifier: dict[bytes, int] = {}
        self._moduli: list[int] = []
        for index, holding in enumerate(self.holdings):
            self._moduli.append(_modulus(holding.public_key))
            self._by_key_identifier.setdefault(key_identifier(holding.public_key), index)
            for certificate in holding.certificates:
                issuer, serial, _ = name.certificate_names(certificate)
                self._by_serial.setdefault(serial, []).append((issuer, index))
                if identifier := subject_key_identifier(certificate):
                    self._by_key_identifier[identifier] = index

    @property
    def certificates(self) -> tuple[bytes, ...]:
        """DER of every certificate that was found, with and without a private key."""
        own = (certificate for holding in self.holdings for certificate in holding.certificates)
        return (*own, *self.others)

    def find(self, recipient: Recipient) -> int | None:
        """The index among ``holdings``, for a kekri among ``secrets``, of the key that a recipient names."""
        if recipient.kind == "kekri":
            return self._secret_indices.get(recipient.key_identifier)
        if recipient.kind not in ("ktri", "kari"):
            return None
        if not recipient.issuer:
            return self._by_key_identifier.get(recipient.key_identifier)
        candidates = self._by_serial.get(recipient.serial, ())
        for issuer, index in candidates:
            if issuer == recipient.issuer:
                return index
        if candidates:
            wanted = name.canonical(recipient.issuer)
            for issuer, index in candidates:
                if name.canonical(issuer) == wanted:
                    return index
        return None

    def held(self, recipient: Recipient) -> bool:
        """Whether a recipient names a key that is held."""
        return self.find(recipient) is not None

    def request(self, envelope: EnvelopedData, key_length: int, source: bytes = b"") -> UnwrapRequest | None:
        """What to ask of the keyholder for an envelope, None where it names no key that is held.

        :raises CmsError: a limit, of the recipients that name held keys or of the size of the request.
        """
        recipients = tuple(recipient for recipient in envelope.recipients if self.held(recipient))
        if not recipients:
            return None
        if len(recipients) > MAX_RECIPIENTS:
            ber.limit(f"more than {MAX_RECIPIENTS} recipients that name keys held here")
        if sum(map(_size, recipients)) > MAX_REQUEST:
            ber.limit(f"recipients of more than {MAX_REQUEST} octets")
        return UnwrapRequest(recipients, key_length, source)

    def normalise(self, recipient: Recipient) -> bytes:
        """The wrapped key as it is fingerprinted: reduced by the modulus where the key is held."""
        index = self.find(recipient) if recipient.kind == "ktri" else None
        return enveloped.normalise(recipient, self._moduli[index] if index is not None else 0)

    def encode(self) -> dict[str, Any]:
        """As a JSON object."""
        return {
            "holdings": [
                {
                    "public_key": _text(one.public_key),
                    "certificates": [_text(der) for der in one.certificates],
                }
                for one in self.holdings
            ],
            "secrets": [_text(identifier) for identifier in self.secrets],
            "certificates": [_text(der) for der in self.others],
        }

    @classmethod
    def decode(cls, document: dict[str, Any]) -> "Directory":
        """From the JSON object of ``encode``."""
        return cls(
            (
                Holding(_octets(one["public_key"]), tuple(map(_octets, one["certificates"])))
                for one in document["holdings"]
            ),
            map(_octets, document["secrets"]),
            map(_octets, document["certificates"]),
        )


def key_identifier(public_key: bytes) -> bytes:
    """The identifier of a SubjectPublicKeyInfo by method 1 of RFC 5280 §4.2.1.2."""
    cursor = Cursor(public_key).enter(ber.SEQUENCE)
    cursor.element()
    return hashlib.sha1(cursor.primitive(ber.BIT_STRING)[1:], usedforsecurity=False).digest()


def _modulus(public_key: bytes) -> int:
    try:
        key = load_der_public_key(public_key)
    except UNREADABLE:
        return 0
    return key.public_numbers().n if isinstance(key, RSAPublicKey) else 0


def _size(recipient: Recipient) -> int:
    return sum(
        map(
            len,
            (
                recipient.encrypted_key,
                recipient.algorithm.parameters,
                recipient.issuer,
                recipient.key_identifier,
                recipient.originator,
                recipient.user_keying_material,
            ),
        )
    )


def _text(octets: bytes) -> str:
    return base64.b64encode(octets).decode("ascii")


def _octets(text: str) -> bytes:
    return base64.b64decode(text)
