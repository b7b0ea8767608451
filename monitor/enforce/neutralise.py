"""A denied message made harmless in place: octet for octet as long, and nothing left in it to be read.

What is left of it is a message that its recipient refuses (RFC 3261 §8.2.3) and its sender understands to be
refused: the header fields that name transaction and dialog stay, the body and its type do not.
"""

import re

FILLER = b"x"

_LENGTH = re.compile(rb"(?:content-length|l)[ \t]*+:[ \t]*+(\d{1,9})[ \t]*+", re.IGNORECASE)
_LENGTH_NAME = re.compile(rb"(?:content-length|l)[ \t]*+:", re.IGNORECASE)
_TYPE = re.compile(
    rb"(?<=\r\n)((?:content-type|c)[ \t]*+:[ \t]*+(?>(?:\r\n[ \t]++)*))"
    rb"([^\r\n]*+(?>(?:\r\n[ \t][^\r\n]*+)*))",
    re.IGNORECASE,
)


def neutralise(message: bytes) -> bytes | None:
    """``message`` with its body and each Content-Type overwritten.

    :returns: None where others might find the body elsewhere, or of another length, than we do.
    """
    head, blank, body = message.partition(b"\r\n\r\n")
    pairs = head.count(b"\r\n")
    if not blank or head.count(b"\r") != pairs or head.count(b"\n") != pairs or b"\0" in head:
        return None
    lengths = [line for line in head.split(b"\r\n") if _LENGTH_NAME.match(line)]
    if len(lengths) > 1:
        return None
    if lengths:
        length = _LENGTH.fullmatch(lengths[0])
        if length is None or int(length[1]) != len(body):
            return None
    return _TYPE.sub(_unknown_type, head) + blank + FILLER * len(body)


def _unknown_type(field: re.Match[bytes]) -> bytes:
    """A Content-Type field of the same length with a type that nobody knows, as well-formed as it was."""
    name, value = field.groups()
    slash = value.find(b"/")
    if not 0 < slash < len(value) - 1:
        return bytes(name) + FILLER * len(value)
    return bytes(name) + FILLER * slash + b"/" + FILLER * (len(value) - slash - 1)
