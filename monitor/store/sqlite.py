"""The embedded store: one SQLite file, one writer, any number of readers beside it.

Swaps are gathered in memory and written by one transaction at each commit, in WAL mode: a commit outlasts
the process without waiting for the disk, with ``durability="power"`` a loss of power too. Records stand in
the order in which they came, under an index of their keys, so that a commit appends and a read costs one
descent however many records there are. Nothing orders them by expiry, which would make commits slower:
pruning walks through them in slices.
"""

import fcntl
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from monitor.antireplay.table import Change, StoreError
from monitor.store.checkpoint import Checkpointer
from monitor.store.managed import FOREVER, LISTING, UNDONE, Durability, Entry, successor

APPLICATION = 0x73726D31
"""application_id in the header of the file: ``srm1``."""
SCHEMA = 1
"""Version of the layout below."""
PENDING = 100_000
"""Most swaps between two commits (a further one raises ``StoreError``), and most reads remembered."""
CHECKED = 64 << 20
"""Octets up to which a file is checked throughout when it is opened; of a larger one only its length is."""
BUSY = 0.5
"""Seconds that a foreign lock on the file is waited for."""
CACHE = 64 << 10
"""KiB of pages that the writer keeps in memory."""
BEYOND = b"\xff" * 33
"""Greater than any key of 32 octets."""

_LAYOUT = f"""
PRAGMA application_id = {APPLICATION};
BEGIN;
CREATE TABLE association (
    number INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, expires INTEGER NOT NULL, record BLOB NOT NULL
) STRICT;
CREATE TABLE meta (name TEXT PRIMARY KEY, value ANY NOT NULL) STRICT, WITHOUT ROWID;
"""
_META = "SELECT value FROM meta WHERE name = ?"
_SET_META = "INSERT OR REPLACE INTO meta (name, value) VALUES (?, ?)"
_READ = "SELECT key, record FROM association WHERE key IN ({})"
READS = 64
"""Keys that one statement looks up."""
_WRITE = (
    "INSERT INTO association (key, expires, record) VALUES (?, ?, ?)"
    " ON CONFLICT (key) DO UPDATE SET expires = excluded.expires, record = excluded.record"
)
_LIST = "SELECT key, record, expires FROM association WHERE key >= ? AND key < ? ORDER BY key LIMIT ?"
_SLICE = "SELECT number, key, expires FROM association WHERE number > ? ORDER BY number LIMIT ?"

_MENDS = {
    sqlite3.SQLITE_FULL: "the disk is full; make room",
    sqlite3.SQLITE_IOERR: "the disk does not read or write; see the kernel log",
    sqlite3.SQLITE_CORRUPT: "is damaged; restore a copy, or move it away to begin with nothing known",
    sqlite3.SQLITE_NOTADB: "is damaged or no store; restore a copy, or name another file",
    sqlite3.SQLITE_BUSY: "is locked by another program; end that",
    sqlite3.SQLITE_LOCKED: "is locked by another program; end that",
    sqlite3.SQLITE_READONLY: "may not be written; see the modes and owners of the file and its directory",
    sqlite3.SQLITE_CANTOPEN: "cannot be opened; see the modes and owners of the file and its directory",
    sqlite3.SQLITE_PERM: "cannot be opened; see the modes and owners of the file and its directory",
}


