"""What becomes of the packet that carries a denied message, as its policy wants it."""

from dataclasses import dataclass

from monitor.antireplay.policy import Remedy
from monitor.antireplay.ruling import Verdict
from monitor.denial import Denial
from monitor.enforce.carrier import Carrier
from monitor.enforce.neutralise import FILLER, neutralise
from monitor.pipeline import Settled


@dataclass(frozen=True, slots=True)
class Action:
    """What to do with a packet."""

    how: str
    """``accepted``, ``dropped``, ``neutralised``, ``reset``, or ``shortened`` to what stands before the
    message that the connection is reset for. Where nothing does, not every segment is a reset, some are left
    empty: the recipient's host, where nobody has that connection any more, answers it and tells the sender.
    """
    packet: bytes | None = None
    """What is to go on instead of the packet; None: it itself, unless it is dropped."""
    refuse: Denial | None = None
    """The request whose sender is to be told."""


ACCEPT, DROP = Action("accepted"), Action("dropped")


def remedy(packet: bytes, settled: Settled) -> Action:
    """What to do with ``packet``, which is the frame that ``settled`` tells of."""
    if not settled.denials:
        if settled.verdict is Verdict.DENY:
            return DROP
        if not settled.floor:
            return ACCEPT
    carrier = Carrier.read(packet)
    if settled.denials and settled.denials[0].flow.transport == "udp":
        return _datagram(carrier, settled.denials)
    return DROP if carrier is None else _segment(carrier, settled)


def _datagram(carrier: Carrier | None, denials: tuple[Denial, ...]) -> Action:
    first = denials[0]
    if first.remedy is Remedy.RESPOND:
        return Action("dropped", refuse=first)
    harmless = neutralise(carrier.payload) if carrier is not None else None
    if carrier is None or harmless is None or len(denials) > 1 or first.octets != carrier.payload:
        return DROP
    return Action("neutralised", carrier.carrying(harmless))


def _segment(carrier: Carrier, settled: Settled) -> Action:
    payload, start = bytearray(carrier.payload), settled.start
    end = start + len(payload)
    below = max(0, min(end, settled.floor) - start)
    payload[:below] = FILLER * below
    cut, expected, touched = None, start, below > 0
    for denial in settled.denials:
        harmless = _harmless(denial)
        if harmless is None:
            cut = min(max(0, denial.reach - start), len(payload) if cut is None else cut)
            expected = min(expected, _expected(denial))
            continue
        low, high = max(start, denial.start), min(end, denial.start + len(harmless))
        if low < high:
            payload[low - start : high - start] = harmless[low - denial.start : high - denial.start]
            touched = True
    if cut == 0 and settled.turn % 2:
        return Action("reset", carrier.reset())
    if cut == 0 and settled.turn % 4 == 2 and expected < start:
        # Ruled on together with what stands before it: the recipient does not stand here.
        return Action("reset", carrier.reset(start - expected))
    if cut is not None:
        return Action("shortened", carrier.carrying(bytes(payload[:cut])))
    if touched:
        return Action("neutralised", carrier.carrying(bytes(payload)))
    # Denied, and nothing of what is denied is in it: it only made a message whole.
    return DROP


def _expected(denial: Denial) -> int:
    """Offset of the octet that the recipient waits for, as far as can be told."""
    low, high = denial.passed
    return high if low <= denial.reach < high else denial.reach


def _harmless(denial: Denial) -> bytes | None:
    """What stands for a message in its stream; None where the connection has to be reset."""
    if denial.remedy is not Remedy.NEUTRALISE or not denial.octets:
        return None
    harmless = neutralise(denial.octets)
    low, high = (offset - denial.start for offset in denial.passed)
    if harmless is None or harmless[low:high] != denial.octets[low:high]:
        return None
    return harmless
