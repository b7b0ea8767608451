"""The event loop, with a queue, a core and a keyholder that the test plays."""

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from monitor import service as service_module
from monitor.antireplay.ruling import Reason, Verdict
from monitor.antireplay.table import Change
from monitor.capture.packet import Arrival, Passes, none_passes
from monitor.exhibit import Exhibit
from monitor.keys.error import KeyStoreError
from monitor.keys.request import UnwrapAnswer, UnwrapRequest
from monitor.observe.metrics import Metrics
from monitor.observe.notify import Notifier
from monitor.pipeline import Ask, Settled
from monitor.record import Record, RulingRecord
from monitor.service import MeasuredStore, Service
from monitor.store.memory import MemoryStore
from monitor.wire.flow import Flow
from monitor.wire.frame import Frame
from monitor.wire.link import RAW

REQUEST = UnwrapRequest((), 16)
UDP = bytes((0x45, 0, 0, 20, 0, 0, 0, 0, 64, 17)) + bytes(10)
FLOW = Flow(bytes(4), 5060, bytes(4), 5060, "udp")
WAIT = 5.0


class Packet:
    """A packet that remembers its verdict."""

    def __init__(self) -> None:
        self.verdict: Verdict | None = None
        self.ruled = threading.Event()

    def accept(self) -> None:
        self._give(Verdict.ACCEPT)

    def drop(self) -> None:
        self._give(Verdict.DENY)

    def set_payload(self, payload: bytes, /) -> None:
        raise AssertionError("nothing here is rewritten")

    def _give(self, verdict: Verdict) -> None:
        assert self.verdict is None, "a second verdict"
        self.verdict = verdict
        self.ruled.set()


class Wakeable:
    """Something to wait on."""

    def __init__(self) -> None:
        self._receiver, self._sender = os.pipe()
        self._lock = threading.Lock()

    def fileno(self) -> int:
        return self._receiver

    def wake(self) -> None:
        os.write(self._sender, b"\0")

    def drain(self) -> None:
        os.read(self._receiver, 1)

    def shut(self) -> None:
        os.close(self._receiver)
        os.close(self._sender)
        self._receiver = -1


class Queue(Wakeable):
    """A queue that the test fills."""

    overruns = 3
    malformed = 0

    def __init__(self) -> None:
        super().__init__()
        self.waiting: list[Arrival] = []
        self.paused = self.closed = False
        self.passed = self.passed_since = 0
        self.batches: list[int] = []
        self._number = 0

    def put(self, *contents: bytes) -> list[Packet]:
        """Let packets arrive at once."""
        packets = [Packet() for _ in contents]
        self.put_packets(*zip(contents, packets, strict=True))
        return packets

    def put_packets(self, *arriving: tuple[bytes, Packet]) -> None:
        """Let these packets arrive at once, each with its content."""
        with self._lock:
            for content, packet in arriving:
                self._number += 1
                data = UDP + content
                self.waiting.append((Frame(self._number, 1000, RAW, data, len(data)), packet))
        self.wake()

    def receive(self, now: int, limit: int, passes: Passes = none_passes) -> list[Arrival]:
        with self._lock:
            batch, self.waiting = self.waiting[:limit], self.waiting[limit:]
            if not self.waiting and not self.paused:
                self.drain()
        if batch:
            self.batches.append(len(batch))
        passing = [arrival for arrival in batch if passes(arrival[0].data)]
        for frame, packet in passing:
            packet.accept()
            self.passed += 1
            self.passed_since = frame.time
        return [arrival for arrival in batch if arrival not in passing]

    def pause(self) -> None:
        self.paused = True

    def close(self) -> None:
        self.closed = True
        self.shut()


