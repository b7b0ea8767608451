"""Nothing accepted is forgotten: the daemon is killed at random instants, again and again."""

import base64
import hashlib
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from select import select

import pytest
import victim
from frames import invite, sdp, udp

from monitor.store.managed import Durability

ROOT = Path(__file__).parents[1]
BOB, ALICE, CHARLES = "192.0.2.5", "192.0.2.1", "192.0.2.66"
KILLS: dict[Durability, int] = {"process": 70, "power": 20}
"""A further ten, on a real queue, are in ``live/test_live_crash.py``."""
IN_FLIGHT = 60
"""Fresh calls that have no verdict yet."""
WAIT = 30.0
_CALL_ID = re.compile(rb"\r\nCall-ID: (\S+)\r\n")


def packet(number: int, call: str = "call", source: str = BOB) -> bytes:
    """The INVITE of a call with a key of its own."""
    key = base64.b64encode(hashlib.sha256(b"%d" % number).digest()[:30]).decode()
    return udp(source, ALICE, invite(sdp(key), f"{call}-{number}"))


class Line:
    """A daemon between callers and a callee; its queue and its callee outlive it."""

    def __init__(self, path: Path, durability: Durability, *prefix: str) -> None:
        self._caller, self._arrivals = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._callee, self._accepts = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._caller.setblocking(False)
        ends = self._arrivals.fileno(), self._accepts.fileno()
        self._nursery = subprocess.Popen(
            [*prefix, sys.executable, victim.__file__, str(path), durability, *map(str, ends)],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=ends,
            text=True,
        )
        self._daemon = 0
        self.sent = 0
        self.reached: list[int] = []
        """Calls whose INVITE reached the callee."""
        self.replayed: list[int] = []
        """Those whose key reached the callee in another call."""

    def start(self) -> None:
        assert self._nursery.stdin is not None
        self._nursery.stdin.write("\n")
        self._nursery.stdin.flush()
        self._daemon = int(self._told())

    def _told(self) -> str:
        assert self._nursery.stdout is not None
        return self._nursery.stdout.readline()

    def kill(self) -> None:
        """End the daemon by SIGKILL, then take in what had left it before."""
        os.kill(self._daemon, signal.SIGKILL)
        assert self._told() == "ended\n"
        self.take(0)

    def close(self) -> None:
        self.kill()
        self._nursery.communicate()
        for each in (self._caller, self._arrivals, self._callee, self._accepts):
            each.close()

    def send(self, octets: bytes) -> None:
        """Queue a packet as soon as there is room."""
        while True:
            try:
                self._caller.send(octets)
            except BlockingIOError:
                self.take(0.01)
            else:
                return

    def call(self) -> int:
        """A fresh call; its number."""
        self.send(packet(self.sent))
        self.sent += 1
        return self.sent - 1

    def replay(self, number: int, chance: random.Random) -> None:
        """The key of a call in another, from where it was or from elsewhere."""
        self.send(packet(number, "replay", chance.choice([BOB, CHARLES])))

    def take(self, seconds: float) -> bool:
        """Take in all that has reached the callee, waiting for the first; whether there was anything."""
        found = False
        while select([self._callee], [], [], 0 if found else seconds)[0]:
            found = True
            matched = _CALL_ID.search(self._callee.recv(65536))
            assert matched is not None
            name = matched[1].decode()
            calls = self.replayed if name.startswith("replay") else self.reached
            calls.append(int(name.rpartition("-")[2]))
        return found

    def load(self, verdicts: int) -> None:
        """Call and call again until so many more calls have reached the callee."""
        goal, unanswered = len(self.reached) + verdicts, 0
        while len(self.reached) < goal:
            if unanswered < IN_FLIGHT + verdicts:
                self.call()
                unanswered += 1
                self.take(0)
            else:
                assert self.take(WAIT), "the daemon rules on nothing"

    def settle(self) -> None:
        """Wait until all that was sent has been ruled on: the queue keeps its order."""
        last = self.call()
        while last not in self.reached[-1:]:
            assert self.take(WAIT), "the daemon rules on nothing"


@contextmanager
def line(path: Path, durability: Durability, *prefix: str) -> Iterator[Line]:
    """A line with a daemon on it."""
    made = Line(path, durability, *prefix)
    made.start()
    try:
        yield made
    finally:
        made.close()


@pytest.mark.parametrize("durability", KILLS)
def test_no_key_that_reached_the_callee_is_accepted_again_however_often_the_daemon_is_killed(
    tmp_path: Path, durability: Durability, capsys: pytest.CaptureFixture[str]
) -> None:
    chance = random.Random(20251123)
    with line(tmp_path / "associations.db", durability) as calls:
        for _ in range(KILLS[durability]):
            calls.load(chance.randint(1, 40))
            for _ in range(chance.randint(0, 200)):
                calls.take(0)  # until some instant of what follows
            calls.kill()
            calls.start()
            for number in chance.sample(calls.reached[-40:], min(5, len(calls.reached))):
                calls.replay(number, chance)
        for number in calls.reached.copy():
            calls.replay(number, chance)
        calls.settle()
    assert calls.replayed == []
    with capsys.disabled():
        print(
            f"\nkilled {KILLS[durability]} times ({durability}): 0 of {len(calls.reached)} keys"
            " that reached the callee were accepted in another call"
        )


def barriers(log: Path) -> tuple[int, int]:
    """Accepted packets in a log of strace, and how many of them left before what was written was synced."""
    logs: set[str] = set()
    unsynced: set[str] = set()
    accepted = early = 0
    for line in log.read_text().splitlines():
        matched = _SYSTEM_CALL.match(line)
        if matched is None:
            continue
        name, argument, result = matched.groups()
        if name == "openat" and "associations.db" in line and "-lock" not in line and "-shm" not in line:
            logs.add(result)
        elif name == "pwrite64" and argument in logs:
            unsynced.add(argument)
        elif name in ("fdatasync", "fsync"):
            unsynced.discard(argument)
        elif name == "sendto" and "INVITE" in line:
            accepted += 1
            early += bool(unsynced)
    return accepted, early


_SYSTEM_CALL = re.compile(r"\d+ +(\w+)\((\w+).*= (\d+)")


@pytest.mark.oracle
@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed (apt-get install strace)")
@pytest.mark.parametrize("durability", KILLS)
def test_what_a_loss_of_power_must_not_take_is_on_the_disk_before_its_verdict(
    tmp_path: Path, durability: Durability
) -> None:
    """The order of system calls, seen from outside; no power is lost here."""
    log = tmp_path / "calls.txt"
    trace = "trace=openat,pwrite64,fdatasync,fsync,sendto"
    with line(
        tmp_path / "associations.db", durability, "strace", "-f", "-s", "200", "-e", trace, "-o", str(log)
    ) as calls:
        calls.load(50)
    accepted, early = barriers(log)
    assert accepted > 25
    assert (early == 0) is (durability == "power")
