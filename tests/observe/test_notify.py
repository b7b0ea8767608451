"""The service manager's protocol, with the test as service manager."""

import os
import socket
from pathlib import Path

import pytest

from monitor.observe.notify import Notifier


@pytest.mark.parametrize("abstract", [False, True])
def test_messages_reach_the_service_manager(tmp_path: Path, abstract: bool) -> None:
    name = f"@replay-monitor-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("\0" + name[1:] if abstract else name)
        manager.settimeout(5)
        notifier = Notifier({"NOTIFY_SOCKET": name})
        notifier.ready("ruling on queue 0")
        assert manager.recv(1024) == b"READY=1\nSTATUS=ruling on queue 0"
        notifier.status("busy")
        assert manager.recv(1024) == b"STATUS=busy"
        notifier.reloading()
        assert manager.recv(1024).startswith(b"RELOADING=1\nMONOTONIC_USEC=")
        notifier.alive()
        assert manager.recv(1024) == b"WATCHDOG=1"
        notifier.stopping()
        assert manager.recv(1024) == b"STOPPING=1"


@pytest.mark.parametrize("environment", [{}, {"NOTIFY_SOCKET": "/nowhere/at/all"}])
def test_without_a_service_manager_nothing_happens(environment: dict[str, str]) -> None:
    Notifier(environment).ready("alone")


@pytest.mark.parametrize(
    ("environment", "interval"),
    [
        ({"WATCHDOG_USEC": "10000000"}, 5.0),
        ({"WATCHDOG_USEC": "10000000", "WATCHDOG_PID": str(os.getpid())}, 5.0),
        ({"WATCHDOG_USEC": "10000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_the_watchdog_wants_a_sign_of_life_in_half_its_time(
    environment: dict[str, str], interval: float | None
) -> None:
    assert Notifier(environment).watchdog_interval == interval
