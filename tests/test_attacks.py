"""What an attacker can do and what he cannot, as packets through the whole core; see ``docs/security.md``."""

import random
from collections.abc import Sequence
from pathlib import Path

import pytest
from frames import Tape, invite, sdp, udp

from monitor.antireplay.policy import Policy, Remedy
from monitor.antireplay.table import Change
from monitor.assembly import REPLAY_SECRET, assemble
from monitor.config.selector import PolicyList
from monitor.enforce.respond import respond
from monitor.keys.ring import KeyRing, load
from monitor.pipeline import Pipeline
from monitor.record import RulingRecord
from monitor.simulate.cms import envelope
from monitor.simulate.keyring import load as load_identities
from monitor.sip import message as sip
from monitor.store.memory import MemoryStore
from monitor.wire.address import pack
from monitor.wire.flow import Flow

BOB, ALICE, PROXY, CHARLES = "192.0.2.5", "192.0.2.1", "192.0.2.10", "192.0.2.66"
K, L = "A" * 40, "B" * 40
KEYS = Path(__file__).parents[1] / "pcaps" / "keys"
CMS = "application/pkcs7-mime"
TO = b"To: <sip:alice@example.org>"


class Stage:
    """A core that is told one datagram after the other."""

    def __init__(self, ring: KeyRing | None = None, **policy: object) -> None:
        self.store, self.tape, self.ring = MemoryStore(), Tape(), ring
        self.core: Pipeline = assemble(
            store=self.store,
            secret=REPLAY_SECRET,
            policies=PolicyList(Policy(**policy)),  # type: ignore[arg-type]
            directory=ring.directory if ring else None,
        )

    def sends(self, source: str, message: bytes, after: float = 1.0, to: str = ALICE) -> str:
        """What is said of a message at last: a reason or an exception; nothing where nothing is."""
        self.core.feed(self.tape.frame(udp(source, to, message), after))
        while asks := self.core.asks():
            for ask in asks:
                assert self.ring is not None
                self.core.answer(ask.number, self.ring.unwrap(ask.request))
        told = [record for settled in self.core.settle() for record in settled.records]
        if not told:
            return ""
        last = told[-1]
        return str(last.reason if isinstance(last, RulingRecord) else last.exception)


def within(message: bytes) -> bytes:
    """The same request within the dialog that Alice has accepted."""
    return message.replace(TO, TO + b";tag=alice", 1)


def ok(key: str) -> bytes:
    """Alice's answer to Bob's first INVITE."""
    request_line = b"INVITE sip:alice@example.org SIP/2.0"
    return within(invite(sdp(key, host=ALICE))).replace(request_line, b"SIP/2.0 200 OK", 1)


@pytest.fixture
def call() -> Stage:
    """Bob calls Alice, who takes the call."""
    stage = Stage()
    assert stage.sends(BOB, invite(sdp(K))) == "first-use"
    assert stage.sends(ALICE, ok(L), to=BOB) == "first-use"
    return stage


class TestOnThePath:
    def test_a_recording_is_denied_whoever_sends_it(self, call: Stage) -> None:
        assert call.sends(CHARLES, invite(sdp(K))) == "source-changed"
        assert call.sends(CHARLES, invite(sdp(K), "call-2", tag="charles")) == "key-reused"
        assert call.sends(BOB, invite(sdp(K), "call-2", tag="charles")) == "key-reused", "a forged source"
        assert call.sends(CHARLES, within(invite(sdp(L), tag="charles"))) == "key-reused"

    def test_who_comes_first_owns_the_key(self) -> None:
        """A limit: he who holds the original back, or is faster than it."""
        stage = Stage()
        assert stage.sends(CHARLES, invite(sdp(K), "his-call", tag="charles")) == "first-use"
        assert stage.sends(BOB, invite(sdp(K))) == "key-reused"

    def test_a_forged_copy_within_t_passes_for_a_retransmission(self, call: Stage) -> None:
        """A limit: it differs from one in nothing."""
        assert call.sends(BOB, invite(sdp(K)), after=20) == "retransmission"
        assert call.sends(BOB, invite(sdp(K)), after=30) == "stale"

    def test_a_forged_request_of_a_call_that_lives_passes_for_a_refresh(self, call: Stage) -> None:
        """A limit: it bears both tags and the next number, and so stays within the call."""
        forged = invite(sdp(K), cseq=2, branch="z9hG4bK-2")
        assert call.sends(BOB, forged, after=60) == "key-reused", "without Alice's tag"
        assert call.sends(BOB, within(forged)) == "refresh"

    def test_without_private_keys_a_key_in_another_envelope_is_new(self) -> None:
        """A limit: for those who can open the first envelope, or were sent its key."""
        ring, alice = load(KEYS), load_identities(KEYS)["alice"]
        entity = b"Content-Type: application/sdp\r\n\r\n" + sdp(K)
        first, other = (envelope(entity, [alice], random.Random(seed)) for seed in (1, 2))
        for stage, said in ((Stage(), "first-use"), (Stage(ring), "key-reused")):
            assert stage.sends(BOB, invite(first, content_type=CMS)) == "first-use"
            assert stage.sends(CHARLES, invite(first, "call-2", CMS)) == "envelope-reused"
            assert stage.sends(CHARLES, invite(other, "call-3", CMS, tag="charles")) == said


