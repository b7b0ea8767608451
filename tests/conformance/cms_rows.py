"""CMS: every recipient, cipher and encoding, signatures, compression, layers in one another."""

import base64
import gzip
from collections.abc import Callable
from functools import cache, partial

from frames import invite, udp
from matrix import Row, Section, together
from probe import ALICE, BOB, NOBODY, framed, outcome
from sip_rows import PART, SDP, TEXT, multipart
from smime_material import material, openssl
from smime_matrix import (
    AES_WRAPS,
    DERIVATIONS,
    ENVELOPES,
    HASHES,
    Options,
    compressed,
    keys,
    oid,
    sealed,
    sealed_by_agreement,
    sealed_by_chacha20,
    signed_by_eddsa,
    signed_data,
)

from monitor.keys.trust import TrustStore
from monitor.toolbox.layer import MAX_NESTING

READ = "key read"
CMS = "application/pkcs7-mime"


@cache
def trust() -> TrustStore:
    return TrustStore.load(material().authority.certificate_file)


def body(blob: bytes, content_type: str = CMS, who: str = "bob") -> str:
    """What comes of a message with an S/MIME body, where every key is held."""
    message = invite(blob, content_type=content_type).replace(
        b"sip:bob@example", f"sip:{who}@example".encode()
    )
    return outcome(framed([udp(BOB, ALICE, message)]), ring=keys(), trust=trust(), blob=blob)


def _sealed(variants: tuple[Options, ...]) -> str:
    return together(*(body(sealed(options, PART)) for options in variants))


def _agreed(who: str, scheme: str) -> str:
    """Every key wrap and way of deriving, of one scheme."""
    return together(
        *(
            body(sealed_by_agreement(scheme, derive, wrap, material_, who, PART))
            for each, derive, material_ in DERIVATIONS
            for wrap in AES_WRAPS
            if each == scheme
        )
    )


SCHEMES = {
    "1.3.133.16.840.63.0.2": "X9.63 with sha1",
    "1.3.132.1.11.0": "X9.63 with sha224",
    "1.3.132.1.11.1": "X9.63 with sha256",
    "1.3.132.1.11.2": "X9.63 with sha384",
    "1.3.132.1.11.3": "X9.63 with sha512",
    "1.3.132.1.14.1": "X9.63 with sha256, cofactor",
    "1.2.840.113549.1.9.16.3.19": "HKDF with sha256",
    "1.2.840.113549.1.9.16.3.20": "HKDF with sha384",
    "1.2.840.113549.1.9.16.3.21": "HKDF with sha512",
}


def _unopened(options: Options) -> str:
    """An envelope for somebody else."""
    blob = sealed(options, PART)
    message = invite(blob, content_type=CMS)
    return outcome(framed([udp(BOB, ALICE, message)]), ring=NOBODY, blob=blob)


def envelopes() -> Section:
    """EnvelopedData and AuthEnvelopedData."""
    rows = [Row(name, READ, partial(_sealed, variants)) for name, variants in ENVELOPES.items()]
    rows += [
        Row(f"{who.upper()}, {name}; key wrap AES-128, AES-192, AES-256", READ, partial(_agreed, who, scheme))
        for who in ("x25519", "x448")
        for scheme, name in SCHEMES.items()
    ]
    rows += [
        Row("ChaCha20-Poly1305; RSA PKCS #1 v1.5", READ, lambda: body(sealed_by_chacha20(PART))),
        Row(
            "base64 and PEM armour",
            READ,
            lambda: together(body(base64.encodebytes(_plain())), body(_pem(_plain()))),
        ),
        Row("as application/octet-stream", READ, lambda: body(_plain(), "application/octet-stream")),
        Row("octets after it", "denied as ambiguous", lambda: body(_plain() + b"more")),
        Row(
            "a cipher that is not known (AES-128-OFB)",
            "unsupported, envelope recognised",
            lambda: body(_by_ofb()),
        ),
        *(
            Row(
                f"for nobody whose key is held: {name}",
                "undecryptable, envelope recognised",
                partial(_unopened, options),
            )
            for name, options in {
                "RSA": ("-aes128", "@rsa"),
                "ECDH": ("-aes128", "@p256"),
                "key-encryption key": ENVELOPES["key-encryption key of 128 bits"][0],
                "password": ("-aes128", "-pwri_password", "secret"),
            }.items()
        ),
    ]
    about = (
        "EnvelopedData and AuthEnvelopedData around a session description, made by `openssl cms` but for"
        " X25519, X448 and ChaCha20-Poly1305, which it does not make."
    )
    return Section("CMS: envelopes", about, "recipient and cipher", tuple(rows))


