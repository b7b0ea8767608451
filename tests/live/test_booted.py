"""The service under a real systemd, as an operator installs and runs it: a machine is booted for it once.

The tests follow one another on that machine. ``make test-systemd`` makes the tree that is booted.
"""

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import town as towns
from calls import silent, unread
from daemon import PORT
from machine import Machine, is_this_one
from namespaces import wait_until
from rates import Rates
from sipp_calls import Sipp
from town import CONFIG, UNIT, Town
from wheel import build_wheel

from monitor.sip import message as sip

REFUSED = (
    "a response cannot be sent: Operation not permitted: "
    "the unit wants IPAddressAllow= of the callers (told once)"
)
pytestmark = [pytest.mark.live, pytest.mark.booted]


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """The machine with the wheel of this checkout in it, installed and started."""
    with towns.town(tmp_path_factory.mktemp("machine")) as made:
        _bring(made.machine, build_wheel(tmp_path_factory.mktemp("wheel")))
        made.machine.run("replay-monitor", "install")
        made.prepare()
        yield made


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
    tiers = [r["tiers"] for r in town.events() if r["type"] == "ruling" and r["verdict"] == "accept"]
    assert ["envelope", "master-key"] in tiers, "the keys of LoadCredential open envelopes"


@pytest.mark.parametrize("transport", ["u1", "t1"])
def test_calls_of_sipp_go_through_from_ring_to_hangup(town: Town, tmp_path: Path, transport: str) -> None:
    before = town.rulings(town.bob)
    sipp = Sipp(tmp_path, town.stage, 60, 61)
    with town.lending(), sipp.answering(town.alice, transport):
        done = sipp.call(town.bob, town.alice, transport, 403)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    assert sipp.replays == 0
    assert town.rulings(town.bob) - before == {"accept": 60}


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


def test_calls_that_a_crash_has_swallowed_pass_when_they_are_sent_again(town: Town) -> None:
    with town.calling() as sent:
        for _ in range(3):
            before = town.pid()
            town.further(sent, 50)
            town.machine.run("kill", "-KILL", before)
            town.up_again(before)
        town.further(sent, 50)
    town.all_arrive_if_sent_again(sent)
    assert town.rulings(town.bob)["deny"] == 0
    for each in (sent[0], sent[len(sent) // 2], sent[-1]):
        town.denied(each, "source-changed")


@pytest.mark.parametrize("generation", ["keyholder", "worker"])
def test_a_killed_keyholder_is_back_and_the_daemon_goes_on(town: Town, generation: str) -> None:
    machine, before = town.machine, town.pid()

    def children(*parents: str) -> list[str]:
        return " ".join(machine.run("cat", f"/proc/{p}/task/{p}/children").stdout for p in parents).split()

    killed = children(before)
    if generation == "worker":
        killed = children(*killed)
    assert killed
    with town.calling() as sent:
        machine.run("kill", "-KILL", *killed)
        wait_until(lambda: machine.journal(f"_PID={before}", "PRIORITY=3"), "word of it")
        wait_until(lambda: machine.status()["keyholder"]["alive"], "its return", 30)
    town.all_arrived(sent)
    assert town.pid() == before
    town.passes(town.sealed())
    wait_until(lambda: town.events()[-1].get("tiers") == ["envelope", "master-key"], "the opened envelope")


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


def test_answers_to_callers_pass_once_the_unit_allows_their_addresses(town: Town) -> None:
    machine = town.machine
    recorded = town.plain()
    town.passes(recorded)
    town.configure("[policy]\n", '[policy]\non_deny = "respond"\n')
    machine.run("systemctl", "restart", UNIT)
    attacker = town.callers[town.charles]
    town.denied(recorded, "source-changed")
    filters = machine.filters()
    assert filters or not is_this_one(), "the kernel of an emulated machine can"
    if filters:
        wait_until(lambda: machine.journal("MESSAGE=" + REFUSED), "word of the answer that the unit refused")
        assert silent(attacker)
    else:
        unread(attacker)
    allow = machine.path(f"/etc/systemd/system/{UNIT}.d/callers.conf")
    allow.parent.mkdir(exist_ok=True)
    allow.write_text("[Service]\nIPAddressAllow=10.66.0.0/24\n")
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "restart", UNIT)
    town.denied(recorded, "source-changed")
    answer, sender = attacker.recvfrom(65536)
    assert (sip.parse(answer).status, sender) == (403, (town.alice.address, PORT))
    allow.unlink()
    town.configure('on_deny = "respond"\n', "")
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "restart", UNIT)
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


def test_no_call_was_denied_in_all_that_time(town: Town, rates: Rates) -> None:
    counted = town.rulings(town.bob)
    rates.add("calls denied under a booted systemd", counted["deny"], counted.total(), "INVITEs")
    assert counted["deny"] == 0
    assert counted["accept"] > 500


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
