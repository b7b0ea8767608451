"""Session descriptions, S/MIME and real calls that others published."""

import base64
import re
from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path

from corpora import AMBIGUOUS, MALFORMED, UNSUPPORTED, Expected, by_file, counted, datagram, finished
from frames import invite, sdp, udp
from matrix import Section
from probe import ALICE, BOB, framed, said, told
from smime_material import corpus, material
from smime_matrix import opened

from monitor.capture.pcap import open_capture
from monitor.cms import content
from monitor.cms.enveloped import EnvelopedData
from monitor.cms.error import CmsError
from monitor.cms.signed import SignedData
from monitor.keys import ring
from monitor.keys.error import KeyStoreError
from monitor.keys.ring import KeyRing
from monitor.keys.trust import TrustStore
from monitor.record import RulingRecord
from monitor.toolbox.tools.integrity import Certificates, verify

_LINE = re.compile(rb"^a=crypto:\S+ (\S+) (.*)", re.MULTILINE)
_KEY = re.compile(rb"(?:^|inline:)([A-Za-z0-9+/]{24,}={0,2})")


def session(file: Path) -> str:
    """A session description: how many of the keys that base64 gives of it are known afterwards."""
    keys = [
        f"x\r\na=crypto:2 {suite.decode()} inline:{base64.b64encode(base64.b64decode(text)).decode()}"
        for suite, parameters in _LINE.findall(file.read_bytes())
        for text in _KEY.findall(parameters)
    ]
    return datagram(invite(file.read_bytes()), keys)


READ = "key read"
SHORT, LONG = "the key has 28 octets, the suite 30", "the key has 47 octets, the suite 46"
SEEDS: Expected = {
    "seed-crypto-aes128.sdp": (f"{MALFORMED}, {READ}", SHORT),
    "seed-crypto-aes256-32.sdp": (f"{MALFORMED}, {READ}", LONG),
    "seed-crypto-aes256.sdp": (f"{MALFORMED}, {READ}", LONG),
    "seed-crypto-duplicate-tags.sdp": (f"{MALFORMED}, 2 of 2 keys read", "keys of 28 and 47 octets"),
    "seed-crypto-invalid-base64.sdp": (MALFORMED, "9 octets are no key"),
    "seed-crypto-large-tag.sdp": (f"{MALFORMED}, {READ}", SHORT),
    "seed-crypto-leading-zero-tag.sdp": (f"{MALFORMED}, {READ}", SHORT),
    "seed-crypto-lifetime-mki.sdp": (f"{MALFORMED}, {READ}", SHORT),
    "seed-crypto-missing-components.sdp": (MALFORMED, "no key in the line"),
    "seed-crypto-missing-method.sdp": (f"{MALFORMED}, {READ}", "no key method"),
    "seed-crypto-multiple-tags.sdp": (
        f"{MALFORMED}, duplicate-key, 3 of 3 keys read",
        "keys of 28 and 47 octets, one of them twice",
    ),
    "seed-crypto-non-decimal-tag.sdp": (f"{MALFORMED}, {READ}", "the tag is no number"),
    "seed-crypto-session-params.sdp": (f"{MALFORMED}, {READ}", SHORT),
    "seed-crypto-short-key.sdp": (MALFORMED, "3 octets are no key"),
    "seed-crypto-unsupported-suite.sdp": (f"{MALFORMED}, {READ}", "the key has 32 octets, the suite 38"),
}
SEED_MESSAGES: Expected = {
    "input.1.sip": (AMBIGUOUS, "CR alone in the header section"),
    "input.4.sip": (MALFORMED, "mandatory fields missing, quotes that are never closed"),
    "multipart_alternative.sip": (MALFORMED, "Content-Length 245 before 203 octets"),
    "multipart_basic.sip": (MALFORMED, "Content-Length 301 before 239 octets"),
}
RFC4568: Expected = {
    "ex_4_5.sdp": ("2 of 2 keys read", ""),
    "ex_7_answer.sdp": (READ, ""),
    "ex_7_offer.sdp": ("3 of 3 keys read", ""),
}