@dataclass
class Core:
    """Rules by the packet's first letter: (p)ass, (d)eny, (a)ccept, (r)eject, (k)ey work, x: fails."""

    log: list[str] = field(default_factory=list)
    held: dict[int, Verdict | None] = field(default_factory=dict)
    work: list[Ask] = field(default_factory=list)
    answers: dict[int, UnwrapAnswer] = field(default_factory=dict)
    trouble: Exception | None = None

    def feed(self, frame: Frame) -> Verdict | None:
        letter = frame.data[len(UDP) :][:1].decode()
        self.log.append(f"feed {letter}")
        match letter:
            case "p":
                return Verdict.ACCEPT
            case "d":
                return Verdict.DENY
            case "x":
                raise ZeroDivisionError("a mistake")
            case "k":
                self.work.append(Ask(frame.number, REQUEST))
                self.held[frame.number] = None
            case _:
                self.held[frame.number] = Verdict.DENY if letter == "r" else Verdict.ACCEPT
        return None

    def asks(self) -> list[Ask]:
        asks, self.work = self.work, []
        return asks

    def answer(self, number: int, answer: UnwrapAnswer) -> None:
        self.answers[number] = answer
        self.held[number] = Verdict.ACCEPT if answer.key else Verdict.DENY

    def expire(self, now: int) -> bool:
        return False

    def settle(self) -> list[Settled]:
        if self.trouble is not None:
            raise self.trouble
        self.log.append("settle")
        done = {number: verdict for number, verdict in self.held.items() if verdict is not None}
        self.held = {number: None for number in self.held if number not in done}
        return [Settled(number, verdict, (record(number, verdict),)) for number, verdict in done.items()]


class KeyHolder(Wakeable):
    """A keyholder that answers when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.alive = True
        self.refused = 0
        self.full = False
        self.trouble = ""
        self.sent: list[int] = []
        self.came = threading.Event()
        self.restarts = 0
        self._answers: list[tuple[int, UnwrapAnswer]] = []

    def send(self, number: int, request: UnwrapRequest) -> bool:
        if self.full or not self.alive:
            return False
        self.sent.append(number)
        self.came.set()
        return True

    def reply(self, number: int, key: bytes | None) -> None:
        with self._lock:
            self._answers.append((number, UnwrapAnswer(key)))
        self.wake()

    def receive(self) -> list[tuple[int, UnwrapAnswer]]:
        with self._lock:
            answers, self._answers = self._answers, []
            self.drain()
        return answers

    def restart(self) -> None:
        self.restarts += 1
        raise KeyStoreError("the keys are not there")

    def kill(self) -> None:
        self.alive = False
        self.wake()


def record(number: int, verdict: Verdict) -> RulingRecord:
    reason = Reason.KEY_REUSED if verdict is Verdict.DENY else Reason.FIRST_USE
    return RulingRecord(
        number, 1000, FLOW, bytes(4), "INVITE sip:a SIP/2.0", "INVITE", None, "call", 1, verdict, reason,
        "smime-sdes", "default", ("3f9a1c2e",), ("master-key",), (),
    )  # fmt: skip


@dataclass
class Stage:
    """A running service and what the test plays it with."""

    service: Service
    queue: Queue
    core: Core
    keyholder: KeyHolder
    metrics: Metrics
    records: list[Record]

    def rule(self, *contents: bytes) -> list[Verdict | None]:
        """What became of packets that arrived together."""
        packets = self.queue.put(*contents)
        return [verdict(packet) for packet in packets]


def verdict(packet: Packet) -> Verdict | None:
    assert packet.ruled.wait(WAIT), "no verdict"
    return packet.verdict


def until(condition: Callable[[], object]) -> None:
    """Wait for the service's thread to bring ``condition`` about."""
    waiting = threading.Event()
    for _ in range(500):
        if condition():
            return
        waiting.wait(0.01)
    raise AssertionError("it did not come about")


@contextmanager
def running(**options: Any) -> Iterator[Stage]:
    queue, core, keyholder, metrics = Queue(), Core(), KeyHolder(), Metrics()
    records: list[Record] = []
    service = Service(
        [queue],
        core,
        metrics=metrics,
        keyholder=keyholder,
        report=lambda batch, now: records.extend(batch),
        **options,
    )
    thread = threading.Thread(target=service.run)
    thread.start()
    try:
        yield Stage(service, queue, core, keyholder, metrics, records)
    finally:
        service.stop()
        thread.join(WAIT)
        assert not thread.is_alive()
        keyholder.shut()
    assert queue.closed


