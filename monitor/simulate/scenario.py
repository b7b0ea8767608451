"""Scenarios: a conversation as frames, and the rulings that it asks for."""

from dataclasses import dataclass

from monitor.antireplay.policy import Policy
from monitor.antireplay.ruling import Reason, Verdict
from monitor.exceptions import ExceptionName
from monitor.simulate.message import Message
from monitor.wire.frame import Frame


@dataclass(frozen=True, slots=True)
class Expected:
    """What is to be said of one message that bears key material."""

    frame: int
    """1-based number, in its scenario, of the frame that completes the message."""
    reason: Reason
    alerts: frozenset[str] = frozenset()

    @property
    def verdict(self) -> Verdict:
        """Accept or deny, as the reason says."""
        return self.reason.verdict


@dataclass(frozen=True, slots=True)
class Exceptional:
    """An exception that a message must raise."""

    frame: int
    """As in ``Expected``."""
    exception: ExceptionName


@dataclass(frozen=True, slots=True)
class Sent:
    """A message of the story and the frame that completed it."""

    message: Message
    frame: int
    reason: Reason | None
    """Of its ruling, None where it bears nothing to rule on."""
    note: str = ""
    """What happens here, for people."""
    run: int = 0
    """Counts the restarts of the monitor before this message."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """One story told in frames."""

    name: str
    story: str
    attack: bool
    policy: Policy
    frames: tuple[Frame, ...]
    messages: tuple[Sent, ...]
    expected: tuple[Expected, ...]
    exceptions: tuple[Exceptional, ...]

    @property
    def accepted(self) -> int:
        """How many messages must be ruled on and accepted."""
        return len(self.expected) - self.denied

    @property
    def denied(self) -> int:
        """How many messages must be denied."""
        return sum(one.verdict is Verdict.DENY for one in self.expected)
