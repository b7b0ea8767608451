"""Real telephony past the monitor, then everything it said once more in disguise.

Hundreds of calls of sipp and baresip through kamailio: none may be denied. Then each recorded INVITE, and
every other message that bore a key, is sent again in many forms: none may be accepted.
"""

import random
import re
import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

import pytest
from attacker import BATCH, MTU, Attacker, Ear, Ledger, Replay
from disguises import PLAIN, SEALED, new_call, next_number, verbatim
from kamailio import PORT
from namespaces import Host, Network, unavailable, wait_until
from plays import LOSSY, QUICK, SLOW
from rates import Rates
from recording import Message, Recorded, over, with_keys
from sipp import Sipp
from telephony import REACHES, Bill, Telephony

from monitor.antireplay.observation import T
from monitor.antireplay.ruling import Reason
from monitor.wire import address
from monitor.wire.frame import NANOSECONDS

pytestmark = pytest.mark.live

PROGRAMS = ("kamailio", "sipp", "baresip", "tcpreplay", "tcprewrite")
CALLS = 3
"""Of each kind over each reach."""


@pytest.fixture(scope="module")
def telephony(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Telephony]:
    """The hosts, the proxy and the monitors."""
    reason = unavailable()
    if reason:
        pytest.skip(f"live tests: {reason}")
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    network = Network("stacks")
    try:
        yield Telephony(network, tmp_path_factory.mktemp("stacks"))
    finally:
        network.close()


@dataclass
class Calls:
    """What came of the calls."""

    made: int = 0
    failed: list[str] = field(default_factory=list)

    def end(self, runs: Iterable[Sipp]) -> None:
        """Wait for the end of runs."""
        for run in runs:
            self.made += run.calls
            self.failed += run.trouble()


@pytest.fixture(scope="module")
def calls(telephony: Telephony) -> Calls:
    """All calls, made."""
    calls = Calls()
    slow = telephony.begin(Bill(play, reach, 2) for play in SLOW for reach in REACHES[:3])
    quick = telephony.begin(Bill(play, reach, CALLS) for play in QUICK for reach in REACHES)
    for reach in REACHES[:4]:
        calls.made += telephony.talk(reach)
    calls.end((*quick, *slow))
    # Few enough for one of the eight tries of a message to get through.
    with telephony.network.losing(10, telephony.bob, telephony.proxy, telephony.alice, telephony.carol):
        calls.end(telephony.begin(Bill(play, reach, 10) for play in LOSSY for reach in REACHES[:3:2]))
    return calls


def test_no_call_is_denied(telephony: Telephony, calls: Calls, rates: Rates) -> None:
    told = [event for monitor in telephony.monitors.values() for event in monitor.events()]
    denials = [event for event in told if "deny" in (event.get("verdict"), event.get("outcome"))]
    reasons = [event["reason"] for event in told if event["type"] == "ruling"]
    rates.add("no call denied", len(denials), len(reasons), f"rulings, in {calls.made} calls")
    assert denials == []
    assert calls.failed == []
    accepts = {str(reason) for reason in Reason if not reason.denies}
    assert set(reasons) == accepts - {str(Reason.MOVED)}


def test_no_replay_through_the_proxy_is_accepted(telephony: Telephony, calls: Calls, rates: Rates) -> None:
    """A recorded INVITE has its credentials with it, so the proxy takes it, and calls."""
    charles, proxy = telephony.charles, telephony.proxy
    addresses = {charles.address, charles.address6}
    ledgers = {name: Ledger(monitor) for name, monitor in telephony.monitors.items()}
    attacker, rng = Attacker(charles, proxy), random.Random(2)
    sent = set()
    for each in recorded(telephony, "gateway"):
        message = each.message
        # Over TCP one denial would hold up all that follows on the connection. A transaction that lasts
        # is not begun again.
        over_udp = each.flow.transport == "udp" and re.match(r"INVITE sip:\S+-udp[46]@", message.start_line)
        if over_udp and message.has_credentials and time.time_ns() - each.frame.time > 10 * NANOSECONDS:
            for octets in (message.octets(), new_call(message, rng).octets()):
                attacker.send(replace(_replay(each, charles, proxy), octets=octets))
                sent.add(Message.read(octets).get("Call-ID"))
    attacker.close()

    def ruled_on() -> set[str]:
        ledgers["gateway"].update()
        rulings = ledgers["gateway"].rulings
        return {ruling["call_id"] for ruling in rulings if ruling["source"] in addresses}

    wait_until(lambda: sent <= ruled_on(), "rulings on each", 30)
    for ledger in ledgers.values():
        ledger.update()
    # A phone may still be answering the call that was recorded.
    invites = (each for ledger in ledgers.values() for each in ledger.accepted if each["status"] is None)
    accepted = {each["call_id"] for each in invites if each["method"] == "INVITE"}
    rates.add("no replay accepted", len(accepted & sent), len(sent), "replays")
    assert len(sent) > 100
    assert accepted & sent == set()


def recorded(telephony: Telephony, name: str) -> list[Recorded]:
    """What a monitor has seen of keys."""
    return with_keys(telephony.monitors[name], telephony.folder / name / "seen.pcap")


