"""Exhibits: messages kept as evidence of what was received and how it was ruled on."""

from dataclasses import dataclass
from enum import StrEnum

from monitor.record import Record
from monitor.wire.flow import Flow


class Keep(StrEnum):
    """Which messages are kept; each takes in what the one before it keeps."""

    DENIALS = "denials"
    """What is denied."""
    SIGNED = "signed"
    """And what bears a good signature."""
    ALL = "all"
    """And whatever else is ruled on or raises an exception."""

    def takes(self, records: tuple[Record, ...], signed: bool) -> bool:
        """Whether a message is kept of which these records tell."""
        if signed and self is not Keep.DENIALS:
            return True
        return any(self is Keep.ALL or record.denies for record in records)


@dataclass(frozen=True, slots=True)
class Exhibit:
    """One message with all that is to be proved of it."""

    message: bytes
    """Its exact octets."""
    frame: int
    """Number of the frame that completed it."""
    time: int
    """Of that frame, nanoseconds since the epoch."""
    flow: Flow
    source: bytes
    """The effective source (packed)."""
    template: str
    policy: str
    signer: str
    """Hash of the certificate of a signer whose signature is good, empty where there is none."""
    certificate: bytes
    """That certificate (DER); empty where the envelope that it was in was not opened again."""
    records: tuple[Record, ...]
    """The exceptions and the ruling, in their order."""
