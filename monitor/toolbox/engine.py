"""The interpretation engine: peels a message layer by layer and hands each to the tools of its template."""

from collections import deque
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass

from monitor.exceptions import ExceptionName, Outcome
from monitor.keys.request import UnwrapAnswer, UnwrapRequest
from monitor.sip import mime
from monitor.sip.mime import Entity
from monitor.toolbox.case import Case, Denied
from monitor.toolbox.layer import MAX_LAYERS, Kind, Layer, Place, Service, Signed
from monitor.toolbox.peel import peel, peel_signed, peel_typed
from monitor.toolbox.registry import Registry
from monitor.toolbox.template import Template, TemplateError
from monitor.toolbox.tool import Ask, Databases, Tool

GIVEN_BY = {
    Service.CONFIDENTIALITY: Kind.ENVELOPE,
    Service.INTEGRITY: Kind.SIGNED,
    Service.COMPRESSION: Kind.COMPRESSED,
}
"""The kind of layer that comes with a service."""

Interpretation = Generator[UnwrapRequest, UnwrapAnswer, None]
"""A case under way: gives private-key work to be done, is resumed with its answers."""


@dataclass(frozen=True, slots=True)
class _Step:
    tool: Tool
    meanings: dict[ExceptionName, Outcome]


@dataclass(frozen=True, slots=True)
class Compiled:
    """A template with its tools made, its steps sorted by the kind of layer that they take."""

    template: Template
    steps: dict[Kind, tuple[_Step, ...]]

    @property
    def name(self) -> str:
        """The template's name."""
        return self.template.name

    @property
    def ignored(self) -> frozenset[Kind]:
        """Layers that may pass without a tool: what gives them their service is ignored."""
        return frozenset(GIVEN_BY[service] for service in self.template.ignored if service in GIVEN_BY)

    def demand(self, layer: Layer, case: Case, found: bool, blind: bool) -> None:
        """See that keys stand under all the services that the template requires.

        :param found: key material was found in this layer.
        :param blind: the layer is an envelope that nobody here can look into.
        :raises Denied: a service is missing, and the policy denies that.
        """
        if not self.template.required:
            return
        lacking = self.template.required - layer.place.services
        if blind:
            lacking -= {Service.CONFIDENTIALITY}
        if lacking and (found or blind):
            names = ", ".join(sorted(lacking))
            case.report(ExceptionName.SERVICE_MISSING, f"template {self.name} requires {names}")


class Engine:
    """Interprets templates.

    :param templates: in the order in which they are tried.
    :raises TemplateError: a step's parameter is missing, or has a value that its tool cannot use.
    """

    def __init__(self, templates: Sequence[Template], registry: Registry, databases: Databases) -> None:
        self.templates = tuple(templates)
        self._compiled = [_compile(template, registry, databases) for template in templates]

    def choose(self, layers: Sequence[Layer], case: Case) -> Compiled | None:
        """The template for a message that shows these layers; None where no template takes it."""
        kinds = frozenset(layer.kind for layer in layers)
        for compiled in self._compiled:
            if compiled.template.match.takes(kinds, case.message, case.facts.source):
                return compiled
        return None

    def open(self, case: Case) -> list[Layer]:
        """The layers that a message shows before any tool is at work.

        :raises Denied: something in it cannot be read, and the policy denies that.
        """
        entity = mime.body(case.message, case.report)
        return [] if entity is None else self._bounded(peel(entity, case.report, Place()), case, 0)

    def interpret(self, case: Case, layers: Sequence[Layer], compiled: Compiled) -> Interpretation:
        """Pass a case through its template; the case holds what came of it."""
        queue = deque(layers)
        seen = len(queue)
        try:
            if Kind.ARRIVAL in compiled.steps:
                yield from self._pass(Layer(Kind.ARRIVAL, None), case, compiled)
            while queue:
                layer = queue.popleft()
                found = yield from self._pass(layer, case, compiled)
                found = self._bounded(found, case, seen)
                seen += len(found)
                queue.extendleft(reversed(found))
            yield from self._pass(Layer(Kind.MESSAGE, None), case, compiled)
        except Denied:
            return
        finally:
            case.meanings = None

    def _pass(
        self, layer: Layer, case: Case, compiled: Compiled
    ) -> Generator[UnwrapRequest, UnwrapAnswer, list[Layer]]:
        """One layer through the steps that take it; gives what came out of it."""
        steps = compiled.steps.get(layer.kind, ())
        if not steps and layer.kind not in compiled.ignored:
            case.report(ExceptionName.UNSUPPORTED, f"template {compiled.name} has no tool for {layer.kind}")
        within, opened, done = layer.place.within, False, False
        before = len(case.sightings)
        entities: list[Entity] = []
        typed: list[tuple[str, bytes]] = []
        case.provided = set()
        for step in steps:
            case.meanings = step.meanings
            result = step.tool.apply(layer, case)
            if isinstance(result, Ask):
                answer = yield result.request
                case.meanings = step.meanings
                result = result.then(answer)
            within, opened = result.within or within, opened or result.opened
            entities += result.entities
            typed += result.typed
            if result.done:
                done = True
                break
        case.meanings = None
        found = layer.kind is Kind.SESSION and len(case.sightings) > before
        blind = layer.kind is Kind.ENVELOPE and not (opened or done)
        compiled.demand(layer, case, found, blind)
        if opened and within is not None:
            case.held.setdefault(within, [])
        if not (entities or typed) and layer.kind is not Kind.SIGNED:
            return []
        services = layer.place.services | case.provided
        place = Place(layer.place.depth + 1, within, services)
        return list(_came_out(layer, entities, typed, case, place))

    @staticmethod
    def _bounded(layers: Iterable[Layer], case: Case, seen: int) -> list[Layer]:
        bounded: list[Layer] = []
        for layer in layers:
            if seen + len(bounded) >= MAX_LAYERS:
                case.report(ExceptionName.LIMIT, f"more than {MAX_LAYERS} layers in one message")
                break
            bounded.append(layer)
        return bounded


def _came_out(
    layer: Layer,
    entities: Sequence[Entity],
    typed: Sequence[tuple[str, bytes]],
    case: Case,
    place: Place,
) -> Iterable[Layer]:
    if isinstance(layer.value, Signed):
        yield from peel_signed(layer.value, case.report, place)
    for entity in entities:
        yield from peel(entity, case.report, place)
    for content_type, octets in typed:
        yield from peel_typed(content_type, octets, case.report, place)


def _compile(template: Template, registry: Registry, databases: Databases) -> Compiled:
    steps: dict[Kind, list[_Step]] = {}
    for step in template.steps:
        try:
            tool = registry.tools[step.tool](databases, **step.parameters)
        except (ValueError, TypeError) as error:
            raise TemplateError([f"template {template.name}: step {step.tool}: {error}"]) from error
        for kind in tool.takes:
            steps.setdefault(kind, []).append(_Step(tool, dict(step.on_failure)))
    return Compiled(template, {kind: tuple(each) for kind, each in steps.items()})
