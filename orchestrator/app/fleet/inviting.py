"""The hub's invitation: a token for one more machine."""

from __future__ import annotations

from orchestrator.app.fleet.certificates import fingerprint, read_certificate
from orchestrator.app.fleet.identity import FleetFolder
from orchestrator.app.fleet.token import Token
from orchestrator.core.fleet_errors import FleetError


def invitation(folder: FleetFolder, seconds: float) -> Token:
    """A token that lets one node in, once, within so many seconds. Raises ``FleetError`` where this machine is no hub."""
    membership = folder.member()
    if not membership.hub:
        raise FleetError(
            f"{membership.node} is not the hub of its fleet",
            cure=f"type it on the hub, at {', '.join(membership.hubs)}",
        )
    known = b"" if membership.insecure else fingerprint(read_certificate(folder.tls.authority))
    return Token(membership.enrol, folder.ledger.invite(seconds), known)
