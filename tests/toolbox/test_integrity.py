"""Signatures that hold, and what attackers make of them."""

import random
from functools import cache

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
from hypothesis import given, settings
from hypothesis import strategies as st
from smime_material import CONTENT, corpus, issue, loosen, material, openssl

from monitor.cms import ber, content
from monitor.cms.enveloped import Algorithm
from monitor.cms.error import CmsError
from monitor.cms.signed import SignedData, SignerInfo
from monitor.exceptions import ExceptionName
from monitor.toolbox.tools.integrity import Certificates, SignatureStatus, SignerResult, verify

VALID, INVALID = SignatureStatus.VALID, SignatureStatus.INVALID
SHA256 = Algorithm("2.16.840.1.101.3.4.2.1")


@cache
def signed(who: str, *options: str) -> SignedData:
    parsed = content.parse(signature(who, *options))
    assert isinstance(parsed, SignedData)
    return parsed


@cache
def signature(who: str, *options: str) -> bytes:
    party = material()[who]
    return openssl(
        *("-sign", "-binary", "-outform", "DER", *options),
        *("-signer", party.certificate_file, "-inkey", party.key_file),
    )


def single(data: SignedData, octets: bytes | None = None, known: Certificates | None = None) -> SignerResult:
    (result,) = verify(data, octets, known or Certificates(()))
    return result


RSA_OPTIONS = [("-md", name) for name in ("sha1", "sha224", "sha256", "sha384", "sha512")]
PSS = ("-keyopt", "rsa_padding_mode:pss")


@pytest.mark.oracle
@pytest.mark.parametrize("attributes", [(), ("-noattr",), ("-keyid",), ("-cades",), ("-stream",)])
@pytest.mark.parametrize("digest", RSA_OPTIONS)
@pytest.mark.parametrize("who", ["rsa", "p256", "p521"])
def test_what_openssl_signs(who: str, digest: tuple[str, str], attributes: tuple[str, ...]) -> None:
    result = single(signed(who, "-nodetach", *digest, *attributes))
    assert result.status == VALID, result.detail
    assert result.certificate == material()[who].der
    assert result.digest == digest[1]
    assert result.weak == (digest[1] == "sha1")
    assert (result.signing_time is None) == ("-noattr" in attributes)


@pytest.mark.oracle
@pytest.mark.parametrize("salt", ["-1", "-2", "0", "20"])
@pytest.mark.parametrize("digest", ["sha1", "sha256", "sha512"])
def test_pss(digest: str, salt: str) -> None:
    made = openssl(
        *("-sign", "-binary", "-outform", "DER", "-nodetach", "-md", digest),
        *("-signer", material()["rsa"].certificate_file, "-inkey", material()["rsa"].key_file),
        *(*PSS, "-keyopt", f"rsa_pss_saltlen:{salt}"),
    )
    parsed = content.parse(made)
    assert isinstance(parsed, SignedData)
    assert single(parsed).status == VALID


@pytest.mark.oracle
def test_several_signers() -> None:
    first, second = material()["rsa"], material()["p384"]
    made = openssl(
        *("-sign", "-binary", "-outform", "DER", "-nodetach"),
        *("-signer", first.certificate_file, "-inkey", first.key_file),
        *("-signer", second.certificate_file, "-inkey", second.key_file),
    )
    parsed = content.parse(made)
    assert isinstance(parsed, SignedData)
    results = verify(parsed)
    assert [result.status for result in results] == [VALID, VALID]
    assert {result.certificate for result in results} == {first.der, second.der}


def test_nobody_signed() -> None:
    assert verify(SignedData(content.DATA, CONTENT, ())) == ()


def test_detached_content() -> None:
    data = signed("rsa")
    assert data.content is None
    assert single(data, CONTENT).status == VALID
    assert single(data, CONTENT + b" ").status == INVALID
    assert single(data).status == INVALID


def test_content_within_and_without_must_agree() -> None:
    data = signed("rsa", "-nodetach")
    assert single(data, CONTENT).status == VALID
    with pytest.raises(CmsError) as caught:
        verify(data, b"other")
    assert caught.value.name == ExceptionName.AMBIGUOUS


