"""PKI: whether those who signed are trusted."""

from collections.abc import Mapping
from typing import Any, ClassVar

from cryptography import x509

from monitor.exceptions import ExceptionName
from monitor.keys.certificate import UNREADABLE
from monitor.keys.trust import Trust, first_line
from monitor.toolbox.case import Case
from monitor.toolbox.layer import Kind, Layer, Service
from monitor.toolbox.tool import NOTHING, Databases, Peeled


class PublicKeyInfrastructure:
    """Asks the trust store about signers. Without a trust store it has nothing to ask."""

    takes: ClassVar[frozenset[Kind]] = frozenset({Kind.SIGNED})
    provides: ClassVar[frozenset[Service]] = frozenset({Service.PKI})
    needs: ClassVar[frozenset[Service]] = frozenset({Service.INTEGRITY})
    parameters: ClassVar[Mapping[str, type]] = {}

    def __init__(self, databases: Databases) -> None:
        self._trust = databases.trust

    def apply(self, layer: Layer, case: Case) -> Peeled:
        """Ask about everyone who signed the layer well."""
        if self._trust is None:
            return NOTHING
        signers, case.signers = case.signers, []
        for encoded in signers:
            try:
                certificate = x509.load_der_x509_certificate(encoded)
            except UNREADABLE as error:
                case.report(
                    ExceptionName.UNTRUSTED_SIGNER, f"certificate cannot be read: {first_line(error)}"
                )
                continue
            standing = self._trust.verify(certificate, case.facts.time, case.certificates)
            if standing.trust is Trust.TRUSTED:
                # Only who is trusted is asked for a name later.
                case.signers.append(encoded)
                case.provided.add(Service.PKI)
            else:
                case.report(ExceptionName.UNTRUSTED_SIGNER, f"{standing.trust}: {standing.detail}")
        return NOTHING


TOOLS: dict[str, type[Any]] = {"pki": PublicKeyInfrastructure}
