"""The service under a real systemd, as an operator installs and runs it: a machine is booted for it once.

The tests follow one another on that machine. ``make test-systemd`` makes the tree that is booted.
"""

import json
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from daemon import KEYS, PORT, ROOT
from machine import Machine, unavailable
from namespaces import Host, Network, wait_until
from namespaces import unavailable as no_network
from wheel import build_wheel

from monitor.simulate import keyring
from monitor.simulate.party import ALICE, BOB
from monitor.simulate.stage import Setting, Stage

pytestmark = [pytest.mark.live, pytest.mark.booted]
UNIT = "replay-monitor.service"
CONFIG = "/etc/replay-monitor/replay-monitor.toml"
SPACING = 0.004
"""Seconds between two packets of a steady stream of calls."""


class Town:
    """Alice, whose machine runs the service, and those who call her."""

    def __init__(self, network: Network, folder: Path) -> None:
        self.alice, self.bob, self.charles = map(network.host, ("alice", "bob", "charles"))
        self._stage = Stage(Setting(keyring.load(ROOT / "pcaps" / "keys")), "booted")
        self.phone = self.alice.socket(port=PORT)
        self.phone.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self.callers = {self.bob: self.bob.socket(), self.charles: self.charles.socket()}
        self.machine = Machine(self.alice, folder)

    def plain(self) -> bytes:
        """An INVITE with a fresh key in plain SDP."""
        return self._stage.call(BOB, ALICE).invite(self._stage.plain(BOB)).octets()

    def sealed(self) -> bytes:
        """An INVITE with a fresh key, signed and sealed for Alice."""
        body = self._stage.sealed(self._stage.plain(BOB), "bob", "alice")
        return self._stage.call(BOB, ALICE).invite(body).octets()

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
        self.phone.setblocking(False)
        arrived = []
        try:
            while True:
                arrived.append(self.phone.recv(65536))
        except BlockingIOError:
            return arrived
        finally:
            self.phone.settimeout(5)

    @contextmanager
    def calling(self) -> Iterator[list[bytes]]:
        """Bob calls all the time, each time with a fresh key: the INVITEs that he has sent."""
        sent: list[bytes] = []
        done = threading.Event()

        def call() -> None:
            while not done.wait(SPACING):
                invite = self.plain()
                self.send(invite)
                sent.append(invite)

        thread = threading.Thread(target=call)
        thread.start()
        try:
            yield sent
        finally:
            done.set()
            thread.join()

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


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """The machine with the wheel of this checkout in it, installed and started."""
    reason = no_network() or unavailable()
    if reason:
        pytest.skip(f"a booted system: {reason}")
    network = Network()
    made: Town | None = None
    try:
        made = Town(network, tmp_path_factory.mktemp("machine"))
        wheel = build_wheel(tmp_path_factory.mktemp("wheel"))
        machine = made.machine
        _bring(machine, wheel)
        machine.run("replay-monitor", "install")
        for key in KEYS.glob("*.pem"):
            machine.path(f"/etc/replay-monitor/keys/{key.name}").write_bytes(key.read_bytes())
        machine.run("sh", "-c", "chmod 600 /etc/replay-monitor/keys/*")
        machine.run("replay-monitor", "check-config")
        machine.run("systemctl", "enable", "--now", UNIT, "replay-monitor-rules.service")
        yield made
    finally:
        if made is not None:
            made.phone.close()
            for caller in made.callers.values():
                caller.close()
            made.machine.close()
        network.close()


def _bring(machine: Machine, wheel: Path) -> None:
    """Put a wheel into the machine's environment, in place of the one before."""
    target = machine.path(f"/root/{wheel.name}")
    target.write_bytes(wheel.read_bytes())
    pip = ("/opt/replay-monitor/bin/pip", "--quiet", "--disable-pip-version-check", "install")
    machine.run(*pip, "--no-index", "--no-deps", "--force-reinstall", f"/root/{wheel.name}", timeout=120)
    target.unlink()


def test_it_runs_confined_with_keys_that_only_it_can_read(town: Town) -> None:
    machine = town.machine
    assert machine.show(UNIT, "ActiveState") == "active"
    assert machine.show(UNIT, "StatusText").endswith("packets, 0 of them dropped")
    assert machine.run("systemctl", "--failed", "--quiet", "list-units").stdout == ""
    told = machine.run("systemd-analyze", "security", "--no-pager", UNIT).stdout.splitlines()[-1]
    assert float(told.partition(": ")[2].split()[0]) <= 1.5
    status = machine.run("cat", f"/proc/{town.pid()}/status").stdout
    assert "CapEff:\t0000000000001000" in status
    assert "NoNewPrivs:\t1" in status
    credentials = machine.run("ls", "-l", f"/run/credentials/{UNIT}").stdout
    assert "-r--r-----" in credentials or "-r--------" in credentials
    stranger = ("setpriv", "--reuid=nobody", "--clear-groups")
    assert machine.run(*stranger, "ls", f"/run/credentials/{UNIT}", check=False).returncode != 0
    assert machine.status()["keyholder"]["keys"] > 0
    (queue,) = machine.status()["queues"]
    assert queue["length"] == 0, "the kernel's account is there to read"


