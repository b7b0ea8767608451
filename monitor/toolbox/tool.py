"""What a tool of the toolbox is: one security function, by name, over one kind of layer."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Protocol

from monitor.antireplay.fingerprint import Fingerprinter
from monitor.antireplay.sad import AssociationDatabase
from monitor.exhibit import Keep
from monitor.keys.directory import Directory
from monitor.keys.request import UnwrapAnswer, UnwrapRequest
from monitor.keys.trust import TrustStore
from monitor.sip.mime import Entity
from monitor.toolbox.case import Case
from monitor.toolbox.layer import Kind, Layer, Service


@dataclass(frozen=True, slots=True)
class Databases:
    """What tools may consult: the databases of the trusted part, without a private key among them."""

    associations: AssociationDatabase
    hashes: Fingerprinter
    directory: Directory
    """Which recipients' keys the keyholder has."""
    trust: TrustStore | None = None
    """The trust anchors; None: signers' certificates are not asked whom they trust."""
    evidence: Keep | None = None
    """Which messages are kept as evidence where a template does not say; None: nobody keeps any."""


class Peeled(NamedTuple):
    """What a tool gives back."""

    entities: Sequence[Entity] = ()
    """MIME entities that came out of the layer, to be peeled on."""
    typed: Sequence[tuple[str, bytes]] = ()
    """CMS content that came out, each with its content type."""
    done: bool = False
    """No later step needs to see this layer."""
    within: bytes | None = None
    """Content fingerprint of the envelope that this layer is."""
    opened: bool = False
    """The envelope was opened: what comes out of it is all that it holds."""


NOTHING = Peeled()


@dataclass(frozen=True, slots=True)
class Ask:
    """Private-key work, asked for as a value: the engine resumes ``then`` with the answer."""

    request: UnwrapRequest
    then: Callable[[UnwrapAnswer], Peeled]


class Tool(Protocol):
    """One security function. A step of a template makes one with the step's parameters."""

    takes: ClassVar[frozenset[Kind]]
    provides: ClassVar[frozenset[Service]]
    """Services that it can find a layer to give to what is in it."""
    needs: ClassVar[frozenset[Service]]
    """Services that an earlier step must provide."""
    parameters: ClassVar[Mapping[str, type]]
    """Names and types of what a step may set; where the type is a ``StrEnum`` its words."""

    def __init__(self, databases: Databases, **parameters: Any) -> None:
        """Make the tool for one step of a template.

        :raises ValueError: a parameter's value cannot be used; one line that says why.
        """
        ...

    def apply(self, layer: Layer, case: Case) -> Peeled | Ask:
        """Do the work on one layer; trouble goes to ``case.report``."""
        ...
