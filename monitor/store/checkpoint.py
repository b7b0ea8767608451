"""Checkpoints of a write-ahead log beside its writer, who would wait for the disk otherwise."""

import os
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

EVERY = 4000
"""Rows written between two checkpoints."""
LONG = 32_000
"""Pages of log (128 MiB) after which the writer finishes a checkpoint himself, so that the log begins anew:
under steady writing there would always be something new in it."""
ROUNDS = 3
"""Further checkpoints just before that: each has less to do than the one before, and the writer the least."""


class Checkpointer:
    """A thread that copies the log into the file (SQLite's passive checkpoint, which keeps nobody waiting).

    :param path: of the file.
    :param uri: of the same, as ``sqlite3.connect`` takes it.
    """

    def __init__(self, path: Path, uri: str) -> None:
        self._uri = uri
        self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._rows = 0
        self._pages = 0
        self._wake = threading.Event()
        self._ended = False
        self._thread = threading.Thread(target=self._run, name="checkpoint", daemon=True)
        self._thread.start()

    def wrote(self, rows: int, writer: sqlite3.Connection) -> None:
        """Take note of what was committed."""
        self._rows += rows
        if self._pages > LONG:
            # The thread has just copied nearly all of it.
            self._pages = 0
            _checkpoint(writer)
        elif self._rows >= EVERY:
            self._rows = 0
            self._wake.set()

    def stop(self) -> None:
        """End the thread."""
        self._ended = True
        self._wake.set()
        self._thread.join()

    def close(self) -> None:
        """Let go of the file, once no connection of this process is open: they would lose their locks."""
        os.close(self._file)

    def _run(self) -> None:
        # A disk that is full, or fails, is told by the writer's own commits.
        try:
            with closing(sqlite3.connect(self._uri, uri=True, isolation_level=None)) as connection:
                while self._wake.wait() and not self._ended:
                    self._wake.clear()
                    if self._pages <= LONG:  # else it is the writer's turn
                        self._pages = self._copy(connection)
        except (sqlite3.Error, OSError):
            self._pages = LONG + 1

    def _copy(self, connection: sqlite3.Connection) -> int:
        """Copy the log; how many pages it has."""
        pages = _checkpoint(connection)
        if pages > LONG:
            # SQLite waits for the disk when it has copied a log to its end, which only the writer can.
            os.fdatasync(self._file)
            for _ in range(ROUNDS):
                pages = _checkpoint(connection)
                os.fdatasync(self._file)
        return pages


def _checkpoint(connection: sqlite3.Connection) -> int:
    """Copy what can be copied; the pages that are in the log."""
    try:
        _, pages, _ = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    except sqlite3.Error:
        return 0
    return int(pages)
