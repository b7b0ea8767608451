"""Gives packets the verdicts of their messages, in the way that the policy wants denials enforced."""

import secrets
from collections import Counter
from collections.abc import Callable
from typing import Protocol

from monitor.antireplay.ruling import Verdict
from monitor.denial import Denial
from monitor.enforce.remedy import remedy
from monitor.enforce.respond import Limiter, Response, respond
from monitor.enforce.verdict import Enforceable, enforce
from monitor.pipeline import Settled


class Rewritable(Enforceable, Protocol):
    """A packet that waits for its verdict, and may go on with other octets."""

    def set_payload(self, payload: bytes, /) -> None: ...


class Enforcer:
    """What denials do.

    :param send: sends a response, and tells whether that could be done.
    """

    def __init__(self, send: Callable[[Response], bool] = lambda response: False) -> None:
        self.rewritten = Counter(neutralised=0, reset=0, shortened=0)
        """Packets that went on with other octets (see ``remedy.Action``)."""
        self.responses = Counter(sent=0, limited=0, unanswerable=0, failed=0)
        """Denied requests under a policy that responds, by what became of the response."""
        self._send = send
        self._limiter = Limiter()
        self._secret = secrets.token_bytes(32)

    def give(self, packet: Rewritable, octets: bytes, settled: Settled, now: int) -> Verdict:
        """Give a packet its verdict.

        :param octets: of the packet.
        :returns: the verdict that the kernel got.
        """
        action = remedy(octets, settled)
        if action.packet is not None:
            self.rewritten[action.how] += 1
            packet.set_payload(action.packet)
        verdict = Verdict.DENY if action.how == "dropped" else Verdict.ACCEPT
        enforce(packet, verdict)
        if action.refuse is not None:
            self.responses[self._refuse(action.refuse, now)] += 1
        return verdict

    def _refuse(self, denial: Denial, now: int) -> str:
        """Tell a denied request's sender; what became of that."""
        message, flow = denial.message, denial.flow
        if message is None:
            return "unanswerable"
        response = respond(message, len(denial.octets), flow, denial.reason, self._secret)
        if response is None:
            return "unanswerable"
        if not self._limiter.allows(flow.source, now):
            return "limited"
        return "sent" if self._send(response) else "failed"
