"""What a denial does on real packets: an answer, a message made harmless, a reset; what goes on beside it."""

import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from calls import plain_invite, queue_sip, read_whole, silent
from daemon import PORT, Daemon
from namespaces import Host, Network, wait_until
from sipp_calls import Sipp

from monitor.antireplay.ruling import Reason
from monitor.enforce.neutralise import neutralise
from monitor.simulate.stage import Stage
from monitor.sip import message as sip

pytestmark = pytest.mark.live


def with_via(octets: bytes, via: bytes) -> bytes:
    """A message with another value of its top Via."""
    return re.sub(rb"(?m)^Via: [^\r]*", b"Via: " + via, octets, count=1)


def used(phone: socket.socket, caller: socket.socket, octets: bytes) -> None:
    """Have a call's keys used."""
    caller.sendto(octets, phone.getsockname())
    assert phone.recv(65536) == octets


class TestResponses:
    VIA = b"SIP/2.0/UDP 10.0.0.9:5070;rport;branch=z9hG4bK-live"

    @pytest.mark.parametrize("ipv6", [False, True], ids=["ipv4", "ipv6"])
    def test_the_sender_of_a_replay_is_told_from_where_he_sent_it_to(
        self, network: Network, folder: Path, stage: Stage, ipv6: bool
    ) -> None:
        alice, bob, charles = (network.host(name) for name in ("alice", "bob", "charles"))
        queue_sip(alice)
        octets = with_via(plain_invite(stage), self.VIA)
        daemon = Daemon(alice, folder, policy='on_deny = "respond"', keys=None)
        with (
            alice.socket(port=PORT, ipv6=ipv6) as phone,
            bob.socket(ipv6=ipv6) as caller,
            charles.socket(ipv6=ipv6) as attacker,
        ):
            used(phone, caller, octets)
            attacker.sendto(octets, phone.getsockname())
            answer, sender = attacker.recvfrom(65536)
            assert sender[:2] == phone.getsockname()[:2]
            read = sip.parse(answer)
            assert (read.status, read.troubles, bool(read.to_tag)) == (403, (), True)
            assert read.header("reason") == b'SIP;cause=403;text="source-changed"'
            assert read.vias[0].received == (charles.address6 if ipv6 else charles.address)
            assert read.vias[0].rport == attacker.getsockname()[1]
            assert silent(phone)
            # The phone's port is still all its own.
            used(phone, caller, plain_invite(stage))
            for _ in range(30):
                attacker.sendto(octets, phone.getsockname())
            wait_until(lambda: daemon.rulings().count(Reason.SOURCE_CHANGED) == 31, "the denials")
            sent = daemon.metric("replay_monitor_responses_total", result="sent")
            limited = daemon.metric("replay_monitor_responses_total", result="limited")
            assert sent + limited == 31
            assert sent >= 10
            assert limited > 0
            assert daemon.metric("replay_monitor_packet_verdicts_total", verdict="deny") == 31

    def test_where_the_server_keeps_the_port_at_all_addresses_the_answer_has_another(
        self, network: Network, folder: Path, stage: Stage
    ) -> None:
        alice, bob, charles = (network.host(name) for name in ("alice", "bob", "charles"))
        queue_sip(alice)
        octets = with_via(plain_invite(stage), self.VIA)
        Daemon(alice, folder, policy='on_deny = "respond"', keys=None)
        with alice.entered():
            phone = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        phone.bind(("0.0.0.0", PORT))
        phone.settimeout(5)
        with phone, bob.socket() as caller, charles.socket() as attacker:
            caller.sendto(octets, (alice.address, PORT))
            assert phone.recv(65536) == octets
            attacker.sendto(octets, (alice.address, PORT))
            answer, sender = attacker.recvfrom(65536)
            assert sip.parse(answer).status == 403
            assert sender[0] == alice.address

    def test_a_gateway_answers_with_the_address_of_whom_it_protects(
        self, network: Network, folder: Path, stage: Stage
    ) -> None:
        charles, gateway, alice = (network.host(name) for name in ("charles", "gateway", "alice"))
        gateway.run("sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
        gateway.run("sh", "-c", "echo 0 | tee /proc/sys/net/ipv4/conf/*/send_redirects")
        for one, other in ((charles, alice), (alice, charles)):
            one.run("ip", "route", "add", f"{other.address}/32", "via", gateway.address)
        queue_sip(gateway, "FORWARD")
        octets = with_via(plain_invite(stage), self.VIA)
        Daemon(gateway, folder, policy='on_deny = "respond"', keys=None)
        with alice.socket(port=PORT) as phone, charles.socket() as caller:
            used(phone, caller, octets)
            caller.sendto(octets.replace(b"Call-ID: ", b"Call-ID: x"), phone.getsockname())
            answer, sender = caller.recvfrom(65536)
            assert sip.parse(answer).status == 403
            assert sender == phone.getsockname()
            assert silent(phone)


def test_calls_on_one_connection_go_on_though_replays_stand_between(
    network: Network, folder: Path, stage: Stage
) -> None:
    alice, bob = network.host("alice"), network.host("bob")
    queue_sip(alice)
    sipp = Sipp(folder, stage, 150, 3)
    daemon = Daemon(alice, folder, policy='on_deny = "neutralise"', keys=None)
    with sipp.answering(alice, "t1"):
        done = sipp.call(bob, alice, "t1", 415)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    rulings = daemon.rulings()
    assert rulings.count(Reason.KEY_REUSED) == sipp.replays == 50
    assert rulings.count(Reason.FIRST_USE) == 100
    assert daemon.metric("replay_monitor_packet_verdicts_total", verdict="deny") == 0
    assert daemon.metric("replay_monitor_rewritten_packets_total", how="neutralised") >= 50
    assert daemon.metric("replay_monitor_rewritten_packets_total", how="reset") == 0


def test_a_denied_caller_of_sipp_gets_its_403_and_acknowledges_it(
    network: Network, folder: Path, stage: Stage
) -> None:
    alice, bob = network.host("alice"), network.host("bob")
    queue_sip(alice)
    sipp = Sipp(folder, stage, 20, 4)
    daemon = Daemon(alice, folder, policy='on_deny = "respond"', keys=None)
    with sipp.answering(alice, "u1"):
        done = sipp.call(bob, alice, "u1", 403)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    assert daemon.metric("replay_monitor_responses_total", result="sent") == sipp.replays == 5


class Line:
    """A TCP connection from one host to a phone of another."""

    def __init__(self, caller: Host, listener: socket.socket) -> None:
        self.caller = caller.socket(socket.SOCK_STREAM)
        self.caller.connect(listener.getsockname())
        self.phone = listener.accept()[0]
        self.phone.settimeout(5)

    def read(self, length: int) -> bytes:
        """So many octets, at the phone."""
        return read_whole(self.phone, length)

    def until_reset(self) -> None:
        """Go on calling until the kernel says that nobody is there."""
        with suppress(ConnectionResetError, BrokenPipeError):
            for _ in range(100):
                self.caller.sendall(bytes(1 << 16))
            raise AssertionError("there still is somebody")

    def close(self) -> None:
        """Hang up, both."""
        self.caller.close()
        self.phone.close()


@pytest.fixture
def lines(network: Network) -> Iterator[tuple[Host, Line, Line]]:
    """Bob and Charles are connected to Alice, whose TCP is queued; who else there is is Alice."""
    alice, bob, charles = (network.host(name) for name in ("alice", "bob", "charles"))
    # The kernel parts a large packet, and loses some of it where conntrack does not know the connection yet.
    alice.run("iptables", "-w", "-A", "INPUT", "-m", "conntrack", "--ctstate", "NEW", "-j", "ACCEPT")
    with alice.socket(socket.SOCK_STREAM, port=PORT) as listener:
        listener.listen()
        made = Line(bob, listener), Line(charles, listener)
        queue_sip(alice)
        yield alice, *made
        for each in made:
            each.close()


class TestStreams:
    def test_messages_of_any_length_pass_without_a_stall_and_long_replays_reset_the_connection(
        self, lines: tuple[Host, Line, Line], folder: Path, stage: Stage
    ) -> None:
        alice, bob, charles = lines
        daemon = Daemon(alice, folder, policy='on_deny = "neutralise"', keys=None)
        for size in (0, 3000, 14_000, 58_000, 200_000):
            octets = plain_invite(stage, size, "tcp")
            bob.caller.sendall(octets)
            assert bob.read(len(octets)) == octets
        assert daemon.metric("replay_monitor_core_events_total", event="let-go-long") >= 2
        charles.caller.sendall(octets)
        with pytest.raises(ConnectionResetError):
            charles.read(len(octets))
        charles.until_reset()
        wait_until(lambda: daemon.rulings()[-1] is Reason.SOURCE_CHANGED, "the denial")

    @pytest.mark.parametrize("size", [0, 3000, 14_000])
    def test_a_replay_arrives_harmless_and_the_connection_goes_on(
        self, lines: tuple[Host, Line, Line], folder: Path, stage: Stage, size: int
    ) -> None:
        alice, bob, charles = lines
        Daemon(alice, folder, policy='on_deny = "neutralise"', keys=None)
        octets, later = plain_invite(stage, size, "tcp"), plain_invite(stage, size, "tcp")
        bob.caller.sendall(octets)
        assert bob.read(len(octets)) == octets
        charles.caller.sendall(octets + later)
        harmless = charles.read(len(octets))
        assert harmless == neutralise(octets)
        assert charles.read(len(later)) == later

    def test_a_sender_that_waits_for_the_first_part_to_arrive_gets_the_rest_through(
        self, lines: tuple[Host, Line, Line], folder: Path, stage: Stage
    ) -> None:
        """Nagle's algorithm keeps the second part back, which the first one waits for."""
        alice, bob, _ = lines
        Daemon(alice, folder, policy='on_deny = "neutralise"', keys=None)
        octets = plain_invite(stage, 0, "tcp")
        for _ in range(3):
            bob.caller.sendall(octets[:200])
            bob.caller.sendall(octets[200:])
            assert bob.read(len(octets)) == octets

    def test_a_reset_leaves_the_recipient_clean_and_tells_the_sender(
        self, lines: tuple[Host, Line, Line], folder: Path, stage: Stage
    ) -> None:
        alice, bob, charles = lines
        daemon = Daemon(alice, folder, policy='on_deny = "reset"', keys=None)
        octets, later = plain_invite(stage, 3000, "tcp"), plain_invite(stage, 0, "tcp")
        bob.caller.sendall(octets)
        assert bob.read(len(octets)) == octets
        charles.caller.sendall(later + octets)
        assert charles.read(len(later)) == later
        with pytest.raises(ConnectionResetError):
            charles.read(len(octets))
        charles.until_reset()
        bob.caller.sendall(plain_invite(stage, 0, "tcp"))
        assert bob.phone.recv(100)
        assert daemon.metric("replay_monitor_rewritten_packets_total", how="reset") >= 1


BARESIP = """\
poll_method epoll
sip_listen {address}:{port}
audio_source aubridge,sound
audio_player aubridge,sound
audio_alert aubridge,alert
module_path /usr/lib/baresip/modules
module g711.so
module aubridge.so
module srtp.so
module_tmp account.so
module_app menu.so
"""


@pytest.mark.skipif(shutil.which("baresip") is None, reason="baresip is not installed")
@pytest.mark.oracle
def test_a_phone_refuses_what_was_made_harmless_and_the_sender_is_told(
    network: Network, folder: Path, stage: Stage
) -> None:
    alice, bob, charles = (network.host(name) for name in ("alice", "bob", "charles"))
    home = folder / "phone"
    home.mkdir()
    (home / "config").write_text(BARESIP.format(address=alice.address, port=PORT))
    (home / "accounts").write_text(
        f"<sip:alice@{alice.address}>;regint=0;mediaenc=srtp-mand;audio_codecs=PCMU/8000/1\n"
    )
    alice.run("ip", "route", "add", "default", "via", bob.address)
    queue_sip(alice)
    daemon = Daemon(alice, folder, policy='on_deny = "neutralise"', keys=None)
    with (home / "log").open("w") as log:
        baresip = alice.start(
            *("baresip", "-f", str(home), "-4"), stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    alice.until_bound(PORT, baresip)
    octets = with_via(plain_invite(stage), b"SIP/2.0/UDP 10.0.0.9;rport;branch=z9hG4bK-live")
    octets = octets.replace(b"INVITE sip:alice@example.org", f"INVITE sip:alice@{alice.address}".encode())
    with bob.socket() as caller, charles.socket() as attacker:
        caller.sendto(octets, (alice.address, PORT))
        assert sip.parse(caller.recv(65536)).status in (100, 180)
        replay = octets.replace(b"Call-ID: ", b"Call-ID: x").replace(b"4bK-live", b"4bK-replay")
        attacker.sendto(replay, (alice.address, PORT))
        assert (sip.parse(attacker.recv(65536)).status or 0) >= 400
    wait_until(lambda: len(daemon.rulings()) == 2, "two rulings")
    assert daemon.rulings() == [Reason.FIRST_USE, Reason.KEY_REUSED]
