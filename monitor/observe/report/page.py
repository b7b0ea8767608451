"""The page: one HTML document that needs nothing else."""

import base64
import hashlib
from collections.abc import Iterator
from importlib.resources import files

from monitor.antireplay.observation import T
from monitor.observe.report import denials, media, tables
from monitor.observe.report.findings import MAX_CALLS, MAX_INCIDENTS, MAX_KNOWN, Findings
from monitor.observe.report.judged import MAX_HEAD
from monitor.observe.report.markup import Markup, tag, text
from monitor.observe.report.parts import left_out
from monitor.observe.report.report import Report
from monitor.observe.report.summary import summary
from monitor.observe.report.timeline import timeline
from monitor.observe.report.words import duration, moment


def page(report: Report) -> str:
    """The document."""
    style = files(__package__).joinpath("style.css").read_text("utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    title = "Replay report: " + ", ".join(facts.name for facts in report.captures[:3])
    document = tag(
        "html",
        tag(
            "head",
            tag("meta", charset="utf-8"),
            tag("meta", http_equiv="Content-Security-Policy", content=policy),
            tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
            tag("meta", name="referrer", content="no-referrer"),
            tag("meta", name="generator", content=report.program),
            tag("title", title),
            tag("style", Markup(style)),
        ),
        tag("body", _header(report), tag("main", *_sections(report)), _footer(report)),
        lang="en",
    )
    return f"<!DOCTYPE html>\n{document}\n"


def _header(report: Report) -> Markup:
    names = [facts.name for facts in report.captures]
    more = f" and {len(names) - 3:,} more" if len(names) > 3 else ""
    return tag(
        "header",
        tag("h1", "Replay report"),
        tag("p", text(", ".join(names[:3])), more, class_="soft"),
    )


def _sections(report: Report) -> Iterator[Markup]:
    findings = report.findings
    yield summary(report)
    if drawn := list(timeline(report)):
        yield tag("section", tag("h2", "Calls and denials over time"), *drawn, id="timeline")
    if findings.incidents:
        yield tag("section", tag("h2", "Who replayed what from where"), *_denials(findings), id="denials")
    if harm := list(media.harm(report.media)):
        yield tag("section", tag("h2", "What it did to the media"), *harm, id="media")
    if findings.known:
        said = (
            "A fingerprint stands for what may be used once, a master key or an envelope; the SPI is how it "
            "begins. Neither key nor fingerprint is shown."
        )
        yield tag(
            "section",
            tag("h2", "Associations"),
            tag("p", said, class_="soft small"),
            *tables.associations(findings),
            id="associations",
        )
    if findings.troubles:
        said = "What could not be told for sure. The policy says what each means for its message."
        yield tag(
            "section",
            tag("h2", "Exceptions"),
            tag("p", said, class_="soft small"),
            *tables.exceptions(findings),
            id="exceptions",
        )
    yield tag("section", tag("h2", "Captures"), *tables.captures(report), id="captures")
    yield tag(
        "section", tag("h2", "How this was made"), tables.settings(report), *_limits(report), id="method"
    )


def _denials(findings: Findings) -> Iterator[Markup]:
    yield denials.overview(findings)
    if rest := findings.left_out["incidents"]:
        yield left_out(f"{rest:,} further denials are not listed: {MAX_INCIDENTS} kinds of them are.")
    hidden = len(findings.incidents) - denials.MAX_SHOWN
    if hidden > 0:
        yield left_out(f"The first {denials.MAX_SHOWN} are shown in detail below, {hidden} are not.")
    yield from denials.details(findings)


def _limits(report: Report) -> Iterator[Markup]:
    """What this page does not tell, and what was left out of it."""
    left = report.findings.left_out
    forgotten = f"; {left['known']:,} older ones were forgotten" if left["known"] else ""
    uncounted = f"; {left['calls']:,} INVITEs of further ones were not counted" if left["calls"] else ""
    said = (
        f"The first message is kept of the latest {MAX_KNOWN:,} fingerprints{forgotten}.",
        f"{MAX_CALLS:,} calls are told apart{uncounted}.",
        f"Of a message's header {MAX_HEAD:,} octets are kept, of its body the length and a hash.",
        "Not looked at: SRTCP, media that is not over UDP, ciphers without HMAC-SHA1 or AES-GCM.",
        f"A copy from the original's own address within {duration(T)} passes for a retransmission.",
    )
    yield tag("h3", "Limits", class_="after")
    yield tag("ul", *(tag("li", each) for each in said), class_="small soft")


def _footer(report: Report) -> Markup:
    return tag("footer", tag("p", f"Made by {report.program} on {moment(report.made)} UTC."))
