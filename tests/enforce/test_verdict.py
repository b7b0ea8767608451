"""What a verdict does to a packet."""

import pytest

from monitor.antireplay.ruling import Verdict
from monitor.enforce.verdict import enforce


class Packet:
    """A packet that remembers what was done to it."""

    def __init__(self) -> None:
        self.done: list[str] = []

    def accept(self) -> None:
        self.done.append("accepted")

    def drop(self) -> None:
        self.done.append("dropped")


@pytest.mark.parametrize(("verdict", "done"), [(Verdict.ACCEPT, "accepted"), (Verdict.DENY, "dropped")])
def test_a_denied_packet_is_dropped_and_any_other_goes_on(verdict: Verdict, done: str) -> None:
    packet = Packet()
    enforce(packet, verdict)
    assert packet.done == [done]
