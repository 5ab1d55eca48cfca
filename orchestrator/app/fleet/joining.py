"""The side of a machine that joins a fleet, leaves it, or has its certificate renewed. It asks and waits; no loop is needed."""

from __future__ import annotations

import base64
import json
import shutil
import socket
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from orchestrator.app.fleet.certificates import (
    HUB_NAME,
    check_issued,
    fingerprint,
    new_request,
    pem,
    read_certificate,
    read_pem,
)
from orchestrator.app.fleet.identity import LOCALHOST, FleetFolder, Membership, check_node
from orchestrator.app.fleet.keys import new_seed, read_seed, write_private
from orchestrator.app.fleet.locked import only_one
from orchestrator.app.fleet.records import end_left
from orchestrator.app.fleet.signed import LARGEST, PATIENCE, signed_words
from orchestrator.app.fleet.token import Token
from orchestrator.core.fleet_errors import FleetError, TokenRefused
from orchestrator.deploy.free_port import free_port
from orchestrator.ports.host import Processes

GLANCE: Final = 2.0
"""Seconds that the hub has to say whether this node belongs to its fleet."""
PUT_OUT: Final = "the hub has put this node out of its fleet"
PUT_OUT_CURE: Final = "orchestrator node leave --force, then orchestrator node join TOKEN, with a new token of the hub"
_ERRORS: Final = {kind.__name__: kind for kind in (TokenRefused, FleetError)}


@dataclass(frozen=True, slots=True)
class HubLine:
    """Where a hub is asked: any of these addresses (host:port). ``authority`` is what its certificate must come from, as text;
    empty where links are plain."""

    addresses: Sequence[str]
    authority: str = ""

    def ask(self, question: dict[str, Any], patience: float = PATIENCE) -> dict[str, Any]:
        """The answer, within ``patience`` seconds. Raises ``FleetError``, or ``TokenRefused`` where the hub says so."""
        context = _checked(self.authority) if self.authority else None
        answer = _asked(self.addresses, context, question, patience)
        if "error" in answer:
            told = answer["error"]
            raise _ERRORS.get(told.get("kind"), FleetError)(str(told["message"]), cure=str(told.get("cure", "")))
        return answer


def join_fleet(folder: FleetFolder, token: Token, node: str) -> Membership:
    """Become a node of the fleet that the token is of. Nothing stays of a join that fails. Raises ``FleetError``,
    ``TokenRefused`` and ``UsageError``."""
    folder.check_free()
    check_node(node)
    coming = FleetFolder(folder.path.with_name(f"{folder.path.name}.joining"))
    shutil.rmtree(coming.path, ignore_errors=True)
    try:
        membership = _joined(coming, token, node)
        folder.forget()  # what may be left of an earlier one: it has no membership
        coming.path.rename(folder.path)
    finally:
        shutil.rmtree(coming.path, ignore_errors=True)
    return membership


@dataclass(frozen=True, slots=True)
class Unanswered:
    """Requests of a node's share that would never be answered once it has left: so many wait for a target that is away, or for a
    person, and so many are in work."""

    deliveries: int = 0
    approvals: int = 0
    in_work: int = 0

    def told(self) -> list[tuple[str, str]]:
        """Each kind that there is, and where to look."""
        kinds = (
            (self.deliveries, "kept for a target that is away", "orchestrator outbox list"),
            (self.approvals, "waiting for a person", "orchestrator approvals list"),
            (self.in_work, "in work", "orchestrator status"),
        )
        return [(f"{count} {kind}", where) for count, kind, where in kinds if count]


def check_leaves(membership: Membership, unanswered: Unanswered, *, force: bool) -> None:
    """Raises ``FleetError``, unless by ``force``: for the hub, and where requests of its share would never be answered. All that
    would be lost is named at once, as one ``--force`` goes past all of it."""
    if force:
        return
    found = unanswered.told()
    left = f"this node has requests that are not answered yet: {', '.join(what for what, _ in found)}"
    looks = f"once they are answered ({', '.join(where for _, where in found)})"
    if membership.hub:
        raise FleetError(
            "this machine is the hub: without it there is no fleet, and no other node can join or be taken out"
            + (f"; and {left}" if found else ""),
            cure=f"orchestrator node leave --force, {looks}, if the fleet shall end; sooner, and nobody answers them"
            if found
            else "orchestrator node leave --force, if the fleet shall end",
        )
    if found:
        raise FleetError(
            left,
            cure=f"orchestrator node drain, and leave {looks};"
            " or orchestrator node leave --force, and nobody answers them",
        )


def leave_fleet(folder: FleetFolder, processes: Processes, *, force: bool) -> bool:
    """Have the hub take this node's key out, end what a killed process left of its servers, and forget the fleet; tells whether
    the hub knows. With ``force`` also where it cannot be asked. Raises ``FleetError``, also while the servers run."""
    membership = folder.member()
    check_leaves(membership, Unanswered(), force=force)
    with only_one(folder.servers / "lock"):
        told = membership.hub or _told(folder, force=force)
        for name in ("leaf", "hub"):
            end_left(folder.servers, name, processes)
        folder.forget()
    return told