@pytest.mark.parametrize("who", ["rsa", "p256"])
@pytest.mark.parametrize("options", [("-nodetach",), ("-nodetach", "-noattr")])
def test_changed_content_and_signature(who: str, options: tuple[str, ...]) -> None:
    data = signed(who, *options)
    signer = data.signers[0]
    other = SignedData(data.content_type, CONTENT + b"!", data.signers, data.certificates)
    assert single(other).status == INVALID
    wrong = signer.signature[:-1] + bytes((signer.signature[-1] ^ 1,))
    assert single(resigned(data, signature=wrong)).status == INVALID
    assert single(resigned(data, signature=b"")).status == INVALID


def resigned(data: SignedData, **changes: object) -> SignedData:
    """The same with a changed signer."""
    signer = data.signers[0]
    fields = {name: getattr(signer, name) for name in SignerInfo.__slots__} | changes
    return SignedData(data.content_type, data.content, (SignerInfo(**fields),), data.certificates)


def test_the_certificate_may_be_known() -> None:
    data = signed("rsa", "-nodetach", "-nocerts")
    assert data.certificates == ()
    assert single(data).status == SignatureStatus.NO_CERTIFICATE
    known = Certificates([b"nonsense", material()["p256"].der, material()["rsa"].der])
    assert single(data, known=known).status == VALID
    by_key = signed("rsa", "-nodetach", "-nocerts", "-keyid")
    assert single(by_key, known=known).status == VALID


def test_another_certificate_of_the_same_name_does_not_help() -> None:
    """Of two certificates with the signer's identifier the one that fits is found; alone, the other fails."""
    data = signed("rsa", "-nodetach")
    authority = material().authority.key
    assert isinstance(authority, ec.EllipticCurvePrivateKey)
    serial = material()["rsa"].certificate.serial_number
    public = ec.generate_private_key(ec.SECP256R1()).public_key()
    twin = issue("evil", public, "Test CA", authority, serial=serial).public_bytes(serialization.Encoding.DER)
    with_both = SignedData(data.content_type, data.content, data.signers, (twin, *data.certificates))
    assert single(with_both).status == VALID
    assert single(with_both).certificate == material()["rsa"].der
    alone = SignedData(data.content_type, data.content, data.signers, (twin,))
    assert single(alone).status == INVALID


def test_a_key_that_takes_long_to_check_with_is_not_used() -> None:
    """Who signs chooses the exponent; one as long as the modulus is as slow as a private key."""
    data = signed("rsa", "-nodetach")
    authority, party = material().authority.key, material()["rsa"]
    assert isinstance(authority, ec.EllipticCurvePrivateKey)
    assert isinstance(party.key, rsa.RSAPrivateKey)
    modulus, serial = party.key.public_key().public_numbers().n, party.certificate.serial_number
    for exponent, status in (
        ((1 << 33) - 1, INVALID),
        ((1 << 33) + 1, SignatureStatus.UNSUPPORTED),
        (modulus - 2, SignatureStatus.UNSUPPORTED),
    ):
        public = rsa.RSAPublicNumbers(exponent, modulus).public_key()
        slow = issue("rsa", public, "Test CA", authority, serial=serial)
        encoded = slow.public_bytes(serialization.Encoding.DER)
        assert single(SignedData(data.content_type, data.content, data.signers, (encoded,))).status == status


def test_a_signature_means_one_certificate() -> None:
    """The same key in another certificate, where the signer said which one it means (RFC 5035)."""
    data = signed("rsa", "-nodetach", "-cades")
    authority, party = material().authority.key, material()["rsa"]
    assert isinstance(authority, ec.EllipticCurvePrivateKey)
    assert isinstance(party.key, rsa.RSAPrivateKey)
    twin = issue("rsa", party.key.public_key(), "Test CA", authority, serial=party.certificate.serial_number)
    encoded = twin.public_bytes(serialization.Encoding.DER)
    swapped = SignedData(data.content_type, data.content, data.signers, (encoded,))
    assert single(swapped).status == INVALID
    assert "another certificate" in single(swapped).detail
    without = signed("rsa", "-nodetach")
    assert single(SignedData(without.content_type, CONTENT, without.signers, (encoded,))).status == VALID


