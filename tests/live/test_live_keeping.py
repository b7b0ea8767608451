"""The daemon on a real queue while it is reloaded and killed, and while its disk is full."""

import base64
import hashlib
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from calls import meanwhile
from daemon import PORT, Daemon
from frames import invite, sdp
from namespaces import Host, Network, wait_until

pytestmark = pytest.mark.live
KILLS = 10
"""Further ones, on a queue that the test plays, are in ``test_crash.py``."""
SO_RCVBUFFORCE = 33


def call(number: int, name: str = "call", method: str = "INVITE", cseq: int = 1) -> bytes:
    """The INVITE of a call with a key of its own, or another of its requests."""
    key = base64.b64encode(hashlib.sha256(b"%d" % number).digest()[:30]).decode()
    return invite(sdp(key), f"{name}-{number}", method=method, cseq=cseq)


class Callee:
    """A phone behind the daemon, and what has reached it."""

    def __init__(self, host: Host) -> None:
        host.queue(0, "-p", "udp", "--dport", str(PORT))
        self.socket = host.socket(port=PORT)
        self.socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 26)
        self.socket.setblocking(False)
        self.address = self.socket.getsockname()
        self._reached: list[str] = []

    @property
    def reached(self) -> list[str]:
        """The Call-IDs of all that it has received."""
        with suppress(BlockingIOError):
            while True:
                message = self.socket.recv(65536)
                self._reached.append(message.split(b"Call-ID: ")[1].split(b"\r")[0].decode())
        return self._reached

    @property
    def numbers(self) -> list[int]:
        """Of the calls among them; none may be a replay."""
        names = [name.split("-") for name in self.reached]
        assert {name for name, _ in names} <= {"call"}
        return [int(number) for _, number in names]


@contextmanager
def calling(caller: socket.socket, callee: Callee) -> Iterator[list[int]]:
    """Fresh calls all the while, one each millisecond; the numbers of those made so far."""
    made: list[int] = []

    def make() -> None:
        caller.sendto(call(len(made)), callee.address)
        made.append(len(made))

    with meanwhile(make, 0.001):
        yield made


def reaches(value: Callable[[], float], goal: float, what: str, daemon: Daemon) -> None:
    """Wait until a value that grows is at its goal."""
    wait_until(lambda: value() >= goal, what, 20, daemon.process)


def denials(daemon: Daemon) -> float:
    """Keys that a daemon found to be used in another call."""
    return daemon.metric("replay_monitor_rulings_total", reason="key-reused")


def test_a_reload_under_load_loses_no_packet(network: Network, folder: Path) -> None:
    alice, bob = network.host("alice"), network.host("bob")
    callee, caller = Callee(alice), bob.socket()
    daemon = Daemon(alice, folder, keys=None)
    good = daemon.config.read_text()
    bad = good.replace("[policy]", "[policy]\nstrict = 1")

    def reloads() -> float:
        return daemon.metric("replay_monitor_reloads_total")

    with calling(caller, callee) as made:
        for turn in range(6):
            reaches(lambda: len(made), len(made) + 30, "some load", daemon)
            daemon.config.write_text(good if turn % 2 else bad)
            daemon.process.send_signal(signal.SIGHUP)
            reaches(reloads, turn + 1, "a reload", daemon)
    reaches(lambda: len(callee.reached), len(made), "every packet", daemon)
    assert sorted(callee.numbers) == made
    log = daemon.log.read_text()
    assert log.count("the reload failed, all goes on as before: ") == 3
    assert log.count("policy.strict: must be true or false, is 1") == 3
    assert log.count("reloaded: policies none but the default") == 3


