"""The daemon's status as people see it: once, or as a screen that is drawn anew at each look."""

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from rich.console import ConsoleDimensions, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from monitor.cli.asking import COLOURS, latest, moment, table

SPARKS = "▁▂▃▄▅▆▇█"
HISTORY = 60
"""Looks whose packet rates are drawn."""
FRAME = 2
"""Lines of a panel beside its content."""
HEADER = 2
"""Lines of a table beside its rows."""
WIDE = 100
"""Columns from which two panels stand side by side."""
HIGH = 32
"""Lines from which there is room for the queues below one another with all else."""

Status = Mapping[str, Any]


def degraded(status: Status) -> bool:
    """Whether something is missing that the daemon would rule with."""
    keyholder = status["keyholder"]
    return (keyholder is not None and not keyholder["alive"]) or not status["store"]["available"]


class View:
    """What is seen, from one status or from several, one after the other."""

    def __init__(self) -> None:
        self.paused = False
        self._status: Status = {}
        self._before: Status = {}
        self._seconds = 0.0
        self._taken = 0.0
        self._lost: float | None = None
        self._rates: deque[float] = deque(maxlen=HISTORY)

    def take(self, status: Status, now: float) -> None:
        """A fresh status, at ``now`` (seconds of any clock). Rates are against the one before."""
        again = bool(self._status) and status["started"] == self._status["started"]
        self._before = self._status if again else {}
        self._seconds = now - self._taken if again else 0.0
        self._status, self._taken, self._lost = status, now, None
        if self._before:
            self._rates.append(self._rate(_packets))
        else:
            self._rates.clear()

    def lose(self, time: float) -> None:
        """The daemon has gone, at ``time`` unless that is known already."""
        self._lost = self._lost or time

    def once(self) -> RenderableType:
        """All of it, below one another."""
        status = self._status
        parts: list[RenderableType] = [self._head(), "", self._health(), "", self._queues()]
        if self._rulings().row_count:
            parts += ["", self._rulings()]
        if status["recent"]:
            parts += ["", latest(status["recent"])]
        return Group(*parts)

    def screen(self, size: ConsoleDimensions) -> RenderableType:
        """A full screen of ``size``: what does not fit is left out, the rarest and the oldest first."""
        health, queues = self._health(), self._queues()
        wide = size.width >= WIDE
        left = [_panel("health", health)]
        tall = health.row_count + FRAME
        if wide or size.height >= HIGH:
            left.append(_panel("queues", queues))
            tall += queues.row_count + FRAME + HEADER
        room = size.height - 1 - (0 if wide else tall)
        rulings = self._rulings(tall - FRAME - HEADER if wide else max(1, room // 2 - FRAME - HEADER))
        top = Table.grid(expand=True)
        if wide:
            top.add_column(ratio=1)
            top.add_column(ratio=1)
            top.add_row(Group(*left), _panel(self._share("rulings", rulings.row_count), rulings, tall))
            room -= tall
        else:
            top.add_row(Group(*left, _panel(self._share("rulings", rulings.row_count), rulings)))
            room -= rulings.row_count + FRAME + HEADER
        rows = room - FRAME - HEADER
        told = self._status["recent"][-rows:] if rows > 0 else []
        recent = latest(told) if told else Text("none so far", style="dim")
        below = [_panel("latest denials, alerts and exceptions", recent, room)] if rows > 0 else []
        return Group(self._head(keys=True), top, *below)

    def _share(self, title: str, shown: int) -> str:
        """The title of the rulings, with how many kinds of them there are where not all are shown."""
        kinds = len(_told(self._status))
        return title if shown == kinds else f"{title}: the {shown} most frequent of {kinds} kinds"

    def _head(self, keys: bool = False) -> Table:
        status = self._status
        line = Table.grid(expand=True)
        line.add_column(ratio=1, no_wrap=True)
        line.add_column(justify="right", no_wrap=True)
        state = Text(" ruling ", style="black on green")
        if self._lost is not None:
            state = Text(f" gone since {moment(self._lost, '%H:%M:%S')} ", style="bold white on red")
        elif status["rehearsal"]:
            state = Text(f" rehearsing {status['rehearsal']} ", style="black on yellow")
        elif degraded(status):
            state = Text(" ruling with less ", style="black on yellow")
        told = (
            f"  replay-monitor {status['version']}  process {status['process']}  up {_span(status['uptime'])}"
        )
        hint = ("p continues  " if self.paused else "p pauses  ") + "q quits" if keys else ""
        line.add_row(Text.assemble(state, told), Text(hint, style="dim"))
        return line

    def _health(self) -> Table:
        status = self._status
        grid = Table.grid(padding=(0, 2))
        grid.add_column(style="dim", no_wrap=True, min_width=9)
        grid.add_column(no_wrap=True, overflow="ellipsis")
        verdicts = status["verdicts"]
        grid.add_row("packets", self._counted(f"{_packets(status):,}", _packets))
        dropped = (f"{verdicts['deny']:,} dropped", "bold red" if verdicts["deny"] else "")
        grid.add_row("", Text.assemble(dropped, f"   {status['expired']:,} of them were too late"))
        grid.add_row("pending", f"{status['pending']['packets']:,} packets")
        grid.add_row("verdicts", _latency(status["latency"]))
        grid.add_row("commits", _latency(status["commit"]))
        grid.add_row("keyholder", _keyholder(status["keyholder"]))
        grid.add_row("store", _store(status["store"]))
        if status["unexpected"]:
            errors = ", ".join(f"{count} {kind}" for kind, count in status["unexpected"].items())
            grid.add_row("mistakes", Text(f"{errors}: please report", style="bold red"))
        return grid

    def _counted(self, count: str, of: Callable[[Status], int]) -> Text:
        """A count with its rate, and a line of how that rate went."""
        if not self._rates:
            return Text(count)
        most = max(self._rates) or 1.0
        sparks = "".join(SPARKS[min(7, int(rate / most * 7.999))] for rate in list(self._rates)[-20:])
        return Text.assemble(count, f"   {self._rate(of):,.0f}/s  ", (sparks, "cyan"))

    def _rate(self, of: Any) -> float:
        return (
            (of(self._status) - of(self._before)) / self._seconds if self._before and self._seconds else 0.0
        )

    def _queues(self) -> Table:
        made = table(
            "queue", "waiting", "of", "dropped", "lost", right=frozenset(("waiting", "of", "dropped", "lost"))
        )
        for queue in self._status["queues"]:
            full = (queue["length"] or 0) / queue["limit"]
            style = "bold red" if full > 0.8 else "yellow" if full > 0.3 else ""
            made.add_row(
                str(queue["number"]),
                Text(_number(queue["length"]), style=style),
                f"{queue['limit']:,}",
                _bad(queue["dropped"]),
                _bad(queue["user_dropped"]),
            )
        return made

    def _rulings(self, most: int | None = None) -> Table:
        """Rulings and exceptions, the most frequent first."""
        made = table("ruling", "policy", "count", "/s", right=frozenset(("count", "/s")))
        before = {_kind(each): each["count"] for each in _told(self._before)}
        for each in _told(self._status)[:most]:
            verdict, reason, policy, observed = kind = _kind(each)
            style = COLOURS[verdict] if verdict != "accept" else "green"
            rate = (each["count"] - before.get(kind, 0)) / self._seconds if self._before else 0.0
            made.add_row(
                Text(f"{verdict} {reason}" + (" (observed)" if observed else ""), style=style),
                Text(policy),
                f"{each['count']:,}",
                f"{rate:,.1f}" if rate else "",
            )
        return made


def _panel(title: str, content: RenderableType, height: int | None = None) -> Panel:
    return Panel(content, title=title, title_align="left", border_style="dim", height=height)


def _packets(status: Status) -> int:
    return sum(status["packets"].values())


def _told(status: Status) -> list[Mapping[str, Any]]:
    return (
        sorted([*status["rulings"], *status["exceptions"]], key=lambda each: -each["count"]) if status else []
    )


def _kind(each: Mapping[str, Any]) -> tuple[str, str, str, bool]:
    """Verdict or outcome, reason or exception, policy, and whether that was only observed."""
    if "exception" in each:
        return each["outcome"], each["exception"], "", False
    return each["verdict"], each["reason"], each["policy"], each["enforced"] == "false"


def _keyholder(state: Mapping[str, Any] | None) -> Text:
    if state is None:
        return Text("none: envelopes are told apart unopened", style="dim")
    if not state["alive"]:
        return Text("gone: no envelope is opened until it is back", style="bold red")
    refused = (f", {state['refused']:,} refused", "yellow") if state["refused"] else ""
    return Text.assemble(
        f"{state['keys']} keys, {state['pending']:,} pending", refused, f", {_slowest(state['latency'])}"
    )


def _store(state: Mapping[str, Any]) -> Text:
    if not state["available"]:
        return Text("does not answer: see [policy.exceptions] store-unavailable", style="bold red")
    return Text(f"{_number(state['records'])} records, {_size(state['bytes'])}")


def _latency(quantiles: Mapping[str, float | None] | None) -> str:
    if quantiles is None:
        return "none yet"
    return f"half in {_milliseconds(quantiles['p50'])}, 99% in {_milliseconds(quantiles['p99'])}"


def _slowest(quantiles: Mapping[str, float | None] | None) -> str:
    return "none opened yet" if quantiles is None else f"99% in {_milliseconds(quantiles['p99'])}"


def _milliseconds(seconds: float | None) -> str:
    return "longer" if seconds is None else f"{seconds * 1000:g} ms"


def _number(value: int | None) -> str:
    return "?" if value is None else f"{value:,}"


def _bad(value: int | None) -> Text:
    return Text(_number(value), style="bold red" if value else "")


def _size(octets: int | None) -> str:
    if octets is None:
        return "?"
    size = float(octets)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB"


def _span(seconds: float) -> str:
    days, rest = divmod(int(seconds), 86400)
    hours, rest = divmod(rest, 3600)
    minutes, rest = divmod(rest, 60)
    return (f"{days} d " if days else "") + f"{hours:02}:{minutes:02}:{rest:02}"