def test_a_batch_is_fed_then_committed_once_then_given_its_verdicts() -> None:
    with running() as stage:
        verdicts = stage.rule(b"a", b"p", b"r", b"d")
        assert verdicts == [Verdict.ACCEPT, Verdict.ACCEPT, Verdict.DENY, Verdict.DENY]
        assert stage.core.log[:5] == ["feed a", "feed p", "feed r", "feed d", "settle"]
        until(lambda: len(stage.records) == 2)
        assert stage.metrics.verdicts == {Verdict.ACCEPT: 2, Verdict.DENY: 2}
        assert stage.metrics.packets_by_transport()["udp",] == 4
        assert stage.metrics.rulings["key-reused", "deny", "default", "true"] == 1


def test_what_needs_no_judging_does_not_wait_for_the_commit() -> None:
    with running() as stage:
        gate, settle = threading.Event(), stage.core.settle

        def late() -> list[Settled]:
            assert gate.wait(WAIT)
            return settle()

        stage.core.settle = late  # type: ignore[method-assign]
        passing, judged = stage.queue.put(b"p", b"a")
        assert verdict(passing) is Verdict.ACCEPT
        assert judged.verdict is None
        gate.set()
        assert verdict(judged) is Verdict.ACCEPT


def test_what_is_plainly_no_sip_never_reaches_the_core() -> None:
    with running() as stage:
        stage.rule(bytes(8) + b"\x80 media", b"p", bytes(8) + b"\x80 media")
        until(lambda: stage.metrics.verdicts[Verdict.ACCEPT] == 3)
        assert stage.core.log == ["feed p", "settle"]
        assert stage.metrics.packets_by_transport()["udp",] == 3
        assert sum(stage.metrics.latency.counts) == 3


def test_what_is_recorded_is_recorded_whole() -> None:
    recorded: list[Frame] = []
    with running(record=recorded.append) as stage:
        stage.rule(bytes(8) + b"\x80 media", b"p")
        assert len(recorded) == 2


def test_batches_are_bounded() -> None:
    with running(batch=2) as stage:
        assert stage.rule(b"p", b"p", b"a", b"p", b"p") == [Verdict.ACCEPT] * 5
        assert max(stage.queue.batches) == 2


def test_a_packet_that_waits_for_a_key_keeps_nobody_waiting() -> None:
    with running() as stage:
        waiting, passing = stage.queue.put(b"k", b"a")
        assert verdict(passing) is Verdict.ACCEPT
        assert waiting.verdict is None
        assert stage.rule(b"p") == [Verdict.ACCEPT]
        stage.keyholder.reply(1, b"key")
        assert verdict(waiting) is Verdict.ACCEPT
        until(lambda: stage.metrics.key_work_in_flight == 0)


def test_while_many_wait_for_keys_rulings_are_gathered_for_a_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_module, "MANY", 2)
    monkeypatch.setattr(service_module, "GATHERING", 2 * WAIT)
    with running() as stage:
        packets = stage.queue.put(*[b"k"] * 4)
        until(lambda: len(stage.keyholder.sent) == 4 and "settle" in stage.core.log)
        before = stage.core.log.count("settle")
        for number in (1, 2, 3):
            assert packets[0].verdict is None
            stage.keyholder.reply(number, b"key")
            until(lambda number=number: number in stage.core.answers)  # type: ignore[misc]
        assert [verdict(packet) for packet in packets[:3]] == [Verdict.ACCEPT] * 3
        assert stage.core.log.count("settle") == before + 1
        stage.keyholder.reply(4, b"key")
        assert verdict(packets[3]) is Verdict.ACCEPT


def test_gathered_rulings_wait_no_longer_than_they_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_module, "MANY", 1)
    with running() as stage:
        packets = stage.queue.put(b"k", b"k")
        until(lambda: len(stage.keyholder.sent) == 2)
        stage.keyholder.reply(1, b"key")
        assert verdict(packets[0]) is Verdict.ACCEPT
        stage.keyholder.reply(2, b"key")
        assert verdict(packets[1]) is Verdict.ACCEPT


