"""The URLs of stores."""

import sys
from pathlib import Path

import pytest

from monitor.antireplay.table import StoreError
from monitor.store.location import open_store, sqlite_path
from monitor.store.memory import MemoryStore


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///var/lib/x.db", "/var/lib/x.db"),
        ("sqlite:////var/lib/x.db", "/var/lib/x.db"),
        ("sqlite:/var/lib/x.db", "/var/lib/x.db"),
        ("sqlite:////x.db", "/x.db"),
        ("sqlite:///x.db", "x.db"),
        ("sqlite://x.db", "x.db"),
        ("sqlite:x.db", "x.db"),
        ("sqlite:state/x.db", "state/x.db"),
        ("sqlite://./state/x.db", "state/x.db"),
        ("sqlite:///./state/x.db", "state/x.db"),
        ("sqlite:///../state/x.db", "../state/x.db"),
        ("sqlite:///.hidden/x.db", "/.hidden/x.db"),
        ("sqlite:///tmp/what? #1 %20.db", "/tmp/what? #1 %20.db"),
    ],
)
def test_sqlite_path(url: str, path: str) -> None:
    assert sqlite_path(url) == Path(path)


@pytest.mark.parametrize("url", ["sqlite:", "sqlite://", "sqlite:///", "sqlite:///var/lib/"])
def test_a_url_without_a_file(url: str) -> None:
    with pytest.raises(StoreError, match="names no file"):
        sqlite_path(url)


@pytest.mark.parametrize("url", ["", "mysql://host/x", "/var/lib/x.db", "Sqlite:///x"])
def test_what_is_no_store(url: str) -> None:
    with pytest.raises(StoreError, match="is no store; write memory:, sqlite:///PATH"):
        open_store(url, secret_check=b"c")


def test_opens_by_url(tmp_path: Path) -> None:
    assert isinstance(open_store("memory:", secret_check=b"c"), MemoryStore)
    odd = tmp_path / "what? #1 %20.db"
    open_store(f"sqlite://{odd}", secret_check=b"c").close()
    assert odd.exists()


def test_a_relative_path_begins_at_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    open_store("sqlite:///x.db", secret_check=b"c").close()
    assert (tmp_path / "x.db").exists()


def test_a_writer_must_tell_its_secret() -> None:
    with pytest.raises(ValueError, match="site secret"):
        open_store("memory:", secret_check=None)


def test_the_mend_where_the_redis_package_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(StoreError, match=r"^redis://host/0: .* pip install 'sip-replay-monitor\[redis\]'$"):
        open_store("redis://user:hunter2@host/0?password=hunter2", secret_check=b"c")


def test_memory_is_bounded() -> None:
    from monitor.antireplay.table import Change

    store = MemoryStore(limit=2)
    assert store.compare_and_swap([Change(bytes([n]) * 32, None, b"r", 5) for n in range(2)])
    store.commit()
    assert store.compare_and_swap([Change(bytes(32), b"r", b"s", 5)])
    with pytest.raises(StoreError, match="2 records are the most"):
        store.compare_and_swap([Change(b"x" * 32, None, b"r", 5)])
    assert store.read([bytes(32)]) == [b"r"], "nothing since the last commit counts"
    with pytest.raises(StoreError, match="undid"):
        store.commit()
    store.commit()
    with pytest.raises(StoreError, match="2 records are the most"):
        store.compare_and_swap([Change(b"x" * 32, None, b"r", 5)])
    store.commit()
