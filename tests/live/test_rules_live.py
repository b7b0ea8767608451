"""The kernel rules in force: what reaches the queue, how whole it is, and what stays when they go."""

import select
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from namespaces import Host, Network, wait_until
from routed import Route, Way

from monitor.capture.nfqueue import Queue
from monitor.capture.packet import Arrival
from monitor.enforce.ruleset import Family, Ruleset

pytestmark = pytest.mark.live

BIG = bytes(range(256)) * 234
"""A payload of some 60 kB: more than forty fragments on Ethernet."""
HEADERS: dict[Family, int] = {4: 20 + 8, 6: 40 + 8}
"""Octets of the IP and UDP headers before it."""

CASES: list[tuple[Way, Family]] = [("input", 4), ("input", 6), ("forward", 4), ("forward", 6)]
FRAGMENTED: list[tuple[Way, Family]] = [("input", 6), ("forward", 4), ("forward", 6)]
"""Where the kernel itself does not reassemble before the hook."""


@pytest.fixture
def path(network: Network) -> Route:
    return Route(network)


@pytest.fixture
def queue(path: Route) -> Iterator[Queue]:
    """Queue 0 of the gateway, listened on."""
    with path.gateway.entered():
        made = Queue(0)
    try:
        yield made
    finally:
        made.close()


