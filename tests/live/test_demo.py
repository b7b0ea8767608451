"""The demonstration: told to its end, and gone without a trace however it ends."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from namespaces import unavailable
from rich.console import Console

import monitor
from monitor.antireplay.ruling import Reason
from monitor.demo import capture, daemon, live
from monitor.demo.telling import DemoError, Teller
from monitor.simulate import keyring
from monitor.simulate.scenario import Scenario
from monitor.simulate.scenarios import RECIPES
from monitor.simulate.stage import Setting

needs_namespaces = pytest.mark.skipif(unavailable() is not None, reason=f"live tests: {unavailable()}")
DENIED = ("deny source-changed", "deny envelope-reused", "deny envelope-reused")


@contextmanager
def demo(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "monitor", "demo", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=Path(monitor.__file__).parents[1],
        # Whoever runs the tests may ignore interrupts, which children inherit.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(30)
        assert process.stdout is not None
        process.stdout.close()


def left_behind(process: subprocess.Popen[str]) -> list[str]:
    """Namespaces of a demonstration that are still there."""
    return namespaces_of(process.pid)


def namespaces_of(pid: int) -> list[str]:
    return [path.name for path in Path("/run/netns").glob(f"replay-demo-{pid}-*")]


def in_order(told: str, words: tuple[str, ...]) -> bool:
    at = 0
    for word in words:
        at = told.find(word, at) + 1
        if not at:
            return False
    return True


def test_from_a_capture() -> None:
    with demo("--capture") as process:
        told = process.communicate(timeout=60)[0]
    assert process.returncode == 0, told
    assert in_order(told, ("accept first-use", "accept retransmission", "accept refresh", *DENIED)), told
    assert max(map(len, told.splitlines())) <= 80


def test_a_story_that_goes_otherwise_is_no_success(tmp_path: Path) -> None:
    scenario = RECIPES["replay-attack"].made(Setting(keyring.load(tmp_path / "keys")))
    with pytest.raises(DemoError, match="should be key-reused"):
        capture.tell(_wrong(scenario), Teller(Console(quiet=True)), tmp_path, tmp_path / "keys")


@pytest.mark.live
@needs_namespaces
def test_live() -> None:
    with demo() as process:
        told = process.communicate(timeout=120)[0]
    assert process.returncode == 0, told
    assert in_order(told, ("accept first-use", "accept retransmission", "accept refresh", *DENIED)), told
    assert 'rulings_total{reason="source-changed",verdict="deny"}' in told
    assert max(map(len, told.splitlines())) <= 80
    assert told.count("nothing arrived") == 3
    assert "No network namespaces" not in told
    assert left_behind(process) == []


@pytest.mark.live
@needs_namespaces
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_cleans_up(number: signal.Signals) -> None:
    with demo() as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "it rings" in line:
                break
        assert left_behind(process)
        process.send_signal(number)
        told = process.stdout.read()
        assert process.wait(30) == 128 + number, told
        assert left_behind(process) == []
        assert "Traceback" not in told


@pytest.mark.live
@needs_namespaces
def test_live_story_that_goes_otherwise_is_no_success(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def await_that(condition: Callable[[], bool], what: str) -> None:
        """As it is, but for what never comes."""
        with monkeypatch.context() as patch:
            if "key-reused" in what:
                patch.setattr(daemon, "PATIENCE", 0.5)
            daemon.await_that(condition, what)

    monkeypatch.setattr(live, "await_that", await_that)
    keys = tmp_path / "keys"
    scenario = RECIPES["replay-attack"].made(Setting(keyring.load(keys)))
    with pytest.raises(DemoError, match="the ruling key-reused"):
        live.tell(_wrong(scenario), Teller(Console(quiet=True)), tmp_path, keys)
    assert namespaces_of(os.getpid()) == []


def _wrong(scenario: Scenario) -> Scenario:
    """The story with another ending."""
    *messages, last = scenario.messages
    return replace(scenario, messages=(*messages, replace(last, reason=Reason.KEY_REUSED)))