def sdes() -> Section:
    """RFC 4568 and the seeds of pjproject."""
    rows = [
        *by_file("sdes/rfc4568", "*.sdp", RFC4568, session, "RFC 4568, {}"),
        *by_file("sdes/pjproject-seeds/sdes", "*", SEEDS, session, "pjproject, {}"),
        *by_file("sdes/pjproject-seeds/sdp/fuzz-sdp_seed_corpus", "*", {}, session, "pjproject, {}"),
        *by_file(
            "sdes/pjproject-seeds/sip/fuzz-sip_seed_corpus",
            "*",
            SEED_MESSAGES,
            lambda file: datagram(finished(file)),
            "pjproject, {}",
        ),
        *by_file(
            "sdes/pjproject-seeds/sip-dialog/fuzz-sip-dialog_seed_corpus",
            "*",
            {"simple_uris.txt": ("no SIP", "URIs alone")},
            lambda file: datagram(finished(file)),
            "pjproject, {}",
        ),
        *by_file(
            "sdes/pjproject-seeds/crypto/fuzz-crypto_seed_corpus",
            "*",
            {"file": (MALFORMED, "7 octets are no key"), "file2": (MALFORMED, "8 octets are no key")},
            lambda file: datagram(invite(sdp(file.read_text()))),
            "pjproject, crypto/{}, as the key of a line",
        ),
    ]
    about = (
        "Session descriptions; the keys that are looked for afterwards are decoded from them independently."
    )
    return Section("SDES: published examples", about, "file", tuple(rows))


OLD_KEYS = (
    "BobPrivRSAEncrypt.pri",
    "BobRSASignByCarl.cer",
    "DianePrivRSASignEncrypt.pri",
    "DianeRSASignByCarl.cer",
)


@cache
def old_keys() -> KeyRing:
    """The keys of RFC 4134 that decrypt."""
    target = material().folder / "rfc4134-all"
    target.mkdir()
    for name in OLD_KEYS:
        (target / name).write_bytes(corpus("smime/rfc4134", name).read_bytes())
        (target / name).chmod(0o600)
    return ring.load(target)


def _trusted(pattern: str) -> Iterator[str]:
    """Certificates and revocation lists, as what is trusted: each beside Carl's certificate."""
    folder = corpus("smime/rfc4134")
    for number, file in enumerate(sorted(folder.glob(pattern))):
        target = material().folder / f"trusted-{pattern[2:]}-{number}"
        target.mkdir()
        for each in (folder / "CarlRSASelf.cer", file):
            (target / each.name).write_bytes(each.read_bytes())
        try:
            TrustStore.load(target)
        except KeyStoreError:
            yield "refused"
        else:
            yield "read"


def _private() -> Iterator[str]:
    for file in sorted(corpus("smime/rfc4134").glob("*.pri")):
        target = material().folder / f"private-{file.stem}"
        target.mkdir()
        (target / file.name).write_bytes(file.read_bytes())
        yield "read" if ring.load(target).directory.holdings else "passed over"


def _entity(octets: bytes) -> tuple[bytes, bytes] | None:
    """The Content fields and the body of a mail, None where the octets are none."""
    if not re.match(
        rb"(?i)(?:MIME-Version|To|From|Content-[a-z-]+|Received|Return-Path|Message-Id):", octets
    ):
        return None
    head, _, body = re.sub(rb"\r?\n", b"\r\n", octets).partition(b"\r\n\r\n")
    fields = re.findall(rb"(?im)^(Content-[^\r]*(?:\r\n[ \t][^\r]*)*\r\n)", head + b"\r\n")
    return b"".join(fields), body


def smime(file: Path) -> str:
    """What is in it, layer by layer, and what the pipeline says of it as the body of a message."""
    octets = file.read_bytes()
    mail = _entity(octets)
    message = invite(octets if mail is None else mail[1], content_type="application/pkcs7-mime")
    if mail is not None:
        message = message.replace(b"Content-Type: application/pkcs7-mime\r\n", mail[0], 1)
    records, _ = told(framed([udp(BOB, ALICE, message)]), old_keys())
    found = _content(octets if mail is None else mail[1])
    return ", ".join(filter(None, [found, said(records)])) or "clean"


