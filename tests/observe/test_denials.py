"""Who is denied, in bounded number."""

from monitor.observe.denials import MAX_DENIALS, SILENCE, Denials
from monitor.wire.address import pack


def counts(denials: Denials) -> dict[tuple[str, str], int]:
    return {pair: tally.count for pair, tally in denials.tallies().items()}


def test_denials_are_counted_by_source_and_reason() -> None:
    denials = Denials()
    for time, reason in enumerate(("stale", "key-reused", "stale")):
        denials.count(pack("192.0.2.66"), reason, time)
    denials.count(b"", "malformed", 3)
    assert counts(denials) == {
        ("192.0.2.66", "stale"): 2,
        ("192.0.2.66", "key-reused"): 1,
        ("unknown", "malformed"): 1,
    }
    assert denials.tallies()["192.0.2.66", "stale"].last == 2


def test_addresses_of_one_ipv6_network_are_one_source() -> None:
    denials = Denials()
    for address in ("2001:db8::1", "2001:db8::ffff:0:1", "2001:db8:0:1::1"):
        denials.count(pack(address), "stale", 0)
    assert counts(denials) == {("2001:db8::/64", "stale"): 2, ("2001:db8:0:1::/64", "stale"): 1}


def test_what_comes_beyond_the_limit_is_other() -> None:
    denials = Denials()
    for number in range(MAX_DENIALS + 50):
        denials.count(number.to_bytes(4), "stale", number)
    found = counts(denials)
    assert len(found) == MAX_DENIALS + 1
    assert found["other", "stale"] == 50
    assert ("0.0.0.0", "stale") in found


def test_the_longest_silent_makes_room_after_an_hour() -> None:
    denials = Denials()
    for number in range(MAX_DENIALS):
        denials.count(number.to_bytes(4), "stale", 0)
    denials.count(bytes(4), "stale", SILENCE)
    denials.count(bytes((9, 9, 9, 9)), "stale", SILENCE)
    found = counts(denials)
    assert len(found) == MAX_DENIALS
    assert found["0.0.0.0", "stale"] == 2
    assert found["9.9.9.9", "stale"] == 1
    assert ("0.0.0.1", "stale") not in found
    assert ("other", "stale") not in found
