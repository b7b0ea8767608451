"""Names that receivers take for the same."""

from cryptography import x509
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import NameOID
from smime_material import material

from monitor.cms import name


def encoded(organisation: str, kind: _ASN1Type, country: str = "DE") -> bytes:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, country),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation, kind),
        ]
    ).public_bytes()


def test_string_type_case_and_blanks_do_not_matter() -> None:
    expected = name.canonical(encoded("Example Org", _ASN1Type.UTF8String))
    assert name.canonical(encoded("Example Org", _ASN1Type.PrintableString)) == expected
    assert name.canonical(encoded("EXAMPLE  org ", _ASN1Type.BMPString)) == expected


def test_other_names_differ() -> None:
    expected = name.canonical(encoded("Example Org", _ASN1Type.UTF8String))
    assert name.canonical(encoded("Example Org", _ASN1Type.UTF8String, "FR")) != expected
    assert name.canonical(encoded("Exampleorg", _ASN1Type.UTF8String)) != expected


def test_what_is_no_name_is_itself() -> None:
    assert name.canonical(b"\x30\x05") == b"\x30\x05"


def test_the_names_of_a_certificate() -> None:
    party = material()["rsa"]
    issuer, serial, subject = name.certificate_names(party.der)
    assert (issuer, serial, subject) == (
        party.certificate.issuer.public_bytes(),
        party.certificate.serial_number,
        party.certificate.subject.public_bytes(),
    )
