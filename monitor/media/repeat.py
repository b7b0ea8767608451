"""Findings: streams under a known key, and which of them repeat the keystream of which."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self

from monitor.antireplay.fingerprint import spi
from monitor.media.keystream import Use
from monitor.media.srtp import Protection
from monitor.record import seconds
from monitor.wire import address
from monitor.wire.flow import Flow


class Harm(StrEnum):
    """What media that repeats does."""

    PACKETS_REPLAYED = "packets-replayed"
    """A recording is heard again."""
    KEYSTREAM_REUSED = "keystream-reused"
    """Two plaintexts are under one keystream, and give each other away."""


@dataclass(slots=True, eq=False)
class Stream:
    """Packets of one RTP source on one flow, proved to be under one master key."""

    number: int
    key: bytes
    """The master key's fingerprint."""
    protection: Protection
    ssrc: int
    flow: Flow
    call_id: str
    """Of the call that it belongs to, empty where that is unknown."""
    start: int
    """Time of the first packet, nanoseconds since the epoch."""
    end: int
    highest: int
    """Highest packet index so far."""
    packets: int = 0

    def document(self) -> dict[str, Any]:
        """What the JSON contract says of it."""
        flow = self.flow
        return {
            "source": address.text(flow.source),
            "source_port": flow.source_port,
            "destination": address.text(flow.destination),
            "destination_port": flow.destination_port,
            "call_id": self.call_id or None,
        }


@dataclass(slots=True)
class Span:
    """First and last of some packets of one stream."""

    first_frame: int
    last_frame: int
    start: int
    """Nanoseconds since the epoch."""
    end: int

    @classmethod
    def of(cls, use: Use) -> Self:
        """The span of one packet."""
        return cls(use.frame, use.frame, use.time, use.time)

    def extend(self, use: Use) -> None:
        """Take in one more packet."""
        self.first_frame, self.last_frame = min(self.first_frame, use.frame), max(self.last_frame, use.frame)
        self.start, self.end = min(self.start, use.time), max(self.end, use.time)

    def document(self) -> dict[str, Any]:
        """What the JSON contract says of it."""
        return {
            "start": seconds(self.start),
            "end": seconds(self.end),
            "first_frame": self.first_frame,
            "last_frame": self.last_frame,
        }


@dataclass(slots=True, eq=False)
class Repeat:
    """Two streams with packets under one master key, SSRC and index: their keystream repeats."""

    earlier: Stream
    later: Stream
    earlier_span: Span
    """Over the packets that repeat, not over the whole stream."""
    later_span: Span
    first_index: int
    last_index: int
    identical: int = 0
    """Packets whose ciphertext is the same: a recording sent again or, among others, the same silence."""
    different: int = 0
    """Packets whose ciphertext differs: the exclusive or of two such is that of their plaintexts."""

    def add(self, index: int, first: Use, again: Use) -> None:
        """Take in one more packet, and the one that used its keystream first."""
        self.earlier_span.extend(first)
        self.later_span.extend(again)
        self.first_index, self.last_index = min(self.first_index, index), max(self.last_index, index)
        if first.digest == again.digest:
            self.identical += 1
        else:
            self.different += 1

    @property
    def packets(self) -> int:
        """All that repeat."""
        return self.identical + self.different

    @property
    def harm(self) -> Harm:
        """What it amounts to."""
        return Harm.KEYSTREAM_REUSED if self.different else Harm.PACKETS_REPLAYED

    def document(self) -> dict[str, Any]:
        """The JSON object of the finding."""
        return {
            "type": "media",
            "spi": spi(self.later.key),
            "suite": self.later.protection.suite,
            "ssrc": f"{self.later.ssrc:08x}",
            "harm": str(self.harm),
            "packets": self.packets,
            "identical": self.identical,
            "first_index": self.first_index,
            "last_index": self.last_index,
            "earlier": self.earlier.document() | self.earlier_span.document(),
            "later": self.later.document() | self.later_span.document(),
        }
