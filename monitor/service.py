"""The daemon's event loop: drain the queue, judge the batch, commit once, give the verdicts.

One thread waits for packets, for the keyholder's answers and for word from outside. A packet whose message
waits for a private key is held; the queue goes on meanwhile. Nothing that a packet brings about ends the
loop: where the core fails unexpectedly, that packet is dropped, since what was not judged must not pass.
"""

import logging
import os
import selectors
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from monitor.antireplay.ruling import Verdict
from monitor.antireplay.table import Change, Store, StoreError
from monitor.capture.packet import Arrival, Packet, Passes, none_passes
from monitor.clock import SteadyClock
from monitor.enforce.blocker import Blocker
from monitor.enforce.enforcer import Enforcer
from monitor.enforce.verdict import enforce
from monitor.exhibit import Exhibit
from monitor.keys.request import UnwrapAnswer
from monitor.keywork import KeyHolder, KeyWork
from monitor.observe.metrics import Metrics
from monitor.observe.notify import Notifier
from monitor.pipeline import Ask, Settled
from monitor.record import Record, RulingRecord
from monitor.sip.glance import packet_passes
from monitor.store.managed import ManagedStore
from monitor.wire.frame import NANOSECONDS, Frame
from monitor.wire.ip import UDP

log = logging.getLogger("monitor")

MANY = 16
"""Answers due from the keyholder from which on rulings are gathered: it gives a few at a time, and a
commit for each few would cost more than the rulings."""
GATHERING = 0.002
"""Seconds for which they then are."""
TICK = 0.25
"""Seconds between rounds of housekeeping, and the longest wait for a packet."""
PATIENCE = 5 * NANOSECONDS
"""How long a packet is held (nanoseconds). By then its sender has sent it again (RFC 3261 §17.1.1.2)."""
STOP_PATIENCE = 2.0
"""Seconds that a stop waits for the keyholder."""
STATUS_INTERVAL = 10.0
"""Seconds between two lines of status for the service manager."""
FOREVER = 1 << 63
"""Later than any time."""
PRUNE_SLICE = 200
"""Records that one round of housekeeping looks at for pruning."""


class Source(Protocol):
    """Where packets come from (see ``capture.nfqueue.Queue``)."""

    @property
    def overruns(self) -> int: ...
    @property
    def malformed(self) -> int: ...
    @property
    def passed(self) -> int: ...
    @property
    def passed_since(self) -> int: ...
    def fileno(self) -> int: ...
    def receive(self, now: int, limit: int, passes: Passes = ...) -> list[Arrival]: ...
    def pause(self) -> None: ...
    def close(self) -> None: ...


class Core(Protocol):
    """What judges (see ``pipeline.Pipeline``)."""

    def feed(self, frame: Frame) -> Verdict | None: ...
    def asks(self) -> list[Ask]: ...
    def answer(self, number: int, answer: UnwrapAnswer) -> None: ...
    def expire(self, now: int) -> bool: ...
    def settle(self) -> list[Settled]: ...


class Control(Protocol):
    """What operators ask through (see ``control.server.ControlServer``)."""

    def fileno(self) -> int: ...
    def serve(self) -> None: ...


class Keeper(Protocol):
    """Who keeps evidence (see ``observe.evidence.EvidenceLog``)."""

    required: bool
    written: int
    lost: int

    def write(self, exhibits: Sequence[Exhibit]) -> bool: ...


@dataclass(slots=True)
class Held:
    """A packet that waits for a ruling."""

    packet: Packet
    frame: Frame
    since: int


class MeasuredStore:
    """A store whose commits are timed and whose failures are counted, for ``metrics``."""

    def __init__(self, store: Store, metrics: Metrics) -> None:
        self._store = store
        self._metrics = metrics

    def read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """See ``Store.read``."""
        try:
            return self._store.read(keys)
        except StoreError:
            self._metrics.store_failed = time.monotonic()
            raise

    def compare_and_swap(self, changes: Sequence[Change]) -> bool:
        """See ``Store.compare_and_swap``."""
        try:
            return self._store.compare_and_swap(changes)
        except StoreError:
            self._metrics.store_failed = time.monotonic()
            raise

    def commit(self) -> None:
        """See ``Store.commit``."""
        began = time.perf_counter()
        try:
            self._store.commit()
        except StoreError:
            self._metrics.commit_failures += 1
            self._metrics.store_failed = time.monotonic()
            raise
        finally:
            self._metrics.commit.observe(time.perf_counter() - began)


