"""The control socket: who is answered what, and that nobody keeps the daemon waiting."""

import json
import os
import select
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from monitor.control import server as server_module
from monitor.control.access import Access, Peer
from monitor.control.client import ControlClient
from monitor.control.error import ControlError, NotRunningError
from monitor.control.server import MAX_REQUEST, ControlServer

NOBODY = Access(frozenset())


def echo(parameters: Mapping[str, Any], peer: Peer) -> object:
    return {"heard": parameters, "user": peer.user}


def refuse(parameters: Mapping[str, Any], peer: Peer) -> object:
    raise ControlError("not today")


def fail(parameters: Mapping[str, Any], peer: Peer) -> object:
    raise ZeroDivisionError


@contextmanager
def served(path: Path, access: Access | None = None) -> Iterator[ControlServer]:
    """A server in a thread of its own."""
    server = ControlServer(path, access or Access.to(), {"echo": echo, "refuse": refuse, "fail": fail})
    stop, stopper = os.pipe()

    def serve() -> None:
        while stop not in select.select([server.fileno(), stop], [], [])[0]:
            server.serve()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield server
    finally:
        os.write(stopper, b"\0")
        thread.join(5)
        server.close()
        os.close(stop)
        os.close(stopper)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run" / "control"


def raw(path: Path) -> socket.socket:
    channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    channel.connect(str(path))
    channel.settimeout(5)
    return channel


def test_questions_are_answered_one_after_the_other(path: Path) -> None:
    with served(path), ControlClient(path) as client:
        assert client.ask("echo", a=1) == {"heard": {"a": 1}, "user": os.getuid()}
        long = "x" * 60_000
        assert client.ask("echo", long=long)["heard"] == {"long": long}
        with pytest.raises(ControlError, match="not today"):
            client.ask("refuse")
        with pytest.raises(ControlError, match=r"no such command \(there are echo, fail, refuse\)"):
            client.ask("dance")
        assert client.ask("echo")


def test_a_mistake_in_an_answer_ends_nothing(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with served(path), ControlClient(path) as client:
        with pytest.raises(ControlError, match="ZeroDivisionError"):
            client.ask("fail")
        assert client.ask("echo")
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize(
    "request_octets",
    [
        b"\n",
        b"nonsense\n",
        b"[]\n",
        b'"echo"\n',
        b"7\n",
        b"\xff\xfe\n",
        b"{}\n",
        b'{"command":[]}\n',
        b"[" * 60_000 + b"\n",
    ],
)
def test_what_is_no_request_is_told_so(path: Path, request_octets: bytes) -> None:
    with served(path), raw(path) as channel:
        channel.sendall(request_octets + b"\n")
        assert set(json.loads(channel.recv(65536))) == {"error"}
        channel.sendall(b'{"command":"echo"}\n')
        assert b'"result"' in channel.recv(65536)


def test_a_request_without_end_is_cut_short(path: Path) -> None:
    with served(path), raw(path) as channel:
        channel.sendall(b"x" * (MAX_REQUEST + 1))
        assert b"one request at a time" in channel.recv(65536)


def test_who_may_not_ask_is_told_and_let_go(path: Path) -> None:
    with served(path, NOBODY), ControlClient(path) as client:
        with pytest.raises(ControlError, match=rf"uid {os.getuid()}, process {os.getpid()}\) may not ask"):
            client.ask("echo")
        with pytest.raises(NotRunningError):
            client.ask("echo")


def test_listed_groups_may_ask(path: Path) -> None:
    with (
        served(path, Access(frozenset(), frozenset(os.getgroups() or [os.getgid()]))),
        ControlClient(path) as c,
    ):
        assert c.ask("echo")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another user")
def test_the_kernel_says_who_asks(path: Path, tmp_path: Path) -> None:
    for folder in (tmp_path, *tmp_path.parents):
        if not folder.stat().st_mode & 1:
            path = Path("/tmp") / f"replay-monitor-control-{os.getpid()}" / "control"
    asks = f"""
import socket, os
channel = socket.socket(socket.AF_UNIX); channel.connect({str(path)!r})
channel.sendall(b'{{"command":"echo"}}\\n'); print(channel.recv(9999).decode())
"""
    command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", sys.executable, "-c", asks]
    try:
        with served(path):
            told = subprocess.run(command, capture_output=True, text=True, cwd="/")
            if not told.stdout:
                pytest.skip(f"this Python is not for other users to run: {told.stderr}")
            assert "nobody (uid 65534" in json.loads(told.stdout)["error"]
        with served(path, Access(frozenset((65534,)))):
            told = subprocess.run(command, capture_output=True, text=True, cwd="/")
            assert json.loads(told.stdout)["result"]["user"] == 65534
    finally:
        if path.parent.parent == Path("/tmp"):
            path.parent.rmdir()


def test_silent_and_deaf_clients_keep_nobody_waiting(path: Path) -> None:
    with served(path):
        others = [raw(path) for _ in range(server_module.MAX_CLIENTS + 8)]
        for other in others[-4:]:
            other.sendall(b'{"command":"echo","x":"' + b"y" * 60_000 + b'"}\n')
        with ControlClient(path) as client:
            assert client.ask("echo")
        assert others[0].recv(1) == b"", "the one that was silent the longest is let go"
        for other in others:
            other.close()


def test_strangers_do_not_push_out_who_may_ask(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "MAX_CLIENTS", 2)
    allowed = iter([True, True, False, False, False])
    monkeypatch.setattr(Access, "allows", lambda *_: next(allowed))
    with served(path), ControlClient(path) as first, ControlClient(path) as second:
        strangers = [raw(path) for _ in range(3)]
        assert [stranger.recv(1) for stranger in strangers] == [b""] * 3
        assert first.ask("echo")
        assert second.ask("echo")
        for stranger in strangers:
            stranger.close()


def test_a_socket_left_behind_is_replaced_and_one_in_use_is_not(path: Path) -> None:
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    with served(path):
        with pytest.raises(ControlError, match="another daemon listens there"):
            ControlServer(path, NOBODY, {})
        with ControlClient(path) as client:
            assert client.ask("echo")
    assert not path.exists()


def test_what_is_no_socket_is_left_alone(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("mine")
    with pytest.raises(ControlError, match="is no socket"):
        ControlServer(path, NOBODY, {})
    assert path.read_text() == "mine"


def test_nobody_there_is_told(path: Path) -> None:
    with pytest.raises(NotRunningError, match="no daemon listens"):
        ControlClient(path)
    path.parent.mkdir()
    with pytest.raises(ControlError, match="AF_UNIX path too long"):
        ControlClient(path / ("x" * 120))


def test_users_must_exist() -> None:
    with pytest.raises(ControlError, match=r"no-such-user.*mend \[control\]"):
        Access.to(["no-such-user"])
    assert Access.to(["root"], ["root"]).groups == {0}
