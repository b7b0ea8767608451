"""The part of the page that shows the denials: who replayed what from where, and each in detail."""

from collections.abc import Iterator, Sequence

from monitor.antireplay.fingerprint import spi
from monitor.antireplay.observation import Tier
from monitor.observe.report.difference import MAX_LINES, Mark, Piece, compare
from monitor.observe.report.findings import Findings, Incident
from monitor.observe.report.judged import Judged
from monitor.observe.report.ladder import ladder
from monitor.observe.report.markup import Child, Markup, joined, shortened, tag, text
from monitor.observe.report.parts import pill, table
from monitor.observe.report.words import MEANINGS, clock, count, duration, examples, headline, moment, octets
from monitor.wire import address

MAX_SPIS = 4
"""Fingerprints that a row of the overview names."""
MAX_SHOWN = 50
"""Incidents that are shown in detail; of the others the table tells."""

_SIGNS = {Mark.SAME: "", Mark.CHANGED: "≠", Mark.GONE: "−", Mark.NEW: "+"}
_SAID = {
    Mark.SAME: "the same in both",
    Mark.CHANGED: "differs",
    Mark.GONE: "only in the original",
    Mark.NEW: "only in what was denied",
}


def overview(findings: Findings) -> Markup:
    """Who replayed what from where, a row for each kind of denial."""
    rows = [
        tag(
            "tr",
            tag("td", _reference(number), class_="number"),
            tag("td", text(incident.denied.source), _claims(incident)),
            tag("td", _what(incident)),
            tag("td", _whence(incident)),
            tag("td", pill(incident.denied.reason, "bad")),
            tag("td", f"{incident.count:,}", class_="number"),
            tag("td", _when(incident), class_="nowrap"),
        )
        for number, incident in enumerate(findings.incidents.values(), 1)
    ]
    heads = ("#", "who sent it", "what", "first seen from", "reason", "times", "when (UTC)")
    return table(heads, rows, numbers=("#", "times"))


def details(findings: Findings) -> Iterator[Markup]:
    """Each kind of denial: its story, its ladder diagram, original and replay side by side."""
    for number, incident in enumerate(findings.incidents.values(), 1):
        if number > MAX_SHOWN:
            return
        yield tag(
            "article",
            tag("h3", f"{number}. {headline(incident)}"),
            tag(
                "p",
                pill(incident.denied.reason, "bad"),
                " ",
                MEANINGS[incident.denied.reason],
            ),
            _more(incident),
            tag("div", ladder(incident, number), class_="scroll"),
            _pairs(incident),
            _headers(incident),
            id=f"denial-{number}",
        )


def _reference(number: int) -> Markup:
    if number > MAX_SHOWN:
        return joined(str(number))
    return tag("a", str(number), href=f"#denial-{number}")


def _claims(incident: Incident) -> Markup | None:
    sender = incident.denied.sender
    return tag("div", "as ", text(shortened(sender, 60)), class_="soft small") if sender else None


def _what(incident: Incident) -> Markup:
    denied = incident.denied
    shared = sorted(incident.shared) or [fingerprint for fingerprint, _ in denied.fingerprints]
    more = f" and {len(shared) - MAX_SPIS:,} more" if len(shared) > MAX_SPIS else None
    spis = tag("code", " ".join(map(spi, shared[:MAX_SPIS])), class_="nowrap")
    return joined(text(shortened(denied.what, 40)), tag("div", "SPI ", spis, more, class_="soft small"))


def _whence(incident: Incident) -> Markup:
    first = incident.first
    if first is None:
        return tag("span", "before this run", class_="soft")
    where = f"frame {first.frame:,}, {clock(first.time)}"
    return joined(text(first.source), tag("div", where, class_="soft small"))


def _when(incident: Incident) -> Markup:
    first = moment(incident.denied.time)
    until = None
    if incident.count > 1:
        until = tag("div", f"until {moment(incident.last)}", class_="soft small")
    return joined(first, until)


