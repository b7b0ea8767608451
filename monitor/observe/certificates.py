"""When the certificates of the keys held expire, for the metrics."""

from collections.abc import Iterable

from cryptography import x509

from monitor.keys.certificate import UNREADABLE
from monitor.wire.frame import NANOSECONDS

MAX_CERTIFICATES = 100
"""Certificates that are told of: of more, those that expire next."""
SUBJECT = 100
"""Characters of a subject that are told."""


def expiries(certificates: Iterable[bytes], now: int) -> dict[tuple[str, ...], float]:
    """Expiry (seconds since the epoch) by subject and serial number, what expires next first.

    :param certificates: DER; what cannot be read is left out.
    :param now: nanoseconds since the epoch. What has expired by then comes last.
    """
    found = []
    for der in certificates:
        try:
            certificate = x509.load_der_x509_certificate(der)
            end = certificate.not_valid_after_utc.timestamp()
            subject = certificate.subject.rfc4514_string()[:SUBJECT]
        except UNREADABLE:
            continue
        found.append((end * NANOSECONDS < now, end, (subject, f"{certificate.serial_number:x}")))
    return {labels: end for _, end, labels in sorted(found)[:MAX_CERTIFICATES]}
