"""What the commands on a store refuse."""

import math

import pytest

from monitor.control.associations import commands
from monitor.control.error import ControlError
from monitor.store.memory import MemoryStore


@pytest.mark.parametrize("before", [-1, math.inf, math.nan, 1e300, 10**30, "today", None, [1]])
def test_what_is_no_time_prunes_nothing(before: object) -> None:
    with pytest.raises(ControlError, match="before is a time in seconds"):
        commands(MemoryStore())["prune"]({"before": before})