def test_an_ask_that_a_busy_keyholder_refuses_is_answered_so() -> None:
    with running() as stage:
        stage.keyholder.full = True
        assert stage.rule(b"k") == [Verdict.DENY]
        assert stage.core.answers == {1: UnwrapAnswer(None, refused=True)}


def test_a_mistake_of_the_core_drops_its_packet_and_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    with running() as stage:
        assert stage.rule(b"x", b"a", b"x") == [Verdict.DENY, Verdict.ACCEPT, Verdict.DENY]
        assert stage.metrics.unexpected == {"ZeroDivisionError": 2}
    assert [entry.levelname for entry in caplog.records] == ["ERROR"]


def test_packets_are_dropped_when_settling_fails_for_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_module, "PATIENCE", 0)
    monkeypatch.setattr(service_module, "TICK", 0.01)
    with running() as stage:
        stage.core.trouble = KeyError("a mistake")
        assert stage.rule(b"a") == [Verdict.DENY]
        stage.core.trouble = None
        assert stage.rule(b"p") == [Verdict.ACCEPT]
        assert stage.metrics.expired == 1


def test_a_stop_rules_on_what_the_kernel_had_queued_and_waits_for_keys() -> None:
    with running() as stage:
        (waiting,) = stage.queue.put(b"k")
        assert stage.keyholder.came.wait(WAIT)
        stage.service.stop()
        until(lambda: stage.queue.paused)
        stage.keyholder.reply(1, b"key")
        assert verdict(waiting) is Verdict.ACCEPT
        until(lambda: stage.queue.closed)


def test_a_stop_drops_what_gets_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_module, "STOP_PATIENCE", 0.01)
    with running() as stage:
        (waiting,) = stage.queue.put(b"k")
        assert stage.keyholder.came.wait(WAIT)
        stage.service.stop()
        assert verdict(waiting) is Verdict.DENY


def test_a_reload_happens_between_batches_and_may_fail(caplog: pytest.LogCaptureFixture) -> None:
    calls: list[str] = []

    def reload() -> None:
        calls.append(threading.current_thread().name)
        if len(calls) == 2:
            raise ValueError("line 3 is wrong")

    with running(on_reload=reload) as stage:
        stage.service.reload()
        until(lambda: stage.metrics.reloads["success",] == 1)
        stage.service.reload()
        until(lambda: stage.metrics.reloads["failure",] == 1)
        assert stage.rule(b"a") == [Verdict.ACCEPT]
    assert threading.current_thread().name not in calls
    assert "line 3 is wrong" in caplog.text


def test_a_keyholder_that_goes_is_started_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_module, "TICK", 0.01)
    with running() as stage:
        stage.keyholder.alive = False
        stage.keyholder.wake()
        until(lambda: stage.keyholder.restarts == 1)
        assert stage.rule(b"a", b"k") == [Verdict.ACCEPT, Verdict.DENY]
        assert stage.core.answers == {2: UnwrapAnswer(None)}
        assert stage.keyholder.restarts == 1


def test_frames_are_recorded_as_the_core_sees_them_until_that_fails(caplog: pytest.LogCaptureFixture) -> None:
    frames: list[Frame] = []

    def write(frame: Frame) -> None:
        if frames:
            raise OSError(28, "No space left on device")
        frames.append(frame)

    with running(record=write) as stage:
        assert stage.rule(b"a", b"p", b"p") == [Verdict.ACCEPT] * 3
        assert [frame.number for frame in frames] == [1]
        assert stage.metrics.unexpected == {}
    assert caplog.text.count("No space left on device") == 1


def test_housekeeping_measures_and_prunes_the_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_module, "TICK", 0.01)
    store = MemoryStore()
    old, new = Change(bytes(32), None, b"old", 1), Change(bytes(31) + b"\1", None, b"new", 1 << 62)
    assert store.compare_and_swap([old, new])
    store.commit()
    with running(store=store) as stage:
        until(lambda: stage.metrics.pruned == 1 and stage.metrics.store_records == 1)
        assert stage.metrics.overruns == 3


