"""The daemon on real packets: what passes, what does not, and what it leaves behind."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from calls import plain_invite, queue_sip, sealed_invite, silent
from daemon import METRICS_PORT, PORT, ROOT, Daemon, environment
from namespaces import Host, Network, wait_until
from sipp_calls import Sipp

from monitor.antireplay.ruling import Reason
from monitor.capture.nfqueue import read_statistics
from monitor.capture.pcap import open_capture
from monitor.simulate.stage import Stage
from monitor.wire.link import ETHERNET

pytestmark = pytest.mark.live
EVERY_PROTOCOL = 3
"""ETH_P_ALL: a socket sees every frame of its interface."""


def queued(host: Host) -> int:
    """Packets of a host's queue that have no verdict."""
    with host.entered():
        statistics = read_statistics(0)
    return statistics.length if statistics else 0


def test_a_recorded_invite_of_60_kb_is_denied_from_elsewhere_and_after_a_restart(
    network: Network, folder: Path, stage: Stage
) -> None:
    alice, bob, charles = network.host("alice"), network.host("bob"), network.host("charles")
    queue_sip(alice)
    invite = sealed_invite(stage, 58_000)
    assert len(invite) > 59_000
    daemon = Daemon(alice, folder)
    with alice.socket(port=PORT) as phone, bob.socket(port=PORT) as caller, charles.socket() as attacker:
        caller.sendto(invite, phone.getsockname())
        assert phone.recv(65536) == invite
        caller.sendto(invite, phone.getsockname())
        assert phone.recv(65536) == invite
        attacker.sendto(invite, phone.getsockname())
        wait_until(lambda: len(daemon.rulings()) == 3, "three rulings", process=daemon.process)
        assert silent(phone)
        assert daemon.rulings() == [Reason.FIRST_USE, Reason.RETRANSMISSION, Reason.SOURCE_CHANGED]
        first, second, denied = daemon.events()
        assert first["spi"] == second["spi"]
        assert (first["tiers"], denied["tiers"]) == (["envelope", "master-key"], ["envelope"])
        assert daemon.metric("replay_monitor_rulings_total", reason="source-changed", verdict="deny") == 1
        assert daemon.metric("replay_monitor_packet_verdicts_total", verdict="deny") == 1
        assert daemon.metric("replay_monitor_verdict_latency_seconds_count") == 3
        assert daemon.metric("replay_monitor_queue_length") == 0
        assert daemon.stop() == 0
        again = Daemon(alice, folder)
        attacker.sendto(invite, phone.getsockname())
        wait_until(lambda: len(again.rulings()) == 4, "the fourth ruling", process=again.process)
        assert silent(phone)
        assert again.stop() == 0


def test_what_was_accepted_survives_the_kill_of_the_daemon(
    network: Network, folder: Path, stage: Stage
) -> None:
    alice, bob, charles = network.host("alice"), network.host("bob"), network.host("charles")
    queue_sip(alice)
    invite = plain_invite(stage)
    daemon = Daemon(alice, folder)
    with alice.socket(port=PORT) as phone, bob.socket() as caller, charles.socket() as attacker:
        caller.sendto(invite, phone.getsockname())
        assert phone.recv(65536) == invite
        daemon.stop(signal.SIGKILL)
        again = Daemon(alice, folder)
        attacker.sendto(invite, phone.getsockname())
        wait_until(lambda: Reason.SOURCE_CHANGED in again.rulings(), "a denial", process=again.process)
        assert silent(phone)


