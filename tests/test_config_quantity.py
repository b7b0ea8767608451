"""Durations, addresses and the like, as a configuration writes them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from monitor.config import quantity
from monitor.config.quantity import Endpoint, Mark, duration_text, parse_duration

SECOND = 10**9


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("30d", 2592000), ("12h", 43200), ("15 m", 900), ("90s", 90), ("2w", 1209600), (30, 30), (0.5, 0.5)],
)
def test_durations(written: object, seconds: float) -> None:
    assert parse_duration(written) == seconds * SECOND
    assert parse_duration("500ms") == SECOND // 2


@pytest.mark.parametrize(
    ("written", "wrong"),
    [
        ("30", "no duration"),
        ("30 days", '"days" is no unit'),
        ("30D", "no duration"),
        ("0s", "no duration"),
        ("-1s", "no duration"),
        (0, "no duration"),
        (True, "no duration"),
        (float("nan"), "no duration"),
        (float("inf"), "no duration"),
        ([], "no duration"),
        ("9" * 100 + "s", "no duration"),
    ],
)
def test_what_is_no_duration(written: object, wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong):
        parse_duration(written)


@given(st.integers(1, 10**9).map(lambda n: n * 10**6))
def test_a_duration_as_text_is_the_same(nanoseconds: int) -> None:
    assert parse_duration(duration_text(nanoseconds)) == nanoseconds


def read(kind: Any, value: object) -> Any:
    return TypeAdapter[Any](kind).validate_python(value)


@pytest.mark.parametrize(
    ("written", "mark"),
    [
        (1, Mark(1)),
        ("16", Mark(16)),
        ("0x10", Mark(16)),
        ("0x10/0xF0", Mark(16, 0xF0)),
        ("0/1", Mark(0, 1)),
        (0xFFFFFFFF, Mark(0xFFFFFFFF)),
    ],
)
def test_marks(written: object, mark: Mark) -> None:
    assert read(quantity.Marks, written) == (mark,)
    assert read(quantity.Marks, [str(mark)]) == (mark,)


@pytest.mark.parametrize("written", [True, -1, "", "0x", "1/", "x", 2**32, "0x100000000", "2/1", 1.0, []])
def test_what_is_no_mark(written: object) -> None:
    with pytest.raises(ValidationError):
        read(quantity.Marks, written)


@pytest.mark.parametrize(
    ("written", "endpoint"),
    [
        ("127.0.0.1:9464", Endpoint("127.0.0.1", 9464)),
        ("[::1]:1", Endpoint("::1", 1)),
        ("off", None),
    ],
)
def test_places_to_listen(written: str, endpoint: Endpoint | None) -> None:
    assert read(quantity.Listen, written) == endpoint
    assert endpoint is None or str(endpoint) == written


@pytest.mark.parametrize(
    "written",
    [
        "",
        "9464",
        "127.0.0.1",
        "127.0.0.1:0",
        "127.0.0.1:65536",
        "::1:9464",
        "[::1]",
        "[1.2.3.4]x:1",
        "host:1",
        9464,
    ],
)
def test_nowhere_to_listen(written: object) -> None:
    with pytest.raises(ValidationError):
        read(quantity.Listen, written)


def test_addresses_are_packed_and_mapped_ones_folded() -> None:
    assert read(quantity.Addresses, ["192.0.2.1", "::ffff:192.0.2.1", "::1"]) == {
        bytes([192, 0, 2, 1]),
        bytes(15) + b"\1",
    }


@pytest.mark.parametrize("written", ["eth0/1", "", "a b", "sixteen-letters-", 5, " eth0"])
def test_what_is_no_interface(written: object) -> None:
    with pytest.raises(ValidationError):
        read(quantity.Interfaces, written)


@pytest.mark.parametrize("written", ["invite", "", "IN VITE", "X" * 33, 5])
def test_what_is_no_method(written: object) -> None:
    with pytest.raises(ValidationError):
        read(quantity.Methods, written)
