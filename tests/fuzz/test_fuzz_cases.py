"""What fuzzing once found, again; and a short run from every seed, without the fuzzer."""

import random
from pathlib import Path

import pytest
from fuzz_seeds import SEEDS, seeds
from fuzz_targets import TARGETS

CASES = sorted((Path(__file__).parent / "cases").glob("*/*"))
SMOKE = 60
"""Inputs of each target."""


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.parent.name}/{case.name}")
def test_what_was_found_escapes_no_more(case: Path) -> None:
    TARGETS[case.parent.name](case.read_bytes())


def test_every_target_has_seeds() -> None:
    assert list(SEEDS) == list(TARGETS)


@pytest.mark.parametrize("target", TARGETS)
def test_nothing_escapes(target: str) -> None:
    chance = random.Random(target)
    inputs = [b"", b"\0", *seeds(target)]
    for _ in range(SMOKE):
        octets = bytearray(chance.choice(inputs))
        for _ in range(chance.randrange(5)):
            at = chance.randrange(len(octets) + 1)
            octets[at : at + chance.randrange(9)] = chance.randbytes(chance.randrange(5))
        TARGETS[target](bytes(octets))
