"""The engine of one revision: takes requests, gives results. And the table of the engines that serve now."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import anyio
from anyio import get_cancelled_exc_class

from orchestrator.core.errors import NoSuchDeployment, OrchestratorError
from orchestrator.core.message import Message
from orchestrator.core.names import did_you_mean
from orchestrator.core.request import Request, Result
from orchestrator.deploy.deployment import Deployment
from orchestrator.serve.gate import Gate
from orchestrator.serve.loop import Loop
from orchestrator.serve.run import Emit, Outcome, Run
from orchestrator.serve.session import Sessions
from orchestrator.serve.walk import walk


class Engine:
    """Runs requests on one revision of a deployment."""

    def __init__(self, deployment: Deployment, loop: Loop, sessions: Sessions, emit: Emit) -> None:
        self.deployment = deployment
        self._loop = loop
        self._sessions = sessions
        self._emit = emit
        line = (deployment.blueprint.queue.get("interactive") or {}).get("length") or 256
        self._gate = Gate(deployment.blueprint.max_concurrent, line)
        self._in_flight = 0
        self._empty: anyio.Event | None = None

    @property
    def in_flight(self) -> int:
        """Runs that have begun and not ended."""
        return self._in_flight

    async def run(self, request: Request, listen: Emit | None = None) -> Result:
        """Answer a request. Faults are in ``Result.error``, never raised; cancelling the caller cancels the model call.

        ``listen`` gets this run's events as they happen, pieces of the answer (``run.delta``) among them.
        """
        run = Run(request, self.deployment, self._loop, self._emit, listen)
        self._in_flight += 1
        try:
            return await self._run(run)
        finally:
            self._in_flight -= 1
            if self._in_flight == 0 and self._empty is not None:
                self._empty.set()

    async def drained(self) -> None:
        """Wait until no run is in flight. Call it once nobody can start a new one."""
        if self._in_flight:
            self._empty = anyio.Event()
            await self._empty.wait()

    async def _run(self, run: Run) -> Result:
        run.tell("run.started", {"text": run.request.text, "agent": run.request.agent, "session": run.request.session})
        try:
            await self._gate.enter(run.deadline)
            try:
                run.queue_ms += (anyio.current_time() - run.started) * 1e3
                result = await self._in_session(run)
            finally:
                self._gate.leave()
        except OrchestratorError as error:
            result = run.result(_last_agent(run), Outcome(getattr(error, "partial", "")), _view(error))
        except get_cancelled_exc_class():
            cancelled = {"code": "ORC505", "kind": "RunCancelled", "message": "the caller went away", "cure": ""}
            run.tell(
                "run.finished", {"result": run.result(_last_agent(run), Outcome(), cancelled), "text": run.request.text}
            )
            raise
        if not run.streamed and not result.error:
            run.say(result.text)
        run.tell("run.finished", {"result": result, "text": run.request.text})
        return result

    async def _in_session(self, run: Run) -> Result:
        request = run.request
        if not request.session:
            return await walk(run)
        async with self._sessions.turn(self.deployment.name, request.session) as turns:
            run.history = (*turns, *request.history)
            result = await walk(run)
            said = (Message("user", request.text), Message("assistant", result.text))
            await self._sessions.add(self.deployment.name, request.session, said)
            return result


def _view(error: OrchestratorError) -> Mapping[str, Any]:
    view = error.as_json()
    retry_after = getattr(error, "retry_after", None)
    return {**view, "retry_after": retry_after} if retry_after is not None else view


def _last_agent(run: Run) -> str:
    return run.path[-1].partition(".")[2] if run.path else ""


class EngineTable:
    """Which engine answers for each deployment. A switch is one assignment: a request meets the old or the new, never none."""

    def __init__(self) -> None:
        self._engines: dict[str, Engine] = {}

    def switch(self, name: str, engine: Engine) -> Engine | None:
        """Let ``engine`` answer from now on; gives the one that did."""
        old = self._engines.get(name)
        self._engines[name] = engine
        return old

    def remove(self, name: str) -> Engine | None:
        """Nobody answers for ``name`` any more; gives the one that did."""
        return self._engines.pop(name, None)

    def get(self, name: str) -> Engine:
        """The engine of a deployment; raises ``NoSuchDeployment``."""
        engine = self._engines.get(name)
        if engine is None:
            known = ", ".join(self._engines) or "none"
            cure = did_you_mean(name, self._engines) or f"Applied deployments: {known}."
            raise NoSuchDeployment(f'no deployment is called "{name}"', cure=cure)
        return engine

    def names(self) -> list[str]:
        """Deployments that are served now."""
        return list(self._engines)
