"""Expiry of certificates, as the metrics tell it."""

from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from monitor.observe.certificates import MAX_CERTIFICATES, expiries
from monitor.wire.frame import NANOSECONDS

NOW = datetime(2030, 1, 1, tzinfo=UTC)
KEY = ec.generate_private_key(ec.SECP256R1())


def certificate(serial: int, days: int) -> bytes:
    """One that expires in so many days."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Alice {serial}")])
    made = x509.CertificateBuilder(name, name, KEY.public_key(), serial)
    made = made.not_valid_before(NOW - timedelta(days=999)).not_valid_after(NOW + timedelta(days=days))
    return made.sign(KEY, SHA256()).public_bytes(Encoding.DER)


def test_what_expires_next_comes_first_and_what_has_expired_last() -> None:
    found = expiries(
        [certificate(1, -5), certificate(2, 30), b"no certificate", certificate(255, 3)],
        int(NOW.timestamp()) * NANOSECONDS,
    )
    assert list(found) == [("CN=Alice 255", "ff"), ("CN=Alice 2", "2"), ("CN=Alice 1", "1")]
    assert found["CN=Alice 2", "2"] == (NOW + timedelta(days=30)).timestamp()


def test_there_is_a_limit() -> None:
    many = [certificate(number, number) for number in range(1, MAX_CERTIFICATES + 20)]
    found = expiries(many, int(NOW.timestamp()) * NANOSECONDS)
    assert len(found) == MAX_CERTIFICATES
    assert ("CN=Alice 1", "1") in found
