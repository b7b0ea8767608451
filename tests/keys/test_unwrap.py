"""Content keys unwrapped from what openssl and this file's own sender wrap, in every way that CMS has."""

import os
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path

import pytest
from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives import hashes, keywrap, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.kdf.x963kdf import X963KDF
from smime_material import CONTENT, Party, corpus, material
from smime_matrix import (
    AES_WRAPS,
    DERIVATIONS,
    ENVELOPES,
    SECRETS,
    agreed,
    der,
    integer,
    keys,
    oid,
    opened,
    sealed,
    x963,
)

from monitor.cms import content
from monitor.cms.enveloped import Algorithm, EnvelopedData, Recipient
from monitor.cms.error import CmsError
from monitor.exceptions import ExceptionName
from monitor.keys import ring, wrap
from monitor.keys.request import MAX_RECIPIENTS, UnwrapRequest
from monitor.keys.ring import KeyRing
from monitor.toolbox.tools import confidentiality


@pytest.mark.oracle
@pytest.mark.parametrize("options", [options for row in ENVELOPES.values() for options in row], ids=" ".join)
def test_what_openssl_encrypts(options: tuple[str, ...]) -> None:
    assert opened(sealed(options)) == CONTENT


@pytest.mark.parametrize("who", ["x25519", "x448"])
@pytest.mark.parametrize("derivation", DERIVATIONS)
@pytest.mark.parametrize("aes_wrap", AES_WRAPS)
def test_the_new_curves(
    who: str, derivation: tuple[str, Callable[[bytes, bytes, int], bytes], bytes], aes_wrap: str
) -> None:
    scheme, derive, material_ = derivation
    recipient = agreed(scheme, derive, aes_wrap, material_, who, bytes(range(32)))
    assert keys().unwrap(UnwrapRequest((recipient,), 32)).key == bytes(range(32))


def named(party: Party, kind: str, wrapped: bytes, algorithm: Algorithm) -> Recipient:
    certificate = party.certificate
    assert kind in ("ktri", "kari")
    return Recipient(
        "ktri" if kind == "ktri" else "kari",
        wrapped,
        algorithm,
        certificate.issuer.public_bytes(),
        certificate.serial_number,
    )


def transported(wrapped: bytes) -> Recipient:
    return named(material()["rsa"], "ktri", wrapped, Algorithm("1.2.840.113549.1.1.1", b"\x05\x00"))


def rsa_wrapped(octets: bytes) -> bytes:
    public = material()["rsa"].key.public_key()
    assert isinstance(public, rsa.RSAPublicKey)
    return public.encrypt(octets, padding.PKCS1v15())


def unwrapped(recipients: Iterable[Recipient], length: int = 16) -> tuple[bytes | None, ...]:
    answer = keys().unwrap(UnwrapRequest(tuple(recipients), length))
    return (answer.key, *answer.further)


def test_leading_zeros_and_multiples_of_the_modulus_change_nothing() -> None:
    public = material()["rsa"].key.public_key()
    assert isinstance(public, rsa.RSAPublicKey)
    # One in 256 begins with a zero.
    wrapped = next(made for made in iter(lambda: rsa_wrapped(bytes(16)), b"") if made[0] == 0)
    more = (int.from_bytes(wrapped, "big") + public.public_numbers().n).to_bytes(257, "big")
    for variant in (wrapped, b"\0\0" + wrapped, wrapped.lstrip(b"\0"), more):
        assert unwrapped([transported(variant)]) == (bytes(16),)
        assert keys().directory.normalise(transported(variant)) == wrapped.lstrip(b"\0")


@pytest.mark.parametrize("wrapped", ["random", "short", "empty", "too-long-key", "other-length"])
def test_a_wrong_padding_gives_what_looks_like_a_key(wrapped: str) -> None:
    octets = {
        "random": b"\0" + os.urandom(255),
        "short": os.urandom(20),
        "empty": b"",
        "too-long-key": rsa_wrapped(bytes(24)),
        "other-length": rsa_wrapped(bytes(8)),
    }[wrapped]
    first, second = unwrapped([transported(octets)]), unwrapped([transported(octets)])
    assert first == second
    assert first[0] is not None
    assert len(first[0]) == 16
    assert first[0] != bytes(16)
    assert unwrapped([transported(octets + b"\1")]) != first


