"""A booted machine that runs the service, and those who call through it."""

import json
import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from calls import make_stage, meanwhile, plain_invite, sealed_invite, unread
from daemon import KEYS, PORT
from machine import Machine, ThisMachine, is_this_one, unavailable
from namespaces import Host, Network, wait_until
from namespaces import unavailable as no_network

UNIT = "replay-monitor.service"
CONFIG = "/etc/replay-monitor/replay-monitor.toml"
SO_RCVBUFFORCE = 33
SPACING = 0.004
"""Seconds between two packets of a steady stream of calls."""


class Town:
    """Alice, whose machine runs the service, and those who call her."""

    def __init__(self, network: Network, folder: Path) -> None:
        self.alice, self.bob, self.charles = map(network.host, ("alice", "bob", "charles"))
        self.stage = make_stage("booted")
        self._pick_up()
        self.callers = {self.bob: self.bob.socket(), self.charles: self.charles.socket()}
        self.machine = ThisMachine(self.alice) if is_this_one() else Machine(self.alice, folder)

    def _pick_up(self) -> None:
        self.phone = self.alice.socket(port=PORT)
        self.phone.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 24)

    @contextmanager
    def lending(self) -> Iterator[None]:
        """Another program has the port of Alice's phone meanwhile."""
        self.phone.close()
        try:
            yield
        finally:
            self._pick_up()

    def plain(self) -> bytes:
        """An INVITE with a fresh key in plain SDP."""
        return plain_invite(self.stage)

    def sealed(self) -> bytes:
        """An INVITE with a fresh key, signed and sealed for Alice."""
        return sealed_invite(self.stage)

    def send(self, octets: bytes, sender: Host | None = None) -> None:
        """One datagram to Alice, from Bob unless told otherwise."""
        self.callers[sender or self.bob].sendto(octets, self.phone.getsockname())

    def passes(self, octets: bytes) -> None:
        """See that a call gets through."""
        self.send(octets)
        assert self.phone.recv(65536) == octets

    def denied(self, octets: bytes, reason: str) -> None:
        """See that Charles does not get through with what he recorded."""
        before = len(self.machine.journal(f"REPLAY_MONITOR_REASON={reason}"))
        self.send(octets, self.charles)
        wait_until(
            lambda: len(self.machine.journal(f"REPLAY_MONITOR_REASON={reason}")) > before,
            f"a denial: {reason}",
        )
        assert self.arrived() == []

    def arrived(self) -> list[bytes]:
        """All that has arrived and was not read."""
        return unread(self.phone)

    @contextmanager
    def calling(self) -> Iterator[list[bytes]]:
        """Bob calls all the time, each time with a fresh key: the INVITEs that he has sent."""
        sent: list[bytes] = []

        def call() -> None:
            invite = self.plain()
            self.send(invite)
            sent.append(invite)

        with meanwhile(call, SPACING):
            yield sent

    def further(self, sent: list[bytes], count: int) -> None:
        """Let ``count`` further calls be sent."""
        enough = len(sent) + count
        wait_until(lambda: len(sent) >= enough, "further calls")

    def all_arrived(self, sent: list[bytes]) -> None:
        """See that none of these calls was lost."""
        arrived: list[bytes] = []

        def complete() -> bool:
            arrived.extend(self.arrived())
            return len(arrived) >= len(sent)

        wait_until(complete, f"{len(sent)} calls")
        assert sorted(arrived) == sorted(sent)

    def all_arrive_if_sent_again(self, sent: list[bytes]) -> None:
        """See that none of these calls is lost for good: what has not arrived is sent again, as phones do."""
        missing = set(sent).difference(self.arrived())

        def complete() -> bool:
            missing.difference_update(self.arrived())
            return not missing

        for _ in range(10):
            for each in missing:
                self.send(each)
            with suppress(AssertionError):
                wait_until(complete, "all calls", 1)
                break
        assert not missing, f"{len(missing)} of {len(sent)} calls do not arrive"
        wait_until(lambda: not self.machine.status()["queues"][0]["length"], "what was sent twice", 30)
        self.arrived()

    def pid(self) -> str:
        """The daemon's process, as the machine counts."""
        return self.machine.show(UNIT, "MainPID")

    def up_again(self, before: str) -> None:
        """Wait for another daemon than ``before``, ready to rule."""
        machine = self.machine
        wait_until(
            lambda: machine.show(UNIT, "ActiveState") == "active" and self.pid() not in (before, "0"),
            "the daemon's return", 60,
        )  # fmt: skip

    def configure(self, old: str, new: str) -> None:
        """Edit the configuration."""
        file = self.machine.path(CONFIG)
        assert old in file.read_text()
        file.write_text(file.read_text().replace(old, new))

    def events(self) -> list[dict[str, Any]]:
        """All that the daemons have told in their file."""
        lines = self.machine.path("/var/log/replay-monitor/events.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]

    def rulings(self, host: Host) -> Counter[str]:
        """How often what a host sent was accepted, and how often denied."""
        return Counter(
            str(event["verdict"])
            for event in self.events()
            if event["type"] == "ruling" and event["source"] == host.address
        )

    def prepare(self) -> None:
        """Give the service keys, check what it is configured with, and start it."""
        machine = self.machine
        for key in KEYS.glob("*.pem"):
            machine.path(f"/etc/replay-monitor/keys/{key.name}").write_bytes(key.read_bytes())
        machine.run("sh", "-c", "chmod 600 /etc/replay-monitor/keys/*")
        machine.run("replay-monitor", "check-config")
        machine.run("systemctl", "enable", "--now", UNIT, "replay-monitor-rules.service")

    def close(self) -> None:
        """Hang up, and switch the machine off."""
        self.phone.close()
        for caller in self.callers.values():
            caller.close()
        self.machine.close()


@contextmanager
def town(folder: Path) -> Iterator[Town]:
    """A town with a machine that was just booted; skips where none can be."""
    reason = no_network() or unavailable()
    if reason:
        pytest.skip(f"a booted system: {reason}")
    network = Network()
    made: Town | None = None
    try:
        made = Town(network, folder)
        yield made
    finally:
        if made is not None:
            made.close()
        network.close()
