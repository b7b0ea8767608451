"""The first part of the page: the run in plain words and in a few numbers."""

from collections.abc import Iterator

from monitor.exceptions import Outcome
from monitor.media.repeat import Harm
from monitor.observe.report.findings import Findings
from monitor.observe.report.markup import Markup, tag
from monitor.observe.report.report import CaptureFacts, Media, Report
from monitor.observe.report.words import count, listed, period

MAX_SOURCES = 5
"""Addresses that the summary names."""


def summary(report: Report) -> Markup:
    """The part."""
    findings, media = report.findings, report.media
    repeats = sum(repeat.packets for repeat in media.repeats)
    refused = findings.exceptions[Outcome.DENY]
    exceptions = findings.exceptions.total()
    tiles = (
        (len(findings.calls), "calls or more" if findings.left_out["calls"] else "calls", ""),
        (findings.reasons.total(), "messages with keys", ""),
        (findings.accepted, "accepted", "ok"),
        (findings.denied, "denied", "bad" if findings.denied else ""),
        (exceptions, "exceptions", "bad" if refused else "warn" if exceptions else ""),
        (repeats, "media packets repeated", "bad" if repeats else ""),
    )
    shown = (
        tag("li", tag("b", f"{value:,}"), tag("span", name), class_=kind or None)
        for value, name, kind in tiles
    )
    paragraphs = (" ".join(said) for said in (_captured(report), _denied(findings), _harm(media)))
    return tag(
        "section",
        tag("p", _verdict(findings.denied, refused), class_="said"),
        *(tag("p", paragraph) for paragraph in paragraphs if paragraph),
        tag("ul", *shown, class_="tiles"),
        class_="verdict bad" if findings.denied or refused else "verdict",
        id="summary",
    )


def _verdict(denied: int, refused: int) -> str:
    if denied and refused:
        return f"{count(denied, 'message')} denied, {refused:,} more for what could not be told for sure"
    if refused:
        return f"{count(refused, 'message')} denied for what could not be told for sure"
    return f"{count(denied, 'message')} denied" if denied else "Nothing was denied"


def _captured(report: Report) -> Iterator[str]:
    seen = [facts for facts in report.captures if facts.frames]
    if not seen:
        yield "No frames were captured."
        return
    findings = report.findings
    least = "at least " if findings.left_out["calls"] else ""
    yield (
        f"{count(len(seen), 'capture')} of {count(_frames(seen), 'frame')}, recorded "
        f"{period(min(facts.start for facts in seen), max(facts.end for facts in seen))}, "
        f"held {count(findings.messages, 'SIP message')} in {least}"
        f"{count(len(findings.calls), 'call')}."
    )
    if ruled := findings.reasons.total():
        yield (
            f"{count(ruled, 'message')} bore key material and were ruled on: {findings.accepted:,} accepted, "
            f"{findings.denied:,} denied."
        )
    else:
        yield "None bore key material."
    if exceptions := findings.exceptions.total():
        denying = f", {findings.exceptions[Outcome.DENY]:,} of which deny"
        yield f"{count(exceptions, 'exception')} tell of what could not be told for sure{denying}."


def _frames(captures: list[CaptureFacts]) -> int:
    return sum(facts.frames for facts in captures)


def _denied(findings: Findings) -> Iterator[str]:
    if not findings.denied:
        return
    reasons = [
        f"{number:,} as {reason}" for reason, number in findings.reasons.most_common() if reason.denies
    ]
    senders = findings.senders
    named = [f"{source} ({number:,})" for source, number in senders.most_common(MAX_SOURCES)]
    if len(senders) > MAX_SOURCES:
        least = "more than " if findings.left_out["senders"] else ""
        named.append(f"{least}{len(senders) - MAX_SOURCES:,} other addresses")
    yield f"Denied were {listed(reasons)}. They came from {listed(named)}."


def _harm(media: Media) -> Iterator[str]:
    told = []
    for harm, said in (
        (Harm.KEYSTREAM_REUSED, "the keystream of {} was used a second time"),
        (Harm.PACKETS_REPLAYED, "the recording of {} was sent again"),
    ):
        if packets := sum(repeat.packets for repeat in media.repeats if repeat.harm is harm):
            told.append(said.format(count(packets, "media packet")))
    if told:
        yield f"It did harm: {listed(told)}."
