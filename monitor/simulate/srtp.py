"""What parties say, as SRTP (RFC 3711, RFC 7714)."""

import hmac
import struct
from collections.abc import Iterator

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from monitor.media.srtp import AUTHENTICATION, ENCRYPTION, SALTING, derive
from monitor.simulate.sdp import Key

SAMPLES = 160
"""Octets of G.711 in a packet: 20 ms."""


def speech(key: Key, ssrc: int, pitch: int, packets: int, first: int = 1) -> list[bytes]:
    """Packets of one party under its key.

    :param pitch: of the voice; another pitch says something else.
    :param first: the first sequence number. The rollover counter begins at 0.
    """
    spoken = _sounds(pitch)
    return [protected(key, ssrc, first + number, next(spoken)) for number in range(packets)]


def _sounds(pitch: int) -> Iterator[bytes]:
    """Something like words and pauses in PCMU, where 0xff is silence."""
    at = 0
    while True:
        talking = at // (400 * pitch) % 3
        yield bytes((0x80 | step * pitch // 7 % 96) if talking else 0xFF for step in range(at, at + SAMPLES))
        at += SAMPLES


def protected(key: Key, ssrc: int, index: int, payload: bytes) -> bytes:
    """One RTP packet of PCMU, encrypted and authenticated."""
    rollovers, sequence = divmod(index, 1 << 16)
    header = struct.pack("!BBHII", 0x80, 0, sequence, (index * SAMPLES) & 0xFFFFFFFF, ssrc)
    protect = _sealed if "GCM" in key.suite else _hashed
    return protect(key, header, rollovers, payload)


def _hashed(key: Key, header: bytes, rollovers: int, payload: bytes) -> bytes:
    master, salt = key.octets[:-14], key.octets[-14:]
    session_salt = int.from_bytes(derive(master, salt, SALTING, 14)) << 16
    index = rollovers << 16 | int.from_bytes(header[2:4])
    counter = session_salt ^ int.from_bytes(header[8:12]) << 64 ^ index << 16
    cipher = Cipher(
        algorithms.AES(derive(master, salt, ENCRYPTION, len(master))), modes.CTR(counter.to_bytes(16))
    )
    packet = header + cipher.encryptor().update(payload)
    tag = hmac.digest(derive(master, salt, AUTHENTICATION, 20), packet + rollovers.to_bytes(4), "sha1")
    return packet + tag[: 4 if key.suite.endswith("_32") else 10]


def _sealed(key: Key, header: bytes, rollovers: int, payload: bytes) -> bytes:
    master, salt = key.octets[:-12], key.octets[-12:]
    iv = bytes(2) + header[8:12] + rollovers.to_bytes(4) + header[2:4]
    nonce = int.from_bytes(iv) ^ int.from_bytes(derive(master, salt, SALTING, 12))
    cipher = AESGCM(derive(master, salt, ENCRYPTION, len(master)))
    return header + cipher.encrypt(nonce.to_bytes(12), payload, header)
