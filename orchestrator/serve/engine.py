"""The engine of one revision: takes requests, gives results. And the table of the engines that serve now."""

from __future__ import annotations

import sys
import traceback
from asyncio import CancelledError
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import replace
from math import inf
from typing import Any, Final

import anyio
from anyio import get_cancelled_exc_class

from orchestrator.core.approval import Approval
from orchestrator.core.errors import OrchestratorError, RunCancelled, RunError, StateUnusable
from orchestrator.core.fitted import Fitted, Scale
from orchestrator.core.handed import Handed
from orchestrator.core.refined import Refinements
from orchestrator.core.request import Request, Result
from orchestrator.core.unknown import no_deployment
from orchestrator.deploy.deployment import Deployment
from orchestrator.plan.pressure import NONE, Pressure
from orchestrator.ports.elsewhere import Elsewhere
from orchestrator.ports.outbox import Outbox
from orchestrator.ports.people import Desk
from orchestrator.serve.cancels import cancels
from orchestrator.serve.clock import current_time
from orchestrator.serve.gate import Gate
from orchestrator.serve.handing import take_over
from orchestrator.serve.held import names_before, resumed, spent_before
from orchestrator.serve.leave import Leave
from orchestrator.serve.ledger import Ledger
from orchestrator.serve.loop import Loop
from orchestrator.serve.outbound import Passage, Rules
from orchestrator.serve.outcome import GoingOn
from orchestrator.serve.privacy import Privacy
from orchestrator.serve.rooms import Rooms
from orchestrator.serve.run import Emit, Run
from orchestrator.serve.session import Sessions
from orchestrator.serve.steps.there import ended, look, place_there, wait_there
from orchestrator.serve.turns import turns_of
from orchestrator.serve.walk import walk

NOT_STORED: Final = "this turn could not be stored, and is remembered only while the session stays in memory"
NOBODY: Final = "nobody waits for the answer any more: the caller went away, or read it too slowly"