def test_calls_get_through_and_an_attack_does_not(town: Town) -> None:
    machine = town.machine
    sealed, plain = town.sealed(), town.plain()
    town.passes(sealed)
    town.passes(plain)
    town.passes(plain)
    town.denied(sealed, "source-changed")
    town.denied(plain.replace(b"Call-ID: ", b"Call-ID: x"), "key-reused")
    entry = machine.journal("REPLAY_MONITOR_REASON=key-reused")[-1]
    assert entry["SYSLOG_IDENTIFIER"] == "replay-monitor"
    assert entry["_SYSTEMD_UNIT"] == UNIT
    assert entry["PRIORITY"] == "4"
    assert entry["REPLAY_MONITOR_SOURCE"] == town.charles.address
    assert entry["REPLAY_MONITOR_VERDICT"] == "deny"
    assert len(entry["REPLAY_MONITOR_SPI"]) == 8
    assert entry["MESSAGE"].startswith("denied INVITE sip:alice@example.org")
    spi = entry["REPLAY_MONITOR_SPI"]
    assert town.bob.address in machine.run("replay-monitor", "associations", "show", spi).stdout
    assert "deny key-reused" in machine.run("replay-monitor", "alerts").stdout
    tiers = [r["tiers"] for r in _events(machine) if r["type"] == "ruling" and r["verdict"] == "accept"]
    assert ["envelope", "master-key"] in tiers, "the keys of LoadCredential open envelopes"


def _events(machine: Machine) -> list[dict[str, object]]:
    lines = machine.path("/var/log/replay-monitor/events.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def test_strangers_on_the_machine_are_told_that_they_may_not_ask(town: Town) -> None:
    stranger = ("setpriv", "--reuid=nobody", "--clear-groups")
    asked = town.machine.run(*stranger, "replay-monitor", "status", check=False)
    assert asked.returncode == 2
    assert "nobody (uid 65534" in asked.stderr
    assert "may not ask" in asked.stderr


def test_reloads_lose_no_packet(town: Town) -> None:
    machine = town.machine
    pid = town.pid()
    with town.calling() as sent:
        for text in ("moves = true", "moves = maybe", "moves = false"):
            machine.path(CONFIG).write_text(
                "".join(
                    f"{text}\n" if line.startswith(("moves", "#moves")) else line
                    for line in machine.path(CONFIG).read_text().splitlines(keepends=True)
                )
            )
            machine.run("systemctl", "reload", UNIT)
            town.further(sent, 50)
    town.all_arrived(sent)
    assert town.pid() == pid
    assert any("the reload failed" in entry["MESSAGE"] for entry in machine.journal(f"_PID={pid}"))
    assert machine.show(UNIT, "ActiveState") == "active"


def test_a_flood_of_replays_costs_no_call(town: Town) -> None:
    recorded = town.plain()
    town.passes(recorded)
    attacker, phone = town.callers[town.charles], town.phone.getsockname()
    with town.calling() as sent:
        until = time.monotonic() + 3
        floods = 0
        while time.monotonic() < until:
            for _ in range(20):
                attacker.sendto(recorded, phone)
            floods += 20
            time.sleep(0.01)
        town.further(sent, 20)
    town.all_arrived(sent)
    rulings = {each["reason"]: each["count"] for each in town.machine.status()["rulings"]}
    assert rulings["source-changed"] >= floods
    assert town.machine.status()["queues"][0]["dropped"] == 0


def test_a_killed_daemon_is_back_with_all_that_it_knew(town: Town) -> None:
    recorded = town.sealed()
    town.passes(recorded)
    before = town.pid()
    town.machine.run("kill", "-KILL", before)
    town.send(town.plain())
    town.up_again(before)
    assert town.arrived() == [], "without the daemon nothing passes: the rules say so"
    town.denied(recorded, "source-changed")
    town.passes(town.plain())


def test_a_killed_keyholder_is_back_and_the_daemon_goes_on(town: Town) -> None:
    machine, before = town.machine, town.pid()
    children = machine.run("cat", f"/proc/{before}/task/{before}/children").stdout.split()
    with town.calling() as sent:
        machine.run("kill", "-KILL", *children)
        wait_until(lambda: machine.journal(f"_PID={before}", "PRIORITY=3"), "word of it")
        wait_until(lambda: machine.status()["keyholder"]["alive"], "its return", 30)
    town.all_arrived(sent)
    assert town.pid() == before
    town.passes(town.sealed())
    wait_until(lambda: _events(machine)[-1].get("tiers") == ["envelope", "master-key"], "the opened envelope")


def test_a_daemon_that_hangs_is_replaced_by_the_watchdog(town: Town) -> None:
    machine = town.machine
    machine.run("mkdir", "-p", f"/etc/systemd/system/{UNIT}.d")
    short = "[Service]\nWatchdogSec=2\nTimeoutAbortSec=2\n"
    machine.path(f"/etc/systemd/system/{UNIT}.d/short.conf").write_text(short)
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "restart", UNIT)
    before = town.pid()
    time.sleep(3)  # It lives for longer than the watchdog waits.
    assert town.pid() == before
    machine.run("kill", f"-{signal.SIGSTOP.value}", before)
    town.up_again(before)
    assert machine.show(UNIT, "NRestarts") != "0"
    assert any("Watchdog timeout" in entry["MESSAGE"] for entry in machine.journal(f"UNIT={UNIT}"))
    town.passes(town.plain())


