"""Properties of the whole pipeline: how packets are cut changes no ruling, and nothing ever escapes."""

import itertools
import random
import struct
from dataclasses import replace
from functools import cache
from pathlib import Path

from frames import fragments
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.antireplay.policy import Policy
from monitor.assembly import REPLAY_SECRET, assemble
from monitor.config.selector import PolicyList
from monitor.exceptions import ExceptionName, Outcome
from monitor.keys.ring import KeyRing, load
from monitor.keys.trust import TrustStore
from monitor.record import ExceptionRecord, Record
from monitor.simulate import keyring
from monitor.simulate.scenario import Scenario
from monitor.simulate.scenarios import RECIPES
from monitor.simulate.stage import Setting
from monitor.store.memory import MemoryStore
from monitor.wire import link
from monitor.wire.flow import Discard
from monitor.wire.frame import Frame

KEYS = Path(__file__).parents[2] / "pcaps" / "keys"
UDP, TCP = 17, 6
FIN_PSH = 0x09
LENIENT = Policy(outcomes=dict.fromkeys(ExceptionName, Outcome.ALERT))
"""Goes on where it can, so that what comes after is reached too."""


@cache
def ring() -> KeyRing:
    return load(KEYS)


@cache
def setting() -> Setting:
    return Setting(keyring.load(KEYS))


@cache
def scenario(name: str) -> Scenario:
    return RECIPES[name].made(setting())


def records(frames: list[Frame] | tuple[Frame, ...], policy: Policy) -> list[Record]:
    """What is told of frames, each answered and settled at once."""
    core = assemble(
        store=MemoryStore(),
        secret=REPLAY_SECRET,
        policies=PolicyList(policy),
        directory=ring().directory,
        trust=TrustStore.load(KEYS / "ca.pem"),
    )
    told: list[Record] = []
    for frame in frames:
        core.feed(frame)
        while asks := core.asks():
            for ask in asks:
                core.answer(ask.number, ring().unwrap(ask.request))
        told += [record for settled in core.settle() for record in settled.records]
    core.finish()
    return told + [record for settled in core.settle() for record in settled.records]


def rulings(told: list[Record]) -> list[tuple[object, ...]]:
    """What of the records must not depend on how packets are cut."""
    return [
        (record.call_id, record.exception)
        if isinstance(record, ExceptionRecord)
        else (
            record.call_id,
            record.cseq,
            record.status,
            record.reason,
            record.spi,
            record.tiers,
            record.alerts,
        )
        for record in told
    ]


@cache
def expected(name: str) -> list[tuple[object, ...]]:
    return rulings(records(scenario(name).frames, scenario(name).policy))


def cut(frame: Frame, chance: random.Random) -> list[Frame]:
    """A frame as several: a datagram in fragments of any order, a segment in pieces; any other as it is."""
    try:
        _, at = link.network(frame.link, frame.data)
    except Discard:
        return [frame]
    packet = frame.data[at:]
    if packet[0] == 0x45:
        packet = packet[: int.from_bytes(packet[2:4])]
        protocol = packet[9] if int.from_bytes(packet[6:8]) & 0x3FFF == 0 else None
    else:
        protocol = packet[6]
    if protocol == UDP:
        parts = fragments(packet, chance.choice((8, 64, 504, 1000)), frame.number)
        chance.shuffle(parts)
    elif protocol == TCP:
        parts = segments(packet, chance)
    else:
        return [frame]
    return [frame._replace(link=link.RAW, data=part, length=len(part)) for part in parts]


def segments(packet: bytes, chance: random.Random) -> list[bytes]:
    """A TCP segment in several, some of which come early or twice."""
    start = 20 if packet[0] >> 4 == 4 else 40
    offset = (packet[start + 12] >> 4) * 4
    head, payload = packet[start : start + offset], packet[start + offset :]
    if not payload:
        return [packet]
    cuts = sorted({0, len(payload), *(chance.randrange(len(payload)) for _ in range(chance.randrange(6)))})
    parts = []
    for begin, end in itertools.pairwise(cuts):
        sequence = (int.from_bytes(head[4:8]) + begin) % (1 << 32)
        flags = head[13] if end == len(payload) else head[13] & ~FIN_PSH
        tcp = head[:4] + struct.pack("!I", sequence) + head[8:13] + bytes((flags,)) + head[14:]
        parts.append(ip(packet[:start], tcp + payload[begin:end]))
    for _ in range(chance.randrange(3)):
        first, second = chance.randrange(len(parts)), chance.randrange(len(parts))
        parts[first], parts[second] = parts[second], parts[first]
    if chance.random() < 0.3:
        parts.insert(chance.randrange(len(parts)), chance.choice(parts))
    return parts


def ip(head: bytes, payload: bytes) -> bytes:
    if len(head) == 20:
        return head[:2] + struct.pack("!H", 20 + len(payload)) + head[4:10] + b"\0\0" + head[12:] + payload
    return head[:4] + struct.pack("!H", len(payload)) + head[6:] + payload


@settings(max_examples=60)
@given(st.sampled_from(sorted(RECIPES)), st.randoms(use_true_random=False))
def test_how_packets_are_cut_changes_no_ruling(name: str, chance: random.Random) -> None:
    frames = [part for frame in scenario(name).frames for part in cut(frame, chance)]
    assert rulings(records(frames, scenario(name).policy)) == expected(name)


def test_every_ruling_survives_the_smallest_cuts() -> None:
    """Every scenario once, whatever the property above draws."""
    for name in RECIPES:
        frames = [part for frame in scenario(name).frames for part in cut(frame, random.Random(name))]
        assert rulings(records(frames, scenario(name).policy)) == expected(name), name


STORIES = ("all-at-once", "behind-a-proxy", "overlapping-fragments")
FRAMES = [frame for name in STORIES for frame in scenario(name).frames]
POLICIES = (LENIENT, replace(LENIENT, strict=True), Policy())


@st.composite
def garbage(draw: st.DrawFn) -> Frame:
    """Octets of any link type, or a frame of a scenario in which some are changed, cut out or doubled."""
    kind = draw(st.sampled_from(sorted(link.SUPPORTED)))
    if draw(st.booleans()):
        octets = draw(st.binary(max_size=120))
        return Frame(1, draw(st.integers(0, 1 << 62)), kind, octets, len(octets))
    frame = draw(st.sampled_from(FRAMES))
    data = bytearray(frame.data)
    for _ in range(draw(st.integers(1, 8))):
        at = draw(st.integers(0, max(len(data) - 1, 0)))
        upto = at + draw(st.integers(0, 12))
        match draw(st.integers(0, 2)):
            case 0:
                data[at : at + 1] = bytes((draw(st.integers(0, 255)),))
            case 1:
                del data[at:upto]
            case _:
                data[at:at] = data[at:upto]
    return frame._replace(data=bytes(data), length=max(len(data), frame.length))


@settings(max_examples=80)
@given(
    st.lists(garbage(), min_size=1, max_size=10),
    st.sampled_from(POLICIES),
)
def test_garbage_never_escapes(frames: list[Frame], policy: Policy) -> None:
    records(frames, policy)
