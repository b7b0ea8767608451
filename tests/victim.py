"""Daemons to be killed, one after the other: the real loop, pipeline and store, between two sockets.

Run with the store's path, its durability and the descriptors of the sockets. Each line of standard input
starts a daemon, whose process id is told; a further line tells that it has ended. Being forked, a daemon
need not wait for its imports.
"""

import os
import socket
import sys
from pathlib import Path

from monitor.antireplay.policy import Policy
from monitor.assembly import REPLAY_SECRET, assemble
from monitor.capture.packet import Arrival
from monitor.config.selector import PolicyList
from monitor.observe.metrics import Metrics
from monitor.service import Service
from monitor.store.managed import Durability
from monitor.store.sqlite import SqliteStore
from monitor.wire.frame import Frame
from monitor.wire.link import RAW

CHECK = b"the check of a secret"


class _Packet:
    def __init__(self, octets: bytes, callee: socket.socket) -> None:
        self._octets, self._callee = octets, callee

    def accept(self) -> None:
        self._callee.send(self._octets)

    def drop(self) -> None:
        pass

    def set_payload(self, payload: bytes) -> None:
        self._octets = payload


class _Queue:
    overruns = malformed = passed = passed_since = 0

    def __init__(self, arrivals: socket.socket, callee: socket.socket) -> None:
        self._arrivals, self._callee = arrivals, callee
        self._number = 0

    def fileno(self) -> int:
        return self._arrivals.fileno()

    def receive(self, now: int, limit: int, passes: object = None) -> list[Arrival]:
        found: list[Arrival] = []
        while len(found) < limit:
            try:
                octets = self._arrivals.recv(65536, socket.MSG_DONTWAIT)
            except BlockingIOError:
                break
            self._number += 1
            frame = Frame(self._number, now, RAW, octets, len(octets))
            found.append((frame, _Packet(octets, self._callee)))
        return found

    def pause(self) -> None:
        pass

    def close(self) -> None:
        pass


def serve(path: Path, durability: Durability, arrivals: socket.socket, callee: socket.socket) -> None:
    """Rule on packets that arrive; those that are accepted go on to the callee."""
    store = SqliteStore(path, secret_check=CHECK, durability=durability)
    core = assemble(store=store, secret=REPLAY_SECRET, policies=PolicyList(Policy()))
    Service([_Queue(arrivals, callee)], core, metrics=Metrics(), store=store).run()


def main(path: str, durability: str, *descriptors: str) -> None:
    """Start daemons until standard input ends."""
    arrivals, callee = (socket.socket(fileno=int(descriptor)) for descriptor in descriptors)
    for _ in sys.stdin:
        pid = os.fork()
        if pid == 0:
            serve(Path(path), "power" if durability == "power" else "process", arrivals, callee)
        print(pid, flush=True)
        os.waitpid(pid, 0)
        print("ended", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