@pytest.mark.parametrize(
    "make",
    [
        lambda: named(
            material()["rsa"], "ktri", os.urandom(256), Algorithm("1.2.840.113549.1.1.7", b"\x30\0")
        ),
        lambda: agreed(
            "1.3.132.1.11.1", x963(hashes.SHA512), next(iter(AES_WRAPS)), b"", "x25519", bytes(16)
        ),
        lambda: Recipient(
            "kekri", bytes(24), Algorithm("2.16.840.1.101.3.4.1.5"), key_identifier=SECRETS[16][:4]
        ),
    ],
)
def test_whatever_does_not_unwrap_looks_like_a_key(make: Callable[[], Recipient]) -> None:
    (key,) = unwrapped([make()])
    assert key is not None
    assert len(key) == 16


@pytest.mark.parametrize(
    "recipient",
    [
        Recipient("ktri", b"\1" * 256, Algorithm("1.2.840.113549.1.1.1"), b"\x30\0", 4711),
        Recipient("pwri", b"\1" * 24, Algorithm("1.2.840.113549.1.9.16.3.9")),
        Recipient("kekri", b"\1" * 24, Algorithm("2.16.840.1.101.3.4.1.5"), key_identifier=b"unknown"),
        Recipient("kekri", b"\1" * 24, Algorithm("2.16.840.1.101.3.4.1.45"), key_identifier=SECRETS[16][:4]),
    ],
)
def test_what_is_not_held_or_not_known_gives_nothing(recipient: Recipient) -> None:
    assert unwrapped([recipient]) == (None,)


@pytest.mark.parametrize(
    ("who", "kind", "algorithm"),
    [
        ("rsa", "ktri", Algorithm("1.2.3.4")),
        ("rsa", "kari", Algorithm("1.3.132.1.11.1")),
        ("p256", "ktri", Algorithm("1.2.840.113549.1.1.1")),
        ("p256", "kari", Algorithm("1.3.132.1.11.1", b"\x30\x80")),
        ("rsa", "ktri", Algorithm("1.2.840.113549.1.1.7", b"\x30\x02\xa0\x00")),
    ],
)
def test_algorithms_that_do_not_fit_give_nothing(who: str, kind: str, algorithm: Algorithm) -> None:
    assert unwrapped([named(material()[who], kind, bytes(256), algorithm)]) == (None,)


@pytest.mark.parametrize("point", [bytes(32), b"\1" + bytes(31)])
def test_points_of_small_order_give_what_looks_like_a_key(point: bytes) -> None:
    recipient = agreed("1.3.132.1.11.1", x963(hashes.SHA256), next(iter(AES_WRAPS)), b"", "x25519", bytes(16))
    bad = der(0xA1, der(0x30, oid("1.3.101.110")), der(0x03, b"\0", point))
    (key,) = unwrapped(
        [
            Recipient(
                *("kari", recipient.encrypted_key, recipient.algorithm, recipient.issuer, recipient.serial),
                originator=bad,
            )
        ]
    )
    assert key is not None
    assert key != bytes(16)


def test_a_named_originator() -> None:
    """Static-static key agreement, the originator named by its certificate."""
    sender = material()["p256"]
    private = sender.key
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    secret = private.exchange(ec.ECDH(), private.public_key())
    aes_wrap = "2.16.840.1.101.3.4.1.5"
    info = der(0x30, der(0x30, oid(aes_wrap)), der(0xA2, der(0x04, (128).to_bytes(4, "big"))))
    kek = X963KDF(hashes.SHA256(), 16, info).derive(secret)
    identifier = sender.certificate.extensions[0].value
    for originator in (
        der(
            0x30,
            sender.certificate.issuer.public_bytes(),
            integer(sender.certificate.serial_number),
        ),
        der(0x80, identifier.public_bytes()[2:]),
    ):
        recipient = Recipient(
            "kari",
            keywrap.aes_key_wrap(kek, bytes(16)),
            Algorithm("1.3.132.1.11.1", der(0x30, oid(aes_wrap))),
            sender.certificate.issuer.public_bytes(),
            sender.certificate.serial_number,
            originator=originator,
        )
        assert keys().unwrap(UnwrapRequest((recipient,), 16)).key == bytes(16)


