"""CMS as programs write it and as attackers rewrite it."""

import base64
import contextlib
import random
from functools import cache
from pathlib import Path

import pytest
from asn1crypto import cms as oracle
from hypothesis import given, settings
from hypothesis import strategies as st
from smime_material import CONTENT, corpus, loosen, material, openssl

from monitor.cms import ber, content, enveloped
from monitor.cms.content import CompressedData, Data
from monitor.cms.enveloped import EnvelopedData, Recipient
from monitor.cms.error import CmsError
from monitor.cms.signed import SignedData, attributes
from monitor.exceptions import ExceptionName


@cache
def envelope(*options: str) -> bytes:
    """An envelope for the RSA party."""
    party = material()["rsa"].certificate_file
    return openssl("-encrypt", "-binary", "-outform", "DER", *(options or ("-aes128",)), party)


@cache
def signed(*options: str) -> bytes:
    party = material()["rsa"]
    return openssl(
        "-sign",
        "-binary",
        "-outform",
        "DER",
        *options,
        "-signer",
        party.certificate_file,
        "-inkey",
        party.key_file,
    )


def parse_envelope(octets: bytes) -> EnvelopedData:
    parsed = content.parse(octets)
    assert isinstance(parsed, EnvelopedData)
    return parsed


def parse_signed(octets: bytes) -> SignedData:
    parsed = content.parse(octets)
    assert isinstance(parsed, SignedData)
    return parsed


def refused(octets: bytes) -> ExceptionName:
    with pytest.raises(CmsError) as caught:
        content.parse(octets)
    return caught.value.name


@pytest.mark.oracle
@pytest.mark.parametrize("options", [("-aes128",), ("-aes256", "-stream"), ("-des3", "-keyid")])
def test_envelopes_are_read_as_asn1crypto_reads_them(options: tuple[str, ...]) -> None:
    octets = envelope(*options)
    parsed = parse_envelope(octets)
    expected = oracle.ContentInfo.load(octets)["content"]
    info = expected["encrypted_content_info"]
    assert parsed.encrypted_content == info["encrypted_content"].native
    assert parsed.algorithm.oid == info["content_encryption_algorithm"]["algorithm"].dotted
    assert parsed.content_type == content.DATA
    (recipient,) = parsed.recipients
    other = expected["recipient_infos"][0].chosen
    assert recipient.encrypted_key == other["encrypted_key"].native
    assert recipient.algorithm.oid == "1.2.840.113549.1.1.1"
    identifier = other["rid"].chosen
    if "-keyid" in options:
        assert recipient.key_identifier == identifier.native
    else:
        assert recipient.issuer == identifier["issuer"].dump()
        assert recipient.serial == identifier["serial_number"].native


@pytest.mark.oracle
@pytest.mark.parametrize("options", [("-nodetach",), ("-nodetach", "-stream"), (), ("-nodetach", "-keyid")])
def test_signed_data_is_read_as_asn1crypto_reads_it(options: tuple[str, ...]) -> None:
    octets = signed(*options)
    parsed = parse_signed(octets)
    expected = oracle.ContentInfo.load(octets)["content"]
    assert parsed.content == (CONTENT if "-nodetach" in options else None)
    assert parsed.certificates == tuple(one.chosen.dump() for one in expected["certificates"])
    (signer,) = parsed.signers
    other = expected["signer_infos"][0]
    assert signer.signature == other["signature"].native
    assert signer.signed_attributes == other["signed_attrs"].untag().dump()
    assert [kind for kind, _ in attributes(signer.signed_attributes)] == [
        attribute["type"].dotted for attribute in other["signed_attrs"]
    ]


def test_authenticated_envelopes() -> None:
    parsed = parse_envelope(envelope("-aes-256-gcm"))
    assert parsed.tag is not None
    assert len(parsed.tag) == 16
    assert len(parsed.encrypted_content) == len(CONTENT)


def test_data_and_compressed_data() -> None:
    assert content.parse(openssl("-data_create", "-binary", "-outform", "DER")) == Data(CONTENT)
    octets = ber.encode(
        ber.SEQUENCE,
        bytes.fromhex("020100 300d 060b2a864886f70d0109100308")
        + ber.encode(
            ber.SEQUENCE,
            bytes.fromhex("06092a864886f70d010701")
            + ber.encode(0xA0, ber.encode(ber.OCTET_STRING, b"zipped")),
        ),
    )
    parsed = content.parse_content(content.COMPRESSED_DATA, octets)
    assert isinstance(parsed, CompressedData)
    assert (parsed.algorithm.oid, parsed.content_type) == ("1.2.840.113549.1.9.16.3.8", content.DATA)
    assert parsed.compressed == b"zipped"