def test_policies_are_chosen_by_mark_interface_and_method(network: Network, folder: Path) -> None:
    alice, bob, charles = (network.host(name) for name in ("alice", "bob", "charles"))
    callee, caller, roaming = Callee(alice), bob.socket(), charles.socket()
    mark = ("-t", "mangle", "-A", "PREROUTING", "-s", charles.address, "-j", "MARK", "--set-mark", "0x13")
    alice.run("iptables", "-w", *mark)
    policies = folder / "policies"
    policies.mkdir()
    for name, match, policy in (
        ("10-marked", 'mark = "0x10/0xf0"\nmethod = "INVITE"', "moves = true"),
        ("20-inside", 'interface = "eth0"', ""),
        ("30-never", 'interface = "eth7"', ""),
    ):
        text = f'[match]\n{match}\n[policy]\noriginator = "ignore"\n{policy}\n'
        (policies / f"{name}.toml").write_text(text)
    daemon = Daemon(alice, folder, keys=None, policies=policies)
    story = (
        (caller, call(1), "20-inside", "first-use"),
        (roaming, call(1, method="UPDATE", cseq=2), "20-inside", "source-changed"),
        (roaming, call(1, cseq=2), "10-marked", "moved"),
        (caller, call(1, cseq=3), "20-inside", "source-changed"),
    )
    for index, (sender, message, _, _) in enumerate(story):
        sender.sendto(message, callee.address)
        reaches(lambda: len(daemon.events()), index + 1, "the ruling", daemon)
    assert [(event["policy"], event["reason"]) for event in daemon.events()] == [each[2:] for each in story]


def test_no_key_that_reached_the_phone_is_accepted_again_after_kills(
    network: Network, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    alice, bob, charles = (network.host(name) for name in ("alice", "bob", "charles"))
    callee, caller, attacker = Callee(alice), bob.socket(), charles.socket()
    with calling(caller, callee):
        for _ in range(KILLS):
            daemon = Daemon(alice, folder, keys=None)
            reaches(lambda: len(callee.reached), len(callee.reached) + 30, "calls", daemon)
            daemon.stop(signal.SIGKILL)
    daemon = Daemon(alice, folder, keys=None)
    numbers = callee.numbers.copy()
    for index, number in enumerate(numbers):
        sender = attacker if index % 2 else caller
        sender.sendto(call(number, "replay"), callee.address)
    reaches(lambda: denials(daemon), len(numbers), "denials", daemon)
    assert callee.numbers == numbers
    with capsys.disabled():
        print(
            f"\nkilled {KILLS} times (process, on a real queue): 0 of {len(numbers)} keys"
            " that reached the callee were accepted in another call"
        )


def test_while_the_disk_is_full_nothing_is_accepted_and_nothing_is_forgotten(
    network: Network, folder: Path
) -> None:
    alice, bob, charles = (network.host(name) for name in ("alice", "bob", "charles"))
    callee, caller, attacker = Callee(alice), bob.socket(), charles.socket()
    disk = folder / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", str(disk)], check=True)
    try:
        daemon = Daemon(alice, folder, keys=None, store=disk)

        def refused() -> list[str]:
            return [event["call_id"] for event in daemon.events() if "exception" in event]

        with calling(caller, callee) as made:
            reaches(lambda: len(refused()), 20, "a full disk", daemon)
        reaches(lambda: len(daemon.events()), len(made), "all verdicts", daemon)
        told = [event for event in daemon.events() if "exception" in event]
        assert {event["exception"] for event in told} == {"store-unavailable"}
        assert "disk is full; make room" in told[0]["detail"]
        reaches(lambda: len(callee.reached), len(made) - len(told), "what was accepted", daemon)
        assert not set(callee.reached) & set(refused())
        subprocess.run(["mount", "-o", "remount,size=20m", str(disk)], check=True)
        numbers = callee.numbers.copy()
        for number in numbers:
            attacker.sendto(call(number, "replay"), callee.address)
        reaches(lambda: denials(daemon), len(numbers), "denials", daemon)
        caller.sendto(call(10**6), callee.address)
        reaches(lambda: len(callee.reached), len(numbers) + 1, "a call with room on the disk", daemon)
        assert callee.numbers == [*numbers, 10**6]
        assert daemon.stop() == 0
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)
