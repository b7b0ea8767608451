"""Private-key work under way, with a keyholder and a core that the test plays."""

import logging

import pytest

from monitor import keywork as keywork_module
from monitor.keys.error import KeyStoreError
from monitor.keys.request import UnwrapAnswer, UnwrapRequest
from monitor.keywork import KeyWork
from monitor.observe.metrics import Metrics
from monitor.pipeline import Ask

REQUEST = UnwrapRequest((), 16)


class Core:
    """Asks what it is told to."""

    def __init__(self) -> None:
        self.work: list[Ask] = []
        self.answers: dict[int, UnwrapAnswer] = {}

    def asks(self) -> list[Ask]:
        asks, self.work = self.work, []
        return asks

    def answer(self, number: int, answer: UnwrapAnswer) -> None:
        if number == 13:
            raise ZeroDivisionError
        self.answers[number] = answer


class KeyHolder:
    """Answers what it is told to."""

    def __init__(self) -> None:
        self.alive = True
        self.refused = 0
        self.trouble = ""
        self.ready: list[tuple[int, UnwrapAnswer]] = []
        self.calls: list[str] = []

    def fileno(self) -> int:
        return -1

    def send(self, number: int, request: UnwrapRequest) -> bool:
        return True

    def receive(self) -> list[tuple[int, UnwrapAnswer]]:
        ready, self.ready = self.ready, []
        return ready

    def restart(self) -> None:
        self.calls.append("restart")
        if self.trouble == "no process":
            raise KeyStoreError(self.trouble)

    def kill(self) -> None:
        self.calls.append("kill")


@pytest.fixture
def core() -> Core:
    return Core()


@pytest.fixture
def keyholder() -> KeyHolder:
    return KeyHolder()


@pytest.fixture
def work(core: Core, keyholder: KeyHolder) -> KeyWork:
    return KeyWork(core, keyholder, Metrics(), lambda error: None)


def test_a_keyholder_that_goes_is_started_anew_and_told_of(
    work: KeyWork, keyholder: KeyHolder, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    keyholder.alive = False
    work.collect()
    work.tend()
    work.tend()
    assert keyholder.calls == ["restart"], "not again at once"
    assert work.missing
    keyholder.trouble = "/keys/x.kek:1: no key"
    work.collect()
    keyholder.alive, keyholder.trouble = True, ""
    work.collect()
    assert not work.missing
    assert [entry.getMessage() for entry in caplog.records] == [
        "the keyholder has gone: no envelope is opened until it is back",
        "the keyholder does not come back: /keys/x.kek:1: no key",
        "the keyholder is back",
    ]


def test_it_is_tried_again_after_a_while(
    work: KeyWork, keyholder: KeyHolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keywork_module, "RESTART_INTERVAL", 0)
    keyholder.alive, keyholder.trouble = False, "no process"
    for _ in range(3):
        work.tend()
    assert keyholder.calls == ["restart"] * 3


def test_one_that_hangs_is_ended(
    work: KeyWork, core: Core, keyholder: KeyHolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    work.tend()
    core.work = [Ask(1, REQUEST), Ask(2, REQUEST)]
    work.ask()
    work.tend()
    assert keyholder.calls == []
    monkeypatch.setattr(keywork_module, "STALL", 0)
    work.tend()
    assert keyholder.calls == ["kill"]


def test_a_mistake_over_one_answer_keeps_the_others(core: Core, keyholder: KeyHolder) -> None:
    failures: list[Exception] = []
    work = KeyWork(core, keyholder, Metrics(), failures.append)
    core.work = [Ask(number, REQUEST) for number in (13, 14)]
    work.ask()
    keyholder.ready = [(13, UnwrapAnswer(b"key")), (14, UnwrapAnswer(b"key"))]
    assert work.collect()
    assert core.answers == {14: UnwrapAnswer(b"key")}
    assert len(failures) == 1
    assert len(work) == 0


def test_without_a_keyholder_all_is_answered_at_once(core: Core) -> None:
    work = KeyWork(core, None, Metrics(), lambda error: None)
    core.work = [Ask(1, REQUEST)]
    work.ask()
    work.tend()
    assert core.answers == {1: UnwrapAnswer(None)}
    assert not work.missing