@pytest.mark.parametrize("kind", [envelope, signed])
@settings(max_examples=60)
@given(st.integers(0, 2**64))
def test_no_encoding_changes_what_is_read(kind: object, seed: int) -> None:
    chance = random.Random(seed)
    octets = envelope() if kind is envelope else signed("-nodetach")
    expected, parsed = content.parse(octets), content.parse(loosen(octets, chance))
    if isinstance(expected, EnvelopedData) and isinstance(parsed, EnvelopedData):
        assert list(map(enveloped.normalise, parsed.recipients)) == list(
            map(enveloped.normalise, expected.recipients)
        )
        assert parsed.encrypted_content == expected.encrypted_content
    else:
        assert isinstance(expected, SignedData)
        assert isinstance(parsed, SignedData)
        assert parsed.content == expected.content
        assert parsed.signers[0].signature == expected.signers[0].signature
        assert parsed.signers[0].signed_attributes == expected.signers[0].signed_attributes


def test_armour_is_undone() -> None:
    octets = envelope()
    expected = content.parse(octets)
    assert content.parse(base64.encodebytes(octets)) == expected
    assert content.parse(b"\r\n" + base64.b64encode(octets)) == expected
    pem = b"-----BEGIN CMS-----\r\n" + base64.encodebytes(octets) + b"-----END CMS-----\r\n"
    assert content.parse(pem) == expected
    assert content.parse(octets + b"\0\0\r\n \t") == expected


@pytest.mark.parametrize(
    ("octets", "name"),
    [
        (b"", "malformed"),
        (b"v=0\r\n", "malformed"),
        (b"-----BEGIN CMS-----\nMIIB", "malformed"),
        (bytes.fromhex("300b06092a864886f70d010703"), "unsupported"),
        (bytes.fromhex("3011 06092a864886f70d010705 a0040402 0000"), "unsupported"),
        (bytes.fromhex("3080"), "malformed"),
    ],
)
def test_what_is_no_cms(octets: bytes, name: str) -> None:
    assert refused(octets) == name


def test_what_follows_is_ambiguous() -> None:
    assert refused(envelope() + b"x") == ExceptionName.AMBIGUOUS
    assert refused(envelope() + envelope()) == ExceptionName.AMBIGUOUS


def rebuilt(fields: list[bytes]) -> bytes:
    """A ContentInfo of EnvelopedData with these fields."""
    return ber.encode(
        ber.SEQUENCE,
        bytes.fromhex("06092a864886f70d010703")
        + ber.encode(0xA0, ber.encode(ber.SEQUENCE, b"".join(fields))),
    )


def envelope_fields(octets: bytes) -> list[bytes]:
    cursor = ber.Cursor(octets).enter(ber.SEQUENCE)
    cursor.element()
    inner = cursor.enter(0xA0).enter(ber.SEQUENCE)
    fields = []
    while inner.at < inner.end:
        fields.append(inner.element())
    return fields


def test_fields_that_nobody_knows_are_ambiguous() -> None:
    version, recipients, encrypted = envelope_fields(envelope())
    assert refused(rebuilt([version, recipients, encrypted, b"\x04\x00"])) == ExceptionName.AMBIGUOUS
    unknown = ber.encode(ber.SET, recipients[4:] + bytes.fromhex("a500"))
    assert refused(rebuilt([version, unknown, encrypted])) == ExceptionName.AMBIGUOUS


def test_unprotected_attributes_and_originator_info_are_passed_over() -> None:
    version, recipients, encrypted = envelope_fields(envelope())
    octets = rebuilt([version, b"\xa0\x00", recipients, encrypted, b"\xa1\x00"])
    assert content.parse(octets) == content.parse(envelope())


def test_recipients_are_bounded() -> None:
    version, recipients, encrypted = envelope_fields(envelope())
    one = ber.Cursor(recipients).enter(ber.SET).element()
    crowd = ber.encode(ber.SET, one * (enveloped.MAX_RECIPIENTS + 1))
    assert refused(rebuilt([version, crowd, encrypted])) == ExceptionName.LIMIT
    crowd = ber.encode(ber.SET, one * enveloped.MAX_RECIPIENTS)
    assert len(parse_envelope(rebuilt([version, crowd, encrypted])).recipients) == enveloped.MAX_RECIPIENTS


def test_detached_content_is_empty() -> None:
    version, recipients, _ = envelope_fields(envelope())
    bare = bytes.fromhex("301a 06092a864886f70d010701 300d 0609608648016503040102 0400".replace(" ", ""))
    assert parse_envelope(rebuilt([version, recipients, bare])).encrypted_content == b""


def test_passwords_and_other_recipients_are_kept() -> None:
    version, _, encrypted = envelope_fields(envelope())
    password = ber.encode(0xA3, bytes.fromhex("020100 300b 06092a864886f70d010109 0402beef".replace(" ", "")))
    other = ber.encode(0xA4, bytes.fromhex("06022a03 3003 040101".replace(" ", "")))
    parsed = parse_envelope(rebuilt([version, ber.encode(ber.SET, password + other), encrypted]))
    assert [(one.kind, one.encrypted_key.hex()) for one in parsed.recipients] == [
        ("pwri", "beef"),
        ("ori", "3003040101"),
    ]
    loose = ber.encode(0xA4, bytes.fromhex("06022a03 3080 2480 040101 0000 0000".replace(" ", "")))
    again = parse_envelope(rebuilt([version, ber.encode(ber.SET, loose), encrypted]))
    assert again.recipients[0].encrypted_key.hex() == "3003040101"


