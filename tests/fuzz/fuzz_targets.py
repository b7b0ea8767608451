"""What is fuzzed: one function for each layer. It returns, or the layer has let something escape.

Frames, segments and pieces are cut out of the input as ``cut`` says, so that an input of any length means
something and small changes of it make small changes of the meaning.
"""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from cryptography import x509
from frames import tcp, udp

from monitor.antireplay.association import Association, RecordError
from monitor.antireplay.dialog import Dialog
from monitor.antireplay.fingerprint import Fingerprinter
from monitor.antireplay.originator import Originator
from monitor.antireplay.policy import Policy
from monitor.antireplay.sad import AssociationDatabase
from monitor.assembly import REPLAY_SECRET, YEAR
from monitor.capture.pcap import open_capture
from monitor.capture.reader import CaptureError
from monitor.cms import ber, content, name
from monitor.cms.enveloped import EnvelopedData
from monitor.cms.error import CmsError
from monitor.cms.signed import SignedData
from monitor.config.load import load as load_config
from monitor.config.problem import ConfigError
from monitor.config.selector import PolicyList
from monitor.exceptions import ExceptionName, Outcome
from monitor.keys.certificate import UNREADABLE
from monitor.keys.ring import KeyRing
from monitor.keys.ring import load as load_keys
from monitor.keys.trust import TrustStore
from monitor.pipeline import Pipeline
from monitor.shipped import shipped
from monitor.sip import coding, message, mime, sdp
from monitor.sip.error import SipError
from monitor.sip.framing import Framed, StreamFramer, is_keepalive, looks_like_sip
from monitor.sip.mime import Entity
from monitor.store.memory import MemoryStore
from monitor.toolbox.engine import Engine
from monitor.toolbox.registry import Registry, registry
from monitor.toolbox.template import TemplateError, load_templates
from monitor.toolbox.tool import Databases
from monitor.toolbox.tools.integrity import verify
from monitor.wire import link
from monitor.wire.decoder import Decoder
from monitor.wire.flow import Flow, Segment, WireError
from monitor.wire.frame import NANOSECONDS, Frame
from monitor.wire.tcp import Streams

Target = Callable[[bytes], None]

KEYS = Path(__file__).parents[2] / "pcaps" / "keys"
LINKS = (link.RAW, *sorted(link.SUPPORTED - {link.RAW}))
START = 1_700_000_000 * NANOSECONDS
MAX_PIECES = 24
MAX_LAYERS = 64


def ignored(*_: object) -> None:
    """A report that nobody listens to."""


def cut(data: bytes, head: int = 0) -> Iterator[tuple[bytes, bytes]]:
    """Pieces of the input, each after ``head`` octets about it and two of its length."""
    for _ in range(MAX_PIECES):
        if len(data) <= head + 2:
            return
        length = int.from_bytes(data[head : head + 2])
        yield data[:head], data[head + 2 : head + 2 + length]
        data = data[head + 2 + length :]


def frames(data: bytes) -> Iterator[Frame]:
    """Frames: an octet each for the link type and the tenths of a second since the last one."""
    time = START
    for number, (head, octets) in enumerate(cut(data, 2), 1):
        time += head[1] * NANOSECONDS // 10
        yield Frame(number, time, LINKS[head[0] % len(LINKS)], octets, len(octets))


def capture(data: bytes) -> None:
    """Capture files, as they are and in gzip."""
    file = os.memfd_create("capture")
    try:
        os.write(file, data)
        with suppress(CaptureError), open_capture(f"/proc/self/fd/{file}") as opened:
            for frame in opened:
                assert frame.length >= 0 <= frame.time
    finally:
        os.close(file)


def decoder(data: bytes) -> None:
    """Link layers, IP, fragments, tunnels."""
    reader = Decoder()
    for frame in frames(data):
        with suppress(WireError):
            reader.decode(frame)
    assert 0 <= reader.fragments.size <= 1 << 20


FLOWS = tuple(Flow(bytes(3) + bytes([host]), 5060, bytes(4), 5060, "tcp") for host in (1, 2))
FLOWS += tuple(flow.reversed() for flow in FLOWS)