def test_triple_des_wrap_refuses_what_was_changed() -> None:
    kek, cek = os.urandom(24), os.urandom(24)
    check = hashes.Hash(hashes.SHA1())
    check.update(cek)
    vector = os.urandom(8)
    inner = Cipher(TripleDES(kek), modes.CBC(vector)).encryptor().update(cek + check.finalize()[:8])
    outer = Cipher(TripleDES(kek), modes.CBC(bytes.fromhex("4adda22c79e82105"))).encryptor()
    wrapped = outer.update((vector + inner)[::-1])
    assert wrap.unwrap("1.2.840.113549.1.9.16.3.6", kek, wrapped) == cek
    assert wrap.unwrap("1.2.840.113549.1.9.16.3.6", kek, wrapped[:-1] + bytes((wrapped[-1] ^ 1,))) is None
    assert wrap.unwrap("1.2.840.113549.1.9.16.3.6", kek, wrapped[:-8]) is None


def test_a_decoy_before_the_right_recipient_hides_nothing() -> None:
    # A wrong key finds a right padding in one of 256 contents, but never a right tag.
    envelope = content.parse(sealed(("-aes-128-gcm", "@rsa")))
    assert isinstance(envelope, EnvelopedData)
    right = envelope.recipients[0]
    decoys = (transported(b"\1" + os.urandom(255)), right)
    answer = keys().unwrap(UnwrapRequest(decoys, 16))
    assert answer.key is not None
    assert confidentiality.decrypt(envelope, answer.key, *answer.further) == CONTENT


def test_too_many_recipients_that_name_held_keys_are_a_limit() -> None:
    envelope = content.parse(sealed(("-aes128", "@rsa")))
    assert isinstance(envelope, EnvelopedData)
    crowded = EnvelopedData(
        envelope.recipients * (MAX_RECIPIENTS + 1),
        envelope.content_type,
        envelope.algorithm,
        envelope.encrypted_content,
    )
    with pytest.raises(CmsError) as caught:
        keys().directory.request(crowded, 16)
    assert caught.value.name == ExceptionName.LIMIT


@pytest.mark.parametrize(
    ("file", "expected"),
    [("5.1.bin", True), ("5.2.bin", False), ("5.3.eml", True)],
)
def test_the_examples_of_rfc_4134(file: str, expected: bool) -> None:
    """5.2 is RC2, which is not supported."""
    folder = corpus("smime", "rfc4134")
    held = _old_keys(folder)
    octets = (folder / file).read_bytes()
    if file.endswith(".eml"):
        octets = octets.replace(b"\r\n", b"\n").partition(b"\n\n")[2]
    if not expected:
        with pytest.raises(CmsError) as caught:
            opened(octets, held)
        assert caught.value.name == ExceptionName.UNSUPPORTED
        return
    assert (folder / "ExContent.bin").read_bytes() in opened(octets, held)


@cache
def _old_keys(folder: Path) -> KeyRing:
    target = material().folder / "rfc4134"
    target.mkdir()
    for file in ("BobPrivRSAEncrypt.pri", "BobRSASignByCarl.cer"):
        (target / file).write_bytes((folder / file).read_bytes())
    return ring.load(target)


def test_nothing_is_written_of_a_key() -> None:
    private = material()["rsa"].key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    assert private not in repr(vars(keys())).encode()
    assert all(secret.hex() not in repr(keys().directory.encode()) for secret in SECRETS.values())