def test_attributes_as_content_are_refused() -> None:
    """A signature over attributes is no signature over content that looks the same."""
    data = signed("rsa", "-nodetach")
    attributes = data.signers[0].signed_attributes
    forged = resigned(
        SignedData(content.DATA, attributes, data.signers, data.certificates), signed_attributes=b""
    )
    result = single(forged)
    assert result.status == INVALID
    assert "signed attributes" in result.detail


def attribute(kind: str, *values: bytes) -> bytes:
    names = {"type": "2a864886f70d010903", "digest": "2a864886f70d010904"}
    name = ber.encode(ber.OBJECT_IDENTIFIER, bytes.fromhex(names[kind]))
    return ber.encode(ber.SEQUENCE, name + ber.encode(ber.SET, b"".join(values)))


def made(attributes: list[bytes], content_type: str = content.DATA, *, sort: bool = True) -> SignedData:
    """Signed by the RSA party, with any attributes."""
    key = material()["rsa"].key
    assert isinstance(key, rsa.RSAPrivateKey)
    encoded = ber.encode(ber.SET, b"".join(attributes)) if attributes else b""
    message = ber.der(encoded, sort=sort) if attributes else CONTENT
    signer = SignerInfo(
        SHA256,
        Algorithm("1.2.840.113549.1.1.11"),
        key.sign(message, padding.PKCS1v15(), hashes.SHA256()),
        material()["rsa"].certificate.issuer.public_bytes(),
        material()["rsa"].certificate.serial_number,
        signed_attributes=encoded,
    )
    return SignedData(content_type, CONTENT, (signer,), (material()["rsa"].der,))


DATA_TYPE = bytes.fromhex("06092a864886f70d010701")
SIGNED_TYPE = bytes.fromhex("06092a864886f70d010702")


def digest_of(octets: bytes) -> bytes:
    context = hashes.Hash(hashes.SHA256())
    context.update(octets)
    return ber.encode(ber.OCTET_STRING, context.finalize())


TYPE, DIGEST = attribute("type", DATA_TYPE), attribute("digest", digest_of(CONTENT))


@pytest.mark.parametrize("attributes", [[TYPE, DIGEST], [DIGEST, TYPE]])
@pytest.mark.parametrize("sort", [True, False])
def test_attributes_in_any_order(attributes: list[bytes], sort: bool) -> None:
    assert single(made(attributes, sort=sort)).status == VALID


@pytest.mark.parametrize(
    "attributes",
    [
        [TYPE],
        [DIGEST],
        [TYPE, DIGEST, DIGEST],
        [TYPE, TYPE, DIGEST],
        [TYPE, attribute("digest", digest_of(b"other"), digest_of(CONTENT))],
        [TYPE, attribute("digest")],
        [attribute("type", DATA_TYPE, SIGNED_TYPE), DIGEST],
        [attribute("type", SIGNED_TYPE), DIGEST],
        [TYPE, attribute("digest", digest_of(b"other"))],
        [TYPE, DIGEST, b"\x30\x00"],
    ],
)
def test_wrong_attributes_are_invalid_however_well_they_are_signed(attributes: list[bytes]) -> None:
    assert single(made(attributes)).status == INVALID


def test_other_content_needs_attributes() -> None:
    """RFC 5652 §5.3: signedAttrs must be there where the content is not data."""
    assert single(made([], content.SIGNED_DATA)).status == INVALID
    assert single(made([])).status == VALID
    assert single(made([attribute("type", SIGNED_TYPE), DIGEST], content.SIGNED_DATA)).status == VALID


def test_the_digest_and_the_signature_must_agree() -> None:
    sha512 = Algorithm("1.2.840.113549.1.1.13")
    assert single(resigned(made([TYPE, DIGEST]), algorithm=sha512)).status == INVALID
    sha1 = Algorithm("1.3.14.3.2.26")
    assert single(resigned(made([TYPE, DIGEST]), digest=sha1)).status == INVALID


@pytest.mark.parametrize(
    "changes",
    [{"digest": Algorithm("1.2.840.113549.2.5")}, {"algorithm": Algorithm("1.2.3")}],
)
def test_unknown_algorithms(changes: dict[str, Algorithm]) -> None:
    assert single(resigned(made([TYPE, DIGEST]), **changes)).status == SignatureStatus.UNSUPPORTED


