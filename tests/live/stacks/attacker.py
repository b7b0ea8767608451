"""Who sends recordings again: raw frames by scapy, files by tcpreplay, connections by the kernel."""

import json
import random
import selectors
import socket
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from daemon import Daemon
from namespaces import Host
from scapy.layers.inet import IP, UDP, fragment
from scapy.layers.inet6 import IPv6, IPv6ExtHdrFragment, fragment6
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw
from sipp import Transport

from monitor.capture.pcap import PcapWriter, open_capture
from monitor.wire.frame import Frame
from monitor.wire.link import ETHERNET

MTU = 1500
BATCH = 200
"""Replays that are under way at a time."""


class Ear:
    """All that gets through to the ports of a host, over UDP and TCP."""

    def __init__(self, host: Host, ports: Iterable[int]) -> None:
        self._selector = selectors.DefaultSelector()
        self._streams: list[bytearray] = []
        self._datagrams: set[bytes] = set()
        self._sockets: list[socket.socket] = []
        for port in ports:
            for ipv6 in (False, True):
                for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
                    made = self._keep(host.socket(kind, port=port, ipv6=ipv6))
                    if kind == socket.SOCK_STREAM:
                        made.listen(BATCH)
                    self._selector.register(made, selectors.EVENT_READ, None)

    def _keep(self, made: socket.socket) -> socket.socket:
        made.setblocking(False)
        self._sockets.append(made)
        return made

    def close(self) -> None:
        """Hear no more."""
        for each in self._sockets:
            each.close()
        self._selector.close()

    def heard(self, octets: bytes) -> bool:
        """Whether a datagram, or a connection, has brought this message."""
        return octets in self._datagrams or any(octets in stream for stream in self._streams)

    def listen(self) -> None:
        """Take in what there is."""
        while ready := self._selector.select(0):
            for key, _ in ready:
                made = key.fileobj
                assert isinstance(made, socket.socket)
                if made.type == socket.SOCK_DGRAM:
                    self._datagrams.add(made.recv(1 << 16))
                elif key.data is None:
                    self._streams.append(bytearray())
                    accepted = self._keep(made.accept()[0])
                    self._selector.register(accepted, selectors.EVENT_READ, self._streams[-1])
                else:
                    self._read(made, key.data)

    def _read(self, connection: socket.socket, stream: bytearray) -> None:
        try:
            octets = connection.recv(1 << 16)
        except ConnectionError:
            octets = b""
        stream += octets
        if not octets:
            self._selector.unregister(connection)
            connection.close()


@dataclass(frozen=True)
class Replay:
    """One message to be sent again.

    :param source: where it says that it comes from, which over TCP is the truth.
    :param piece: the largest packet.
    """

    octets: bytes
    source: str
    port: int
    destination: str
    destination_port: int
    transport: Transport = "udp"
    piece: int = MTU


class Attacker:
    """A host that sends what it likes to another, whose Ethernet address it knows."""

    def __init__(self, host: Host, next_hop: Host) -> None:
        self.host = host
        self._next_hop = _mac(next_hop)
        with host.entered():
            self._wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        self._wire.bind(("eth0", 0))
        self._wire.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 22)
        self._connections: list[socket.socket] = []

    def send(self, replay: Replay) -> None:
        """Put a replay on the wire."""
        if replay.transport == "tcp":
            self._connect(replay)
        else:
            for packet in _datagram(replay):
                self._wire.send(bytes(Ether(dst=self._next_hop, src=_mac(self.host)) / packet))

    def _connect(self, replay: Replay) -> None:
        made = self.host.socket(socket.SOCK_STREAM, ipv6=":" in replay.destination)
        made.connect((replay.destination, replay.destination_port))
        made.sendall(replay.octets)
        self._connections.append(made)

    def hang_up(self) -> None:
        """Reset all connections, so that what was dropped is not sent again for minutes."""
        for each in self._connections:
            each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            each.close()
        self._connections.clear()

    def replay(self, frames: Sequence[Frame], folder: Path, source: str = "", source6: str = "") -> None:
        """Let tcpreplay send recorded frames.

        :param source: the address that they are given for a source; empty: they keep their own.
        """
        recorded, rewritten, made = (
            str(folder / f"{name}.pcap") for name in ("recorded", "rewritten", "made")
        )
        with PcapWriter(recorded, ETHERNET) as writer:
            for frame in frames:
                kind = b"\x86\xdd" if frame.data[0] >> 4 == 6 else b"\x08\x00"
                data = bytes(12) + kind + frame.data
                writer.write(frame._replace(link=ETHERNET, data=data, length=len(data)))
        addresses = [f"--srcipmap=0.0.0.0/0:{source}/32,[::/0]:[{source6}/128]"] if source else []
        self.host.run("tcprewrite", f"--infile={recorded}", f"--outfile={rewritten}", "--fixcsum", *addresses)
        # It would give IPv6 packets the Ethernet addresses of groups.
        ends = bytes.fromhex((self._next_hop + _mac(self.host)).replace(":", ""))
        with open_capture(rewritten) as capture, PcapWriter(made, ETHERNET) as writer:
            for frame in capture:
                writer.write(frame._replace(data=ends + frame.data[12:]))
        self.host.run("tcpreplay", "--intf1=eth0", "--pps=1000", made, timeout=120)

    def close(self) -> None:
        """Hang up for good."""
        self.hang_up()
        self._wire.close()


def _datagram(replay: Replay) -> list[Packet]:
    ends = {"src": replay.source, "dst": replay.destination}
    ports = UDP(sport=replay.port, dport=replay.destination_port) / Raw(replay.octets)
    if ":" not in replay.source:
        packet = IP(id=random.getrandbits(16), **ends) / ports
        return [packet] if len(packet) <= replay.piece else list(fragment(packet, replay.piece - 20))
    packet = IPv6(**ends) / ports
    if len(packet) <= replay.piece:
        return [packet]
    return list(fragment6(IPv6(**ends) / IPv6ExtHdrFragment(id=random.getrandbits(32)) / ports, replay.piece))


@cache
def _mac(host: Host) -> str:
    return host.run("cat", "/sys/class/net/eth0/address").stdout.strip()


class Ledger:
    """What a daemon has ruled since this was opened."""

    def __init__(self, daemon: Daemon) -> None:
        self._file = daemon.events_file
        self._read = self._file.stat().st_size
        self.rulings: list[dict[str, Any]] = []
        self._denied: set[int] = set()
        """Frames that brought a denied message, ruled on or not."""

    @property
    def accepted(self) -> list[dict[str, Any]]:
        """The rulings that should not be."""
        return [ruling for ruling in self.rulings if ruling["verdict"] == "accept"]

    def update(self) -> int:
        """Take in what was told since; how many messages were decided on so far."""
        with self._file.open("rb") as file:
            file.seek(self._read)
            told = file.read()
        whole = told[: told.rfind(b"\n") + 1]
        self._read += len(whole)
        for event in map(json.loads, whole.splitlines()):
            if event["type"] == "ruling":
                self.rulings.append(event)
            if "deny" in (event.get("verdict"), event.get("outcome")):
                self._denied.add(event["frame"])
        return len(self._denied) + len(self.accepted)
