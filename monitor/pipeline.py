"""The one place where the stages are joined: frames in, rulings out. No clock, no socket, no thread."""

from dataclasses import dataclass

from monitor.antireplay.ruling import Verdict
from monitor.antireplay.table import Store
from monitor.keys.request import UnwrapAnswer, UnwrapRequest
from monitor.record import Record
from monitor.wire.frame import Frame


@dataclass(frozen=True, slots=True)
class Ask:
    """Private-key work that some message waits for."""

    number: int
    """Names the ask in ``Pipeline.answer``."""
    request: UnwrapRequest


@dataclass(frozen=True, slots=True)
class Settled:
    """A frame whose messages are all ruled on, and everything accepted in it committed."""

    frame: int
    verdict: Verdict
    records: tuple[Record, ...]


class Pipeline:
    """Frames in, rulings out.

    A shell calls ``feed`` for each frame, passes each of ``asks()`` to whoever holds the private keys and
    gives what comes back to ``answer``, and calls ``settle`` after each batch.
    """

    def __init__(self, store: Store) -> None: ...

    def feed(self, frame: Frame) -> Verdict | None:
        """Take a frame in. A verdict at once where nothing in it is to be judged, else None: see ``settle``."""
        raise NotImplementedError

    def asks(self) -> list[Ask]:
        """The private-key work asked for since the last call."""
        raise NotImplementedError

    def answer(self, number: int, answer: UnwrapAnswer) -> None:
        """Resume the message that waits for ask ``number``."""
        raise NotImplementedError

    def settle(self) -> list[Settled]:
        """Commit, then give every frame fed so far whose messages are all ruled on, oldest first."""
        raise NotImplementedError
