"""Content keys unwrapped from what openssl and this file's own sender wrap, in every way that CMS has."""

import os
from collections.abc import Callable, Iterable
from functools import cache
from itertools import product
from pathlib import Path

import pytest
from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives import hashes, keywrap, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, x448, x25519
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.x963kdf import X963KDF
from smime_material import CONTENT, Party, corpus, material, openssl

from monitor.cms import ber, content
from monitor.cms.enveloped import Algorithm, EnvelopedData, Recipient
from monitor.cms.error import CmsError
from monitor.exceptions import ExceptionName
from monitor.keys import ring, wrap
from monitor.keys.request import MAX_RECIPIENTS, UnwrapRequest
from monitor.keys.ring import KeyRing
from monitor.toolbox.tools import confidentiality

SECRETS = {length: bytes(range(length, 2 * length)) for length in (16, 24, 32)}


@cache
def keys() -> KeyRing:
    """All the private keys of the material, and a secret of each length."""
    folder = material().folder / "ring"
    folder.mkdir()
    for number, party in enumerate(material().parties.values()):
        for file in (party.key_file, party.certificate_file):
            target = folder / f"{number}{file.suffix}.txt"
            target.write_bytes(file.read_bytes())
            target.chmod(0o600)
    lines = [f"{secret[:4].hex()} {secret.hex()}  # of {length}" for length, secret in SECRETS.items()]
    (folder / "site.kek").write_text("\n".join(lines))
    return ring.load(folder)


def opened(octets: bytes, held: KeyRing | None = None) -> bytes:
    """What the whole way from octets to content gives."""
    held = held or keys()
    envelope = content.parse(octets)
    assert isinstance(envelope, EnvelopedData)
    request = held.directory.request(envelope, confidentiality.key_length(envelope.algorithm))
    assert request is not None, "no recipient is known"
    answer = held.unwrap(request)
    assert answer.key is not None, "nothing to unwrap with"
    return confidentiality.decrypt(envelope, answer.key, *answer.further)


def encrypted(*options: str | Path, who: str = "rsa") -> bytes:
    return openssl(
        "-encrypt", "-binary", "-outform", "DER", *options, "-recip", material()[who].certificate_file
    )


CIPHERS = ("-aes128", "-aes192", "-aes256", "-des3", "-aes-128-gcm", "-aes-192-gcm", "-aes-256-gcm")


@pytest.mark.oracle
@pytest.mark.parametrize(
    ("cipher", "form", "rid"), list(product(CIPHERS, ("-stream", "-noindef"), ("", "-keyid")))
)
def test_every_cipher_and_encoding(cipher: str, form: str, rid: str) -> None:
    assert opened(encrypted(cipher, form, *filter(None, [rid]))) == CONTENT


@pytest.mark.oracle
@pytest.mark.parametrize("who", ["p256", "p384", "p521"])
@pytest.mark.parametrize("wrap", ["-aes128-wrap", "-aes192-wrap", "-aes256-wrap", "-des3-wrap"])
def test_agreement_and_every_wrap(who: str, wrap: str) -> None:
    assert opened(encrypted("-aes256", wrap, who=who)) == CONTENT


@pytest.mark.oracle
@pytest.mark.parametrize("cofactor", ["0", "1"])
@pytest.mark.parametrize("digest", ["sha1", "sha224", "sha256", "sha384", "sha512"])
def test_agreement_and_every_derivation(digest: str, cofactor: str) -> None:
    party = material()["p384"].certificate_file
    octets = openssl(
        *("-encrypt", "-binary", "-outform", "DER", "-aes128", "-keyid", "-recip", party),
        *("-keyopt", f"ecdh_kdf_md:{digest}", "-keyopt", f"ecdh_cofactor_mode:{cofactor}"),
    )
    assert opened(octets) == CONTENT


OAEP_HASHES = ("sha1", "sha224", "sha256", "sha384", "sha512")


@pytest.mark.oracle
@pytest.mark.parametrize(
    ("digest", "mask", "label"),
    [(digest, digest, "") for digest in OAEP_HASHES]
    + [("sha256", "sha1", ""), ("sha1", "sha512", ""), ("sha256", "sha256", "6c6162656c")],
)
def test_every_oaep(digest: str, mask: str, label: str) -> None:
    options = ["rsa_padding_mode:oaep", f"rsa_oaep_md:{digest}", f"rsa_mgf1_md:{mask}"]
    options += [f"rsa_oaep_label:{label}"] if label else []
    party = material()["rsa"].certificate_file
    arguments = [word for option in options for word in ("-keyopt", option)]
    octets = openssl("-encrypt", "-binary", "-outform", "DER", "-aes128", "-recip", party, *arguments)
    assert opened(octets) == CONTENT


@pytest.mark.oracle
@pytest.mark.parametrize("length", SECRETS)
def test_every_key_encryption_key(length: int) -> None:
    secret = SECRETS[length]
    octets = openssl(
        *("-encrypt", "-binary", "-outform", "DER", "-aes256"),
        *("-secretkey", secret.hex(), "-secretkeyid", secret[:4].hex()),
    )
    assert opened(octets) == CONTENT