def streams(data: bytes) -> None:
    """TCP streams: segments near a sequence number that wraps."""
    table, held = Streams(), 0
    for number, (head, payload) in enumerate(cut(data, 8)):
        flow, flags = FLOWS[head[0] & 3], head[1]
        sequence = int.from_bytes(head[2:4], signed=True) * (1 << (head[0] >> 3 & 15)) % (1 << 32)
        acknowledgment = int.from_bytes(head[4:6], signed=True) % (1 << 32)
        segment = Segment(flow, sequence, acknowledgment, flags, payload, None, head[6] * (head[0] >> 7))
        held += len(payload) + 1000
        delivery = table.feed(segment, START + number * head[7] * NANOSECONDS)
        while delivery is not None:
            assert delivery.start <= delivery.end
            delivery = delivery.also
        assert 0 <= table.size <= held
    assert all(delivery.data for delivery in table.flush())


def sip_message(data: bytes) -> None:
    """SIP messages, whole and in fragments (RFC 3420)."""
    looks_like_sip(data)
    is_keepalive(data)
    for stream in (False, True):
        with suppress(SipError):
            str(message.parse(data, stream=stream)).encode()
    with suppress(SipError):
        message.parse_fragment(data)


def framing(data: bytes) -> None:
    """Streams of messages, however they are cut: the messages are those of the stream in one piece."""
    pieces = [piece for _, piece in cut(data)]
    whole = StreamFramer()
    expected = [each for each in whole.feed(b"".join(pieces), 0) if isinstance(each, Framed)]
    framer, offset, found = StreamFramer(), 0, []
    for piece in pieces:
        found += framer.feed(piece, offset)
        offset += len(piece)
    assert [each for each in found if isinstance(each, Framed)] == expected


def entities(data: bytes) -> None:
    """MIME entities with all that is in them."""
    waiting: list[Entity] = []
    with suppress(SipError):
        waiting.append(mime.parse_entity(data, ignored))
    for _ in range(MAX_LAYERS):
        if not waiting:
            return
        entity = waiting.pop()
        mime.sniff(entity.content)
        if entity.media_type.startswith("multipart/"):
            waiting += mime.parts(entity, ignored)
        elif entity.media_type.startswith("message/"):
            with suppress(SipError):
                if inner := mime.body(mime.tunnelled(entity), ignored):
                    waiting.append(inner)


CODINGS = (b"gzip", b"deflate", b"deflate, gzip", b"x-gzip, identity, deflate", b"gzip;q=1,br")


def codings(data: bytes) -> None:
    """Content codings and transfer encodings."""
    with suppress(SipError):
        assert len(coding.decode(data[1:], CODINGS[data[0] % 5] if data else b"", ignored)) <= max(
            coding.MAX_DECODED, len(data)
        )
    coding.base64(data, ignored)
    coding.quoted_printable(data)
    coding.unarmoured(data)


def session(data: bytes) -> None:
    """Session descriptions with the grammar of RFC 4568."""
    assert len(sdp.keys(data, ignored)) <= sdp.MAX_KEYS
    sdp.keys(b"v=0\r\na=crypto:" + data, ignored)


def elements(data: bytes) -> None:
    """BER: what re-encodes to DER does so once and for all."""
    with suppress(CmsError):
        canonical = ber.der(data)
        assert ber.der(canonical) == canonical
    name.canonical(data)
    with suppress(CmsError):
        name.certificate_names(data)


def cms(data: bytes) -> None:
    """CMS of every kind, and the types that encapsulated content can have."""
    with suppress(CmsError):
        content.parse(data)
    for kind in (content.ENVELOPED_DATA, content.SIGNED_DATA, content.COMPRESSED_DATA):
        with suppress(CmsError):
            content.parse_content(kind, data)


@cache
def trust() -> TrustStore:
    return TrustStore.load(KEYS / "ca.pem")


def signatures(data: bytes) -> None:
    """Signatures, and the certificates that come with them."""
    try:
        signed = content.parse(data)
        if not isinstance(signed, SignedData):
            return
        results = verify(signed, None if signed.content is not None else b"content")
    except CmsError:
        return
    for result in results:
        if result.certificate is not None:
            with suppress(*UNREADABLE):
                certificate = x509.load_der_x509_certificate(result.certificate)
                trust().verify(certificate, START, signed.certificates)


