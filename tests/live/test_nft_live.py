"""The daemon behind the rules of nft, whose queue statement not every kernel has (``make test-qemu``)."""

import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from calls import plain_invite, read_whole, sealed_invite, silent
from daemon import PORT, Daemon, environment
from namespaces import SLOWNESS, Host, Network, wait_until
from routed import Route

from monitor.antireplay.ruling import Reason
from monitor.enforce.ruleset import Family, Ruleset
from monitor.simulate.stage import Stage

pytestmark = pytest.mark.live
FAMILIES: list[Family] = [4, 6]
BLOCK = 5 * SLOWNESS
"""Seconds."""
APPLY = (
    "env",
    f"PYTHONPATH={environment()['PYTHONPATH']}",
    sys.executable,
    "-m",
    "monitor",
    "rules",
    "apply",
)


@pytest.fixture
def route(network: Network) -> Route:
    """Bob, a gateway, and Alice; skips where the kernel cannot queue by nft."""
    made = Route(network)
    if made.gateway.run(
        "sh", "-c", f"nft --check -f - <<'END'\n{Ruleset().nft()}END", check=False
    ).returncode:
        pytest.skip("this kernel has no queue statement for nft (make test-qemu boots one that has)")
    return made


@pytest.fixture
def charles(network: Network, route: Route) -> Host:
    """Who recorded the call; his way to Alice is the gateway too."""
    host = network.host("charles")
    host.run("ip", "route", "add", f"{route.alice.address}/32", "via", route.gateway.address)
    host.run("ip", "-6", "route", "add", f"{route.alice.address6}/128", "via", route.gateway.address6)
    return host


def rules(host: Host, *arguments: str) -> str:
    """Have the rules applied as they are by default, which is by nft."""
    done = host.run(*APPLY, *arguments)
    assert done.stdout == "The rules stand (nft).\n"
    return done.stderr


def listed(host: Host) -> list[dict[str, Any]]:
    """What nft says of the table."""
    told = json.loads(host.run("nft", "--json", "list", "table", "inet", "replay_monitor").stdout)
    entries: list[dict[str, Any]] = told["nftables"]
    return entries


def queued(host: Host) -> int:
    """Packets that the rules have handed to the queue."""
    chains = [each["rule"]["expr"] for each in listed(host) if "rule" in each]
    return sum(
        int(part["counter"]["packets"])
        for expressions in chains
        if any("queue" in part for part in expressions)
        for part in expressions
        if "counter" in part
    )


def blocked(host: Host, family: Family) -> list[dict[str, Any]]:
    """The elements of the block set, with their timeouts."""
    sets = [each["set"] for each in listed(host) if "set" in each]
    (found,) = [each for each in sets if each["name"] == f"blocked{family}"]
    return [each["elem"] for each in found.get("elem", [])]


def rulings(daemon: Daemon, *expected: Reason) -> None:
    """Wait for the rulings, and see that they are these."""
    wait_until(lambda: len(daemon.rulings()) >= len(expected), "the rulings", process=daemon.process)
    assert daemon.rulings() == list(expected)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_call_to_the_host_passes_and_its_replays_do_not(
    route: Route, charles: Host, folder: Path, stage: Stage, family: Family
) -> None:
    alice, ipv6 = route.gateway, family == 6
    assert "nothing listens on queue 0 yet" in rules(alice)
    daemon = Daemon(alice, folder)
    octets = sealed_invite(stage)
    with (
        alice.socket(port=PORT, ipv6=ipv6) as phone,
        route.bob.socket(ipv6=ipv6) as caller,
        charles.socket(ipv6=ipv6) as attacker,
    ):
        for _ in range(2):
            caller.sendto(octets, phone.getsockname())
            assert phone.recv(65536) == octets
        attacker.sendto(octets, phone.getsockname())
        attacker.sendto(octets.replace(b"Call-ID: ", b"Call-ID: x"), phone.getsockname())
        rulings(
            daemon, Reason.FIRST_USE, Reason.RETRANSMISSION, Reason.SOURCE_CHANGED, Reason.ENVELOPE_REUSED
        )
        assert silent(phone)
        caller.sendto(plain_invite(stage), phone.getsockname())
        assert phone.recv(65536)
    assert queued(alice) == daemon.metric("replay_monitor_packets_total") == 5


