"""Key files: what is found in them, how it is paired, and what is said of those that are wrong."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from smime_material import issue, material, name

from monitor.cms.enveloped import Algorithm, Recipient
from monitor.keys import ring
from monitor.keys.directory import Directory, key_identifier
from monitor.keys.error import KeyStoreError

RSA = Algorithm("1.2.840.113549.1.1.1")


def put(folder: Path, file: str, octets: bytes | str, mode: int = 0o600) -> None:
    path = folder / file
    path.write_bytes(octets if isinstance(octets, bytes) else octets.encode())
    path.chmod(mode)


def names(who: str) -> Recipient:
    certificate = material()[who].certificate
    return Recipient("ktri", b"", RSA, certificate.issuer.public_bytes(), certificate.serial_number)


def test_keys_and_certificates_are_paired_whatever_the_files_are_called(tmp_path: Path) -> None:
    rsa_party, ec_party = material()["rsa"], material()["p256"]
    together = ec_party.certificate_file.read_bytes() + rsa_party.key_file.read_bytes()
    put(tmp_path, "a.txt", b"a comment\r\n" + together)
    put(tmp_path, "b", rsa_party.certificate_file.read_bytes())
    assert isinstance(ec_party.key, ec.EllipticCurvePrivateKey)
    traditional = ec_party.key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )
    put(tmp_path, "c", traditional)
    put(tmp_path, ".hidden", "-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----")
    (tmp_path / "directory").mkdir()
    held = ring.load(tmp_path)
    assert held.warnings == ()
    assert held.directory.held(names("rsa"))
    assert held.directory.held(names("p256"))
    assert not held.directory.held(names("p384"))


def test_der_files(tmp_path: Path) -> None:
    party = material()["rsa"]
    put(tmp_path, "one.cer", party.der)
    assert isinstance(party.key, rsa.RSAPrivateKey)
    put(
        tmp_path,
        "two.p8",
        party.key.private_bytes(
            serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ),
    )
    held = ring.load(tmp_path)
    assert held.directory.held(names("rsa"))


def test_several_certificates_for_one_key(tmp_path: Path) -> None:
    party, authority = material()["rsa"], material().authority
    assert isinstance(party.key, rsa.RSAPrivateKey)
    assert isinstance(authority.key, ec.EllipticCurvePrivateKey)
    renewed = issue("rsa", party.key.public_key(), "Test CA", authority.key, serial=4711)
    put(tmp_path, "key", party.key_file.read_bytes())
    put(
        tmp_path,
        "both",
        party.certificate_file.read_bytes() + renewed.public_bytes(serialization.Encoding.PEM),
    )
    directory = ring.load(tmp_path).directory
    assert len(directory.holdings) == 1
    assert directory.held(names("rsa"))
    assert directory.held(Recipient("ktri", b"", RSA, name("Test CA").public_bytes(), 4711))


def test_without_certificate_a_key_is_known_by_its_identifier(tmp_path: Path) -> None:
    party = material()["rsa"]
    put(tmp_path, "key", party.key_file.read_bytes())
    held = ring.load(tmp_path)
    assert "without certificate" in held.warnings[0]
    public = party.key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    assert held.directory.held(Recipient("ktri", b"", RSA, key_identifier=key_identifier(public)))
    assert not held.directory.held(names("rsa"))


def test_issuers_are_compared_as_receivers_do(tmp_path: Path) -> None:
    put(
        tmp_path,
        "both",
        material()["rsa"].key_file.read_bytes() + material()["rsa"].certificate_file.read_bytes(),
    )
    directory = ring.load(tmp_path).directory
    serial = material()["rsa"].certificate.serial_number
    issuer = material()["rsa"].certificate.issuer.public_bytes()
    assert directory.held(Recipient("ktri", b"", RSA, issuer.replace(b"Example Org", b"EXAMPLE ORG"), serial))
    assert not directory.held(
        Recipient("ktri", b"", RSA, issuer.replace(b"Example Org", b"Example Net"), serial)
    )
    assert not directory.held(Recipient("ktri", b"", RSA, b"\x30\x80nonsense", serial))


@pytest.mark.parametrize(
    ("file", "octets", "told"),
    [
        (
            "x.pem",
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----",
            "encrypted",
        ),
        ("x.pem", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----", "cannot be read"),
        ("x.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----", "cannot be read"),
        (
            "x.pem",
            "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nAAAA\n-----END RSA PRIVATE KEY-----",
            "encrypted",
        ),
        ("x.der", b"nonsense", "no DER certificate or private key"),
        ("x.kek", "01 02 03", "not an identifier and a secret"),
        ("x.kek", "01 zz", "not an identifier and a secret"),
        ("x.kek", "01 0203", "16, 24 or 32"),
        ("x.kek", f"01 {'00' * 16}\n01 {'01' * 16}", ":2: another secret"),
        ("x.pem", b"\0" * (ring.MAX_FILE + 1), "larger than"),
    ],
)
def test_wrong_files_are_told_in_one_line(tmp_path: Path, file: str, octets: bytes | str, told: str) -> None:
    put(tmp_path, file, octets)
    with pytest.raises(KeyStoreError) as caught:
        ring.load(tmp_path)
    text = str(caught.value)
    assert text.startswith(str(tmp_path / file))
    assert told in text
    assert "\n" not in text


def test_no_directory(tmp_path: Path) -> None:
    with pytest.raises(KeyStoreError, match="no such directory"):
        ring.load(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("file", "octets", "mode", "told"),
    [
        ("x", "nothing", 0o600, "passed over"),
        (
            "x.pem",
            "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----",
            0o600,
            "a PUBLIC KEY was passed over",
        ),
        ("x.kek", f"01 {'00' * 16}", 0o640, "chmod 600"),
    ],
)
def test_warnings(tmp_path: Path, file: str, octets: str, mode: int, told: str) -> None:
    put(tmp_path, file, octets, mode)
    assert told in ring.load(tmp_path).warnings[0]


def test_keys_that_cannot_decrypt_are_passed_over(tmp_path: Path) -> None:
    put(tmp_path, "key", material()["ed25519"].key_file.read_bytes())
    warnings = ring.load(tmp_path).warnings
    assert "cannot decrypt" in warnings[0]
    assert "nothing can be decrypted" in warnings[1]


def test_a_directory_comes_back_from_json(tmp_path: Path) -> None:
    put(
        tmp_path,
        "both",
        material()["rsa"].key_file.read_bytes() + material()["rsa"].certificate_file.read_bytes(),
    )
    put(tmp_path, "other", material()["p256"].certificate_file.read_bytes())
    put(tmp_path, "site.kek", f"0102 {'07' * 32}")
    before = ring.load(tmp_path).directory
    after = Directory.decode(before.encode())
    assert after.encode() == before.encode()
    assert after.held(names("rsa"))
    assert after.held(Recipient("kekri", b"", Algorithm("x"), key_identifier=b"\1\2"))
    assert set(after.certificates) == {material()["rsa"].der, material()["p256"].der}
