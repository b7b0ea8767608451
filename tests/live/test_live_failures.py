"""Each failure that can be rehearsed: what happens to packets meanwhile, and what comes after."""

import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from calls import make_stage, plain_invite, sealed_invite, unread
from daemon import PORT, Daemon
from namespaces import Host, Network, wait_until

from monitor.antireplay.ruling import Reason
from monitor.control.client import ControlClient

pytestmark = pytest.mark.live
MEDIA = b"\x80\x00" + bytes(170)
"""As RTP begins (RFC 3550 §5.1), which passes unjudged."""


class Scene:
    """Bob calls Alice, before whom a daemon stands that fails."""

    def __init__(self, network: Network, folder: Path) -> None:
        self.stage = make_stage("failures")
        self.alice, self.bob, self.charles = map(network.host, ("alice", "bob", "charles"))
        self.folder = folder
        self.phone = self.alice.socket(port=PORT)
        self.phone.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 21)
        self._callers = {self.bob: self.bob.socket(), self.charles: self.charles.socket()}

    def start(self, failure: str, *, bypass: bool = False, **options: Any) -> Daemon:
        """The rules and a daemon with this failure in force."""
        self.alice.queue(0, "-p", "udp", "--dport", str(PORT), bypass=bypass)
        self.daemon = Daemon(self.alice, self.folder, "--simulate-failure", failure, **options)
        return self.daemon

    def plain(self) -> bytes:
        """An INVITE with a fresh key in plain SDP."""
        return plain_invite(self.stage)

    def sealed(self) -> bytes:
        """An INVITE with a fresh key, signed and sealed."""
        return sealed_invite(self.stage)

    def send(self, octets: bytes, sender: Host | None = None) -> None:
        """One datagram to Alice, from Bob unless told otherwise."""
        self._callers[sender or self.bob].sendto(octets, self.phone.getsockname())

    def passes(self, octets: bytes, sender: Host | None = None) -> None:
        """See that a datagram arrives."""
        self.send(octets, sender)
        assert self.phone.recv(65536) == octets

    def received(self) -> list[bytes]:
        """All that has arrived and was not read."""
        return unread(self.phone)

    def status(self) -> dict[str, Any]:
        """What the daemon says of itself."""
        with ControlClient(self.folder / "control") as client:
            status: dict[str, Any] = client.ask("status")
        return status

    def end(self) -> None:
        """End the failure."""
        self.daemon.process.send_signal(signal.SIGUSR1)

    def told(self, text: str) -> bool:
        """Whether the log says so."""
        return text in self.daemon.log.read_text()

    def close(self) -> None:
        for each in (self.phone, *self._callers.values()):
            each.close()


@pytest.fixture
def scene(network: Network, tmp_path: Path) -> Iterator[Scene]:
    folder = tmp_path / "daemon"
    folder.mkdir()
    made = Scene(network, folder)
    yield made
    made.close()


@pytest.fixture(params=["netlink", "library"])
def reader(request: pytest.FixtureRequest) -> str:
    """The table of the configuration that chooses a reader."""
    return f'[queue]\nreader = "{request.param}"\n'


@pytest.mark.parametrize("fail_open", [False, True])
def test_a_full_queue_drops_or_lets_pass_as_configured(scene: Scene, reader: str, fail_open: bool) -> None:
    scene.start("queue-full", keys=None, tables=f"{reader}fail_open = {str(fail_open).lower()}\n")
    invites = [scene.plain() for _ in range(20)]
    for invite in invites:
        scene.send(invite)

    def account() -> tuple[int, int]:
        (queue,) = scene.status()["queues"]
        return queue["length"], queue["dropped"]

    wait_until(lambda: account() == (4, 0 if fail_open else 16), "the kernel's account")
    assert scene.status()["rehearsal"] == "queue-full"
    if fail_open:
        assert [scene.phone.recv(65536) for _ in invites[4:]] == invites[4:]
    assert scene.received() == []
    scene.end()
    assert sorted(scene.phone.recv(65536) for _ in range(4)) == sorted(invites[:4])
    scene.passes(scene.plain())
    wait_until(lambda: scene.daemon.rulings() == [Reason.FIRST_USE] * 5, "the rulings on what was not lost")


