"""Octets that arrive in pieces and in any order: what is known so far, and where it was contradicted."""

from bisect import bisect_right

PIECE_OVERHEAD = 128
"""Octets of memory that a piece costs beside its data, counted against every limit."""


class Pieces:
    """Non-overlapping pieces of an octet sequence, in order of their offsets.

    Where pieces overlap, the octets that came first stay.
    """

    __slots__ = ("_pieces", "_starts", "size")

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._pieces: list[bytes] = []
        self.size = 0
        """Octets of memory held, overhead included."""

    def __len__(self) -> int:
        return len(self._starts)

    @property
    def start(self) -> int:
        """Offset of the first octet known; there must be one."""
        return self._starts[0]

    @property
    def end(self) -> int:
        """Offset after the last octet known; there must be one."""
        return self._starts[-1] + len(self._pieces[-1])

    def add(self, start: int, data: bytes) -> bool:
        """Take in ``data`` at offset ``start``; False if octets known already differ from it.

        Takes time in proportion to the pieces overlapped, and to their number for the insertion (a memmove).
        """
        agrees = True
        at, end = start, start + len(data)
        index = bisect_right(self._starts, start)
        if index and self._starts[index - 1] + len(self._pieces[index - 1]) > start:
            index -= 1
        fresh: list[tuple[int, int]] = []
        first = index
        while index < len(self._starts) and self._starts[index] < end:
            known, piece = self._starts[index], self._pieces[index]
            if known > at:
                fresh.append((at, known))
                at = known
            overlap = min(end, known + len(piece))
            if piece[at - known : overlap - known] != data[at - start : overlap - start]:
                agrees = False
            at = overlap
            index += 1
        if at < end:
            fresh.append((at, end))
        if not fresh:
            return agrees
        merged = [(s, data[s - start : e - start]) for s, e in fresh]
        if index > first:
            merged += zip(self._starts[first:index], self._pieces[first:index], strict=True)
            merged.sort()
        self._starts[first:index] = [s for s, _ in merged]
        self._pieces[first:index] = [piece for _, piece in merged]
        self.size += sum(e - s for s, e in fresh) + PIECE_OVERHEAD * len(fresh)
        return agrees

    def take(self, start: int) -> bytes:
        """Remove and give the octets from ``start`` up to the next hole; those before are dropped."""
        taken: list[bytes] = []
        at, count = start, 0
        for known, piece in zip(self._starts, self._pieces, strict=True):
            if known > at:
                break
            count += 1
            self.size -= len(piece) + PIECE_OVERHEAD
            if known + len(piece) > at:
                taken.append(piece[at - known :])
                at = known + len(piece)
        del self._starts[:count], self._pieces[:count]
        return b"".join(taken)

    @property
    def octets(self) -> int:
        """Octets known."""
        return self.size - PIECE_OVERHEAD * len(self._starts)

    def reaches(self, start: int, end: int) -> bool:
        """Whether all octets from ``start`` up to ``end`` are known."""
        at = start
        for known, piece in zip(self._starts, self._pieces, strict=True):
            if known > at or at >= end:
                break
            at = max(at, known + len(piece))
        return at >= end

    def clear(self) -> None:
        """Forget everything."""
        self._starts.clear()
        self._pieces.clear()
        self.size = 0
