"""The picture of a run: calls over time, what was ruled in them, and what came again where."""

from collections.abc import Iterator, Sequence

from monitor.antireplay.ruling import Reason
from monitor.media.repeat import Harm
from monitor.observe.report.axis import Axis
from monitor.observe.report.findings import ACCEPTED, DENIED, EXCEPTIONAL, Call, Findings, Incident
from monitor.observe.report.judged import MAX_TEXT
from monitor.observe.report.markup import Markup, joined, shortened, tag
from monitor.observe.report.parts import left_out
from monitor.observe.report.report import Media, Report
from monitor.observe.report.words import clock, count, duration, listed, moment

MAX_ROWS = 40
"""Calls that are drawn."""
MAX_LINKS = 60
"""Lines between originals and what repeats them."""
MAX_SPANS = 60
"""Stretches of media that are drawn."""

_WIDTH, _LABELS, _MARGIN = 1080.0, 262.0, 14.0
_TOP, _ROW, _STRIP, _FOOT = 14.0, 34.0, 56.0, 34.0


def timeline(report: Report) -> Iterator[Markup]:
    """The picture with what its signs mean; nothing where there is nothing to draw."""
    calls, there = chosen(report.findings, report.media), len(report.findings.calls)
    if not calls and not list(report.findings.density):
        return
    summed = len(calls) < there or bool(report.findings.troubles) or not calls
    axis = Axis(list(_times(report, calls, summed)), _LABELS, _WIDTH - _MARGIN)
    drawing = _Drawing(report, calls, axis, summed)
    yield tag("div", drawing.picture(), class_="scroll")
    yield _legends(report.media)
    if there > len(calls):
        said = f"{len(calls)} of {there:,} calls are drawn: those with denials before all others."
        yield left_out(said)
    if not_drawn := drawing.not_drawn():
        yield left_out(f"Not drawn are {listed(not_drawn)}.")


def chosen(findings: Findings, media: Media) -> list[Call]:
    """The calls that are drawn, by their beginning: those of incidents before all others."""
    wanted: dict[str, None] = {}
    for incident in findings.incidents.values():
        for judged in (incident.original, incident.denied):
            if judged is not None:
                wanted[judged.call_id] = None
    for repeat in media.repeats:
        wanted |= dict.fromkeys((repeat.earlier.call_id, repeat.later.call_id))
    calls = [call for call_id in wanted if (call := findings.calls.get(call_id)) is not None]
    if len(calls) < MAX_ROWS:
        others = (call for call in findings.calls.values() if call.call_id not in wanted)
        calls += sorted(others, key=lambda call: (not call.denied, not call.marks, call.start))
    return sorted(calls[:MAX_ROWS], key=lambda call: call.start)


