"""Every scenario through the whole pipeline: what is said must be what the scenario asks for."""

from collections import deque
from functools import cache
from pathlib import Path

import pytest

from monitor.antireplay.ruling import Reason, Verdict
from monitor.assembly import REPLAY_SECRET, assemble
from monitor.config.selector import PolicyList
from monitor.keys.directory import Directory
from monitor.keys.ring import KeyRing, load
from monitor.keys.trust import TrustStore
from monitor.pipeline import Ask, Pipeline
from monitor.record import ExceptionRecord, Record, RulingRecord
from monitor.simulate import keyring
from monitor.simulate.scenario import Scenario
from monitor.simulate.scenarios import RECIPES, disguises, sealed
from monitor.simulate.stage import Setting
from monitor.store.memory import MemoryStore

KEYS = Path(__file__).parents[2] / "pcaps" / "keys"


@cache
def setting() -> Setting:
    return Setting(keyring.load(KEYS))


@cache
def made(name: str) -> Scenario:
    return RECIPES[name].made(setting())


@pytest.fixture(scope="module")
def ring() -> KeyRing:
    return load(KEYS)


def rule(scenario: Scenario, ring: KeyRing, delay: int = 0) -> list[Record]:
    """What the pipeline says of a scenario's frames.

    :param delay: frames that pass before private-key work is answered.
    """
    pipeline = assemble(
        store=MemoryStore(),
        secret=REPLAY_SECRET,
        policies=PolicyList(scenario.policy),
        directory=ring.directory,
        trust=TrustStore.load(KEYS / "ca.pem"),
    )
    work: deque[tuple[int, Ask]] = deque()
    for frame in scenario.frames:
        pipeline.feed(frame)
        work.extend((frame.number + delay, ask) for ask in pipeline.asks())
        _answer(pipeline, ring, work, frame.number)
    _answer(pipeline, ring, work, len(scenario.frames) + delay)
    return [record for settled in pipeline.settle() for record in settled.records]


def _answer(pipeline: Pipeline, ring: KeyRing, work: deque[tuple[int, Ask]], due: int) -> None:
    while work and work[0][0] <= due:
        ask = work.popleft()[1]
        pipeline.answer(ask.number, ring.unwrap(ask.request))
        work.extend((due, ask) for ask in pipeline.asks())


def reasons(records: list[Record]) -> list[tuple[int, Reason]]:
    return [(one.frame, one.reason) for one in records if isinstance(one, RulingRecord)]


@pytest.mark.parametrize("name", RECIPES)
def test_scenario(name: str, ring: KeyRing) -> None:
    scenario = made(name)
    records = rule(scenario, ring)
    assert reasons(records) == [(one.frame, one.reason) for one in scenario.expected]
    raised = {(one.frame, one.exception) for one in records if isinstance(one, ExceptionRecord)}
    assert raised == {(one.frame, one.exception) for one in scenario.exceptions}
    rulings = [record for record in records if isinstance(record, RulingRecord)]
    for ruling, expected in zip(rulings, scenario.expected, strict=True):
        if expected.verdict is Verdict.ACCEPT:
            assert set(ruling.alerts) == expected.alerts, ruling.frame
        if ruling.reason is Reason.KEY_REUSED:
            assert "master-key" in ruling.tiers
        if ruling.reason is Reason.ENVELOPE_REUSED:
            assert ruling.tiers == ("envelope",)


@pytest.mark.parametrize("delay", [1, 5])
@pytest.mark.parametrize(
    "name", [recipe.name for file in (sealed, disguises) for recipe in file.REPERTOIRE.recipes]
)
def test_late_answers_change_no_ruling(name: str, delay: int, ring: KeyRing) -> None:
    scenario = made(name)
    assert reasons(rule(scenario, ring, delay)) == reasons(rule(scenario, ring))


BEYOND_ENVELOPES = {"insider", "forged-signature", "two-time-pad"}
"""What cannot be seen from outside: a key that a recipient took out or sent back, what a signature covers."""


@pytest.mark.parametrize("name", RECIPES)
def test_without_keys_the_envelopes_are_enough(name: str) -> None:
    scenario = made(name)
    verdicts = [(frame, reason.verdict) for frame, reason in reasons(rule(scenario, KeyRing(Directory())))]
    expected = [(one.frame, one.verdict) for one in scenario.expected]
    assert (verdicts == expected) is (name not in BEYOND_ENVELOPES)


def test_every_reason_has_its_story() -> None:
    told = {one.reason for recipe in RECIPES.values() for one in made(recipe.name).expected}
    assert told == set(Reason)


def test_no_ordinary_call_is_denied() -> None:
    for recipe in RECIPES.values():
        if not recipe.attack:
            scenario = made(recipe.name)
            assert scenario.expected or scenario.name == "unprotected-call"
            assert not scenario.denied, scenario.name


def test_every_attack_has_its_denial_or_its_alert() -> None:
    for recipe in RECIPES.values():
        if recipe.attack:
            scenario = made(recipe.name)
            alerts = any(one.alerts for one in scenario.expected)
            assert scenario.denied or scenario.exceptions or alerts, scenario.name


def test_frames_depend_on_the_seed_alone() -> None:
    other = Setting(setting().identities, seed=1)
    for recipe in RECIPES.values():
        frames = made(recipe.name).frames
        assert recipe.made(setting()).frames == frames, recipe.name
        assert recipe.made(other).frames != frames, recipe.name


def test_times_go_forward() -> None:
    for name in RECIPES:
        times = [frame.time for frame in made(name).frames]
        assert times == sorted(times), name
        assert all(time % 1000 == 0 for time in times), name
