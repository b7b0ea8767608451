"""Pieces: what came first stays, and every contradiction is told."""

from hypothesis import given
from hypothesis import strategies as st

from monitor.wire.pieces import PIECE_OVERHEAD, Pieces


@given(st.lists(st.tuples(st.integers(0, 60), st.binary(min_size=1, max_size=20))), st.integers(0, 80))
def test_pieces_are_an_octet_map(parts: list[tuple[int, bytes]], start: int) -> None:
    pieces, octets = Pieces(), dict[int, int]()
    for at, data in parts:
        fresh = dict(enumerate(data, at))
        assert pieces.add(at, data) == all(octets.get(i, octet) == octet for i, octet in fresh.items())
        octets = fresh | octets
    assert pieces.octets == len(octets)
    assert pieces.size == len(octets) + PIECE_OVERHEAD * len(pieces)
    if octets:
        assert (pieces.start, pieces.end) == (min(octets), max(octets) + 1)
    for end in range(start, start + 20):
        assert pieces.reaches(start, end) == all(i in octets for i in range(start, end))
    run = bytearray()
    while start + len(run) in octets:
        run.append(octets[start + len(run)])
    assert pieces.take(start) == run
    assert pieces.octets == sum(i > start + len(run) for i in octets)
    pieces.clear()
    assert (len(pieces), pieces.size) == (0, 0)