class Place:
    """Where the monitor is that recordings are sent past again, and who would hear them behind it."""

    def __init__(self, telephony: Telephony, name: str) -> None:
        self.monitor = telephony.monitors[name]
        self.target = telephony.alice if name == "alice" else telephony.proxy
        self.addresses = {address.pack(self.target.address), address.pack(self.target.address6)}
        self.recorded = recorded(telephony, name)
        self.over = over(telephony.folder / name / "seen.pcap")
        self.ledger = Ledger(self.monitor)
        self.attacker = Attacker(telephony.charles, telephony.alice if name == "alice" else telephony.gateway)
        self.ear = Ear(self.target, {PORT, *(each.flow.destination_port for each in self.datagrams())})
        self.folder = telephony.folder / name
        self.sent = 0
        self.heard: list[bytes] = []
        """Replays that got through."""

    def datagrams(self) -> list[Recorded]:
        """What was recorded on its way to the target, over UDP."""
        here = (each for each in self.recorded if each.flow.destination in self.addresses)
        return [each for each in here if each.flow.transport == "udp"]

    def close(self) -> None:
        """Leave all in peace."""
        self.attacker.close()
        self.ear.close()

    def send(self, replays: Iterable[Replay]) -> None:
        """Send replays, and wait until each is ruled on."""
        left = iter(replays)
        while batch := list(islice(left, BATCH)):
            for replay in batch:
                self.attacker.send(replay)
            self.ruled_on(len(batch))
            self.heard += [each.octets for each in batch if self.ear.heard(each.octets)]
            self.attacker.hang_up()

    def replay(self, recorded: Sequence[Recorded], *source: str) -> None:
        """Have tcpreplay send frames, and wait until each is ruled on."""
        self.attacker.replay([each.frame for each in recorded], self.folder, *source)
        self.ruled_on(len(recorded))
        self.heard += [each.octets for each in recorded if self.ear.heard(each.octets)]

    def ruled_on(self, count: int) -> None:
        """Wait until so many more messages are ruled on."""
        self.sent += count
        wait_until(lambda: self.ledger.update() >= self.sent, f"{count} rulings", 60, self.monitor.process)
        self.ear.listen()


@pytest.fixture(scope="module", params=["alice", "gateway"])
def place(request: pytest.FixtureRequest, telephony: Telephony, calls: int) -> Iterator[Place]:
    """Each of two monitors in turn, with nobody around."""
    telephony.hush()
    place = Place(telephony, request.param)
    yield place
    place.close()


def test_no_replay_is_accepted(place: Place, telephony: Telephony, rates: Rates) -> None:
    rng, charles = random.Random(0), telephony.charles
    try:
        place.send(
            replay for each in place.recorded for replay in elsewhere(each, place.target, charles, rng)
        )
        # Within T an old message, sent from where it came from, is a retransmission to anybody.
        # So it is after a BYE, whose call may still be refreshed.
        latest = max(*(each.frame.time for each in place.recorded), *place.over.values())
        wait_until(lambda: time.time_ns() > latest + T, "T to pass", T / NANOSECONDS)
        # What a host said itself it does not take from outside.
        others = [each for each in place.recorded if each.flow.source not in place.addresses]
        place.send(replay for each in others for replay in whence(each, place, rng))
        # What the kernel reassembled is no frame that could be sent.
        whole = [each for each in place.datagrams() if each.octets in each.frame.data[: MTU + 1]]
        place.replay(whole)
        place.replay(whole, charles.address, charles.address6)
    finally:
        accepted = len(place.ledger.accepted) + len(place.heard)
        rates.add("no replay accepted", accepted, place.sent, "replays")
    assert place.ledger.accepted == []
    assert place.heard == []
    wanted = {Reason.KEY_REUSED, Reason.ENVELOPE_REUSED, Reason.SOURCE_CHANGED, Reason.DIALOG_ENDED}
    assert {str(reason) for reason in wanted} <= {ruling["reason"] for ruling in place.ledger.rulings}


def elsewhere(recorded: Recorded, target: Host, attacker: Host, rng: random.Random) -> Iterator[Replay]:
    """Replays from another host."""
    message = recorded.message
    bare = _replay(recorded, attacker, target)
    if not message.opens_a_call:
        yield bare
        yield replace(bare, octets=new_call(message, rng).octets())
        return
    for disguise in SEALED if message.is_sealed else PLAIN:
        yield replace(bare, octets=disguise(message, rng).octets())
    yield replace(bare, port=rng.randrange(1024, 65536))
    yield replace(bare, piece=296)
    yield replace(bare, octets=new_call(message, rng).octets(), piece=296)
    yield replace(bare, transport="tcp")
    yield replace(bare, octets=new_call(message, rng).octets(), transport="tcp")


def whence(recorded: Recorded, place: Place, rng: random.Random) -> Iterator[Replay]:
    """Replays from where the message came from, when all is over."""
    source, message = address.text(recorded.flow.source), recorded.message
    # In a dialog that lives on, as under loss some do, the next message from its party's own address is a
    # refresh, whoever forged it (docs/rulings.md); but not an ACK, which has the number of an INVITE.
    ends = message.get("Call-ID") in place.over or message.start_line.startswith("ACK ")
    for disguise in (verbatim, next_number) if ends else (verbatim,):
        octets = disguise(message, rng).octets()
        yield replace(_replay(recorded, place.target, place.target), octets=octets, source=source)


def _replay(recorded: Recorded, source: Host, target: Host) -> Replay:
    if len(recorded.flow.source) == 16:
        return Replay(recorded.octets, source.address6, PORT, target.address6, PORT)
    return Replay(recorded.octets, source.address, PORT, target.address, PORT)


def test_without_the_rules_each_disguise_would_have_been_heard(place: Place, telephony: Telephony) -> None:
    telephony.remove_rules(place.monitor)
    rng = random.Random(1)
    of_each_kind = {each.message.is_sealed: each for each in place.recorded if each.message.opens_a_call}
    assert set(of_each_kind) == {False, True}
    replays = [
        replay
        for each in of_each_kind.values()
        for replay in elsewhere(each, place.target, telephony.charles, rng)
    ]
    for replay in replays:
        place.attacker.send(replay)

    def heard() -> bool:
        place.ear.listen()
        return all(place.ear.heard(replay.octets) for replay in replays)

    wait_until(heard, "the replays to arrive")
