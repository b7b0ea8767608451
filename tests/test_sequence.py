"""Who waits for whom, and how many may."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from monitor.sequence import FEW, MAX_JOBS, MAX_JOBS_KEY, MAX_JOBS_SOURCE, Sequencer


@dataclass(frozen=True, eq=False)
class Job:
    source: bytes
    keys: Sequence[Hashable]


def let_in(order: Sequencer[Job], source: bytes, count: int, call: str | None = None) -> int:
    """How many of so many jobs of a source find a place, each of a call of its own unless told otherwise."""
    places = 0
    for number in range(count):
        job = Job(source, (call or f"{source!r} {number}",))
        if not order.full(job):
            order.enter(job)
            places += 1
    return places


def test_those_that_share_a_key_run_in_their_order() -> None:
    order: Sequencer[Job] = Sequencer()
    one, two, both, other = (Job(b"", keys) for keys in (("a",), ("b",), ("a", "b"), ("c",)))
    for job in (one, two, both, other):
        order.enter(job)
    assert order.blocked(("a", "x"))
    assert not order.blocked(("x",))
    assert order.leave(one) == []
    assert order.leave(two) == [both]
    assert order.leave(both) == []
    assert order.leave(other) == []
    assert len(order) == 0
    assert not order.blocked(("a", "b", "c"))


def test_one_source_leaves_places_for_others() -> None:
    order: Sequencer[Job] = Sequencer()
    assert let_in(order, b"charles", MAX_JOBS) == MAX_JOBS_SOURCE
    assert let_in(order, b"bob", 100) == 100


def test_several_leave_some_for_who_has_few() -> None:
    order: Sequencer[Job] = Sequencer()
    assert let_in(order, b"charles", MAX_JOBS) + let_in(order, b"carol", MAX_JOBS) == MAX_JOBS
    assert let_in(order, b"bob", 100) == FEW
    sources = (b"%d" % number for number in range(MAX_JOBS))
    assert sum(let_in(order, source, 1) for source in sources) == MAX_JOBS - FEW


def test_one_source_leaves_the_parties_of_a_call_places_before_long() -> None:
    order: Sequencer[Job] = Sequencer()
    assert let_in(order, b"charles", 100, "call-1") == MAX_JOBS_KEY
    assert let_in(order, b"bob", 1, "call-1") == 1


def test_places_are_given_back() -> None:
    order: Sequencer[Job] = Sequencer()
    jobs = [Job(b"bob", ("call-1",)) for _ in range(MAX_JOBS_KEY)]
    for job in jobs:
        order.enter(job)
    assert order.full(Job(b"bob", ("call-1",)))
    assert order.leave(jobs[0]) == [jobs[1]]
    assert not order.full(Job(b"bob", ("call-1",)))