class TestDenialsAsAWeapon:
    def test_a_stranger_ends_no_call(self, call: Stage) -> None:
        for method in ("BYE", "CANCEL"):
            call.sends(CHARLES, within(invite(b"", method=method, cseq=1)))
        mine = within(invite(sdp("C" * 40), cseq=50, branch="z9hG4bK-c"))
        assert [call.sends(CHARLES, mine) for _ in range(2)] == ["first-use", "retransmission"]
        call.sends(CHARLES, within(invite(b"", method="BYE", cseq=51)))
        assert call.sends(BOB, within(invite(sdp(K), cseq=2, branch="z9hG4bK-2")), after=60) == "refresh"

    def test_a_forged_bye_does(self, call: Stage) -> None:
        """A limit: over UDP it ends the call for its parties too."""
        call.sends(BOB, within(invite(b"", method="BYE", cseq=2)))
        assert call.sends(BOB, within(invite(sdp(K), cseq=3)), after=60) == "dialog-ended"

    def test_a_denied_message_binds_and_changes_nothing(self, call: Stage) -> None:
        fresh = "D" * 40
        both = sdp(K) + b"a=crypto:2 AES_CM_128_HMAC_SHA1_80 inline:%s\r\n" % fresh.encode()
        assert call.sends(CHARLES, invite(both, "call-2", tag="charles")) == "key-reused"
        assert call.sends(BOB, invite(sdp(fresh), "call-3")) == "first-use"

    @pytest.mark.parametrize("rule", ["alert", "deny"])
    def test_a_name_that_nobody_proves_may_be_claimed_first(self, rule: str) -> None:
        """A limit: under ``originator = "deny"`` whoever first writes Bob's name keeps Bob out."""
        stage = Stage(originator=rule)
        assert stage.sends(CHARLES, invite(sdp(K), "his-call")) == "first-use"
        said = stage.sends(BOB, invite(sdp(L)))
        assert said == ("first-use" if rule == "alert" else "originator-moved")

    def test_a_forged_replay_is_answered_in_the_call_of_who_was_forged(self) -> None:
        """A limit of ``respond``: it fits the request that Bob waits for, where all but the key is his."""
        stage = Stage(on_deny_udp=Remedy.RESPOND)
        assert stage.sends(CHARLES, invite(sdp(K), "his-call", tag="charles")) == "first-use"
        pending, forged = invite(sdp(L)), invite(sdp(K))
        assert stage.sends(BOB, pending) == "first-use"
        assert stage.sends(BOB, forged) == "key-reused"
        flow = Flow(pack(BOB), 5060, pack(ALICE), 5060, "udp")
        answer = respond(sip.parse(forged), len(forged), flow, "key-reused", b"s" * 32)
        assert answer is not None
        read, waited = sip.parse(answer.octets), sip.parse(pending)
        assert (read.vias[0].branch, read.call_id, read.cseq) == (
            waited.vias[0].branch,
            waited.call_id,
            waited.cseq,
        )


def relayed(by: Sequence[str]) -> bytes:
    """Bob's INVITE as a proxy passes it on, which says who was before it."""
    above = "".join(f"Via: SIP/2.0/UDP {host};branch=z9hG4bK-{host}\r\n" for host in by)
    return invite(sdp(K)).replace(b"Via:", above.encode() + b"Via:", 1)


def test_a_relay_is_believed_by_its_address_alone() -> None:
    """A limit: over UDP whoever forges its address says who was before it."""
    stage = Stage(relays=frozenset((pack(PROXY),)))
    assert stage.sends(BOB, invite(sdp(K)), to=PROXY) == "first-use"
    assert stage.sends(PROXY, relayed([PROXY])) == "relayed"
    strict = Stage()
    assert strict.sends(BOB, invite(sdp(K)), to=PROXY) == "first-use"
    assert strict.sends(PROXY, relayed([PROXY])) == "source-changed", "it is not named"


class TestTheStore:
    @pytest.mark.parametrize("record", [b"", b"nonsense", b"[]", b"[99]", b"{}", b"null", b"\xff"])
    def test_a_record_that_cannot_be_read_denies(self, call: Stage, record: bytes) -> None:
        entries = call.store.records()
        swapped = [Change(entry.key, entry.record, record, 1 << 62) for entry in entries]
        assert call.store.compare_and_swap(swapped)
        call.store.commit()
        assert call.sends(CHARLES, invite(sdp(K))) == "store-unavailable"
        assert call.core.settle() == []

    def test_who_can_write_it_can_make_it_forget(self, call: Stage) -> None:
        """A limit: records are trusted as they stand."""
        for entry in call.store.records():
            call.store.forget(entry.key)
        assert call.sends(CHARLES, invite(sdp(K), "call-2", tag="charles")) == "first-use"
