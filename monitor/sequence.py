"""Order among jobs that wait: those that share a key run in the order in which they came."""

from collections import deque
from collections.abc import Hashable, Sequence
from typing import Generic, Protocol, TypeVar


class Keyed(Protocol):
    """A job with the keys that order it, each once."""

    @property
    def keys(self) -> Sequence[Hashable]: ...


Job = TypeVar("Job", bound=Keyed)


class Sequencer(Generic[Job]):
    """The jobs that are not done, in a queue for each key; a job may run once it heads all its queues."""

    def __init__(self) -> None:
        self._queues: dict[Hashable, deque[Job]] = {}
        self._count = 0

    def __len__(self) -> int:
        """How many jobs are not done."""
        return self._count

    def blocked(self, keys: Sequence[Hashable]) -> bool:
        """Whether a job with these keys would have to wait."""
        return bool(self._queues) and any(key in self._queues for key in keys)

    def enter(self, job: Job) -> None:
        """Put a job at the end of its queues."""
        self._count += 1
        for key in job.keys:
            self._queues.setdefault(key, deque()).append(job)

    def leave(self, job: Job) -> list[Job]:
        """Take a job that ran from the head of its queues; gives those that may run now, oldest first."""
        self._count -= 1
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
