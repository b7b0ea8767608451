"""The engine: which tool sees which layer, in which order, and what ends a case."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import pytest
from cases import case, databases, raised
from frames import sdp

from monitor.antireplay.ruling import Reason, Ruling
from monitor.exceptions import ExceptionName, Outcome
from monitor.keys.request import UnwrapAnswer, UnwrapRequest
from monitor.sip.mime import Entity, parse_entity
from monitor.toolbox import engine as engine_module
from monitor.toolbox.case import Case
from monitor.toolbox.engine import Engine
from monitor.toolbox.layer import MAX_NESTING, Kind, Layer, Service
from monitor.toolbox.registry import Registry
from monitor.toolbox.template import Match, Step, Template, TemplateError
from monitor.toolbox.tool import NOTHING, Ask, Databases, Peeled

SDP = sdp("A" * 40)


def part(content: bytes, kind: str = "application/sdp", headers: bytes = b"") -> Entity:
    return parse_entity(b"Content-Type: %b\r\n%b\r\n%b" % (kind.encode(), headers, content))


def coded(content: bytes) -> Entity:
    return part(content, headers=b"Content-Encoding: gzip\r\n")


class Probe:
    """A tool that notes what it sees and does as the test says."""

    takes: ClassVar[frozenset[Kind]] = frozenset(Kind)
    provides: ClassVar[frozenset[Service]] = frozenset()
    needs: ClassVar[frozenset[Service]] = frozenset()
    parameters: ClassVar[Mapping[str, type]] = {"name": str}
    log: ClassVar[list[tuple[str, Kind]]] = []
    act: ClassVar[Callable[["Probe", Layer, Case], Peeled | Ask]] = lambda *_: NOTHING

    def __init__(self, databases: Databases, name: str = "probe") -> None:
        if not name:
            raise ValueError("must have a name")
        self.name = name

    def apply(self, layer: Layer, case: Case) -> Peeled | Ask:
        self.log.append((self.name, layer.kind))
        return type(self).act(self, layer, case)


@pytest.fixture
def probe(monkeypatch: pytest.MonkeyPatch) -> type[Probe]:
    monkeypatch.setattr(Probe, "log", [])
    monkeypatch.setattr(Probe, "act", Probe.act)
    return Probe


def template(*steps: Step, name: str = "test", order: int = 10, **more: Any) -> Template:
    return Template(name, order, more.pop("match", Match()), steps or (Step("probe"),), **more)


def engine(*templates: Template) -> Engine:
    return Engine(templates or (template(),), Registry({"probe": Probe}), databases())


def passed(made: Engine, seen: Case, answers: Sequence[UnwrapAnswer] = ()) -> list[UnwrapRequest]:
    """Let a case pass; what was asked meanwhile."""
    layers = made.open(seen)
    compiled = made.choose(layers, seen)
    assert compiled is not None
    steps, asked = made.interpret(seen, layers, compiled), []
    replies = iter(answers)
    try:
        asked.append(next(steps))
        while True:
            asked.append(steps.send(next(replies)))
    except StopIteration:
        return asked


class TestOrder:
    def test_arrival_comes_first_and_the_message_last(self, probe: type[Probe]) -> None:
        passed(engine(), case(SDP))
        assert [kind for _, kind in probe.log] == [Kind.ARRIVAL, Kind.SESSION, Kind.MESSAGE]

    def test_what_comes_out_of_a_layer_goes_before_its_neighbours(self, probe: type[Probe]) -> None:
        contents: list[bytes] = []

        def act(self: Probe, layer: Layer, case: Case) -> Peeled:
            if isinstance(layer.value, bytes):
                contents.append(layer.value)
            inner = Entity("application/sdp", (), (), b"v=0\r\ninner", b"")
            return Peeled(entities=(inner,) if layer.kind is Kind.CODED else ())

        probe.act = act
        body = b"--b\r\n%b\r\n--b\r\n%b\r\n--b--\r\n" % (coded(b"x").raw, part(b"v=0\r\nouter").raw)
        passed(engine(), case(body, "multipart/mixed;boundary=b"))
        assert [each.split()[-1] for each in contents] == [b"inner", b"outer"]

    def test_steps_see_a_layer_in_turn_until_one_is_done_with_it(self, probe: type[Probe]) -> None:
        steps = [Step("probe", {"name": name}) for name in ("one", "two", "three")]
        probe.act = lambda self, layer, case: Peeled(done=self.name == "two" and layer.kind is Kind.SESSION)
        passed(engine(template(*steps)), case(SDP))
        assert [name for name, kind in probe.log if kind is Kind.SESSION] == ["one", "two"]
        assert [name for name, kind in probe.log if kind is Kind.MESSAGE] == ["one", "two", "three"]

    def test_the_lowest_template_that_takes_the_message_has_it(self) -> None:
        narrow = template(name="narrow", match=Match(methods=frozenset({"UPDATE"})))
        wide = template(name="wide", order=20)
        made = engine(narrow, wide)
        for method, name in (("UPDATE", "narrow"), ("INVITE", "wide")):
            seen = case(SDP, method=method)
            chosen = made.choose(made.open(seen), seen)
            assert chosen is not None
            assert chosen.name == name
        seen = case(SDP)
        assert engine(narrow).choose(made.open(seen), seen) is None


class TestFailures:
    def test_a_denial_ends_the_case(self, probe: type[Probe]) -> None:
        def act(self: Probe, layer: Layer, case: Case) -> Peeled:
            if layer.kind is Kind.SESSION:
                case.report(ExceptionName.BAD_SIGNATURE, "wrong")
            return NOTHING

        probe.act = act
        seen = case(SDP)
        passed(engine(), seen)
        assert seen.denied
        assert Kind.MESSAGE not in [kind for _, kind in probe.log]

    def test_the_step_says_before_the_policy_what_a_failure_means(self, probe: type[Probe]) -> None:
        def act(self: Probe, layer: Layer, case: Case) -> Peeled:
            if layer.kind is Kind.SESSION:
                case.report(ExceptionName.BAD_SIGNATURE, self.name)
            return NOTHING

        probe.act = act
        lenient = Step("probe", {"name": "lenient"}, {ExceptionName.BAD_SIGNATURE: Outcome.ALERT})
        seen = case(SDP)
        passed(engine(template(lenient, Step("probe", {"name": "strict"}))), seen)
        assert [(each.detail, each.outcome) for each in seen.raised] == [
            ("lenient", Outcome.ALERT),
            ("strict", Outcome.DENY),
        ]
        assert seen.meanings is None

    def test_a_layer_that_no_tool_takes_is_unsupported_unless_ignored(self) -> None:
        class Judge(Probe):
            takes = frozenset({Kind.SESSION, Kind.MESSAGE})

        registry = Registry({"probe": Judge})
        for ignored in (frozenset[Service](), frozenset({Service.COMPRESSION})):
            seen = case(coded(b"x").raw, "multipart/mixed;boundary=none")
            made = Engine([template(ignored=ignored)], registry, databases())
            layers = [Layer(Kind.COMPRESSED, None)]
            compiled = made.choose(layers, seen)
            assert compiled is not None
            assert list(made.interpret(seen, layers, compiled)) == []
            assert raised(seen) == ([] if ignored else ["unsupported"])

    def test_keys_without_a_required_service_are_told(self, probe: type[Probe]) -> None:
        def act(self: Probe, layer: Layer, case: Case) -> Peeled:
            if layer.kind is Kind.SESSION and isinstance(layer.value, bytes):
                case.sightings[layer.value] = None  # type: ignore[assignment]
            return NOTHING

        probe.act = act
        seen = case(SDP)
        passed(engine(template(required=frozenset({Service.INTEGRITY}))), seen)
        assert [(str(each.name), each.detail) for each in seen.raised] == [
            ("service-missing", "template test requires integrity")
        ]

    def test_a_parameter_that_a_tool_cannot_use(self) -> None:
        with pytest.raises(TemplateError, match="template test: step probe: must have a name"):
            engine(template(Step("probe", {"name": ""})))


class TestBounds:
    def test_layers_in_one_message(self, probe: type[Probe], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(engine_module, "MAX_LAYERS", 5)
        probe.act = lambda self, layer, case: Peeled(
            entities=[part(SDP)] * 9 if layer.kind is Kind.CODED else ()
        )
        seen = case(b"x", headers="Content-Encoding: gzip\r\n")
        passed(engine(), seen)
        assert raised(seen) == ["limit"]

    def test_layers_within_layers(self, probe: type[Probe]) -> None:
        probe.act = lambda self, layer, case: Peeled(
            entities=(coded(b"x"),) if layer.kind is Kind.CODED else ()
        )
        seen = case(b"x", headers="Content-Encoding: gzip\r\n")
        passed(engine(), seen)
        assert raised(seen) == ["limit"]
        assert len(probe.log) <= MAX_NESTING + 3


def test_an_ask_rests_the_case_until_it_is_answered(probe: type[Probe]) -> None:
    request = UnwrapRequest((), 16)
    got: list[UnwrapAnswer] = []

    def then(answer: UnwrapAnswer) -> Peeled:
        got.append(answer)
        return NOTHING

    probe.act = lambda self, layer, case: Ask(request, then) if layer.kind is Kind.SESSION else NOTHING
    seen = case(SDP)
    assert passed(engine(), seen, [UnwrapAnswer(b"k" * 16)]) == [request]
    assert got == [UnwrapAnswer(b"k" * 16)]
    assert probe.log[-1][1] is Kind.MESSAGE


def test_a_ruling_takes_in_what_the_tools_alerted() -> None:
    seen = case(SDP)
    seen.alerts.append("weak-signature")
    seen.conclude(Ruling(Reason.FIRST_USE, ("moved",)))
    assert seen.ruling == Ruling(Reason.FIRST_USE, ("moved", "weak-signature"))
