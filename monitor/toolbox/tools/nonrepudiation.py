"""Non-repudiation: which messages are kept as evidence. What is kept is written by ``observe.evidence``."""

from collections.abc import Mapping
from typing import Any, ClassVar

from monitor.exhibit import Keep
from monitor.toolbox.case import Case
from monitor.toolbox.layer import Kind, Layer, Service
from monitor.toolbox.tool import NOTHING, Databases, Peeled


class NonRepudiation:
    """Marks messages to be kept, before anything can deny them.

    :param keep: which; as the configuration says where it is None.
    """

    takes: ClassVar[frozenset[Kind]] = frozenset({Kind.ARRIVAL})
    provides: ClassVar[frozenset[Service]] = frozenset()
    needs: ClassVar[frozenset[Service]] = frozenset()
    parameters: ClassVar[Mapping[str, type]] = {"keep": Keep}

    def __init__(self, databases: Databases, keep: Keep | None = None) -> None:
        # Without an evidence log there is nowhere to keep anything.
        self._keep = databases.evidence and (keep or databases.evidence)

    def apply(self, layer: Layer, case: Case) -> Peeled:
        """Mark one message."""
        case.keep = self._keep
        return NOTHING


TOOLS: dict[str, type[Any]] = {"non-repudiation": NonRepudiation}