class Engine:
    """Runs requests on one revision of a deployment."""

    def __init__(
        self,
        deployment: Deployment,
        loop: Loop,
        sessions: Sessions,
        emit: Emit,
        pressure: Callable[[], Pressure] = lambda: NONE,
    ) -> None:
        self.deployment = deployment
        self.desk: Desk | None = None
        """Where its runs can ask people; set before the first of them."""
        self.elsewhere: Elsewhere | None = None
        """The other nodes of its fleet; set before the first of its runs."""
        self.outbox: Outbox | None = None
        """Where its runs leave what waits for a target that is away; set before the first of them."""
        self.fitted: Mapping[Scale, Fitted] = {}
        """What labelled answers say of the scores of its agents; replaced as a whole."""
        self.refined: Mapping[str, Refinements] = {}
        """By router, what labelled decisions say of its confidence; replaced as a whole."""
        self._pressure = pressure
        self.privacy = Privacy(deployment)
        self.rules = Rules.of(deployment)
        self.ledger = Ledger()
        """What is spent in the cloud; the one of all engines is put in its place before the first run."""
        self._loop = loop
        self._sessions = sessions
        self._emit = emit
        self._classes = loop.limits.with_queue(deployment.blueprint.queue).classes
        self.gate = Gate(deployment.blueprint.max_concurrent, self._classes)
        self.gate.shared_by(loop.share)
        self._in_work: set[anyio.CancelScope] = set()
        self._empty: anyio.Event | None = None
        self._cancelled = ""

    @property
    def in_flight(self) -> int:
        """Runs that have begun and not ended."""
        return len(self._in_work)

    def follows(self, gate: Gate) -> None:
        """Let its runs pass the gate of the engines before it, where runs of theirs may be, with its own limits from now on."""
        gate.limit_to(self.deployment.blueprint.max_concurrent, self._classes)
        gate.shared_by(self._loop.share)
        self.gate = gate

    async def run(self, request: Request, listen: Emit | None = None, *, from_node: Handed | None = None) -> Result:
        """Answer a request. Faults are in ``Result.error``, never raised; cancelling the caller cancels the model call.
        ``from_node``: it came from a node of the fleet with this; what waits for a target that is away waits there.

        ``listen`` gets this run's events as they happen, pieces of the answer (``run.delta``) among them; ``Result.text``
        is then all that was said.
        """
        run = Run(request, self.deployment, self._loop, self._emit, listen)
        run.tell("run.started", _as_asked(request))
        try:
            result, fault = await self._conduct(run, from_node)
        except get_cancelled_exc_class():
            _finish(run, run.failure(RunCancelled(NOBODY).as_json()))
            raise
        if not run.streamed and not result.error:
            run.say(result.text)
        _finish(run, result, fault)
        return result

    async def resume(self, going_on: GoingOn) -> Result:
        """Let a run go on that waited for a person or its target. Its end is not told: who lets it go on keeps it first."""
        run = resumed(going_on, self.deployment, self._loop, self._emit)
        return (await self._conduct(run))[0]

    def hurry(self, agent: str) -> None:
        """A person wants this agent's models asked now, also where they rest or asked for a pause."""
        found = self.deployment.agents.get(agent)
        if found is not None:
            self._loop.try_now(found.endpoints, asked=True)

    async def _conduct(self, run: Run, from_node: Handed | None = None) -> tuple[Result, str]:
        """What comes of a run, and where an unexpected fault was."""
        run.pressure = self._pressure()
        run.fitted, run.refined = self.fitted, self.refined
        run.desk, run.elsewhere = self.desk, self.elsewhere
        run.outbox, run.post = self.outbox if from_node is None else None, self.outbox
        run.privacy = self.privacy
        run.passage = self._passage(run)
        if from_node is not None:
            take_over(run, from_node)
        scope = anyio.CancelScope()
        result: Result | None = None
        self._in_work.add(scope)
        before = cancels()
        try:
            with scope:
                if (at := place_there(run)) is not None:
                    result = await self._followed(run, at)
                else:
                    looked_at = from_node is not None
                    result = await (
                        self._in_session(run) if run.request.session else self._alone(run, looked_at=looked_at)
                    )
            if result is None:
                raise RunCancelled(self._cancelled, cure="Ask again.")
        except OrchestratorError as error:
            failed = run.failure(_view(error), getattr(error, "partial", ""))
            there = getattr(error, "node", "")
            return (replace(failed, node=there) if there else failed), ""
        except (Exception, CancelledError) as error:  # of a plug-in or of ours: told, with where it was
            if isinstance(error, CancelledError) and cancels() > before:
                raise
            told = RunError(f"unexpected: {type(error).__name__}: {error}").as_json()
            return run.failure(told), traceback.format_exc()
        finally:
            self._leave(scope)
            run.expects_nothing()
        return result, ""

    def _passage(self, run: Run) -> Passage | None:
        """Its way out. Also where there is nothing in the cloud now, but fields that must not go there: what the run learns of them
        is kept with its session, for a later revision that has."""
        if not self.rules.far and not (self.rules.finder and self.rules.finder.fields):
            return None
        passage = Passage(self.rules, self.ledger)
        if run.going_on is not None:
            passage.purse.goes_on(spent_before(run.going_on))
            passage.goes_on(names_before(run.going_on))
        waited = run.going_on.waited if run.going_on is not None else None
        if self.rules.asks and run.desk is not None and isinstance(waited, Approval):
            passage.leave = Leave(run.desk, waited.id)  # that a delivery is sent, the outbox writes down
        return passage

    def cancel(self, why: str) -> None:
        """End every run that is in work; its caller gets a ``RunCancelled`` that says ``why``."""
        self._cancelled = why
        for scope in self._in_work:
            scope.cancel()

    def _leave(self, scope: anyio.CancelScope) -> None:
        self._in_work.remove(scope)
        if not self._in_work and self._empty is not None:
            self._empty.set()

    async def drained(self) -> None:
        """Wait until no run is in flight. Call it once nobody can start a new one."""
        if self._in_work:
            self._empty = self._empty or anyio.Event()
            await self._empty.wait()

    async def _followed(self, run: Run, there: Mapping[str, Any]) -> Result:
        """What has become of a run on another node. It needs no place here, and the turn of its session where something is said."""
        told = await look(run, there)
        if told.status != "waiting" or run.post is None or run.grant is None:
            return ended(run, told)
        name, session = run.grant.agent, run.request.session
        turn: AbstractAsyncContextManager[object]
        turn = self._sessions.turn(self.deployment.name, session, inf, most=sys.maxsize) if session else nullcontext()
        async with turn:
            outcome = await wait_there(run, run.post, name, told)
            return run.result(name, outcome)

    async def _in_session(self, run: Run) -> Result:
        """A session's requests wait for one another outside of the gate, so that they keep nobody else from a place."""
        request, name = run.request, self.deployment.name
        most = self._classes[request.priority].length
        async with self._sessions.turn(name, request.session, run.deadline, most) as turns:
            if turns:  # the caller's own history would say the same again; what it tells the model stays
                run.history = (*(each for each in request.history if each.role == "system"), *turns)
            else:
                run.brings_history()
            if not run.restricted and self._sessions.is_restricted(name, request.session):
                run.restrict(
                    f'the session "{request.session}" holds restricted requests, and so this one counts as one'
                )
            run.conversation = conversation = self._sessions.latches.of(name, request.session)
            result = await self._through_gate(run)
            conversation.hold(request.id, waits=result.status == "waiting")
            if result.status == "waiting" or run.going_on is not None:
                return result  # what is said then is kept together with what waits, or with its end
            try:
                said = turns_of(run, request.text, result)
                await self._sessions.add(name, request.session, said, restricted=run.restricted)
            except (
                StateUnusable
            ) as error:  # the answer is good, and what its tools did is done: nobody should ask again
                run.remark(result.agent, "", f"{NOT_STORED}: {error.message}")
                return replace(result, notes=tuple(run.notes))
            return result

    async def _alone(self, run: Run, *, looked_at: bool) -> Result:
        """A request without a session; one that goes on is known already, and the history of one that another node hands over was
        looked at there, where it is known what was said to whom."""
        if run.going_on is None and not looked_at:
            run.brings_history()
        return await self._through_gate(run)

    async def _through_gate(self, run: Run) -> Result:
        run.place = self.gate.request()
        try:
            run.queue_ms += (current_time() - run.came) * 1e3
            if run.passage is not None:
                for turn in run.history:
                    run.passage.learn_marked(turn.content, turn.marks)
            return await walk(run)
        finally:
            run.place.leave()


