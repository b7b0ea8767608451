"""Content that opens, and the one error of all that does not."""

import random

import pytest
from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.ciphers.aead import AESCCM, AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.padding import PKCS7
from hypothesis import given
from hypothesis import strategies as st
from smime_material import CONTENT

from monitor.cms import ber
from monitor.cms.content import DATA
from monitor.cms.enveloped import Algorithm, EnvelopedData
from monitor.cms.error import CmsError
from monitor.exceptions import ExceptionName
from monitor.toolbox.tools.confidentiality import decrypt, key_length

AES_ARC = "2.16.840.1.101.3.4.1."
NONCE = bytes(range(12))
ATTRIBUTES = bytes.fromhex("3100")
RANDOM = random.Random()


@pytest.fixture(autouse=True)
def _seeded() -> None:
    """One wrong key in 256 gives good padding by chance; these do not."""
    RANDOM.seed(1)


def octets(*parts: bytes) -> bytes:
    return ber.encode(ber.SEQUENCE, b"".join(ber.encode(ber.OCTET_STRING, part) for part in parts))


def envelope(oid: str, parameters: bytes, encrypted: bytes, tag: bytes | None = None) -> EnvelopedData:
    algorithm = Algorithm(oid, parameters)
    return EnvelopedData((), DATA, algorithm, encrypted, tag, ATTRIBUTES if tag is not None else b"")


def block(key: bytes, *, triple_des: bool = False, content: bytes = CONTENT) -> EnvelopedData:
    padder = PKCS7(64 if triple_des else 128).padder()
    padded = padder.update(content) + padder.finalize()
    vector = RANDOM.randbytes(8 if triple_des else 16)
    encryptor = Cipher(TripleDES(key) if triple_des else AES(key), modes.CBC(vector)).encryptor()
    oid = "1.2.840.113549.3.7" if triple_des else AES_ARC + {16: "2", 24: "22", 32: "42"}[len(key)]
    return envelope(oid, ber.encode(ber.OCTET_STRING, vector), encryptor.update(padded))


def gcm(key: bytes, *, told: int | None = 16, length: int = 16) -> EnvelopedData:
    sealed = AESGCM(key).encrypt(NONCE, CONTENT, ATTRIBUTES)
    parameters = ber.encode(ber.OCTET_STRING, NONCE) + (bytes((2, 1, told)) if told is not None else b"")
    oid = AES_ARC + {16: "6", 24: "26", 32: "46"}[len(key)]
    return envelope(oid, ber.encode(ber.SEQUENCE, parameters), sealed[:-16], sealed[-16:][:length])


def test_block_ciphers() -> None:
    for length in (16, 24, 32):
        key = RANDOM.randbytes(length)
        made = block(key)
        assert key_length(made.algorithm) == length
        assert decrypt(made, key) == CONTENT
    key = RANDOM.randbytes(24)
    assert decrypt(block(key, triple_des=True), key) == CONTENT


def test_authenticated_ciphers() -> None:
    for length in (16, 24, 32):
        key = RANDOM.randbytes(length)
        assert decrypt(gcm(key), key) == CONTENT
        sealed = AESCCM(key, 12).encrypt(NONCE, CONTENT, ATTRIBUTES)
        oid = AES_ARC + {16: "7", 24: "27", 32: "47"}[length]
        assert decrypt(envelope(oid, octets(NONCE), sealed[:-12], sealed[-12:]), key) == CONTENT
    key = RANDOM.randbytes(32)
    sealed = ChaCha20Poly1305(key).encrypt(NONCE, CONTENT, ATTRIBUTES)
    parameters = ber.encode(ber.OCTET_STRING, NONCE)
    made = envelope("1.2.840.113549.1.9.16.3.18", parameters, sealed[:-16], sealed[-16:])
    assert decrypt(made, key) == CONTENT


def test_a_tag_of_twelve_octets_is_the_default() -> None:
    key = RANDOM.randbytes(16)
    assert decrypt(gcm(key, told=None, length=12), key) == CONTENT


@pytest.mark.parametrize(("told", "length"), [(16, 12), (12, 16), (8, 8), (4, 4), (0, 0), (17, 16)])
def test_tags_of_the_wrong_length_do_not_count(told: int, length: int) -> None:
    key = RANDOM.randbytes(16)
    assert refused(gcm(key, told=told, length=length), key) == ExceptionName.UNDECRYPTABLE


def test_a_tag_at_the_end_of_the_content() -> None:
    key = RANDOM.randbytes(16)
    sealed = AESGCM(key).encrypt(NONCE, CONTENT, None)
    parameters = ber.encode(ber.SEQUENCE, ber.encode(ber.OCTET_STRING, NONCE) + b"\x02\x01\x10")
    assert decrypt(envelope(AES_ARC + "6", parameters, sealed), key) == CONTENT


def refused(made: EnvelopedData, *keys: bytes) -> ExceptionName:
    with pytest.raises(CmsError) as caught:
        decrypt(made, *keys)
    return caught.value.name


def test_every_failure_is_the_same() -> None:
    key = RANDOM.randbytes(16)
    right = block(key)
    changed = EnvelopedData((), DATA, right.algorithm, right.encrypted_content[:-1] + b"\0")
    told = []
    for made, candidate in (
        (right, RANDOM.randbytes(16)),
        (right, RANDOM.randbytes(32)),
        (right, b""),
        (changed, key),
        (EnvelopedData((), DATA, right.algorithm, b""), key),
        (EnvelopedData((), DATA, right.algorithm, bytes(15)), key),
        (EnvelopedData((), DATA, Algorithm(right.algorithm.oid), bytes(16)), key),
        (EnvelopedData((), DATA, Algorithm(right.algorithm.oid, b"\x04\x01\x01"), bytes(16)), key),
        (envelope(AES_ARC + "6", b"\x30\x02\x04\x00", b"", bytes(12)), key),
        (gcm(RANDOM.randbytes(16)), key),
        (envelope(AES_ARC + "7", octets(b"1"), b"", bytes(12)), key),
    ):
        with pytest.raises(CmsError) as caught:
            decrypt(made, candidate)
        told.append((caught.value.name, caught.value.detail))
    assert set(told) == {(ExceptionName.UNDECRYPTABLE, told[0][1])}


def test_all_candidates_are_tried() -> None:
    key = RANDOM.randbytes(16)
    made = gcm(key)
    assert decrypt(made, RANDOM.randbytes(16), key) == CONTENT
    assert decrypt(made, key, RANDOM.randbytes(16)) == CONTENT


@pytest.mark.parametrize("oid", ["1.2.840.113549.3.2", "1.2.3"])
def test_unknown_ciphers(oid: str) -> None:
    with pytest.raises(CmsError) as caught:
        key_length(Algorithm(oid))
    assert caught.value.name == ExceptionName.UNSUPPORTED
    assert refused(envelope(oid, b"", b""), bytes(16)) == ExceptionName.UNSUPPORTED


@given(
    st.sampled_from(["2", "6", "7", "22", "46"]),
    st.binary(max_size=40),
    st.binary(max_size=64),
    st.none() | st.binary(max_size=17),
    st.sampled_from([16, 24, 32]),
)
def test_any_octets_decrypt_or_raise_the_one_error(
    arc: str, parameters: bytes, encrypted: bytes, tag: bytes | None, length: int
) -> None:
    try:
        decrypt(envelope(AES_ARC + arc, parameters, encrypted, tag), bytes(length))
    except CmsError as error:
        assert error.name == ExceptionName.UNDECRYPTABLE  # noqa: PT017
