"""JSON without a blank (RFC 8259), for what is written for each message."""

import json
from collections.abc import Iterable
from typing import Any

_plain = json.JSONEncoder(separators=(",", ":"), check_circular=False)
_make: Any = getattr(json.encoder, "c_make_encoder", None)
# The standard library makes a C encoder anew for each call, which takes twice as long as the encoding.
_pieces: Any = (
    _make(None, _plain.default, json.encoder.encode_basestring_ascii, None, ":", ",", False, False, True)
    if _make is not None
    else lambda document, _: (_plain.encode(document),)
)
_decode = json.JSONDecoder().decode


def encode(document: Any) -> str:
    """A document as ASCII text.

    :raises TypeError: there is something in it that JSON has no form for.
    """
    return "".join(_pieces(document, 0))


def decode(octets: bytes) -> Any:
    """The document that UTF-8 octets stand for.

    :raises ValueError: they are no JSON, or nested too deep to be a record of ours.
    """
    try:
        return _decode(str(octets, "utf-8"))
    except RecursionError:
        raise ValueError("nested too deep") from None


def expect(kind: type, values: Iterable[object]) -> None:
    """See that all ``values`` out of a document are of one type, no subtype: true is no number.

    :raises ValueError: one is not.
    """
    for value in values:
        if type(value) is not kind:
            raise ValueError(f"{kind.__name__} expected, {type(value).__name__} found")
