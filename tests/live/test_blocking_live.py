"""Sources that keep sending replays, left to the kernel: a flood that no longer reaches the queue."""

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from calls import meanwhile, plain_invite
from daemon import PORT, Daemon, environment
from namespaces import Host, Network, wait_until

from monitor.antireplay.ruling import Reason
from monitor.enforce.conntrack import assured
from monitor.simulate.party import BOB
from monitor.simulate.stage import Stage
from monitor.wire.address import pack
from monitor.wire.flow import Flow

pytestmark = pytest.mark.live


def command(host: Host, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run one of our commands as an operator of ``host`` would."""
    path = f"PYTHONPATH={environment()['PYTHONPATH']}"
    return host.run("env", path, sys.executable, "-m", "monitor", *arguments, check=False)


def blocked(host: Host) -> list[str]:
    """Who is blocked."""
    done = command(host, "blocked", "list", "--json")
    assert done.returncode == 0, done.stderr
    return [json.loads(line)["address"] for line in done.stdout.splitlines()]


def rules(host: Host) -> None:
    """The kernel rules with the block set, as this kernel can have them."""
    done = command(host, "rules", "apply", "--backend", "iptables", "--ipset")
    assert done.returncode == 0, done.stderr


def make_set(host: Host, backend: str) -> None:
    """The block set of this backend, and a queue."""
    if backend == "ipset":
        rules(host)
        return
    # Where the kernel has no queue statement for nft, its sets stand beside a queue of iptables.
    script = command(host, "rules", "show", "--backend", "nft").stdout
    script = script.replace("counter queue num 0", "counter accept")
    host.run("sh", "-c", f"nft -f - <<'END'\n{script}END")
    for program in ("iptables", "ip6tables"):
        host.run(
            *(program, "-w", "-t", "security", "-A", "INPUT", "-p", "udp", "--dport", str(PORT)),
            *("-j", "NFQUEUE", "--queue-num", "0"),
        )


def block(more: str = "udp = true") -> str:
    """The configuration's table."""
    return f'[block]\nenabled = true\ndenials = 5\nwithin = "1m"\nduration = "1h"\n{more}\n'


@contextmanager
def flood(host: Host, octets: bytes, destination: tuple[str, int]) -> Iterator[list[int]]:
    """Have a host send the same datagram as fast as it can; how many went out is in the list at the end."""
    sent = [0]
    with host.socket() as sender:

        def send() -> None:
            for _ in range(64):
                sender.sendto(octets, destination)
            sent[0] += 64

        with meanwhile(send):
            yield sent


def kept_out(host: Host) -> int:
    """Packets that the block set has kept from the queue."""
    counted = host.run("iptables-save", "-c", "-t", "security").stdout
    return sum(int(each[1:].partition(":")[0]) for each in counted.splitlines() if "match-set" in each)


@pytest.mark.parametrize("backend", ["ipset", "nft"])
def test_a_source_is_blocked_listed_and_let_through_again(
    network: Network, folder: Path, stage: Stage, backend: str
) -> None:
    alice, bob, charles = (network.host(name) for name in ("alice", "bob", "charles"))
    make_set(alice, backend)
    octets, elsewhere = plain_invite(stage), (alice.address, 5070)
    daemon = Daemon(alice, folder, keys=None, tables=block())
    with (
        alice.socket(port=PORT) as phone, alice.socket(port=5070) as other, bob.socket() as caller,
        charles.socket() as attacker,
    ):  # fmt: skip
        caller.sendto(octets, phone.getsockname())
        assert phone.recv(65536) == octets
        assert blocked(alice) == []
        for _ in range(5):
            attacker.sendto(octets, phone.getsockname())
        wait_until(lambda: blocked(alice) == [charles.address], "the block", process=daemon.process)
        attacker.sendto(b"elsewhere", elsewhere)
        assert other.recv(100) == b"elsewhere", "other ports are not blocked"
        seen = daemon.metric("replay_monitor_packets_total")
        for _ in range(10):
            attacker.sendto(octets, phone.getsockname())
        caller.sendto(octets, phone.getsockname())
        assert phone.recv(65536) == octets
        if backend == "ipset":
            assert daemon.metric("replay_monitor_packets_total") == seen + 1
        assert daemon.metric("replay_monitor_blocks_total", event="blocked") == 1
        done = command(alice, "blocked", "clear", charles.address)
        assert (done.returncode, done.stdout) == (0, f"Let through again: {charles.address}.\n")
        assert blocked(alice) == []
        again = command(alice, "blocked", "clear", charles.address)
        assert again.returncode == 2
        assert "is not blocked" in again.stderr
        assert command(alice, "blocked", "clear").returncode == 0


@pytest.mark.parametrize("backend", ["ipset", "nft"])
def test_who_changes_his_address_within_his_ipv6_network_is_blocked_with_it(
    network: Network, folder: Path, stage: Stage, backend: str
) -> None:
    alice, bob, charles = (network.host(name) for name in ("alice", "bob", "charles"))
    alice.run("ip", "-6", "route", "add", "fd67::/48", "dev", "eth0")
    for number in range(1, 9):
        charles.run("ip", "-6", "address", "add", f"fd67::{number}/128", "dev", "eth0", "nodad")
    bob.run("ip", "-6", "address", "add", "fd67:0:0:1::1/128", "dev", "eth0", "nodad")
    make_set(alice, backend)
    octets = plain_invite(stage)
    daemon = Daemon(alice, folder, keys=None, tables=block())
    with alice.socket(port=PORT, ipv6=True) as phone, bob.socket(ipv6=True) as caller:

        def sends(host: Host, address: str, message: bytes) -> None:
            with host.entered(), socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sender:
                sender.bind((address, 0))
                sender.sendto(message, phone.getsockname())

        caller.sendto(octets, phone.getsockname())
        assert phone.recv(65536) == octets
        for number in range(1, 6):
            sends(charles, f"fd67::{number}", octets)
        wait_until(lambda: blocked(alice) == ["fd67::/64"], "the block", process=daemon.process)
        before = daemon.metric("replay_monitor_packets_total")
        for number in range(6, 9):
            sends(charles, f"fd67::{number}", octets)
        fresh = plain_invite(stage)
        sends(bob, "fd67:0:0:1::1", fresh)
        assert phone.recv(65536) == fresh, "the network beside it is not blocked"
        if backend == "ipset":
            assert daemon.metric("replay_monitor_packets_total") == before + 1
        # Alice's own network is hers: in that each answers for himself.
        for _ in range(5):
            sends(charles, charles.address6, octets)
        wait_until(lambda: set(blocked(alice)) == {"fd67::/64", charles.address6}, "the second block")
        done = command(alice, "blocked", "clear", "fd67::7")
        assert (done.returncode, done.stdout) == (0, "Let through again: fd67::7.\n")
        assert blocked(alice) == [charles.address6]
        assert command(alice, "blocked", "clear", charles.address6).returncode == 0
        assert blocked(alice) == []


def test_without_a_set_it_is_told_how_to_have_one(network: Network, folder: Path) -> None:
    alice = network.host("alice")
    done = command(alice, "blocked", "list")
    assert done.returncode == 2
    assert "rules apply" in done.stderr


def test_relays_and_who_is_allowed_are_not_blocked_and_udp_only_counts_if_asked_for(
    network: Network, folder: Path, stage: Stage
) -> None:
    alice, bob, relay, allowed, forger = (
        network.host(name) for name in ("alice", "bob", "relay", "allowed", "forger")
    )
    rules(alice)
    octets = plain_invite(stage)
    daemon = Daemon(
        alice, folder, policy=f'b2bua = ["{relay.address}"]', keys=None,
        tables=block(f'udp = true\nallow = ["{allowed.address}/32"]'),
    )  # fmt: skip
    with alice.socket(port=PORT) as phone, bob.socket() as caller:
        caller.sendto(octets, phone.getsockname())
        assert phone.recv(65536) == octets
        for number, host in enumerate((relay, allowed), 1):
            with host.socket() as sender:
                for _ in range(20):
                    sender.sendto(octets.replace(b"Call-ID: ", b"Call-ID: x"), phone.getsockname())
            wait_until(lambda: len(daemon.rulings()) >= 1 + 15 * number, "the denials")  # noqa: B023
        assert blocked(alice) == []
        assert daemon.metric("replay_monitor_blocks_total", event="spared") >= 30
        assert daemon.stop() == 0
        careful = Daemon(alice, folder, keys=None, tables=block("udp = false"))
        with forger.socket() as sender:
            for _ in range(20):
                sender.sendto(octets, phone.getsockname())
        wait_until(
            lambda: careful.metric("replay_monitor_blocks_total", event="unproven") == 20, "the denials"
        )
        assert blocked(alice) == []


def test_over_tcp_only_a_connection_of_both_ends_proves_its_source(
    network: Network, folder: Path, stage: Stage
) -> None:
    alice, bob, charles = (network.host(name) for name in ("alice", "bob", "charles"))
    rules(alice)
    octets = plain_invite(stage, transport="tcp")
    daemon = Daemon(alice, folder, keys=None, policy='on_deny = "neutralise"', tables=block(""))
    with alice.socket(socket.SOCK_STREAM, port=PORT) as listener:
        listener.listen()
        with bob.socket(socket.SOCK_STREAM) as caller, charles.socket(socket.SOCK_STREAM) as attacker:
            for each in (caller, attacker):
                each.connect(listener.getsockname())
            caller.sendall(octets)
            wait_until(lambda: len(daemon.rulings()) == 1, "the call")
            source = attacker.getsockname()
            flow = Flow(pack(source[0]), source[1], pack(alice.address), PORT, "tcp")
            with alice.entered():
                assert assured(flow)
                assert assured(flow.reversed())
                assert not assured(flow._replace(source_port=source[1] ^ 1))
                assert not assured(flow._replace(source=pack("192.0.2.1")))
                assert not assured(flow._replace(source=pack("2001:db8::1"), destination=pack("2001:db8::2")))
            for _ in range(5):
                attacker.sendall(octets)
            wait_until(lambda: blocked(alice) == [charles.address], "the block", process=daemon.process)
    assert daemon.rulings().count(Reason.SOURCE_CHANGED) == 5


def test_calls_go_on_without_loss_while_a_flood_is_kept_from_the_queue(
    network: Network, folder: Path, stage: Stage
) -> None:
    """Thirty calls of sipp with a fresh key each, under a flood of replays as fast as its sender can."""
    alice, bob, charles = (network.host(name) for name in ("alice", "bob", "charles"))
    rules(alice)
    keys = [stage.plain(BOB).content.split(b"inline:")[1][:40].decode() for _ in range(30)]
    (folder / "keys.csv").write_text("SEQUENTIAL\n" + "".join(f"{key};\n" for key in keys))
    scenario = subprocess.run(["sipp", "-sd", "uac"], capture_output=True, text=True).stdout
    line = "a=rtpmap:0 PCMU/8000"
    key = "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:[field0]"
    (folder / "caller.xml").write_text(scenario.replace(line, f"{line}\n      {key}"))
    octets = plain_invite(stage)
    daemon = Daemon(alice, folder, keys=None, tables=block())
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "stdin": subprocess.DEVNULL}
    callee = alice.start(
        *("sipp", "-sn", "uas", "-i", alice.address, "-p", str(PORT), "-nostdin"), cwd=folder, **quiet
    )
    alice.until_bound(PORT, callee)
    with bob.socket() as caller:
        caller.sendto(octets, (alice.address, PORT))
        wait_until(lambda: len(daemon.rulings()) == 1, "the call that is recorded")
    with flood(charles, octets, (alice.address, PORT)) as sent:
        wait_until(lambda: daemon.metric("replay_monitor_blocks_total", event="blocked") >= 1, "the block")
        # What came before the block was in force goes by; on a slow machine that may be more than fits.
        wait_until(lambda: daemon.metric("replay_monitor_queue_length") == 0, "what had been queued", 30)
        lost = daemon.metric("replay_monitor_queue_dropped_total")
        before, refused = sent[0], kept_out(alice)
        done = bob.run(
            *("sipp", "-sf", str(folder / "caller.xml"), "-inf", str(folder / "keys.csv"), "-nostdin"),
            *("-i", bob.address, "-m", "30", "-r", "15", "-d", "50", "-timeout", "30", alice.address),
            check=False, timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout[-2000:]
        after, seen = sent[0], daemon.metric("replay_monitor_packets_total")
        wait_until(lambda: sent[0] >= after + 5000, "more of the flood")
        assert daemon.metric("replay_monitor_packets_total") <= seen + 20
        assert kept_out(alice) - refused > (after - before) // 2
    assert daemon.rulings().count(Reason.FIRST_USE) == 31
    assert daemon.metric("replay_monitor_queue_dropped_total") == lost