def test_the_wrong_kind_of_key() -> None:
    assert (
        single(resigned(made([TYPE, DIGEST]), algorithm=Algorithm("1.2.840.10045.4.3.2"))).status == INVALID
    )


@pytest.mark.parametrize(
    ("who", "algorithm", "digest"),
    [
        ("ed25519", "1.3.101.112", Algorithm("2.16.840.1.101.3.4.2.3")),
        ("ed448", "1.3.101.113", Algorithm("2.16.840.1.101.3.4.2.12")),
    ],
)
@pytest.mark.parametrize("with_attributes", [True, False])
def test_edwards_curves(who: str, algorithm: str, digest: Algorithm, with_attributes: bool) -> None:
    party = material()[who]
    assert isinstance(party.key, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey)
    context = hashes.Hash(hashes.SHA512() if who == "ed25519" else hashes.SHAKE256(64))
    context.update(CONTENT)
    digested = attribute("digest", ber.encode(ber.OCTET_STRING, context.finalize()))
    encoded = ber.encode(ber.SET, TYPE + digested) if with_attributes else b""
    signer = SignerInfo(
        digest,
        Algorithm(algorithm),
        party.key.sign(encoded or CONTENT),
        party.certificate.issuer.public_bytes(),
        party.certificate.serial_number,
        signed_attributes=encoded,
    )
    data = SignedData(content.DATA, CONTENT, (signer,), (party.der,))
    assert single(data).status == VALID
    assert single(resigned(data, signature=bytes(64))).status == INVALID


@settings(max_examples=50)
@given(st.integers(0, 2**64))
def test_no_encoding_breaks_a_signature(seed: int) -> None:
    octets = loosen(signature("p256", "-nodetach"), random.Random(seed))
    parsed = content.parse(octets)
    assert isinstance(parsed, SignedData)
    result = single(parsed, known=Certificates([material()["p256"].der]))
    assert result.status in (VALID, SignatureStatus.UNSUPPORTED)


@settings(max_examples=200)
@given(st.data())
def test_a_changed_message_is_never_valid_with_other_content(data: st.DataObject) -> None:
    octets = bytearray(signature("p256", "-nodetach"))
    for _ in range(data.draw(st.integers(1, 3))):
        octets[data.draw(st.integers(0, len(octets) - 1))] = data.draw(st.integers(0, 255))
    try:
        parsed = content.parse(bytes(octets))
        if isinstance(parsed, SignedData):
            for result in verify(parsed):
                assert result.status != VALID or parsed.content == CONTENT
    except CmsError:
        pass


RFC4134 = {
    "4.1.bin": [VALID],
    "4.2.bin": [VALID],
    "4.3.bin": [VALID],
    "4.4.bin": [VALID],
    "4.5.bin": [VALID],
    "4.6.bin": [VALID, SignatureStatus.UNSUPPORTED],  # the parameters of the second key are inherited
    "4.7.bin": [VALID],
    "4.10.bin": [VALID],
}


@pytest.mark.parametrize(("file", "expected"), RFC4134.items())
def test_the_examples_of_rfc_4134(file: str, expected: list[SignatureStatus]) -> None:
    folder = corpus("smime", "rfc4134")
    parsed = content.parse((folder / file).read_bytes())
    assert isinstance(parsed, SignedData)
    known = Certificates(path.read_bytes() for path in sorted(folder.glob("*.cer")))
    octets = (folder / "ExContent.bin").read_bytes() if parsed.content is None else None
    results = verify(parsed, octets, known)
    assert [result.status for result in results] == expected, results
    assert all(result.weak for result in results)


@pytest.mark.parametrize("file", ["no_md_attr.cms", "no_ct_attr.cms", "ct_multiple_attr.cms"])
def test_what_openssl_holds_malformed_is_never_valid(file: str) -> None:
    octets = corpus("smime", "openssl", "80-test_cms_data", file).read_bytes()
    if b"-----BEGIN" not in octets and b"\n\n" in octets.replace(b"\r\n", b"\n")[:2000]:
        octets = octets.replace(b"\r\n", b"\n").partition(b"\n\n")[2]
    parsed = content.parse(octets)
    assert isinstance(parsed, SignedData)
    assert all(result.status == INVALID for result in verify(parsed))
