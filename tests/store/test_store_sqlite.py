"""The SQLite store: its one writer, its readers, and what it refuses to open."""

import os
import resource
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from monitor.antireplay.table import Change, StoreError
from monitor.store import checkpoint, sqlite
from monitor.store.sqlite import SqliteStore

ONE, TWO = b"\x01" * 32, b"\x02" * 32
LATER = 10**19 // 10


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


def open_at(path: Path, *, readonly: bool = False, secret_check: bytes | None = b"check") -> SqliteStore:
    return SqliteStore(path, secret_check=secret_check, readonly=readonly)


def put(store: SqliteStore, key: bytes, record: bytes = b"record") -> None:
    assert store.compare_and_swap([Change(key, None, record, LATER)])
    store.commit()


def made(path: Path, records: int = 1) -> Path:
    """A store that was used and closed."""
    with closing(open_at(path)) as store:
        changes = [Change(os.urandom(32), None, bytes(300), LATER) for _ in range(records - 1)]
        assert store.compare_and_swap([Change(ONE, None, b"record", LATER), *changes])
        store.commit()
    return path


def test_remembers_what_was_committed_and_no_more(path: Path) -> None:
    with closing(open_at(path)) as store:
        assert store.created
        put(store, ONE)
        assert store.compare_and_swap([Change(TWO, None, b"never committed", LATER)])
    with closing(open_at(path)) as store:
        assert not store.created
        assert store.read([ONE, TWO]) == [b"record", None]
        assert store.count() == 1


def test_only_its_owner_reads_it(path: Path) -> None:
    with closing(open_at(path)) as store:
        put(store, ONE)
        assert {file.stat().st_mode & 0o077 for file in path.parent.iterdir()} == {0}


def test_has_one_writer(path: Path) -> None:
    with closing(open_at(path)):
        with pytest.raises(
            StoreError, match=rf"store\.db: process {os.getpid()} is its one writer"
        ) as caught:
            open_at(path)
        assert "\n" not in str(caught.value)
    open_at(path).close()


def test_another_process_reads_beside_the_writer(path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from monitor.store.sqlite import SqliteStore;"
        "s = SqliteStore(Path(sys.argv[1]), secret_check=None, readonly=True);"
        "print(s.count(), [e.record for e in s.records()])"
    )
    with closing(open_at(path)) as store:
        put(store, ONE)
        store.compare_and_swap([Change(TWO, None, b"not yet", LATER)])
        output = subprocess.check_output([sys.executable, "-c", code, str(path)], text=True)
        assert output == "1 [b'record']\n"
        store.commit()
        output = subprocess.check_output([sys.executable, "-c", code, str(path)], text=True)
        assert output == "2 [b'record', b'not yet']\n"


def test_a_reader_changes_nothing(path: Path) -> None:
    made(path)
    with closing(open_at(path, readonly=True)) as reader:
        with pytest.raises(StoreError, match="may not be written"):
            reader.forget(ONE)
        assert reader.read([ONE]) == [b"record"]


def test_a_reader_makes_nothing(path: Path) -> None:
    with pytest.raises(StoreError, match="no such file"):
        open_at(path, readonly=True)
    assert list(path.parent.iterdir()) == []


def test_a_directory_is_no_store(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="is no file; name one"):
        open_at(tmp_path)


def test_wants_its_directory(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="No such file or directory; make the directory"):
        open_at(tmp_path / "none" / "store.db")


def test_refuses_another_secret(path: Path) -> None:
    made(path)
    for readonly in (False, True):
        with pytest.raises(StoreError, match="made under another site secret; put that one back"):
            open_at(path, secret_check=b"other", readonly=readonly)
    with closing(open_at(path)) as store:
        assert store.read([ONE]) == [b"record"]