def test_a_receive_buffer_that_overflows_is_counted_and_ends_nothing(scene: Scene, reader: str) -> None:
    scene.start("enobufs", keys=None, tables=reader)
    invites = [scene.plain() for _ in range(100)]
    for invite in invites:
        scene.send(invite)
    wait_until(lambda: scene.status()["overruns"] > 0, "an overrun")
    scene.end()

    def lost() -> int:
        return int(scene.status()["queues"][0]["user_dropped"])

    wait_until(lambda: len(scene.daemon.rulings()) + lost() == 100, "what was not lost")
    assert lost() > 0
    arrived = scene.received()
    assert len(arrived) == 100 - lost()
    assert set(arrived) <= set(invites)
    scene.passes(scene.plain())


@pytest.mark.parametrize("bypass", [False, True])
def test_without_the_daemon_packets_are_dropped_or_pass_as_the_rules_say(scene: Scene, bypass: bool) -> None:
    scene.start("daemon-dead", keys=None, bypass=bypass)
    scene.send(scene.plain())
    assert scene.daemon.process.wait(10) == -signal.SIGKILL
    second = scene.plain()
    scene.send(second)
    if bypass:
        assert scene.phone.recv(65536) == second, "the first died with the daemon"
    again = Daemon(scene.alice, scene.folder, keys=None)
    third = scene.plain()
    scene.passes(third)
    wait_until(lambda: again.rulings() == [Reason.FIRST_USE], "the one ruling")


@pytest.mark.parametrize("outcome", ["deny", "accept"])
def test_without_its_store_the_policy_says_what_passes(scene: Scene, outcome: str) -> None:
    scene.start("store-gone", policy=f'[policy.exceptions]\nstore-unavailable = "{outcome}"')
    invite = scene.plain()
    scene.send(invite)
    wait_until(scene.daemon.events, "the exception")
    (event,) = scene.daemon.events()
    assert (event["exception"], event["outcome"]) == ("store-unavailable", outcome)
    assert scene.received() == ([invite] if outcome == "accept" else [])
    assert scene.status()["store"]["available"] is False
    scene.passes(b"no SIP at all")
    scene.end()
    scene.passes(invite)
    scene.send(invite, scene.charles)
    wait_until(lambda: Reason.SOURCE_CHANGED in scene.daemon.rulings(), "the denial")
    assert scene.received() == []


def test_without_its_keyholder_envelopes_are_told_apart_unopened(scene: Scene) -> None:
    scene.start("keyholder-dead")
    wait_until(lambda: scene.told("the keyholder has gone"), "its death")
    sealed = scene.sealed()
    scene.passes(sealed)
    scene.passes(scene.plain())
    scene.send(sealed, scene.charles)
    wait_until(lambda: len(scene.daemon.rulings()) == 3, "three rulings")
    assert scene.received() == []
    first, _, denied = [event for event in scene.daemon.events() if event["type"] == "ruling"]
    assert first["tiers"] == ["envelope"]
    assert denied["reason"] == "source-changed"
    assert scene.status()["keyholder"]["alive"] is False
    scene.end()
    wait_until(lambda: scene.status()["keyholder"]["alive"], "the keyholder's return", 30)
    assert scene.told("the keyholder is back")
    scene.passes(scene.sealed())
    wait_until(lambda: len(scene.daemon.rulings()) == 4, "the fourth ruling")
    assert scene.daemon.events()[-1]["tiers"] == ["envelope", "master-key"]


