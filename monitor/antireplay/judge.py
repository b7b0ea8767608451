"""The judge: what one more sighting of a fingerprint means. Pure, and the only place that decides.

The association is the entry of the SAD, the policy that of the SPD, the source address the inbound
selector, the CSeq numbers the sequence numbers of the anti-replay window (RFC 4301 §4.4, RFC 4303 §3.4.3).
"""

from collections.abc import Iterable

from monitor.antireplay.association import MAX_LEGS, Association, Leg
from monitor.antireplay.observation import Observation, T, Tier
from monitor.antireplay.policy import Policy
from monitor.antireplay.ruling import Reason, Ruling
from monitor.antireplay.window import MAX_BRANCHES


def judge(
    association: Association | None, seen: Observation, policy: Policy
) -> tuple[Ruling, Association | None]:
    """Rule on one sighting.

    :returns: the ruling, and the association as it is to be once the whole message is accepted. A denied
        message changes nothing: the association comes back as it was.
    """
    if association is None:
        return Ruling(Reason.FIRST_USE), Association.of(seen)
    relayed = _relayed(association, seen, policy)
    if relayed is not None:
        return Ruling(Reason.RELAYED), relayed
    leg = _own_leg(association, seen, policy)
    if leg is None:
        return Ruling(_stranger(association, seen)), association
    elsewhere = not policy.same_source(leg.source, seen.source)
    hidden = elsewhere and _hidden(association, seen, policy)
    reason = _in_leg(association, leg, seen, policy, elsewhere, hidden)
    if reason.denies:
        return Ruling(reason), association
    alerts: tuple[str, ...] = ()
    if _rekey_missing(leg, seen):
        if policy.strict:
            return Ruling(Reason.REKEY_MISSING), association
        alerts += (Reason.REKEY_MISSING.value,)
    if hidden:
        return Ruling(reason, alerts), association.with_leg(Leg.of(seen, leg.first))
    after = leg.with_message(seen)
    if reason is Reason.MOVED:
        alerts = (Reason.MOVED.value, *alerts)
        after = after._replace(source=seen.source)
    return Ruling(reason, alerts), association.with_leg(after, instead_of=leg)


def worst(rulings: Iterable[Ruling]) -> Ruling:
    """Of several rulings on one message the one that stands for all, with the alerts of all.

    The first denial in the order of the reasons, else the least fresh accept.

    :raises ValueError: there is none.
    """
    rulings = list(rulings)
    if len(rulings) == 1:
        return rulings[0]
    denials = [ruling.reason for ruling in rulings if ruling.reason.denies]
    reason = min(denials, key=_rank) if denials else max((ruling.reason for ruling in rulings), key=_rank)
    alerts = tuple(dict.fromkeys(alert for ruling in rulings for alert in ruling.alerts))
    return Ruling(reason, alerts)


def _rank(reason: Reason) -> int:
    return reason.rank


def _own_leg(association: Association, seen: Observation, policy: Policy) -> Leg | None:
    """The leg of the message's dialog and sender, one with its source before one without."""
    legs = [leg for leg in association.legs if leg.sender == seen.sender and leg.same_dialog(seen)]
    bound = (leg for leg in legs if policy.same_source(leg.source, seen.source))
    return next(bound, legs[0] if legs else None)


def _stranger(association: Association, seen: Observation) -> Reason:
    """No leg has this dialog and sender: the key comes from another dialog, or back from the other party."""
    if any(leg.same_dialog(seen) for leg in association.legs):
        return Reason.REFLECTED
    return _reused(association)


def _reused(association: Association) -> Reason:
    return Reason.ENVELOPE_REUSED if association.tier is Tier.ENVELOPE else Reason.KEY_REUSED


def _in_leg(
    association: Association, leg: Leg, seen: Observation, policy: Policy, elsewhere: bool, hidden: bool
) -> Reason:
    view, transaction = seen.dialog, seen.transaction
    place = leg.window(seen).place(transaction, seen.time, view.pending, view.closed)
    if place is Reason.STALE and _tried_later(leg, seen, policy):
        place = Reason.FORKED
    fresh = place is Reason.REFRESH
    if fresh and seen.peer is None and view.confirmed:
        return _reused(association)  # The call was taken: a new request without a To tag begins another.
    if elsewhere and not (fresh and (hidden or policy.moves)):
        return Reason.SOURCE_CHANGED
    # A key that was first seen long after the end belongs to a later call under the same identifiers; sooner,
    # to a fork whose answer came when another had taken the call.
    if view.ended is not None and leg.first - view.ended <= T < seen.time - view.ended:
        return Reason.DIALOG_ENDED
    return Reason.MOVED if elsewhere and not hidden else place