def rules(host: Host, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command as an operator of ``host`` would."""
    return host.run(sys.executable, "-m", "monitor", "rules", *arguments, check=False)


def applied(host: Host, *arguments: str) -> subprocess.CompletedProcess[str]:
    done = rules(host, "apply", *arguments)
    assert done.returncode == 0, done.stderr
    return done


def listing(host: Host) -> str:
    """All rules of a host, without counters and dates."""
    saved = "".join(host.run(program).stdout for program in ("iptables-save", "ip6tables-save"))
    lines = [line.partition(" [")[0] for line in saved.splitlines() if not line.startswith("#")]
    return "\n".join([*lines, host.run("nft", "--stateless", "list", "ruleset").stdout])


def arrivals(queue: Queue, wanted: int = 1) -> list[Arrival]:
    """At least ``wanted`` packets from the queue."""
    found: list[Arrival] = []

    def enough() -> bool:
        found.extend(queue.receive(1, 1000))
        return len(found) >= wanted

    wait_until(enough, f"{wanted} packets in the queue")
    return found


@contextmanager
def passing(queue: Queue) -> Iterator[list[tuple[int, int]]]:
    """Accept all that is queued meanwhile, and note source and destination ports (of IPv4)."""
    seen: list[tuple[int, int]] = []
    done = threading.Event()

    def accept() -> None:
        while not done.is_set():
            select.select([queue], [], [], 0.05)
            for frame, packet in queue.receive(1, 1000):
                seen.append((int.from_bytes(frame.data[20:22]), int.from_bytes(frame.data[22:24])))
                packet.accept()

    thread = threading.Thread(target=accept)
    thread.start()
    try:
        yield seen
    finally:
        done.set()
        thread.join()


@pytest.mark.parametrize(("way", "family"), CASES)
def test_fragmented_datagram_is_queued_whole(path: Route, queue: Queue, way: Way, family: Family) -> None:
    applied(path.gateway, "--backend", "iptables")
    with path.datagram(way, family, BIG) as receiver:
        [(frame, packet)] = arrivals(queue)
        assert len(frame.data) == HEADERS[family] + len(BIG)
        packet.accept()
        assert receiver.recv(65535) == BIG
    assert queue.receive(1, 1000) == []


@pytest.mark.parametrize(("way", "family"), FRAGMENTED)
def test_without_conntrack_and_fragment_rules_only_the_first_fragment_is_queued(
    path: Route, queue: Queue, way: Way, family: Family
) -> None:
    text = Ruleset().iptables(family)
    bare = [
        line
        for line in text.splitlines(True)
        if not any(word in line for word in ("UNTRACKED", " -f ", "frag "))
    ]
    path.apply("".join(bare), family)
    with path.datagram(way, family, BIG):
        [(frame, packet)] = arrivals(queue)
        assert len(frame.data) <= 1500
        packet.accept()
    assert queue.receive(1, 1000) == []


@pytest.mark.parametrize(("way", "family"), FRAGMENTED)
def test_fragments_that_escape_reassembly_are_all_queued(
    path: Route, queue: Queue, way: Way, family: Family
) -> None:
    text = Ruleset().iptables(family)
    path.apply("".join(line for line in text.splitlines(True) if "UNTRACKED" not in line), family)
    with path.datagram(way, family, BIG) as receiver:
        fragment_headers = 20 if family == 4 else 40 + 8
        waiting = 8 + len(BIG)
        while waiting > 0:
            for frame, packet in arrivals(queue):
                waiting -= len(frame.data) - fragment_headers
                packet.accept()
        assert waiting == 0
        assert receiver.recv(65535) == BIG


@pytest.mark.parametrize("family", [4, 6])
def test_notrack_rule_does_not_keep_a_datagram_from_being_queued_whole(
    path: Route, queue: Queue, family: Family
) -> None:
    program = "iptables" if family == 4 else "ip6tables"
    path.gateway.run(program, "-t", "raw", "-A", "PREROUTING", "-p", "udp", "-j", "CT", "--notrack")
    done = applied(path.gateway, "--backend", "iptables")
    assert "exempts packets from connection tracking: " in done.stderr
    with path.datagram("forward", family, BIG) as receiver:
        [(frame, packet)] = arrivals(queue)
        assert len(frame.data) == HEADERS[family] + len(BIG)
        packet.accept()
        assert receiver.recv(65535) == BIG


@pytest.mark.parametrize(("way", "family"), CASES)
def test_nft_rules_meet_the_datagram_whole(path: Route, way: Way, family: Family) -> None:
    """Counted instead of queued, since not every kernel has nft's queue statement."""
    script = Ruleset().nft().replace("counter queue num 0", "counter")
    path.gateway.run("sh", "-c", f"nft -f - <<'END'\n{script}END")
    with path.datagram(way, family, BIG) as receiver:
        assert receiver.recv(65535) == BIG
    counted = path.gateway.run("nft", "list", "chain", "inet", "replay_monitor", "sip").stdout
    ports = next(line for line in counted.splitlines() if "dport" in line)
    assert f"packets 1 bytes {HEADERS[family] + len(BIG)}" in ports
    assert all("packets 0" in line for line in counted.splitlines() if "frag" in line or "untracked" in line)


def test_nft_fragment_rules_count_what_escapes_reassembly(path: Route) -> None:
    script = Ruleset().nft().replace("counter queue num 0", "counter accept")
    script = "".join(line for line in script.splitlines(True) if "untracked" not in line)
    path.gateway.run("sh", "-c", f"nft -f - <<'END'\n{script}END")
    cases: list[tuple[Family, str]] = [(4, "ip frag-off"), (6, "exthdr frag")]
    for family, match in cases:
        with path.datagram("forward", family, BIG) as receiver:
            assert receiver.recv(65535) == BIG
        counted = path.gateway.run("nft", "list", "chain", "inet", "replay_monitor", "sip").stdout
        fields = next(line for line in counted.splitlines() if match in line).split()
        assert int(fields[fields.index("packets") + 1]) > len(BIG) // 1500


def test_nft_rules_are_refused_for_their_queue_statements_alone(path: Route) -> None:
    script = Ruleset(queues=(0, 3), bypass=True, interface="eth0", hooks=("input", "forward", "output")).nft()
    done = path.gateway.run("sh", "-c", f"nft --check -f - <<'END'\n{script}END", check=False)
    errors = [line for line in done.stderr.splitlines() if "Error:" in line]
    assert all(line.endswith("Could not process rule: No such file or directory") for line in errors)
    assert len(errors) in (0, script.count(" queue num "))


def test_automatic_backend_says_why_it_is_not_nft(path: Route, queue: Queue) -> None:
    script = Ruleset().nft()
    able = path.gateway.run("sh", "-c", f"nft --check -f - <<'END'\n{script}END", check=False).returncode == 0
    done = applied(path.gateway)
    assert done.stdout == f"The rules stand ({'nft' if able else 'iptables'}).\n"
    assert ("no queue statement for nft" in done.stderr) is not able


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM])
def test_both_directions_of_the_ports_are_queued_and_nothing_else(
    path: Route, queue: Queue, kind: socket.SocketKind
) -> None:
    applied(path.gateway, "--backend", "iptables", "--ports", "5060,5070-5080")
    for port, queued in ((5060, True), (5075, True), (5081, False)):
        with (
            path.alice.socket(kind, port=port) as called,
            path.bob.socket(kind) as calling,
            passing(queue) as seen,
        ):
            here = calling.getsockname()[1]
            if kind == socket.SOCK_STREAM:
                called.listen()
                calling.connect((path.alice.address, port))
                called.accept()[0].close()
                assert calling.recv(1) == b""
            else:
                calling.sendto(b"there", (path.alice.address, port))
                called.sendto(b"back", called.recvfrom(5)[1])
                assert calling.recv(4) == b"back"
        there = {pair for pair in seen if port in pair}
        assert there == ({(here, port), (port, here)} if queued else set())


