"""Authentication: whom a certificate names, and whether that is the sender (RFC 3261 §23.2, RFC 5922 §7)."""

import hashlib
import re
from collections.abc import Mapping
from typing import Any, ClassVar
from urllib.parse import unquote_to_bytes

from cryptography import x509

from monitor.exceptions import ExceptionName
from monitor.keys.certificate import UNREADABLE
from monitor.toolbox.case import Case
from monitor.toolbox.layer import Kind, Layer, Service
from monitor.toolbox.tool import NOTHING, Databases, Peeled
from monitor.wire import address

MAX_NAMES = 256
"""Names of one certificate that are looked at."""

_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})")
_PLAIN = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.!~*'()&=+$,;?/")
"""Octets that a userinfo may have as they are (RFC 3261 §25.1): escaped or not, they are the same."""
_VISUAL = str.maketrans("", "", "-.()")
"""Visual separators of a telephone number (RFC 3966 §3)."""


def identities(certificate: x509.Certificate) -> frozenset[str]:
    """Whom a certificate names: addresses of record in the form of ``normalise``.

    SIP, SIPS and tel URIs and mail addresses of its subjectAltName; where there is none of these, it is a
    domain's certificate and its DNS names are taken (RFC 5922 §7.1). The subject is never looked at.
    """
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (*UNREADABLE, x509.ExtensionNotFound):
        return frozenset()
    found: set[str] = set()
    domains: set[str] = set()
    for name in list(names)[:MAX_NAMES]:
        if isinstance(name, x509.UniformResourceIdentifier):
            if name.value[:5].lower().startswith(("sip:", "sips:", "tel:")):
                found.add(normalise(name.value))
        elif isinstance(name, x509.RFC822Name):
            found.add(normalise("sip:" + name.value))
        elif isinstance(name, x509.DNSName):
            domains.add(_host(name.value))
    return frozenset((found or domains) - {""})


def matches(certificate: x509.Certificate, address_of_record: str, *, domain: bool = False) -> bool:
    """Whether a certificate names an address of record, as From and To have it.

    :param domain: whether one that names the address's domain is enough: what is signed by the domain, not
        by the user (as in RFC 8224). Wildcards never match (RFC 5922 §7.2).
    """
    wanted = normalise(address_of_record)
    if not wanted:
        return False
    named = identities(certificate)
    return wanted in named or (domain and wanted.rpartition("@")[2] in named)


def normalise(uri: str) -> str:
    """An address of record in the form that is compared: ``user@host``, ``host`` or ``+number``.

    SIP and SIPS are the same here, and port, parameters, headers and password are left out. The host is in
    lower case; the user's case matters, whether its octets are escaped does not (RFC 3261 §19.1.4). Empty
    where the URI is neither SIP, SIPS nor tel.
    """
    scheme, colon, rest = uri.strip().strip("<>").partition(":")
    if not colon:
        return ""
    if scheme.lower() == "tel":
        return rest.partition(";")[0].translate(_VISUAL)
    if scheme.lower() not in ("sip", "sips"):
        return ""
    if rest.count("@") > 1:
        return ""
    user, at, host = rest.rpartition("@")
    host = _host(re.split(r"[;?]", host, maxsplit=1)[0])
    if not at:
        return host
    user = _ESCAPE.sub(_unescape, user.partition(":")[0])
    return f"{user}@{host}" if user and host else ""


def _host(text: str) -> str:
    if text.startswith("["):
        inner = text[1:].partition("]")[0]
        try:
            return f"[{address.text(address.pack(inner))}]"
        except ValueError:
            return ""
    return text.partition(":")[0].rstrip(".").lower()


def _unescape(match: re.Match[str]) -> str:
    octet = unquote_to_bytes(match[0]).decode("latin-1")
    return octet if octet in _PLAIN else match[0].upper()


class Authentication:
    """Holds the signer's subjectAltName against the sender: From in requests, To in responses."""

    takes: ClassVar[frozenset[Kind]] = frozenset({Kind.SIGNED})
    provides: ClassVar[frozenset[Service]] = frozenset({Service.AUTHENTICATION})
    needs: ClassVar[frozenset[Service]] = frozenset({Service.INTEGRITY})
    parameters: ClassVar[Mapping[str, type]] = {"domain": bool}

    def __init__(self, databases: Databases, domain: bool = False) -> None:
        self._domain = domain

    def apply(self, layer: Layer, case: Case) -> Peeled:
        """See that one of those who signed the layer well is the sender."""
        message = case.message
        sender = message.from_uri if message.status is None else message.to_uri
        named: set[str] = set()
        for encoded in case.signers:
            try:
                certificate = x509.load_der_x509_certificate(encoded)
            except UNREADABLE:
                continue
            if matches(certificate, sender, domain=self._domain):
                case.provided.add(Service.AUTHENTICATION)
                if case.facts.address_of_record:
                    case.certified = case.certified or hashlib.sha256(encoded).hexdigest()
                return NOTHING
            named |= identities(certificate)
        if case.signers:
            found = ", ".join(sorted(named)[:4]) or "nobody"
            case.report(
                ExceptionName.IDENTITY_MISMATCH, f"signed by {found}, sent by {normalise(sender) or sender}"
            )
        return NOTHING


TOOLS: dict[str, type[Any]] = {"authentication": Authentication}
