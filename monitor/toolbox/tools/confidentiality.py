"""Confidentiality: opening envelopes whose content-encryption key is known."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, CipherAlgorithm, modes
from cryptography.hazmat.primitives.ciphers.aead import AESCCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.padding import PKCS7

from monitor.cms import ber
from monitor.cms.ber import Cursor
from monitor.cms.enveloped import Algorithm, EnvelopedData, Recipient
from monitor.cms.error import CmsError
from monitor.exceptions import ExceptionName
from monitor.keys.request import UnwrapAnswer
from monitor.toolbox.case import Case
from monitor.toolbox.layer import Kind, Layer, Service
from monitor.toolbox.tool import NOTHING, Ask, Databases, Peeled

DEFAULT_TAG_LENGTH = 12
"""Octets of an AES-GCM or AES-CCM tag whose length is not told (RFC 5084 §3)."""
MAX_REMEMBERED = 16384
"""Wrapped keys whose first content is remembered; the oldest is forgotten first."""
MIN_TAG_LENGTH = 12
"""The shortest tag that is believed; RFC 5084 §3.2 allows no shorter one for AES-GCM."""


@dataclass(frozen=True, slots=True)
class ContentCipher:
    """How content is encrypted."""

    mode: Literal["cbc", "gcm", "ccm", "chacha20-poly1305"]
    key_length: int
    triple_des: bool = False


_AES = "2.16.840.1.101.3.4.1."
_CIPHERS = {
    _AES + "2": ContentCipher("cbc", 16),
    _AES + "22": ContentCipher("cbc", 24),
    _AES + "42": ContentCipher("cbc", 32),
    _AES + "6": ContentCipher("gcm", 16),
    _AES + "26": ContentCipher("gcm", 24),
    _AES + "46": ContentCipher("gcm", 32),
    _AES + "7": ContentCipher("ccm", 16),
    _AES + "27": ContentCipher("ccm", 24),
    _AES + "47": ContentCipher("ccm", 32),
    "1.2.840.113549.3.7": ContentCipher("cbc", 24, triple_des=True),
    "1.2.840.113549.1.9.16.3.18": ContentCipher("chacha20-poly1305", 32),
}


def key_length(algorithm: Algorithm) -> int:
    """Octets of the key that a content-encryption algorithm takes.

    :raises CmsError: unsupported.
    """
    return _cipher(algorithm).key_length


def decrypt(envelope: EnvelopedData, key: bytes, *further: bytes) -> bytes:
    """The content of an envelope.

    :param key: the content-encryption key, or octets that look like one.
    :param further: more of them, where several recipients name a held key. All are tried, in any case.
    :raises CmsError: unsupported, or undecryptable: one error whether the key, the padding or the tag is
        wrong.
    """
    cipher = _cipher(envelope.algorithm)
    opened = [_open(cipher, envelope, candidate) for candidate in (key, *further)]
    content = next((content for content in opened if content is not None), None)
    if content is None:
        raise CmsError(ExceptionName.UNDECRYPTABLE, "CMS: the content does not open with a key held here")
    return content


def _cipher(algorithm: Algorithm) -> ContentCipher:
    cipher = _CIPHERS.get(algorithm.oid)
    if cipher is None:
        raise CmsError(ExceptionName.UNSUPPORTED, f"CMS: content encryption {algorithm.oid}")
    return cipher


def _open(cipher: ContentCipher, envelope: EnvelopedData, key: bytes) -> bytes | None:
    if len(key) != cipher.key_length:
        return None
    try:
        if cipher.mode == "cbc":
            return _open_cbc(cipher, envelope, key)
        return _open_authenticated(cipher, envelope, key)
    except (ValueError, OverflowError, InvalidTag, UnsupportedAlgorithm, CmsError):
        return None


def _open_cbc(cipher: ContentCipher, envelope: EnvelopedData, key: bytes) -> bytes:
    vector = Cursor(envelope.algorithm.parameters).string()
    algorithm: CipherAlgorithm = TripleDES(key) if cipher.triple_des else AES(key)
    decryptor = Cipher(algorithm, modes.CBC(vector)).decryptor()
    padded = decryptor.update(envelope.encrypted_content) + decryptor.finalize()
    unpadder = PKCS7(64 if cipher.triple_des else 128).unpadder()
    return unpadder.update(padded) + unpadder.finalize()


def _open_authenticated(cipher: ContentCipher, envelope: EnvelopedData, key: bytes) -> bytes | None:
    parameters = Cursor(envelope.algorithm.parameters)
    if cipher.mode == "chacha20-poly1305":  # RFC 8103
        nonce, tag_length = parameters.string(), 16
    else:  # GCMParameters and CCMParameters, RFC 5084
        sequence = parameters.enter(ber.SEQUENCE)
        nonce = sequence.string()
        tag_length = sequence.integer() if sequence.at < sequence.end else DEFAULT_TAG_LENGTH
    encrypted, tag = envelope.encrypted_content, envelope.tag
    if tag is None:  # EnvelopedData with an AEAD, as some write it: the tag follows the content
        encrypted, tag = encrypted[:-tag_length], encrypted[-tag_length:]
    if len(tag) != tag_length or not MIN_TAG_LENGTH <= tag_length <= 16:
        return None
    if cipher.mode == "gcm":
        decryptor = Cipher(AES(key), modes.GCM(nonce, tag, MIN_TAG_LENGTH)).decryptor()
        decryptor.authenticate_additional_data(envelope.authenticated)
        return decryptor.update(encrypted) + decryptor.finalize()
    if cipher.mode == "ccm":
        return AESCCM(key, tag_length).decrypt(nonce, encrypted + tag, envelope.authenticated)
    return ChaCha20Poly1305(key).decrypt(nonce, encrypted + tag, envelope.authenticated)


class Confidentiality:
    """Opens envelopes: asks for the content-encryption key, then decrypts the content.

    Of all contents that come under one wrapped key only the first is opened. An honest sender makes a fresh
    key for each (RFC 5652 §6); who tries many contents under a recorded one wants to learn from the verdicts
    which of them open, and so what the recording says (a padding oracle).
    """

    takes: ClassVar[frozenset[Kind]] = frozenset({Kind.ENVELOPE})
    provides: ClassVar[frozenset[Service]] = frozenset({Service.CONFIDENTIALITY})
    needs: ClassVar[frozenset[Service]] = frozenset()
    parameters: ClassVar[Mapping[str, type]] = {}

    def __init__(self, databases: Databases) -> None:
        self._directory, self._hashes = databases.directory, databases.hashes
        self._contents: dict[bytes, bytes] = {}
        """Fingerprint of a wrapped key to the hash of the content that came with it first."""

    def apply(self, layer: Layer, case: Case) -> Peeled | Ask:
        """Ask for what opens one envelope."""
        envelope = layer.value
        assert isinstance(envelope, EnvelopedData)
        try:
            request = self._directory.request(envelope, key_length(envelope.algorithm), case.facts.source)
        except CmsError as error:
            case.report(error.name, error.detail)
            return NOTHING
        if request is None:
            case.report(ExceptionName.UNDECRYPTABLE, "an envelope for nobody whose key is held")
            return NOTHING
        if not self._first(envelope, request.recipients):
            case.report(ExceptionName.UNDECRYPTABLE, "not the first content under its wrapped key")
            return NOTHING
        return Ask(request, lambda answer: _opened(envelope, answer, case))

    def _first(self, envelope: EnvelopedData, recipients: Sequence[Recipient]) -> bool:
        """Whether no wrapped key came with other content before, or with other parameters for it."""
        content, first = hashlib.sha256(_encode(envelope)).digest(), True
        for recipient in recipients:
            wrapped = self._hashes.wrapped_key(self._directory.normalise(recipient))
            first &= self._contents.setdefault(wrapped, content) == content
        while len(self._contents) > MAX_REMEMBERED:
            del self._contents[next(iter(self._contents))]
        return first


def _encode(envelope: EnvelopedData) -> bytes:
    """All that decides whether an envelope opens with a given key."""
    algorithm = envelope.algorithm
    parts = (algorithm.oid.encode(), algorithm.parameters, envelope.authenticated, envelope.tag or b"")
    return b"".join(ber.encode(ber.OCTET_STRING, part) for part in (*parts, envelope.encrypted_content))


def _opened(envelope: EnvelopedData, answer: UnwrapAnswer, case: Case) -> Peeled:
    try:
        if answer.refused:
            raise CmsError(ExceptionName.OVERLOAD, "too many envelopes wait for decryption")
        if answer.key is None:
            raise CmsError(ExceptionName.UNDECRYPTABLE, "the keyholder gives no key")
        content = decrypt(envelope, answer.key, *answer.further)
    except CmsError as error:
        case.report(error.name, error.detail)
        return NOTHING
    case.provided.add(Service.CONFIDENTIALITY)
    return Peeled(typed=((envelope.content_type, content),), opened=True)


TOOLS: dict[str, type[Any]] = {"confidentiality": Confidentiality}