def test_failures_can_be_rehearsed_under_systemd(town: Town) -> None:
    machine = town.machine
    override = machine.path(f"/etc/systemd/system/{UNIT}.d/rehearsal.conf")
    command = f"/opt/replay-monitor/bin/replay-monitor run --config {CONFIG} --keys %d"
    override.write_text(f"[Service]\nExecStart=\nExecStart={command} --simulate-failure daemon-hangs\n")
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "restart", UNIT)
    before = town.pid()
    assert machine.status()["rehearsal"] == "daemon-hangs"
    town.send(town.plain())
    town.up_again(before)
    override.unlink()
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "restart", UNIT)
    town.arrived()
    town.passes(town.plain())


def test_an_upgrade_keeps_the_store_and_the_configuration(
    town: Town, tmp_path_factory: pytest.TempPathFactory
) -> None:
    machine, before = town.machine, town.pid()
    recorded = town.sealed()
    town.passes(recorded)
    config = machine.path(CONFIG).read_text()
    version = machine.status()["version"]
    _bring(machine, build_wheel(tmp_path_factory.mktemp("upgrade"), "99.1"))
    town.passes(town.plain())
    told = machine.run("replay-monitor", "install").stdout
    assert f"keep     {CONFIG}" in told
    machine.run("systemctl", "restart", UNIT)
    town.up_again(before)
    assert (version, machine.status()["version"]) != ("99.1", version)
    assert machine.status()["version"] == "99.1"
    assert machine.path(CONFIG).read_text() == config
    town.denied(recorded, "source-changed")
    town.passes(town.plain())


def test_an_instance_for_a_queue_runs_beside_it(town: Town) -> None:
    machine = town.machine
    machine.path("/etc/replay-monitor/queue-7.toml").write_text(
        '[store]\nurl = "memory:"\n[metrics]\nlisten = "127.0.0.1:9465"\n'
        '[control]\nsocket = "/run/replay-monitor/7/control"\n'
    )
    machine.run("systemctl", "enable", "--now", "replay-monitor@7.service")
    asked = machine.run("replay-monitor", "status", "--config", "/etc/replay-monitor/queue-7.toml")
    assert "\n7 " in asked.stdout
    assert machine.run("replay-monitor", "status").returncode == 0, "the other one goes on"


def test_a_stop_gives_every_packet_its_verdict_and_keeps_the_state(town: Town) -> None:
    machine, before = town.machine, town.pid()
    machine.run("kill", f"-{signal.SIGSTOP.value}", before)
    invites = [town.plain() for _ in range(30)]
    for invite in invites:
        town.send(invite)
    machine.run("sh", "-c", f"kill -{signal.SIGTERM.value} {before}; kill -{signal.SIGCONT.value} {before}")
    town.up_again(before)
    assert sorted(town.arrived()) == sorted(invites)
    machine.run("systemctl", "stop", UNIT)
    assert machine.show(UNIT, "Result") == "success"
    assert machine.run("ls", "/run/replay-monitor", check=False).returncode != 0
    assert machine.path("/var/lib/replay-monitor/associations.db").exists()
    town.send(town.plain())
    assert town.arrived() == []


def test_uninstalling_leaves_the_state_and_the_keys(town: Town) -> None:
    machine = town.machine
    told = machine.run("replay-monitor", "uninstall").stdout
    assert f"keep     {CONFIG}" in told
    assert "NFQUEUE" not in machine.run("iptables-save").stdout
    wants = machine.run("ls", "/etc/systemd/system/multi-user.target.wants").stdout
    assert "replay-monitor" not in wants
    town.passes(town.plain())
    assert machine.path("/var/lib/replay-monitor/associations.db").exists()
    assert "remove   /var/lib/replay-monitor" in machine.run("replay-monitor", "uninstall", "--purge").stdout
    assert not machine.path("/var/lib/replay-monitor").exists()
    assert not machine.path(CONFIG).exists()
    assert machine.path("/etc/replay-monitor/keys/ca.pem").exists()
