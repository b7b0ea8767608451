"""Failures on purpose, so that an operator can see what they do: ``replay-monitor run --simulate-failure``.

A failure is in force from the start of the daemon; SIGUSR1 ends it and begins it anew. Each stands in the
way where the real one would: the daemon itself does not know.
"""

import logging
import os
import signal
import time
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any

from monitor.antireplay.table import Change, Store, StoreError
from monitor.capture.nfqueue import Queue
from monitor.capture.packet import Arrival, Passes, none_passes
from monitor.keys.holder import KeyHolder
from monitor.keys.request import UnwrapRequest

SHORT_QUEUE = 4
"""Packets that a queue holds in a rehearsal of its being full."""
SMALL_BUFFER = 4096
"""Octets of the receive buffer in a rehearsal of ENOBUFS; the kernel doubles them."""
SLOWNESS = 0.5
"""Seconds between two reads of it."""
PAUSE = 0.05
"""Seconds between two looks whether a failure is over."""

log = logging.getLogger("monitor")


class Failure(StrEnum):
    """What can be rehearsed."""

    QUEUE_FULL = "queue-full"
    ENOBUFS = "enobufs"
    DAEMON_DEAD = "daemon-dead"
    DAEMON_HANGS = "daemon-hangs"
    STORE_GONE = "store-gone"
    KEYHOLDER_DEAD = "keyholder-dead"
    KEYHOLDER_HANGS = "keyholder-hangs"
    OVERLOAD = "overload"
    NETLINK_MALFORMED = "netlink-malformed"


MEANINGS = {
    Failure.QUEUE_FULL: f"takes no packets from its queue, which holds {SHORT_QUEUE}",
    Failure.ENOBUFS: "reads its queue now and then, into a receive buffer for a few packets",
    Failure.DAEMON_DEAD: "ends as by SIGKILL at the first packet",
    Failure.DAEMON_HANGS: "stops at the first packet, until the service manager's watchdog ends it",
    Failure.STORE_GONE: "has a store that neither answers nor commits",
    Failure.KEYHOLDER_DEAD: "has a keyholder that is killed and does not come back",
    Failure.KEYHOLDER_HANGS: "has a keyholder that is stopped, not ended",
    Failure.OVERLOAD: "has a keyholder that refuses all work, as if too much waited",
    Failure.NETLINK_MALFORMED: "finds each message of the kernel malformed",
}


class Rehearsal:
    """One failure, in force or not, and what stands in the way for it.

    :param failure: None: nothing fails, and nothing stands in the way.
    """

    def __init__(self, failure: Failure | None) -> None:
        self._failure = failure
        self._in_force = failure is not None

    @property
    def current(self) -> Failure | None:
        """The failure in force."""
        return self._failure if self._in_force else None

    def toggle(self) -> None:
        """End the failure, or begin it anew; a signal handler may call this."""
        if self._failure is not None:
            self._in_force = not self._in_force
            log.warning("rehearsal: %s %s", self._failure, "begins" if self._in_force else "ends")

    def queue(self, number: int, **options: Any) -> Queue:
        """A queue as this rehearsal has it; see ``Queue`` for the options."""
        match self._failure:
            case Failure.QUEUE_FULL:
                return _FailingQueue(self, number, **options | {"length": SHORT_QUEUE})
            case Failure.ENOBUFS:
                return _FailingQueue(self, number, **options | {"buffer": SMALL_BUFFER})
            case Failure.DAEMON_DEAD | Failure.DAEMON_HANGS | Failure.NETLINK_MALFORMED:
                return _FailingQueue(self, number, **options)
        return Queue(number, **options)

    def store(self, store: Store) -> Store:
        """The store that the judge asks, as this rehearsal has it."""
        return _FailingStore(self, store) if self._failure is Failure.STORE_GONE else store

    def keyholder(self, path: Path, **options: Any) -> KeyHolder:
        """A keyholder as this rehearsal has it; see ``KeyHolder`` for the options."""
        if self._failure in (Failure.KEYHOLDER_DEAD, Failure.KEYHOLDER_HANGS, Failure.OVERLOAD):
            return _FailingKeyHolder(self, path, **options)
        return KeyHolder(path, **options)


class _FailingQueue(Queue):
    def __init__(self, rehearsal: Rehearsal, number: int, **options: Any) -> None:
        super().__init__(number, **options)
        self._rehearsal = rehearsal

    def receive(self, now: int, limit: int, passes: Passes = none_passes) -> list[Arrival]:
        match self._rehearsal.current:
            case Failure.QUEUE_FULL:
                time.sleep(PAUSE)  # The socket stays readable: the loop would spin.
                return []
            case Failure.ENOBUFS:
                time.sleep(SLOWNESS)
        arrivals = super().receive(now, limit, passes)
        if arrivals:
            match self._rehearsal.current:
                case Failure.DAEMON_DEAD:
                    os.kill(os.getpid(), signal.SIGKILL)
                case Failure.DAEMON_HANGS:
                    while self._rehearsal.current:
                        time.sleep(PAUSE)
        return arrivals

    def _read(self, limit: int) -> list[bytes]:
        messages = super()._read(limit)
        if self._rehearsal.current is Failure.NETLINK_MALFORMED:
            return [message[:-1] for message in messages]
        return messages


class _FailingStore:
    def __init__(self, rehearsal: Rehearsal, store: Store) -> None:
        self._rehearsal, self._store = rehearsal, store

    def read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        self._fail()
        return self._store.read(keys)

    def compare_and_swap(self, changes: Sequence[Change]) -> bool:
        self._fail()
        return self._store.compare_and_swap(changes)

    def commit(self) -> None:
        self._store.commit()
        self._fail()

    def _fail(self) -> None:
        if self._rehearsal.current:
            raise StoreError("rehearsal: the store is gone (SIGUSR1 brings it back)")


class _FailingKeyHolder(KeyHolder):
    def __init__(self, rehearsal: Rehearsal, path: Path, **options: Any) -> None:
        self._rehearsal = rehearsal
        super().__init__(path, **options)
        if rehearsal.current is Failure.KEYHOLDER_DEAD:
            self.kill()

    def send(self, number: int, request: UnwrapRequest) -> bool:
        match self._rehearsal.current:
            case Failure.KEYHOLDER_DEAD:
                self.kill()
            case Failure.KEYHOLDER_HANGS:
                os.killpg(self._process.pid, signal.SIGSTOP)
            case Failure.OVERLOAD:
                self.refused += 1
                return False
        return super().send(number, request)

    def restart(self) -> None:
        if self._rehearsal.current is not Failure.KEYHOLDER_DEAD:
            super().restart()
