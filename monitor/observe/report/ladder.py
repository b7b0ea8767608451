"""The ladder diagram of one denial: the original and what repeats it."""

from collections import Counter
from collections.abc import Iterator, Sequence

from monitor.observe.report.findings import Incident
from monitor.observe.report.judged import Judged
from monitor.observe.report.markup import Markup, shortened, tag
from monitor.observe.report.words import clock, count, duration, listed
from monitor.wire import address

_WIDTH = 1080.0
_PLACES = {1: (560.0,), 2: (330.0, 850.0), 3: (260.0, 590.0, 920.0), 4: (230.0, 470.0, 710.0, 950.0)}
_HEAD, _FIRST, _BETWEEN, _SECOND, _HEIGHT = 44.0, 84.0, 118.0, 164.0, 200.0


def ladder(incident: Incident, number: int) -> Markup:
    """The diagram.

    :param number: of the incident on its page, for the identifiers in it.
    """
    original, denied = incident.original, incident.denied
    ends = _ends(denied) if original is None else (*_ends(original), *reversed(_ends(denied)))
    parties = list(dict.fromkeys(ends))
    places = dict(zip(parties, _PLACES[len(parties)], strict=True))
    said = f"{_said(original)}; " if original else ""
    said += f"{_said(denied)}, denied: {denied.reason}."
    return tag(
        "svg",
        tag("title", f"Ladder diagram of denial {number}", id=f"ladder-{number}"),
        tag("desc", said, id=f"ladder-{number}-said"),
        *(part for party, x in places.items() for part in _lifeline(party, x, incident)),
        *(_arrow(original, places, _FIRST, denied=False) if original else ()),
        *_between(incident),
        *_arrow(denied, places, _SECOND, denied=True),
        viewBox=f"0 0 {_WIDTH:.0f} {_HEIGHT:.0f}",
        role="img",
        aria_labelledby=f"ladder-{number} ladder-{number}-said",
        class_="ladder",
    )


def _ends(judged: Judged) -> tuple[str, str]:
    return address.text(judged.flow.source), address.text(judged.flow.destination)


def _said(judged: Judged) -> str:
    source, destination = _ends(judged)
    return f"at {clock(judged.time)} {source} sends {judged.what} to {destination}"


def _lifeline(party: str, x: float, incident: Incident) -> Iterator[Markup]:
    yield tag("line", x1=x, x2=x, y1=_HEAD, y2=_HEIGHT - 6, class_="lifeline")
    yield tag("text", party, x=x, y=18, class_="party")
    yield tag("text", shortened(_role(party, incident), 44), x=x, y=34, class_="role")


def _role(party: str, incident: Incident) -> str:
    """Who a party is, as far as what it sent or was sent says so."""
    original, denied = incident.original, incident.denied
    if original is not None:
        source, destination = _ends(original)
        if party == source:
            return _user(original.sender)
        if party == destination:
            return _user(original.receiver)
    if party == _ends(denied)[0]:
        return f"says it is {_user(denied.sender)}"
    return _user(denied.receiver)


def _user(uri: str) -> str:
    return uri.partition(":")[2] or uri


def _arrow(judged: Judged, places: dict[str, float], y: float, *, denied: bool) -> Iterator[Markup]:
    source, destination = (places[end] for end in _ends(judged))
    kind = "denied" if denied else "accepted"
    yield tag("text", clock(judged.time), x=12, y=y - 2, class_="when")
    yield tag("text", f"frame {judged.frame:,}", x=12, y=y + 12, class_="frame")
    if source == destination:
        yield tag("circle", cx=source, cy=y, r=6, class_=f"arrow {kind}")
        return
    way = 1 if destination > source else -1
    tip = destination - way * (16 if denied else 2)
    middle = (source + destination) / 2
    yield tag("line", x1=source, x2=tip - way * 8, y1=y, y2=y, class_=f"arrow {kind}")
    yield tag("path", d=f"M{tip:.1f} {y:.1f}l{-way * 11} -5v10z", class_=f"head {kind}")
    if denied:
        x = destination
        yield tag("circle", cx=x, cy=y, r=9, class_="mark bad")
        yield tag("path", d=f"M{x - 3.5:.1f} {y - 3.5:.1f}l7 7m0-7l-7 7", class_="cross")
    yield tag("text", shortened(_first_line(judged), 44), x=middle, y=y - 8, class_="message")
    ruling = f"denied: {judged.reason}" if denied else f"accepted: {judged.reason}"
    yield tag("text", ruling, x=middle, y=y + 16, class_=f"ruling {kind}")


def _first_line(judged: Judged) -> str:
    return judged.start_line.removesuffix(" SIP/2.0")


def _between(incident: Incident) -> Sequence[Markup]:
    original, denied = incident.original, incident.denied
    if original is None:
        return ()
    later = denied.time - original.time
    said = f"{duration(abs(later))} {'later' if later >= 0 else 'earlier'}"
    others = incident.accepted - Counter([original.reason])
    if others:
        accepted = [count(number, str(reason), str(reason)) for reason, number in others.items()]
        said += f"; accepted besides with the same key material: {listed(accepted)}"
    return (
        tag("path", d=f"M20 {_BETWEEN - 14}v4m0 4v4m0 4v4m0 4v4", class_="lifeline"),
        tag("text", said, x=34, y=_BETWEEN + 2, class_="between"),
    )
