"""The parts of the page that list: associations, exceptions, capture files, how the run was made."""

from collections.abc import Iterator

from monitor.antireplay.fingerprint import spi
from monitor.antireplay.observation import Tier
from monitor.exceptions import Outcome
from monitor.observe.report.findings import Findings, Known, Trouble
from monitor.observe.report.markup import Markup, joined, shortened, tag, text
from monitor.observe.report.parts import left_out, number, pill, row, table
from monitor.observe.report.report import CaptureFacts, Report
from monitor.observe.report.words import examples, listed, moment, octets

MAX_ASSOCIATIONS = 200
"""Associations that are listed."""
LINKS = {
    0: "BSD loopback",
    1: "Ethernet",
    9: "PPP",
    101: "raw IP",
    113: "Linux cooked",
    228: "raw IPv4",
    229: "raw IPv6",
    276: "Linux cooked v2",
}
"""Names of link types; of others the LINKTYPE_ value is told."""


def associations(findings: Findings) -> Iterator[Markup]:
    """What is known of each fingerprint, those that came where they must not before all others."""
    listed_first = sorted(findings.known.values(), key=lambda known: (not known.denied, known.first.time))
    rows = (_association(known) for known in listed_first[:MAX_ASSOCIATIONS])
    yield table(
        ("SPI", "of", "first seen (UTC)", "source", "from", "dialog", "seen", "denied"),
        rows,
        numbers=("seen", "denied"),
    )
    if len(listed_first) > MAX_ASSOCIATIONS:
        yield left_out(
            f"{MAX_ASSOCIATIONS} of {len(listed_first):,} associations are listed, what came where it "
            "must not before all others."
        )


def _association(known: Known) -> Markup:
    first = known.first
    frame = tag("div", f"frame {first.frame:,}", class_="soft small")
    return tag(
        "tr",
        tag("td", tag("code", spi(known.fingerprint))),
        tag("td", "master key" if known.tier is Tier.MASTER_KEY else "envelope", class_="nowrap"),
        tag("td", moment(first.time), frame, class_="nowrap"),
        tag("td", first.source),
        tag("td", text(shortened(first.sender, 50))),
        tag("td", tag("code", text(shortened(first.call_id, 60)))),
        number(known.seen),
        tag("td", pill(f"{known.denied:,}", "bad") if known.denied else "0", class_="number"),
    )


def exceptions(findings: Findings) -> Iterator[Markup]:
    """What could not be told for sure, grouped."""
    rows = (_trouble(trouble) for trouble in findings.troubles.values())
    yield table(
        ("exception", "outcome", "what was found", "times", "when (UTC)", "where"), rows, numbers=("times",)
    )
    if rest := findings.left_out["troubles"]:
        yield left_out(f"{rest:,} exceptions of further kinds are not listed.")


def _trouble(trouble: Trouble) -> Markup:
    kinds = {Outcome.DENY: "bad", Outcome.ALERT: "warn", Outcome.ACCEPT: "ok"}
    frames = examples([f"{frame:,}" for frame in trouble.frames], trouble.count)
    until = tag("div", f"until {moment(trouble.last)}", class_="soft small") if trouble.count > 1 else None
    return tag(
        "tr",
        tag("td", str(trouble.name), class_="nowrap"),
        tag("td", pill(trouble.outcome, kinds[trouble.outcome])),
        tag("td", text(trouble.detail)),
        number(trouble.count),
        tag("td", moment(trouble.first), until, class_="nowrap"),
        tag("td", f"frames {frames}", tag("div", ", ".join(trouble.sources), class_="soft small")),
    )


def captures(report: Report) -> Iterator[Markup]:
    """The files, so that everybody can see that they are the same."""
    heads = ("file", "frames", "numbered", "from (UTC)", "to (UTC)", "kept of a packet", "SHA-256")
    yield table(heads, map(_capture, report.captures), numbers=("frames",))
    warnings = [warning for facts in report.captures for warning in facts.warnings]
    if warnings:
        yield left_out("Warnings: ", joined(*(tag("div", text(warning)) for warning in warnings)))


def _capture(facts: CaptureFacts) -> Markup:
    links = listed([LINKS.get(link, f"link type {link}") for link in facts.links])
    form = ", ".join(part for part in (facts.form, octets(facts.size) if facts.size else "", links) if part)
    numbers = f"{facts.first_frame:,} to {facts.first_frame + facts.frames - 1:,}" if facts.frames else "none"
    snap = f"at most {octets(facts.snap_length)}" if facts.snap_length else "not said"
    cut = tag("div", pill(f"{facts.cut:,} frames cut", "warn")) if facts.cut else None
    return tag(
        "tr",
        tag("td", text(facts.name), tag("div", form, class_="soft small")),
        number(facts.frames),
        tag("td", numbers, class_="nowrap"),
        tag("td", moment(facts.start) if facts.frames else "", class_="nowrap"),
        tag("td", moment(facts.end) if facts.frames else "", class_="nowrap"),
        tag("td", snap, cut),
        tag("td", tag("code", facts.sha256, class_="hash")),
    )


def settings(report: Report) -> Markup:
    """How the run was made."""
    rows = (row(tag("b", name), text(value)) for name, value in report.settings)
    return table(("what", "how"), rows, class_="settings")
