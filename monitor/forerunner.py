"""Private-key work of captures, done ahead of the pipeline by other processes.

The rulings do not depend on it. What the pipeline asks for is looked up among what they have worked out;
what is not there, because it was not foreseen or they are not as far, is unwrapped when it is asked for,
with the same answer.
"""

import hashlib
import multiprocessing
import signal
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from itertools import islice
from multiprocessing.connection import Connection

from monitor.capture.pcap import open_capture
from monitor.cms.enveloped import EnvelopedData
from monitor.exceptions import DecodeError, ExceptionName
from monitor.keys import protocol
from monitor.keys.directory import Directory
from monitor.keys.request import UnwrapAnswer, UnwrapRequest
from monitor.keys.ring import KeyRing
from monitor.sip import message as sip
from monitor.sip import mime
from monitor.sip.framing import Framed, StreamFramer, looks_like_sip
from monitor.sip.glance import plainly_not_sip
from monitor.toolbox.layer import Place
from monitor.toolbox.peel import peel
from monitor.toolbox.tools.confidentiality import key_length
from monitor.wire.decoder import Decoder
from monitor.wire.flow import Datagram, WireError
from monitor.wire.frame import Frame
from monitor.wire.tcp import Streams

MAX_ANSWERS = 16384
"""Answers kept until they are asked for; the oldest is forgotten first."""
MAX_SEEN = 65536
"""Requests that one process remembers, so that an envelope that comes again is unwrapped once."""
NAME = 16
"""Octets of a request's name."""


class Forerunner:
    """Unwraps as its key ring does, faster where other processes have been there before.

    They read the captures as the pipeline will, each for its share of the messages, and end with ``close``.

    :param paths: captures, none of them standard input.
    :param workers: processes; 0: everything is unwrapped when it is asked for.
    """

    foreseen: int
    """Requests that were found answered."""

    def __init__(self, ring: KeyRing, paths: Sequence[str], workers: int) -> None:
        self.foreseen = 0
        self._ring = ring
        self._answers: dict[bytes, UnwrapAnswer] = {}
        self._connections: list[Connection] = []
        self._stack = ExitStack()
        # A copy of this process has the keys; a new one would read them all again.
        context = multiprocessing.get_context("fork")
        for share in range(workers):
            receiver, sender = context.Pipe(duplex=False)
            process = context.Process(target=_run, args=(ring, paths, share, workers, sender), daemon=True)
            process.start()
            sender.close()
            self._connections.append(receiver)
            self._stack.callback(process.join)
            self._stack.callback(process.terminate)
            self._stack.callback(receiver.close)

    def unwrap(self, request: UnwrapRequest) -> UnwrapAnswer:
        """See ``KeyRing.unwrap``."""
        if not self._connections:
            return self._ring.unwrap(request)
        name = _name(request)
        if name not in self._answers:
            self._hear()
        answer = self._answers.pop(name, None)
        if answer is None:
            return self._ring.unwrap(request)
        self.foreseen += 1
        return answer

    def close(self) -> None:
        """End the processes."""
        self._connections.clear()
        self._stack.close()

    def _hear(self) -> None:
        """Take in what there is; whoever has told all there was to tell is asked no more."""
        for connection in tuple(self._connections):
            try:
                while connection.poll():
                    packet = connection.recv_bytes(protocol.MAX_PACKET)
                    self._answers[packet[:NAME]] = protocol.decode_answer(packet[NAME:])[1]
            except (EOFError, OSError):
                self._connections.remove(connection)
        while len(self._answers) > MAX_ANSWERS:
            del self._answers[next(iter(self._answers))]


def _name(request: UnwrapRequest) -> bytes:
    """Stands for what decides the answer: not for whose message it is in."""
    anonymous = UnwrapRequest(request.recipients, request.key_length)
    return hashlib.sha256(protocol.encode_request(0, anonymous)).digest()[:NAME]


def _run(ring: KeyRing, paths: Sequence[str], share: int, workers: int, sender: Connection) -> None:
    # The terminal's interrupt goes to all; whoever started this ends it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    seen: set[bytes] = set()
    # What cannot be read, or is a mistake of this program, shows where the pipeline meets it.
    with suppress(Exception):
        for raw in islice(_messages(paths), share, None, workers):
            for request in _requests(raw, ring.directory):
                name = _name(request)
                if name not in seen:
                    if len(seen) >= MAX_SEEN:
                        seen.clear()
                    seen.add(name)
                    sender.send_bytes(name + protocol.encode_answer(0, ring.unwrap(request)))


def _messages(paths: Sequence[str]) -> Iterator[bytes]:
    """The SIP messages of captures, in their order."""
    decoder, streams = Decoder(), Streams()
    for path in paths:
        with open_capture(path) as capture:
            for frame in capture:
                if not plainly_not_sip(frame):
                    yield from _of_frame(frame, decoder, streams)


def _of_frame(frame: Frame, decoder: Decoder, streams: Streams) -> Iterator[bytes]:
    try:
        unit = decoder.decode(frame)
    except WireError:
        return
    if isinstance(unit, Datagram):
        yield from (each for each in (unit.payload, unit.alternative) if each and looks_like_sip(each))
    elif unit is not None:
        delivery = streams.feed(unit, frame.time)
        while delivery is not None:
            framer = delivery.stream.context
            if not isinstance(framer, StreamFramer):
                framer = delivery.stream.context = StreamFramer()
            if delivery.data:
                found = framer.feed(delivery.data, delivery.data_start, delivery.gap)
                yield from (each.raw for each in found if isinstance(each, Framed))
            delivery = delivery.also


def _requests(raw: bytes, directory: Directory) -> Iterator[UnwrapRequest]:
    """What will be asked for a message, as far as that shows without opening anything."""
    with suppress(DecodeError):
        entity = mime.body(sip.parse(raw), _ignore)
        if entity is None:
            return
        for layer in peel(entity, _ignore, Place()):
            if isinstance(layer.value, EnvelopedData):
                request = directory.request(layer.value, key_length(layer.value.algorithm))
                if request is not None:
                    yield request


def _ignore(name: ExceptionName, detail: str) -> None:
    """Report nothing: the pipeline does."""
