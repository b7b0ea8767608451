"""What becomes of a packet: denied ones are dropped in the kernel, all others go on."""

from typing import Protocol

from monitor.antireplay.ruling import Verdict


class Enforceable(Protocol):
    """A packet that waits for its verdict."""

    def accept(self) -> None: ...
    def drop(self) -> None: ...


def enforce(packet: Enforceable, verdict: Verdict) -> None:
    """Give ``packet`` its verdict, which can be given once."""
    if verdict is Verdict.DENY:
        packet.drop()
    else:
        packet.accept()
