"""Order among jobs that wait: those that share a key run in the order in which they came."""

from collections import Counter, deque
from collections.abc import Hashable, Sequence
from typing import Generic, Protocol, TypeVar

MAX_JOBS = 4096
"""Jobs that are not done, of all sources."""
MAX_JOBS_SOURCE = 2048
"""Those of them from one source, which may be a trunk."""
MAX_JOBS_KEY = 32
"""Those of them from one source under one first key, the Call-ID: who floods a call holds up its parties."""
FEW = 16
"""A source that has fewer is heard even when there are ``MAX_JOBS``, until there are twice as many."""


class Keyed(Protocol):
    """A job with who sent it, and the keys that order it, each once."""

    @property
    def source(self) -> bytes: ...
    @property
    def keys(self) -> Sequence[Hashable]: ...


Job = TypeVar("Job", bound=Keyed)


class Sequencer(Generic[Job]):
    """The jobs that are not done, in a queue for each key; a job may run once it heads all its queues."""

    def __init__(self) -> None:
        self._queues: dict[Hashable, deque[Job]] = {}
        self._count = 0
        self._of: Counter[Hashable] = Counter()
        """Jobs by source, and by source and first key."""

    def __len__(self) -> int:
        """How many jobs are not done."""
        return self._count

    def blocked(self, keys: Sequence[Hashable]) -> bool:
        """Whether a job with these keys would have to wait."""
        return bool(self._queues) and any(key in self._queues for key in keys)

    def full(self, job: Job) -> bool:
        """Whether there is no place for one more job like this."""
        own = self._of[job.source]
        return (
            self._count >= (MAX_JOBS if own >= FEW else 2 * MAX_JOBS)
            or own >= MAX_JOBS_SOURCE
            or self._of[job.source, job.keys[0]] >= MAX_JOBS_KEY
        )

    def enter(self, job: Job) -> None:
        """Put a job at the end of its queues."""
        self._count += 1
        self._of.update((job.source, (job.source, job.keys[0])))
        for key in job.keys:
            self._queues.setdefault(key, deque()).append(job)

    def leave(self, job: Job) -> list[Job]:
        """Take a job that ran from the head of its queues; gives those that may run now, oldest first."""
        self._count -= 1
        for each in (job.source, (job.source, job.keys[0])):
            self._of[each] -= 1
            if not self._of[each]:
                del self._of[each]
        ready: list[Job] = []
        for key in job.keys:
            queue = self._queues[key]
            queue.popleft()
            if not queue:
                del self._queues[key]
            elif self._heads_all(queue[0]) and queue[0] not in ready:
                ready.append(queue[0])
        return ready

    def _heads_all(self, job: Job) -> bool:
        return all(self._queues[key][0] is job for key in job.keys)
