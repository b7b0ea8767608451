"""Fixtures of the live tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from calls import make_stage
from namespaces import Network, unavailable
from rates import Rates

from monitor.simulate.stage import Stage


@pytest.fixture(scope="session")
def rates(pytestconfig: pytest.Config) -> Rates:
    """Takes what is to be told at the end of the run."""
    return pytestconfig.stash.setdefault(Rates.KEY, Rates())


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Tell the error rates that were measured."""
    rates = config.stash.get(Rates.KEY, None)
    if rates is not None:
        terminalreporter.section("error rates")
        for line in rates.lines():
            terminalreporter.line(line)


@pytest.fixture
def network() -> Iterator[Network]:
    """A network of its own for one test."""
    reason = unavailable()
    if reason:
        pytest.skip(f"live tests: {reason}")
    made = Network()
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def stage() -> Stage:
    """Makes messages."""
    return make_stage("live")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where a daemon keeps its things."""
    path = tmp_path / "daemon"
    path.mkdir()
    return path