def test_the_watchdog_is_fed_by_the_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_module, "TICK", 0.01)
    signs = threading.Semaphore(0)
    notifier = Notifier({"WATCHDOG_USEC": "20000"})
    monkeypatch.setattr(notifier, "alive", signs.release)
    with running(notifier=notifier):
        for _ in range(3):
            assert signs.acquire(timeout=WAIT)


def test_commits_are_measured() -> None:
    metrics = Metrics()
    store = MeasuredStore(MemoryStore(), metrics)
    assert store.compare_and_swap([Change(bytes(32), None, b"record", 1 << 62)])
    assert store.read([bytes(32)]) == [b"record"]
    store.commit()
    assert sum(metrics.commit.counts) == 1


@dataclass
class Keeper:
    """Keeps evidence, unless the disk is full."""

    required: bool = False
    full: bool = False
    fails: bool = False
    written: int = 0
    lost: int = 0
    seen: list[Verdict | None] = field(default_factory=list)
    """Of the packets that the test watches, what verdict they had when evidence was written."""
    watched: list[Packet] = field(default_factory=list)

    def write(self, exhibits: Sequence[Exhibit]) -> bool:
        self.seen += [packet.verdict for packet in self.watched]
        if self.fails:
            raise ZeroDivisionError("a mistake")
        if self.full:
            self.lost += len(exhibits)
        else:
            self.written += len(exhibits)
        return not self.full


def with_exhibits(stage: Stage) -> None:
    """Let the core want accepted messages kept."""
    settle = stage.core.settle

    def settled() -> list[Settled]:
        exhibit = Exhibit(b"", 1, 1000, FLOW, bytes(4), "", "", "", b"", ())
        return [
            each._replace(exhibits=(exhibit,) if each.verdict is Verdict.ACCEPT else ()) for each in settle()
        ]

    stage.core.settle = settled  # type: ignore[method-assign]


def test_evidence_is_written_before_the_verdict_is_given() -> None:
    keeper = Keeper()
    with running(evidence=keeper) as stage:
        with_exhibits(stage)
        packet = Packet()
        keeper.watched.append(packet)
        stage.queue.put_packets((b"a", packet))
        assert verdict(packet) is Verdict.ACCEPT
        assert keeper.seen == [None]
        until(lambda: stage.metrics.evidence_written == 1)


@pytest.mark.parametrize(
    ("keeper", "expected"),
    [
        (Keeper(full=True), Verdict.ACCEPT),
        (Keeper(full=True, required=True), Verdict.DENY),
        (Keeper(fails=True), Verdict.ACCEPT),
        (Keeper(fails=True, required=True), Verdict.DENY),
    ],
)
def test_what_cannot_be_kept_passes_unless_it_must_be_kept(keeper: Keeper, expected: Verdict) -> None:
    with running(evidence=keeper) as stage:
        with_exhibits(stage)
        assert stage.rule(b"a", b"r", b"p") == [expected, Verdict.DENY, Verdict.ACCEPT]
        until(lambda: stage.metrics.evidence_lost == keeper.lost)


def test_what_can_rest_does_while_more_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_module, "TICK", 0.0)
    store = MemoryStore()
    pruned = 0

    def prune(now: int, limit: int) -> int:
        nonlocal pruned
        pruned += 1
        return 0

    monkeypatch.setattr(store, "prune", prune)
    with running(store=store, batch=1) as stage:
        until(lambda: pruned)
        before = pruned
        during: list[int] = []
        feed = stage.core.feed

        def busy(frame: Frame) -> Verdict | None:
            during.append(pruned)
            return feed(frame)

        stage.core.feed = busy  # type: ignore[method-assign]
        stage.rule(*[b"p"] * 20)
        assert during[-1] - during[0] <= 1 < 20
        until(lambda: pruned > before + 1)


def test_the_control_socket_is_served_after_the_batch() -> None:
    class Control(Wakeable):
        served = threading.Event()

        def serve(self) -> None:
            self.drain()
            self.served.set()

    control = Control()
    with running(control=control) as stage:
        control.wake()
        assert control.served.wait(WAIT)
        assert stage.rule(b"a") == [Verdict.ACCEPT]
    control.shut()
