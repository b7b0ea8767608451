"""Certificates from outside: whatever is wrong with one, it is one of ``UNREADABLE``."""

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

UNREADABLE = (
    ValueError,
    KeyError,
    TypeError,
    OverflowError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)
"""What reading a certificate, its extensions, its key or its times can raise."""


def subject_key_identifier(certificate: bytes) -> bytes:
    """The identifier that a certificate (DER) gives its key, empty where it gives none."""
    try:
        extensions = x509.load_der_x509_certificate(certificate).extensions
        return extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    except (*UNREADABLE, x509.ExtensionNotFound):
        return b""
