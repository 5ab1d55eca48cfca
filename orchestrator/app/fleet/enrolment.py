"""How a machine becomes a node: the hub's side of a small conversation, one question and one answer in JSON on a line each.

Over TLS with the hub's certificate; over plain sockets only in a fleet without certificates, which is on one machine. Who asks
knows the hub by the fingerprint in its token, and shows the token's secret, or, once it is a node, a signature by its NKey.
"""

from __future__ import annotations

import base64
import json
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

import anyio
import anyio.to_thread
from anyio.abc import ByteStream, TaskStatus
from anyio.streams.buffered import BufferedByteReceiveStream
from anyio.streams.tls import TLSListener

from orchestrator.app.fleet.certificates import Authority
from orchestrator.app.fleet.identity import FleetFolder, check_node
from orchestrator.app.fleet.signed import LARGEST, PATIENCE, signed_words
from orchestrator.core.errors import DeployError, OrchestratorError
from orchestrator.core.fleet_errors import FleetError
from orchestrator.plugins.buses.nkey import is_public, verifies
from orchestrator.plugins.secrets import read_private
from orchestrator.plugins.sidecars.nats_conf import is_loopback

AT_ONCE: Final = 16
"""Conversations at a time; others wait to be accepted."""

Changed = Callable[[bool], Awaitable[None]]
"""Hears that the nodes of the fleet changed, and whether one left."""


@dataclass(frozen=True, slots=True)
class Enrolment:
    """The hub's side. Raises nothing: what is wrong is the answer."""

    folder: FleetFolder
    changed: Changed

    async def serve(self, *, task_status: TaskStatus[int] = anyio.TASK_STATUS_IGNORED) -> None:
        """Answer until cancelled; tells the port when it listens. Raises ``DeployError`` where it cannot listen."""
        membership = self.folder.member()
        port = membership.enrol[0].rpartition(":")[2]
        local = "127.0.0.1" if is_loopback(membership.enrol[0]) else None
        try:
            listener = await anyio.create_tcp_listener(local_host=local, local_port=int(port))
        except OSError as error:
            raise DeployError(
                f"nothing can listen at port {port} for new nodes: {error.strerror or error}",
                cure="is another fleet's hub here? orchestrator node init --enrol-port N takes another port",
            ) from error
        task_status.started(int(port))
        limiter = anyio.CapacityLimiter(AT_ONCE)

        async def talk(stream: ByteStream) -> None:
            async with limiter, stream:
                with anyio.move_on_after(PATIENCE):
                    await self._talk(stream)

        async with listener:
            if membership.insecure:
                await listener.serve(talk)
            else:
                await TLSListener(listener, _context(self.folder), standard_compatible=False).serve(talk)

    async def _talk(self, stream: ByteStream) -> None:
        try:
            line = await BufferedByteReceiveStream(stream).receive_until(b"\n", LARGEST)
            answer = await self._answered(line)
            await stream.send(json.dumps(answer).encode() + b"\n")
        except (anyio.EndOfStream, anyio.IncompleteRead, anyio.DelimiterNotFound, anyio.BrokenResourceError):
            return  # it went away, or speaks something else: there is nobody to answer

    async def _answered(self, line: bytes) -> dict[str, Any]:
        try:
            question = json.loads(line)
            op = question.get("op") if isinstance(question, dict) else None
            act = _ACTS.get(op) if isinstance(op, str) else None
            if act is None:
                raise FleetError("the hub does not understand that", cure="have both machines run the same version")
            answer = await anyio.to_thread.run_sync(act, self.folder, question)
        except ValueError:
            return {"error": FleetError("what was sent is no question of a node").as_json()}
        except OrchestratorError as error:
            return {"error": error.as_json()}
        except Exception as error:  # noqa: BLE001 - what one machine sends may not end the hub for all
            return {"error": FleetError(f"the hub failed at this: {type(error).__name__}").as_json()}
        if op in ("join", "leave"):
            await self.changed(op == "leave")
        return answer


def _authority(folder: FleetFolder, _question: dict[str, Any]) -> dict[str, Any]:
    return {"authority": read_private("the authority's certificate", folder.tls.authority)}


def _join(folder: FleetFolder, question: dict[str, Any]) -> dict[str, Any]:
    node, key, request = (_text(question, name) for name in ("node", "key", "request"))
    check_node(node)
    if not is_public(key):
        raise FleetError("the key that was sent is no public NKey")
    certificate = _signer(folder).sign(request, node)  # before the token is used up
    folder.ledger.admit(base64.b64decode(_text(question, "secret")), node, key)
    membership = folder.member()
    return {
        "certificate": certificate,
        "fleet": membership.fleet,
        "operator": membership.operator,
        "hubs": list(membership.hubs),
        "enrol": list(membership.enrol),
    }


def _leave(folder: FleetFolder, question: dict[str, Any]) -> dict[str, Any]:
    node = _text(question, "node")
    _check_signed(folder, question, "")
    folder.ledger.leave(node)
    return {}


def _belongs(folder: FleetFolder, question: dict[str, Any]) -> dict[str, Any]:
    """Whether who asks is a node of the fleet still, by the key that it has: one that was put out finds its link refused only."""
    node, signature = _text(question, "node"), _text(question, "signature")
    member = folder.ledger.members().get(node)
    words = signed_words("belongs", folder.member().fleet, node)
    known = member is not None and not member.left and verifies(member.key, signature.encode(), words)
    return {"belongs": known}


def _renew(folder: FleetFolder, question: dict[str, Any]) -> dict[str, Any]:
    request = _text(question, "request")
    _check_signed(folder, question, request)
    return {"certificate": _signer(folder).sign(request, _text(question, "node"))}


def _check_signed(folder: FleetFolder, question: dict[str, Any], request: str) -> None:
    """By the key of the node that it names, which belongs to the fleet now."""
    node, signature = _text(question, "node"), _text(question, "signature")
    member = folder.ledger.members().get(node)
    words = signed_words(_text(question, "op"), folder.member().fleet, node, request)
    if member is None or member.left or not verifies(member.key, signature.encode(), words):
        raise FleetError(f"the hub does not know {node} by this key", cure="leave with --force, and join again")


def _signer(folder: FleetFolder) -> Authority:
    return Authority.read(folder.tls.authority, folder.authority_key)


def _text(question: dict[str, Any], name: str) -> str:
    value = question.get(name)
    if not isinstance(value, str):
        raise FleetError(f"the question has no {name}", cure="have both machines run the same version")
    return value


def _context(folder: FleetFolder) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(folder.tls.certificate, folder.tls.key)
    return context


_ACTS: Final[dict[str, Callable[[FleetFolder, dict[str, Any]], dict[str, Any]]]] = {
    "authority": _authority,
    "belongs": _belongs,
    "join": _join,
    "leave": _leave,
    "renew": _renew,
}
