"""The control API: what the command line asks of the runtime, over HTTP on a private socket file.

Requests with an effect are ``POST`` with a JSON body. Answers that take time are lines of JSON: events as they happen,
then one last line ``{"kind": "end", "value": …}`` or ``{"kind": "error", "error": …}``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qs, unquote

import anyio

from orchestrator.core.asked import check_fields, check_request
from orchestrator.core.blueprint import Blueprint
from orchestrator.core.errors import (
    ApprovalClosed,
    DeliveryClosed,
    DeployError,
    NoSuchApproval,
    NoSuchDelivery,
    NoSuchDeployment,
    NothingToLabel,
    OrchestratorError,
    PlanError,
    RuntimeUnavailable,
    RuntimeVersionClash,
    StateUnusable,
    UsageError,
    Withheld,
)
from orchestrator.core.event import Event
from orchestrator.core.failpoint import declare, failpoint
from orchestrator.core.message import Message
from orchestrator.core.request import Request
from orchestrator.deploy.reconcile import Reconciler
from orchestrator.deploy.refusals import with_what_serves
from orchestrator.deploy.status import status
from orchestrator.deploy.wanted import SHARE_CURE, Wanted, refuse_share
from orchestrator.gateway.answering import (
    NDJSON,
    Asked,
    Telling,
    give_signs_of_life,
    no_run,
    revisions_of,
    tell_and_answer,
)
from orchestrator.gateway.approvals import Approvals
from orchestrator.gateway.fleet import Fleet, FleetRoutes, Logs
from orchestrator.gateway.guard import (
    Receive,
    Scope,
    Send,
    Turned,
    cancel_when_left,
    check_source,
    headers_of,
    read_json,
    send_json,
)
from orchestrator.gateway.not_ready import STARTING, STOPPING, STOPPING_CURE
from orchestrator.gateway.outbox import OutboxRoutes
from orchestrator.gateway.outcomes import OutcomeRoutes
from orchestrator.gateway.reporting import ReportRoute
from orchestrator.ports.store import Revision, RunStore
from orchestrator.serve.engine import Engine, EngineTable
from orchestrator.serve.forward import Forwarder
from orchestrator.serve.outcomes import Outcomes
from orchestrator.serve.people import PeopleDesk
from orchestrator.serve.trying import find_request

declare("apply.answered", "run.received", "run.began", "run.answered")

API_VERSION: Final = 1
"""Raised when a request or an answer below changes so that an older client would misread it."""
LARGEST_APPLY: Final = 64_000_000
"""Bytes of a blueprint with its sources."""
LARGEST_BODY: Final = 1_000_000
RESTORE_SECONDS: Final = 10.0
"""How long a request waits for what was applied to come back after a start."""

_STATUS: Final[Mapping[type[OrchestratorError], int]] = {
    NoSuchDeployment: 404,
    NoSuchApproval: 404,
    NothingToLabel: 409,
    ApprovalClosed: 409,
    NoSuchDelivery: 404,
    DeliveryClosed: 409,
    UsageError: 400,
    PlanError: 409,
    RuntimeUnavailable: 503,
    RuntimeVersionClash: 409,
    StateUnusable: 507,
}


@dataclass(frozen=True, slots=True)
class Controlled:
    """What the API acts on. ``about`` describes the runtime; ``stop`` ends it, with a patience in seconds; ``flush`` has
    every run that has ended in ``runs``, so that who asks right after its answer finds it; ``fleet`` is this runtime as a node,
    from the moment when this machine belongs to a fleet."""

    reconciler: Reconciler
    engines: EngineTable
    runs: RunStore
    logs: Logs
    about: Callable[[], Mapping[str, Any]]
    stop: Callable[[float | None], None]
    flush: Callable[[], Awaitable[None]]
    desk: PeopleDesk
    forwarder: Forwarder
    outcomes: Outcomes
    fleet: Callable[[], Fleet | None] = lambda: None


Call = Callable[[Asked], Awaitable[None]]


class ControlApi:
    """The ASGI app."""

    def __init__(self, controlled: Controlled) -> None:
        self._it = controlled
        approvals, outbox = Approvals(controlled), OutboxRoutes(controlled)
        outcomes = OutcomeRoutes(controlled)
        self._fleet = FleetRoutes(controlled.fleet)
        self._routes: dict[tuple[str, str], Call] = {
            ("GET", "/version"): self._version,
            ("GET", "/observed"): self._observed,
            ("POST", "/observe"): self._observe,
            ("POST", "/apply"): self._apply,
            ("POST", "/rollback"): self._rollback,
            ("POST", "/down"): self._down,
            ("GET", "/status"): self._status,
            ("GET", "/history"): self._history,
            ("POST", "/run"): self._run,
            ("GET", "/try"): self._try,
            ("GET", "/runs"): self._runs,
            ("GET", "/logs"): self._logs,
            ("GET", "/fleet"): self._fleet.look,
            ("GET", "/report"): ReportRoute(controlled).look,
            ("GET", "/approvals"): approvals.look,
            ("POST", "/approvals"): approvals.decide,
            ("POST", "/wait"): approvals.wait,
            ("GET", "/outbox"): outbox.look,
            ("POST", "/outbox"): outbox.act,
            ("POST", "/label"): outcomes.label,
            ("POST", "/calibrate"): outcomes.calibrate,
            ("POST", "/stop"): self._stop,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return
        try:
            call, asked = await self._asked(scope, receive, send)
            await call(asked)
        except Turned as turned:
            await send_json(send, turned.status, {"error": {"kind": "UsageError", "message": str(turned)}})
        except OrchestratorError as error:
            code = next((code for kind, code in _STATUS.items() if isinstance(error, kind)), 500)
            await send_json(send, code, {"error": error.as_json()})

    async def _asked(self, scope: Scope, receive: Receive, send: Send) -> tuple[Call, Asked]:
        headers = headers_of(scope)
        check_source(headers)
        method = scope["method"]
        first, _, rest = scope["path"].removeprefix("/").partition("/")
        call = self._routes.get((method, f"/{first}"))
        if call is None:
            known = [verb for verb, path in self._routes if path == f"/{first}"]
            if known:
                raise Turned(405, f"use {known[0]}", code="method_not_allowed")
            raise Turned(404, f"there is nothing at {scope['path']}", code="not_found")
        if method == "POST" and first != "stop" and self._state() == "stopping":
            raise RuntimeUnavailable(STOPPING, cure=STOPPING_CURE)
        largest = LARGEST_APPLY if first in ("apply", "observe") else LARGEST_BODY
        body = await read_json(headers, receive, largest) if method == "POST" else {}
        query = {name: values[-1] for name, values in parse_qs(scope["query_string"].decode("latin-1")).items()}
        return call, Asked(query, body, unquote(rest), receive, send)

    def _state(self) -> str:
        return str(self._it.about()["state"])

    # -- looking ----------------------------------------------------------------------------------------------------

    async def _version(self, asked: Asked) -> None:
        await send_json(asked.send, 200, {**self._it.about(), "api": API_VERSION})

    async def _observed(self, asked: Asked) -> None:
        name = asked.query.get("deployment", "")
        desired = self._it.reconciler.desired.get(name)
        observed = await self._it.reconciler.observe(desired.blueprint if desired else None)
        await send_json(asked.send, 200, observed.as_json())

    async def _observe(self, asked: Asked) -> None:
        observed = await self._it.reconciler.observe(_blueprint(asked.body))
        await send_json(asked.send, 200, observed.as_json())

    async def _status(self, asked: Asked) -> None:
        people, outbox = await self._it.desk.trouble(), await self._it.forwarder.trouble()
        found = [
            {
                **each,
                "people": people.get(each["name"]),
                "outbox": outbox.get(each["name"]),
                "spending": await self._spending(each["name"]),
            }
            for each in status(self._it.reconciler)
        ]
        await send_json(asked.send, 200, {"runtime": dict(self._it.about()), "deployments": found})

    async def _spending(self, name: str) -> Mapping[str, Any] | None:
        """What a deployment that serves has spent in the cloud today."""
        if name not in self._it.engines.names():
            return None
        engine = self._it.engines.get(name)
        try:
            return await engine.ledger.view(engine.rules.account)
        except Withheld as error:
            return {"error": error.message}

    async def _history(self, asked: Asked) -> None:
        desired = self._it.reconciler.desired
        name = asked.text("name")
        revisions = await revisions_of(self._it.reconciler, name)
        wanted, serving = desired.get(name), self._it.reconciler.table.revision_of(name) or 0
        number = wanted.revision.number if wanted else 0
        await send_json(asked.send, 200, {"revisions": [_revision(each, serving, number) for each in revisions]})

    async def _try(self, asked: Asked) -> None:
        live = self._it.reconciler.table.get(asked.text("name"))
        await send_json(asked.send, 200, {"try": live and (await find_request(live.deployment)).as_json()})

    async def _runs(self, asked: Asked) -> None:
        await self._it.flush()
        if asked.rest:
            found = await anyio.to_thread.run_sync(self._it.runs.find, asked.rest)
            if found is None:
                raise no_run(asked.rest)
            await send_json(asked.send, 200, {"run": found})
            return
        recent = await anyio.to_thread.run_sync(self._it.runs.recent, asked.text("name"), asked.count("count", 20))
        await send_json(asked.send, 200, {"runs": list(recent)})

    async def _logs(self, asked: Asked) -> None:
        await revisions_of(self._it.reconciler, asked.text("name"))
        async with self._fleet.logs(asked, self._it.logs) as entries, anyio.create_task_group() as tasks:
            await asked.send({"type": "http.response.start", "status": 200, "headers": NDJSON})
            tasks.start_soon(cancel_when_left, asked.receive, tasks.cancel_scope)
            tasks.start_soon(give_signs_of_life, asked.send)
            async for entry in entries:
                await asked.send({"type": "http.response.body", "body": entry, "more_body": True})
            tasks.cancel_scope.cancel()
        await asked.send({"type": "http.response.body", "body": b""})

    # -- acting -----------------------------------------------------------------------------------------------------

    async def _apply(self, asked: Asked) -> None:
        body = asked.body
        blueprint = _blueprint(body)
        if blueprint.type == "distributed-edge":
            await self._fleet.apply(asked, blueprint)
            return
        self._refuse_share(blueprint.name, SHARE_CURE)
        wanted = Wanted(
            blueprint=blueprint,
            sources={str(name): str(text) for name, text in (body.get("sources") or {}).items()},
            origin=str(body.get("origin") or ""),
            expected=str(body.get("plan") or ""),
        )

        async def work(tell: Telling) -> Any:
            with self._telling_what_serves(blueprint.name):
                applied = await self._it.reconciler.apply(wanted, tell)
            failpoint("apply.answered")
            told = {"name": blueprint.name, "revision": applied.revision, "plan": applied.plan.as_json()}
            live = self._it.reconciler.table.get(blueprint.name)  # None: taken down again meanwhile
            return told if live is None else {**told, "try": (await find_request(live.deployment)).as_json()}

        await tell_and_answer(asked, work, cancel_on_leave=False)

    async def _rollback(self, asked: Asked) -> None:
        name, to = asked.text("name"), asked.count("to", 0) if asked.given("to") else None
        self._refuse_share(name, "apply the earlier manifest to the fleet")

        async def work(tell: Telling) -> Any:
            with self._telling_what_serves(name):
                applied = await self._it.reconciler.rollback(name, to, tell)
            return {"name": name, "revision": applied.revision, "plan": applied.plan.as_json()}

        await tell_and_answer(asked, work, cancel_on_leave=False)

    def _refuse_share(self, name: str, cure: str) -> None:
        desired = self._it.reconciler.desired.get(name)
        refuse_share(name, desired.blueprint.node if desired is not None else "", cure)

    @contextmanager
    def _telling_what_serves(self, name: str) -> Iterator[None]:
        """A fault says what serves on, where that is not what is wanted."""
        try:
            yield
        except DeployError as error:
            wanted, serving = self._it.reconciler.desired.get(name), self._it.reconciler.table.revision_of(name)
            raise with_what_serves(error, name, wanted.revision.number if wanted else None, serving) from error

    async def _down(self, asked: Asked) -> None:
        name, patience = asked.text("name"), asked.number("drain", 30.0, least=0)

        desired = self._it.reconciler.desired.get(name) if self._it.fleet() is not None else None
        if desired is not None and desired.blueprint.node:
            await self._fleet.down(asked, name)
            return

        async def work(tell: Telling) -> Any:
            return {"name": name, "left": await self._it.reconciler.down(name, patience, tell)}

        await tell_and_answer(asked, work, cancel_on_leave=False)

    async def _run(self, asked: Asked) -> None:
        failpoint("run.received")
        engine = await self._engine(asked.text("name"))
        request = read_request(asked.body.get("request"))

        async def work(tell: Telling) -> Any:
            def listen(event: Event) -> None:
                failpoint("run.began")
                tell(event)

            # Who hears no pieces has seen none when an attempt fails: another one may answer.
            result = await engine.run(request, listen if asked.body.get("pieces", True) else None)
            failpoint("run.answered")
            return result.as_json()

        await tell_and_answer(asked, work, cancel_on_leave=True)

    async def _engine(self, name: str) -> Engine:
        """The engine of a deployment; just after a start, what was applied may still be coming back."""
        if name not in self._it.engines.names():
            with anyio.move_on_after(RESTORE_SECONDS):
                await self._it.reconciler.restored.wait()
        if name not in self._it.engines.names() and self._it.reconciler.desired.get(name) is not None:
            why = f": {STARTING}" if self._state() == "starting" else ""
            cure = f"orchestrator status {name} says what it waits for"
            raise DeployError(f'"{name}" does not serve yet{why}', cure=cure)
        return self._it.engines.get(name)

    async def _stop(self, asked: Asked) -> None:
        self._it.stop(asked.number("drain", 0.0, least=0) if asked.given("drain") else None)
        await send_json(asked.send, 202, {"stopping": True})


def read_request(value: Any) -> Request:
    """A request from its plain form; raises ``UsageError`` that names what does not fit."""
    if not isinstance(value, Mapping) or not isinstance(value.get("text"), str):
        raise UsageError("'request' needs a 'text'")
    check_fields(value)
    try:
        history = tuple(Message.from_json(message) for message in value.get("history") or ())
        request = Request(**{**value, "history": history})
    except (TypeError, ValueError) as error:
        cure = "give each turn its role and its content"
        raise UsageError(f"the request's history is malformed: {error}", cure=cure, field="history") from error
    return check_request(request)


def _blueprint(body: Mapping[str, Any]) -> Blueprint:
    try:
        return Blueprint.from_json(body["blueprint"])
    except (KeyError, TypeError, ValueError) as error:
        raise RuntimeVersionClash(
            f"the runtime does not understand this blueprint: {error}",
            cure="restart it with this version: orchestrator runtime stop",
        ) from error


def _revision(revision: Revision, serving: int, wanted: int) -> dict[str, Any]:
    return {
        "number": revision.number,
        "digest": revision.digest,
        "created": revision.created,
        "origin": revision.origin,
        "cause": revision.cause,
        "current": revision.number == serving,
        "wanted": revision.number == wanted,
    }
