"""Stores of each engine to test."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from redis_server import CHECK, Server

from monitor.store.location import open_store
from monitor.store.managed import ManagedStore


@pytest.fixture(scope="session")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    pytest.importorskip("redis", reason="the Python package redis is not installed")
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed (apt-get install redis-server)")
    server = Server(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def server(shared_server: Server) -> Server:
    """The shared server, emptied."""
    shared_server.client().flushall()
    return shared_server


@pytest.fixture
def own_server(shared_server: Server, tmp_path: Path) -> Iterator[Server]:
    """A server for one test alone, not started."""
    server = Server(tmp_path)
    yield server
    server.stop()


@pytest.fixture(params=["memory", "sqlite", "redis"])
def make_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], ManagedStore]]:
    """Opens the same store of each engine, again where the test asks again."""
    opened: list[ManagedStore] = []
    match request.param:
        case "memory":
            url = "memory:"
        case "sqlite":
            url = f"sqlite://{tmp_path}/store.db"
        case _:
            url = request.getfixturevalue("server").url

    def make() -> ManagedStore:
        opened.append(open_store(url, secret_check=CHECK))
        return opened[-1]

    yield make
    for store in opened:
        store.close()


@pytest.fixture
def store(make_store: Callable[[], ManagedStore]) -> ManagedStore:
    return make_store()
