"""The pipeline: verdicts at once and later, order among what waits, streams, and a store that fails."""

import random
from collections.abc import Sequence
from pathlib import Path

import pytest
from frames import Tape, invite, sdp, tcp, udp

from monitor.antireplay.policy import Policy
from monitor.antireplay.ruling import Reason, Verdict
from monitor.antireplay.table import StoreError
from monitor.assembly import REPLAY_SECRET, assemble
from monitor.config.selector import PolicyList
from monitor.exceptions import ExceptionName, Outcome
from monitor.keys.request import UnwrapAnswer
from monitor.keys.ring import KeyRing, load
from monitor.pipeline import Pipeline, Settled
from monitor.record import ExceptionRecord, RulingRecord
from monitor.simulate.cms import envelope, signature
from monitor.simulate.keyring import load as load_identities
from monitor.store.memory import MemoryStore
from monitor.toolbox.case import MAX_RAISED

BOB, ALICE, CHARLES = "192.0.2.5", "192.0.2.1", "192.0.2.66"
K, L = "A" * 40, "B" * 40
KEYS = Path(__file__).parents[1] / "pcaps" / "keys"


class Failing(MemoryStore):
    """A store whose commits fail while ``broken``."""

    broken = False

    def commit(self) -> None:
        if self.broken:
            self._pending.clear()
            raise StoreError("the disk is full; make room")
        super().commit()


@pytest.fixture(scope="module")
def ring() -> KeyRing:
    return load(KEYS)


def pipeline(store: MemoryStore | None = None, ring: KeyRing | None = None, **policy: object) -> Pipeline:
    return assemble(
        store=store or MemoryStore(),
        secret=REPLAY_SECRET,
        policies=PolicyList(Policy(**policy)),  # type: ignore[arg-type]
        directory=ring.directory if ring else None,
    )


def told(settled: Sequence[Settled]) -> list[tuple[int, str, str]]:
    """Frame, verdict of the frame, and the reason or exception of each record."""
    return [
        (
            each.frame,
            str(each.verdict),
            str(record.reason if isinstance(record, RulingRecord) else record.exception),
        )
        for each in settled
        for record in each.records
    ]


class TestVerdictsAtOnce:
    @pytest.mark.parametrize(
        "payload",
        [
            b"\x80\x00" + bytes(160),
            b"NOTIFY * HTTP/1.1\r\nHost: 239.255.255.250:1900\r\n\r\n",
            b"\r\n\r\n",
            invite(b""),
            invite(b"hello", content_type="text/plain"),
        ],
    )
    def test_nothing_to_rule_on(self, payload: bytes) -> None:
        assert pipeline().feed(Tape().frame(udp(BOB, ALICE, payload))) is Verdict.ACCEPT

    def test_a_key_waits_for_the_commit(self) -> None:
        core = pipeline()
        assert core.feed(Tape().frame(udp(BOB, ALICE, invite(sdp(K))))) is None
        assert told(core.settle()) == [(1, "accept", "first-use")]
        assert core.settle() == []


