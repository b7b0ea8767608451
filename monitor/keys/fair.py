"""Fair turns at private-key work: sources are served one after the other, whatever each of them sends."""

from collections import deque

PENDING = 4096
"""Requests that wait or are under way, unless told otherwise: some seconds of work for one worker."""
PENDING_SOURCE = 2048
"""Those of them from one source, which may be a trunk."""
SOURCE_IPV6 = 8
"""Octets of an IPv6 address that make a source: a host has the /64 that it is in to itself."""


class FairQueue:
    """Requests that wait or are under way, by number.

    :param limit: of all of them together.
    :param source_limit: of those of one source.
    """

    def __init__(self, limit: int, source_limit: int) -> None:
        self._limit, self._source_limit = limit, source_limit
        self._waiting: dict[bytes, deque[tuple[int, bytes]]] = {}
        """By source; the first source is the next to be served. No deque is empty."""
        self._waiting_count = 0
        self._pending: dict[bytes, int] = {}
        """How many wait or are under way, by source."""
        self._under_way: dict[int, bytes] = {}
        """Number to source."""
        self._by_count: list[dict[bytes, None]] = [{}]
        """The sources with so many requests that wait. The last one is not empty, unless it is the first."""

    def __len__(self) -> int:
        """Requests that wait or are under way."""
        return self._waiting_count + len(self._under_way)

    @property
    def under_way(self) -> int:
        """Requests that are under way."""
        return len(self._under_way)

    def put(self, address: bytes, number: int, packet: bytes) -> int | None:
        """Let a request wait. When all places are taken, a source with more requests makes room.

        :returns: the number of the request that is refused for it, its own or one that waited; None: none.
        """
        source = address[:SOURCE_IPV6] if len(address) == 16 else address
        pending, displaced = self._pending.get(source, 0), None
        if pending >= self._source_limit:
            return number
        if len(self) >= self._limit:
            most = len(self._by_count) - 1
            if most <= len(self._waiting.get(source, ())) + 1:
                return number
            displaced = self._drop_last(next(iter(self._by_count[most])))
        self._pending[source] = self._pending.get(source, 0) + 1
        self._waiting.setdefault(source, deque()).append((number, packet))
        self._counted(source, 1)
        return displaced

    def peek(self) -> bytes | None:
        """The packet of the next request, None where none waits."""
        for queue in self._waiting.values():
            return queue[0][1]
        return None

    def begin(self) -> None:
        """The next request is under way; its source goes to the end of the line."""
        source, queue = next(iter(self._waiting.items()))
        number, _ = queue.popleft()
        self._counted(source, -1)
        self._under_way[number] = source
        del self._waiting[source]
        if queue:
            self._waiting[source] = queue

    def end(self, number: int) -> None:
        """A request that was under way is done."""
        self._settle(self._under_way.pop(number))

    def clear(self) -> list[int]:
        """Forget all requests; their numbers, oldest under way first."""
        numbers = [*self._under_way, *(number for queue in self._waiting.values() for number, _ in queue)]
        self._under_way.clear()
        self._waiting.clear()
        self._pending.clear()
        self._waiting_count = 0
        self._by_count = [{}]
        return numbers

    def _drop_last(self, source: bytes) -> int:
        number, _ = self._waiting[source].pop()
        self._counted(source, -1)
        self._settle(source)
        return number

    def _counted(self, source: bytes, change: int) -> None:
        """Keep count of a source of which one request more, or one less, waits now."""
        self._waiting_count += change
        now, by_count = len(self._waiting[source]), self._by_count
        by_count[now - change].pop(source, None)
        if now == len(by_count):
            by_count.append({})
        if now:
            by_count[now][source] = None
        while len(by_count) > 1 and not by_count[-1]:
            by_count.pop()

    def _settle(self, source: bytes) -> None:
        left = self._pending[source] - 1
        if left:
            self._pending[source] = left
        else:
            del self._pending[source]