def _content(octets: bytes) -> str:
    try:
        parsed = content.parse(octets)
    except CmsError:
        return ""
    name = type(parsed).__name__
    published = corpus("smime/rfc4134/ExContent.bin").read_bytes()
    if isinstance(parsed, EnvelopedData):
        try:
            return f"{name} with the published content" if published in opened(octets, old_keys()) else name
        except (AssertionError, CmsError):
            return name
    if isinstance(parsed, SignedData):
        known = Certificates(path.read_bytes() for path in corpus("smime/rfc4134").glob("*.cer"))
        results = verify(parsed, None if parsed.content is not None else published, known)
        return " ".join([name, *(f"({result.status})" for result in results)])
    return name


def smime_files() -> Section:
    """S/MIME that others published."""
    rows = [
        *by_file("smime/rfc4134", "[0-9]*", RFC4134, smime, "RFC 4134, {}"),
        counted(
            "RFC 4134, *.cer",
            "6 × read, 1 × refused",
            partial(_trusted, "*.cer"),
            "certificates to trust; one with a DSA key that inherits its parameters",
        ),
        counted("RFC 4134, *.crl", "6 × read", partial(_trusted, "*.crl"), "revocation lists"),
        counted("RFC 4134, *.pri", "3 × passed over, 4 × read", _private, "DSA keys decrypt nothing"),
        *by_file("smime/cryptography_vectors", "*", VECTORS, smime, "cryptography, {}"),
        *by_file("smime/openssl", "*/*.*", OPENSSL, smime, "openssl, {}"),
    ]
    return Section("S/MIME: published examples", "As bodies of messages.", "file", tuple(rows))


TEXT = "plain text instead of a MIME entity"
OTHERS = f"the signer is not the sender of the message; {TEXT}"
SIGNED = "SignedData (valid)"
RFC4134: Expected = {
    "3.1.bin": (f"Data, {MALFORMED}", TEXT),
    "3.2.bin": (f"Data, {MALFORMED}", TEXT),
    "4.1.bin": (f"{SIGNED}, identity-mismatch, {MALFORMED}", f"DSA; {OTHERS}"),
    "4.2.bin": (f"{SIGNED}, identity-mismatch, {MALFORMED}", f"RSA; {OTHERS}"),
    "4.3.bin": (
        f"{SIGNED}, {UNSUPPORTED}",
        "detached: valid with the content, which the message does not have",
    ),
    "4.4.bin": (f"{SIGNED}, identity-mismatch, {MALFORMED}", f"attributes of all kinds; {OTHERS}"),
    "4.5.bin": (f"{SIGNED}, identity-mismatch, {MALFORMED}", OTHERS),
    "4.6.bin": (
        f"{SIGNED} (unsupported), {UNSUPPORTED}, identity-mismatch, {MALFORMED}",
        f"the second DSA key inherits its parameters; {OTHERS}",
    ),
    "4.7.bin": (f"{SIGNED}, identity-mismatch, {MALFORMED}", OTHERS),
    "4.8.eml": ("identity-mismatch", "multipart/signed; the signer is not the sender of the message"),
    "4.9.eml": (f"{SIGNED}, identity-mismatch", "the signer is not the sender of the message"),
    "4.10.bin": (f"{SIGNED}, identity-mismatch, {MALFORMED}", OTHERS),
    "4.11.bin": ("SignedData", "certificates only"),
    "5.1.bin": (f"EnvelopedData with the published content, {MALFORMED}", TEXT),
    "5.2.bin": (f"EnvelopedData, {UNSUPPORTED}", "RC2"),
    "5.3.eml": (f"EnvelopedData with the published content, {MALFORMED}", TEXT),
    "6.0.bin": (UNSUPPORTED, "DigestedData"),
    "7.1.bin": (UNSUPPORTED, "EncryptedData"),
    "7.2.bin": (UNSUPPORTED, "EncryptedData"),
}
CERTIFICATE = "a certificate, no CMS"
NOT_HELD = "its key is not among those published"
UNOPENED = ("EnvelopedData, undecryptable", NOT_HELD)
VECTORS: Expected = {
    "amazon-roots.der": ("SignedData", "certificates only"),
    "amazon-roots.p7b": ("SignedData", "certificates only"),
    "isrg.pem": ("SignedData", "certificates only"),
    "ascii-san.pem": (MALFORMED, CERTIFICATE),
    "non-ascii-san.pem": (MALFORMED, CERTIFICATE),
    "authenticode.der": (f"{SIGNED}, identity-mismatch, {UNSUPPORTED}", "what is signed is no MIME"),
    "enveloped-no-content.der": UNOPENED,
    "enveloped-rsa-oaep.pem": UNOPENED,
    "enveloped-triple-des.pem": UNOPENED,
    "enveloped.pem": UNOPENED,
}
BAD = "SignedData (invalid), denied as bad-signature"
OPENSSL: Expected = {
    "bad_signtime_attr.cms": (f"{SIGNED}, identity-mismatch, {MALFORMED}", OTHERS),
    "ct_multiple_attr.cms": (BAD, "the content type twice among the signed attributes"),
    "no_ct_attr.cms": (BAD, "no content type among the signed attributes"),
    "no_md_attr.cms": (BAD, "no digest among the signed attributes"),
    "pkcs7-md4.pem": (f"SignedData (unsupported), {UNSUPPORTED}, {MALFORMED}", f"MD4; {TEXT}"),
    "pkcs7-md4-encrypted.pem": (UNSUPPORTED, "SignedAndEnvelopedData"),
    "ciphertext_from_1_1_1.cms": UNOPENED,
    "rsa-malformed.der": UNOPENED,
    "dh-malformed.der": UNOPENED,
    "ecdh-malformed.der": UNOPENED,
    "missing-kdf.der": UNOPENED,
    "enveloped-content-type-for-aes-gcm.pem": UNOPENED,
    "dh-cert.pem": (MALFORMED, CERTIFICATE),
    "ecdh-cert.pem": (MALFORMED, CERTIFICATE),
    "SignedInvalidMappingFromanyPolicyTest7.eml": (
        "identity-mismatch",
        "multipart/signed; the signer is not the sender of the message",
    ),
    "pkcs7-empty-digest-set.eml": (f"{MALFORMED}, identity-mismatch", OTHERS),
}


