"""The daemon's end of the control socket, served between two batches of its event loop.

A request is one line, a JSON object with ``command`` and its parameters; so is the answer, with ``result``
or ``error``. A client asks one thing at a time. Nothing here waits: what a client does not send or does
not read stays with it.
"""

import json
import logging
import selectors
import socket
import stat
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from monitor.control.access import Access, Peer
from monitor.control.error import ControlError

MAX_CLIENTS = 32
"""Connections at one time. Who may ask takes the place of the one that was heard least recently."""
MAX_REQUEST = 65536
"""Octets of a request."""
BACKLOG = 16

Command = Callable[[Mapping[str, Any], Peer], object]
"""Answers one command with what JSON can hold, from its parameters. It raises ``ControlError`` to refuse."""

log = logging.getLogger("monitor")


@dataclass(slots=True, eq=False)
class _Client:
    channel: socket.socket
    peer: Peer
    allowed: bool
    request: bytearray = field(default_factory=bytearray)
    answer: bytes = b""


class ControlServer:
    """Listens at ``path`` and answers by ``commands``; it is never blocked by a client.

    :param path: of the socket; one that nobody listens on any more is replaced.
    :raises ControlError: it cannot be had.
    """

    def __init__(self, path: Path, access: Access, commands: Mapping[str, Command]) -> None:
        self._path, self._access, self._commands = path, access, commands
        self._clients: dict[_Client, None] = {}
        """The least recently heard first."""
        self._listener = _listen(path)
        self._selector = selectors.EpollSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)

    def fileno(self) -> int:
        """The descriptor that is readable while there is something to serve."""
        return self._selector.fileno()

    def serve(self) -> None:
        """Do what can be done at once: at the most one request of each client."""
        for key, events in self._selector.select(0):
            client: _Client | None = key.data
            if client is None:
                self._accept()
            elif client in self._clients:
                try:
                    self._attend(client, events)
                except OSError:
                    self._drop(client)

    def close(self) -> None:
        """Stop listening, drop all clients, remove the socket."""
        for client in list(self._clients):
            self._drop(client)
        self._selector.close()
        self._listener.close()
        with suppress(OSError):
            self._path.unlink()

    def _accept(self) -> None:
        try:
            channel, _ = self._listener.accept()
        except OSError:  # The client has gone again, or there is no descriptor for it.
            return
        channel.setblocking(False)
        peer = Peer.of(channel)
        client = _Client(channel, peer, self._access.allows(peer))
        if len(self._clients) >= MAX_CLIENTS:
            if not client.allowed:
                channel.close()
                return
            self._drop(next(iter(self._clients)))
        self._clients[client] = None
        self._selector.register(channel, selectors.EVENT_READ, client)

    def _attend(self, client: _Client, events: int) -> None:
        del self._clients[client]
        self._clients[client] = None
        if events & selectors.EVENT_READ:
            octets = client.channel.recv(MAX_REQUEST + 1 - len(client.request))
            if not octets:
                self._drop(client)
                return
            client.request += octets
            if b"\n" not in client.request and len(client.request) <= MAX_REQUEST:
                return
            client.answer = self._answer(client)
            client.request.clear()
            self._selector.modify(client.channel, selectors.EVENT_WRITE, client)
        client.answer = client.answer[client.channel.send(client.answer) :]
        if not client.answer and not client.allowed:
            self._drop(client)
        elif not client.answer:
            self._selector.modify(client.channel, selectors.EVENT_READ, client)

    def _answer(self, client: _Client) -> bytes:
        try:
            answer = {"result": self._result(client)}
            return json.dumps(answer).encode() + b"\n"
        except ControlError as error:
            text = str(error)
        except Exception as error:  # A mistake in an answer must not end the loop.
            log.error("unexpected %s in an answer", type(error).__name__, exc_info=error)
            text = f"unexpected {type(error).__name__}; the daemon's log tells more"
        return json.dumps({"error": text}).encode() + b"\n"

    def _result(self, client: _Client) -> object:
        if not client.allowed:
            raise ControlError(f"{client.peer} may not ask (add the user or a group of it to [control])")
        line, _, more = bytes(client.request).partition(b"\n")
        if more or len(line) > MAX_REQUEST:
            raise ControlError(f"one request at a time, of {MAX_REQUEST} octets at the most")
        try:
            request = json.loads(line)
            name = request.pop("command", "")
        except (ValueError, RecursionError, AttributeError, TypeError):
            raise ControlError("no JSON object") from None
        if not isinstance(name, str) or name not in self._commands:
            raise ControlError(f"no such command (there are {', '.join(sorted(self._commands))})")
        return self._commands[name](request, client.peer)

    def _drop(self, client: _Client) -> None:
        del self._clients[client]
        self._selector.unregister(client.channel)
        client.channel.close()


def _listen(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.setblocking(False)
    try:
        _make_way(path)
        listener.bind(str(path))
        # Everybody may connect, to be told by name who may ask.
        path.chmod(0o666)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise ControlError(f"{path}: {error.strerror or error} (mend [control] socket)") from error
    return listener


def _make_way(path: Path) -> None:
    """Make the socket's directory, remove a socket that nobody listens on."""
    path.parent.mkdir(mode=0o755, exist_ok=True)
    try:
        kind = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(kind):
        raise FileExistsError(0, "is there and is no socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
        except BlockingIOError:
            pass
    raise FileExistsError(0, "another daemon listens there")
