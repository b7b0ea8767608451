"""Parts that several sections of the page are made of."""

from collections.abc import Container, Iterable, Sequence

from monitor.observe.report.markup import Child, Markup, tag


def pill(said: object, kind: str = "") -> Markup:
    """A word in a coloured field.

    :param kind: ``ok``, ``warn``, ``bad`` or nothing.
    """
    return tag("span", str(said), class_=f"pill {kind}".strip())


def table(
    heads: Sequence[str], rows: Iterable[Markup], *, numbers: Container[str] = (), class_: str | None = None
) -> Markup:
    """A table under column heads, which scrolls where there is no room for it.

    :param numbers: heads of the columns of numbers.
    """
    head = (tag("th", each, scope="col", class_="number" if each in numbers else None) for each in heads)
    made = tag("table", tag("thead", tag("tr", *head)), tag("tbody", *rows), class_=class_)
    return tag("div", made, class_="scroll")


def row(*cells: Child) -> Markup:
    """A row of plain cells."""
    return tag("tr", *(tag("td", cell) for cell in cells))


def number(value: int) -> Markup:
    """A cell with a number."""
    return tag("td", f"{value:,}", class_="number")


def left_out(*said: Child) -> Markup:
    """A note on what is not shown."""
    return tag("p", *said, class_="note")
