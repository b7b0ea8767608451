"""What the whole pipeline says of some frames, in the words of the conformance matrix."""

import base64
from collections.abc import Iterable, Sequence

from frames import invite, sdp, udp

from monitor.antireplay.policy import Policy
from monitor.antireplay.ruling import Reason, Verdict
from monitor.assembly import REPLAY_SECRET, assemble
from monitor.config.selector import PolicyList
from monitor.exceptions import Outcome
from monitor.keys.directory import Directory
from monitor.keys.ring import KeyRing
from monitor.keys.trust import TrustStore
from monitor.pipeline import Pipeline
from monitor.record import ExceptionRecord, Record, RulingRecord
from monitor.store.memory import MemoryStore
from monitor.wire.frame import NANOSECONDS, Frame
from monitor.wire.link import RAW

KEY = base64.b64encode(bytes(range(30))).decode()
"""The key that a row's frames carry, as the session description has it."""
OTHER = base64.b64encode(bytes(range(100, 130))).decode()
"""A second one."""
START = 1_750_000_000 * NANOSECONDS
"""A time at which the certificates of the tests are valid."""
BOB, ALICE, CHARLES = "192.0.2.5", "192.0.2.1", "192.0.2.66"
NOBODY = KeyRing(Directory())


def framed(packets: Iterable[bytes], link: int = RAW) -> list[Frame]:
    """Frames, a millisecond from one to the next."""
    return [
        Frame(number, START + number * NANOSECONDS // 1000, link, packet, len(packet))
        for number, packet in enumerate(packets, 1)
    ]


def told(
    frames: Sequence[Frame], ring: KeyRing = NOBODY, trust: TrustStore | None = None
) -> tuple[list[Record], Pipeline]:
    """The records of a run over the frames, and the pipeline after it."""
    core = assemble(
        store=MemoryStore(),
        secret=REPLAY_SECRET,
        policies=PolicyList(Policy()),
        directory=ring.directory,
        trust=trust,
    )
    return run(core, frames, ring), core


def run(core: Pipeline, frames: Iterable[Frame], ring: KeyRing = NOBODY) -> list[Record]:
    """Feed frames to the end, answering what is asked of the keyholder."""
    for frame in frames:
        core.feed(frame)
    core.finish()
    while asks := core.asks():
        for ask in asks:
            core.answer(ask.number, ring.unwrap(ask.request))
    return [record for settled in core.settle() for record in settled.records]


def said(records: Sequence[Record]) -> str:
    """The exceptions and the denials of some records, each once."""
    words = []
    for record in records:
        if isinstance(record, ExceptionRecord):
            words.append(f"{'denied as ' if record.outcome is Outcome.DENY else ''}{record.exception}")
        elif record.verdict is Verdict.DENY:
            words.append(f"denied: {record.reason}")
        words += record.alerts if isinstance(record, RulingRecord) else ()
    return ", ".join(dict.fromkeys(words))


def outcome(
    frames: Sequence[Frame],
    *,
    ring: KeyRing = NOBODY,
    trust: TrustStore | None = None,
    keys: Sequence[str] = (KEY,),
    blob: bytes = b"",
) -> str:
    """What is told of the frames, and which of the keys in them are known from then on.

    :param keys: those whose replay from elsewhere, in clear, is tried.
    :param blob: an S/MIME body, whose replay is tried where the keys are not known.
    """
    records, core = told(frames, ring, trust)
    if not core.counts["messages"] and not records:
        return "no SIP"
    words = [said(records)]
    replays = [invite(sdp(key), f"replay-{number}") for number, key in enumerate(keys)]
    known = sum(_replayed(core, message, ring) is Reason.KEY_REUSED for message in replays)
    if known:
        words.append("key read" if len(keys) == 1 else f"{known} of {len(keys)} keys read")
    elif blob:
        again = _replayed(core, invite(blob, "replay", "application/pkcs7-mime"), ring)
        words.append("envelope recognised" if again is Reason.ENVELOPE_REUSED else "")
    return ", ".join(filter(None, words)) or "clean, no key"


def _replayed(core: Pipeline, message: bytes, ring: KeyRing) -> Reason | None:
    later = framed([udp(CHARLES, ALICE, message)])
    return next((one.reason for one in run(core, later, ring) if isinstance(one, RulingRecord)), None)
