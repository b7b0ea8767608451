"""Session keys and tags: the vectors of the RFCs, and what libsrtp makes of the same keys."""

import random
import struct
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.media import rtp
from monitor.media.srtp import AUTHENTICATION, ENCRYPTION, SALTING, Protection, derive, protections
from monitor.simulate.sdp import KEY_LENGTHS, Key
from monitor.simulate.srtp import protected

HEADER = struct.pack("!BBHII", 0x80, 0, 1, 160, 7)


def fitting(octets: bytes, packet: bytes, rollovers: int = 0) -> list[Protection]:
    header = rtp.read(packet)
    assert header is not None
    return [each for each in protections(octets) if each.verifies(packet, header.length, rollovers)]


def test_session_keys_of_aes_128() -> None:
    """RFC 3711, appendix B.3."""
    master = bytes.fromhex("E1F97A0D3E018BE0D64FA32C06DE4139")
    salt = bytes.fromhex("0EC675AD498AFEEBB6960B3AABE6")
    assert derive(master, salt, ENCRYPTION, 16).hex() == "c61e7a93744f39ee10734afe3ff7a087"
    assert derive(master, salt, SALTING, 14).hex() == "30cbbc08863d8c85d49db34a9ae1"
    assert derive(master, salt, AUTHENTICATION, 20).hex() == "cebe321f6ff7716b6fd4ab49af256a156d38baa4"


def test_session_keys_of_aes_256() -> None:
    """RFC 6188 §7.2."""
    master = bytes.fromhex("f0f04914b513f2763a1b1fa130f10e2998f6f6e43e4309d1e622a0e332b9f1b6")
    salt = bytes.fromhex("3b04803de51ee7c96423ab5b78d2")
    assert derive(master, salt, ENCRYPTION, 32).hex() == (
        "5ba1064e30ec51613cad926c5a28ef731ec7fb397f70a960653caf06554cd8c4"
    )
    assert derive(master, salt, SALTING, 14).hex() == "fa31791685ca444a9e07c6c64e93"
    assert derive(master, salt, AUTHENTICATION, 20).hex() == "fd9c32d39ed5fbb5a9dc96b30818454d1313dc05"


@pytest.mark.parametrize("suite", KEY_LENGTHS)
def test_a_packet_belongs_to_its_key_alone(suite: str) -> None:
    rng = random.Random(suite)
    key, other = Key.fresh(rng, suite), Key.fresh(rng, suite)
    packet = protected(key, 7, (3 << 16) + 5, b"speech" * 20)
    assert [each.suite for each in fitting(key.octets, packet, 3)] == [suite]
    assert not fitting(other.octets, packet, 3)
    assert not fitting(key.octets, packet, 2)
    flipped = packet[:20] + bytes([packet[20] ^ 1]) + packet[21:]
    assert not fitting(key.octets, flipped, 3)


@pytest.mark.oracle
@pytest.mark.parametrize(
    ("profile", "suite"),
    [
        ("SRTP_PROFILE_AES128_CM_SHA1_80", "AES_CM_128_HMAC_SHA1_80"),
        ("SRTP_PROFILE_AES128_CM_SHA1_32", "AES_CM_128_HMAC_SHA1_32"),
        ("SRTP_PROFILE_AEAD_AES_128_GCM", "AEAD_AES_128_GCM"),
        ("SRTP_PROFILE_AEAD_AES_256_GCM", "AEAD_AES_256_GCM"),
    ],
)
def test_packets_of_libsrtp(profile: str, suite: str) -> None:
    libsrtp = pytest.importorskip("pylibsrtp", reason="needs pylibsrtp")
    length = {"AEAD_AES_128_GCM": 28, "AEAD_AES_256_GCM": 44}.get(suite, 30)
    octets = random.Random(suite).randbytes(length)
    policy = libsrtp.Policy(
        key=octets,
        ssrc_type=libsrtp.Policy.SSRC_ANY_OUTBOUND,
        srtp_profile=getattr(libsrtp.Policy, profile),
    )
    session = libsrtp.Session(policy)
    for sequence, rollovers in ((65534, 0), (65535, 0), (0, 1)):
        plain = struct.pack("!BBHII", 0x80, 0, sequence, 160, 7) + b"speech" * 20
        packet = session.protect(plain)
        (protection,) = fitting(octets, packet, rollovers)
        assert protection.suite == suite
        ours = protected(Key(octets, suite), 7, rollovers << 16 | sequence, plain[12:])
        assert protection.ciphertext(packet, 12) == packet[12 : len(plain)] == ours[12 : len(plain)]


@pytest.mark.parametrize("mki", [1, 2, 4])
def test_a_master_key_identifier_stands_before_the_tag(mki: int) -> None:
    key = Key.fresh(random.Random(1))
    packet = protected(key, 7, 1, b"speech" * 20)
    with_mki = packet[:-10] + bytes(mki) + packet[-10:]
    (protection,) = fitting(key.octets, with_mki)
    assert protection.ciphertext(with_mki, 12) == packet[12:-10]


def test_octets_of_no_suite_protect_nothing() -> None:
    assert protections(bytes(16)) == ()


@pytest.mark.parametrize("length", [28, 30, 38, 44, 46])
def test_no_protection_shows_its_key(length: int) -> None:
    octets = random.Random(length).randbytes(length)
    assert all(
        octets.hex()[:8] not in repr(each) and "key=" not in repr(each) for each in protections(octets)
    )


@given(st.binary(max_size=64), st.sampled_from([28, 30, 46]))
def test_any_octets_can_be_looked_at(octets: bytes, length: int) -> None:
    packet = b"\x80\0" + octets
    header = rtp.read(packet)
    if header is not None:
        for protection in protections(bytes(length)):
            assert not protection.verifies(packet, header.length, 0)


INDEX: list[tuple[int, int, int]] = [
    # sequence number, highest index so far, index
    (2, 1, 2),
    (1, 40, 1),
    (65535, 1, 65535),  # before the first: the counter is 0 and stays
    (0, 65535, 65536),
    (65535, 65536, 65535),
    (5, (7 << 16) + 65530, (8 << 16) + 5),
    (65530, (8 << 16) + 5, (7 << 16) + 65530),
    (32769, (2 << 16) + 32767, (2 << 16) + 32769),
]


@pytest.mark.parametrize(("sequence", "highest", "index"), INDEX)
def test_the_index_next_to_the_highest(sequence: int, highest: int, index: int) -> None:
    """RFC 3711 §3.3.1."""
    assert rtp.packet_index(sequence, highest) == index


@pytest.mark.parametrize(
    ("change", "length"),
    [
        (lambda head: head, 12),
        (lambda head: bytes([head[0] | 2]) + head[1:] + bytes(8), 20),
        (lambda head: bytes([head[0] | 0x10]) + head[1:] + bytes.fromhex("bede0001") + bytes(4), 20),
        (lambda head: bytes([head[0] | 0x10]) + head[1:], None),
        (lambda head: bytes([head[0] | 0x10]) + head[1:] + bytes.fromhex("bede0002") + bytes(4), None),
        (lambda head: b"\x40" + head[1:], None),
        (lambda head: head[:1] + b"\xc8" + head[2:], None),
        (lambda head: head[:11], None),
    ],
    ids=("plain", "sources", "extension", "no-extension", "cut-extension", "version-1", "rtcp", "short"),
)
def test_headers(change: Callable[[bytes], bytes], length: int | None) -> None:
    header = rtp.read(change(HEADER))
    assert (header and header.length) == length
