"""Fingerprints are HMAC-SHA-256 with a label for each kind (RFC 2104), as the standard library makes it."""

import hmac

import pytest

from monitor.antireplay.fingerprint import Fingerprinter, spi

SECRETS = [bytes(range(length)) for length in (16, 32, 63, 64, 65, 200)]


@pytest.mark.parametrize("secret", SECRETS, ids=len)
@pytest.mark.parametrize("octets", [b"", b"key", bytes(30), bytes(range(256)) * 300], ids=len)
def test_fingerprints_are_hmac_sha_256(secret: bytes, octets: bytes) -> None:
    found = Fingerprinter(secret).master_key(octets)
    assert found == hmac.digest(secret, b"master-key\0" + octets, "sha256")


def test_octets_of_one_kind_never_match_those_of_another() -> None:
    hashes = Fingerprinter(SECRETS[1])
    kinds = (hashes.master_key, hashes.mikey, hashes.wrapped_key, hashes.content)
    texts = (hashes.call, hashes.originator)
    assert len({kind(b"same") for kind in kinds} | {kind("same") for kind in texts}) == 6


def test_a_call_id_and_a_tag_have_one_border() -> None:
    hashes = Fingerprinter(SECRETS[1])
    assert hashes.dialog("call", "tag") != hashes.dialog("callt", "ag")


def test_a_short_secret_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 16 octets"):
        Fingerprinter(bytes(15))


def test_people_see_32_bits() -> None:
    assert spi(b"\x3f\x9a\x1c\x2e" + bytes(28)) == "3f9a1c2e"
