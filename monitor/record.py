"""What is told of a message: rulings and exceptions as records, in the form of the JSON contract."""

from dataclasses import dataclass, field
from typing import Any

from monitor.antireplay.ruling import Reason, Verdict
from monitor.antireplay.sad import Sighting
from monitor.exceptions import ExceptionName, Outcome
from monitor.wire import address
from monitor.wire.flow import Flow
from monitor.wire.frame import NANOSECONDS


def seconds(time: int) -> float:
    """Nanoseconds since the epoch as seconds, to the microsecond."""
    return round(time / NANOSECONDS, 6)


@dataclass(frozen=True, slots=True)
class RulingRecord:
    """One judged message: the auditable event of RFC 4303 §3.4.3."""

    frame: int
    time: int
    flow: Flow
    source: bytes
    """The effective source: behind a trusted relay it is not the packet's (packed)."""
    start_line: str
    method: str
    status: int | None
    call_id: str
    cseq: int
    verdict: Verdict
    reason: Reason
    template: str
    policy: str
    spi: tuple[str, ...]
    tiers: tuple[str, ...]
    alerts: tuple[str, ...]
    enforced: bool = True
    """False where the template only observes: a denial is told and the message passes."""
    from_uri: str = ""
    to_uri: str = ""
    sightings: tuple[Sighting, ...] = ()
    """All fingerprints of the message; not in the JSON, as is what follows."""
    message: bytes = field(default=b"", repr=False)
    """Its octets, keys and all."""

    @property
    def denies(self) -> bool:
        """Whether this is a denial."""
        return self.verdict is Verdict.DENY

    def document(self) -> dict[str, Any]:
        """The JSON object of the record."""
        return {
            "type": "ruling",
            "frame": self.frame,
            "time": seconds(self.time),
            "source": address.text(self.source),
            "source_port": self.flow.source_port,
            "destination": address.text(self.flow.destination),
            "destination_port": self.flow.destination_port,
            "transport": self.flow.transport,
            "start_line": self.start_line,
            "method": self.method,
            "status": self.status,
            "call_id": self.call_id,
            "cseq": self.cseq,
            "verdict": str(self.verdict),
            "reason": str(self.reason),
            "template": self.template,
            "policy": self.policy,
            "spi": list(self.spi),
            "tiers": list(self.tiers),
            "alerts": list(self.alerts),
            "enforced": self.enforced,
            "from": self.from_uri,
            "to": self.to_uri,
            "packet_source": address.text(self.flow.source),
        }


@dataclass(frozen=True, slots=True)
class ExceptionRecord:
    """One exception and what it meant for its message."""

    frame: int
    time: int
    flow: Flow | None
    source: bytes
    """Packed source address, empty where it is unknown."""
    exception: ExceptionName
    outcome: Outcome
    detail: str
    call_id: str = ""
    start_line: str = ""

    @property
    def denies(self) -> bool:
        """Whether this is a denial."""
        return self.outcome is Outcome.DENY

    def document(self) -> dict[str, Any]:
        """The JSON object of the record."""
        flow = self.flow
        return {
            "type": "exception",
            "frame": self.frame,
            "time": seconds(self.time),
            "source": address.text(self.source) if self.source else None,
            "source_port": flow.source_port if flow else None,
            "destination": address.text(flow.destination) if flow else None,
            "destination_port": flow.destination_port if flow else None,
            "transport": flow.transport if flow else None,
            "exception": str(self.exception),
            "outcome": str(self.outcome),
            "detail": self.detail,
            "call_id": self.call_id or None,
            "start_line": self.start_line or None,
        }


Record = RulingRecord | ExceptionRecord