def test_an_invite_of_60_kb_over_tcp_passes_and_its_replay_does_not(
    network: Network, folder: Path, stage: Stage
) -> None:
    alice, bob, charles = network.host("alice"), network.host("bob"), network.host("charles")
    queue_sip(alice)
    invite = sealed_invite(stage, 58_000, "tcp")
    daemon = Daemon(alice, folder)

    def call(host: Host, listener: socket.socket) -> tuple[socket.socket, socket.socket]:
        caller = host.socket(socket.SOCK_STREAM)
        caller.connect(listener.getsockname())
        return caller, listener.accept()[0]

    with alice.socket(socket.SOCK_STREAM, port=PORT) as phone:
        phone.listen()
        caller, accepted = call(bob, phone)
        caller.sendall(invite)
        received = b""
        while len(received) < len(invite):
            accepted.settimeout(5)
            received += accepted.recv(65536)
        assert received == invite
        attacker, other = call(charles, phone)
        attacker.sendall(invite)
        wait_until(lambda: len(daemon.rulings()) == 2, "two rulings", process=daemon.process)
        assert daemon.rulings() == [Reason.FIRST_USE, Reason.SOURCE_CHANGED]
        # The kernel has its first segments, but the message never becomes whole.
        other.setblocking(False)
        with suppress(BlockingIOError):
            assert len(other.recv(1 << 20)) < len(invite)
        for each in (caller, accepted, attacker, other):
            each.close()


def test_ipv6_is_judged_as_ipv4_is(network: Network, folder: Path, stage: Stage) -> None:
    alice, bob, charles = network.host("alice"), network.host("bob"), network.host("charles")
    queue_sip(alice)
    invite = sealed_invite(stage, 4600)
    daemon = Daemon(alice, folder)
    with (
        alice.socket(port=PORT, ipv6=True) as phone,
        bob.socket(ipv6=True) as caller,
        charles.socket(ipv6=True) as attacker,
    ):
        caller.sendto(invite, phone.getsockname())
        assert phone.recv(65536) == invite
        attacker.sendto(invite, phone.getsockname())
        wait_until(lambda: len(daemon.rulings()) == 2, "two rulings", process=daemon.process)
        assert silent(phone)
        assert [event["source"] for event in daemon.events()] == [bob.address6, charles.address6]


def test_what_is_no_sip_passes(network: Network, folder: Path) -> None:
    alice, bob = network.host("alice"), network.host("bob")
    queue_sip(alice)
    daemon = Daemon(alice, folder, keys=None)
    with alice.socket(port=PORT) as phone, bob.socket() as sender:
        for octets in (b"\r\n\r\n", bytes(range(256)), b"\x80\x00" + bytes(170), b"x"):
            sender.sendto(octets, phone.getsockname())
            assert phone.recv(65536) == octets
    # Such a packet is counted after its verdict.
    wait_until(lambda: daemon.metric("replay_monitor_packets_total", transport="udp") == 4, "the count")
    assert daemon.events() == []


def test_sigterm_leaves_no_packet_behind(network: Network, folder: Path, stage: Stage) -> None:
    alice, bob = network.host("alice"), network.host("bob")
    queue_sip(alice)
    invites = [(sealed_invite if index % 4 == 0 else plain_invite)(stage) for index in range(60)]
    daemon = Daemon(alice, folder)
    with alice.socket(port=PORT) as phone, bob.socket() as caller:
        phone.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 21)
        daemon.process.send_signal(signal.SIGSTOP)
        for invite in invites:
            caller.sendto(invite, phone.getsockname())
        wait_until(lambda: queued(alice) == len(invites), "all packets to be queued")
        daemon.process.send_signal(signal.SIGTERM)
        daemon.process.send_signal(signal.SIGCONT)
        assert daemon.process.wait(10) == 0
        assert sorted(phone.recv(65536) for _ in invites) == sorted(invites)
    assert daemon.rulings() == [Reason.FIRST_USE] * len(invites)


