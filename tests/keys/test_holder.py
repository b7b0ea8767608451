"""The keyholder: answers, turns, death, and what it has given up."""

import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from smime_material import material

from monitor.cms.enveloped import Algorithm, Recipient
from monitor.keys import holder
from monitor.keys.error import KeyStoreError
from monitor.keys.holder import KeyHolder
from monitor.keys.request import UnwrapAnswer, UnwrapRequest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the keyholder is for Linux")
DEADLINE = 20.0
SECRET = bytes(range(16))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "keys"
    path.mkdir()
    for file in (material()["rsa"].key_file, material()["rsa"].certificate_file):
        (path / file.name).write_bytes(file.read_bytes())
        (path / file.name).chmod(0o600)
    return path


@contextmanager
def running(
    folder: Path, workers: int = 1, pending: int = 4096, pending_source: int = 2048
) -> Iterator[KeyHolder]:
    held = KeyHolder(folder, workers=workers, pending=pending, pending_source=pending_source)
    try:
        yield held
    finally:
        held.close()


def wrapped(source: bytes = b"") -> UnwrapRequest:
    party = material()["rsa"]
    public = party.key.public_key()
    assert isinstance(public, rsa.RSAPublicKey)
    recipient = Recipient(
        "ktri",
        public.encrypt(SECRET, padding.PKCS1v15()),
        Algorithm("1.2.840.113549.1.1.1"),
        party.certificate.issuer.public_bytes(),
        party.certificate.serial_number,
    )
    return UnwrapRequest((recipient,), 16, source)


def collect(held: KeyHolder, count: int) -> list[tuple[int, UnwrapAnswer]]:
    answers: list[tuple[int, UnwrapAnswer]] = []
    until = time.monotonic() + DEADLINE
    while len(answers) < count and time.monotonic() < until:
        if held.alive:
            select.select([held], [], [], 1)
        answers += held.receive()
    return answers


def until_alive(held: KeyHolder) -> None:
    until = time.monotonic() + DEADLINE
    while not held.alive:
        assert time.monotonic() < until, held.trouble
        select.select([held], [], [], 1)
        assert held.receive() == []


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


def workers_of(held: KeyHolder, count: int = 1) -> list[int]:
    parent = held._process.pid
    children = Path(f"/proc/{parent}/task/{parent}/children")
    wait_for(lambda: len(children.read_text().split()) == count)
    return [int(pid) for pid in children.read_text().split()]


