"""Associations as records."""

import json

import pytest

from monitor.antireplay.association import CALL_ID_SHOWN, VERSION, Association, RecordError
from monitor.antireplay.observation import Observation, Tier, Transaction
from monitor.wire.frame import NANOSECONDS

SEEN = Observation(
    Tier.MASTER_KEY,
    7 * NANOSECONDS,
    b"call",
    "tag:bob",
    None,
    Transaction("INVITE", 1, None, 42, None),
    bytes((192, 0, 2, 2)),
    bytes((192, 0, 2, 2)),
    bytes((192, 0, 2, 1)),
    (("192.0.2.2", 40000),),
    call_id="a84b4c76e66710@pc33.example.org",
)


def test_a_record_is_read_as_it_was_written() -> None:
    association = Association.of(SEEN)
    assert Association.decode(association.encode()) == association
    assert association.first.call_id == SEEN.call_id


def test_a_long_call_id_is_cut() -> None:
    long = Association.of(SEEN._replace(call_id="x" * 1000))
    assert long.first.call_id == "x" * CALL_ID_SHOWN


def test_a_leg_tells_when_its_latest_transaction_was() -> None:
    leg = Association.of(SEEN).first
    again = SEEN._replace(time=90 * NANOSECONDS, transaction=Transaction("INVITE", 2, None, 43, None))
    assert (leg.first, leg.last) == (7 * NANOSECONDS, 7 * NANOSECONDS)
    assert leg.with_message(again).last == 90 * NANOSECONDS


def test_records_of_the_version_before_are_read() -> None:
    _, tier, legs, paired, held = json.loads(Association.of(SEEN).encode())
    before = json.dumps([1, tier, [leg[:-1] for leg in legs], paired, held]).encode()
    association = Association.decode(before)
    assert association == Association.of(SEEN)._replace(
        legs=(Association.of(SEEN).first._replace(call_id=""),)
    )


def test_records_of_a_later_version_are_refused() -> None:
    with pytest.raises(RecordError, match=f"version {VERSION + 1}"):
        Association.decode(b"[%d,1,2,3,4]" % (VERSION + 1))
