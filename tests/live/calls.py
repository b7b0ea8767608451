"""What the live tests send: Bob's INVITEs to Alice, each with a fresh key. And what has come of them."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from daemon import KEYS, PORT
from namespaces import Host

from monitor.simulate import keyring
from monitor.simulate.party import ALICE, BOB
from monitor.simulate.stage import Setting, Stage
from monitor.wire.flow import Transport


def make_stage(name: str) -> Stage:
    """Makes messages, others for another name; the frames that it makes of them are not used here."""
    return Stage(Setting(keyring.load(KEYS)), name)


def plain_invite(stage: Stage, size: int = 0, transport: Transport = "udp") -> bytes:
    """An INVITE with its key in plain SDP, which has ``size`` octets at the least."""
    body = stage.plain(BOB)
    return stage.call(BOB, ALICE, transport=transport).invite(body.padded(size) if size else body).octets()


def sealed_invite(stage: Stage, size: int = 0, transport: Transport = "udp") -> bytes:
    """An INVITE whose SDP, of ``size`` octets at the least, is signed, and sealed for Alice."""
    body = stage.plain(BOB)
    whole = stage.sealed(body.padded(size) if size else body, "bob", "alice")
    return stage.call(BOB, ALICE, transport=transport).invite(whole).octets()


def queue_sip(host: Host, chain: str = "INPUT") -> None:
    """Hand SIP over UDP and TCP to queue 0."""
    for transport in ("udp", "tcp"):
        host.queue(0, "-p", transport, "--dport", str(PORT), chain=chain)


@contextmanager
def meanwhile(act: Callable[[], object], spacing: float = 0.0) -> Iterator[None]:
    """Have a thread act again and again, so many seconds apart."""
    done = threading.Event()

    def go_on() -> None:
        while not done.wait(spacing):
            act()

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def read_whole(connection: socket.socket, length: int) -> bytes:
    """So many octets of a connection."""
    received = bytearray()
    while len(received) < length:
        more = connection.recv(length - len(received))
        assert more, "the end"
        received += more
    return bytes(received)


def unread(receiver: socket.socket) -> list[bytes]:
    """All datagrams that have arrived and were not read."""
    waiting = receiver.gettimeout()
    receiver.setblocking(False)
    arrived = []
    try:
        while True:
            arrived.append(receiver.recv(65536))
    except BlockingIOError:
        return arrived
    finally:
        receiver.settimeout(waiting)


def silent(receiver: socket.socket) -> bool:
    """Whether nothing waits to be read."""
    return not unread(receiver)