class TestStreams:
    def test_a_message_in_many_segments_is_ruled_on_with_its_last(self) -> None:
        core, tape = pipeline(), Tape()
        message, sequence = invite(sdp(K)), 1000
        for start in range(0, len(message), 100):
            part = message[start : start + 100]
            last = start + 100 >= len(message)
            verdict = core.feed(tape.frame(tcp(BOB, ALICE, sequence + start, part)))
            assert verdict is (None if last else Verdict.ACCEPT)
        assert told(core.settle()) == [(tape.number, "accept", "first-use")]

    def test_two_messages_in_one_segment_get_two_rulings_and_the_worst_verdict(self) -> None:
        core, tape = pipeline(), Tape()
        both = invite(sdp(K)) + invite(sdp(K), call="call-2")
        core.feed(tape.frame(tcp(BOB, ALICE, 1000, both)))
        assert told(core.settle()) == [(1, "deny", "first-use"), (1, "deny", "key-reused")]

    def test_octets_of_a_denied_message_stay_denied_however_they_are_cut(self) -> None:
        core, tape = pipeline(), Tape()
        core.feed(tape.frame(udp(BOB, ALICE, invite(sdp(K)))))
        replayed = invite(sdp(K), call="call-2")
        core.feed(tape.frame(tcp(CHARLES, ALICE, 1000, replayed)))
        assert told(core.settle())[-1] == (2, "deny", "key-reused")
        for start, end in ((0, len(replayed)), (0, 10), (len(replayed) - 5, len(replayed))):
            again = tape.frame(tcp(CHARLES, ALICE, 1000 + start, replayed[start:end]))
            assert core.feed(again) is Verdict.DENY

    def test_octets_before_a_replay_that_came_early_stay_denied(self) -> None:
        """The recipient has the replay already, and waits for them to read it."""
        core, tape = pipeline(), Tape()
        core.feed(tape.frame(udp(BOB, ALICE, invite(sdp(K)))))
        core.settle()
        core.feed(tape.frame(tcp(CHARLES, ALICE, 999, b"", flags=2)))
        before, replayed = invite(b"", call="call-3"), invite(sdp(K), call="call-2")
        early = tape.frame(tcp(CHARLES, ALICE, 1000 + len(before), replayed))
        assert core.feed(early) is Verdict.ACCEPT
        core.feed(tape.frame(tcp(CHARLES, ALICE, 1000, before)))
        assert told(core.settle()) == [(4, "deny", "key-reused")]
        for start, end in ((0, len(before)), (0, 10), (len(before) - 5, len(before))):
            assert core.feed(tape.frame(tcp(CHARLES, ALICE, 1000 + start, before[start:end]))) is Verdict.DENY

    def test_octets_before_a_message_that_came_early_wait_with_it(self, ring: KeyRing) -> None:
        core, tape = pipeline(ring=ring), Tape()
        core.feed(tape.frame(tcp(BOB, ALICE, 999, b"", flags=2)))
        message = invite(TestWaiting.sealed(K, 1), content_type="application/pkcs7-mime")
        assert core.feed(tape.frame(tcp(BOB, ALICE, 1004, message))) is Verdict.ACCEPT
        for _ in range(2):
            assert core.feed(tape.frame(tcp(BOB, ALICE, 1000, b"\r\n\r\n"))) is None
        (ask,) = core.asks()
        assert core.settle() == []
        core.answer(ask.number, ring.unwrap(ask.request))
        assert [each.verdict for each in core.settle()] == [Verdict.ACCEPT] * 2

    def test_what_follows_on_the_stream_is_ruled_on_its_own(self) -> None:
        core, tape = pipeline(), Tape()
        core.feed(tape.frame(udp(BOB, ALICE, invite(sdp(K)))))
        replayed, fresh = invite(sdp(K), call="call-2"), invite(sdp(L), call="call-3", tag="carol")
        core.feed(tape.frame(tcp(CHARLES, ALICE, 1000, replayed)))
        core.feed(tape.frame(tcp(CHARLES, ALICE, 1000 + len(replayed), fresh)))
        assert told(core.settle())[1:] == [(2, "deny", "key-reused"), (3, "accept", "first-use")]

    def test_a_head_that_comes_last_carries_the_ruling(self) -> None:
        core, tape = pipeline(), Tape()
        core.feed(tape.frame(tcp(BOB, ALICE, 999, b"", flags=2)))
        message = invite(sdp(K))
        assert core.feed(tape.frame(tcp(BOB, ALICE, 1200, message[200:]))) is Verdict.ACCEPT
        assert core.feed(tape.frame(tcp(BOB, ALICE, 1000, message[:200]))) is None
        assert told(core.settle()) == [(3, "accept", "first-use")]


@pytest.mark.parametrize(
    "line", [b"a=crypto:", b"a=inline:", b"a=crypto:1 x inline:AA", b"a=key-mgmt:x AA@A"]
)
def test_one_datagram_is_told_of_in_few_records(line: bytes) -> None:
    """Each would be an event, with the Call-ID and the start line of the message."""
    body = sdp(K) + b"".join(b"%s%d\r\n" % (line, number) for number in range(1000))
    core, tape = pipeline(outcomes=dict.fromkeys(ExceptionName, Outcome.ALERT)), Tape()
    core.feed(tape.frame(udp(BOB, ALICE, invite(body))))
    (settled,) = core.settle()
    assert 1 < len(settled.records) <= MAX_RAISED + 1
    assert len(set(settled.records)) == len(settled.records)


