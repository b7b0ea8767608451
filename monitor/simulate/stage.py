"""The stage on which a scenario is played: it holds the clock, the randomness and what was sent."""

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest

from scapy.packet import Packet

from monitor.antireplay.policy import Policy
from monitor.antireplay.ruling import Reason
from monitor.exceptions import ExceptionName
from monitor.simulate import body, packets, sdp
from monitor.simulate.body import Body, Transfer
from monitor.simulate.call import Call
from monitor.simulate.keyring import Identity
from monitor.simulate.message import Message
from monitor.simulate.packets import Link
from monitor.simulate.party import Party
from monitor.simulate.scenario import Exceptional, Expected, Scenario, Sent
from monitor.wire.flow import Transport
from monitor.wire.frame import NANOSECONDS, Frame

EPOCH = 1_700_000_000
"""When simulated time begins, in seconds since the epoch: 2023-11-14, 22:13:20 UTC."""
MSS = 1460
PACKET_TIME = 20_000_000
"""Nanoseconds between two media packets of a speaker."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What a scenario is made with; the same setting gives the same frames."""

    identities: dict[str, Identity]
    seed: int = 0
    start: int = EPOCH
    """Seconds since the epoch."""
    link: Link = "ethernet"


@dataclass(slots=True)
class _Connection:
    """The next sequence number of each end of a TCP connection, by address."""

    next: dict[str, int]


