"""The tools on layers as the engine hands them out: what they find, provide and report."""

import gzip
import random
import zlib
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from cases import KEYS, case, databases, raised
from cryptography import x509
from frames import START, sdp

from monitor.antireplay.observation import Tier
from monitor.antireplay.policy import Policy
from monitor.antireplay.ruling import Reason
from monitor.cms import content as cms_content
from monitor.cms.enveloped import EnvelopedData
from monitor.exceptions import ExceptionName, Outcome
from monitor.exhibit import Keep
from monitor.keys.trust import TrustStore
from monitor.simulate import body, cms
from monitor.simulate.body import Body
from monitor.simulate.keyring import Identity
from monitor.simulate.keyring import load as load_identities
from monitor.sip.mime import Entity, parse_entity
from monitor.toolbox.case import Case, Denied
from monitor.toolbox.layer import Kind, Layer, Place, Service
from monitor.toolbox.peel import peel
from monitor.toolbox.tool import Databases
from monitor.toolbox.tools.antireplay import EnvelopeTier, Judge, MasterKeyTier
from monitor.toolbox.tools.authentication import Authentication
from monitor.toolbox.tools.compression import Compression
from monitor.toolbox.tools.freshness import Freshness
from monitor.toolbox.tools.integrity import MAX_SIGNATURES, Integrity
from monitor.toolbox.tools.nonrepudiation import NonRepudiation
from monitor.toolbox.tools.pki import PublicKeyInfrastructure
from monitor.wire.frame import NANOSECONDS

KEY = "A" * 40
SIGNED_AT = START // NANOSECONDS


@cache
def identities() -> dict[str, Identity]:
    return load_identities(KEYS)


@cache
def trust() -> TrustStore:
    return TrustStore.load(Path(KEYS, "ca.pem"))


def plain() -> Body:
    return Body((("Content-Type", "application/sdp"),), sdp(KEY))


def signed_layer(
    signer: str, inner: Body | None = None, *, detached: bool = True, spoil: bool = False
) -> Layer:
    whole = body.signed(
        inner or plain(), identities()[signer], SIGNED_AT, random.Random(1), detached=detached
    )
    octets = whole.entity().replace(b"RTP/SAVP", b"RTP/SAVX") if spoil else whole.entity()
    (layer,) = peel(parse_entity(octets), lambda *_: None, Place())
    assert layer.kind is Kind.SIGNED
    return layer


def envelope(key: str = KEY, seed: int = 1) -> Layer:
    blob = cms.envelope(
        b"Content-Type: application/sdp\r\n\r\n" + sdp(key), [identities()["alice"]], random.Random(seed)
    )
    parsed = cms_content.parse(blob)
    assert isinstance(parsed, EnvelopedData)
    return Layer(Kind.ENVELOPE, parsed)


def examined(layer: Layer, made: Databases, seen: Case, *tools: Any) -> Case:
    """The case after these tools saw a layer."""
    for tool in tools:
        tool(made).apply(layer, seen)
    return seen


class TestIntegrity:
    def test_signatures_of_one_message_are_checked_up_to_a_limit(self) -> None:
        seen, made = case(policy=Policy(outcomes=dict.fromkeys(ExceptionName, Outcome.ALERT))), databases()
        tool = Integrity(made)
        for _ in range(MAX_SIGNATURES):
            tool.apply(signed_layer("bob"), seen)
        assert raised(seen) == []
        tool.apply(signed_layer("bob"), seen)
        assert (raised(seen), seen.signers) == (["limit"], [])

    @pytest.mark.parametrize("detached", [True, False])
    def test_a_good_signature_makes_its_signer_known(self, detached: bool) -> None:
        seen = examined(signed_layer("bob", detached=detached), databases(), case(), Integrity)
        assert x509.load_der_x509_certificate(seen.signed_by) == identities()["bob"].certificate
        assert seen.signers == [seen.signed_by]
        assert len(seen.signer) == 64
        assert seen.signed_times == [SIGNED_AT * NANOSECONDS]
        assert seen.provided == {Service.INTEGRITY}
        assert raised(seen) == []

    def test_a_wrong_signature_is_denied_and_provides_nothing(self) -> None:
        seen = case()
        with pytest.raises(Denied):
            examined(signed_layer("bob", spoil=True), databases(), seen, Integrity)
        assert raised(seen) == ["bad-signature"]
        assert (seen.signer, seen.signers, seen.provided) == ("", [], set())


