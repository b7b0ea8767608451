"""All sections, in the order of the document."""

import os
import shutil
from collections.abc import Callable
from functools import cache

import cms_rows
import published_rows
import sdp_rows
import sip_rows
import torture_rows
import wire_rows
from matrix import Section

OWN: tuple[Callable[[], Section], ...] = (
    wire_rows.captures,
    wire_rows.links,
    wire_rows.tunnels,
    wire_rows.fragmentation,
    wire_rows.streams,
    sip_rows.recognised,
    sip_rows.messages,
    sip_rows.codings,
    sip_rows.bodies,
    sdp_rows.sdes,
    sdp_rows.dialects,
    cms_rows.envelopes,
    cms_rows.signatures,
    cms_rows.layers,
)
PUBLISHED: tuple[Callable[[], Section], ...] = (
    torture_rows.rfc4475,
    torture_rows.rfc5118,
    torture_rows.jain_sip,
    torture_rows.libosip2,
    published_rows.sdes,
    published_rows.smime_files,
    published_rows.calls,
)


@cache
def sections() -> tuple[Section, ...]:
    """Those that can be made here: without SIP_CORPORA none of what others published."""
    published = PUBLISHED if os.environ.get("SIP_CORPORA") else ()
    return tuple(make() for make in (*OWN, *published))


def missing() -> str:
    """What keeps the document from being made whole, empty where nothing does."""
    if not os.environ.get("SIP_CORPORA"):
        return "SIP_CORPORA is not set"
    return "" if shutil.which("openssl") else "openssl is not installed"
