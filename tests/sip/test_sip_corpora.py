"""Values in messages that others published; what becomes of each message is in ``tests/conformance``."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from sip_samples import Reports

from monitor.sip import mime
from monitor.sip.message import Message, parse

CORPORA = Path(os.environ.get("SIP_CORPORA", "/nonexistent"))
pytestmark = pytest.mark.skipif(not CORPORA.is_dir(), reason="SIP_CORPORA does not name a folder")


def test_rfc4475_values() -> None:
    message: Callable[[str], Message] = lambda name: parse((CORPORA / f"torture/rfc4475/{name}").read_bytes())  # noqa: E731
    wsinv = message("wsinv.dat")
    assert (wsinv.from_uri, wsinv.from_tag, wsinv.to_tag) == (
        "sip:jdrosen@example.com",
        "98asjd8",
        "1918181833n",
    )
    assert [(via.transport, via.host, via.branch) for via in wsinv.vias] == [
        ("UDP", "192.0.2.2", "390skdjuw"),
        ("TCP", "spindle.example.com", "z9hG4bK9ikj8"),
        ("UDP", "192.168.255.111", "z9hG4bK30239"),
    ]
    assert (wsinv.cseq, wsinv.call_id) == (9, "wsinv.ndaksdj@192.0.2.1")
    intmeth = message("intmeth.dat")
    assert intmeth.method == "!interesting-Method0123456789_*+`.%indeed'~"
    assert intmeth.from_tag == "_token~1'+`*%!-."
    assert message("esc02.dat").method == "RE%47IST%45R"
    assert len(message("longreq.dat").vias) == 34
    assert message("dblreq.dat").body == b""
    found = mime.body(message("mpart01.dat"), Reports())
    assert found is not None
    kinds = [(part.media_type, mime.sniff(part.content)) for part in mime.parts(found, Reports())]
    assert kinds == [("text/plain", None), ("application/octet-stream", "application/pkcs7-mime")]


def test_rfc5118_values() -> None:
    hosts = parse((CORPORA / "torture/rfc5118/via-received-param-no-delim").read_bytes()).vias[0]
    assert (hosts.host, hosts.received) == ("2001:db8::9:1", "2001:db8::9:255")