class TestPki:
    def test_a_chain_to_the_trust_store(self) -> None:
        made = databases(trust=trust())
        seen = examined(signed_layer("bob"), made, case(), Integrity, PublicKeyInfrastructure)
        assert seen.provided == {Service.INTEGRITY, Service.PKI}
        assert len(seen.signers) == 1

    def test_a_stranger_is_not_asked_for_a_name_later(self) -> None:
        made = databases(trust=trust())
        seen = examined(
            signed_layer("impostor"), made, case(), Integrity, PublicKeyInfrastructure, Authentication
        )
        assert raised(seen) == ["untrusted-signer"]
        assert "self-signed" in seen.raised[0].detail
        assert (seen.signers, seen.certified) == ([], "")
        assert seen.provided == {Service.INTEGRITY}

    def test_without_a_trust_store_nobody_is_asked(self) -> None:
        seen = examined(signed_layer("impostor"), databases(), case(), Integrity, PublicKeyInfrastructure)
        assert raised(seen) == []
        assert Service.PKI not in seen.provided


class TestAuthentication:
    def test_the_signer_is_the_sender(self) -> None:
        seen = examined(signed_layer("bob"), databases(), case(), Integrity, Authentication)
        assert Service.AUTHENTICATION in seen.provided
        assert seen.certified == seen.signer

    def test_the_signer_is_somebody_else(self) -> None:
        seen = examined(signed_layer("charles"), databases(), case(), Integrity, Authentication)
        assert raised(seen) == ["identity-mismatch"]
        assert "charles@example.org" in seen.raised[0].detail
        assert (seen.certified, seen.provided) == ("", {Service.INTEGRITY})


class TestSignerChanged:
    """Bob's own certificate, then another that names him too."""

    def ruled(self, made: Databases, signer: str, call: str) -> tuple[str, ...]:
        seen = case(call=call)
        examined(signed_layer(signer), made, seen, Integrity, Authentication)
        key = Layer(Kind.SESSION, sdp(f"{len(call):040d}"))
        examined(key, made, seen, MasterKeyTier)
        examined(Layer(Kind.MESSAGE, None), made, seen, Judge)
        assert seen.ruling is not None
        assert seen.ruling.reason is Reason.FIRST_USE
        return seen.ruling.alerts

    def test_a_change_is_told_once_for_each_certificate(self) -> None:
        made = databases()
        told = [
            self.ruled(made, signer, "c" * number)
            for number, signer in enumerate(("bob", "bob", "impostor", "impostor", "bob"), 1)
        ]
        assert told == [(), (), ("signer-changed",), (), ()]

    def test_who_signs_for_another_changes_nothing(self) -> None:
        made = databases()
        told = [
            self.ruled(made, signer, "c" * number)
            for number, signer in enumerate(("bob", "charles", "bob"), 1)
        ]
        assert told == [(), (), ()]


class TestFreshness:
    @pytest.mark.parametrize(
        ("late", "expected"), [(0, []), (600, []), (-600, []), (601, ["not-fresh"]), (-601, ["not-fresh"])]
    )
    def test_signing_time_against_the_packet(self, late: int, expected: list[str]) -> None:
        seen = case(time=START + late * NANOSECONDS)
        examined(signed_layer("bob"), databases(), seen, Integrity, Freshness)
        assert raised(seen) == expected

    @pytest.mark.parametrize("detached", [True, False])
    def test_the_date_of_a_signed_message(self, detached: bool) -> None:
        for date, expected in (
            ("Tue, 14 Nov 2023 22:13:20 GMT", []),
            ("Tue, 14 Nov 2023 21:13:20 GMT", ["not-fresh"]),
            ("Tue, 14 Nov 2023 22:13:20 -0000", []),
            ("soon", []),
            ("Tue, 99 Nov 99999 22:13:20 GMT", []),
        ):
            tunnel = Body(
                (("Content-Type", "message/sipfrag"),),
                f"INVITE sip:a@b SIP/2.0\r\nDate: {date}\r\n\r\n".encode(),
            )
            seen = case()
            examined(signed_layer("bob", tunnel, detached=detached), databases(), seen, Integrity, Freshness)
            assert raised(seen) == expected, date

    def test_an_unsigned_time_counts_for_nothing(self) -> None:
        lenient = Policy(outcomes={**Policy().outcomes, ExceptionName.BAD_SIGNATURE: Outcome.ALERT})
        seen = case(time=0, policy=lenient)
        examined(signed_layer("bob", spoil=True), databases(), seen, Integrity, Freshness)
        assert raised(seen) == ["bad-signature"]

    def test_a_time_may_be_required(self) -> None:
        for required in (True, False):
            seen = examined(signed_layer("bob"), databases(), case(), Integrity)
            seen.signed_times.clear()
            Freshness(databases(), required=required).apply(signed_layer("bob"), seen)
            assert raised(seen) == (["not-fresh"] if required else [])

    def test_seconds_must_be_positive(self) -> None:
        with pytest.raises(ValueError, match="seconds"):
            Freshness(databases(), seconds=0)


