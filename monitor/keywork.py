"""Private-key work under way: the core's asks, passed on to a keyholder that is kept alive."""

import logging
import time
from collections.abc import Callable
from typing import Protocol

from monitor.keys.error import KeyStoreError
from monitor.keys.request import UnwrapAnswer, UnwrapRequest
from monitor.observe.metrics import Metrics
from monitor.pipeline import Ask

RESTART_INTERVAL = 10.0
"""Seconds between two attempts to start a keyholder that has gone."""
STALL = 10.0
"""Seconds without any answer, while some are due, after which a keyholder hangs and is ended."""

log = logging.getLogger("monitor")


class Core(Protocol):
    """Who asks (see ``pipeline.Pipeline``)."""

    def asks(self) -> list[Ask]: ...
    def answer(self, number: int, answer: UnwrapAnswer) -> None: ...


class KeyHolder(Protocol):
    """Who holds the private keys (see ``keys.holder.KeyHolder``)."""

    alive: bool
    refused: int
    trouble: str

    def fileno(self) -> int: ...
    def send(self, number: int, request: UnwrapRequest) -> bool: ...
    def receive(self) -> list[tuple[int, UnwrapAnswer]]: ...
    def restart(self) -> None: ...
    def kill(self) -> None: ...


class KeyWork:
    """Passes asks and answers on. While there is no keyholder, nobody's envelope is opened; all else goes on.

    :param keyholder: None where no keys are held.
    :param fail: told what goes wrong in the core.
    """

    def __init__(
        self, core: Core, keyholder: KeyHolder | None, metrics: Metrics, fail: Callable[[Exception], None]
    ) -> None:
        self._core, self._metrics, self._fail = core, metrics, fail
        self.keyholder = keyholder
        self._asked: dict[int, float] = {}
        """When each was asked, oldest first."""
        self._answered = 0.0
        self._restart_due = 0.0
        self._alive = True
        self._trouble = ""

    def __len__(self) -> int:
        """Answers that are due."""
        return len(self._asked)

    @property
    def missing(self) -> bool:
        """Whether there should be a keyholder and is none."""
        return self.keyholder is not None and not self.keyholder.alive

    def ask(self) -> None:
        """Pass on what the core asks for; what nobody can do is answered at once."""
        keyholder = self.keyholder
        while asks := self._core.asks():
            for ask in asks:
                if keyholder is None or not keyholder.alive:
                    self._answer(ask.number, UnwrapAnswer(None))
                elif keyholder.send(ask.number, ask.request):
                    self._asked[ask.number] = time.perf_counter()
                else:
                    self._answer(ask.number, UnwrapAnswer(None, refused=True))
        self._metrics.key_work_in_flight = len(self._asked)
        if keyholder is not None:
            self._metrics.key_work_refused = keyholder.refused

    def collect(self) -> bool:
        """Pass answers to the core; whether there were any."""
        assert self.keyholder is not None
        answers = self.keyholder.receive()
        self._look(self.keyholder)
        now = time.perf_counter()
        for number, answer in answers:
            self._answered = now
            self._metrics.key_work.observe(now - self._asked.pop(number, now))
            self._answer(number, answer)
        self.ask()
        return bool(answers)

    def tend(self) -> None:
        """Now and then: start a keyholder that has gone, end one that hangs."""
        keyholder = self.keyholder
        if keyholder is None:
            return
        self._look(keyholder)
        now = time.perf_counter()
        if not keyholder.alive:
            self._revive(keyholder)
        elif self._asked and now - max(self._answered, next(iter(self._asked.values()))) > STALL:
            log.error("the keyholder has not answered for %g s and is ended", STALL)
            self._answered = now
            keyholder.kill()
        self._metrics.keyholder_up = keyholder.alive

    def _look(self, keyholder: KeyHolder) -> None:
        """Tell of a keyholder that goes, comes back, or cannot."""
        if keyholder.alive != self._alive:
            self._alive = keyholder.alive
            if self._alive:
                log.warning("the keyholder is back")
            else:
                self._restart_due = time.monotonic()
                log.error("the keyholder has gone: no envelope is opened until it is back")
        if keyholder.trouble != self._trouble:
            self._trouble = keyholder.trouble
            if self._trouble:
                log.error("the keyholder does not come back: %s", self._trouble)

    def _revive(self, keyholder: KeyHolder) -> None:
        if time.monotonic() < self._restart_due:
            return
        self._restart_due = time.monotonic() + RESTART_INTERVAL
        try:
            keyholder.restart()
        except KeyStoreError as error:
            log.error("the keyholder does not come back: %s", error)

    def _answer(self, number: int, answer: UnwrapAnswer) -> None:
        try:
            self._core.answer(number, answer)
        except Exception as error:
            self._fail(error)
