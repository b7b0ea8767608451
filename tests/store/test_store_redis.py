"""The Redis store: several writers, a server that goes away, and servers that forget."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import BinaryIO

import pytest
from redis_server import CHECK, Server

from monitor.antireplay.table import Change, StoreError
from monitor.store import redis
from monitor.store.redis import RedisStore

ONE, TWO = b"\x01" * 32, b"\x02" * 32
DAY = 24 * 3600 * 10**9
SOON = time.time_ns() + 400 * DAY


def open_at(url: str, *, readonly: bool = False, secret_check: bytes | None = CHECK) -> RedisStore:
    return RedisStore(url, secret_check=secret_check, readonly=readonly)


def put(store: RedisStore, key: bytes, expires: int = SOON) -> None:
    assert store.compare_and_swap([Change(key, None, b"record", expires)])
    store.commit()


def test_of_many_monitors_one_claims_a_key(server: Server) -> None:
    rounds, monitors = 30, 6

    def claim(number: int) -> list[int]:
        with closing(open_at(server.url)) as store:
            changes = [[Change(bytes([n]) * 32, None, b"%d" % number, SOON)] for n in range(rounds)]
            barrier.wait(10)
            return [n for n in range(rounds) if store.compare_and_swap(changes[n])]

    barrier = threading.Barrier(monitors)
    with ThreadPoolExecutor(monitors) as pool:
        claimed = [n for numbers in pool.map(claim, range(monitors)) for n in numbers]
    assert sorted(claimed) == list(range(rounds))


def test_keeps_what_an_old_capture_brought(server: Server) -> None:
    """Its packets' times are long ago, and so is the expiry; the server goes by its own clock."""
    with closing(open_at(server.url)) as store:
        put(store, ONE, expires=1_500_000_000 * 10**9)
        assert store.records()[0].expires == 1_500_000_000 * 10**9
        left = server.client().pttl(redis.PREFIX + ONE) * 10**6
        assert redis.LEAST_LIFE - 60 * 10**9 < left <= redis.LEAST_LIFE + 10**6


def test_the_server_forgets_at_the_expiry(server: Server) -> None:
    with closing(open_at(server.url)) as store:
        put(store, ONE)
        assert store.compare_and_swap([Change(ONE, b"record", b"later", SOON + DAY)])
        left = server.client().pttl(redis.PREFIX + ONE) * 10**6
        assert abs(left - 401 * DAY) < DAY // 10
        assert store.prune(2**63, 100) == 0
        assert store.count() == 1


def test_refuses_another_secret(server: Server) -> None:
    open_at(server.url).close()
    for readonly in (False, True):
        with pytest.raises(StoreError, match="another site secret"):
            open_at(server.url, secret_check=b"other", readonly=readonly)


def test_refuses_a_newer_schema(server: Server) -> None:
    server.client().set(redis.META, b"2:00")
    with pytest.raises(StoreError, match=r"newer version \(schema 2\)"):
        open_at(server.url)


def test_refuses_a_database_with_other_data(server: Server) -> None:
    server.client().set("session:42", "x")
    with pytest.raises(StoreError, match="holds other data; name a database number of its own"):
        open_at(server.url)
    assert server.client().keys() == [b"session:42"]
    open_at(f"{server.url}?db=1").close()


def test_a_reader_makes_nothing(server: Server) -> None:
    with pytest.raises(StoreError, match="holds no store"):
        open_at(server.url, readonly=True, secret_check=None)
    assert server.client().dbsize() == 0


def test_notices_that_it_was_emptied(server: Server) -> None:
    with closing(open_at(server.url)) as store:
        put(store, ONE)
        server.client().flushall()
        with pytest.raises(StoreError, match="was emptied or replaced while in use"):
            store.compare_and_swap([Change(ONE, None, b"again", SOON)])
        assert server.client().dbsize() == 0