@pytest.mark.oracle
def test_an_envelope_for_many() -> None:
    parties = [material()[who].certificate_file for who in ("p256", "rsa", "p521")]
    assert opened(openssl("-encrypt", "-binary", "-outform", "DER", "-aes128", *parties)) == CONTENT


def der(tag: int, *parts: bytes) -> bytes:
    return ber.encode(tag, b"".join(parts))


def oid(text: str) -> bytes:
    first, second, *arcs = map(int, text.split("."))
    octets = b""
    for arc in (40 * first + second, *arcs):
        part = bytes((arc & 0x7F,))
        while arc := arc >> 7:
            part = bytes((arc & 0x7F | 0x80,)) + part
        octets += part
    return der(ber.OBJECT_IDENTIFIER, octets)


def x25519_originator(public: x25519.X25519PublicKey | x448.X448PublicKey) -> bytes:
    name = "1.3.101.110" if isinstance(public, x25519.X25519PublicKey) else "1.3.101.111"
    return der(0xA1, der(0x30, oid(name)), der(0x03, b"\0", public.public_bytes_raw()))


AES_WRAPS = {"2.16.840.1.101.3.4.1.5": 16, "2.16.840.1.101.3.4.1.25": 24, "2.16.840.1.101.3.4.1.45": 32}


def agreed(
    scheme: str,
    derive: Callable[[bytes, bytes, int], bytes],
    aes_wrap: str,
    material_: bytes,
    who: str,
    key: bytes,
) -> Recipient:
    """A recipient by RFC 8418, or by RFC 5753 for an elliptic curve."""
    party = material()[who]
    private = party.key
    if isinstance(private, x25519.X25519PrivateKey):
        ephemeral = x25519.X25519PrivateKey.generate()
        secret, originator = (
            ephemeral.exchange(private.public_key()),
            x25519_originator(ephemeral.public_key()),
        )
    else:
        assert isinstance(private, x448.X448PrivateKey)
        other = x448.X448PrivateKey.generate()
        secret, originator = other.exchange(private.public_key()), x25519_originator(other.public_key())
    info = der(
        0x30,
        der(0x30, oid(aes_wrap)),
        der(0xA0, der(0x04, material_)) if material_ else b"",
        der(0xA2, der(0x04, (8 * AES_WRAPS[aes_wrap]).to_bytes(4, "big"))),
    )
    wrapped = keywrap.aes_key_wrap(derive(secret, info, AES_WRAPS[aes_wrap]), key)
    return Recipient(
        "kari",
        wrapped,
        Algorithm(scheme, der(0x30, oid(aes_wrap))),
        party.certificate.issuer.public_bytes(),
        party.certificate.serial_number,
        originator=originator,
        user_keying_material=material_,
    )


def x963(kind: type[hashes.HashAlgorithm]) -> Callable[[bytes, bytes, int], bytes]:
    return lambda secret, info, length: X963KDF(kind(), length, info).derive(secret)


def hkdf(kind: type[hashes.HashAlgorithm], salt: bytes = b"") -> Callable[[bytes, bytes, int], bytes]:
    return lambda secret, info, length: HKDF(kind(), length, salt or None, info).derive(secret)


UKM = b"user keying material"
DERIVATIONS = [
    ("1.3.133.16.840.63.0.2", x963(hashes.SHA1), UKM),
    ("1.3.132.1.11.0", x963(hashes.SHA224), b""),
    ("1.3.132.1.11.1", x963(hashes.SHA256), UKM),
    ("1.3.132.1.11.2", x963(hashes.SHA384), b""),
    ("1.3.132.1.11.3", x963(hashes.SHA512), b""),
    ("1.3.132.1.14.1", x963(hashes.SHA256), b""),
    ("1.2.840.113549.1.9.16.3.19", hkdf(hashes.SHA256), b""),
    ("1.2.840.113549.1.9.16.3.19", hkdf(hashes.SHA256, UKM), UKM),
    ("1.2.840.113549.1.9.16.3.19", hkdf(hashes.SHA256), UKM),
    ("1.2.840.113549.1.9.16.3.20", hkdf(hashes.SHA384, UKM), UKM),
    ("1.2.840.113549.1.9.16.3.21", hkdf(hashes.SHA512), b""),
]


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
    wrapped = rsa_wrapped(bytes(16))
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
            der(0x02, _integer(sender.certificate.serial_number)),
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


def _integer(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 8) // 8, "big", signed=True)


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
    envelope = content.parse(encrypted("-aes128"))
    assert isinstance(envelope, EnvelopedData)
    right = envelope.recipients[0]
    decoys = (transported(b"\1" + os.urandom(255)), right)
    answer = keys().unwrap(UnwrapRequest(decoys, 16))
    assert answer.key is not None
    assert confidentiality.decrypt(envelope, answer.key, *answer.further) == CONTENT


def test_too_many_recipients_that_name_held_keys_are_a_limit() -> None:
    envelope = content.parse(encrypted("-aes128"))
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
