"""What tables for people say in short."""

from collections.abc import Sequence


def message(start_line: str) -> str:
    """A start line without the version of SIP, which is always the same."""
    return start_line.removesuffix(" SIP/2.0").removeprefix("SIP/2.0 ")


def first(spis: Sequence[str]) -> str:
    """The first of several, and how many more there are."""
    return f"{spis[0]} +{len(spis) - 1}" if len(spis) > 1 else "".join(spis)
