"""Python's cyclic garbage collector, set for a program that keeps little and makes much."""

import gc

YOUNG = 50_000
"""Objects made and not yet gone between two rounds. By default it is 700, and rounds take a quarter of all
the time for next to nothing: nearly all objects go by their reference counts."""
MIDDLE, OLD = 20, 20
"""Rounds of one generation for one of the next."""


def calm() -> None:
    """Call it once the program is ready: what is there stays, and no round goes through it again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, MIDDLE, OLD)