def test_methods_of_strangers_are_counted_together() -> None:
    core, tape = pipeline(), Tape()
    for number in range(20):
        method = b"X%d" % number
        core.feed(tape.frame(udp(BOB, ALICE, invite(b"").replace(b"INVITE", method))))
    core.feed(tape.frame(udp(BOB, ALICE, invite(b""))))
    assert core.messages == {("udp", "other"): 20, ("udp", "INVITE"): 1}


class TestWaiting:
    """Envelopes for Alice, whose key the keyholder has; the test answers when it likes."""

    @staticmethod
    def sealed(key: str, seed: int) -> bytes:
        entity = b"Content-Type: application/sdp\r\n\r\n" + sdp(key)
        return envelope(entity, [load_identities(KEYS)["alice"]], random.Random(seed))

    def test_the_queue_goes_on_while_a_message_waits(self, ring: KeyRing) -> None:
        core, tape = pipeline(ring=ring), Tape()
        core.feed(
            tape.frame(udp(BOB, ALICE, invite(self.sealed(K, 1), content_type="application/pkcs7-mime")))
        )
        core.feed(tape.frame(udp(BOB, ALICE, invite(sdp(L), call="call-2"))))
        (ask,) = core.asks()
        assert told(core.settle()) == [(2, "accept", "first-use")]
        core.answer(ask.number, ring.unwrap(ask.request))
        assert told(core.settle()) == [(1, "accept", "first-use")]

    def test_one_dialog_keeps_its_order(self, ring: KeyRing) -> None:
        core, tape = pipeline(ring=ring), Tape()
        body = self.sealed(K, 1)
        core.feed(tape.frame(udp(BOB, ALICE, invite(body, content_type="application/pkcs7-mime"))))
        core.feed(tape.frame(udp(BOB, ALICE, invite(sdp(L), cseq=2))))
        (ask,) = core.asks()
        assert core.settle() == []
        core.answer(ask.number, ring.unwrap(ask.request))
        assert [each.frame for each in core.settle()] == [1, 2]

    def test_one_envelope_keeps_its_order_across_dialogs(self, ring: KeyRing) -> None:
        core, tape = pipeline(ring=ring), Tape()
        body = self.sealed(K, 1)
        for call in ("call-1", "call-2"):
            core.feed(tape.frame(udp(BOB, ALICE, invite(body, call, "application/pkcs7-mime"))))
        (ask,) = core.asks()
        core.answer(ask.number, ring.unwrap(ask.request))
        assert not core.asks(), "the replay asks for no private key"
        assert told(core.settle()) == [(1, "accept", "first-use"), (2, "deny", "envelope-reused")]
        assert core.waiting == 0

    def test_thousands_may_wait_for_one(self, ring: KeyRing) -> None:
        core, tape = pipeline(ring=ring), Tape()
        sealed = invite(self.sealed(K, 1), content_type="application/pkcs7-mime")
        core.feed(tape.frame(udp(BOB, ALICE, sealed)))
        for number in range(2, 2000):
            source = f"198.51.{number // 250}.{number % 250}"
            core.feed(tape.frame(udp(source, ALICE, invite(b"", method="OPTIONS", cseq=number))))
        (ask,) = core.asks()
        core.answer(ask.number, ring.unwrap(ask.request))
        assert [each.frame for each in core.settle()] == list(range(1, 2000))
        assert core.waiting == 0

    def test_who_floods_with_what_waits_takes_no_places_of_others(self, ring: KeyRing) -> None:
        """One envelope and thousands of small messages in the same call."""
        core, tape = pipeline(ring=ring), Tape()
        kind = "application/pkcs7-mime"
        core.feed(tape.frame(udp(CHARLES, ALICE, invite(self.sealed(K, 1), "his-call", kind))))
        for cseq in range(2, 5000):
            core.feed(tape.frame(udp(CHARLES, ALICE, invite(b"", "his-call", method="OPTIONS", cseq=cseq))))
        core.feed(tape.frame(udp(BOB, ALICE, invite(self.sealed(L, 2), content_type=kind))))
        for ask in core.asks():
            core.answer(ask.number, ring.unwrap(ask.request))
        assert told(core.settle())[-1] == (5000, "accept", "first-use")

    def test_what_the_keyholder_refuses_is_an_overload(self, ring: KeyRing) -> None:
        core, tape = pipeline(ring=ring), Tape()
        core.feed(
            tape.frame(udp(BOB, ALICE, invite(self.sealed(K, 1), content_type="application/pkcs7-mime")))
        )
        (ask,) = core.asks()
        core.answer(ask.number, UnwrapAnswer(None, refused=True))
        assert told(core.settle()) == [(1, "deny", "overload")]

    def test_a_retransmitted_segment_of_a_message_that_waits_waits_too(self, ring: KeyRing) -> None:
        core, tape = pipeline(ring=ring), Tape()
        message = invite(self.sealed(K, 1), content_type="application/pkcs7-mime")
        for _ in range(2):
            assert core.feed(tape.frame(tcp(BOB, ALICE, 1000, message))) is None
        (ask,) = core.asks()
        assert core.settle() == []
        core.answer(ask.number, ring.unwrap(ask.request))
        assert [(each.frame, each.verdict) for each in core.settle()] == [
            (1, Verdict.ACCEPT),
            (2, Verdict.ACCEPT),
        ]

    def test_a_known_envelope_is_judged_again_without_its_key(self, ring: KeyRing) -> None:
        core, tape = pipeline(ring=ring), Tape()
        message = invite(self.sealed(K, 1), content_type="application/pkcs7-mime")
        core.feed(tape.frame(udp(BOB, ALICE, message)))
        (ask,) = core.asks()
        core.answer(ask.number, ring.unwrap(ask.request))
        core.feed(tape.frame(udp(BOB, ALICE, message), after=0.5))
        assert core.asks() == []
        last = core.settle()[-1].records[-1]
        assert isinstance(last, RulingRecord)
        assert (last.reason, last.tiers) == (Reason.RETRANSMISSION, ("envelope", "master-key"))

    def test_nobody_waits_for_what_a_mistake_has_ended(
        self, ring: KeyRing, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store = MemoryStore()
        core, tape = pipeline(store, ring), Tape()
        kind = "application/pkcs7-mime"
        for number in range(3):
            sealed = self.sealed(K, number)
            core.feed(tape.frame(udp(BOB, ALICE, invite(sealed, content_type=kind, cseq=number))))
        (ask,) = core.asks()
        with monkeypatch.context() as patch:
            patch.setattr(store, "read", lambda keys: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                core.answer(ask.number, ring.unwrap(ask.request))
        assert [(each.frame, each.verdict) for each in core.settle()] == [(1, Verdict.DENY)]
        for _ in range(2):
            (ask,) = core.asks()
            core.answer(ask.number, ring.unwrap(ask.request))
        assert [each.frame for each in core.settle()] == [2, 3]
        assert core.waiting == 0


class TestSignatures:
    def test_one_without_what_it_covers_denies_nothing(self) -> None:
        blob = signature(b"elsewhere", load_identities(KEYS)["bob"], 1_700_000_000, detached=True)
        core, tape = pipeline(), Tape()
        core.feed(tape.frame(udp(BOB, ALICE, invite(blob, content_type="application/octet-stream"))))
        assert told(core.settle()) == [(1, "accept", "unsupported")]


class TestStoreFailure:
    def test_on_a_stream_it_stays_denied_when_it_is_sent_again(self) -> None:
        store = Failing()
        core, tape = pipeline(store), Tape()
        store.broken = True
        message = invite(sdp(K))
        core.feed(tape.frame(tcp(BOB, ALICE, 1000, message)))
        core.settle()
        store.broken = False
        assert core.feed(tape.frame(tcp(BOB, ALICE, 1000, message))) is Verdict.DENY

    def test_what_could_not_be_committed_is_denied(self) -> None:
        store = Failing()
        core, tape = pipeline(store), Tape()
        store.broken = True
        core.feed(tape.frame(udp(BOB, ALICE, invite(sdp(K)))))
        (settled,) = core.settle()
        (record,) = settled.records
        assert settled.verdict is Verdict.DENY
        assert isinstance(record, ExceptionRecord)
        assert record.exception is ExceptionName.STORE_UNAVAILABLE
        assert "make room" in record.detail

    def test_it_goes_on_once_the_store_is_back(self) -> None:
        store = Failing()
        core, tape = pipeline(store), Tape()
        store.broken = True
        core.feed(tape.frame(udp(BOB, ALICE, invite(sdp(K)))))
        core.settle()
        store.broken = False
        core.feed(tape.frame(udp(BOB, ALICE, invite(sdp(K))), after=0.5))
        assert told(core.settle()) == [(2, "accept", "first-use")]
