"""Records as a store gives them back: who can write to it decides what they are, and breaks nothing."""

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.antireplay.association import Association, RecordError
from monitor.antireplay.dialog import Dialog, Event
from monitor.antireplay.judge import judge
from monitor.antireplay.observation import Observation, Tier, Transaction
from monitor.antireplay.originator import Originator, hear
from monitor.antireplay.policy import Policy
from monitor.antireplay.signer import Signer, sign

ALICE, BOB = bytes((192, 0, 2, 1)), bytes((192, 0, 2, 2))
ANSWER = Transaction("INVITE", 1, 200, 42, 43)
SEEN = Observation(
    Tier.MASTER_KEY, 7, b"call", "tag:b", "tag:a", ANSWER, BOB, BOB, ALICE, (("192.0.2.2", 40000),)
)
ASSOCIATION = Association.of(SEEN).encode()
EVENT = Event("INVITE", 1, 200, 42, 43, "tag:a", "tag:b", BOB, ALICE, ALICE, 7, True)
DIALOG = Dialog.opened_by(EVENT, "call").after(EVENT, Policy()).encode()


def use_association(record: bytes) -> None:
    judge(Association.decode(record), SEEN, Policy())[1].encode()  # type: ignore[union-attr]


def use_dialog(record: bytes) -> None:
    dialog = Dialog.decode(record)
    dialog.view("tag:a", "tag:b")
    dialog.involves("tag:a", "tag:b")
    dialog.after(EVENT, Policy()).encode()


def use_originator(record: bytes) -> None:
    hear(Originator.decode(record), BOB, 7, Policy())[1].encode()


def use_signer(record: bytes) -> None:
    sign(Signer.decode(record), "certificate")[1].encode()


USES: dict[str, tuple[bytes, Callable[[bytes], None]]] = {
    "association": (ASSOCIATION, use_association),
    "dialog": (DIALOG, use_dialog),
    "originator": (Originator(BOB, 7).encode(), use_originator),
    "signer": (Signer(("one", "two")).encode(), use_signer),
}
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3), st.lists, max_leaves=4
)


def altered(value: Any, data: st.DataObject) -> Any:
    """The same with something else in one place of it."""
    if isinstance(value, list) and value and data.draw(st.integers(0, 4)):
        place = data.draw(st.integers(0, len(value) - 1))
        return [*value[:place], altered(value[place], data), *value[place + 1 :]]
    return data.draw(ANYTHING)


@pytest.mark.parametrize("kind", USES)
@settings(max_examples=300)
@given(data=st.data())
def test_a_record_is_of_use_or_none(kind: str, data: st.DataObject) -> None:
    record, use = USES[kind]
    use(record)
    with suppress(RecordError):
        use(json.dumps(altered(json.loads(record), data)).encode())


@pytest.mark.parametrize("kind", USES)
def test_a_record_that_is_nested_without_end_is_none(kind: str) -> None:
    with pytest.raises(RecordError):
        USES[kind][1](b"[" * 100_000)
