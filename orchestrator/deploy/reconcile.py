"""The one loop of the control plane: observe, plan, carry out, until there is nothing left to do.

It is level-triggered: an apply, a start after a power cut, a model server that appears and one that goes all lead to the
same comparison of what is desired with what is observed.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from functools import partial
from math import inf

import anyio
import anyio.to_thread

from orchestrator.core.blueprint import Blueprint
from orchestrator.core.errors import DeployError, OrchestratorError
from orchestrator.core.event import Event
from orchestrator.core.failpoint import declare, failpoint
from orchestrator.deploy.begun import Begun, Rotation, server_steps
from orchestrator.deploy.code import Contents
from orchestrator.deploy.desired import Desired, DesiredTable
from orchestrator.deploy.draft import Draft, Numbered
from orchestrator.deploy.execute import carry_out
from orchestrator.deploy.inbox import Inbox
from orchestrator.deploy.live import Drain, LiveTable
from orchestrator.deploy.locked import Untold, locked_secrets
from orchestrator.deploy.observe import Observer, loaded_of, processes_of
from orchestrator.deploy.plane import RequestPlane, Workshop
from orchestrator.deploy.refusals import refuse_other, refuse_overtaken
from orchestrator.deploy.rollout import Rollout
from orchestrator.deploy.seen_through import see_through
from orchestrator.deploy.starting import Starting
from orchestrator.deploy.telling import Listen, Tell, Telling
from orchestrator.deploy.trouble import MOST_ROUNDS, NOT_SETTLED, Rules, Trouble, after
from orchestrator.deploy.waits import Doings
from orchestrator.deploy.wanted import Applied, Wanted, refuse_mesh
from orchestrator.plan.binding import bind_all
from orchestrator.plan.budgets import held_budget
from orchestrator.plan.diff import diff, take_down
from orchestrator.plan.observed import ObservedState
from orchestrator.plan.plan import Plan
from orchestrator.plan.planned import plan_of
from orchestrator.plan.wanted import wanted_parts

declare("apply.received", "apply.observed", "apply.planned", "apply.recorded", "apply.settled", "down.recorded")
declare("server.rotating", "server.rotated")

_RULES = Rules()


class Reconciler:
    """The owner of what runs. Its public methods may be called from any task of the loop; :meth:`run` does the work."""

    def __init__(
        self, workshop: Workshop, plane: RequestPlane, desired: DesiredTable, emit: Listen, rules: Rules = _RULES
    ) -> None:
        self.desired = desired
        self.table = LiveTable(plane, emit, rules.now)
        self.trouble: dict[str, Trouble] = {}
        self.untold = Untold(workshop.reveal)
        self.doings = Doings(rules.now)
        self.began = rules.now()
        self.restored = anyio.Event()
        self._workshop = workshop
        self._emit = emit
        self.rules = rules
        self._inbox = Inbox()
        self._telling = Telling(emit, rules.now, self.doings.heard)
        self.starting = Starting(workshop.yard, emit, self._server_changed, lambda: self._observer.device, self.table)
        self._observer = Observer(workshop, self.starting.servers.kept_addresses)
        self.table.after, self.table.alongside = self._end_servers, self.starting
        self._applying: set[Begun] = set()
        self._contents = Contents(self.table.tools_of)
        self._ended = anyio.Event()
        self._looked_at = -inf
        self.turns = 0
        """How many turns of the loop have ended."""

    @property
    def ending(self) -> bool:
        """Whether it is on its way out."""
        return self._ended.is_set()

    # -- for other tasks --------------------------------------------------------------------------------------------

    async def observe(self, blueprint: Blueprint | None = None) -> ObservedState:
        """What is there now, as the planner of this blueprint needs it."""
        await self.starting.meet(*([blueprint] if blueprint else []))
        return await self._inbox.ask(partial(self._observe, blueprint))

    async def look(self) -> None:
        """Look around now, not at the next round. Raises ``DeployError`` on the way out."""
        await self._inbox.ask(self._look_after_all)

    async def apply(self, wanted: Wanted, listen: Listen) -> Applied:
        """Make it what is desired, and run it. ``listen`` hears each step. Raises ``PlanOutdated`` where the plan that was
        agreed to is no longer the plan, and ``DeployError`` where a step fails: then what served before serves on, and
        it is tried again."""
        await self.starting.meet(wanted.blueprint)
        begun = await self._inbox.ask(partial(self._begin, wanted, listen), self._let_go)
        return await self._see_through(begun, listen)

    async def rollback(self, name: str, number: int | None, listen: Listen) -> Applied:
        """Apply what an earlier revision was, as a new revision; what serves is kept as it is, and not made again."""
        wanted = self._inbox.ask(partial(self.desired.earlier, name, number, self.table.revision_of))
        return await self.apply(await wanted, listen)

    async def _see_through(self, begun: Begun | Rotation, listen: Listen) -> Applied:
        """Wait for servers outside the inbox: a model may take minutes to load, and others are served meanwhile."""
        while isinstance(begun, Rotation):
            begun = await self._rotated(begun, listen)
        if begun.waits:
            tell = self._teller(begun.desired, self._telling.heard_by(listen), begun.rotated)
            try:
                await see_through(self.starting.servers, begun.plan, begun.waits, tell)
                await self._inbox.ask(partial(self._finish, begun, listen))
            except BaseException:  # who applies went away too; it is raised again
                self._let_go(begun)
                raise
        live = self.table.get(begun.name)
        plan = replace(begun.agreed, serving=live.agents) if live else begun.agreed
        return Applied(begun.desired.revision.number, plan)

    async def _rotated(self, rotation: Rotation, listen: Listen) -> Begun | Rotation:
        """Nothing is recorded before all that shall take over is ready: till then nothing has changed, whatever happens."""
        try:
            await self.starting.taken_over(rotation, self._rotation_teller(rotation.name, listen))
            failpoint("server.rotated")
            return await self._inbox.ask(partial(self._begin, rotation.wanted, listen, rotation), self._let_go)
        except BaseException:  # a cancelled caller too; it is raised again
            self._let_go(rotation)
            raise

    def _let_go(self, begun: Begun | Rotation) -> None:
        """Nobody sees it through: what is recorded is settled by the next look, and of the rest nothing may stay."""
        if isinstance(begun, Begun):
            self._applying.discard(begun)
            return
        self.starting.leave(begun)
        if not self._ended.is_set():
            self.table.tasks.start_soon(partial(self._end_servers, back=begun.ends))

    async def down(self, name: str, patience: float, listen: Listen) -> int:
        """Take a deployment down for good; gives how many requests did not finish within ``patience`` seconds."""
        drain = await self._inbox.ask(partial(self._down, name, patience, listen))
        if drain is not None:
            await drain.done.wait()
        await self._end_servers()
        self._hurry()
        return drain.left if drain else 0

    def _hurry(self) -> None:
        """A port or a server is free now, for which another deployment may have waited."""
        if not self._ended.is_set():
            self.trouble |= {name: replace(each, again=0.0) for name, each in self.trouble.items()}
            self.table.tasks.start_soon(self._look_again)

    async def close(self, patience: float) -> None:
        """Refuse new requests, let those in work finish for ``patience`` seconds, and end :meth:`run`."""

        async def work() -> None:
            self._ended.set()
            await self.table.close(patience)
            await self.starting.servers.close()

        await self._inbox.ask(work)

    # -- the owner --------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Restore what is desired, then do errands and look around until :meth:`close`."""
        async with anyio.create_task_group() as drains:
            self.table.tasks = drains
            drains.start_soon(self.starting.servers.run)
            try:
                await self.desired.restore()
                await self.starting.restore([each.blueprint for each in self.desired.all()])
                await self._look_after_all()
                drains.start_soon(self._end_servers)
                self.restored.set()
                await self._serve_errands()
            finally:
                self._inbox.close()

    async def _serve_errands(self) -> None:
        due = anyio.current_time() + self.rules.every
        while not self._ended.is_set():
            await self._inbox.do_next(max(0.0, due - anyio.current_time()))
            if anyio.current_time() >= due and not self._ended.is_set():
                await self._look_after_all()
                due = anyio.current_time() + self.rules.every

    async def _look_after_all(self) -> None:
        """One turn of the loop over every deployment. A fault of one is kept with it, and tried again after a pause."""
        self.starting.feel([each.blueprint for each in self.desired.all()], self.table.load_at, anyio.current_time())
        if self.desired.all():
            with suppress(OrchestratorError):  # what was seen last holds until the next look
                await self._look([each.blueprint for each in self.desired.all()])
        for each in self.desired.all():
            name = each.revision.deployment
            if any(begun.name == name for begun in self._applying) or self.starting.gave_way(name):
                continue  # it is settled as soon as its servers are there
            trouble = self.trouble.get(name)
            if trouble is None or trouble.again <= anyio.current_time():
                with suppress(OrchestratorError):  # it is in ``trouble``, and its step was told
                    await self._settle(each, self._emit)
        self.starting.keep_only([each.blueprint for each in self.desired.all()], self.desired.unreadable)
        self.starting.pass_on({server.url for server in self._observer.servers})
        self.table.refresh()
        self.turns += 1

    async def _observe(self, blueprint: Blueprint | None, kept: int | None = None) -> ObservedState:
        await self._look([each.blueprint for each in self.desired.all()], blueprint)
        state = self._state(blueprint)
        return replace(state, contents=await self._contents.look(blueprint, kept), retries=True) if blueprint else state

    async def _look(self, blueprints: list[Blueprint], fresh: Blueprint | None = None) -> None:
        self.starting.doubt(self.table.stalled())
        before, began = processes_of(self._observer.servers), anyio.current_time()
        loaded = self.starting.servers.loaded()  # what is ready only later is not asked now, and rests not before
        try:
            await self.starting.look(blueprints, fresh)
            blueprints = [*blueprints, fresh] if fresh else blueprints
            await self._observer.look(blueprints, self.starting.servers.addresses())
            self.table.see(blueprints, self._state)
            self._looked_at = began
            self._tell_loaded(loaded)
            came = processes_of(self._observer.servers) - before
            if came:  # a server that was away, or is another one now, is not judged by what was before
                self.table.plane.try_now(self.table.endpoints_at([api_base for api_base, *_ in came]))
        except Exception as error:
            known = DeployError(f"looking for model servers failed: {type(error).__name__}: {error}")
            self._emit(Event("apply.step", self.rules.now(), fields={"state": "failed", "error": known.as_json()}))
            raise known from error

    def _tell_loaded(self, ours: dict[str, bool]) -> None:
        self.table.plane.set_loaded({**loaded_of(self._observer.servers), **ours}, self._looked_at)

    def _server_changed(self, _: str) -> None:
        """One is ready, lost or given up: what is bound to it is looked at again."""
        self.table.tasks.start_soon(self._look_again)

    async def _look_again(self) -> None:
        async def work() -> None:
            await self._look_after_all()
            ours = set(self.starting.servers.addresses())
            bases = [each.api_base for each in self._observer.servers if each.url in ours]
            self.table.plane.try_now(self.table.endpoints_at(bases))

        with suppress(DeployError):  # the runtime is on its way out
            await self._inbox.ask(work)

    async def _end_servers(self, *, back: bool = False) -> None:
        """End those that nothing wants which is desired, serves or drains; then start those again that had given way (``back``)."""
        await self.starting.end_others([each.blueprint for each in self.desired.all()], self.desired.unreadable)
        if back:
            await self._look_again()

    def _state(self, blueprint: Blueprint | None) -> ObservedState:
        return ObservedState(
            runtime=self.rules.version,
            deployments=self.table.observed(),
            servers=self._observer.servers,
            silent=self._observer.silent,
            device=self._observer.device,
            taken_ports=self.table.taken_ports(blueprint) if blueprint else {},
            contents=self._contents.of(blueprint.name) if blueprint else {},
            locked=locked_secrets(blueprint, self._workshop.reveal) if blueprint else {},
            started=self.starting.observed(),
            prospects=self.starting.prospects(blueprint) if blueprint else {},
        )

    async def _begin(self, wanted: Wanted, listen: Listen, before: Rotation | None = None) -> Begun | Rotation:
        """``before``: servers were rotated for it, and what was agreed to is done so far."""
        failpoint("apply.received")
        blueprint = wanted.blueprint
        refuse_mesh(blueprint)
        observed = await self._observe(blueprint, wanted.kept)
        plan = plan_of(blueprint, observed)
        failpoint("apply.observed")
        agreed, began = (before.plan, before.began) if before else (plan, anyio.current_time())
        if before:
            refuse_overtaken(before, self.desired.get(before.name), self.starting.rotations.get(before.name))
        else:
            refuse_other(wanted, plan)
        self.desired.check(wanted)
        rotation = self.starting.rotate(wanted, agreed, began, self._rotation_teller(blueprint.name, listen))
        if rotation:
            failpoint("server.rotating")
            return rotation
        other_code = self._contents.differ(blueprint.name, observed.contents)
        desired = await self.desired.record(wanted, other_code=other_code)
        failpoint("apply.recorded")
        self.starting.rotations.pop(blueprint.name, None)
        self._contents.take(blueprint.name, observed.contents)
        begun = Begun(desired, agreed, plan, began)
        tell = self._teller(desired, self._telling.heard_by(listen), begun.rotated)
        waits = self.starting.begin(blueprint, plan, tell)
        if waits:
            begun = replace(begun, waits=waits)
            self._applying.add(begun)
        else:
            await self._carry_out(begun, listen)
        return begun

    async def _finish(self, begun: Begun, listen: Listen) -> None:
        """The servers of an apply are there, or given up: the rest of it."""
        self._applying.discard(begun)
        if self.desired.get(begun.name) is None:
            raise DeployError(f"{begun.name} was taken down before it was ready")
        await self._look([each.blueprint for each in self.desired.all()])
        await self._carry_out(begun, listen)

    async def _carry_out(self, begun: Begun, listen: Listen) -> None:
        desired = self.desired.get(begun.name) or begun.desired
        await self._settle(desired, self._telling.heard_by(listen), len(server_steps(begun.agreed)))
        self.table.try_again(begun.name)
        failpoint("apply.settled")
        took, revision = anyio.current_time() - begun.began, desired.revision
        self._telling.finished(revision.deployment, revision.number, len(begun.agreed.steps), took)

    async def _settle(self, desired: Desired, tell: Listen, done: int = 0) -> None:
        """Have it as desired. Where that fails and nothing serves, as after a start, what served last does so again, and the
        desired one is tried beside it. ``done`` steps are told already."""
        name = desired.revision.deployment
        try:
            async with self._contents.serving(desired.blueprint, desired.revision.number):
                await self._make(desired, self._teller(desired, tell, done))
            self.trouble.pop(name, None)
            await self.desired.serves(desired.revision)
        except Exception as error:
            fallback = self.desired.fallback(name) if self.table.get(name) is None else None
            if fallback is not None:
                with suppress(OrchestratorError):  # it was told as a step; the trouble of the desired one stands
                    async with self._contents.instead(fallback.blueprint, fallback.revision.number):
                        await self._make(fallback, self._teller(fallback, tell))
            raise self._note(name, error) from error

    async def _make(self, desired: Desired, teller: Tell) -> None:
        """Plan and carry out until nothing is left. Servers are those of the last look; one that must be started is not waited
        for."""
        self.untold.look(desired.blueprint)
        missing = diff(desired.blueprint, self._state(desired.blueprint))
        self.starting.begin_missing(desired.blueprint, missing, teller)
        for _ in range(MOST_ROUNDS):
            plan = diff(desired.blueprint, self._state(desired.blueprint))
            failpoint("apply.planned")
            if plan.empty:
                if self.table.revision_of(desired.revision.deployment) not in (None, desired.revision.number):
                    self._rollout(desired, plan).renumber()
                return
            await carry_out(plan, self._rollout(desired, plan), teller)
            self._tell_loaded(self.starting.servers.loaded())  # of endpoints that were not known at the look
        raise DeployError(f"{desired.revision.deployment} does not settle after {MOST_ROUNDS} plans", cure=NOT_SETTLED)

    def _rollout(self, desired: Desired, plan: Plan) -> Rollout:
        name, blueprint = desired.revision.deployment, desired.blueprint
        live, state = self.table.get(name), self._state(blueprint)
        number = Numbered(desired.revision.number, desired.revision.created)
        draft = Draft(blueprint, number, live.deployment if live else None, self._workshop)
        draft.budget, draft.servers = held_budget(blueprint, state.device), self.starting.servers
        parts = wanted_parts(blueprint, bind_all(blueprint, state), state.contents)
        return Rollout(self.table, draft, parts, plan.serving)

    async def _down(self, name: str, patience: float, listen: Listen) -> Drain | None:
        live, desired = self.table.get(name), self.desired.get(name)
        await self.desired.remove(name)
        self.starting.rotations.pop(name, None)
        self.trouble.pop(name, None)
        self._contents.forget(name)
        failpoint("down.recorded")
        if live is None:
            return None
        blueprint = live.deployment.blueprint
        number = Numbered(live.deployment.revision, live.deployment.applied)
        draft = Draft(blueprint, number, live.deployment, self._workshop)
        rollout = Rollout(self.table, draft, live.parts, patience=patience)
        step = self._telling.steps(name, desired.revision.number if desired else 0, self._telling.heard_by(listen))
        await carry_out(take_down(self._state(None), name), rollout, step)
        return rollout.draining

    # -- telling ----------------------------------------------------------------------------------------------------

    def _note(self, name: str, error: Exception) -> OrchestratorError:
        now, failed = anyio.current_time(), self.doings.failed(name)
        self.trouble[name] = after(self.trouble.get(name), error, failed, self.rules, now)
        return self.trouble[name].error

    def _teller(self, desired: Desired, tell: Listen, done: int = 0) -> Tell:
        return self._telling.steps(desired.revision.deployment, desired.revision.number, tell, done)

    def _rotation_teller(self, name: str, listen: Listen) -> Tell:
        """Until it is recorded, steps are of the revision that serves."""
        live = self.table.get(name)
        return self._telling.steps(name, live.deployment.revision if live else 0, self._telling.heard_by(listen))