def replayed(daemon: Daemon, recording: Path) -> list[dict[str, Any]]:
    """What ``replay`` says of a recording's messages."""
    done = subprocess.run(
        [sys.executable, "-m", "monitor", "replay", "--json", "--config", str(daemon.config), str(recording)],
        capture_output=True, text=True, env=environment(), timeout=60,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    *records, summary = map(json.loads, done.stdout.splitlines())
    assert summary["type"] == "summary"
    return [record for record in records if record["type"] != "media"]


def test_the_recording_of_a_run_gives_the_same_rulings(network: Network, folder: Path, stage: Stage) -> None:
    alice, bob, charles = network.host("alice"), network.host("bob"), network.host("charles")
    queue_sip(alice)
    recording = folder / "seen.pcap"
    daemon = Daemon(alice, folder, "--record", str(recording))
    sealed, plain = sealed_invite(stage, 9000), plain_invite(stage)
    with alice.socket(port=PORT) as phone, bob.socket() as caller, charles.socket() as attacker:
        for octets in (sealed, plain, sealed, b"INVITE sip:a@b SIP/2.0\r\nnonsense\r\n\r\n", plain):
            caller.sendto(octets, phone.getsockname())
        for octets in (plain, sealed, plain.replace(b"Call-ID: ", b"Call-ID: x")):
            attacker.sendto(octets, phone.getsockname())
        wait_until(lambda: len(daemon.rulings()) == 7, "seven rulings", process=daemon.process)
    assert daemon.stop() == 0
    # Live, what waited for a private key was told later.
    assert replayed(daemon, recording) == sorted(daemon.events(), key=lambda event: int(event["frame"]))
    assert recording.stat().st_mode & 0o077 == 0


def test_every_capture_that_comes_with_us_is_ruled_on_alike_live_and_replayed(
    network: Network, folder: Path
) -> None:
    alice, bob = network.host("alice"), network.host("bob")
    for program in ("iptables", "ip6tables"):
        tracked = ("-m", "conntrack", "--ctstate", "NEW,ESTABLISHED,RELATED,UNTRACKED,INVALID")
        queue = ("-j", "NFQUEUE", "--queue-num", "0")
        alice.run(program, "-w", "-t", "mangle", "-I", "PREROUTING", "-i", "eth0", *tracked, *queue)
    recording = folder / "seen.pcap"
    daemon = Daemon(alice, folder, "--record", str(recording))
    mac = bytes.fromhex(alice.run("cat", "/sys/class/net/eth0/address").stdout.strip().replace(":", ""))
    with bob.entered():
        wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        wire.bind(("eth0", 0))
    with alice.entered():
        tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(EVERY_PROTOCOL))
        tap.bind(("eth0", EVERY_PROTOCOL))
        tap.settimeout(5)
    with wire, tap:
        for capture in sorted((ROOT / "pcaps").glob("*.pcap*")):
            with open_capture(str(capture)) as frames:
                for frame in frames:
                    if frame.link == ETHERNET:
                        wire.send(mac + frame.data[6:])
                        while not tap.recv(65536).endswith(frame.data[18:]):  # A VLAN's tag is taken off.
                            pass
                        # A key that is still sealed cannot keep a plain one of another call waiting.
                        wait_until(lambda: queued(alice) == 0, "the verdict", process=daemon.process)
    assert daemon.stop() == 0
    told = sorted(daemon.events(), key=lambda event: int(event["frame"]))
    assert {Reason.FIRST_USE, Reason.ENVELOPE_REUSED, Reason.SOURCE_CHANGED} <= set(daemon.rulings())
    assert {event["transport"] for event in told} == {"udp", "tcp"}
    assert replayed(daemon, recording) == told


def test_events_go_on_in_a_fresh_file_after_sighup(network: Network, folder: Path, stage: Stage) -> None:
    alice, bob = network.host("alice"), network.host("bob")
    queue_sip(alice)
    daemon = Daemon(alice, folder, keys=None)
    with alice.socket(port=PORT) as phone, bob.socket() as caller:
        for _ in range(2):
            caller.sendto(plain_invite(stage), phone.getsockname())
            phone.recv(65536)
        wait_until(lambda: len(daemon.events()) == 2, "two events")
        daemon.events_file.rename(folder / "events.jsonl.1")
        daemon.process.send_signal(signal.SIGHUP)
        wait_until(daemon.events_file.exists, "a fresh file")
        caller.sendto(plain_invite(stage), phone.getsockname())
        wait_until(lambda: len(daemon.events()) == 1, "an event in the fresh file")
    assert daemon.metric("replay_monitor_reloads_total", result="success") == 1