def recipients(data: bytes) -> None:
    """What is asked of the keyholder for an envelope, and what it answers."""
    with suppress(CmsError):
        envelope = content.parse(data)
        if isinstance(envelope, EnvelopedData):
            for recipient in envelope.recipients[:4]:
                keys().directory.normalise(recipient)
            request = keys().directory.request(envelope, 16)
            if request is not None:
                keys().unwrap(request)


def records(data: bytes) -> None:
    """Records as a store gives them back."""
    for kind in (Association, Dialog, Originator):
        with suppress(RecordError):
            kind.decode(data)


@dataclass(frozen=True)
class _Files:
    folder: Path

    @property
    def template(self) -> Path:
        return self.folder / "templates" / "fuzzed.toml"

    @property
    def config(self) -> Path:
        return self.folder / "fuzzed.toml"


@cache
def files() -> _Files:
    folder = Path(tempfile.mkdtemp(prefix="fuzz-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
    (folder / "templates").mkdir()
    return _Files(folder)


@cache
def tools() -> Registry:
    return registry()


def templates(data: bytes) -> None:
    """Template files."""
    files().template.write_bytes(data)
    with suppress(TemplateError):
        load_templates(files().template.parent, tools())


def configuration(data: bytes) -> None:
    """The configuration file."""
    files().config.write_bytes(data)
    with suppress(ConfigError):
        load_config(files().config)


@cache
def keys() -> KeyRing:
    return load_keys(KEYS)


@cache
def parts() -> tuple[Engine, Databases]:
    """The parts of a pipeline that take long to make."""
    hashes = Fingerprinter(REPLAY_SECRET)
    databases = Databases(AssociationDatabase(MemoryStore(), hashes, YEAR), hashes, keys().directory, trust())
    return Engine(load_templates(shipped("templates"), tools()), tools(), databases), databases


def run(inputs: Iterator[Frame], store: MemoryStore | None = None) -> None:
    """Frames through a pipeline of their own, to the end."""
    engine, databases = parts()
    databases.associations.store = store or MemoryStore()
    core = Pipeline(engine, databases, PolicyList(LENIENT))
    for frame in inputs:
        core.feed(frame)
        answer(core)
        core.settle()
    core.finish()
    answer(core)
    core.settle()
    assert core.waiting == 0


LENIENT = Policy(outcomes=dict.fromkeys(ExceptionName, Outcome.ALERT))
"""Goes on where it can, so that what comes after is reached too."""


def answer(core: Pipeline) -> None:
    """Do the private-key work that is asked for."""
    while asks := core.asks():
        for ask in asks:
            core.answer(ask.number, keys().unwrap(ask.request))


def pipeline(data: bytes) -> None:
    """Frames through everything."""
    run(frames(data))


PARTIES = ("192.0.2.1", "192.0.2.5", "192.0.2.66")


def datagrams(data: bytes) -> None:
    """SIP datagrams between three parties, through everything."""
    run(
        Frame(number, START + number * NANOSECONDS, link.RAW, packet, len(packet))
        for number, (head, payload) in enumerate(cut(data, 1), 1)
        for packet in [udp(PARTIES[head[0] % 3], PARTIES[head[0] // 3 % 3], payload[:65000])]
    )


def connection(data: bytes) -> None:
    """SIP over TCP, in segments that may overlap and come in any order, through everything."""

    def packets() -> Iterator[bytes]:
        at = 0
        for head, payload in cut(data, 2):
            sequence = 1000 + at + int.from_bytes(head[:1], signed=True)
            at += len(payload)
            yield tcp(PARTIES[0], PARTIES[1], sequence, payload[:65000], head[1] | 0x10)

    run(
        Frame(number, START + number * NANOSECONDS, link.RAW, packet, len(packet))
        for number, packet in enumerate(packets(), 1)
    )


TARGETS: dict[str, Target] = {
    target.__name__.replace("_", "-"): target
    for target in (
        capture,
        decoder,
        streams,
        sip_message,
        framing,
        entities,
        codings,
        session,
        elements,
        cms,
        signatures,
        recipients,
        records,
        templates,
        configuration,
        datagrams,
        connection,
        pipeline,
    )
}
