"""The time axis, and the counts over time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.observe.report import axis, density
from monitor.observe.report.axis import Axis
from monitor.observe.report.density import Density
from monitor.wire.frame import NANOSECONDS

SECOND = NANOSECONDS


def test_a_long_pause_is_left_out() -> None:
    times = [0, SECOND, 2 * SECOND, 3 * SECOND, 1000 * SECOND, 1001 * SECOND, 1002 * SECOND, 1003 * SECOND]
    made = Axis(times, 100, 500)
    assert [(segment.start // SECOND, segment.end // SECOND) for segment in made.segments] == [
        (0, 3),
        (1000, 1003),
    ]
    assert made.place(0) == 100
    assert made.place(1003 * SECOND) == pytest.approx(500)
    # What is left out is where the axis is broken; inside, time is even.
    assert made.place(500 * SECOND) == made.place(3 * SECOND)
    step = made.place(SECOND) - made.place(0)
    assert made.place(1003 * SECOND) - made.place(1002 * SECOND) == pytest.approx(step)


def test_short_pauses_stay() -> None:
    assert len(Axis([0, SECOND // 2, SECOND], 0, 100).segments) == 1


@given(st.lists(st.integers(0, 1 << 62), min_size=1, max_size=60))
def test_times_keep_their_order_and_stay_on_the_axis(times: list[int]) -> None:
    made = Axis(times, 200.0, 1000.0)
    places = [made.place(time) for time in sorted(times)]
    assert places == sorted(places)
    assert min(places) >= 200 - 1e-6
    assert max(places) <= 1000 + 1e-6
    assert len(made.segments) <= axis.MAX_BREAKS + 1


@given(st.lists(st.tuples(st.integers(0, 1 << 62), st.integers(0, 2)), max_size=300))
def test_bins_are_few_and_count_all(events: list[tuple[int, int]]) -> None:
    counted = Density(3)
    for time, kind in events:
        counted.add(time, kind)
    bins = list(counted)
    assert len(bins) <= density.MAX_BINS
    totals = [sum(counts[kind] for _, counts in bins) for kind in range(3)]
    assert totals == [sum(kind == each for _, each in events) for kind in range(3)]
    starts = [start for start, _ in bins]
    assert starts == sorted(starts)


def test_bins_grow_with_the_time_they_cover() -> None:
    counted = Density(1)
    for second in range(100_000):
        counted.add(second * SECOND, 0)
    assert counted.width > 100 * SECOND
    assert sum(counts[0] for _, counts in counted) == 100_000