def _finish(run: Run, result: Result, fault: str = "") -> None:
    fields = {"result": result, "text": run.typed}
    run.tell("run.finished", {**fields, "fault": fault} if fault else fields)


def _view(error: OrchestratorError) -> Mapping[str, Any]:
    view = error.as_json()
    retry_after = getattr(error, "retry_after", None)
    return {**view, "retry_after": retry_after} if retry_after is not None else view


def _as_asked(request: Request) -> dict[str, str]:
    asked = {"text": request.text, "agent": request.agent, "session": request.session}
    return {**asked, "principal": request.principal} if request.principal else asked


class EngineTable:
    """Which engine answers for each deployment. A switch is one assignment: a request meets the old or the new, never none."""

    def __init__(self, rooms: Rooms | None = None) -> None:
        self.pressure = NONE
        """What of the device speaks for smaller models; told by the control plane, read by each request as it begins."""
        self._engines: dict[str, Engine] = {}
        self._rooms = rooms or Rooms()
        self._gates: dict[str, Gate] = {}  # a deployment's, whichever of its revisions the runs in it are of

    def switch(self, name: str, engine: Engine) -> Engine | None:
        """Let ``engine`` answer from now on; gives the one that did. Raises ``StateUnusable`` where a restricted agent is served
        for the first time and that cannot be kept."""
        old = self._engines.get(name)
        engine.privacy.joins(self._rooms)
        engine.follows(self._gates.setdefault(name, engine.gate))
        self._engines[name] = engine
        return old

    def remove(self, name: str) -> Engine | None:
        """Nobody answers for ``name`` any more; gives the one that did."""
        if name in self._gates and not self._gates[name].runs:
            del self._gates[name]
        return self._engines.pop(name, None)

    def get(self, name: str) -> Engine:
        """The engine of a deployment; raises ``NoSuchDeployment``."""
        engine = self._engines.get(name)
        if engine is None:
            raise no_deployment(name, self._engines)
        return engine

    def names(self) -> list[str]:
        """Deployments that are served now."""
        return list(self._engines)
