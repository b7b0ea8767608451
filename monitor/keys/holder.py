"""The keyholder: processes that hold the private keys and do nothing but unwrap with them.

``KeyHolder`` starts and asks them; ``main`` is what they run. The daemon that parses outside octets learns
the public ``Directory`` and never a private key.
"""

import argparse
import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from monitor.keys import confinement, protocol, ring
from monitor.keys.directory import Directory
from monitor.keys.error import KeyStoreError
from monitor.keys.fair import FairQueue
from monitor.keys.request import UnwrapAnswer, UnwrapRequest

MAX_PENDING = 1024
"""Requests that wait or are under way."""
MAX_PENDING_SOURCE = 128
"""Those of them from one source."""
START_SECONDS = 60
"""The most that loading the keys may take."""
STOP_SECONDS = 2
"""How long the processes may take to end when asked to, before they are killed."""


class KeyHolder:
    """Starts the keyholder and asks it, without ever blocking once it is started.

    Sources take turns: whatever one of them sends, the next request of another waits for few of its own.

    :param path: the directory of the keys, see ``ring.load``.
    :param workers: processes that unwrap side by side.
    :param user: the user that the keyholder becomes once the keys are loaded; None: as who started it.
    :raises KeyStoreError: the keys cannot be loaded, or the keyholder does not start.
    """

    def __init__(self, path: Path, *, workers: int = 1, user: str | None = None) -> None:
        self._path = path
        self._workers = workers
        self._user = user
        self._queue = FairQueue(MAX_PENDING, MAX_PENDING_SOURCE)
        self._displaced: list[int] = []
        """Requests that were taken and then had to make room for another source."""
        self.refused = 0
        """Requests that were not done since the keyholder was made, because a limit was hit."""
        self._start()

    def _start(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        status, status_end = os.pipe()
        try:
            with theirs:
                self._process = subprocess.Popen(
                    self._command(theirs.fileno(), status_end),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    pass_fds=(theirs.fileno(), status_end),
                    env={
                        **os.environ,
                        "PYTHONPATH": os.pathsep.join(map(os.path.abspath, filter(None, sys.path))),
                    },
                )
        except OSError as error:
            ours.close()
            os.close(status)
            raise KeyStoreError(f"the keyholder does not start: {error.strerror}") from None
        finally:
            os.close(status_end)
        with open(status, "rb") as stream:  # noqa: PTH123
            told = _read_status(stream.fileno())
        document: dict[str, Any] = json.loads(told) if told else {"error": "the keyholder does not start"}
        if "error" in document:
            ours.close()
            self._process.kill()
            self._process.wait()
            raise KeyStoreError(document["error"])
        ours.setblocking(False)
        self._socket = ours
        self.directory = Directory.decode(document["directory"])
        self.warnings: tuple[str, ...] = tuple(document["warnings"])
        self.alive = True
        """False once the processes have gone: ``restart`` starts new ones."""

    def _command(self, channel: int, status: int) -> list[str]:
        command = [sys.executable, "-P", "-m", __name__, str(self._path.absolute())]
        command += ["--channel", str(channel), "--status", str(status)]
        command += ["--parent", str(os.getpid()), "--workers", str(self._workers)]
        return [*command, "--user", self._user] if self._user else command

    def fileno(self) -> int:
        """The descriptor that is readable when answers have come, -1 when the keyholder has gone."""
        return self._socket.fileno()

    def __len__(self) -> int:
        """Requests that wait or are under way."""
        return len(self._queue)

    def send(self, number: int, request: UnwrapRequest) -> bool:
        """Ask. False where nothing was taken, because a limit was hit or the keyholder has gone.

        :param number: comes back with the answer; it must not be one that is still pending.
        """
        if not self.alive:
            return False
        packet = protocol.encode_request(number, request)
        fits = len(packet) <= protocol.MAX_PACKET
        refused = self._queue.put(request.source, number, packet) if fits else number
        if refused is not None:
            self.refused += 1
            if refused == number:
                return False
            self._displaced.append(refused)
        self._feed()
        return True

    def receive(self) -> list[tuple[int, UnwrapAnswer]]:
        """The answers that have come. When the keyholder goes, all that is pending is answered None."""
        answers = [(number, UnwrapAnswer(None, refused=True)) for number in self._displaced]
        self._displaced.clear()
        while self.alive:
            try:
                packet = self._socket.recv(protocol.MAX_PACKET)
            except BlockingIOError:
                break
            except OSError:
                packet = b""
            if not packet:
                return answers + self._bury()
            number, answer = protocol.decode_answer(packet)
            self._queue.end(number)
            answers.append((number, answer))
        self._feed()
        return answers

    def restart(self) -> None:
        """Start anew after the processes have gone. This waits until the keys are loaded.

        :raises KeyStoreError: as when it was made.
        """
        self.close()
        self._start()

    def close(self) -> None:
        """End the processes."""
        self.alive = False
        self._socket.close()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _feed(self) -> None:
        """Pass on what waits, a source after the other, as long as a worker has nothing to do next."""
        while self._queue.under_way < 2 * self._workers and (packet := self._queue.peek()) is not None:
            try:
                self._socket.send(packet)
            except OSError:  # full, or gone: then receive() finds out
                return
            self._queue.begin()

    def _bury(self) -> list[tuple[int, UnwrapAnswer]]:
        numbers = self._queue.clear()
        self.close()
        return [(number, UnwrapAnswer(None)) for number in numbers]


def _read_status(descriptor: int) -> bytes:
    """All that the keyholder tells when it starts, empty where it takes too long."""
    parts: list[bytes] = []
    while select.select([descriptor], [], [], START_SECONDS)[0]:
        part = os.read(descriptor, 65536)
        if not part:
            return b"".join(parts)
        parts.append(part)
    return b""


def main(arguments: list[str] | None = None) -> int:
    """Load the keys, tell the public part, become confined and serve until the daemon closes its end."""
    parser = argparse.ArgumentParser(prog="monitor.keys.holder")
    parser.add_argument("path", type=Path)
    for name in ("channel", "status", "parent", "workers"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--user")
    options = parser.parse_args(arguments)
    # The daemon tells when to end, by closing the channel: a signal to the whole group must not.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    channel = socket.socket(fileno=options.channel)
    with open(options.status, "w", encoding="utf-8") as status:  # noqa: PTH123
        try:
            keys = ring.load(options.path)
            if options.user:
                confinement.drop_privileges(options.user)
            confinement.die_with_parent(options.parent)
            confinement.hide_memory()
        except KeyStoreError as error:
            json.dump({"error": str(error)}, status)
            return 1
        except (KeyError, OSError) as error:
            json.dump({"error": f"the keyholder cannot be confined: {error}"}, status)
            return 1
        json.dump({"directory": keys.directory.encode(), "warnings": keys.warnings}, status)
    workers = [_fork(keys, channel) for _ in range(options.workers)]
    channel.close()
    _await(workers)
    return 0


def _fork(keys: ring.KeyRing, channel: socket.socket) -> int:
    parent = os.getpid()
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        confinement.die_with_parent(parent)
        confinement.hide_memory()
        confinement.close_files()
        confinement.filter_calls()
        _serve(keys, channel)
        status = 0
    finally:
        os._exit(status)


def _serve(keys: ring.KeyRing, channel: socket.socket) -> None:
    while packet := channel.recv(protocol.MAX_PACKET):
        number, request = protocol.decode_request(packet)
        try:
            answer = keys.unwrap(request)
        except Exception:  # whatever outside octets bring about in a library must not end the keyholder
            answer = UnwrapAnswer(None)
        channel.send(protocol.encode_answer(number, answer))


def _await(workers: Iterable[int]) -> None:
    """Wait for the first worker to end, then see that the others do: one without the rest is no keyholder."""
    left = set(workers)
    ended, status = os.wait()
    left.discard(ended)
    for worker in left:
        if status:
            os.kill(worker, signal.SIGKILL)
    for worker in left:
        os.waitpid(worker, 0)


if __name__ == "__main__":
    raise SystemExit(main())
