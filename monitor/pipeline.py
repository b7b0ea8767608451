"""The one place where the stages are joined: frames in, rulings out. No clock, no socket, no thread.

A frame gives datagrams or stretches of a stream, these give messages, and each message with key material
becomes a case that passes the toolbox. A case may wait for private-key work; the frames that carry its
message wait with it, everything else goes on. Cases of one dialog, and cases with one envelope, are ruled
on in the order in which they came.
"""

from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import NamedTuple, Protocol

from monitor.antireplay.policy import Policy, Remedy
from monitor.antireplay.ruling import Verdict
from monitor.antireplay.sad import Facts
from monitor.antireplay.table import StoreError
from monitor.cms.enveloped import EnvelopedData
from monitor.denial import Denial
from monitor.exceptions import DecodeError, ExceptionName, Outcome
from monitor.exhibit import Exhibit
from monitor.job import Job, Ticket
from monitor.keys.request import UnwrapAnswer, UnwrapRequest
from monitor.passage import HOLD_OCTETS, HOLD_TIME, Fate, Passage
from monitor.record import ExceptionRecord, Record
from monitor.sequence import Sequencer
from monitor.sip import message as sip
from monitor.sip.error import SipError
from monitor.sip.framing import Framed, StreamFramer, Unframed, looks_like_sip
from monitor.sip.glance import plainly_not_sip
from monitor.sip.message import Message
from monitor.toolbox.case import Case, Denied
from monitor.toolbox.engine import Engine
from monitor.toolbox.layer import Layer
from monitor.toolbox.template import Template
from monitor.toolbox.tool import Databases
from monitor.wire.decoder import Decoder
from monitor.wire.flow import Datagram, Flow, Segment, WireError
from monitor.wire.frame import Frame
from monitor.wire.tcp import Delivery, Streams

MAX_DENIED = 4096
"""Denied messages of all streams whose octets are kept, to make what is sent again harmless too."""
MAX_HELD = 128
"""Streams whose segments wait until a message is whole; those that wait longest are let go first."""
METHODS = frozenset(
    (
        *("ACK", "BYE", "CANCEL", "INFO", "INVITE", "MESSAGE", "NOTIFY"),
        *("OPTIONS", "PRACK", "PUBLISH", "REFER", "REGISTER", "SUBSCRIBE", "UPDATE"),
    )
)
"""The registered methods, which are counted one by one; all others are counted together."""


class Policies(Protocol):
    """Finds the policy for a message."""

    def choose(self, source: bytes, interface: str, mark: int, method: str) -> Policy:
        """The first policy that takes it; there is always one."""
        ...


class Ask(NamedTuple):
    """Private-key work that some message waits for."""

    number: int
    """Names the ask in ``Pipeline.answer``."""
    request: UnwrapRequest


class Settled(NamedTuple):
    """A frame whose messages are all ruled on, and everything accepted in it committed."""

    frame: int
    verdict: Verdict
    records: tuple[Record, ...]
    exhibits: tuple[Exhibit, ...] = ()
    """Its messages that are to be kept as evidence."""
    denials: tuple[Denial, ...] = ()
    """Those in it that are enforced otherwise than by dropping it; empty: drop it if it is denied."""
    start: int = 0
    """Offset in its stream of the frame's first octet."""
    floor: int = 0
    """Of the octets below this offset, none may be read by the recipient (see ``passage.Passage``)."""
    turn: int = 0
    """1 for the first frame that begins with what one of them denies, 2 for the next."""


