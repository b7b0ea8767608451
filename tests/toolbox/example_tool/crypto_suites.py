"""A tool that refuses session descriptions with SRTP suites that are not allowed (RFC 4568 §6.2)."""

import re
from collections.abc import Mapping
from typing import ClassVar

from monitor.exceptions import ExceptionName
from monitor.toolbox.case import Case
from monitor.toolbox.layer import Kind, Layer, Service
from monitor.toolbox.tool import NOTHING, Databases, Peeled

SUITE = re.compile(rb"^a=crypto:\d+[ \t]+(\S+)", re.MULTILINE)


class CryptoSuites:
    """Looks at every session description, in clear or out of an envelope."""

    takes: ClassVar[frozenset[Kind]] = frozenset({Kind.SESSION})
    provides: ClassVar[frozenset[Service]] = frozenset()
    needs: ClassVar[frozenset[Service]] = frozenset()
    parameters: ClassVar[Mapping[str, type]] = {"allowed": list}

    def __init__(self, databases: Databases, allowed: list[str]) -> None:
        if not allowed:
            raise ValueError("allowed must name a suite")
        self._allowed = frozenset(allowed)

    def apply(self, layer: Layer, case: Case) -> Peeled:
        """Refuse the message for the first suite that is not allowed."""
        assert isinstance(layer.value, bytes)
        for match in SUITE.finditer(layer.value):
            suite = match[1].decode("latin-1")
            if suite not in self._allowed:
                case.report(ExceptionName.REFUSED, f"the suite {suite[:40]} is not allowed")
        return NOTHING