class Stage:
    """Where the parties act. Each act takes some milliseconds of simulated time."""

    def __init__(self, setting: Setting, name: str) -> None:
        self.identities = setting.identities
        self.rng = random.Random(f"{setting.seed}/{name}")
        self.link = setting.link
        self.time = setting.start * NANOSECONDS
        self.run = 0
        self.frames: list[Frame] = []
        self.sent: list[Sent] = []
        self.expected: list[Expected] = []
        self.exceptions: list[Exceptional] = []
        self._connections: dict[frozenset[tuple[str, int]], _Connection] = {}

    def restart(self) -> None:
        """Here the monitor is stopped and started again."""
        self.run += 1

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.time += round(seconds * 1_000_000) * 1000

    def call(
        self, caller: Party, callee: Party, *, transport: Transport = "udp", next_hop: Party | None = None
    ) -> Call:
        """A call that has not begun."""
        return Call(caller, callee, self.rng, transport=transport, next_hop=next_hop)

    def describe(
        self, party: Party, *, kinds: tuple[str, ...] = ("audio",), suites: tuple[str, ...] = ()
    ) -> sdp.Description:
        """A description with fresh keys."""
        return sdp.describe(party, self.rng, kinds=kinds, suites=suites)

    def plain(self, party: Party) -> Body:
        """A plain SDP body of ``party`` with a fresh key."""
        return body.sdp(self.describe(party))

    def sealed(
        self,
        inner: Body,
        signer: str,
        *recipients: str,
        transfer: Transfer = "binary",
        detached: bool = True,
        key_length: int = 16,
    ) -> Body:
        """The body signed, then encrypted for the recipients (names of identities)."""
        whole = body.signed(
            inner, self.identities[signer], self.time // NANOSECONDS, self.rng, detached=detached
        )
        return body.sealed(
            whole,
            [self.identities[name] for name in recipients],
            self.rng,
            transfer=transfer,
            key_length=key_length,
        )

    def send(
        self,
        message: Message,
        reason: Reason | None = None,
        *alerts: str,
        exception: ExceptionName | None = None,
        note: str = "",
        mtu: int = packets.MTU,
        mss: int = MSS,
        order: Callable[[list[Packet]], Sequence[Packet]] = list,
    ) -> Message:
        """Put the message on the wire.

        :param reason: of the ruling that must follow, None where there is nothing to rule on.
        :param note: what happens here, for people.
        :param mtu: the size above which a datagram is fragmented.
        :param mss: the size of TCP segments.
        :param order: rearranges the fragments.
        """
        payload = message.octets()
        if message.transport == "tcp":
            frame = self._stream(message.source, message.destination, payload, mss)
        else:
            parts = packets.datagram(message.source, message.destination, payload, self.rng, mtu)
            frame = self._emit(order(parts), message.source, message.destination)
        self._expect(message, frame, reason, alerts, exception, note)
        self.wait(0.01 + self.rng.randrange(5000) / 1_000_000)
        return message

    def send_together(self, *messages: tuple[Message, Reason | None]) -> None:
        """Put several messages of one sender into one TCP segment."""
        first = messages[0][0]
        payload = b"".join(message.octets() for message, _ in messages)
        frame = self._stream(first.source, first.destination, payload, len(payload))
        for message, reason in messages:
            self._expect(message, frame, reason, (), None)
        self.wait(0.01)

    def talk(self, *tracks: tuple[Party, Party, Sequence[bytes]]) -> None:
        """Let media packets go from each speaker to a listener, one of each every 20 ms."""
        begin = self.time
        for tick, together in enumerate(zip_longest(*(said for _, _, said in tracks))):
            self.time = begin + tick * PACKET_TIME
            for (speaker, listener, _), packet in zip(tracks, together, strict=True):
                if packet is not None:
                    source, destination = speaker.at(port=speaker.media), listener.at(port=listener.media)
                    parts = packets.datagram(source, destination, packet, self.rng)
                    self._emit(parts, source, destination)

    def _expect(
        self,
        message: Message,
        frame: int,
        reason: Reason | None,
        alerts: Iterable[str],
        exception: ExceptionName | None,
        note: str = "",
    ) -> None:
        self.sent.append(Sent(message, frame, reason, note, self.run))
        if reason is not None:
            self.expected.append(Expected(frame, reason, frozenset(alerts)))
        if exception is not None:
            self.exceptions.append(Exceptional(frame, exception))

    def _emit(self, parts: Iterable[Packet], source: Party, destination: Party) -> int:
        for data in packets.linked(parts, source, destination, self.link):
            number = len(self.frames) + 1
            self.frames.append(Frame(number, self.time, packets.LINK_TYPES[self.link], data, len(data)))
            self.wait(0.0002)
        return len(self.frames)

    def _stream(self, source: Party, destination: Party, payload: bytes, mss: int) -> int:
        """Send over the connection between the two, opened where there is none; the last frame with data."""
        ends = frozenset({(source.address, source.port), (destination.address, destination.port)})
        if ends not in self._connections:
            self._connections[ends] = self._open(source, destination)
        numbers = self._connections[ends].next
        last = 0
        for at in range(0, len(payload), mss):
            piece = payload[at : at + mss]
            last = self._segment(source, destination, numbers, "PA", piece)
            self._segment(destination, source, numbers, "A")
        return last

    def _open(self, source: Party, destination: Party) -> _Connection:
        connection = _Connection({party.address: self.rng.getrandbits(32) for party in (source, destination)})
        numbers = connection.next
        self._segment(source, destination, {**numbers, destination.address: 0}, "S")
        numbers[source.address] += 1
        self._segment(destination, source, numbers, "SA")
        numbers[destination.address] += 1
        self._segment(source, destination, numbers, "A")
        return connection

    def _segment(
        self, source: Party, destination: Party, numbers: dict[str, int], flags: str, payload: bytes = b""
    ) -> int:
        packet = packets.segment(
            source,
            destination,
            self.rng,
            flags=flags,
            sequence=numbers[source.address],
            acknowledgment=numbers[destination.address],
            payload=payload,
        )
        numbers[source.address] += len(payload)
        return self._emit([packet], source, destination)


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a scenario is made."""

    name: str
    story: str
    attack: bool
    play: Callable[[Stage], None]
    policy: Policy = field(default_factory=Policy)

    def made(self, setting: Setting) -> Scenario:
        """The scenario, made from the setting."""
        stage = Stage(setting, self.name)
        self.play(stage)
        return Scenario(
            self.name,
            self.story,
            self.attack,
            self.policy,
            tuple(stage.frames),
            tuple(stage.sent),
            tuple(stage.expected),
            tuple(stage.exceptions),
        )


class Repertoire:
    """The scenarios of one file, in the order in which they are told. A docstring is the story."""

    def __init__(self, *, attack: bool) -> None:
        self.attack = attack
        self.recipes: list[Recipe] = []

    def scenario(
        self, policy: Policy | None = None
    ) -> Callable[[Callable[[Stage], None]], Callable[[Stage], None]]:
        """Take the function below in under its own name."""

        def take(play: Callable[[Stage], None]) -> Callable[[Stage], None]:
            name = play.__name__.replace("_", "-")
            story = " ".join((play.__doc__ or "").split())
            self.recipes.append(Recipe(name, story, self.attack, play, policy or Policy()))
            return play

        return take
