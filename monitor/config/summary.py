"""What a configuration comes to, in a few lines for a person."""

from monitor.antireplay.policy import DEFAULT_OUTCOMES, Policy
from monitor.config.model import Config
from monitor.config.quantity import duration_text
from monitor.config.selector import Selector
from monitor.store.location import MEMORY, public_url
from monitor.wire import address


def summary(config: Config) -> list[str]:
    """One line for each matter, and one for each policy in the order in which they are asked."""
    queue, store, keys = config.queue, config.store, config.keys
    kept = "by certificate" if store.retention is None else f"for {duration_text(store.retention)}"
    policies = [(_selected(selector), policy) for selector, policy in config.policies.entries]
    policies.append(("all" if not policies else "all else", config.policies.default))
    full = "pass unjudged" if queue.fail_open else "are dropped"
    if store.url in MEMORY:
        outlasts = "forgotten when the daemon ends"
    else:
        outlasts = f"outlasts {'a loss of power' if store.durability == 'power' else 'the daemon'}"
    return [
        f"queue     {_words(queue.numbers)}: {queue.length} packets, further ones {full}",
        f"store     {public_url(store.url)}: {outlasts}, records kept {kept}",
        f"secret    {config.secret.file}",
        f"keys      {keys.directory or 'none: envelopes are told apart unopened'}",
        f"evidence  {_evidence(config)}",
        f"metrics   {config.metrics.listen or 'off'}",
        *(f"policy    {policy.name} ({taken}): {_asked(policy)}" for taken, policy in policies),
    ]


def _evidence(config: Config) -> str:
    evidence = config.evidence
    return f"{evidence.keep} in {evidence.directory}" if evidence.directory else "none is kept"


def _words(values: object) -> str:
    return ", ".join(map(str, values)) if isinstance(values, tuple) else str(values)


def _selected(selector: Selector) -> str:
    fields = ("source", "interface", "mark", "method")
    said = [f"{name} {_words(values)}" for name in fields if (values := getattr(selector, name))]
    return "; ".join(said) or "all"


def _asked(policy: Policy) -> str:
    """What the policy says other than the default."""
    plain = Policy()
    said = []
    if (policy.prefix_ipv4, policy.prefix_ipv6) != (plain.prefix_ipv4, plain.prefix_ipv6):
        said.append(f"sources bound by /{policy.prefix_ipv4} and /{policy.prefix_ipv6}")
    if policy.moves:
        said.append("moves allowed")
    for name, hosts in (("relays", policy.relays), ("b2bua", policy.b2bua)):
        if hosts:
            said.append(f"{name} {_words(tuple(sorted(map(address.text, hosts))))}")
    if policy.originator != plain.originator:
        said.append(f"originator {policy.originator}")
    if policy.strict:
        said.append("strict")
    if (policy.on_deny_udp, policy.on_deny_tcp) != (plain.on_deny_udp, plain.on_deny_tcp):
        said.append(f"denials {policy.on_deny_udp} on UDP, {policy.on_deny_tcp} on TCP")
    said += [
        f"{name} {outcome}" for name, outcome in policy.outcomes.items() if outcome != DEFAULT_OUTCOMES[name]
    ]
    return "; ".join(said) or "exact sources, the defaults"