def _tried_later(leg: Leg, seen: Observation, policy: Policy) -> bool:
    """Whether a trusted relay tries one more way for an INVITE that is not over: the next in a sequence, when
    nobody answered the first (RFC 3261 §16.5), which takes as long as people let it ring.
    """
    view, transaction = seen.dialog, seen.transaction
    known = leg.window(seen).find(transaction)
    if known is None or transaction.status is not None or seen.hop not in policy.relays:
        return False
    same_hop_before = transaction.next_branch in (*known.branches, *known.onward)
    pending = view.pending == transaction.cseq and (view.closed is None or seen.time - view.closed <= T)
    return transaction.method == "INVITE" and same_hop_before and pending


def _hidden(association: Association, seen: Observation, policy: Policy) -> bool:
    """Whether a trusted relay keeps the sender's address from being compared.

    Its Via entries tell it of requests; a response has the relay's own. So a sender whom we see behind a
    relay has up to two sources, which are bound one after the other: his own by the first of his requests,
    the relay's by the first of his responses that it brings.
    """
    if seen.hop not in policy.relays or len(association.legs) >= MAX_LEGS:
        return False
    if seen.transaction.status is not None:
        return True
    return all(leg.source in policy.relays for leg in association.legs if leg.sender == seen.sender)


def _rekey_missing(leg: Leg, seen: Observation) -> bool:
    """RFC 4568 §7.1.4: a new media address or port asks for a new key. What a relay wrote does not count."""
    if not leg.endpoints or seen.hop != seen.source:
        return False
    return any(endpoint not in leg.endpoints for endpoint in seen.endpoints)


def _relayed(association: Association, seen: Observation, policy: Policy) -> Association | None:
    """The association after the next hop of a known message, None where the message is no such thing."""
    if seen.hop in policy.relays:
        for leg in association.legs:
            if leg.sender == seen.sender and leg.same_dialog(seen):
                after = _next_hop(association, leg, seen, policy)
                if after is not None:
                    return after
    if seen.hop in policy.b2bua and not association.paired and len(association.legs) < MAX_LEGS:
        origin = association.first
        new = not (origin.sender == seen.sender and origin.same_dialog(seen) and origin.source == seen.source)
        if new and seen.hop in origin.destinations and seen.time - origin.first <= T:
            return association.with_leg(Leg.of(seen))._replace(paired=True)
    return None


def _next_hop(association: Association, leg: Leg, seen: Observation, policy: Policy) -> Association | None:
    window, transaction = leg.window(seen), seen.transaction
    known = window.find(transaction)
    if known is None:
        return None
    if transaction.status is None:
        # The hop before wrote the second Via; the effective source, read from it, stays the same.
        mark, since = transaction.next_branch, known.first
        onward = mark in known.branches and transaction.branch not in known.branches
        onward = onward and policy.same_source(leg.source, seen.source)
    else:
        answered = known.answered(transaction.status)
        mark, since = transaction.branch << 10 | transaction.status, answered if answered is not None else 0
        onward = answered is not None and transaction.branch in known.onward
        onward = onward and not policy.same_source(leg.source, seen.source)
    if not onward or mark is None or mark in known.relayed or len(known.relayed) >= MAX_BRANCHES:
        return None
    if seen.time - since > T or (seen.dialog.ended is not None and seen.time - seen.dialog.ended > T):
        return None
    noted = known._replace(relayed=(*known.relayed, mark))
    if transaction.status is None and len(noted.branches) < MAX_BRANCHES:
        noted = noted._replace(branches=(*noted.branches, transaction.branch))
    latest = tuple(noted if each is known else each for each in window.latest)
    onward_leg = leg.with_window(seen, window._replace(latest=latest)).with_destination(seen.destination)
    after = association.with_leg(onward_leg, instead_of=leg)
    if transaction.status is None:
        return after
    # A response's source is its packet's: the hop has a leg of its own, where it is retransmitted from.
    for hop in after.legs:
        if hop.source == seen.source and hop.sender == seen.sender and hop.same_dialog(seen):
            return after.with_leg(hop.with_message(seen), instead_of=hop)
    return after.with_leg(Leg.of(seen, leg.first)) if len(after.legs) < MAX_LEGS else None