def test_refuses_a_newer_schema(path: Path) -> None:
    made(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE meta SET value = 2 WHERE name = 'schema'")
        connection.commit()
    with pytest.raises(StoreError, match=r"newer version \(schema 2\); upgrade"):
        open_at(path)


@pytest.mark.parametrize(
    "octets", [b"", b"not a database, but as long as a header " * 100], ids=["empty", "text"]
)
def test_refuses_what_is_no_store(path: Path, octets: bytes) -> None:
    path.write_bytes(octets)
    with pytest.raises(StoreError, match=r"store\.db: is (empty|damaged)"):
        open_at(path)
    assert path.read_bytes() == octets


def test_refuses_another_programs_database(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE meta (name TEXT, value)")
    before = path.read_bytes()
    with pytest.raises(StoreError, match="another program's; name another file"):
        open_at(path)
    assert path.read_bytes() == before


def test_refuses_a_file_cut_short(path: Path) -> None:
    made(path, records=500)
    size = path.stat().st_size
    for kept in (size // 2, size - 4096, 4096, 100):
        shutil.copy(path, cut := path.with_name(f"cut{kept}.db"))
        os.truncate(cut, kept)
        with pytest.raises(StoreError, match="is damaged; restore a copy"):
            open_at(cut)
        assert cut.stat().st_size == kept


def test_refuses_a_file_cut_short_that_is_too_large_to_check(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(path, records=500)
    os.truncate(path, path.stat().st_size - 4096)
    monkeypatch.setattr(sqlite, "CHECKED", 0)
    with pytest.raises(StoreError, match="is damaged"):
        open_at(path)


def test_refuses_a_file_with_a_page_of_rubbish(path: Path) -> None:
    made(path, records=500)
    pages = path.stat().st_size // 4096
    for page in range(1, pages, 5):
        shutil.copy(path, bad := path.with_name(f"bad{page}.db"))
        with bad.open("r+b") as file:
            file.seek(page * 4096)
            file.write(b"\xa5" * 4096)
        with pytest.raises(StoreError, match="is damaged"):
            open_at(bad)


def test_damage_met_later_is_an_error_of_the_store(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made(path, records=500)
    with path.open("r+b") as file:
        file.seek(2 * 4096)
        file.write(b"\xa5" * (path.stat().st_size - 2 * 4096))
    monkeypatch.setattr(sqlite, "CHECKED", 0)
    with pytest.raises(StoreError, match=r"store\.db: is damaged"), closing(open_at(path)) as store:
        store.read([os.urandom(32) for _ in range(100)])


def test_is_not_begun_anew_beside_a_log_that_was_left(path: Path) -> None:
    made(path)
    path.rename(path.with_name("store.db-wal"))
    with pytest.raises(StoreError, match=r"is gone, though store\.db-wal is there"):
        open_at(path)
    assert not path.exists()


def test_a_start_cut_short_leaves_no_half_made_file(path: Path) -> None:
    path.with_name("store.db-new").write_bytes(b"left by a start that was killed")
    with closing(open_at(path)) as store:
        put(store, ONE)
    assert sorted(file.name for file in path.parent.iterdir()) == ["store.db", "store.db-lock"]


@contextmanager
def no_file_longer_than(octets: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (octets, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_failed_commit_is_undone_whole_and_the_next_works(path: Path) -> None:
    with closing(open_at(path)) as store:
        put(store, ONE)
        many = [Change(os.urandom(32), None, bytes(1000), LATER) for _ in range(500)]
        with no_file_longer_than(100_000):
            assert store.compare_and_swap([Change(ONE, b"record", b"changed", LATER), *many])
            with pytest.raises(StoreError, match=r"store\.db: the disk"):
                store.commit()
            assert store.read([ONE, many[0].key, many[-1].key]) == [b"record", None, None]
            assert store.count() == 1
        store.commit()
        assert store.count() == 1
        assert store.compare_and_swap([Change(ONE, b"record", b"changed", LATER), *many])
        store.commit()
        assert store.count() == 501
    with closing(open_at(path)) as store:
        assert store.read([ONE, many[-1].key]) == [b"changed", bytes(1000)]
        assert store.count() == 501


def test_an_error_over_one_message_fails_the_commit_of_the_others(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(open_at(path)) as store:
        assert store.compare_and_swap([Change(ONE, None, b"of another message", LATER)])
        with monkeypatch.context() as broken:
            broken.setattr(sqlite, "_READ", "SELECT nothing FROM nowhere")
            with pytest.raises(StoreError, match="syntax error"):
                store.read([TWO])
        assert store.compare_and_swap([Change(TWO, None, b"of a later one", LATER)])
        with pytest.raises(StoreError, match="an error before this commit undid"):
            store.commit()
        assert store.read([ONE, TWO]) == [None, None]
        put(store, ONE)
        store.commit()
        assert store.read([ONE, TWO]) == [b"record", None]


@pytest.mark.live
def test_a_full_file_system(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small file system")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(tmp_path)], check=True)
    try:
        with closing(open_at(tmp_path / "store.db")) as store:
            committed = []
            with pytest.raises(StoreError, match="the disk is full; make room"):  # noqa: PT012
                for _ in range(1000):
                    keys = [os.urandom(32) for _ in range(20)]
                    assert store.compare_and_swap([Change(key, None, bytes(500), LATER) for key in keys])
                    store.commit()
                    committed += keys
            assert committed
            assert store.read(keys) == [None] * 20
            assert store.read(committed) == [bytes(500)] * len(committed)
            subprocess.run(["mount", "-o", "remount,size=4m", str(tmp_path)], check=True)
            put(store, ONE)
        with closing(open_at(tmp_path / "store.db")) as store:
            assert store.count() == len(committed) + 1
            assert store.read([*committed, ONE]) == [*[bytes(500)] * len(committed), b"record"]
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_swaps_without_a_commit_are_bounded(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "PENDING", 10)
    with closing(open_at(path)) as store:
        assert store.compare_and_swap([Change(bytes([n]) * 32, None, b"r", LATER) for n in range(10)])
        with pytest.raises(StoreError, match="more than 10 swaps"):
            store.compare_and_swap([Change(b"\x0a" * 32, None, b"r", LATER)])
        assert store.read([bytes([n]) * 32 for n in range(11)]) == [None] * 11


@pytest.mark.parametrize("query", [sqlite._READ.format("?, ?"), sqlite._WRITE, sqlite._LIST, sqlite._SLICE])
def test_no_query_walks_through_the_table(path: Path, query: str) -> None:
    """What one costs must not grow with the table; a plan says SCAN where it does."""
    made(path)
    with closing(sqlite3.connect(path)) as connection:
        values = [b"x"] * query.count("?")
        plan = connection.execute(f"EXPLAIN QUERY PLAN {query}", values).fetchall()
    assert not [step for *_, step in plan if "SCAN" in step or "TEMP B-TREE" in step]


@pytest.mark.parametrize(("durability", "level"), [("process", 1), ("power", 2)])
def test_durability_is_the_level_of_synchronisation(path: Path, durability: str, level: int) -> None:
    store = SqliteStore(path, secret_check=b"c", durability="power" if durability == "power" else "process")
    with closing(store):
        assert store._pragma("synchronous") == level


def test_a_closed_store_says_so(path: Path) -> None:
    store = open_at(path)
    store.close()
    store.close()
    with pytest.raises(StoreError, match="closed"):
        store.read([ONE])


def test_the_log_does_not_grow_with_what_is_written(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "EVERY", 200)
    monkeypatch.setattr(checkpoint, "LONG", 200)
    log = Path(f"{path}-wal")
    with closing(open_at(path)) as store:
        for _ in range(10_000):
            changes = [Change(os.urandom(32), None, bytes(1000), LATER) for _ in range(100)]
            assert store.compare_and_swap(changes)
            store.commit()
            if path.stat().st_size > 3 * log.stat().st_size:
                return
    pytest.fail("the log is as long as all that was ever written")


def test_a_foreign_lock_is_waited_for_also_after_a_look(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "BUSY", 20.0)
    with closing(open_at(path)) as store, closing(sqlite3.connect(path, check_same_thread=False)) as other:
        assert store.read([ONE]) == [None]
        assert store.compare_and_swap([Change(ONE, None, b"record", LATER)])
        other.execute("BEGIN IMMEDIATE")
        letting_go = threading.Timer(0.2, other.rollback)
        letting_go.start()
        store.commit()
        letting_go.join()
        assert store.read([ONE]) == [b"record"]
