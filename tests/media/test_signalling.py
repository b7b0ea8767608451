"""What rulings tell of the media, and the keys that are remembered for it."""

import random

import pytest

from monitor.antireplay.observation import Endpoint, Tier
from monitor.antireplay.ruling import Reason
from monitor.antireplay.sad import Sighting
from monitor.media import keychain, signalling
from monitor.media.keychain import Keychain
from monitor.media.signalling import Signalling
from monitor.record import RulingRecord
from monitor.wire.address import pack
from monitor.wire.flow import Flow

BOB, ALICE = pack("192.0.2.2"), pack("192.0.2.1")
TO_ALICE = Flow(BOB, 41000, ALICE, 40000, "udp")
MASTER, FRESH, ENVELOPE, CONTENT = (bytes([number]) * 32 for number in range(4))
ALICES = ("192.0.2.1", 40000)


def ruling(
    reason: Reason,
    *sightings: Sighting,
    call_id: str = "call",
    time: int = 0,
    alerts: tuple[str, ...] = (),
) -> RulingRecord:
    return RulingRecord(
        frame=1,
        time=time,
        flow=Flow(BOB, 5060, ALICE, 5060, "udp"),
        source=BOB,
        start_line="",
        method="INVITE",
        status=None,
        call_id=call_id,
        cseq=1,
        verdict=reason.verdict,
        reason=reason,
        template="",
        policy="",
        spi=(),
        tiers=(),
        alerts=alerts,
        sightings=sightings,
    )


def master(fingerprint: bytes = MASTER, *endpoints: Endpoint) -> Sighting:
    return Sighting(fingerprint, Tier.MASTER_KEY, endpoints)


def envelope(fingerprint: bytes = ENVELOPE) -> Sighting:
    return Sighting(fingerprint, Tier.ENVELOPE)


def test_accepted_keys_are_no_suspects() -> None:
    heard = Signalling()
    heard.hear(ruling(Reason.FIRST_USE, master()))
    heard.hear(ruling(Reason.REFRESH, master()))
    assert not heard.suspects


def test_a_denied_key_is_a_suspect() -> None:
    heard = Signalling()
    heard.hear(ruling(Reason.FIRST_USE, master()))
    heard.hear(ruling(Reason.KEY_REUSED, master(), master(FRESH)))
    assert list(heard.suspects) == [MASTER]
    heard.hear(ruling(Reason.KEY_REUSED, master(), master(FRESH)))
    assert list(heard.suspects) == [MASTER, FRESH]


def test_a_denied_envelope_suspects_what_it_held() -> None:
    heard = Signalling()
    heard.hear(ruling(Reason.FIRST_USE, envelope(), envelope(CONTENT), master()))
    heard.hear(ruling(Reason.ENVELOPE_REUSED, envelope()))
    assert list(heard.suspects) == [MASTER]


@pytest.mark.parametrize("alert", ["duplicate-key", "rekey-missing"])
def test_one_key_for_two_streams_is_a_suspect(alert: str) -> None:
    heard = Signalling()
    heard.hear(ruling(Reason.REFRESH, master(), alerts=(alert,)))
    assert list(heard.suspects) == [MASTER]
    heard = Signalling()
    heard.hear(ruling(Reason.REFRESH, master(), alerts=("originator-moved",)))
    assert not heard.suspects


def test_media_belongs_to_the_call_that_named_its_end_last() -> None:
    heard = Signalling()
    heard.hear(ruling(Reason.FIRST_USE, master(MASTER, ALICES), call_id="first", time=10))
    heard.hear(ruling(Reason.KEY_REUSED, master(MASTER, ALICES), call_id="second", time=20))
    named = {time: heard.call_of(TO_ALICE, time) for time in (9, 10, 19, 20, 99)}
    assert named == {9: "", 10: "first", 19: "first", 20: "second", 99: "second"}
    assert heard.call_of(TO_ALICE.reversed(), 15) == "first"
    assert heard.call_of(Flow(BOB, 1, ALICE, 2, "udp"), 15) == ""


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signalling, "MAX_ENDPOINTS", 2)
    monkeypatch.setattr(signalling, "MAX_CALLS", 3)
    monkeypatch.setattr(signalling, "MAX_ENVELOPES", 2)
    heard = Signalling()
    for number in range(10):
        key = bytes([number]) * 32
        heard.hear(
            ruling(
                Reason.FIRST_USE,
                envelope(key),
                master(key, ("192.0.2.1", number), ALICES),
                call_id=f"{number}" * 1000,
                time=number,
            )
        )
    assert heard.call_of(TO_ALICE, 99) == "9" * signalling.CALL_ID_KEPT
    assert heard.call_of(TO_ALICE, 6) == ""
    assert heard.call_of(Flow(BOB, 1, ALICE, 9, "udp"), 99) == ""
    assert heard.left_out == 0
    heard.hear(ruling(Reason.ENVELOPE_REUSED, envelope(bytes([9]) * 32)))
    assert not heard.suspects
    assert heard.left_out == 1
    heard.hear(ruling(Reason.ENVELOPE_REUSED, envelope(bytes([1]) * 32)))
    assert heard.left_out == 1


def test_keys_that_are_left_out_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signalling, "MAX_KEYS", 2)
    monkeypatch.setattr(signalling, "MAX_SUSPECTS", 1)
    heard = Signalling()
    for reason in (Reason.FIRST_USE, Reason.KEY_REUSED):
        for number in range(3):
            heard.hear(ruling(reason, master(bytes([number]) * 32)))
    assert list(heard.suspects) == [bytes(32)]
    # The third key twice, and the second as a suspect.
    assert heard.left_out == 3


def test_the_keychain_gives_keys_for_fingerprints_and_shows_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keychain, "MAX_KEYS", 2)
    chain = Keychain(b"a secret of 16 octets")
    keys = [random.Random(number).randbytes(30) for number in range(3)]
    fingerprints = [chain.master_key(key) for key in (*keys, keys[0])]
    assert [chain.octets(each) for each in fingerprints] == [keys[0], keys[1], None, keys[0]]
    assert chain.left_out == 1
    assert fingerprints[0] == fingerprints[3]
    assert keys[0].hex() not in repr(chain)
