"""Header sections side by side."""

import random
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.observe.report import difference
from monitor.observe.report.difference import Mark, Pair, Piece, compare


def told(pairs: Sequence[Pair]) -> list[tuple[str, str, str]]:
    return [(str(pair.mark), said(pair.one), said(pair.other)) for pair in pairs]


def said(pieces: Sequence[Piece]) -> str:
    return "".join(f"[{piece.text}]" if piece.differs else piece.text for piece in pieces)


def test_lines_are_paired_by_name_and_what_differs_is_marked() -> None:
    one = (
        "INVITE sip:alice@example.org SIP/2.0",
        "Via: SIP/2.0/UDP 192.0.2.2:5060;branch=z9hG4bKone",
        "From: Bob <sip:bob@example.org>;tag=1",
        "User-Agent: phone",
        "Call-ID: a@192.0.2.2",
    )
    other = (
        "INVITE sip:alice@example.org SIP/2.0",
        "v: SIP/2.0/UDP 192.0.2.66:5060;branch=z9hG4bKtwo",
        "Call-ID: a@192.0.2.2",
        "f: Bob <sip:bob@example.org>;tag=1",
        "Authorization: Digest",
    )
    assert told(list(compare(one, other))) == [
        ("same", one[0], other[0]),
        (
            "changed",
            "[Via]: SIP/2.0/UDP [192.0.2.2]:5060;branch=[z9hG4bKone]",
            "[v]: SIP/2.0/UDP [192.0.2.66]:5060;branch=[z9hG4bKtwo]",
        ),
        ("changed", "[From]: Bob <sip:bob@example.org>;tag=1", "[f]: Bob <sip:bob@example.org>;tag=1"),
        ("gone", "[User-Agent: phone]", ""),
        ("same", one[4], other[2]),
        ("new", "", "[Authorization: Digest]"),
    ]


def test_several_fields_of_one_name_are_paired_in_their_order() -> None:
    one, other = ("", "Via: a", "Via: b"), ("", "Via: a", "Via: c", "Via: b")
    assert told(list(compare(one, other)))[1:] == [
        ("same", "Via: a", "Via: a"),
        ("changed", "Via: [b]", "Via: [c]"),
        ("new", "", "[Via: b]"),
    ]


def test_without_an_original_all_is_new() -> None:
    assert [pair.mark for pair in compare((), ("INVITE", "To: a"))] == [Mark.NEW, Mark.NEW]


@settings(max_examples=50)
@given(st.lists(st.text(max_size=12), max_size=8), st.lists(st.text(max_size=12), max_size=8))
def test_no_line_is_lost(one: list[str], other: list[str]) -> None:
    pairs = list(compare(one, other))
    plain = [("".join(p.text for p in pair.one), "".join(p.text for p in pair.other)) for pair in pairs]
    assert sorted(left for left, _ in plain if left) == sorted(filter(None, one))
    assert sorted(right for _, right in plain if right) == sorted(filter(None, other))
    for pair in pairs:
        if pair.mark is Mark.CHANGED:
            assert any(piece.differs for piece in (*pair.one, *pair.other))
            same = [[p.text for p in side if not p.differs] for side in (pair.one, pair.other)]
            assert "".join(same[0]) == "".join(same[1])


def test_what_is_compared_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    many = [f"X-{number}: {number}" for number in range(1000)]
    assert len(list(compare(many, many))) == difference.MAX_LINES
    rng = random.Random(1)
    one, other = (" ".join(rng.choices("abc", k=5000)) for _ in range(2))
    (pair,) = compare([one], [other])
    assert (
        max(sum(len(piece.text) for piece in side) for side in (pair.one, pair.other)) <= difference.MAX_LINE
    )
    assert len(pair.one) <= 3
