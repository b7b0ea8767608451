"""Any sequence of uses of SQLite and Redis gives what it gives in memory."""

import shutil
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from monitor.antireplay.table import Change
from monitor.store.location import open_store
from monitor.store.managed import ManagedStore
from monitor.store.memory import MemoryStore

KEYS = st.sampled_from([bytes([first, second]) * 16 for first in (0, 1, 255) for second in (0, 7, 255)])
RECORDS = st.sampled_from([b"", b"a", b"b", bytes(range(256))])
BASE = time.time_ns() + 10 * 365 * 86400 * 10**9
EXPIRIES = st.integers(BASE, BASE + 5)
CHANGES = st.lists(
    st.builds(Change, key=KEYS, expected=st.none() | RECORDS, record=RECORDS, expires=EXPIRIES),
    max_size=4,
    unique_by=lambda change: change.key,
)


class Machine(RuleBasedStateMachine):
    """Does the same to a store and to one in memory."""

    url: str
    restarts: bool
    """Whether swaps wait for the commit, and are dropped when the store is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.home = Path(tempfile.mkdtemp(prefix="store-"))
        self.model = MemoryStore()

    @initialize()
    def open(self) -> None:
        self.store: ManagedStore = open_store(self.url.format(home=self.home), secret_check=b"check")
        for entry in self.store.records():
            self.store.forget(entry.key)

    @rule(changes=CHANGES)
    def swap(self, changes: list[Change]) -> None:
        assert self.store.compare_and_swap(changes) == self.model.compare_and_swap(changes)

    @rule(changes=CHANGES)
    def swap_what_stands(self, changes: list[Change]) -> None:
        found = self.model.read([change.key for change in changes])
        exact = [
            Change(change.key, stands, change.record, change.expires)
            for change, stands in zip(changes, found, strict=True)
        ]
        assert self.store.compare_and_swap(exact)
        assert self.model.compare_and_swap(exact)

    @rule()
    def commit(self) -> None:
        self.store.commit()
        self.model.commit()

    @rule(key=KEYS)
    def forget(self, key: bytes) -> None:
        if not self.restarts:
            self.model.commit()
        assert self.store.forget(key) == self.model.forget(key)

    @rule(now=EXPIRIES, limit=st.integers(1, 4))
    def prune_a_round(self, now: int, limit: int) -> None:
        if self.restarts:
            rounds = 2 * self.model.count() // limit + 2
            self.model.prune(now, 10**6)
            self.model.prune(now, 10**6)
            for _ in range(rounds):
                self.store.prune(now, limit)

    @rule()
    def reopen(self) -> None:
        self.store.close()
        if self.restarts:
            self.model.close()
        self.store = open_store(self.url.format(home=self.home), secret_check=b"check")

    @rule(
        prefix=KEYS.flatmap(lambda key: st.sampled_from([key[:0], key[:1], key])), after=KEYS | st.just(b"")
    )
    def list(self, prefix: bytes, after: bytes) -> None:
        if not self.restarts:
            self.model.commit()
        mine = self.store.records(prefix=prefix, after=after, limit=3)
        assert mine == self.model.records(prefix=prefix, after=after, limit=3)

    @invariant()
    def reads_agree(self) -> None:
        if hasattr(self, "store"):
            keys = [bytes([first, second]) * 16 for first in (0, 1, 255) for second in (0, 7, 255)]
            assert self.store.read(keys) == self.model.read(keys)
            if not self.restarts:
                self.model.commit()
            assert self.store.count() == self.model.count()

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.store.close()
        shutil.rmtree(self.home)


EFFORT = settings(
    max_examples=40,
    stateful_step_count=25,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def test_sqlite_is_as_memory() -> None:
    machine = type("SqliteMachine", (Machine,), {"url": "sqlite://{home}/store.db", "restarts": True})
    run_state_machine_as_test(machine, settings=EFFORT)


def test_redis_is_as_memory_committed_at_once(request: pytest.FixtureRequest) -> None:
    server = request.getfixturevalue("server")
    machine = type("RedisMachine", (Machine,), {"url": server.url, "restarts": False})
    run_state_machine_as_test(machine, settings=EFFORT)