@pytest.mark.parametrize("family", FAMILIES)
def test_over_tcp_a_call_passes_and_its_replay_never_becomes_whole(
    route: Route, charles: Host, folder: Path, stage: Stage, family: Family
) -> None:
    alice, ipv6 = route.gateway, family == 6
    rules(alice)
    daemon = Daemon(alice, folder, policy='on_deny = "reset"')
    octets = sealed_invite(stage, 4600, "tcp")
    with (
        alice.socket(socket.SOCK_STREAM, port=PORT, ipv6=ipv6) as phone,
        route.bob.socket(socket.SOCK_STREAM, ipv6=ipv6) as caller,
        charles.socket(socket.SOCK_STREAM, ipv6=ipv6) as attacker,
    ):
        phone.listen()
        ends = []
        for each in (caller, attacker):
            each.connect(phone.getsockname())
            ends.append(phone.accept()[0])
            ends[-1].settimeout(phone.gettimeout())
            each.sendall(octets)
            if each is caller:
                assert read_whole(ends[0], len(octets)) == octets
        with pytest.raises(ConnectionResetError):
            read_whole(ends[1], len(octets))
        for end in ends:
            end.close()
    rulings(daemon, Reason.FIRST_USE, Reason.SOURCE_CHANGED)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_fragmented_invite_is_judged_whole_on_its_way_through(
    route: Route, charles: Host, folder: Path, stage: Stage, family: Family
) -> None:
    ipv6 = family == 6
    rules(route.gateway)
    daemon = Daemon(route.gateway, folder)
    octets = sealed_invite(stage, 20_000)
    with (
        route.alice.socket(port=PORT, ipv6=ipv6) as phone,
        route.bob.socket(ipv6=ipv6) as caller,
        charles.socket(ipv6=ipv6) as attacker,
    ):
        caller.sendto(octets, phone.getsockname())
        assert phone.recv(65536) == octets
        attacker.sendto(octets, phone.getsockname())
        rulings(daemon, Reason.FIRST_USE, Reason.SOURCE_CHANGED)
        assert silent(phone)
    # Some fourteen fragments each: what is queued is whole.
    assert queued(route.gateway) == daemon.metric("replay_monitor_packets_total") == 2


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("bypass", [False, True])
def test_without_a_daemon_packets_are_dropped_or_pass_as_chosen(
    route: Route, stage: Stage, bypass: bool, family: Family
) -> None:
    ipv6 = family == 6
    told = rules(route.gateway, "--bypass" if bypass else "--no-bypass")
    assert ("passes unseen" if bypass else "is dropped") in told
    octets = plain_invite(stage)
    with route.alice.socket(port=PORT, ipv6=ipv6) as phone, route.bob.socket(ipv6=ipv6) as caller:
        caller.sendto(octets, phone.getsockname())
        if bypass:
            assert phone.recv(65536) == octets
        else:
            wait_until(lambda: queued(route.gateway) == 1, "the drop to be counted")
            assert silent(phone)


@pytest.mark.parametrize("fail_open", [False, True])
def test_a_full_queue_drops_or_lets_pass_as_configured(
    route: Route, folder: Path, stage: Stage, fail_open: bool
) -> None:
    rules(route.gateway)
    tables = f"[queue]\nfail_open = {str(fail_open).lower()}\n"
    Daemon(route.gateway, folder, "--simulate-failure", "queue-full", keys=None, tables=tables)
    invites = [plain_invite(stage) for _ in range(20)]
    with route.alice.socket(port=PORT) as phone, route.bob.socket() as caller:
        for invite in invites:
            caller.sendto(invite, phone.getsockname())
        wait_until(lambda: queued(route.gateway) == len(invites), "all to have come")
        # The queue of the rehearsal holds four.
        if fail_open:
            assert [phone.recv(65536) for _ in invites[4:]] == invites[4:]
        assert silent(phone)


def test_applying_the_rules_anew_lets_nothing_past_and_loses_what_waits_at_the_most(
    route: Route, folder: Path, stage: Stage
) -> None:
    rules(route.gateway)
    daemon = Daemon(route.gateway, folder, keys=None)
    calls = lost = 0
    with route.alice.socket(port=PORT) as phone, route.bob.socket() as caller:
        phone.settimeout(SLOWNESS)
        applying = route.gateway.start(*APPLY, "--ports", "5060,5070", stdout=subprocess.DEVNULL)
        while applying.poll() is None or calls < 50:
            calls += 1
            invite = plain_invite(stage)
            caller.sendto(invite, phone.getsockname())
            try:
                assert phone.recv(65536) == invite
            except TimeoutError:
                lost += 1
                caller.sendto(invite, phone.getsockname())
                assert phone.recv(65536) == invite
        assert applying.returncode == 0
    assert lost <= 1, "the kernel drops what waits in the queue when its chain goes"
    assert daemon.rulings().count(Reason.FIRST_USE) == calls
    assert "5070" in json.dumps(listed(route.gateway))


@pytest.mark.parametrize("family", FAMILIES)
def test_who_keeps_sending_replays_is_blocked_for_as_long_as_the_set_says(
    route: Route, charles: Host, folder: Path, stage: Stage, family: Family
) -> None:
    ipv6 = family == 6
    rules(route.gateway)
    block = f'[block]\nenabled = true\nudp = true\ndenials = 5\nwithin = "10m"\nduration = "{BLOCK}s"\n'
    daemon = Daemon(route.gateway, folder, keys=None, tables=block)
    octets = plain_invite(stage)
    with (
        route.alice.socket(port=PORT, ipv6=ipv6) as phone,
        route.bob.socket(ipv6=ipv6) as caller,
        charles.socket(ipv6=ipv6) as attacker,
    ):
        caller.sendto(octets, phone.getsockname())
        assert phone.recv(65536) == octets
        for _ in range(5):
            attacker.sendto(octets, phone.getsockname())
        wait_until(lambda: blocked(route.gateway, family), "the block", process=daemon.process)
        (element,) = blocked(route.gateway, family)
        assert element["val"] == (charles.address6 if ipv6 else charles.address)
        assert element["timeout"] == BLOCK
        before = queued(route.gateway)
        for _ in range(10):
            attacker.sendto(octets, phone.getsockname())
        caller.sendto(octets, phone.getsockname())
        assert phone.recv(65536) == octets
        assert queued(route.gateway) == before + 1
        wait_until(lambda: not blocked(route.gateway, family), "the end of the block")
        fresh = plain_invite(stage)
        attacker.sendto(fresh, phone.getsockname())
        assert phone.recv(65536) == fresh