def test_a_keyholder_that_hangs_is_replaced_and_keeps_no_other_call_waiting(scene: Scene) -> None:
    scene.start("keyholder-hangs")
    scene.send(scene.sealed())
    wait_until(lambda: scene.status()["pending"]["key_work"] == 1, "the ask")
    scene.passes(scene.plain())
    scene.end()
    wait_until(lambda: scene.told("has not answered"), "its end", 30)
    wait_until(lambda: scene.told("the keyholder is back"), "its return", 30)
    scene.received()
    scene.passes(scene.sealed())


def test_media_lets_no_message_go_that_waits(scene: Scene, reader: str) -> None:
    scene.start("keyholder-hangs", tables=reader)
    scene.send(scene.sealed())
    wait_until(lambda: scene.status()["pending"]["key_work"] == 1, "the ask")
    scene.daemon.process.send_signal(signal.SIGSTOP)
    for _ in range(100):
        scene.send(MEDIA)
    scene.daemon.process.send_signal(signal.SIGCONT)
    assert [scene.phone.recv(65536) for _ in range(100)] == [MEDIA] * 100
    assert scene.status()["queues"][0]["length"] == 1
    assert scene.received() == []


def test_reloads_lose_nothing(scene: Scene, reader: str) -> None:
    scene.alice.queue(0, "-p", "udp", "--dport", str(PORT))
    daemon = Daemon(scene.alice, scene.folder, keys=None, tables=reader)
    sent = [scene.plain() if number % 10 == 0 else MEDIA + b"%d" % number for number in range(150)]
    for number, octets in enumerate(sent):
        scene.send(octets)
        if number % 15 == 0:
            daemon.process.send_signal(signal.SIGHUP)
    assert sorted(scene.phone.recv(65536) for _ in sent) == sorted(sent)
    assert scene.received() == []
    wait_until(lambda: scene.status()["queues"][0]["length"] == 0, "the queue's end")
    assert daemon.metric("replay_monitor_reloads_total", result="success") > 0


@pytest.mark.parametrize("outcome", ["deny", "accept"])
def test_an_overload_of_key_work_is_what_the_policy_says(scene: Scene, outcome: str) -> None:
    scene.start("overload", policy=f'[policy.exceptions]\noverload = "{outcome}"')
    sealed = scene.sealed()
    scene.send(sealed)
    scene.passes(scene.plain()) if outcome == "deny" else None
    wait_until(
        lambda: [e for e in scene.daemon.events() if e.get("exception") == "overload"], "the exception"
    )
    if outcome == "accept":
        assert scene.phone.recv(65536) == sealed
        scene.send(sealed, scene.charles)
        wait_until(lambda: Reason.SOURCE_CHANGED in scene.daemon.rulings(), "the denial, by the envelope")
    assert scene.received() == []
    scene.passes(scene.plain())
    scene.end()
    scene.passes(scene.sealed())


def test_malformed_netlink_gets_no_verdict_and_ends_nothing(scene: Scene, reader: str) -> None:
    scene.start("netlink-malformed", keys=None, tables=reader)
    scene.send(scene.plain())
    wait_until(lambda: scene.status()["malformed_netlink"] == 1, "the message")
    assert scene.received() == []
    scene.end()
    scene.passes(scene.plain())
    for _ in range(100):
        scene.passes(MEDIA)
    assert scene.received() == []
    assert scene.status()["queues"][0]["length"] == 1
    assert scene.daemon.metric("replay_monitor_netlink_malformed_total") == 1
    assert scene.daemon.stop() == 0


def test_a_burst_of_sealed_invites_from_one_trunk_passes_whole(scene: Scene) -> None:
    scene.alice.queue(0, "-p", "udp", "--dport", str(PORT))
    daemon = Daemon(scene.alice, scene.folder)
    scene.phone.setsockopt(socket.SOL_SOCKET, 33, 1 << 24)  # SO_RCVBUFFORCE
    invites = [scene.sealed() for _ in range(600)]
    for invite in invites:
        scene.send(invite)
    received = [scene.phone.recv(65536) for _ in invites]
    assert sorted(received) == sorted(invites)
    wait_until(lambda: daemon.rulings() == [Reason.FIRST_USE] * 600, "all rulings")
