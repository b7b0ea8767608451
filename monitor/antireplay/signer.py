"""Signers: the certificates that an address-of-record has signed with, so that a new one is told.

A valid certificate is no proof: an authority may have been fooled, or there is none that is asked. A change
is what a person would want to look at (RFC 3261 §23.2 has the user agent notify its user).
"""

from dataclasses import dataclass
from typing import Self

from monitor import compact_json
from monitor.antireplay.association import RecordError

VERSION = 1
MAX_CERTIFICATES = 8
"""Certificates remembered of one signer, who may have several devices; the oldest goes first."""
SIGNER_CHANGED = "signer-changed"
"""Alert: a known signer has another certificate."""


@dataclass(frozen=True, slots=True)
class Signer:
    """What an address-of-record has signed with."""

    certificates: tuple[str, ...]
    """SHA-256 of each certificate (hexadecimal), the latest last."""

    def encode(self) -> bytes:
        """The record for the store."""
        return compact_json.encode([VERSION, "signer", self.certificates]).encode()

    @classmethod
    def decode(cls, record: bytes) -> Self:
        """Read a record.

        :raises RecordError: it is not one of this version.
        """
        try:
            version, kind, certificates = compact_json.decode(record)
            if (version, kind) != (VERSION, "signer"):
                raise RecordError(f"signer record of version {version}, this program reads {VERSION}")
            compact_json.expect(str, certificates)
            return cls(tuple(certificates))
        except (ValueError, TypeError) as error:
            raise RecordError(f"signer record cannot be read: {error}") from None


def sign(signer: Signer | None, certificate: str) -> tuple[bool, Signer]:
    """One more accepted message that is signed with ``certificate``.

    :returns: whether this is a new certificate of a known signer, and the signer as it is to be.
    """
    before = () if signer is None else signer.certificates
    others = tuple(each for each in before if each != certificate)
    after = Signer((*others, certificate)[-MAX_CERTIFICATES:])
    return bool(before) and certificate not in before, after
