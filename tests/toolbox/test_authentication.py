"""Whom a certificate names."""

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from smime_material import issue

from monitor.toolbox.tools.authentication import identities, matches, normalise

KEY = ec.generate_private_key(ec.SECP256R1())
URI, MAIL, DNS = x509.UniformResourceIdentifier, x509.RFC822Name, x509.DNSName


def certificate(*names: x509.GeneralName) -> x509.Certificate:
    extensions = [(x509.SubjectAlternativeName(names), False)] if names else []
    return issue("alice@example.org", KEY.public_key(), "x", KEY, extensions)


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("sip:alice@example.org", "alice@example.org"),
        ("SIPS:alice@EXAMPLE.org.", "alice@example.org"),
        ("sip:alice@example.org:5061;transport=tls?Subject=x", "alice@example.org"),
        ("sip:Alice@example.org", "Alice@example.org"),
        ("sip:%61lice:secret@example.org", "alice@example.org"),
        ("sip:j%40hn@example.org", "j%40hn@example.org"),
        ("sip:j%c3%bc@example.org", "j%C3%BC@example.org"),
        ("<sip:alice@example.org>", "alice@example.org"),
        ("sip:alice;day=tuesday@example.org", "alice;day=tuesday@example.org"),
        ("sip:alice@[2001:DB8:0::1]:5060", "alice@[2001:db8::1]"),
        ("sip:example.org;lr", "example.org"),
        ("tel:+49-30-123.45;phone-context=x", "+493012345"),
        ("sip:alice@[nonsense]", ""),
        ("sip:@example.org", ""),
        ("sip:alice@a.example@b.example", ""),
        ("http://example.org", ""),
        ("alice@example.org", ""),
        ("", ""),
    ],
)
def test_normal_form(uri: str, expected: str) -> None:
    assert normalise(uri) == expected


def test_identities() -> None:
    named = certificate(
        URI("sip:alice@example.org"), MAIL("a@Example.ORG"), DNS("example.org"), URI("http://x")
    )
    assert identities(named) == {"alice@example.org", "a@example.org"}
    assert identities(certificate(DNS("Example.org"), DNS("*.example.net"))) == {
        "example.org",
        "*.example.net",
    }
    assert identities(certificate()) == frozenset()


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("sip:alice@example.org", True),
        ("sips:alice@example.org:5061", True),
        ("sip:ALICE@example.org", False),
        ("sip:bob@example.org", False),
        ("sip:alice@example.org.evil.example", False),
        ("sip:alice@example.org;x@evil.example", False),
        ("sip:example.org", False),
        ("", False),
        ("nonsense", False),
    ],
)
def test_matching(uri: str, expected: bool) -> None:
    assert matches(certificate(URI("sip:alice@example.org")), uri) is expected
    assert matches(certificate(MAIL("alice@example.org")), uri) is expected


def test_a_domain_speaks_for_its_users_only_where_asked() -> None:
    domain = certificate(DNS("example.org"))
    assert not matches(domain, "sip:alice@example.org")
    assert matches(domain, "sip:alice@example.org", domain=True)
    assert matches(domain, "sip:example.org")
    assert not matches(domain, "sip:alice@sub.example.org", domain=True)
    assert not matches(certificate(DNS("*.example.org")), "sip:alice@sub.example.org", domain=True)
    assert matches(certificate(URI("sip:example.org")), "sip:alice@example.org", domain=True)


def test_the_subject_never_counts() -> None:
    assert not matches(certificate(), "sip:alice@example.org")
