"""The registry of tools: names to classes, the project's own and those that others install."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points

from monitor.toolbox.tool import Tool
from monitor.toolbox.tools import (
    antireplay,
    authentication,
    compression,
    confidentiality,
    freshness,
    integrity,
    nonrepudiation,
    pki,
)

GROUP = "sip_replay_monitor.tools"
"""Entry point group under which an installed distribution offers further tools."""


class RegistryError(Exception):
    """An entry point that offers no tool. One line, with the mend."""


@dataclass(frozen=True, slots=True)
class Registry:
    """The tools there are, by name."""

    tools: Mapping[str, type[Tool]]


def own_tools() -> dict[str, type[Tool]]:
    """The tools that the project brings."""
    tools: dict[str, type[Tool]] = {}
    for family in (
        nonrepudiation,
        compression,
        antireplay,
        confidentiality,
        integrity,
        pki,
        authentication,
        freshness,
    ):
        tools |= family.TOOLS
    return tools


def registry() -> Registry:
    """The project's own tools and those of installed distributions.

    :raises RegistryError: an entry point cannot be loaded, is no tool, or takes a name that is in use.
    """
    tools = own_tools()
    for entry in entry_points(group=GROUP):
        try:
            tool = entry.load()
        except Exception as error:
            raise RegistryError(
                f"tool {entry.name} ({entry.value}) cannot be loaded: {error}; mend or uninstall it"
            ) from error
        if entry.name in tools:
            raise RegistryError(f"tool {entry.name} ({entry.value}): the name is in use; give it another")
        if not all(hasattr(tool, name) for name in ("takes", "provides", "needs", "parameters", "apply")):
            raise RegistryError(
                f"tool {entry.name} ({entry.value}) lacks takes, provides, needs, parameters or apply:"
                " see docs/toolbox.md"
            )
        tools[entry.name] = tool
    return Registry(tools)
