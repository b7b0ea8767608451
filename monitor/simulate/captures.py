"""The captures that the project keeps in ``pcaps/``: scenarios one after the other."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from monitor.simulate.packets import Link
from monitor.simulate.scenario import Scenario
from monitor.simulate.scenarios import RECIPES
from monitor.simulate.stage import Recipe, Setting
from monitor.simulate.writer import Format
from monitor.wire.frame import NANOSECONDS, Frame

CONFIG = "proxy.toml"
"""Beside the captures: the configuration for those that need another policy than the default."""
GAP = 3600
"""Seconds at least between two scenarios of one capture."""


@dataclass(frozen=True, slots=True)
class Capture:
    """A file of the collection."""

    name: str
    story: str
    scenarios: tuple[str, ...]
    form: Format = "pcap"
    link: Link = "ethernet"

    @property
    def file(self) -> str:
        """The file's name."""
        return f"{self.name}.{self.form}"


COLLECTION = (
    Capture(
        "1-calls",
        "Calls as they are made every day. Keys come again in all of them, and none is denied.",
        (
            "plain-call",
            "retransmission",
            "digest-retry",
            "early-media",
            "late-offer",
            "cancelled",
            "tcp-call",
        ),
    ),
    Capture(
        "2-changes",
        "Calls that are refreshed, held, given new keys, refused in the middle.",
        ("session-refresh", "hold", "callee-reinvite", "rekey", "glare", "failed-reinvite", "forged-bye"),
    ),
    Capture(
        "3-sealed",
        "Calls with S/MIME, one of them with an INVITE of 60 kB in fragments.",
        ("sealed-call", "sealed-streamed", "sealed-for-a-stranger", "sixty-kilobytes-udp"),
    ),
    Capture(
        "4-replay-attack",
        "The attack that the monitor is made for; the demonstration tells it live.",
        ("replay-attack",),
    ),
    Capture(
        "5-recordings",
        "Recordings sent again as they are: at once, later, with a copied source, after the call.",
        (
            "verbatim",
            "spoofed-copy",
            "after-bye",
            "after-cancel",
            "answer-again",
            "hijacked-dialog",
            "reflected",
        ),
    ),
    Capture(
        "6-disguises",
        "Recordings written another way, in calls of the attacker's own.",
        (
            "reencoded",
            "stripped-recipients",
            "flipped-block",
            "insider",
            "other-lifetime",
            "other-place",
            "compressed",
            "envelope-in-multipart",
            "verbatim-by-tcp",
        ),
    ),
    Capture(
        "7-proxy",
        "Both sides of a proxy, which `proxy.toml` trusts; then Charles, who names it in vain.",
        ("relayed", "relayed-with-credentials", "forged-via", "through-the-proxy"),
    ),
    Capture(
        "8-ipv6",
        "IPv6, cooked link layer, pcapng: a call, and a recording from IPv4 sent again over IPv6.",
        ("plain-call-ipv6", "new-identifiers-ipv6"),
        "pcapng",
        "cooked",
    ),
    Capture(
        "9-media",
        "Calls with what is said in them, some of it under a keystream that was used before.",
        ("two-time-pad", "key-in-the-configuration"),
    ),
)


def in_turn(recipes: Iterable[Recipe], setting: Setting) -> tuple[Scenario, ...]:
    """The scenarios, each beginning after the one before it has ended."""
    scenarios: list[Scenario] = []
    for recipe in recipes:
        scenario = recipe.made(setting)
        scenarios.append(scenario)
        setting = replace(setting, start=scenario.frames[-1].time // NANOSECONDS + GAP)
    return tuple(scenarios)


def joined(scenarios: Sequence[Scenario]) -> tuple[Frame, ...]:
    """The frames of all scenarios, numbered through."""
    frames = (frame for scenario in scenarios for frame in scenario.frames)
    return tuple(frame._replace(number=number) for number, frame in enumerate(frames, 1))


def collection(setting: Setting) -> Iterable[tuple[Capture, tuple[Scenario, ...]]]:
    """Each capture with what is in it, one after the other also in time."""
    for capture in COLLECTION:
        recipes = [RECIPES[name] for name in capture.scenarios]
        scenarios = in_turn(recipes, replace(setting, link=capture.link))
        yield capture, scenarios
        setting = replace(setting, start=scenarios[-1].frames[-1].time // NANOSECONDS + GAP)