class TestCompression:
    @pytest.mark.parametrize(
        ("coding", "content"), [("gzip", gzip.compress(sdp(KEY))), ("deflate", zlib.compress(sdp(KEY)))]
    )
    def test_content_codings(self, coding: str, content: bytes) -> None:
        entity = Entity("application/sdp", (), (("content-encoding", coding.encode()),), content, b"")
        seen = case()
        (found,) = Compression(databases()).apply(Layer(Kind.CODED, entity), seen).entities
        assert (found.content, found.headers) == (sdp(KEY), ())
        assert seen.provided == {Service.COMPRESSION}
        assert raised(seen) == []

    def test_a_bomb_is_a_limit(self) -> None:
        bomb = gzip.compress(bytes(64 << 20))
        entity = Entity("application/sdp", (), (("content-encoding", b"gzip"),), bomb, b"")
        seen = case()
        with pytest.raises(Denied):
            Compression(databases()).apply(Layer(Kind.CODED, entity), seen)
        assert raised(seen) == ["limit"]

    def test_what_says_it_is_compressed_and_is_not(self) -> None:
        entity = Entity("application/sdp", (), (("content-encoding", b"gzip"),), sdp(KEY), b"")
        seen = case()
        with pytest.raises(Denied):
            Compression(databases()).apply(Layer(Kind.CODED, entity), seen)
        assert raised(seen) == ["ambiguous"]


class TestAntiReplay:
    def test_an_envelope_gives_a_fingerprint_for_each_wrapped_key_and_its_content(self) -> None:
        made, seen, layer = databases(), case(), envelope()
        peeled = EnvelopeTier(made).apply(layer, seen)
        assert isinstance(layer.value, EnvelopedData)
        assert [each.tier for each in seen.sightings.values()] == [Tier.ENVELOPE] * 2
        assert peeled.within == made.hashes.content(layer.value.encrypted_content)
        assert not peeled.done

    def test_a_replayed_envelope_ends_the_case_before_anything_is_decrypted(self) -> None:
        made = databases()
        for call in ("one", "two"):
            seen = case(call=call)
            if call == "two":
                with pytest.raises(Denied):
                    EnvelopeTier(made).apply(envelope(), seen)
                assert seen.ruling is not None
                assert (seen.ruling.reason, seen.tiers) == (Reason.ENVELOPE_REUSED, (Tier.ENVELOPE,))
            else:
                examined(envelope(), made, seen, EnvelopeTier)
                examined(Layer(Kind.MESSAGE, None), made, seen, Judge)

    def test_a_known_envelope_gives_what_it_held(self) -> None:
        made, first, again = databases(), case(), case()
        layer = envelope()
        within = EnvelopeTier(made).apply(layer, first).within
        assert within is not None
        first.held[within] = []
        MasterKeyTier(made).apply(Layer(Kind.SESSION, sdp(KEY), Place(1, within)), first)
        first.signer = "f" * 64
        examined(Layer(Kind.MESSAGE, None), made, first, Judge)
        assert EnvelopeTier(made).apply(layer, again).done
        assert again.sightings.keys() == first.sightings.keys()
        assert again.signer == first.signer

    def test_a_key_in_two_lines_is_noted(self) -> None:
        seen = case()
        twice = sdp(KEY) + f"a=crypto:2 AES_CM_128_HMAC_SHA1_32 inline:{KEY}\r\n".encode()
        MasterKeyTier(databases()).apply(Layer(Kind.SESSION, twice), seen)
        assert (len(seen.sightings), seen.duplicate_key) == (1, True)

    def test_without_keys_there_is_nothing_to_rule_on(self) -> None:
        seen = case()
        Judge(databases()).apply(Layer(Kind.MESSAGE, None), seen)
        assert seen.ruling is None


class TestNonRepudiation:
    @pytest.mark.parametrize(
        ("configured", "said", "expected"),
        [
            (None, None, None),
            (None, Keep.ALL, None),
            (Keep.DENIALS, None, Keep.DENIALS),
            (Keep.DENIALS, Keep.ALL, Keep.ALL),
            (Keep.ALL, Keep.DENIALS, Keep.DENIALS),
        ],
    )
    def test_the_step_says_what_is_kept_if_anything_is(
        self, configured: Keep | None, said: Keep | None, expected: Keep | None
    ) -> None:
        seen = case()
        NonRepudiation(databases(evidence=configured), said).apply(Layer(Kind.ARRIVAL, None), seen)
        assert seen.keep is expected
