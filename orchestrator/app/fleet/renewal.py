"""Certificates are renewed in good time, each with a fresh key.

Certificate and key are two files. The fresh key waits beside the old one until its certificate is in place: whoever finds it there
after a crash sees by the certificate which of both belongs to it.
"""

from __future__ import annotations

from orchestrator.app.fleet.certificates import (
    RENEW_DAYS,
    Authority,
    belongs,
    check_issued,
    days_left,
    new_request,
    pem,
    read_certificate,
    read_pem,
)
from orchestrator.app.fleet.identity import FleetFolder, names_of_hub
from orchestrator.app.fleet.joining import ask_signed
from orchestrator.app.fleet.keys import write_private


def renewal_is_due(folder: FleetFolder) -> bool:
    """Whether the certificate is valid for less than a month. Never in a fleet without certificates."""
    return not folder.member().insecure and days_left(read_certificate(folder.tls.certificate)) < RENEW_DAYS


def renew_certificate(folder: FleetFolder) -> None:
    """A fresh key and a certificate for it: by the hub, on the hub by itself. Raises ``FleetError`` where the hub cannot be
    asked."""
    settle(folder)
    membership, fresh = folder.member(), folder.fresh_key
    request = new_request(fresh, membership.node)
    if membership.hub:
        authority = Authority.read(folder.tls.authority, folder.authority_key)
        text = authority.sign(request, membership.node, names_of_hub(membership))
    else:
        text = str(ask_signed(folder, "renew", request)["certificate"])
    certificate = read_pem(text)
    check_issued(certificate, read_certificate(folder.tls.authority), membership.node)
    write_private(folder.tls.certificate, pem(certificate))
    fresh.replace(folder.tls.key)


def settle(folder: FleetFolder) -> None:
    """After a crash in the middle: a fresh key whose certificate is in place takes its own; another one goes."""
    if not folder.fresh_key.exists():
        return
    if belongs(folder.fresh_key, read_certificate(folder.tls.certificate)):
        folder.fresh_key.replace(folder.tls.key)
    else:
        folder.fresh_key.unlink()