def call(file: Path) -> str:
    """A capture as ``replay`` reads it."""
    with open_capture(str(file)) as capture:
        frames = list(capture)
    records, core = told(frames)
    judged = sum(isinstance(record, RulingRecord) for record in records)
    counts = f"frames {len(frames)}, messages {core.counts['messages']}, judged {judged}"
    words = [counts, said(records)]
    return ", ".join(filter(None, words))


CALLS: Expected = {
    "cesnet-sip.pcap": ("frames 50, messages 40, judged 0", ""),
    "michalcab-call.pcap": ("frames 175, messages 9, judged 0", ""),
    "michalcab-call.pcapng": ("frames 175, messages 9, judged 0", ""),
    "ndpi-t38.pcap": ("frames 1552, messages 92, judged 0", ""),
    "pcapplusplus-sdp.pcap": ("frames 1, messages 1, judged 0", ""),
    "pcapplusplus-sip_non_default_port.pcap": ("frames 2, messages 2, judged 0", ""),
    "pcapplusplus-sip_not_sdp.pcap": ("frames 1, messages 1, judged 0", ""),
    "pcapplusplus-sip_reqs.pcap": (
        f"frames 4, messages 4, judged 0, {MALFORMED}",
        "messages without a blank line, and a header line without a colon",
    ),
    "pcapplusplus-sip_resp.pcap": ("frames 7, messages 7, judged 0", ""),
    "suricata-body-frames.pcap": (
        "frames 10, messages 10, judged 0",
        "octets after the body, in which no reading can show a key",
    ),
    "suricata-compact-form.pcap": (
        f"frames 1, messages 1, judged 0, {MALFORMED}",
        "quotes that are never closed",
    ),
    "suricata-sdp.pcap": (f"frames 2, messages 2, judged 0, {MALFORMED}", "quotes that are never closed"),
    "suricata-tcp.pcap": ("frames 11, messages 2, judged 0", ""),
    "trex-video-call.pcap": ("frames 1651, messages 7, judged 0", ""),
    "wireshark-sip-rtp.pcapng": ("frames 562, messages 14, judged 0", ""),
    "zeek-call.pcap": ("frames 81, messages 81, judged 0", ""),
}


def calls() -> Section:
    """Real calls."""
    rows = by_file("pcap", "*", CALLS, call)
    about = "By OISF, CESNET, PcapPlusPlus, nDPI, Wireshark, Zeek and TRex. There is no SDES key in any."
    return Section("Real calls", about, "file", rows)
