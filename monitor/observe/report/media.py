"""The part of the page that tells the harm: media whose keystream repeats."""

from collections.abc import Iterator

from monitor.antireplay.fingerprint import spi
from monitor.media.repeat import Harm, Repeat, Span, Stream
from monitor.observe.report.markup import Markup, joined, shortened, tag, text
from monitor.observe.report.parts import left_out, number, pill, table
from monitor.observe.report.report import Media
from monitor.observe.report.words import count, duration, moment
from monitor.wire import address

MAX_SHOWN = 200
"""Pairs of streams that are shown."""

REPLAYED = (
    "A packet that is replayed has the ciphertext of an earlier one: what was said then is heard again."
)
REUSED = (
    "Keystream that is reused protects two different packets: the exclusive or of the two ciphertexts is "
    "that of the two plaintexts, so that who guesses one (silence, a known announcement) reads the other. "
    "No key is needed for that."
)
GALOIS = (
    "With AES-GCM two packets under one nonce also give away the authentication key, and with it the power "
    "to forge (RFC 7714 §9.1)."
)


def harm(media: Media) -> Iterator[Markup]:
    """What repeats, and what that means; nothing where there is no media to tell of."""
    if media.note:
        yield left_out(media.note)
    if media.repeats:
        yield from _found(media)
    elif verified := media.counts["verified"]:
        keys = count(media.keys, "master key")
        yield tag(
            "p",
            f"{keys} came where it must not. {count(verified, 'media packet')} are under it, and no "
            "keystream repeats.",
        )
    for said in left_out_of(media):
        yield left_out(f"{said[0].upper()}{said[1:]}.")


def left_out_of(media: Media) -> Iterator[str]:
    """What was not looked at, and why."""
    if media.left_out:
        keys = count(media.left_out, "master key")
        yield f"the media under {keys} or more was not looked for: there was no room to remember them"
    if cut := media.counts["cut"]:
        yield (
            f"of {count(cut, 'media packet')} not all was captured, so nothing can be told of them: capture "
            "with a larger snapshot length"
        )
    if limited := media.counts["limited"]:
        yield f"a limit was hit, {count(limited, 'media packet')} passed over: there may be more than is told"


def _found(media: Media) -> Iterator[Markup]:
    yield tag(
        "p",
        f"Of {media.counts['rtp']:,} media packets, {media.counts['verified']:,} have an authentication tag "
        "made with a key that came where it must not. They are told by that tag, not by their addresses.",
    )
    rows = (_row(repeat) for repeat in media.repeats[:MAX_SHOWN])
    heads = ("harm", "packets", "first protected", "again", "key")
    yield table(heads, rows, numbers=("packets",))
    if len(media.repeats) > MAX_SHOWN:
        yield left_out(f"{len(media.repeats) - MAX_SHOWN:,} further pairs of streams are not shown.")
    reused = [repeat for repeat in media.repeats if repeat.harm is Harm.KEYSTREAM_REUSED]
    galois = any("GCM" in repeat.later.protection.suite for repeat in reused)
    meant = ((REPLAYED, len(reused) < len(media.repeats)), (REUSED, bool(reused)), (GALOIS, galois))
    yield tag("p", " ".join(said for said, fits in meant if fits), class_="soft small after")


def _row(repeat: Repeat) -> Markup:
    reused = repeat.harm is Harm.KEYSTREAM_REUSED
    alike = None
    if reused and repeat.identical:
        alike = tag("div", f"{repeat.identical:,} of them alike", class_="soft small")
    indexes = f"indexes {repeat.first_index:,} to {repeat.last_index:,}"
    key = joined(
        "SPI ",
        tag("code", spi(repeat.later.key)),
        tag("div", repeat.later.protection.suite, class_="soft small"),
        tag("div", f"SSRC {repeat.later.ssrc:08x}, {indexes}", class_="soft small"),
    )
    return tag(
        "tr",
        tag("td", pill(str(repeat.harm).replace("-", " "), "bad" if reused else "warn"), alike),
        number(repeat.packets),
        tag("td", _stream(repeat.earlier, repeat.earlier_span)),
        tag("td", _stream(repeat.later, repeat.later_span)),
        tag("td", key),
    )


def _stream(stream: Stream, span: Span) -> Markup:
    flow = stream.flow
    ends = f"{_end(flow.source, flow.source_port)} → {_end(flow.destination, flow.destination_port)}"
    call = text(f"call {shortened(stream.call_id, 40)}" if stream.call_id else "in no call that is known")
    return joined(
        ends,
        tag("div", f"{moment(span.start)}, for {duration(span.end - span.start)}", class_="small"),
        tag("div", f"frames {span.first_frame:,} to {span.last_frame:,}; ", call, class_="soft small"),
    )


def _end(packed: bytes, port: int) -> str:
    host = address.text(packed)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