@pytest.mark.parametrize("bypass", [False, True])
def test_without_a_monitor_packets_are_dropped_or_pass_as_chosen(path: Route, bypass: bool) -> None:
    done = applied(path.gateway, "--backend", "iptables", "--bypass" if bypass else "--no-bypass")
    assert ("passes unseen" if bypass else "is dropped") in done.stderr
    with path.datagram("forward", 4, b"OPTIONS") as receiver:
        if bypass:
            assert receiver.recv(100) == b"OPTIONS"
            return
        dropped = "-A REPLAY_MONITOR -p udp -m udp --dport 5060 -j NFQUEUE --queue-num 0"
        wait_until(
            lambda: f"[1:35] {dropped}" in path.gateway.run("iptables-save", "-c").stdout,
            "the drop to be counted",
        )
        receiver.setblocking(False)
        with pytest.raises(BlockingIOError):
            receiver.recv(100)


@pytest.mark.parametrize("family", [4, 6])
def test_what_the_host_sends_itself_is_queued_whole_if_asked(
    path: Route, queue: Queue, family: Family
) -> None:
    applied(path.gateway, "--backend", "iptables", "--hook", "all")
    with (
        path.bob.socket(ipv6=family == 6) as receiver,
        path.gateway.socket(port=5060, ipv6=family == 6) as sender,
    ):
        sender.sendto(BIG, receiver.getsockname()[:2])
        [(frame, packet)] = arrivals(queue)
        assert len(frame.data) == HEADERS[family] + len(BIG)
        packet.accept()
        assert receiver.recv(65535) == BIG


def test_apply_is_idempotent_and_replaces_what_it_finds(path: Route, queue: Queue) -> None:
    applied(path.gateway, "--backend", "iptables")
    once = listing(path.gateway)
    done = applied(path.gateway, "--backend", "iptables")
    assert listing(path.gateway) == once
    assert done.stderr == ""
    applied(
        path.gateway, "--backend", "iptables", "--hook", "forward", "--interface", "eth0", "--family", "6"
    )
    other = listing(path.gateway)
    assert other.count("-j REPLAY_MONITOR") == 2
    assert "-A FORWARD -i eth0 -j REPLAY_MONITOR\n-A FORWARD -o eth0 -j REPLAY_MONITOR" in other


@pytest.mark.parametrize("backend", ["iptables", "nft"])
def test_remove_restores_the_listing(path: Route, queue: Queue, backend: str) -> None:
    gateway = path.gateway
    gateway.run("iptables", "-A", "INPUT", "-p", "tcp", "--dport", "22", "-j", "ACCEPT")
    for chain in ("INPUT", "FORWARD"):
        gateway.run("ip6tables", "-t", "security", "-A", chain, "-p", "udp", "-j", "ACCEPT")
    gateway.run("nft", "add table inet other; add chain inet other sip")
    before = listing(gateway)
    if backend == "nft":
        script = Ruleset().nft().replace("queue num 0", "accept")
        gateway.run("sh", "-c", f"nft -f - <<'END'\n{script}END")
    else:
        applied(gateway, "--backend", "iptables")
    assert listing(gateway) != before
    assert rules(gateway, "remove").stdout == f"The rules are removed ({backend}).\n"
    assert listing(gateway) == before
    assert rules(gateway, "remove").stdout == "There were no rules to remove.\n"


def test_apply_removes_what_the_other_backend_left(path: Route, queue: Queue) -> None:
    script = Ruleset().nft().replace("queue num 0", "accept")
    path.gateway.run("sh", "-c", f"nft -f - <<'END'\n{script}END")
    applied(path.gateway, "--backend", "iptables")
    assert "replay_monitor" not in listing(path.gateway)


def test_a_set_that_is_refused_changes_nothing(path: Route) -> None:
    path.gateway.run("iptables", "-t", "security", "-N", "REPLAY_MONITOR")
    path.gateway.run("iptables", "-t", "security", "-A", "OUTPUT", "-g", "REPLAY_MONITOR")
    before = listing(path.gateway)
    assert rules(path.gateway, "remove").returncode == 2
    assert listing(path.gateway) == before