class SqliteStore:
    """A ``ManagedStore`` in the file ``path``; for the parameters see ``open_store``."""

    created: bool
    """Whether opening made the file."""

    def __init__(
        self,
        path: Path,
        *,
        secret_check: bytes | None,
        durability: Durability = "process",
        readonly: bool = False,
    ) -> None:
        self._path = path
        self._undone = False
        self._pending: dict[bytes, tuple[bytes, int]] = {}
        self._seen: dict[bytes, bytes | None] = {}
        self._fresh: set[bytes] = set()
        self._pruned = 0
        self._readonly = readonly
        self._checkpointer: Checkpointer | None = None
        self._lock = None if readonly else _lock(path)
        try:
            self.created = not readonly and not path.exists()
            if self.created:
                _create(path, secret_check or b"")
            self._connection = self._connect(durability)
            with self._guarded():
                self._check(secret_check)
                self._count = self._meta_number("count")
        except BaseException:
            self.close()
            raise

    def _connect(self, durability: Durability) -> sqlite3.Connection:
        uri = f"{self._path.absolute().as_uri()}?mode={'ro' if self._readonly else 'rw'}"
        if not self._path.is_file():
            missing = (
                "is no file; name one"
                if self._path.exists()
                else "no such file; the daemon makes it when it starts"
            )
            raise StoreError(f"{self._path}: {missing}")
        try:
            connection = sqlite3.connect(
                uri,
                uri=True,
                timeout=BUSY,
                isolation_level=None,
                check_same_thread=False,
            )
        except sqlite3.Error as error:
            raise self._error(error) from error
        self._connection = connection
        with self._guarded():
            if self._pragma("application_id") != APPLICATION:
                raise StoreError(
                    f"{self._path}: is empty or another program's; name another file, or restore a copy"
                )
            if self._readonly:
                connection.execute("PRAGMA query_only = ON")
                return connection
            if connection.execute("PRAGMA journal_mode = WAL").fetchone() != ("wal",):
                raise StoreError(
                    f"{self._path}: its file system has no shared memory; name a file on a local disk"
                )
            connection.execute(f"PRAGMA synchronous = {'FULL' if durability == 'power' else 'NORMAL'}")
            connection.execute(f"PRAGMA cache_size = -{CACHE}")
            connection.execute("PRAGMA wal_autocheckpoint = 0")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self._checkpointer = Checkpointer(self._path, uri)
        return connection

    def _check(self, secret_check: bytes | None) -> None:
        """See that the file is whole, of a version that is understood, and made under our site secret."""
        schema = self._meta_number("schema")
        if schema > SCHEMA:
            raise StoreError(f"{self._path}: was made by a newer version (schema {schema}); upgrade this one")
        if secret_check is not None and self._meta("secret") != secret_check:
            raise StoreError(
                f"{self._path}: was made under another site secret; put that one back, or name another file"
            )
        if self._readonly:
            return
        length = self._path.stat().st_size
        whole = length >= self._pragma("page_count") * self._pragma("page_size")
        if whole and length <= CHECKED:
            whole = self._connection.execute("PRAGMA integrity_check(1)").fetchone() == ("ok",)
        if not whole:
            raise StoreError(f"{self._path}: {_MENDS[sqlite3.SQLITE_CORRUPT]}")

    def _pragma(self, name: str) -> int:
        return int(self._connection.execute(f"PRAGMA {name}").fetchone()[0])

    def _meta(self, name: str) -> object:
        row = self._connection.execute(_META, (name,)).fetchone()
        return row[0] if row else None

    def _meta_number(self, name: str) -> int:
        value = self._meta(name)
        if not isinstance(value, int):
            raise StoreError(f"{self._path}: {_MENDS[sqlite3.SQLITE_CORRUPT]}")
        return value

    def read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """See ``Store.read``."""
        pending, seen = self._pending, self._seen
        unseen = [key for key in keys if key not in pending and key not in seen]
        if unseen:
            if len(seen) >= PENDING:
                seen.clear()
                unseen = [key for key in keys if key not in pending]
            for first in range(0, len(unseen), READS):
                self._look_up(unseen[first : first + READS])
        return [pending[key][0] if key in pending else seen[key] for key in keys]

    def _look_up(self, keys: Sequence[bytes]) -> None:
        try:
            if not (self._readonly or self._connection.in_transaction):
                # One for all that is read up to the next commit: each statement would make its own.
                self._connection.execute("BEGIN")
            found = dict(self._connection.execute(_READ.format(",".join("?" * len(keys))), keys).fetchall())
        except sqlite3.Error as error:
            self._undo()
            raise self._error(error) from error
        for key in keys:
            self._seen[key] = found.get(key)

    def compare_and_swap(self, changes: Sequence[Change]) -> bool:
        """See ``Store.compare_and_swap``."""
        standing = self.read([change.key for change in changes])
        if any(stands != change.expected for stands, change in zip(standing, changes, strict=True)):
            return False
        if len(self._pending) + len(changes) > PENDING:
            self._undo()
            raise StoreError(f"{self._path}: more than {PENDING} swaps since the last commit; commit sooner")
        for change in changes:
            self._pending[change.key] = (change.record, min(change.expires, FOREVER))
            if change.expected is None:
                self._fresh.add(change.key)
        return True

    def commit(self) -> None:
        """See ``Store.commit``."""
        if self._undone:
            self._clear()
            raise StoreError(f"{self._path}: {UNDONE}")
        with self._guarded(commits=True):
            # A foreign lock is waited for by who begins to write, not by who reads already.
            self._read_no_more()
            if self._pending:
                count = self._count + len(self._fresh)
                rows = ((key, expires, record) for key, (record, expires) in self._pending.items())
                self._connection.execute("BEGIN IMMEDIATE")
                self._connection.executemany(_WRITE, rows)
                self._connection.execute(_SET_META, ("count", count))
                self._connection.execute("COMMIT")
                self._count = count
                self._wrote(len(self._pending))
        self._clear()

    def records(self, *, prefix: bytes = b"", after: bytes = b"", limit: int = LISTING) -> list[Entry]:
        """See ``ManagedStore.records``."""
        first = max(prefix, after + b"\0") if after else prefix
        with self._guarded():
            rows = self._connection.execute(_LIST, (first, successor(prefix) or BEYOND, limit)).fetchall()
        return [Entry(*row) for row in rows]

    def forget(self, key: bytes) -> bool:
        """See ``ManagedStore.forget``."""
        self._pending.pop(key, None)
        self._fresh.discard(key)
        return self._delete("key", [key]) == 1

    def prune(self, now: int, limit: int) -> int:
        """See ``ManagedStore.prune``."""
        with self._guarded():
            rows = self._connection.execute(_SLICE, (self._pruned, limit)).fetchall()
        expired = [number for number, key, expires in rows if expires < now and key not in self._pending]
        forgotten = self._delete("number", expired) if expired else 0
        self._pruned = rows[-1][0] if len(rows) == limit else 0
        return forgotten

    def _delete(self, column: str, values: Sequence[bytes | int]) -> int:
        """Delete the rows whose ``column`` has one of ``values``; how many there were."""
        with self._guarded():
            self._read_no_more()
            self._connection.execute("BEGIN IMMEDIATE")
            deleted = self._connection.executemany(
                f"DELETE FROM association WHERE {column} = ?", ((value,) for value in values)
            ).rowcount
            self._connection.execute(_SET_META, ("count", self._count - deleted))
            self._connection.execute("COMMIT")
            self._wrote(deleted)
        self._count -= deleted
        self._seen.clear()
        return deleted

    def count(self) -> int:
        """See ``ManagedStore.count``; kept beside the records, so that it costs the same for any number."""
        if not self._readonly:
            return self._count
        with self._guarded():
            return self._meta_number("count")

    def size_bytes(self) -> int:
        """The lengths of the file and of its write-ahead log."""
        size = 0
        for name in (self._path, Path(f"{self._path}-wal")):
            with suppress(OSError):
                size += name.stat().st_size
        return size

    def close(self) -> None:
        """See ``ManagedStore.close``."""
        self._clear()
        if self._checkpointer is not None:
            self._checkpointer.stop()
        if hasattr(self, "_connection"):
            self._connection.close()
        if self._checkpointer is not None:
            self._checkpointer.close()
            self._checkpointer = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _clear(self) -> None:
        self._undone = False
        self._pending.clear()
        self._seen.clear()
        self._fresh.clear()

    def _wrote(self, rows: int) -> None:
        if self._checkpointer is not None:
            self._checkpointer.wrote(rows, self._connection)

    def _read_no_more(self) -> None:
        """End the transaction that reads, if there is one."""
        if self._connection.in_transaction:
            self._connection.execute("COMMIT")

    def _undo(self) -> None:
        """Go back to the last commit."""
        undone = self._undone or bool(self._pending)
        self._clear()
        self._undone = undone
        with suppress(sqlite3.Error):
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")

    @contextmanager
    def _guarded(self, *, commits: bool = False) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            self._undo()
            self._undone &= not commits
            raise self._error(error) from error

    def _error(self, error: sqlite3.Error) -> StoreError:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        return StoreError(f"{self._path}: {_MENDS.get(code, error)}")


