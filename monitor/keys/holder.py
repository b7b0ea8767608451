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
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from monitor.keys import confinement, protocol, ring
from monitor.keys.directory import Directory
from monitor.keys.error import KeyStoreError
from monitor.keys.fair import PENDING, PENDING_SOURCE, FairQueue
from monitor.keys.request import UnwrapAnswer, UnwrapRequest

START_SECONDS = 60
"""The most that loading the keys may take."""
STOP_SECONDS = 2
"""How long the processes may take to end when asked to, before they are killed."""


class KeyHolder:
    """Starts the keyholder and asks it, without ever blocking once it has started for the first time.

    Sources take turns: whatever one of them sends, the next request of another waits for few of its own.

    :param path: the directory of the keys, see ``ring.load``.
    :param workers: processes that unwrap side by side.
    :param pending: requests that may wait or be under way.
    :param pending_source: those of them from one source.
    :param user: the user that the keyholder becomes once the keys are loaded; None: as who started it.
    :raises KeyStoreError: the keys cannot be loaded, or the keyholder does not start.
    """

    def __init__(
        self,
        path: Path,
        *,
        workers: int = 1,
        pending: int = PENDING,
        pending_source: int = PENDING_SOURCE,
        user: str | None = None,
    ) -> None:
        self._path = path
        self._workers = workers
        self._user = user
        self._queue = FairQueue(pending, pending_source)
        self._displaced: list[int] = []
        """Requests that were taken and then had to make room for another source."""
        self.refused = 0
        """Requests that were not done since the keyholder was made, because a limit was hit."""
        self.alive = False
        """False before the keys are loaded, and once the processes have gone: ``restart`` starts new ones."""
        self.trouble = ""
        """Why it does not start, one line; empty where nothing is known to be wrong."""
        self.directory = Directory()
        self.warnings: tuple[str, ...] = ()
        self._dying: list[subprocess.Popen[bytes]] = []
        """Killed and not seen to have ended yet."""
        self._ready = select.epoll()
        self._spawn()
        while not self.alive and not self.trouble:
            self._ready.poll(START_SECONDS)
            self._hear()
        if self.trouble:
            self.close()
            raise KeyStoreError(self.trouble)

    def _spawn(self) -> None:
        """Start the processes; ``_hear`` finds out when they are ready."""
        self.trouble = ""
        self._deadline = time.monotonic() + START_SECONDS
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.setblocking(False)
        self._status, status_end = os.pipe()
        os.set_blocking(self._status, False)
        self._told = b""
        try:
            with theirs:
                self._process = subprocess.Popen(
                    self._command(theirs.fileno(), status_end),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    pass_fds=(theirs.fileno(), status_end),
                    process_group=0,
                    env={
                        **os.environ,
                        "PYTHONPATH": os.pathsep.join(map(os.path.abspath, filter(None, sys.path))),
                    },
                )
        except OSError as error:
            self._socket.close()
            os.close(self._status)
            raise KeyStoreError(f"the keyholder does not start: {error.strerror}") from None
        finally:
            os.close(status_end)
        self._starting = True
        self._ready.register(self._status, select.EPOLLIN)

    def _hear(self) -> None:
        """Take in what the processes tell while they start; the end of that is the start or its failure."""
        try:
            while part := os.read(self._status, 65536):
                self._told += part
        except BlockingIOError:
            if time.monotonic() < self._deadline:
                return
            self._told = b""
        self._ready.unregister(self._status)
        os.close(self._status)
        self._starting = False
        document: dict[str, Any] = {"error": "the keyholder does not start"}
        with suppress(ValueError):  # It ended before all was told.
            document = json.loads(self._told)
        if "error" in document:
            self.trouble = document["error"]
            self._socket.close()
            self.kill()
            return
        self.directory = Directory.decode(document["directory"])
        self.warnings = tuple(document["warnings"])
        self._ready.register(self._socket, select.EPOLLIN)
        self.alive = True

    def _command(self, channel: int, status: int) -> list[str]:
        command = [sys.executable, "-P", "-m", __name__, str(self._path.absolute())]
        command += ["--channel", str(channel), "--status", str(status)]
        command += ["--parent", str(os.getpid()), "--workers", str(self._workers)]
        return [*command, "--user", self._user] if self._user else command

    def fileno(self) -> int:
        """The descriptor, always the same, that is readable when ``receive`` has something to do."""
        return self._ready.fileno()

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
        """The answers that have come. When the keyholder goes, all that is pending is answered None.

        Whether it has gone or come back shows in ``alive`` after this.
        """
        if self._starting:
            self._hear()
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
        """Start anew after the processes have gone: ``receive`` finds out when the keys are loaded.

        While they are being loaded this does nothing, unless that takes longer than it may.

        :raises KeyStoreError: no process can be started.
        """
        if self._starting:
            self._hear()
        if not self._starting and not self.alive:
            self.kill()
            self._dying = [each for each in (*self._dying, self._process) if each.poll() is None]
            self._spawn()

    def kill(self) -> None:
        """End the processes at once, whatever they do; ``receive`` finds out."""
        if self._process.returncode is None:
            os.killpg(self._process.pid, signal.SIGKILL)

    def close(self) -> None:
        """End the processes."""
        self.alive = False
        self._socket.close()
        if self._starting:
            self._starting = False
            self.kill()
            os.close(self._status)
        self._ready.close()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
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
        self.alive = False
        self._socket.close()
        self.kill()
        return [(number, UnwrapAnswer(None)) for number in numbers]


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