class Pipeline:
    """Frames in, rulings out.

    A shell calls ``feed`` for each frame, passes each of ``asks()`` to whoever holds the private keys and
    gives what comes back to ``answer``, and calls ``settle`` after each batch.
    """

    counts: Counter[str]
    """``messages``: read; ``overtaken``: that waited for an earlier one; ``spans``: streams with too many
    denied stretches; ``unfollowed``: without key material, of which the store did not take notice;
    ``let-go-long``, ``-resent``, ``-late`` and ``-full``: messages whose segments did not wait until they
    were whole, see ``passage`` and ``MAX_HELD``."""
    messages: Counter[tuple[str, ...]]
    """Messages by transport and method, those of methods that are not registered as ``other``."""

    def __init__(self, engine: Engine, databases: Databases, policies: Policies) -> None:
        self._engine, self._policies = engine, policies
        self.databases = databases
        self._associations, self._hashes = databases.associations, databases.hashes
        self.decoder, self.streams = Decoder(), Streams()
        self.counts, self.messages = Counter(), Counter()
        self._tickets: list[Ticket] = []
        self._told: list[Ticket] = []
        """Those with rulings since the last commit."""
        self._asks: list[Ask] = []
        self._asked: dict[int, Job] = {}
        self._number = 0
        self._last: Frame | None = None
        self._order: Sequencer[Job] = Sequencer()
        self._ready: deque[Job] = deque()
        """Those that need wait no longer: started one after the other, since thousands may wait for one."""
        self._held: OrderedDict[Passage, None] = OrderedDict()
        self._denied: OrderedDict[Fate, None] = OrderedDict()
        self.heard: Callable[[Message, Frame, Flow], None] | None = None
        """Is told every SIP message, whether or not there is anything in it to rule on."""

    @property
    def templates(self) -> tuple[Template, ...]:
        """The templates in force, in the order in which they are tried."""
        return self._engine.templates

    def reconfigure(self, engine: Engine, policies: Policies) -> None:
        """Rule by other templates and policies from now on.

        Streams, what waits and what is known stay; a message on its way keeps the policy that it met.
        """
        self._engine, self._policies = engine, policies

    @property
    def waiting(self) -> int:
        """Messages that wait for private-key work, their own or an earlier message's."""
        return len(self._order)

    def feed(self, frame: Frame) -> Verdict | None:
        """Take a frame in.

        :returns: a verdict at once where nothing in it is to be ruled on, else None: see ``settle``.
        """
        if plainly_not_sip(frame):
            return Verdict.ACCEPT
        ticket = Ticket(frame)
        self._last = frame
        try:
            unit = self.decoder.decode(frame)
            if unit is None:
                return Verdict.ACCEPT
            if isinstance(unit, Datagram):
                self._datagram(unit, ticket)
            else:
                self._segment(unit, ticket)
        except WireError as error:
            self._raise(ticket, None, error, error.source)
        if not ticket.eventful:
            return Verdict.DENY if ticket.denied else Verdict.ACCEPT
        self._tickets.append(ticket)
        return None

    def asks(self) -> list[Ask]:
        """The private-key work asked for since the last call."""
        asks, self._asks = self._asks, []
        return asks

    def answer(self, number: int, answer: UnwrapAnswer) -> None:
        """Resume the message that waits for ask ``number``; one that nobody waits for is passed over."""
        job = self._asked.pop(number, None)
        if job is not None:
            self._advance(job, answer)
            self._start_ready()

    def expire(self, now: int) -> bool:
        """Let go what has waited too long at ``now`` for the rest of a message on its stream.

        :returns: whether there was any; ``settle`` gives it.
        """
        expired = False
        while self._held:
            oldest = next(iter(self._held))
            if now - oldest.since < HOLD_TIME:
                break
            self._let_go(oldest, "late")
            expired = True
        return expired

    def finish(self) -> None:
        """At the end of a capture: take what waited on streams for octets that will not come.

        It counts as completed by the last frame that was fed.
        """
        while self._held:
            self._let_go(next(iter(self._held)), "late")
        if self._last is not None:
            ticket = Ticket(self._last)
            for delivery in self.streams.flush():
                self._deliveries(delivery, ticket)
            if ticket.eventful:
                self._tickets.append(ticket)

    def settle(self) -> list[Settled]:
        """Commit, then give every frame fed so far whose messages are all ruled on, oldest first."""
        self._start_ready()
        try:
            self._associations.store.commit()
        except StoreError as error:
            for ticket in self._told:
                self._void(ticket, str(error))
        for ticket in self._told:
            ticket.uncommitted.clear()
        self._told.clear()
        done: list[Ticket] = []
        waiting: list[Ticket] = []
        for ticket in self._tickets:
            (waiting if ticket.waiting else done).append(ticket)
        self._tickets = waiting
        return [
            Settled(
                ticket.frame.number,
                Verdict.DENY if ticket.denied else Verdict.ACCEPT,
                tuple(ticket.records),
                tuple(ticket.exhibits()),
                () if ticket.dropped else tuple(ticket.denials),
                ticket.start,
                ticket.floor,
                ticket.turn,
            )
            for ticket in done
        ]

    # From the wire to messages

    def _datagram(self, datagram: Datagram, ticket: Ticket) -> None:
        flow, trouble = datagram.flow, datagram.trouble
        readings = [
            each for each in (datagram.payload, datagram.alternative) if each and looks_like_sip(each)
        ]
        if not readings or (trouble is not None and self._raise(ticket, flow, trouble)):
            return
        for reading in readings:
            fate = Fate()
            self._message(reading, ticket, flow, fate, stream=False)
            fate.bind(ticket)

    def _segment(self, segment: Segment, ticket: Ticket) -> None:
        delivery = self.streams.feed(segment, ticket.frame.time)
        if delivery is not None:
            ticket.start, ticket.end = delivery.start, delivery.end
        self._deliveries(delivery, ticket)

    def _deliveries(self, delivery: Delivery | None, ticket: Ticket) -> None:
        while delivery is not None:
            self._delivery(delivery, ticket)
            delivery = delivery.also

    def _delivery(self, delivery: Delivery, ticket: Ticket) -> None:
        stream = delivery.stream
        passage = stream.context
        if not isinstance(passage, Passage):
            passage = stream.context = Passage()
        before = passage.under_way
        found = _framed(passage.framer, delivery)
        if delivery.trouble is not None and passage.framer.speaks_sip:
            denied = self._raise(ticket, stream.flow, delivery.trouble)
            self._decide(passage.stretch(delivery.start, delivery.end), denied, stream.flow, ticket)
            if denied:
                found = ()
        for each in found:
            fate = passage.whole(each.start, each.end, delivery)
            if isinstance(each, Unframed):
                self._decide(fate, self._raise(ticket, stream.flow, each.error), stream.flow, ticket)
            else:
                self._message(each.raw, ticket, stream.flow, fate, stream=True)
        if before is not None and passage.under_way is before and before.start != passage.framer.start:
            # It was lost with a delivery that is denied.
            lost = passage.whole(before.start, passage.framer.start, delivery)
            self._decide(lost, True, stream.flow, ticket)
        self._hold(passage, delivery, ticket)
        if passage.tidy():
            self.counts["spans"] += 1
        # Octets of a message share its fate, however often they are sent.
        for span in passage.spans:
            if span.overlaps(delivery.start, delivery.end):
                span.bind(ticket)
        for frame in before.frames if before is not None else ():
            for span in passage.spans:
                if span.overlaps(frame.start, frame.end):
                    span.bind(frame)
        if passage.under_way is None:
            self._held.pop(passage, None)
            passage.let_pass(delivery.start, delivery.end)
        if delivery.start < min(delivery.end, passage.floor):
            ticket.floor = passage.floor

    def _hold(self, passage: Passage, delivery: Delivery, ticket: Ticket) -> None:
        """See whether the message under way is to wait until it is whole, and can."""
        framer, frame, flow = passage.framer, ticket.frame, delivery.stream.flow
        if not framer.in_message or passage.released:
            return
        if passage.under_way is None:
            policy = self._policies.choose(flow.source, frame.interface, frame.mark, framer.method)
            if policy.on_deny_tcp is not Remedy.NEUTRALISE:
                return
        if passage.too_much:
            self._let_go(passage, "long")
        elif delivery.start < delivery.data_start and framer.start < delivery.end:
            self._let_go(passage, "resent")
        elif passage.under_way is None:
            passage.hold(frame.time)
            self._held[passage] = None
            self._held.move_to_end(passage)
            if len(self._held) > MAX_HELD:
                self._let_go(next(iter(self._held)), "full")

    def _let_go(self, passage: Passage, why: str) -> None:
        self.counts[f"let-go-{why}"] += 1
        self._held.pop(passage, None)
        passage.release()

    def _decide(self, fate: Fate, denied: bool, flow: Flow, ticket: Ticket, job: Job | None = None) -> None:
        """Settle what becomes of a message, or of a stretch in which there is none."""
        fate.decide(denied, self._denial(fate, flow, ticket, job) if denied else None)

    def _denial(self, fate: Fate, flow: Flow, ticket: Ticket, job: Job | None) -> Denial | None:
        """How a denial is to be enforced, None: by dropping."""
        frame, case = ticket.frame, job.case if job is not None else None
        policy = case.policy if case else self._policies.choose(flow.source, frame.interface, frame.mark, "")
        remedy = policy.on_deny_tcp if flow.transport == "tcp" else policy.on_deny_udp
        if remedy is Remedy.DROP:
            return None
        octets = job.raw if job is not None else b""
        if fate.passage is None:
            reason = str(case.ruling.reason) if case is not None and case.ruling is not None else ""
            return Denial(flow, remedy, octets, case.message if case is not None else None, reason)
        if remedy is not Remedy.NEUTRALISE or len(octets) > HOLD_OCTETS:
            octets = b""
        self._denied[fate] = None
        if len(self._denied) > MAX_DENIED:
            oldest, _ = self._denied.popitem(last=False)
            if oldest.passage is not None:
                oldest.passage.forget(oldest)
        return Denial(flow, remedy, octets, start=fate.start, passed=fate.passed, reach=fate.reach)

    # From messages to rulings

    def _message(self, raw: bytes, ticket: Ticket, flow: Flow, fate: Fate, *, stream: bool) -> None:
        try:
            message = sip.parse(raw, stream=stream)
        except SipError as error:
            self._decide(fate, self._raise(ticket, flow, error), flow, ticket)
            return
        self.counts["messages"] += 1
        self.messages[flow.transport, message.method if message.method in METHODS else "other"] += 1
        if self.heard is not None:
            self.heard(message, ticket.frame, flow)
        job = self._open(raw, message, ticket, flow, fate)
        if self._order.blocked(job.keys):
            self._queue(job)
        else:
            self._start(job)

    def _open(self, raw: bytes, message: Message, ticket: Ticket, flow: Flow, fate: Fate) -> Job:
        """A job for a message, with the layers it shows and the template that takes it."""
        frame = ticket.frame
        policy = self._policies.choose(flow.source, frame.interface, frame.mark, message.method)
        facts = Facts.of(message, flow.source, flow.destination, frame.time, policy, self._hashes)
        job = Job(raw, Case(message, facts, policy), flow, ticket, fate, (message.call_id,))
        if not message.body and not message.troubles:
            return job
        case = job.case
        with suppress(Denied):
            for name, detail in message.troubles:
                case.report(name, detail)
            layers = self._engine.open(case)
            if layers:
                job.layers, job.template = layers, self._engine.choose(layers, case)
                job.keys = (message.call_id, *_envelopes(layers))
                if job.template is None:
                    case.report(ExceptionName.UNSUPPORTED, "no template takes the message")
        return job

    def _queue(self, job: Job) -> None:
        """Put a job behind those that it must not overtake."""
        if self._full(job):
            return
        self.counts["overtaken"] += 1
        self._enter(job)

    def _enter(self, job: Job) -> None:
        job.entered = True
        self._order.enter(job)
        job.fate.bind(job.ticket)

    def _full(self, job: Job) -> bool:
        """Whether no more can wait; then the job is finished as the policy says of an overload."""
        if not self._order.full(job):
            return False
        if job.template is not None:
            with suppress(Denied):
                job.case.report(ExceptionName.OVERLOAD, "too many messages wait for decryption")
        self._finish(job)
        return True

    def _start(self, job: Job) -> None:
        if job.template is None or job.case.denied:
            self._finish(job)
        else:
            job.steps = self._engine.interpret(job.case, job.layers, job.template)
            self._advance(job, None)

    def _start_ready(self) -> None:
        while self._ready:
            self._start(self._ready.popleft())

    def _advance(self, job: Job, answer: UnwrapAnswer | None) -> None:
        """Let a job run to its end, or to its next ask."""
        assert job.steps is not None
        try:
            request = next(job.steps) if answer is None else job.steps.send(answer)
        except StopIteration:
            self._finish(job)
            return
        except StoreError as error:
            with suppress(Denied):
                job.case.report(ExceptionName.STORE_UNAVAILABLE, str(error))
            self._finish(job)
            return
        except Exception:  # A mistake of this program: nobody is to wait for what will not end.
            job.case.denied = True
            self._finish(job)
            raise
        if not job.entered:
            if self._full(job):
                return
            self._enter(job)
        self._number += 1
        self._asked[self._number] = job
        self._asks.append(Ask(self._number, request))

    def _finish(self, job: Job) -> None:
        """Tell what came of a job, let its frames go, and start what waited for it."""
        case = job.case
        job.tell()
        self._told.append(job.ticket)
        refused = case.denied or (case.ruling is not None and case.ruling.reason.denies)
        if not refused and case.ruling is None and _changes_dialog(case.message):
            try:
                self._associations.follow(case.facts, case.policy)
            except StoreError:
                self.counts["unfollowed"] += 1
        denied = refused and job.enforced
        job.ticket.denied |= denied
        self._decide(job.fate, denied, job.flow, job.ticket, job)
        if job.entered:
            self._ready.extend(self._order.leave(job))

    def _raise(self, ticket: Ticket, flow: Flow | None, error: DecodeError, source: bytes = b"") -> bool:
        """Record an exception of what is no message yet; whether it denies."""
        frame = ticket.frame
        source = flow.source if flow is not None else source
        policy = self._policies.choose(source, frame.interface, frame.mark, "")
        outcome = policy.outcomes[error.name]
        ticket.records.append(
            ExceptionRecord(frame.number, frame.time, flow, source, error.name, outcome, error.detail)
        )
        ticket.denied |= outcome is Outcome.DENY
        return outcome is Outcome.DENY

    def _void(self, ticket: Ticket, detail: str) -> None:
        """The commit failed: what was accepted on the strength of it is an exception now."""
        for index, job in ticket.uncommitted.items():
            if job.void(index, detail) is Outcome.DENY:
                ticket.denied = True
                job.fate.revoke(self._denial(job.fate, job.flow, ticket, job))
                job.fate.bind(ticket)
        ticket.uncommitted.clear()  # Where several messages were ruled on, it is told several times.


def _framed(framer: StreamFramer, delivery: Delivery) -> Sequence[Framed | Unframed]:
    return framer.feed(delivery.data, delivery.data_start, delivery.gap) if delivery.data else ()


def _envelopes(layers: Sequence[Layer]) -> set[bytes]:
    """Names of the envelopes in sight: whatever of them comes again, the order holds."""
    names: set[bytes] = set()
    for layer in layers:
        if isinstance(layer.value, EnvelopedData):
            names.update(recipient.encrypted_key for recipient in layer.value.recipients)
            names.add(layer.value.encrypted_content)
    names.discard(b"")
    return names


def _changes_dialog(message: Message) -> bool:
    """Whether a message without key material can change a dialog (see ``dialog.Dialog.after``)."""
    if message.status is None:
        return message.method in ("INVITE", "BYE", "CANCEL")
    return message.method == "INVITE" and message.status > 100
