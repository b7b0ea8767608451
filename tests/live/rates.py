"""Error rates that tests measure, told with their denominators when all tests are done."""

import pytest


class Rates:
    """How often something happened that should not, of how many times it could have."""

    KEY = pytest.StashKey["Rates"]()

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str], tuple[int, int]] = {}

    def add(self, claim: str, wrong: int, total: int, noun: str) -> None:
        """Count on: so many of ``total`` things, named by ``noun``, went against the claim."""
        before, of = self._counts.get((claim, noun), (0, 0))
        self._counts[claim, noun] = before + wrong, of + total

    def lines(self) -> list[str]:
        """One for each claim."""
        return [f"{claim}: {wrong} of {of} {noun}" for (claim, noun), (wrong, of) in self._counts.items()]
