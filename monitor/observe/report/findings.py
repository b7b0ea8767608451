"""What a run found, kept while it goes on, bounded whatever the capture holds."""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field

from monitor.antireplay.observation import Tier
from monitor.antireplay.ruling import Reason
from monitor.exceptions import ExceptionName, Outcome
from monitor.observe.report.density import Density
from monitor.observe.report.judged import MAX_TEXT, Judged
from monitor.record import ExceptionRecord, Record, RulingRecord
from monitor.sip.message import Message
from monitor.wire import address
from monitor.wire.flow import Flow
from monitor.wire.frame import Frame

MAX_CALLS = 10_000
"""Calls that are told apart; further ones are counted only as messages."""
MAX_KNOWN = 10_000
"""Fingerprints whose messages are kept; of more the oldest are forgotten."""
MAX_ORIGINALS = 4
"""Accepted messages that are kept of one fingerprint: the first and the latest."""
MAX_INCIDENTS = 200
"""Kinds of denials, as ``Incident`` tells them apart; further ones are counted only."""
MAX_TROUBLES = 200
"""Kinds of exceptions; further ones are counted by name only."""
MAX_SENDERS = 1000
"""Addresses whose denials are counted one by one."""
MAX_EXAMPLES = 12
"""Frames named of what came many times."""
MAX_MARKS = 60
"""Rulings of one call whose times are kept; of one with more the first are."""
DIALOG_METHODS = frozenset(("INVITE", "ACK", "BYE", "CANCEL", "PRACK", "UPDATE", "INFO", "REFER"))

ACCEPTED, DENIED, EXCEPTIONAL = range(3)
"""The kinds counted in ``Findings.density``."""


@dataclass(slots=True, eq=False)
class Call:
    """All messages under one Call-ID that begin with an INVITE."""

    call_id: str
    caller: str
    callee: str
    source: str
    destination: str
    start: int
    """Nanoseconds since the epoch."""
    end: int
    answered: int | None = None
    """When its first 2xx came."""
    ended: int | None = None
    """When its BYE, CANCEL or final refusal came."""
    messages: int = 0
    marks: list[tuple[int, Reason]] = field(default_factory=list)
    """Times and reasons of its rulings."""
    further: int = 0
    """Rulings beyond those."""
    denied: int = 0


@dataclass(slots=True, eq=False)
class Known:
    """What is known of one fingerprint."""

    fingerprint: bytes
    tier: Tier
    messages: list[Judged]
    """The first that was accepted with it, and the latest."""
    seen: int = 1
    """Messages with it that were accepted."""
    denied: int = 0
    reasons: Counter[Reason] = field(default_factory=Counter)

    @property
    def first(self) -> Judged:
        """The message that brought it."""
        return self.messages[0]

    def nearest(self, head: Collection[str]) -> Judged:
        """The message that has most lines in common with a header section; of several, the first."""
        lines = set(head)
        return max(self.messages, key=lambda message: len(lines.intersection(message.head)))


@dataclass(slots=True, eq=False)
class Incident:
    """Denials of one kind: the same original, reason and source."""

    denied: Judged
    """The first of them."""
    original: Judged | None
    """The accepted message with what is repeated that it is most like, None where this run saw none."""
    first: Judged | None
    """The accepted message that brought what is repeated."""
    shared: frozenset[bytes]
    """Fingerprints that both have."""
    accepted: Counter[Reason]
    """Messages with it that were accepted before, by reason."""
    count: int = 0
    last: int = 0
    """When the last of them came."""
    frames: list[int] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Trouble:
    """Exceptions of one kind."""

    name: ExceptionName
    outcome: Outcome
    detail: str
    first: int
    last: int
    count: int = 0
    frames: list[int] = field(default_factory=list)
    sources: dict[str, None] = field(default_factory=dict)


