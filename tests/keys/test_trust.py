"""Chains to the trust store, and a clear word where there is none."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID
from smime_material import AUTHORITY, BEGIN, NOW, issue, material, name

from monitor.keys import trust as pki
from monitor.keys.certificate import UNREADABLE
from monitor.keys.error import KeyStoreError
from monitor.keys.trust import Trust, TrustStore

ROOT, MIDDLE, LEAF = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))
ROOT_CERTIFICATE = issue("root", ROOT.public_key(), "root", ROOT, [AUTHORITY])
MIDDLE_CERTIFICATE = issue("middle", MIDDLE.public_key(), "root", ROOT, [AUTHORITY])
SECOND = 10**9
Extensions = list[tuple[x509.ExtensionType, bool]]


def leaf(
    extensions: Extensions | None = None,
    *,
    issuer: str = "root",
    serial: int = 77,
    end: datetime | None = None,
) -> x509.Certificate:
    key = ROOT if issuer == "root" else MIDDLE
    return issue(
        "leaf",
        LEAF.public_key(),
        issuer,
        key,
        extensions or [],
        serial=serial,
        end=end or BEGIN.replace(year=2033),
    )


def der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.DER)


def usage(*, sign: bool = False, encipher: bool = False, commit: bool = False) -> x509.KeyUsage:
    no = False
    return x509.KeyUsage(sign, commit, encipher, no, no, no, no, no, no)


def crl(
    *serials: int, key: ec.EllipticCurvePrivateKey = ROOT, since: datetime = BEGIN
) -> x509.CertificateRevocationList:
    builder = x509.CertificateRevocationListBuilder().issuer_name(name("root"))
    builder = builder.last_update(BEGIN).next_update(BEGIN + timedelta(days=30))
    for serial in serials:
        revoked = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(since)
        builder = builder.add_revoked_certificate(revoked.build())
    return builder.sign(key, hashes.SHA256())


def test_a_chain() -> None:
    store = TrustStore([ROOT_CERTIFICATE])
    signer = leaf()
    standing = store.verify(signer, NOW)
    assert standing.trust == Trust.TRUSTED
    assert standing.chain == (signer, ROOT_CERTIFICATE)


def test_a_chain_with_what_came_along() -> None:
    store = TrustStore([ROOT_CERTIFICATE])
    below = leaf(issuer="middle")
    assert store.verify(below, NOW).trust == Trust.UNTRUSTED
    assert store.verify(below, NOW, [b"nonsense", der(MIDDLE_CERTIFICATE)]).trust == Trust.TRUSTED
    assert store.verify(below, NOW).trust == Trust.TRUSTED, "it is remembered"


def test_self_signed_gets_a_word_of_its_own() -> None:
    store = TrustStore([ROOT_CERTIFICATE])
    alone = issue("leaf", LEAF.public_key(), "leaf", LEAF)
    assert store.verify(alone, NOW).trust == Trust.SELF_SIGNED
    assert TrustStore([alone]).verify(alone, NOW).trust == Trust.TRUSTED
    assert TrustStore([]).verify(alone, NOW).trust == Trust.SELF_SIGNED
    claimed = issue("leaf", LEAF.public_key(), "leaf", MIDDLE)
    assert store.verify(claimed, NOW).trust == Trust.UNTRUSTED


def test_the_time_is_the_packets() -> None:
    store = TrustStore([ROOT_CERTIFICATE])
    end = datetime(2026, 1, 1, tzinfo=UTC)
    short = leaf(end=end)
    moment = int(end.timestamp()) * SECOND
    for _ in range(2):
        assert store.verify(short, moment).trust == Trust.TRUSTED
        assert store.verify(short, moment + SECOND).trust == Trust.OUT_OF_DATE
        assert store.verify(short, int(BEGIN.timestamp()) * SECOND - SECOND).trust == Trust.OUT_OF_DATE


@pytest.mark.parametrize("time", [0, -1, 2**63, 2**64 * SECOND])
def test_any_time_has_an_answer(time: int) -> None:
    assert TrustStore([ROOT_CERTIFICATE]).verify(leaf(), time).trust == Trust.OUT_OF_DATE


def test_an_issuer_out_of_date() -> None:
    old = issue("root", ROOT.public_key(), "root", ROOT, [AUTHORITY], end=datetime(2025, 1, 1, tzinfo=UTC))
    assert TrustStore([old]).verify(leaf(), NOW).trust == Trust.UNTRUSTED


@pytest.mark.parametrize(
    "extensions",
    [
        [],
        [(x509.BasicConstraints(ca=False, path_length=None), True)],
        [AUTHORITY, (usage(sign=True), True)],
    ],
)
def test_who_is_no_authority_issues_nothing(extensions: Extensions) -> None:
    middle = issue("middle", MIDDLE.public_key(), "root", ROOT, extensions)
    below = leaf(issuer="middle")
    assert TrustStore([ROOT_CERTIFICATE]).verify(below, NOW, [der(middle)]).trust == Trust.UNTRUSTED


def test_the_length_of_the_path() -> None:
    root = issue(
        "root", ROOT.public_key(), "root", ROOT, [(x509.BasicConstraints(ca=True, path_length=0), True)]
    )
    store = TrustStore([root])
    assert store.verify(leaf(), NOW).trust == Trust.TRUSTED
    assert store.verify(leaf(issuer="middle"), NOW, [der(MIDDLE_CERTIFICATE)]).trust == Trust.UNTRUSTED


@pytest.mark.parametrize(
    ("extensions", "expected"),
    [
        ([(usage(sign=True), True)], Trust.TRUSTED),
        ([(usage(commit=True), True)], Trust.TRUSTED),
        ([(usage(encipher=True), True)], Trust.UNFIT),
        ([(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), False)], Trust.TRUSTED),
        ([(x509.ExtendedKeyUsage([x509.ObjectIdentifier("1.3.6.1.5.5.7.3.20")]), False)], Trust.TRUSTED),
        ([(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False)], Trust.UNFIT),
        (
            [(x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00"), True)],
            Trust.UNTRUSTED,
        ),
    ],
)
def test_key_usage(extensions: Extensions, expected: Trust) -> None:
    assert TrustStore([ROOT_CERTIFICATE]).verify(leaf(extensions), NOW).trust == expected


def test_name_constraints() -> None:
    constraints = x509.NameConstraints([x509.RFC822Name("example.org")], None)
    root = issue("root", ROOT.public_key(), "root", ROOT, [AUTHORITY, (constraints, True)])
    for mail, expected in (("a@example.org", Trust.TRUSTED), ("a@example.net", Trust.UNTRUSTED)):
        named = leaf([(x509.SubjectAlternativeName([x509.RFC822Name(mail)]), False)])
        assert TrustStore([root]).verify(named, NOW).trust == expected


def test_revocation() -> None:
    assert TrustStore([ROOT_CERTIFICATE], [crl(77)]).verify(leaf(), NOW).trust == Trust.REVOKED
    assert TrustStore([ROOT_CERTIFICATE], [crl(78)]).verify(leaf(), NOW).trust == Trust.TRUSTED
    later = datetime.fromtimestamp(NOW // SECOND + 60, UTC)
    store = TrustStore([ROOT_CERTIFICATE], [crl(77, since=later)])
    assert store.verify(leaf(), NOW).trust == Trust.TRUSTED
    assert store.verify(leaf(), NOW + 61 * SECOND).trust == Trust.REVOKED


def test_a_list_that_somebody_else_signed_revokes_nothing() -> None:
    assert TrustStore([ROOT_CERTIFICATE], [crl(77, key=MIDDLE)]).verify(leaf(), NOW).trust == Trust.TRUSTED


def test_an_issuer_can_be_revoked() -> None:
    serial = MIDDLE_CERTIFICATE.serial_number
    store = TrustStore([ROOT_CERTIFICATE], [crl(serial)])
    assert store.verify(leaf(issuer="middle"), NOW, [der(MIDDLE_CERTIFICATE)]).trust == Trust.REVOKED


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pki, "MAX_REMEMBERED", 3)
    store = TrustStore([ROOT_CERTIFICATE])
    for serial in range(1, 8):
        assert store.verify(leaf(serial=serial), NOW).trust == Trust.TRUSTED
    assert len(store._remembered) == 3


def test_files(tmp_path: Path) -> None:
    pem = ROOT_CERTIFICATE.public_bytes(serialization.Encoding.PEM)
    (tmp_path / "a.pem").write_bytes(b"# roots\n" + pem + crl(77).public_bytes(serialization.Encoding.PEM))
    (tmp_path / "b.der").write_bytes(der(material().authority.certificate))
    (tmp_path / "c.crl").write_bytes(crl(78).public_bytes(serialization.Encoding.DER))
    store = TrustStore.load(tmp_path)
    assert len(store.certificates) == 2
    for serial, expected in ((77, Trust.REVOKED), (78, Trust.REVOKED), (79, Trust.TRUSTED)):
        assert store.verify(leaf(serial=serial), NOW).trust == expected
    assert (
        TrustStore.load(tmp_path / "b.der").verify(material()["rsa"].certificate, NOW).trust == Trust.TRUSTED
    )


@pytest.mark.parametrize(
    ("octets", "told"),
    [
        (b"nonsense", "no certificate or revocation list"),
        (
            b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            "no certificate or revocation list",
        ),
        (b"-----END X509 CRL-----\n-----BEGIN X509 CRL-----\n", "no certificate or revocation list"),
        (b"-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n", "no certificate to trust"),
    ],
)
def test_wrong_files_are_told(tmp_path: Path, octets: bytes, told: str) -> None:
    (tmp_path / "x.pem").write_bytes(octets)
    with pytest.raises(KeyStoreError, match=told):
        TrustStore.load(tmp_path / "x.pem")
    with pytest.raises(KeyStoreError, match="No such file or directory; name certificates"):
        TrustStore.load(tmp_path / "nowhere")


def test_certificates_that_issue_one_another_cost_little() -> None:
    crowd = [
        issue(subject, MIDDLE.public_key(), issuer, MIDDLE, [AUTHORITY])
        for subject, issuer in (("middle", "other"), ("other", "middle"))
        for _ in range(8)
    ]
    passed = list(pki._readable(map(der, crowd)))
    assert len(passed) == 2 * pki.MAX_CROSS
    below = leaf(issuer="middle")
    assert TrustStore([ROOT_CERTIFICATE]).verify(below, NOW, map(der, crowd)).trust == Trust.UNTRUSTED


@pytest.mark.parametrize("at", range(0, 400, 7))
def test_changed_certificates_have_an_answer(at: int) -> None:
    octets = bytearray(der(leaf([(usage(sign=True), True)])))
    octets[at % len(octets)] ^= 0x41
    try:
        changed = x509.load_der_x509_certificate(bytes(octets))
    except UNREADABLE:
        return
    assert TrustStore([ROOT_CERTIFICATE]).verify(changed, NOW).trust != Trust.TRUSTED