@cache
def _plain() -> bytes:
    return sealed(("-aes128", "@rsa"), PART)


def _pem(blob: bytes) -> bytes:
    return b"-----BEGIN CMS-----\n" + base64.encodebytes(blob) + b"-----END CMS-----\n"


def _by_ofb() -> bytes:
    return _plain().replace(oid("2.16.840.1.101.3.4.1.2"), oid("2.16.840.1.101.3.4.1.3"))


def signed(who: str, *options: str, given: bytes = PART) -> bytes:
    """SignedData by ``openssl cms -sign``, opaque."""
    party = material()[who]
    signer = ("-signer", party.certificate_file, "-inkey", party.key_file)
    return openssl("-sign", "-binary", "-outform", "DER", "-nodetach", *signer, *options, given=given)


def _opaque(who: str, *options: str) -> str:
    forms: tuple[Options, ...] = ((), ("-stream",), ("-keyid",), ("-noattr",), ("-cades",))
    return together(*(body(signed(who, *options, *form), who=who) for form in forms))


def _detached(who: str, *, change: bool = False) -> bytes:
    party = material()[who]
    signer = ("-signer", party.certificate_file, "-inkey", party.key_file)
    signature = openssl("-sign", "-binary", "-outform", "DER", *signer, given=PART)
    part = PART.replace(b"s=-", b"s=x") if change else PART
    head = b"Content-Type: application/pkcs7-signature\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    return multipart(part, head + base64.encodebytes(signature))


SIGNED = 'multipart/signed;protocol="application/pkcs7-signature";boundary=b1'


def signatures() -> Section:
    """SignedData."""
    rows = [
        Row(
            f"{name}, {digest}; DER and BER; by serial number, by key identifier; with attributes, without",
            f"weak-signature, {READ}" if digest == "sha1" else READ,
            partial(_opaque, who, "-md", digest),
        )
        for who, name in (("rsa", "RSA PKCS #1 v1.5"), ("p256", "ECDSA P-256"), ("p521", "ECDSA P-521"))
        for digest in HASHES
    ]
    pss = ("-keyopt", "rsa_padding_mode:pss", "-keyopt", "rsa_pss_saltlen:{}")
    rows += [
        Row(
            f"RSA-PSS, {digest}; salts of all lengths",
            f"weak-signature, {READ}" if digest == "sha1" else READ,
            lambda digest=digest: together(  # type: ignore[misc]
                *(
                    body(signed("rsa", "-md", digest, *(word.format(salt) for word in pss)), who="rsa")
                    for salt in ("-1", "-2", "0", "20")
                )
            ),
        )
        for digest in ("sha1", "sha256", "sha512")
    ]
    rows += [
        Row("Ed25519", READ, lambda: body(signed_by_eddsa("ed25519", PART), who="ed25519")),
        Row("Ed448", READ, lambda: body(signed_by_eddsa("ed448", PART), who="ed448")),
        Row("detached (multipart/signed)", READ, lambda: body(_detached("rsa"), SIGNED, "rsa")),
        Row(
            "detached, content changed",
            "denied as bad-signature",
            lambda: body(_detached("rsa", change=True), SIGNED, "rsa"),
        ),
        Row(
            "opaque, signature changed",
            "denied as bad-signature",
            lambda: body(_last_changed(signed("rsa")), who="rsa"),
        ),
        Row(
            "detached, the content nowhere in the message",
            "unsupported",
            lambda: body(openssl_detached(), "application/octet-stream", "rsa"),
        ),
        Row("two signers", READ, lambda: body(by_two(), who="rsa")),
        Row("somebody else's signature", f"identity-mismatch, {READ}", lambda: body(signed("rsa"))),
        Row("certificates only", "clean, no key", lambda: body(signed_data(b"", b"", material()["rsa"].der))),
    ]
    about = (
        "SignedData over a session description, by a signer whose certificate is trusted and names the"
        " sender; Ed25519 and Ed448 are made here, the others by `openssl cms`."
    )
    return Section("CMS: signatures", about, "signature", tuple(rows))