def running_still(pid: int) -> bool:
    """Whether a process is there; one that ended and was not waited for does not count."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def test_answers(folder: Path) -> None:
    with running(folder, workers=2) as held:
        assert held.directory.held(wrapped().recipients[0])
        assert held.warnings == ()
        for number in range(20):
            assert held.send(number, wrapped())
        assert len(held) == 20
        answers = collect(held, 20)
        assert sorted(number for number, _ in answers) == list(range(20))
        assert {answer.key for _, answer in answers} == {SECRET}
        assert len(held) == 0


def test_what_is_not_held_is_answered(folder: Path) -> None:
    with running(folder) as held:
        unknown = Recipient("ktri", b"\1" * 256, Algorithm("1.2.840.113549.1.1.1"), b"\x30\0", 1)
        assert held.send(7, UnwrapRequest((unknown,), 16))
        assert collect(held, 1) == [(7, UnwrapAnswer(None))]


def test_sources_take_turns_and_have_limits(folder: Path) -> None:
    with running(folder, pending_source=100) as held:
        busy, calm = b"\x0a\0\0\1", b"\x0a\0\0\2"
        taken = [held.send(number, wrapped(busy)) for number in range(105)]
        assert taken.count(True) == 100
        assert held.refused == 5
        assert held.send(10_000, wrapped(calm))
        answers = collect(held, 101)
        place = [number for number, _ in answers].index(10_000)
        assert place < 6
        assert held.send(1, wrapped(busy))


def test_the_queue_is_bounded(folder: Path) -> None:
    with running(folder, pending=8) as held:
        taken = [held.send(number, wrapped(bytes((number,)) * 4)) for number in range(10)]
        assert taken == [True] * 8 + [False] * 2
        assert len(collect(held, 8)) == 8


def test_a_crowd_makes_room_for_who_comes_alone(folder: Path) -> None:
    with running(folder, pending=6) as held:
        assert all(held.send(number, wrapped(b"\x0a\0\0\1")) for number in range(6))
        assert held.send(10, wrapped(b"\x0a\0\0\2"))
        answers = dict(collect(held, 7))
        assert answers[5] == UnwrapAnswer(None, refused=True)
        assert answers[10] == UnwrapAnswer(SECRET)
        assert [answer.refused for answer in answers.values()].count(True) == held.refused == 1


def test_requests_that_are_too_large_are_refused(folder: Path) -> None:
    with running(folder) as held:
        large = Recipient("ktri", bytes(70_000), Algorithm("1.2.840.113549.1.1.1"), b"\x30\0", 1)
        assert not held.send(1, UnwrapRequest((large,), 16))
        assert held.send(2, wrapped())
        assert collect(held, 1) == [(2, UnwrapAnswer(SECRET))]


@pytest.mark.parametrize("victim", ["worker", "parent"])
def test_death_is_noticed_and_nothing_waits_for_ever(folder: Path, victim: str) -> None:
    with running(folder, workers=2) as held:
        workers = workers_of(held, 2)
        for number in range(30):
            held.send(number, wrapped())
        os.kill(workers[0] if victim == "worker" else held._process.pid, signal.SIGKILL)
        answers = collect(held, 30)
        assert sorted(number for number, _ in answers) == list(range(30))
        until = time.monotonic() + DEADLINE
        while held.alive and time.monotonic() < until:
            select.select([held], [], [], 1)
            held.receive()
        assert not held.alive
        assert not held.send(31, wrapped())
        assert held.receive() == []
        held.restart()
        assert not held.alive, "the daemon goes on meanwhile"
        held.restart()
        until_alive(held)
        assert held.send(32, wrapped())
        assert collect(held, 1) == [(32, UnwrapAnswer(SECRET))]
        wait_for(lambda: not any(map(running_still, workers)))


def test_signals_to_the_group_do_not_end_it(folder: Path) -> None:
    with running(folder) as held:
        for pid in (held._process.pid, *workers_of(held)):
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                os.kill(pid, number)
        assert held.send(1, wrapped())
        assert collect(held, 1) == [(1, UnwrapAnswer(SECRET))]


def test_it_ends_when_closed(folder: Path) -> None:
    held = KeyHolder(folder, workers=2)
    workers = workers_of(held, 2)
    held.close()
    assert held._process.returncode == 0
    assert not held.alive
    assert not any(map(running_still, workers))


def test_wrong_keys_are_told(tmp_path: Path) -> None:
    (tmp_path / "x.kek").write_text("nonsense")
    with pytest.raises(KeyStoreError, match=r"x\.kek:1"):
        KeyHolder(tmp_path)
    with pytest.raises(KeyStoreError, match="no such directory"):
        KeyHolder(tmp_path / "nowhere")


def test_keys_that_are_wrong_when_it_restarts_are_told_and_can_be_mended(folder: Path) -> None:
    with running(folder) as held:
        assert held.send(1, wrapped())
        collect(held, 1)
        (folder / "x.kek").write_text("nonsense")
        held.kill()
        wait_for(lambda: held.receive() == [] and not held.alive)
        held.restart()
        wait_for(lambda: held.receive() == [] and bool(held.trouble))
        assert "x.kek:1" in held.trouble
        assert not held.alive
        (folder / "x.kek").unlink()
        held.restart()
        until_alive(held)
        assert held.trouble == ""
        assert held.send(2, wrapped())
        assert collect(held, 1) == [(2, UnwrapAnswer(SECRET))]


def test_one_that_hangs_can_be_ended(folder: Path) -> None:
    with running(folder) as held:
        for pid in (held._process.pid, *workers_of(held)):
            os.kill(pid, signal.SIGSTOP)
        assert held.send(1, wrapped())
        held.kill()
        assert collect(held, 1) == [(1, UnwrapAnswer(None))]
        assert not held.alive


def test_one_that_does_not_start_in_time_is_started_anew(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(folder) as held:
        held.kill()
        wait_for(lambda: held.receive() == [] and not held.alive)
        monkeypatch.setattr(holder, "START_SECONDS", 0)
        held.restart()
        held.restart()
        assert not held.alive
        monkeypatch.setattr(holder, "START_SECONDS", DEADLINE)
        held.restart()
        held.restart()
        until_alive(held)


def test_one_that_has_just_started_is_kept(folder: Path) -> None:
    with running(folder) as held:
        held.kill()
        wait_for(lambda: held.receive() == [] and not held.alive)
        held.restart()
        started = held._process.pid
        while not held.alive:
            assert select.select([held], [], [], DEADLINE)[0], held.trouble
            held.restart()
        assert held._process.pid == started
        assert held.send(1, wrapped())
        assert collect(held, 1) == [(1, UnwrapAnswer(SECRET))]


def test_it_is_confined(folder: Path) -> None:
    with running(folder) as held:
        held.send(1, wrapped())
        collect(held, 1)
        (worker,) = workers_of(held)
        status = dict(
            line.split(":\t", 1)
            for line in Path(f"/proc/{worker}/status").read_text().splitlines()
            if ":\t" in line
        )
        assert status["NoNewPrivs"] == "1"
        if os.uname().machine in ("x86_64", "aarch64"):
            assert status["Seccomp"] == "2"
        limits = Path(f"/proc/{worker}/limits").read_text()
        for limit in ("Max core file size", "Max open files", "Max file size", "Max processes"):
            (line,) = [line for line in limits.splitlines() if line.startswith(limit)]
            assert line[len(limit) :].split()[:2] == ["0", "0"]
        descriptors = [str(path.readlink()) for path in Path(f"/proc/{worker}/fd").iterdir()]
        assert sum(target.startswith("socket:") for target in descriptors) == 1
        assert not any("keys" in target for target in descriptors)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can change the user")
def test_it_becomes_another_user(folder: Path) -> None:
    held = KeyHolder(folder, user="nobody")
    try:
        (worker,) = workers_of(held)
        for pid in (worker, held._process.pid):
            (line,) = [
                line
                for line in Path(f"/proc/{pid}/status").read_text().splitlines()
                if line.startswith("Uid:")
            ]
            assert "0" not in line.split()[1:]
        assert held.send(1, wrapped())
        assert collect(held, 1) == [(1, UnwrapAnswer(SECRET))]
    finally:
        held.close()
    with pytest.raises(KeyStoreError, match="confined"):
        KeyHolder(folder, user="no-such-user")