def test_a_server_that_went_away_and_came_back(own_server: Server) -> None:
    own_server.start("--appendonly", "yes", "--appendfsync", "always")
    with closing(open_at(own_server.url)) as store:
        put(store, ONE)
        assert store.compare_and_swap([Change(ONE, b"record", b"more", SOON)])
        own_server.stop()
        for attempt in (
            lambda: store.read([ONE]),
            lambda: store.compare_and_swap([Change(TWO, None, b"r", SOON)]),
            store.count,
        ):
            with pytest.raises(StoreError, match=r"does not answer: .*see that the server runs") as caught:
                attempt()
            assert "\n" not in str(caught.value)
        own_server.start("--appendonly", "yes", "--appendfsync", "always")
        with pytest.raises(StoreError, match="an error before this commit undid"):
            store.commit()
        assert store.read([ONE, TWO]) == [b"more", None], "what was swapped cannot be undone"
        put(store, TWO)
        assert store.count() == 2


def test_no_server(tmp_path: Path, shared_server: Server) -> None:
    with pytest.raises(StoreError, match="does not answer"):
        open_at(f"unix://{tmp_path}/socket")


def test_never_tells_the_password(server: Server) -> None:
    with pytest.raises(StoreError) as caught:
        open_at(f"unix://user:hunter2@{server.socket}?password=hunter2")
    assert "hunter2" not in str(caught.value)
    assert str(server.socket) in str(caught.value)


def test_refuses_a_server_that_evicts(own_server: Server) -> None:
    own_server.start("--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru")
    with pytest.raises(StoreError, match="set maxmemory-policy noeviction"):
        open_at(own_server.url)


def test_a_full_server_is_an_error(own_server: Server) -> None:
    own_server.start("--maxmemory", "3mb", "--maxmemory-policy", "noeviction")
    with closing(open_at(own_server.url)) as store:
        added = 0
        with pytest.raises(StoreError, match=r"does not answer: .*maxmemory"):  # noqa: PT012
            while True:
                store.compare_and_swap([Change(added.to_bytes(32), None, bytes(10_000), SOON)])
                added += 1
        assert store.count() == added > 0


def test_power_needs_a_server_that_writes_first(own_server: Server) -> None:
    own_server.start()
    with pytest.raises(StoreError, match=r'does not outlast a loss of power; .* durability = "process"'):
        RedisStore(own_server.url, secret_check=CHECK, durability="power")
    client = own_server.client()
    client.config_set("appendonly", "yes")
    client.config_set("appendfsync", "always")
    with closing(RedisStore(own_server.url, secret_check=CHECK, durability="power")) as store:
        put(store, ONE)


@contextmanager
def waitaof_answered(server: Server, path: Path, answer: Callable[[], int]) -> Iterator[str]:
    """A server before ``server`` that knows WAITAOF (7.2) and says that ``answer()`` disks have it all."""

    def serve() -> None:
        connection, _ = listener.accept()
        with connection, socket.socket(socket.AF_UNIX) as beyond:
            beyond.connect(str(server.socket))
            here, there = connection.makefile("rb"), beyond.makefile("rb")
            while command := reply(here):
                if b"WAITAOF" in command:
                    connection.sendall(b"*2\r\n:%d\r\n:0\r\n" % answer())
                else:
                    beyond.sendall(command)
                    connection.sendall(reply(there))

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        thread = threading.Thread(target=serve)
        thread.start()
        yield f"unix://{path}"
    thread.join(10)


def reply(file: BinaryIO) -> bytes:
    """The octets of one RESP value."""
    line = file.readline()
    octets = line
    if line[:1] in (b"$", b"=") and int(line[1:]) >= 0:
        octets += file.read(int(line[1:]) + 2)
    elif line[:1] in (b"*", b"%", b"~"):
        for _ in range(int(line[1:]) * (2 if line[:1] == b"%" else 1)):
            octets += reply(file)
    return octets


def test_power_waits_for_the_append_only_file(server: Server, tmp_path: Path) -> None:
    disks = [1, 1, 0]
    with (
        waitaof_answered(server, tmp_path / "proxy", lambda: disks.pop(0)) as url,
        closing(RedisStore(url, secret_check=CHECK, durability="power")) as store,
    ):
        put(store, ONE)
        store.commit()
        assert disks == [0], "a commit of nothing waits for nothing"
        assert store.compare_and_swap([Change(TWO, None, b"r", SOON)])
        with pytest.raises(StoreError, match="disk does not keep up"):
            store.commit()