def tell_leaving(folder: FleetFolder) -> None:
    """Have the hub take this node's key out. Raises ``FleetError``."""
    ask_signed(folder, "leave")


def is_put_out(folder: FleetFolder) -> bool:
    """Whether the hub says that this node belongs to its fleet no more. False where it cannot be asked, or does not understand
    that: then nobody knows."""
    try:
        return ask_signed(folder, "belongs", patience=GLANCE).get("belongs") is False
    except FleetError:
        return False


def ask_signed(folder: FleetFolder, op: str, request: str = "", patience: float = PATIENCE) -> dict[str, Any]:
    """Ask the hub for something as the node that this machine is. Raises ``FleetError``."""
    membership = folder.member()
    authority = "" if membership.insecure else pem(read_certificate(folder.tls.authority))
    words = signed_words(op, membership.fleet, membership.node, request)
    signature = read_seed(folder.seed("link")).sign(words.decode()).decode()
    question = {"op": op, "node": membership.node, "signature": signature, "request": request}
    return HubLine(membership.enrol, authority).ask(question, patience)


def _told(folder: FleetFolder, *, force: bool) -> bool:
    try:
        tell_leaving(folder)
    except FleetError:
        if not force:
            raise
        return False
    return True


def _joined(coming: FleetFolder, token: Token, node: str) -> Membership:
    authority = "" if token.insecure else _authority(token)
    key = new_seed(coming.seed("link"))
    new_seed(coming.seed("engine"))
    question = {
        "op": "join",
        "secret": base64.b64encode(token.secret).decode(),
        "node": node,
        "key": key.public,
        "request": new_request(coming.tls.key, node),
    }
    answer = HubLine(token.enrol, authority).ask(question)
    certificate = read_pem(answer["certificate"])
    if authority:
        check_issued(certificate, read_pem(authority), node)
        write_private(coming.tls.authority, authority)
    write_private(coming.tls.certificate, pem(certificate))
    membership = Membership(
        fleet=answer["fleet"],
        node=node,
        hub=False,
        hubs=tuple(answer["hubs"]),
        enrol=tuple(answer["enrol"]),
        operator=answer["operator"],
        leaf_port=free_port(LOCALHOST),
        insecure=token.insecure,
        since=time.time(),
    )
    coming.write(membership)
    return membership


def _authority(token: Token) -> str:
    """The authority's certificate. Whoever answers may have sent it: it is believed for its fingerprint alone."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    text = str(_asked(token.enrol, context, {"op": "authority"}).get("authority", ""))
    if fingerprint(read_pem(text)) != token.fingerprint:
        raise TokenRefused(
            f"who answers at {', '.join(token.enrol)} is not the hub that the token is of: its fingerprint is another one",
            cure="is it the token of this fleet? If it is, something is between this machine and the hub: do not go on",
        )
    return text


def _checked(authority: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_verify_locations(cadata=authority)
    return context


def _asked(
    addresses: Sequence[str], context: ssl.SSLContext | None, question: dict[str, Any], patience: float = PATIENCE
) -> dict[str, Any]:
    faults = []
    for address in addresses:
        host, _, port = address.rpartition(":")
        try:
            with socket.create_connection((host.strip("[]"), int(port)), patience) as plain:
                return _conversation(plain, context, question)
        except ssl.SSLCertVerificationError as error:
            raise FleetError(
                f"{address} does not prove that it is the hub: {error.verify_message}",
                cure="is the clock of this machine right? If it is, something else answers there: do not go on",
            ) from error
        except (OSError, ValueError) as error:
            faults.append(f"{address}: {getattr(error, 'strerror', '') or error}")
    raise FleetError(
        f"the hub cannot be reached ({'; '.join(faults)})",
        cure="does its runtime run (orchestrator runtime status), and does its firewall let this port through?",
    )


def _conversation(plain: socket.socket, context: ssl.SSLContext | None, question: dict[str, Any]) -> dict[str, Any]:
    """Raises ``OSError``, and ``ValueError`` for an answer that is none."""
    if context is None:
        return _said(plain, question)
    with context.wrap_socket(plain, server_hostname=HUB_NAME) as secure:
        return _said(secure, question)


def _said(sock: socket.socket, question: dict[str, Any]) -> dict[str, Any]:
    sock.sendall(json.dumps(question).encode() + b"\n")
    answer = b""
    while not answer.endswith(b"\n") and len(answer) < LARGEST:
        part = sock.recv(LARGEST)
        if not part:
            raise ValueError("it ended the conversation without an answer")
        answer += part
    value = json.loads(answer)
    if not isinstance(value, dict):
        raise ValueError("what it answers is no answer of a hub")
    return value
