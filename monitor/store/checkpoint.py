"""Checkpoints of a write-ahead log beside its writer, who would wait for the disk otherwise."""

import sqlite3
import threading
from contextlib import closing

EVERY = 4000
"""Rows written between two checkpoints."""
LONG = 32_000
"""Pages of log (128 MiB) after which the writer finishes a checkpoint himself, so that the log begins anew:
under steady writing there would always be something new in it."""


class Checkpointer:
    """A thread that copies the log into the file (SQLite's passive checkpoint, which keeps nobody waiting).

    :param uri: of the file, as ``sqlite3.connect`` takes it.
    """

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._rows = 0
        self._pages = 0
        self._wake = threading.Event()
        self._ended = False
        self._thread = threading.Thread(target=self._run, name="checkpoint", daemon=True)
        self._thread.start()

    def wrote(self, rows: int, writer: sqlite3.Connection) -> None:
        """Take note of what was committed."""
        self._rows += rows
        if self._rows < EVERY:
            return
        self._rows = 0
        if self._pages > LONG:
            # Most of it is in the file by now.
            self._pages = 0
            _checkpoint(writer)
        self._wake.set()

    def close(self) -> None:
        """End the thread."""
        self._ended = True
        self._wake.set()
        self._thread.join()

    def _run(self) -> None:
        # A disk that is full, or fails, is told by the writer's own commits.
        try:
            with closing(sqlite3.connect(self._uri, uri=True, isolation_level=None)) as connection:
                while self._wake.wait() and not self._ended:
                    self._wake.clear()
                    self._pages = _checkpoint(connection)
        except sqlite3.Error:
            self._pages = LONG + 1


def _checkpoint(connection: sqlite3.Connection) -> int:
    """Copy what can be copied; the pages that are in the log."""
    try:
        _, pages, _ = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    except sqlite3.Error:
        return 0
    return int(pages)