def test_one_agreement_for_several_recipients() -> None:
    names = ("p256", "p384")
    parties = [material()[who].certificate_file for who in names]
    octets = openssl("-encrypt", "-binary", "-outform", "DER", "-aes128", *parties)
    recipients = parse_envelope(octets).recipients
    assert [one.kind for one in recipients] == ["kari", "kari"]
    assert [one.serial for one in recipients] == [material()[who].certificate.serial_number for who in names]
    assert all(one.originator for one in recipients)


def recipient(octets: bytes) -> Recipient:
    return Recipient("ktri", octets, enveloped.Algorithm("1.2.840.113549.1.1.1"))


def test_an_rsa_ciphertext_is_a_number() -> None:
    modulus = 0xC3 << 8 | 0x57
    assert enveloped.normalise(recipient(b"\x12\x34")) == b"\x12\x34"
    assert enveloped.normalise(recipient(b"\0\0\x12\x34")) == b"\x12\x34"
    more = (0x1234 + 3 * modulus).to_bytes(4, "big")
    assert enveloped.normalise(recipient(more), modulus) == b"\x12\x34"
    assert enveloped.normalise(recipient(b"\xc3\x56"), modulus) == b"\xc3\x56"
    assert enveloped.normalise(recipient(b""), modulus) == b""


def test_other_wrapped_keys_are_taken_as_they_are() -> None:
    wrapped = Recipient("kari", b"\0\x12", enveloped.Algorithm("1.3.132.1.11.1"))
    assert enveloped.normalise(wrapped) == b"\0\x12"


@settings(max_examples=300)
@given(st.data())
def test_changed_cms_decodes_or_raises_the_one_error(data: st.DataObject) -> None:
    sources = [
        envelope(),
        envelope("-aes256", "-stream"),
        envelope("-aes-256-gcm"),
        signed("-nodetach"),
        signed(),
    ]
    octets = bytearray(data.draw(st.sampled_from(sources)))
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, min(len(octets) - 1, 400)))
        if data.draw(st.booleans()):
            octets[at] = data.draw(st.integers(0, 255))
        else:
            del octets[at]
    with contextlib.suppress(CmsError):
        content.parse(bytes(octets))


FILES = {
    "cryptography_vectors/enveloped.pem": "EnvelopedData",
    "cryptography_vectors/enveloped-rsa-oaep.pem": "EnvelopedData",
    "cryptography_vectors/enveloped-triple-des.pem": "EnvelopedData",
    "cryptography_vectors/enveloped-no-content.der": "EnvelopedData",
    "cryptography_vectors/amazon-roots.der": "SignedData",
    "cryptography_vectors/amazon-roots.p7b": "SignedData",
    "cryptography_vectors/isrg.pem": "SignedData",
    "cryptography_vectors/authenticode.der": "SignedData",
    "openssl/80-test_cms_data/ciphertext_from_1_1_1.cms": "EnvelopedData",
    "openssl/80-test_cms_data/rsa-malformed.der": "EnvelopedData",
    "openssl/80-test_cms_data/dh-malformed.der": "EnvelopedData",
    "openssl/80-test_cms_data/ecdh-malformed.der": "EnvelopedData",
    "openssl/cms-msg/missing-kdf.der": "EnvelopedData",
    "openssl/cms-msg/enveloped-content-type-for-aes-gcm.pem": "EnvelopedData",
    "openssl/80-test_cms_data/no_md_attr.cms": "SignedData",
    "openssl/80-test_cms_data/no_ct_attr.cms": "SignedData",
    "openssl/80-test_cms_data/ct_multiple_attr.cms": "SignedData",
    "openssl/80-test_cms_data/bad_signtime_attr.cms": "SignedData",
    "openssl/80-test_cms_data/pkcs7-md4.pem": "SignedData",
    "rfc4134/3.1.bin": "Data",
    "rfc4134/4.1.bin": "SignedData",
    "rfc4134/4.2.bin": "SignedData",
    "rfc4134/4.3.bin": "SignedData",
    "rfc4134/4.4.bin": "SignedData",
    "rfc4134/4.5.bin": "SignedData",
    "rfc4134/4.6.bin": "SignedData",
    "rfc4134/4.7.bin": "SignedData",
    "rfc4134/4.10.bin": "SignedData",
    "rfc4134/4.11.bin": "SignedData",
    "rfc4134/5.1.bin": "EnvelopedData",
    "rfc4134/5.2.bin": "EnvelopedData",
    "rfc4134/6.0.bin": "unsupported",
    "rfc4134/7.1.bin": "unsupported",
    "rfc4134/7.2.bin": "unsupported",
}


def octets_of(file: Path) -> bytes:
    octets = file.read_bytes()
    if b"MIME-Version" in octets[:200]:
        octets = octets.replace(b"\r\n", b"\n").partition(b"\n\n")[2]
    return octets


@pytest.mark.parametrize(("file", "expected"), FILES.items())
def test_third_party_files(file: str, expected: str) -> None:
    octets = octets_of(corpus("smime", file))
    if expected == "unsupported":
        assert refused(octets) == expected
    else:
        assert type(content.parse(octets)).__name__ == expected
