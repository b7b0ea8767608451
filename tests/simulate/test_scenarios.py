"""Every scenario through the whole pipeline: what is said must be what the scenario asks for."""

from pathlib import Path

import pytest

from monitor.antireplay.ruling import Verdict
from monitor.assembly import REPLAY_SECRET, assemble
from monitor.config.selector import PolicyList
from monitor.keys.ring import load as load_ring
from monitor.pipeline import Settled
from monitor.record import ExceptionRecord, RulingRecord
from monitor.simulate import keyring
from monitor.simulate.scenario import Scenario
from monitor.simulate.scenarios import RECIPES
from monitor.simulate.stage import Setting
from monitor.store.memory import MemoryStore
from monitor.toolbox.tools.pki import TrustStore

KEYS = Path(__file__).parents[2] / "pcaps" / "keys"


@pytest.fixture(scope="module")
def setting() -> Setting:
    return Setting(keyring.load(KEYS))


def rule(scenario: Scenario) -> list[Settled]:
    """What the pipeline says of a scenario's frames."""
    ring = load_ring(KEYS)
    pipeline = assemble(
        store=MemoryStore(),
        secret=REPLAY_SECRET,
        policies=PolicyList(scenario.policy),
        directory=ring.directory,
        trust=TrustStore.load(KEYS / "ca.pem"),
    )
    for frame in scenario.frames:
        pipeline.feed(frame)
        for ask in pipeline.asks():
            pipeline.answer(ask.number, ring.unwrap(ask.request))
    return pipeline.settle()


@pytest.mark.parametrize("name", RECIPES)
def test_scenario(name: str, setting: Setting) -> None:
    scenario = RECIPES[name].made(setting)
    settled = rule(scenario)
    records = [record for each in settled for record in each.records]
    rulings = [record for record in records if isinstance(record, RulingRecord)]
    assert [(one.frame, one.reason) for one in rulings] == [
        (one.frame, one.reason) for one in scenario.expected
    ]
    assert {(one.frame, one.exception) for one in records if isinstance(one, ExceptionRecord)} == {
        (one.frame, one.exception) for one in scenario.exceptions
    }
    for ruling, expected in zip(rulings, scenario.expected, strict=True):
        if expected.verdict is Verdict.ACCEPT:
            assert set(ruling.alerts) == expected.alerts, ruling.frame
        assert "master-key" in ruling.tiers or ruling.reason != "key-reused"
        assert ruling.tiers == ("envelope",) or ruling.reason != "envelope-reused"


def test_no_ordinary_call_is_denied(setting: Setting) -> None:
    for recipe in RECIPES.values():
        if not recipe.attack:
            scenario = recipe.made(setting)
            assert scenario.expected or scenario.name == "unprotected-call"
            assert not scenario.denied, scenario.name


def test_every_attack_has_its_denial_or_its_alert(setting: Setting) -> None:
    for recipe in RECIPES.values():
        if recipe.attack:
            scenario = recipe.made(setting)
            alerts = any(one.alerts for one in scenario.expected)
            assert scenario.denied or scenario.exceptions or alerts, scenario.name


def test_frames_are_the_same_for_the_same_seed(setting: Setting) -> None:
    other = Setting(setting.identities, seed=1)
    for recipe in RECIPES.values():
        assert recipe.made(setting).frames == recipe.made(setting).frames, recipe.name
        assert recipe.made(setting).frames != recipe.made(other).frames, recipe.name


def test_times_go_forward(setting: Setting) -> None:
    for recipe in RECIPES.values():
        times = [frame.time for frame in recipe.made(setting).frames]
        assert times == sorted(times), recipe.name
        assert all(time % 1000 == 0 for time in times), recipe.name
