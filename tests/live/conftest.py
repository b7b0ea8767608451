"""Fixtures of the live tests."""

from collections.abc import Iterator

import pytest
from namespaces import Network, unavailable


@pytest.fixture
def network() -> Iterator[Network]:
    """A network of its own for one test."""
    reason = unavailable()
    if reason:
        pytest.skip(f"live tests: {reason}")
    made = Network()
    try:
        yield made
    finally:
        made.close()
