"""The daemon's clock while the host's is set."""

import pytest
from frames import Tape, invite, sdp, udp

from monitor.antireplay.policy import Policy
from monitor.antireplay.ruling import Reason
from monitor.assembly import REPLAY_SECRET, assemble
from monitor.clock import RATE, SteadyClock
from monitor.config.selector import PolicyList
from monitor.record import RulingRecord
from monitor.store.memory import MemoryStore
from monitor.wire.frame import NANOSECONDS, Frame

START = 1_700_000_000 * NANOSECONDS
HOUR, DAY = 3600, 86400


class Host:
    """A host whose clock is set, and time that passes."""

    def __init__(self) -> None:
        self.wall, self.steady = START, 77 * NANOSECONDS
        self.clock = SteadyClock(lambda: self.wall, lambda: self.steady)

    def after(self, seconds: float, step: float = 0) -> float:
        """Our time since the start, in seconds, when time has passed and the clock was set meanwhile."""
        self.steady += round(seconds * NANOSECONDS)
        self.wall += round((seconds + step) * NANOSECONDS)
        return (self.clock() - START) / NANOSECONDS


def test_it_goes_as_the_hosts_does() -> None:
    host = Host()
    assert [host.after(seconds) for seconds in (0, 1, 59)] == [0, 1, 60]
    assert host.after(1, step=0.05) == pytest.approx(61.05)


@pytest.mark.parametrize("step", [HOUR, -HOUR, 5, -5])
def test_a_step_is_made_up_for_slowly(step: int, caplog: pytest.LogCaptureFixture) -> None:
    host = Host()
    assert host.after(1, step) == pytest.approx(1, abs=0.1)
    assert host.after(32) == pytest.approx(33, abs=1 + 33 / RATE)
    host.after(abs(step) * RATE)
    assert host.clock() == host.wall
    assert caplog.text.count("the host's clock was set") == 1


def test_it_never_goes_back() -> None:
    host = Host()
    times = [host.after(1, step) for step in (0, -HOUR, 0, 0, HOUR, 0, -5, 0)]
    assert times == sorted(times)


def test_a_clock_that_was_not_set_yet_is_followed_at_once(caplog: pytest.LogCaptureFixture) -> None:
    host = Host()
    assert host.after(1, 50 * 365 * DAY) == 50 * 365 * DAY + 1
    assert "followed at once" in caplog.text


@pytest.mark.parametrize("step", [HOUR, -HOUR, 20 * HOUR, -20 * HOUR])
def test_no_retransmission_is_denied_and_no_replay_accepted_when_the_clock_is_set(step: int) -> None:
    """It is set between each two packets, back and forth."""
    host, tape = Host(), Tape()
    core = assemble(store=MemoryStore(), secret=REPLAY_SECRET, policies=PolicyList(Policy()))
    message = invite(sdp("A" * 40))

    def rules(payload: bytes, source: str, seconds: float, step: int) -> Reason:
        host.after(seconds, step)
        tape.number += 1
        packet = udp(source, "192.0.2.1", payload)
        core.feed(Frame(tape.number, host.clock(), tape.frame(packet).link, packet, len(packet)))
        record = core.settle()[-1].records[-1]
        assert isinstance(record, RulingRecord)
        return record.reason

    bob, charles = "192.0.2.5", "192.0.2.66"
    assert rules(message, bob, 0, 0) is Reason.FIRST_USE
    for seconds in (0.5, 1, 2, 4, 8, 16):
        step = -step
        assert rules(message, bob, seconds, step) is Reason.RETRANSMISSION
        assert rules(message, charles, 0.01, 0) is Reason.SOURCE_CHANGED
        assert rules(invite(sdp("A" * 40), call="other"), bob, 0.01, 0) is Reason.KEY_REUSED
    assert rules(message, bob, 40, -step) is Reason.STALE
