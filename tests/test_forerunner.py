"""Private-key work of captures ahead of the pipeline: the answers are the same, wherever they come from."""

import multiprocessing
import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest
from pages import PCAPS

from monitor.__main__ import main
from monitor.antireplay.policy import Policy
from monitor.assembly import REPLAY_SECRET, assemble
from monitor.capture.pcap import open_capture
from monitor.cli import replay
from monitor.config.selector import PolicyList
from monitor.forerunner import Forerunner
from monitor.keys.request import UnwrapAnswer, UnwrapRequest
from monitor.keys.ring import KeyRing, load
from monitor.store.memory import MemoryStore

KEYS = PCAPS / "keys"
SEALED = PCAPS / "3-sealed.pcap"
ATTACK = PCAPS / "4-replay-attack.pcap"
PATIENCE = 60


@pytest.fixture(autouse=True)
def none_left() -> Iterator[None]:
    """See that the processes of a test have ended after it."""
    assert not multiprocessing.active_children()
    yield
    assert not multiprocessing.active_children()


@pytest.fixture(scope="module")
def ring() -> KeyRing:
    return load(KEYS)


def asked(ring: KeyRing, path: Path) -> list[UnwrapRequest]:
    """What the pipeline asks for over a capture."""
    pipeline = assemble(
        store=MemoryStore(),
        secret=REPLAY_SECRET,
        policies=PolicyList(Policy()),
        directory=ring.directory,
    )
    requests = []
    with open_capture(str(path)) as capture:
        for frame in capture:
            pipeline.feed(frame)
            while asks := pipeline.asks():
                for ask in asks:
                    requests.append(ask.request)
                    pipeline.answer(ask.number, ring.unwrap(ask.request))
            pipeline.settle()
    return requests


def until_foreseen(forerunner: Forerunner, request: UnwrapRequest) -> UnwrapAnswer:
    before, deadline = forerunner.foreseen, time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        answer = forerunner.unwrap(request)
        if forerunner.foreseen > before:
            return answer
    raise AssertionError("never foreseen")


@pytest.mark.parametrize("path", [SEALED, ATTACK], ids=lambda path: path.stem)
@pytest.mark.parametrize("workers", [1, 3])
def test_whatever_is_asked_for_was_foreseen(ring: KeyRing, path: Path, workers: int) -> None:
    requests = list(dict.fromkeys(asked(ring, path)))
    assert requests
    with closing(Forerunner(ring, [str(path)], workers)) as forerunner:
        for request in requests:
            assert until_foreseen(forerunner, request) == ring.unwrap(request)


def test_what_was_not_foreseen_is_unwrapped_all_the_same(ring: KeyRing) -> None:
    (request, *_) = asked(ring, ATTACK)
    other = UnwrapRequest(request.recipients, request.key_length + 8, request.source)
    with closing(Forerunner(ring, [str(ATTACK)], 1)) as forerunner:
        until_foreseen(forerunner, request)
        assert forerunner.unwrap(other) == ring.unwrap(other)
        assert forerunner.foreseen == 1


def test_an_answer_is_the_same_for_every_source(ring: KeyRing) -> None:
    (request, *_) = asked(ring, ATTACK)
    elsewhere = UnwrapRequest(request.recipients, request.key_length, b"\x0a\0\0\1")
    with closing(Forerunner(ring, [str(ATTACK)], 1)) as forerunner:
        assert until_foreseen(forerunner, elsewhere) == ring.unwrap(request)


@pytest.mark.parametrize("content", [b"", b"no capture at all"])
def test_a_capture_that_cannot_be_read_foretells_nothing(
    ring: KeyRing, content: bytes, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.pcap"
    path.write_bytes(content)
    (request, *_) = asked(ring, ATTACK)
    with closing(Forerunner(ring, [str(path), str(tmp_path / "missing")], 2)) as forerunner:
        assert forerunner.unwrap(request) == ring.unwrap(request)
    assert capfd.readouterr() == ("", "")


def test_processes_that_are_killed_are_done_without(ring: KeyRing) -> None:
    requests = asked(ring, SEALED)
    with closing(Forerunner(ring, [str(SEALED)], 2)) as forerunner:
        for child in multiprocessing.active_children():
            assert child.pid is not None
            os.kill(child.pid, signal.SIGKILL)
            child.join(PATIENCE)
        assert [forerunner.unwrap(each) for each in requests] == [ring.unwrap(each) for each in requests]


def test_replay_says_the_same_with_others_ahead(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    captures = [str(each) for each in sorted(PCAPS.glob("*.pcap*"))]
    told, workers = [], []

    def noted(ring: KeyRing, paths: Sequence[str], number: int) -> Forerunner:
        workers.append(number)
        return Forerunner(ring, paths, number)

    monkeypatch.setattr(replay, "Forerunner", noted)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(4))
    for large in (1 << 40, 0):
        monkeypatch.setattr(replay, "LARGE", large)
        assert main(["replay", "--json", "--keys", str(KEYS), *captures]) == 1
        told.append(capsys.readouterr().out)
    assert told[0] == told[1]
    assert workers == [0, 3]
