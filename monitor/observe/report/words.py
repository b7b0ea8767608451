"""Plain words: what the reasons mean, and how times, counts and lengths are said."""

from datetime import UTC, datetime

from monitor.antireplay.ruling import Reason
from monitor.observe.report.findings import Incident
from monitor.wire.frame import NANOSECONDS

MEANINGS = {
    Reason.KEY_REUSED: "The master key was used before, in another call. Whoever sends it passes for its "
    "first user, and media under it may repeat its keystream (RFC 4568 §6.1, RFC 3711 §9.1).",
    Reason.ENVELOPE_REUSED: "The S/MIME envelope, or a content key wrapped in it, came before in another "
    "call. An honest sender draws a fresh one for each message, so this is a recording, whatever is written "
    "around it. It was not opened again.",
    Reason.REFLECTED: "The key comes back from the party that it was offered to: both directions of the call "
    "would share one keystream (RFC 4568 §7.1.2).",
    Reason.SOURCE_CHANGED: "Call and sender are those of the original, the address is not: a recording sent "
    "again as it was, or a party that moved where the policy lets nobody move.",
    Reason.DIALOG_ENDED: "The call that it belongs to had been over for more than 37 seconds.",
    Reason.STALE: "Call, sender and address are those of the original, but its transaction was closed more "
    "than 37 seconds before, or its CSeq number is lower than any that may still come.",
    Reason.DUPLICATE_KEY: "One key stands in two places of one session description (RFC 4568 §6.1).",
    Reason.REKEY_MISSING: "The media moved to another address or port without a new key (RFC 4568 §7.1.4).",
    Reason.ORIGINATOR_MOVED: "The key is fresh, but its sender is known from another address.",
}
"""What each denial means."""


def headline(incident: Incident) -> str:
    """An incident in one sentence."""
    denied, first = incident.denied, incident.first
    if first is None:
        return f"{denied.source} sent key material that was known before this run"
    if denied.reason is Reason.REFLECTED:
        return f"{denied.source} sent the key of {first.source} back"
    own = denied.source == first.source
    if denied.reason is Reason.KEY_REUSED:
        return f"{denied.source} used {'its key' if own else f'a key of {first.source}'} in another call"
    if own:
        return f"{denied.source} sent again what it had sent before"
    return f"{denied.source} sent again what {first.source} had sent"


def moment(time: int) -> str:
    """A time as people write it, in UTC, to the millisecond."""
    return _utc(time).strftime("%Y-%m-%d %H:%M:%S.") + f"{time // 1_000_000 % 1000:03d}"


def clock(time: int) -> str:
    """The time of day in UTC, to the millisecond."""
    return moment(time)[11:]


def period(start: int, end: int) -> str:
    """From when to when, in UTC."""
    first, last = _utc(start), _utc(end)
    if first.date() == last.date():
        return f"on {first:%Y-%m-%d} from {first:%H:%M:%S} to {last:%H:%M:%S} UTC"
    return f"from {first:%Y-%m-%d %H:%M:%S} to {last:%Y-%m-%d %H:%M:%S} UTC"


def duration(nanoseconds: int) -> str:
    """A length of time in its two largest units."""
    seconds = nanoseconds / NANOSECONDS
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s".replace(".0 s", " s")
    whole = round(seconds)
    for unit, size, smaller, step in (("d", 86400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1)):
        if whole >= size:
            rest = whole % size // step
            return f"{whole // size} {unit}" + (f" {rest} {smaller}" if rest else "")
    return f"{whole} s"


def count(number: int, one: str, many: str = "") -> str:
    """A number with its noun."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def examples(items: list[str], total: int) -> str:
    """The items, and how many more than these there are."""
    return ", ".join(items) + f" and {total - len(items):,} more" if total > len(items) else listed(items)


def listed(items: list[str]) -> str:
    """``a, b and c``."""
    return ", ".join(items[:-1]) + " and " + items[-1] if len(items) > 1 else "".join(items)


def octets(number: int) -> str:
    """A size."""
    if number < 10_000:
        return f"{number:,} octets"
    return f"{number / 1000:,.0f} kB" if number < 10_000_000 else f"{number / 1_000_000:,.0f} MB"


def _utc(time: int) -> datetime:
    # The year 9999 bounds what datetime knows; captures may say anything.
    return datetime.fromtimestamp(min(max(time // NANOSECONDS, 0), 253_402_300_799), UTC)