def _times(report: Report, calls: Sequence[Call], summed: bool) -> Iterator[int]:
    for call in calls:
        yield from (call.start, call.end)
        yield from (time for time, _ in call.marks)
    for repeat in report.media.repeats[:MAX_SPANS]:
        for span in (repeat.earlier_span, repeat.later_span):
            # Something goes on all the while, so that none of it is left out.
            yield from (span.start + (span.end - span.start) * step // 8 for step in range(9))
    if summed:
        yield from (start for start, _ in report.findings.density)


class _Drawing:
    """:param summed: whether to draw, above the calls, how many rulings there were when."""

    def __init__(self, report: Report, calls: Sequence[Call], axis: Axis, summed: bool) -> None:
        self._report, self._calls, self._axis, self._summed = report, calls, axis, summed
        self._rows = _TOP + (_STRIP if summed else 0)
        self._bottom = self._rows + _ROW * len(calls)
        self._middles = {
            call.call_id: self._rows + _ROW * (number + 0.5) for number, call in enumerate(calls)
        }

    def picture(self) -> Markup:
        findings = self._report.findings
        said = (
            f"{count(len(self._calls), 'call')} of {len(findings.calls):,} over time, with "
            f"{count(findings.denied, 'denial')}. The tables below say the same in words."
        )
        return tag(
            "svg",
            tag("title", "Calls and denials over time", id="timeline-title"),
            tag("desc", said, id="timeline-said"),
            *self._bands(),
            *self._breaks(),
            *(self._strip() if self._summed else ()),
            *(part for call in self._calls for part in self._call(call)),
            *self._media(),
            *self._links(),
            *(part for call in self._calls for part in self._marks(call)),
            *self._labels(),
            viewBox=f"0 0 {_WIDTH:.0f} {self._bottom + _FOOT:.0f}",
            role="img",
            aria_labelledby="timeline-title timeline-said",
            class_="timeline",
        )

    def not_drawn(self) -> list[str]:
        """What limits keep out of the rows that are there."""
        links = sum(self._ends(incident) is not None for incident in self._report.findings.incidents.values())
        marks = sum(call.further for call in self._calls)
        left = (
            (links - MAX_LINKS, "further line from an original", "further lines from originals"),
            (marks, "further ruling", "further rulings"),
            (
                len(self._report.media.repeats) - MAX_SPANS,
                "further pair of streams",
                "further pairs of streams",
            ),
        )
        return [count(number, one, many) for number, one, many in left if number > 0]

    def _bands(self) -> Iterator[Markup]:
        for call in self._calls[1::2]:
            top = self._middles[call.call_id] - _ROW / 2
            yield tag("rect", y=top, width=_WIDTH, height=_ROW, class_="band")

    def _breaks(self) -> Iterator[Markup]:
        for before, after in zip(self._axis.segments, self._axis.segments[1:], strict=False):
            left = before.left + before.width
            middle = (left + after.left) / 2
            long = duration(after.start - before.end)
            height = self._bottom - _TOP
            yield tag(
                "g",
                tag("title", f"{long} in which nothing happens are left out"),
                tag("rect", x=left + 2, y=_TOP, width=after.left - left - 4, height=height, class_="break"),
                tag(
                    "text",
                    long,
                    x=middle,
                    y=_TOP + height / 2,
                    transform=f"rotate(-90 {middle:.1f} {_TOP + height / 2:.1f})",
                    class_="break-label",
                )
                if height > 60
                else None,
            )

    def _strip(self) -> Iterator[Markup]:
        """How many rulings and exceptions there were when."""
        density = self._report.findings.density
        most = max((sum(counts) for _, counts in density), default=1)
        base, height = _TOP + _STRIP - 12, _STRIP - 16
        yield tag("text", "all rulings", x=_LABELS - 12, y=base - height / 2 + 4, class_="row-label")
        for start, counts in density:
            left = self._axis.place(start)
            width = max(self._axis.place(start + density.width) - left - 0.5, 1.5)
            at = base
            for kind, name in ((ACCEPTED, "ok"), (EXCEPTIONAL, "warn"), (DENIED, "bad")):
                if counts[kind]:
                    tall = max(counts[kind] / most * height, 1.5)
                    at -= tall
                    yield tag("rect", x=left, y=at, width=width, height=tall, class_=f"bin {name}")
        yield tag("line", x1=_LABELS, x2=_WIDTH - _MARGIN, y1=base, y2=base, class_="axis")

    def _call(self, call: Call) -> Iterator[Markup]:
        middle = self._middles[call.call_id]
        left, right = self._axis.place(call.start), self._axis.place(call.end)
        said = f"{call.caller} calls {call.callee}, {moment(call.start)} UTC, {call.messages} messages"
        yield tag(
            "text",
            f"{shortened(_user(call.caller), 19)} → {shortened(_user(call.callee), 19)}",
            tag("title", f"{said}, Call-ID {call.call_id}"),
            x=_LABELS - 12,
            y=middle - 1,
            class_="row-label",
        )
        yield tag(
            "text",
            f"{call.source} → {call.destination}"
            if len(call.source) + len(call.destination) < 40
            else f"from {call.source}",
            x=_LABELS - 12,
            y=middle + 11,
            class_="row-note",
        )
        yield tag(
            "rect", tag("title", said), x=left, y=middle - 3, width=max(right - left, 2), height=6, rx=3,
            class_="call",
        )  # fmt: skip
        if call.answered is not None:
            since = self._axis.place(call.answered)
            until = self._axis.place(call.ended if call.ended is not None else call.end)
            if until > since:
                yield tag("rect", x=since, y=middle - 3, width=until - since, height=6, class_="talk")

    def _marks(self, call: Call) -> Iterator[Markup]:
        middle = self._middles[call.call_id]
        for time, reason in sorted(call.marks, key=lambda mark: mark[1].denies):
            yield _mark(self._axis.place(time), middle, time, reason)

    def _links(self) -> Iterator[Markup]:
        drawn = 0
        for number, incident in enumerate(self._report.findings.incidents.values(), 1):
            ends = self._ends(incident)
            if ends is None or drawn >= MAX_LINKS:
                continue
            drawn += 1
            (x1, y1), (x2, y2) = ends
            bend = (x1 + x2) / 2
            lift = y1 - 15 if y1 == y2 else None
            path = (
                f"M{x1:.1f} {y1:.1f} Q{bend:.1f} {lift:.1f} {x2:.1f} {y2:.1f}"
                if lift is not None
                else f"M{x1:.1f} {y1:.1f} C{bend:.1f} {y1:.1f} {bend:.1f} {y2:.1f} {x2:.1f} {y2:.1f}"
            )
            yield tag("path", tag("title", f"Denial {number}"), d=path, class_="link")

    def _ends(self, incident: Incident) -> tuple[tuple[float, float], tuple[float, float]] | None:
        original = incident.original
        if original is None:
            return None
        one, other = (self._middles.get(each.call_id[:MAX_TEXT]) for each in (original, incident.denied))
        if one is None or other is None:
            return None
        return (self._axis.place(original.time), one), (self._axis.place(incident.denied.time), other)

    def _media(self) -> Iterator[Markup]:
        """Media whose keystream repeats, under the calls that it belongs to."""
        for repeat in self._report.media.repeats[:MAX_SPANS]:
            for stream, span in ((repeat.earlier, repeat.earlier_span), (repeat.later, repeat.later_span)):
                middle = self._middles.get(stream.call_id)
                if middle is not None:
                    left, right = self._axis.place(span.start), self._axis.place(span.end)
                    below = 11 if repeat.harm is Harm.KEYSTREAM_REUSED else 6
                    said = f"{repeat.harm}: {count(repeat.packets, 'packet')}, SSRC {stream.ssrc:08x}"
                    yield tag(
                        "rect", tag("title", said), x=left, y=middle + below, width=max(right - left, 3),
                        height=4, class_=f"media {repeat.harm}",
                    )  # fmt: skip

    def _labels(self) -> Iterator[Markup]:
        yield tag("line", x1=_LABELS, x2=_WIDTH - _MARGIN, y1=self._bottom, y2=self._bottom, class_="axis")
        free, day = 0.0, ""
        for segment in self._axis.segments:
            if segment.left < free:
                continue
            told = moment(segment.start)
            yield tag(
                "line", x1=segment.left, x2=segment.left, y1=self._bottom, y2=self._bottom + 4, class_="axis"
            )
            yield tag("text", told[11:19], x=segment.left, y=self._bottom + 15, class_="tick")
            if told[:10] != day:
                day = told[:10]
                yield tag("text", day, x=segment.left, y=self._bottom + 27, class_="tick day")
            free = segment.left + 58
        last = self._axis.segments[-1]
        if last.left + last.width > free + 50:
            yield tag(
                "text", clock(last.end)[:8], x=last.left + last.width, y=self._bottom + 15, class_="tick end"
            )


def _mark(x: float, y: float, time: int, reason: Reason) -> Markup:
    said = tag("title", f"{reason.verdict}: {reason}, {moment(time)} UTC")
    if reason.denies:
        return joined(
            tag(
                "g",
                said,
                tag("circle", cx=x, cy=y, r=6.5, class_="mark bad"),
                tag("path", d=f"M{x - 2.6:.1f} {y - 2.6:.1f}l5.2 5.2m0-5.2l-5.2 5.2", class_="cross"),
            )
        )
    return tag("circle", said, cx=x, cy=y, r=4.2, class_="mark ok")


def _user(uri: str) -> str:
    """What of a URI names somebody."""
    return uri.partition(":")[2].partition(";")[0] or uri


def _legends(media: Media) -> Markup:
    return tag(
        "ul",
        _legend("accepted", tag("circle", cx=11, cy=7, r=4.2, class_="mark ok")),
        _legend(
            "denied",
            tag("circle", cx=11, cy=7, r=6.5, class_="mark bad"),
            tag("path", d="M8.4 4.4l5.2 5.2m0-5.2l-5.2 5.2", class_="cross"),
        ),
        _legend("from the original to what repeats it", tag("path", d="M0 7h22", class_="link")),
        _legend("call", tag("rect", y=4, width=22, height=6, rx=3, class_="call")),
        _legend("answered", tag("rect", y=4, width=22, height=6, class_="talk")),
        *(
            (
                _legend("keystream reused", _swatch("media keystream-reused")),
                _legend("packets replayed", _swatch("media packets-replayed")),
            )
            if media.repeats
            else ()
        ),
        class_="legend",
    )


def _swatch(kind: str) -> Markup:
    return tag("rect", y=4, width=22, height=5, class_=kind)


def _legend(said: str, *sign: Markup) -> Markup:
    return tag("li", tag("svg", *sign, viewBox="0 0 22 14", aria_hidden="true"), said)