def _lock(path: Path) -> int:
    """Become the one writer of ``path``, by a lock that the kernel drops with the process.

    It is on a file beside ``path``, since closing any descriptor of that one would drop SQLite's own locks.
    """
    name = Path(f"{path}-lock")
    try:
        lock = os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise StoreError(f"{name}: {error.strerror}; make the directory, owned by who runs this") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(lock, 0)
        os.pwrite(lock, b"%d\n" % os.getpid(), 0)
    except OSError as error:
        holder = os.pread(lock, 16, 0).decode("ascii", "replace").strip() or "?"
        os.close(lock)
        if not isinstance(error, BlockingIOError):
            raise StoreError(f"{name}: {error.strerror}") from error
        raise StoreError(
            f"{path}: process {holder} is its one writer; stop that, or name another file"
        ) from error
    return lock


def _create(path: Path, secret_check: bytes) -> None:
    """Make the file under another name first, so that one under ``path`` is never half made."""
    if Path(f"{path}-wal").exists():
        raise StoreError(
            f"{path}: is gone, though {path.name}-wal is there; restore both, or move that away too"
        )
    new = Path(f"{path}-new")
    try:
        new.unlink(missing_ok=True)
        os.close(os.open(new, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        with closing(sqlite3.connect(new, isolation_level=None)) as connection:
            connection.executescript(_LAYOUT)
            meta = (("schema", SCHEMA), ("secret", secret_check), ("count", 0))
            connection.executemany(_SET_META, meta)
            connection.execute("COMMIT")
        new.rename(path)
        directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        os.fsync(directory)
        os.close(directory)
    except (OSError, sqlite3.Error) as error:
        raise StoreError(f"{path}: cannot be made: {error}") from error