class Service:
    """The loop. ``run`` returns after ``stop``, which like ``reload`` may be called by a signal handler.

    :param sources: closed at the end; no two of them may give frames of the same number.
    :param batch: most packets that share a commit.
    :param keyholder: None where no keys are held.
    :param enforcer: gives the verdicts of messages.
    :param blocker: told the same as ``report``, and asked whose packets are not worth judging.
    :param store: to be pruned and measured, None where that is left to others.
    :param report: told each batch of records and the time, after their verdicts; now and then an empty one.
    :param evidence: keeps exhibits, before their verdicts are given.
    :param record: given each frame just before the core.
    :param control: served after each batch.
    :param on_reload: called in the loop after ``reload``; what it raises is logged.
    :param clock: nanoseconds since the epoch; None: a ``SteadyClock``.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        core: Core,
        *,
        metrics: Metrics,
        batch: int = 256,
        keyholder: KeyHolder | None = None,
        enforcer: Enforcer | None = None,
        blocker: Blocker | None = None,
        store: ManagedStore | None = None,
        report: Callable[[Sequence[Record], int], None] = lambda records, now: None,
        evidence: Keeper | None = None,
        record: Callable[[Frame], None] | None = None,
        control: Control | None = None,
        on_reload: Callable[[], None] = lambda: None,
        notifier: Notifier | None = None,
        clock: Callable[[], int] | None = None,
    ) -> None:
        self._sources = tuple(sources)
        self._core = core
        self._metrics = metrics
        self._batch = batch
        self._keywork = KeyWork(core, keyholder, metrics, self._unexpected)
        self._enforcer = enforcer or Enforcer()
        self._blocker = blocker
        self._store = store
        self._report = report
        self._evidence = evidence
        self._record = record
        self._control = control
        self._on_reload = on_reload
        self._notifier = notifier or Notifier({})
        self._clock = clock or SteadyClock()
        self._held: dict[int, Held] = {}
        self._stopping = self._reloading = False
        self._behind = False
        """The last batch was full, so that more waits: what can rest does."""
        self._unsettled = False
        """Something was ruled on since the last commit."""
        self._settle_due = 0.0
        self._tick_due = 0.0
        self._alive_due = 0.0
        self._status_due = 0.0
        self._wake_receiver, self._wake_sender = os.pipe()
        os.set_blocking(self._wake_receiver, False)
        os.set_blocking(self._wake_sender, False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._wake_receiver, selectors.EVENT_READ)
        for source in self._sources:
            self._selector.register(source, selectors.EVENT_READ)
        for other in (keyholder, control):
            if other is not None:
                self._selector.register(other, selectors.EVENT_READ)

    def stop(self) -> None:
        """End ``run``: take nothing more in, rule on what was taken, give every packet its verdict."""
        self._stopping = True
        self._wake()

    def reload(self) -> None:
        """Have ``on_reload`` called between two batches."""
        self._reloading = True
        self._wake()

    def run(self) -> None:
        """Serve until ``stop``; the source is closed then.

        :raises QueueError: the queue failed for good.
        """
        try:
            self._metrics.loaded = self._clock()
            self._notifier.ready(self._status())
            while not self._stopping:
                self._turn()
            self._finish()
        finally:
            for source in self._sources:
                source.close()
            self._selector.close()
            os.close(self._wake_receiver)
            os.close(self._wake_sender)

    def _turn(self) -> None:
        """Wait for something to do, then do it: one batch, one commit."""
        ready = {key.fileobj for key, _ in self._selector.select(GATHERING if self._unsettled else TICK)}
        now = self._clock()
        if self._wake_receiver in ready:
            os.read(self._wake_receiver, 4096)
        if self._reloading:
            self._reload()
        taken = [self._take(source, now) for source in self._sources if source in ready]
        self._behind = self._batch in taken
        busy = any(taken)
        if self._keywork.keyholder in ready:
            busy = self._keywork.collect() or busy
        self._unsettled |= busy
        gathering = len(self._keywork) >= MANY and time.monotonic() < self._settle_due
        if self._unsettled and not gathering:
            self._settle(now)
        if self._control is not None and self._control in ready:
            self._control.serve()
        if time.monotonic() >= self._tick_due:
            self._tick_due = time.monotonic() + TICK
            self._housekeep(now)

    def _take(self, source: Source, now: int) -> int:
        """Feed one batch to the core; what needs no judging gets its verdict. How many packets there were."""
        passed = source.passed
        # What is recorded is recorded whole.
        arrivals = source.receive(now, self._batch, none_passes if self._record else packet_passes)
        passed = source.passed - passed
        metrics, held = self._metrics, self._held
        given: list[tuple[int, RulingRecord | None]] = []
        for frame, packet in arrivals:
            metrics.packets[_protocol(frame.data)] += 1
            verdict = self._feed(frame)
            if verdict is None:
                held[frame.number] = Held(packet, frame, now)
            else:
                self._give(packet, verdict)
                given.append((frame.time, None))
        self._observe_latency(given)
        if passed:
            metrics.packets[UDP] += passed
            metrics.verdicts[Verdict.ACCEPT] += passed
            metrics.latency.observe(max(0, self._clock() - source.passed_since) / NANOSECONDS, times=passed)
        taken = len(arrivals) + passed
        if taken:
            metrics.batch.observe(taken)
        self._keywork.ask()
        return taken

    def _feed(self, frame: Frame) -> Verdict | None:
        try:
            if self._record is not None:
                self._record_frame(frame)
            if self._blocker is not None and self._blocker.drops(frame.data):
                return Verdict.DENY
            return self._core.feed(frame)
        except Exception as error:
            self._unexpected(error)
            return Verdict.DENY

    def _record_frame(self, frame: Frame) -> None:
        assert self._record is not None
        try:
            self._record(frame)
        except OSError as error:
            log.error("the recording ends here: %s", error.strerror)
            self._record = None

    def _settle(self, now: int) -> None:
        """Commit, keep evidence, give the verdicts of what is ruled on, then tell of it."""
        self._unsettled = False
        self._settle_due = time.monotonic() + GATHERING
        try:
            settled = self._core.settle()
        except Exception as error:
            # What it would have settled stays held, and is dropped when its time is up.
            self._unexpected(error)
            return
        kept = self._keep([exhibit for each in settled for exhibit in each.exhibits])
        records: list[Record] = []
        given: list[tuple[int, RulingRecord | None]] = []
        for each in settled:
            held = self._held.pop(each.frame, None)
            if held is not None:
                self._enforce(held, each if kept or not each.exhibits else _refused(each), now)
                given.append((held.frame.time, _ruling(each.records)))
            records.extend(each.records)
        self._observe_latency(given)
        if records:
            self._tell(records, now)

    def _keep(self, exhibits: Sequence[Exhibit]) -> bool:
        """Write exhibits down; False where they are not, and must be."""
        evidence = self._evidence
        if evidence is None or not exhibits:
            return True
        try:
            kept = evidence.write(exhibits)
        except Exception as error:
            self._unexpected(error)
            kept = False
        self._metrics.evidence_written, self._metrics.evidence_lost = evidence.written, evidence.lost
        return kept or not evidence.required

    def _tell(self, records: Sequence[Record], now: int) -> None:
        for record in records:
            self._metrics.count(record)
        try:
            if self._blocker is not None:
                self._blocker.see(records, now)
            self._report(records, now)
        except Exception as error:
            self._unexpected(error)

    def _enforce(self, held: Held, settled: Settled, now: int) -> None:
        try:
            verdict = self._enforcer.give(held.packet, held.frame.data, settled, now)
        except Exception as error:
            self._unexpected(error)
            self._give(held.packet, Verdict.DENY)
        else:
            self._metrics.verdicts[verdict] += 1

    def _give(self, packet: Packet, verdict: Verdict) -> None:
        enforce(packet, verdict)
        self._metrics.verdicts[verdict] += 1

    def _observe_latency(self, given: list[tuple[int, RulingRecord | None]]) -> None:
        """Count how long packets of these times took, their verdicts having just been given."""
        if not given:
            return
        now = self._clock()
        for taken, ruling in given:
            self._metrics.latency.observe(max(0, now - taken) / NANOSECONDS, ruling)

    def _housekeep(self, now: int) -> None:
        """Between batches: let go or drop what was held too long, prune, measure, tell the watchdog."""
        if self._core.expire(now):
            self._settle(now)
        for number in [number for number, held in self._held.items() if now - held.since > PATIENCE]:
            self._give(self._held.pop(number).packet, Verdict.DENY)
            self._metrics.expired += 1
        self._metrics.held = len(self._held)
        self._metrics.overruns = sum(source.overruns for source in self._sources)
        self._metrics.malformed_netlink = sum(source.malformed for source in self._sources)
        if self._store is not None and not self._behind:
            try:
                self._metrics.pruned += self._store.prune(now, PRUNE_SLICE)
                self._metrics.store_records = self._store.count()
                self._metrics.store_bytes = self._store.size_bytes()
            except StoreError as error:
                self._metrics.store_records = self._metrics.store_bytes = None
                log.debug("the store cannot be measured: %s", error)
        self._keywork.tend()
        self._tell((), now)
        interval = self._notifier.watchdog_interval
        if interval is not None and time.monotonic() >= self._alive_due:
            self._alive_due = time.monotonic() + interval
            self._notifier.alive()
        if time.monotonic() >= self._status_due:
            self._status_due = time.monotonic() + STATUS_INTERVAL
            self._notifier.status(self._status())

    def _status(self) -> str:
        verdicts = self._metrics.verdicts
        status = f"{sum(verdicts.values())} packets, {verdicts[Verdict.DENY]} of them dropped"
        return f"{status}; the keyholder has gone" if self._keywork.missing else status

    def _finish(self) -> None:
        """Rule on what the kernel has queued, wait a while for the keyholder, then drop what is left."""
        self._notifier.stopping()
        for source in self._sources:
            source.pause()
            while self._take(source, self._clock()):
                self._settle(self._clock())
            self._selector.unregister(source)
        deadline = time.monotonic() + STOP_PATIENCE
        while self._held and len(self._keywork) and (left := deadline - time.monotonic()) > 0:
            ready = {key.fileobj for key, _ in self._selector.select(left)}
            if self._keywork.keyholder in ready and self._keywork.collect():
                self._settle(self._clock())
        self._core.expire(FOREVER)
        self._settle(self._clock())
        for held in self._held.values():
            self._give(held.packet, Verdict.DENY)
        self._metrics.expired += len(self._held)
        self._held.clear()

    def _reload(self) -> None:
        self._reloading = False
        self._notifier.reloading()
        try:
            self._on_reload()
        except Exception as error:
            self._metrics.count_reload(False, self._clock())
            log.error("the reload failed, all goes on as before: %s", error)
        else:
            self._metrics.count_reload(True, self._clock())
        self._notifier.ready(self._status())

    def _unexpected(self, error: Exception) -> None:
        """Count a mistake of this program; the first of its class is logged in full."""
        kind = type(error).__name__
        if self._metrics.count_unexpected(kind) == 0:
            log.error("unexpected %s; the packet is dropped (told once for each class)", kind, exc_info=error)

    def _wake(self) -> None:
        with suppress(OSError):  # Full: the loop is being woken as it is. Closed: it has ended.
            os.write(self._wake_sender, b"\0")


def _refused(settled: Settled) -> Settled:
    """The same, denied and to be dropped."""
    return settled._replace(verdict=Verdict.DENY, denials=())


def _ruling(records: Sequence[Record]) -> RulingRecord | None:
    """The first ruling among what is told of a frame."""
    return next((record for record in records if isinstance(record, RulingRecord)), None)


def _protocol(packet: bytes) -> int:
    """Protocol (RFC 791 §3.1) or next header (RFC 8200 §3) of an IP packet, 0 where there is none."""
    if len(packet) < 20:
        return 0
    return packet[9] if packet[0] >> 4 == 4 else packet[6]