def openssl_detached() -> bytes:
    party = material()["rsa"]
    signer = ("-signer", party.certificate_file, "-inkey", party.key_file)
    return openssl("-sign", "-binary", "-outform", "DER", *signer, given=b"elsewhere")


def by_two() -> bytes:
    other = material()["p384"]
    return signed("rsa", "-signer", str(other.certificate_file), "-inkey", str(other.key_file))


def _last_changed(blob: bytes) -> bytes:
    return blob[:-1] + bytes((blob[-1] ^ 1,))


def _typed(content_type: str, given: bytes) -> bytes:
    """A MIME entity."""
    return f"Content-Type: {content_type}\r\n\r\n".encode() + given


def entity(blob: bytes) -> bytes:
    """A MIME entity around CMS."""
    return _typed(CMS, blob)


def _envelope(given: bytes) -> bytes:
    return sealed(("-aes128", "@rsa"), given)


def _wrapped(depth: int) -> bytes:
    part = PART
    for _ in range(depth):
        part = entity(compressed(part))
    return compressed(part)


def _bomb() -> bytes:
    return compressed(bytes(2 << 20))


def _zipped() -> bytes:
    return invite(gzip.compress(_plain()), content_type=CMS, headers="Content-Encoding: gzip\r\n")


def layers() -> Section:
    """CMS in CMS."""
    named: dict[str, tuple[str, Callable[[], str]]] = {
        "signed, then enveloped": (READ, lambda: body(_envelope(entity(signed("rsa"))), who="rsa")),
        "detached signature, then enveloped": (
            READ,
            lambda: body(
                _envelope(b"Content-Type: " + SIGNED.encode() + b"\r\n\r\n" + _detached("rsa")), who="rsa"
            ),
        ),
        "enveloped, then signed": (READ, lambda: body(signed("rsa", given=entity(_plain())), who="rsa")),
        "signed, enveloped, signed (triple-wrapped)": (
            READ,
            lambda: body(signed("rsa", given=entity(_envelope(entity(signed("rsa"))))), who="rsa"),
        ),
        "compressed": (READ, lambda: body(compressed(PART))),
        "signed, then compressed": (READ, lambda: body(compressed(entity(signed("rsa"))), who="rsa")),
        "enveloped, then compressed": (READ, lambda: body(compressed(entity(_plain())))),
        "compressed, then enveloped": (READ, lambda: body(_envelope(entity(compressed(PART))))),
        "enveloped twice": (READ, lambda: body(_envelope(entity(_plain())))),
        "enveloped, in multipart": (
            READ,
            lambda: body(multipart(TEXT, entity(_plain())), "multipart/mixed;boundary=b1"),
        ),
        "message/sip in an envelope (RFC 3261 §23.4)": (
            READ,
            lambda: body(
                _envelope(b"Content-Type: message/sip\r\n\r\n" + invite(PART.partition(b"\r\n\r\n")[2]))
            ),
        ),
        "bare session description in an envelope, no header fields": (
            READ,
            lambda: body(_envelope(SDP)),
        ),
        "compression bomb": ("denied as limit", lambda: body(_bomb())),
        "unknown compression": ("unsupported", lambda: body(compressed(PART, "1.2.3.4"))),
        f"more than {MAX_NESTING} layers": ("denied as limit", lambda: body(_wrapped(MAX_NESTING + 1))),
        "in an unknown content type (DigestedData)": (
            "unsupported",
            lambda: body(openssl("-digest_create", "-binary", "-outform", "DER", given=PART)),
        ),
        "cut off": ("malformed", lambda: body(_plain()[:-20])),
    }
    rows = tuple(Row(name, expected, observe) for name, (expected, observe) in named.items())
    rows += (
        Row(
            "enveloped, then Content-Encoding gzip",
            "denied as ambiguous",
            lambda: outcome(framed([udp(BOB, ALICE, _zipped())]), ring=keys(), blob=_plain()),
            "what cannot be made smaller stands in gzip as it is, open to whoever looks at no coding",
        ),
    )
    about = "SignedData, EnvelopedData and CompressedData in one another, around a session description."
    return Section("CMS: layers", about, "layers, from the inside out", rows)
