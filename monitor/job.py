"""What the pipeline holds of a frame and of a message until both are settled."""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field

from monitor.antireplay.fingerprint import spi
from monitor.antireplay.ruling import Ruling
from monitor.denial import Denial
from monitor.exceptions import ExceptionName, Outcome
from monitor.exhibit import Exhibit
from monitor.passage import Fate
from monitor.record import ExceptionRecord, Record, RulingRecord
from monitor.toolbox.case import Case
from monitor.toolbox.engine import Compiled, Interpretation
from monitor.toolbox.layer import Layer
from monitor.wire.flow import Flow
from monitor.wire.frame import Frame


@dataclass(slots=True, eq=False)
class Ticket:
    """One frame that was fed: what its verdict waits for, and what is told of it."""

    frame: Frame
    start: int = 0
    """Offsets in its stream of the octets it carries."""
    end: int = 0
    waiting: int = 0
    denied: bool = False
    dropped: bool = False
    """Whether a denial is enforced by dropping, whatever other denials are."""
    turn: int = 0
    denials: list[Denial] = field(default_factory=list)
    floor: int = 0
    records: list[Record] = field(default_factory=list)
    uncommitted: "dict[int, Job]" = field(default_factory=dict)
    """Accepted rulings, by index in ``records``: void if the commit fails."""
    kept: "list[tuple[Job, slice]]" = field(default_factory=list)
    """Messages that may be evidence, with what of ``records`` tells of them."""

    @property
    def eventful(self) -> bool:
        """Whether there is anything to settle."""
        return bool(self.waiting or self.records or self.kept or self.denials or self.floor)

    def exhibits(self) -> Iterator[Exhibit]:
        """Its messages that are to be kept as evidence."""
        for job, told in self.kept:
            case, records = job.case, tuple(self.records[told])
            if case.keep is not None and case.keep.takes(records, bool(case.signer)):
                yield Exhibit(
                    job.raw,
                    self.frame.number,
                    self.frame.time,
                    job.flow,
                    case.facts.source,
                    job.template.name if job.template is not None else "",
                    case.policy.name,
                    case.signer,
                    case.signed_by,
                    records,
                )


@dataclass(slots=True, eq=False)
class Job:
    """One message on its way to a ruling."""

    raw: bytes
    case: Case
    flow: Flow
    ticket: Ticket
    fate: Fate
    keys: Sequence[Hashable]
    """What orders it: its Call-ID and its envelopes."""
    layers: Sequence[Layer] = ()
    template: Compiled | None = None
    steps: Interpretation | None = None
    entered: bool = False

    @property
    def source(self) -> bytes:
        """Whose place it takes among those that wait: an IPv6 host has its /64 to itself."""
        source = self.case.facts.source
        return source[:8] if len(source) == 16 else source

    @property
    def enforced(self) -> bool:
        """Whether a denial takes effect: so it does unless the message's template only observes."""
        return self.template is None or self.template.template.enforce

    def tell(self) -> None:
        """Put what came of it into its ticket."""
        case, ticket, records = self.case, self.ticket, self.ticket.records
        before = len(records)
        for raised in case.raised:
            records.append(self._exception(raised.name, raised.outcome, raised.detail))
        ruling = case.ruling
        if ruling is not None:
            if not ruling.reason.denies:
                ticket.uncommitted[len(records)] = self
            records.append(self._ruling(ruling))
        if case.keep is not None:
            ticket.kept.append((self, slice(before, len(records))))

    def void(self, index: int, detail: str) -> Outcome:
        """The commit failed: what was accepted on the strength of it is an exception now; what that means."""
        outcome = self.case.policy.outcomes[ExceptionName.STORE_UNAVAILABLE]
        self.ticket.records[index] = self._exception(ExceptionName.STORE_UNAVAILABLE, outcome, detail)
        return outcome

    def _exception(self, name: ExceptionName, outcome: Outcome, detail: str) -> ExceptionRecord:
        frame, case = self.ticket.frame, self.case
        return ExceptionRecord(
            frame.number,
            frame.time,
            self.flow,
            case.facts.source,
            name,
            outcome,
            detail,
            case.message.call_id,
            case.message.start_line,
        )

    def _ruling(self, ruling: Ruling) -> RulingRecord:
        frame, case = self.ticket.frame, self.case
        message = case.message
        return RulingRecord(
            frame.number,
            frame.time,
            self.flow,
            case.facts.source,
            message.start_line,
            message.method,
            message.status,
            message.call_id,
            message.cseq,
            ruling.verdict,
            ruling.reason,
            self.template.name if self.template is not None else "",
            case.policy.name,
            tuple([spi(fingerprint) for fingerprint in case.fingerprints]),
            tuple([str(tier) for tier in case.tiers]),
            ruling.alerts,
            self.enforced,
            message.from_uri,
            message.to_uri,
            tuple(case.sightings.values()),
            self.raw,
        )