class Findings:
    """Hears what a run says and keeps what a report shows."""

    def __init__(self) -> None:
        self.reasons: Counter[Reason] = Counter()
        self.exceptions: Counter[Outcome] = Counter()
        self.senders: Counter[str] = Counter()
        """Denials by source address."""
        self.messages = 0
        self.calls: dict[str, Call] = {}
        self.known: dict[bytes, Known] = {}
        self.incidents: dict[tuple[object, ...], Incident] = {}
        self.troubles: dict[tuple[str, str, str], Trouble] = {}
        self.density = Density(3)
        self.left_out: Counter[str] = Counter()
        """What limits kept out: INVITEs of further ``calls``; ``known``, ``senders``, ``incidents``,
        ``troubles``."""

    def heard(self, message: Message, frame: Frame, flow: Flow) -> None:
        """Take in any SIP message."""
        self.messages += 1
        if message.method not in DIALOG_METHODS:
            return
        call_id = message.call_id[:MAX_TEXT]
        call = self.calls.get(call_id)
        if call is None:
            if message.method != "INVITE" or message.status is not None:
                return
            if len(self.calls) >= MAX_CALLS:
                self.left_out["calls"] += 1
                return
            call = self.calls[call_id] = Call(
                call_id,
                message.from_uri[:MAX_TEXT],
                message.to_uri[:MAX_TEXT],
                address.text(flow.source),
                address.text(flow.destination),
                frame.time,
                frame.time,
            )
        call.messages += 1
        call.end = max(call.end, frame.time)
        if message.status is None:
            if message.method in ("BYE", "CANCEL") and call.ended is None:
                call.ended = frame.time
        elif message.method == "INVITE" and 200 <= message.status < 300:
            call.answered = call.answered or frame.time

    @property
    def accepted(self) -> int:
        """Rulings that accept."""
        return sum(number for reason, number in self.reasons.items() if not reason.denies)

    @property
    def denied(self) -> int:
        """Rulings that deny."""
        return self.reasons.total() - self.accepted

    def record(self, record: Record) -> None:
        """Take in a ruling or an exception."""
        if isinstance(record, RulingRecord):
            self._ruling(record)
        else:
            self._exception(record)

    def _ruling(self, record: RulingRecord) -> None:
        self.reasons[record.reason] += 1
        self.density.add(record.time, DENIED if record.denies else ACCEPTED)
        call = self.calls.get(record.call_id[:MAX_TEXT])
        if call is not None:
            call.denied += record.denies
            if len(call.marks) < MAX_MARKS:
                call.marks.append((record.time, record.reason))
            else:
                call.further += 1
        if record.denies:
            self._denial(record)
        else:
            self._accept(record)

    def _accept(self, record: RulingRecord) -> None:
        judged: Judged | None = None
        for sighting in record.sightings:
            judged = judged or Judged.of(record)
            known = self.known.get(sighting.fingerprint)
            if known is None:
                known = Known(sighting.fingerprint, sighting.tier, [judged])
                self.known[sighting.fingerprint] = known
                if len(self.known) > MAX_KNOWN:
                    del self.known[next(iter(self.known))]
                    self.left_out["known"] += 1
            else:
                known.seen += 1
                known.messages = [known.first, *known.messages[1:][-MAX_ORIGINALS + 2 :], judged]
            known.reasons[record.reason] += 1

    def _denial(self, record: RulingRecord) -> None:
        source = address.text(record.source)
        if source in self.senders or len(self.senders) < MAX_SENDERS:
            self.senders[source] += 1
        else:
            self.left_out["senders"] += 1
        known = [
            found for each in record.sightings if (found := self.known.get(each.fingerprint)) is not None
        ]
        for each in known:
            each.denied += 1
        earliest = min(known, key=lambda each: each.first.time, default=None)
        first = earliest.first if earliest else None
        unknown = () if first else tuple(each.fingerprint for each in record.sightings)
        kind = (record.reason, record.source, (first.frame, first.call_id) if first else unknown)
        incident = self.incidents.get(kind)
        if incident is None:
            if len(self.incidents) >= MAX_INCIDENTS:
                self.left_out["incidents"] += 1
                return
            denied = Judged.of(record)
            incident = self.incidents[kind] = Incident(
                denied,
                earliest.nearest(denied.head) if earliest else None,
                first,
                frozenset(each.fingerprint for each in known),
                Counter(earliest.reasons) if earliest else Counter(),
            )
        incident.count += 1
        incident.last = record.time
        if len(incident.frames) < MAX_EXAMPLES:
            incident.frames.append(record.frame)

    def _exception(self, record: ExceptionRecord) -> None:
        self.exceptions[record.outcome] += 1
        self.density.add(record.time, EXCEPTIONAL)
        kind = (str(record.exception), str(record.outcome), record.detail[:MAX_TEXT])
        if kind not in self.troubles and len(self.troubles) >= MAX_TROUBLES:
            self.left_out["troubles"] += 1
            return
        trouble = self.troubles.setdefault(
            kind, Trouble(record.exception, record.outcome, kind[2], record.time, record.time)
        )
        trouble.count += 1
        trouble.last = record.time
        if len(trouble.frames) < MAX_EXAMPLES:
            trouble.frames.append(record.frame)
            if record.source:
                trouble.sources[address.text(record.source)] = None
