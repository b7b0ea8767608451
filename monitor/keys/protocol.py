"""What goes between the daemon and the keyholder: one request or one answer in each packet."""

import struct
from typing import get_args

from monitor.cms.enveloped import Algorithm, Recipient
from monitor.keys.request import UnwrapAnswer, UnwrapRequest

MAX_PACKET = 65536
"""Octets of a packet; ``directory.MAX_REQUEST`` keeps requests well below."""

_KINDS = get_args(Recipient.__annotations__["kind"])
_REQUEST = struct.Struct("!QHBB")  # number, key length, octets of the source, recipients
_ANSWER = struct.Struct("!QB")  # number, keys
_LENGTH = struct.Struct("!I")


def encode_request(number: int, request: UnwrapRequest) -> bytes:
    """A request as one packet."""
    parts = [
        _REQUEST.pack(number, request.key_length, len(request.source), len(request.recipients)),
        request.source,
    ]
    for recipient in request.recipients:
        parts.append(bytes((_KINDS.index(recipient.kind),)))
        for octets in (
            recipient.encrypted_key,
            recipient.algorithm.oid.encode("ascii"),
            recipient.algorithm.parameters,
            recipient.issuer,
            recipient.serial.to_bytes((recipient.serial.bit_length() + 8) // 8, "big", signed=True),
            recipient.key_identifier,
            recipient.originator,
            recipient.user_keying_material,
        ):
            parts += (_LENGTH.pack(len(octets)), octets)
    return b"".join(parts)


def decode_request(packet: bytes) -> tuple[int, UnwrapRequest]:
    """The inverse of ``encode_request``."""
    number, key_length, source_length, count = _REQUEST.unpack_from(packet)
    at = _REQUEST.size
    source = packet[at : at + source_length]
    at += source_length
    recipients: list[Recipient] = []
    for _ in range(count):
        kind = _KINDS[packet[at]]
        at += 1
        fields: list[bytes] = []
        for _ in range(8):
            (length,) = _LENGTH.unpack_from(packet, at)
            at += _LENGTH.size
            fields.append(packet[at : at + length])
            at += length
        encrypted_key, oid, parameters, issuer, serial, key_identifier, originator, material = fields
        recipients.append(
            Recipient(
                kind,
                encrypted_key,
                Algorithm(oid.decode("ascii"), parameters),
                issuer,
                int.from_bytes(serial, "big", signed=True),
                key_identifier,
                originator,
                material,
            )
        )
    return number, UnwrapRequest(tuple(recipients), key_length, source)


def encode_answer(number: int, answer: UnwrapAnswer) -> bytes:
    """An answer as one packet."""
    keys = () if answer.key is None else (answer.key, *answer.further)
    parts = [_ANSWER.pack(number, len(keys))]
    for key in keys:
        parts += (bytes((len(key),)), key)
    return b"".join(parts)


def decode_answer(packet: bytes) -> tuple[int, UnwrapAnswer]:
    """The inverse of ``encode_answer``."""
    number, count = _ANSWER.unpack_from(packet)
    at = _ANSWER.size
    keys: list[bytes] = []
    for _ in range(count):
        stop = at + 1 + packet[at]
        keys.append(packet[at + 1 : stop])
        at = stop
    return number, UnwrapAnswer(keys[0], tuple(keys[1:])) if keys else UnwrapAnswer(None)
