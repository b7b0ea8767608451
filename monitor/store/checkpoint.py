"""Checkpoints of a write-ahead log beside its writer, who would wait for the disk otherwise."""

import os
import sqlite3
import threading
from contextlib import closing, suppress
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
        self._connection = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
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
        with closing(self._connection):
            while self._wake.wait() and not self._ended:
                self._wake.clear()
                if self._pages <= LONG:  # else it is the writer's turn
                    self._pages = self._copy()

    def _copy(self) -> int:
        """Copy the log; how many pages it has."""
        pages = _checkpoint(self._connection)
        for _ in range(ROUNDS if pages > LONG else 0):
            pages = _checkpoint(self._connection)
            # SQLite waits for the disk when it has copied a log to its end, which only the writer can.
            with suppress(OSError):
                os.fdatasync(self._file)
        return pages


def _checkpoint(connection: sqlite3.Connection) -> int:
    """Copy what can be copied; the pages that are in the log. A disk that fails is told by the commits."""
    try:
        _, pages, _ = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    except sqlite3.Error:
        return 0
    return int(pages)
