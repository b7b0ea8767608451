"""The scenarios with media: what is told of them, and that it can be done."""

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from monitor.__main__ import main
from monitor.antireplay.policy import Policy
from monitor.assembly import REPLAY_SECRET, assemble
from monitor.config.selector import PolicyList
from monitor.keys.ring import load
from monitor.media.examination import Examination
from monitor.media.keychain import Keychain
from monitor.media.repeat import Harm, Repeat, Span
from monitor.media.signalling import Signalling
from monitor.media.srtp import ENCRYPTION, SALTING, derive
from monitor.record import RulingRecord
from monitor.simulate import keyring
from monitor.simulate.scenario import Scenario
from monitor.simulate.scenarios import RECIPES
from monitor.simulate.stage import Setting
from monitor.store.memory import MemoryStore
from monitor.wire.decoder import Decoder
from monitor.wire.flow import Datagram

PCAPS = Path(__file__).parents[2] / "pcaps"
SILENCE = 0xFF
"""In PCMU."""


@cache
def made(name: str) -> Scenario:
    return RECIPES[name].made(Setting(keyring.load(PCAPS / "keys")))


@cache
def examined(name: str) -> tuple[dict[bytes, bytes], list[Repeat]]:
    """The suspicious keys of a scenario, and what its media repeats."""
    keychain, ring, signalling = Keychain(REPLAY_SECRET), load(PCAPS / "keys"), Signalling()
    pipeline = assemble(
        store=MemoryStore(),
        secret=REPLAY_SECRET,
        policies=PolicyList(Policy()),
        directory=ring.directory,
        hashes=keychain,
    )
    for frame in made(name).frames:
        pipeline.feed(frame)
        for ask in pipeline.asks():
            pipeline.answer(ask.number, ring.unwrap(ask.request))
    for settled in pipeline.settle():
        for record in settled.records:
            if isinstance(record, RulingRecord):
                signalling.hear(record)
    keys = {key: octets for key in signalling.suspects if (octets := keychain.octets(key))}
    examination = Examination(keys, signalling.call_of)
    for frame in made(name).frames:
        examination.feed(frame)
    return keys, examination.repeats()


def packets(name: str, repeat: Repeat, span: Span) -> Iterator[bytes]:
    """Media packets of the SSRC in a span, in the order of the capture."""
    decoder = Decoder()
    for frame in made(name).frames[span.first_frame - 1 : span.last_frame]:
        unit = decoder.decode(frame)
        if isinstance(unit, Datagram) and unit.payload[8:12] == repeat.later.ssrc.to_bytes(4):
            yield unit.payload


def decrypted(octets: bytes, packet: bytes) -> bytes:
    """The payload of a packet whose rollover counter is 0 (RFC 3711 §4.1.1, RFC 7714 §8.1)."""
    salt_length = 12 if len(octets) == 44 else 14
    master, salt = octets[:-salt_length], octets[-salt_length:]
    session = derive(master, salt, ENCRYPTION, len(master))
    session_salt = int.from_bytes(derive(master, salt, SALTING, salt_length))
    ssrc, sequence = int.from_bytes(packet[8:12]), int.from_bytes(packet[2:4])
    if salt_length == 12:
        nonce = session_salt ^ ssrc << 48 ^ sequence
        return AESGCM(session).decrypt(nonce.to_bytes(12), packet[12:], packet[:12])
    counter = session_salt << 16 ^ ssrc << 64 ^ sequence << 16
    return Cipher(algorithms.AES(session), modes.CTR(counter.to_bytes(16))).decryptor().update(packet[12:-10])


def xor(one: bytes, other: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize(("name", "alike"), [("two-time-pad", 12), ("key-in-the-configuration", 18)])
def test_reused_keystream_gives_the_plaintext_away(name: str, alike: int) -> None:
    keys, repeats = examined(name)
    (repeat,) = [each for each in repeats if each.harm is Harm.KEYSTREAM_REUSED]
    assert (repeat.packets, repeat.identical) == (100, alike)
    earlier = list(packets(name, repeat, repeat.earlier_span))
    later = list(packets(name, repeat, repeat.later_span))
    key = keys[repeat.later.key]
    overheard = 0
    for one, other in zip(earlier, later, strict=True):
        first, second = decrypted(key, one), decrypted(key, other)
        length = 12 + len(first)
        # Without any key:
        assert xor(one[12:length], other[12:length]) == xor(first, second)
        if set(first) == {SILENCE} and first != second:
            assert xor(xor(one[12:length], other[12:length]), bytes([SILENCE]) * len(first)) == second
            overheard += 1
    assert overheard


def test_replayed_packets_are_the_recorded_ones() -> None:
    _, repeats = examined("two-time-pad")
    (repeat,) = [each for each in repeats if each.harm is Harm.PACKETS_REPLAYED]
    assert repeat.packets == repeat.identical == 100
    earlier = list(packets("two-time-pad", repeat, repeat.earlier_span))
    assert earlier == list(packets("two-time-pad", repeat, repeat.later_span))
    assert repeat.earlier.call_id != repeat.later.call_id


def test_media_is_told_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    command = ["replay", "--json", "--keys", str(PCAPS / "keys"), str(PCAPS / "9-media.pcap")]
    assert main(command) == 1
    *lines, summary = map(json.loads, capsys.readouterr().out.splitlines())
    assert summary["type"] == "summary"
    media = [line for line in lines if line["type"] == "media"]
    assert lines[-3:] == media
    assert [(line["harm"], line["packets"], line["identical"]) for line in media] == [
        ("packets-replayed", 100, 100),
        ("keystream-reused", 100, 12),
        ("keystream-reused", 100, 18),
    ]
    first = media[0]
    assert (first["suite"], first["first_index"], first["last_index"]) == ("AES_CM_128_HMAC_SHA1_80", 1, 100)
    assert (first["earlier"]["source"], first["later"]["source"]) == ("192.0.2.2", "192.0.2.66")
    rulings = {line["call_id"]: line for line in lines if line["type"] == "ruling"}
    assert rulings[first["later"]["call_id"]]["verdict"] == "deny"


def test_without_private_keys_only_plain_keys_are_told_of(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", "--json", str(PCAPS / "9-media.pcap")]) == 1
    lines = map(json.loads, capsys.readouterr().out.splitlines())
    assert [line["suite"] for line in lines if line["type"] == "media"] == ["AEAD_AES_256_GCM"]


def test_where_nothing_came_again_the_media_is_not_looked_at(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", "--json", str(PCAPS / "1-calls.pcap")]) == 0
    assert '"media"' not in capsys.readouterr().out
