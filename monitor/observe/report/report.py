"""All that one report tells."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from monitor.media.repeat import Repeat
from monitor.observe.report.findings import Findings
from monitor.wire.frame import Frame


@dataclass(slots=True)
class CaptureFacts:
    """One capture file as it was read."""

    name: str
    form: str
    size: int
    """Octets as stored, 0 where that is unknown."""
    snap_length: int = 0
    sha256: str = ""
    frames: int = 0
    first_frame: int = 0
    start: int = 0
    """Time of the earliest frame, nanoseconds since the epoch."""
    end: int = 0
    links: dict[int, None] = field(default_factory=dict)
    """LINKTYPE_ values."""
    cut: int = 0
    """Frames that were not captured whole."""
    warnings: Sequence[str] = ()

    def add(self, frame: Frame) -> None:
        """Take in one frame."""
        self.start = min(self.start, frame.time) if self.frames else frame.time
        self.end = max(self.end, frame.time)
        self.frames += 1
        self.links[frame.link] = None
        self.cut += len(frame.data) < frame.length


@dataclass(slots=True)
class Media:
    """What was found out about the media."""

    repeats: Sequence[Repeat] = ()
    counts: Counter[str] = field(default_factory=Counter)
    """As in ``Examination.counts``."""
    keys: int = 0
    """Master keys whose media was looked for."""
    left_out: int = 0
    """Master keys for which there was no room."""
    note: str = ""
    """Why the media was not looked at, empty where it was or there was nothing to look for."""


@dataclass(slots=True)
class Report:
    """The contents of a report."""

    findings: Findings
    captures: Sequence[CaptureFacts]
    media: Media
    settings: Sequence[tuple[str, str]]
    """How the run was made: what is set, and to what."""
    program: str
    """Name and version of the program."""
    made: int
    """When the report was made, nanoseconds since the epoch."""