def _more(incident: Incident) -> Markup | None:
    denied = incident.denied
    parts: list[Child] = []
    if incident.count > 1:
        frames = examples([f"{frame:,}" for frame in incident.frames], incident.count)
        span = duration(incident.last - denied.time)
        parts.append(
            f"It came {incident.count:,} times within {span} (frames {frames}); shown is the first. "
        )
    if incident.original is None:
        parts.append(
            "The message that bore it first is not in this run, or was forgotten: see the limits below. "
        )
    if not denied.enforced:
        parts.append("The message's template only observes: a monitor with it would have let it pass. ")
    return tag("p", *parts) if parts else None


def _pairs(incident: Incident) -> Markup:
    original, denied = incident.original, incident.denied
    rows = []
    for name, of in (
        ("when", lambda judged: f"{moment(judged.time)} UTC"),
        ("frame", lambda judged: f"{judged.frame:,}"),
        ("from", _from),
        ("to", _to),
        ("body", _body),
        ("key material", lambda judged: _material(judged, incident)),
        ("ruling", _ruling),
    ):
        one, other = (of(original) if original else "not in this run"), of(denied)
        differs = one != other and name not in ("when", "frame", "ruling")
        rows.append(
            tag(
                "tr",
                tag("th", name, scope="row"),
                tag("td", one if isinstance(one, Markup) else text(one)),
                tag("td", other if isinstance(other, Markup) else text(other)),
                class_="differs" if differs and original else None,
            )
        )
    return table(("what", "original", "denied"), rows, class_="pairs")


def _from(judged: Judged) -> str:
    flow = judged.flow
    packet = address.text(flow.source)
    behind = f", through {packet}" if packet != judged.source else ""
    return f"{judged.source}{behind}, port {flow.source_port}"


def _to(judged: Judged) -> str:
    flow = judged.flow
    return f"{address.text(flow.destination)}, port {flow.destination_port}, by {flow.transport.upper()}"


def _body(judged: Judged) -> str:
    if not judged.body_octets:
        return "none"
    return f"{octets(judged.body_octets)}, SHA-256 {judged.body_hash}…"


def _material(judged: Judged, incident: Incident) -> Markup:
    parts: list[Child] = []
    for fingerprint, tier in judged.fingerprints:
        known = fingerprint in incident.shared
        name = "master key" if tier is Tier.MASTER_KEY else "envelope"
        both = pill("in both", "bad") if known else None
        parts.append(tag("div", f"{name} ", tag("code", spi(fingerprint)), " ", both))
    if judged.further:
        parts.append(tag("div", f"and {judged.further:,} more", class_="soft small"))
    return joined(*parts)


def _ruling(judged: Judged) -> Markup:
    kind = "bad" if judged.reason.denies else "ok"
    verdict = "denied" if judged.reason.denies else "accepted"
    alerts = tag("div", "alerts: ", ", ".join(judged.alerts), class_="soft small") if judged.alerts else None
    return joined(pill(f"{verdict}: {judged.reason}", kind), alerts)


def _headers(incident: Incident) -> Markup:
    original, denied = incident.original, incident.denied
    pairs = list(compare(original.head if original else (), denied.head))
    rows = [
        tag(
            "tr",
            tag("td", _line(pair.one)),
            tag("td", _SIGNS[pair.mark] if original else "", title=_SAID[pair.mark], class_="sign"),
            tag("td", _line(pair.other)),
            class_=str(pair.mark) if original else None,
        )
        for pair in pairs
    ]
    same = sum(pair.mark is Mark.SAME for pair in pairs)
    caption = f"Start line and header fields: {same} of {len(pairs)} lines are the same." if original else ""
    if denied.cut or (original is not None and original.cut):
        caption += " The rest of the header is left out."
    further = max(len(denied.head), len(original.head) if original else 0) - MAX_LINES
    if further > 0:
        caption += f" {count(further, 'further line')} left out."
    heads = tag(
        "tr",
        tag("th", "original", scope="col"),
        tag("th", "", class_="sign"),
        tag("th", "denied", scope="col"),
    )
    return joined(
        tag("p", caption, class_="soft small") if caption else None,
        tag("table", tag("thead", heads), tag("tbody", *rows), class_="headers"),
    )


def _line(pieces: Sequence[Piece]) -> Markup | None:
    if not pieces:
        return None
    parts = (tag("mark", text(piece.text)) if piece.differs else text(piece.text) for piece in pieces)
    return tag("code", *parts)