def test_calls_of_sipp_go_through(network: Network, folder: Path, stage: Stage) -> None:
    """Thirty calls with a fresh key each, caller and callee being sipp."""
    alice, bob = network.host("alice"), network.host("bob")
    queue_sip(alice)
    sipp = Sipp(folder, stage, 30, 31)
    daemon = Daemon(alice, folder, keys=None)
    with sipp.answering(alice, "u1"):
        done = sipp.call(bob, alice, "u1", 403)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    assert daemon.rulings().count(Reason.FIRST_USE) == 30
    assert not [event for event in daemon.events() if event.get("verdict") == "deny"]
    assert daemon.metric("replay_monitor_messages_total", method="BYE") >= 30


def test_a_queue_or_a_port_that_is_taken_is_told_in_one_line(network: Network, folder: Path) -> None:
    alice = network.host("alice")
    daemon = Daemon(alice, folder, keys=None)
    other = folder.parent / "other.toml"
    other.write_text(daemon.config.read_text().replace("associations.db", "other.db"))
    command = (sys.executable, "-m", "monitor", "run", "--config", str(other))
    taken = alice.run("env", f"PYTHONPATH={environment()['PYTHONPATH']}", *command, check=False)
    assert (taken.returncode, taken.stderr) == (2, "replay-monitor: queue 0 is taken by another process\n")
    port = alice.run(
        "env", f"PYTHONPATH={environment()['PYTHONPATH']}", *command, "--queue", "1", check=False
    )
    assert port.returncode == 2
    assert port.stderr.startswith(f"replay-monitor: metrics: 127.0.0.1:{METRICS_PORT}: ")
    assert port.stderr.count("\n") == 1


def test_without_the_capability_it_says_what_is_needed(network: Network, folder: Path) -> None:
    alice = network.host("alice")
    daemon = Daemon(alice, folder, keys=None)
    assert daemon.stop() == 0
    drop = ("setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin")
    command = (sys.executable, "-m", "monitor", "run", "--config", str(daemon.config))
    done = alice.run(*drop, "env", f"PYTHONPATH={environment()['PYTHONPATH']}", *command, check=False)
    assert done.returncode == 2
    assert done.stderr == "replay-monitor: no permission to open a netfilter queue: CAP_NET_ADMIN is needed\n"


USER = 65534
"""Of nobody."""


def test_a_user_of_its_own_with_one_capability_is_enough(
    network: Network, folder: Path, stage: Stage
) -> None:
    """As the unit for systemd runs it, which also lets the user's group read the kernel's account."""
    drop = ("setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "--no-new-privs")
    one = ("--inh-caps=-all,+net_admin", "--ambient-caps=-all,+net_admin", "--bounding-set=-all,+net_admin")
    nested = (
        "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import monitor.service'], check=True)"
    )
    tried = subprocess.run([*drop, sys.executable, "-c", nested], capture_output=True, env=environment())
    if tried.returncode:
        pytest.skip("this Python or this checkout is not for other users to run")
    home = Path(tempfile.mkdtemp(prefix="replay-monitor-"))
    try:
        shutil.copytree(ROOT / "pcaps" / "keys", home / "keys")
        for path in (home, *home.rglob("*")):
            os.chown(path, USER, USER)
        alice, bob = network.host("alice"), network.host("bob")
        queue_sip(alice)
        daemon = Daemon(alice, home, keys=home / "keys", prefix=(*drop, *one))
        alice.run("chgrp", str(USER), "/proc/net/netfilter/nfnetlink_queue")
        invite = sealed_invite(stage, 4600)
        with alice.socket(port=PORT) as phone, bob.socket() as caller:
            caller.sendto(invite, phone.getsockname())
            assert phone.recv(65536) == invite
        wait_until(lambda: daemon.rulings() == [Reason.FIRST_USE], "the ruling", process=daemon.process)
        assert daemon.events()[0]["tiers"] == ["envelope", "master-key"]
        assert daemon.has_metric("replay_monitor_queue_length")
        assert daemon.stop() == 0
    finally:
        shutil.rmtree(home)
