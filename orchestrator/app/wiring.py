"""The composition root: plug-ins, stores and both planes, put together for the runtime and for one process alone."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import anyio

from orchestrator.app import catalog
from orchestrator.app.device import read_device
from orchestrator.app.early_look import EarlyLook
from orchestrator.app.encoders import Encoders
from orchestrator.app.launchers import IN_PROCESS, make_yard
from orchestrator.app.limits import limits_of
from orchestrator.app.plane import ServingPlane
from orchestrator.app.probing import Known
from orchestrator.app.redact import Redactor
from orchestrator.app.settings import Settings
from orchestrator.app.sinks import keep_running
from orchestrator.app.telling import Telling
from orchestrator.app.version import program_version
from orchestrator.core.blueprint import Blueprint
from orchestrator.core.errors import UsageError
from orchestrator.core.event import Event
from orchestrator.core.request import Request, Result
from orchestrator.deploy.desired import DesiredTable, Recompile
from orchestrator.deploy.plane import Seen, Workshop
from orchestrator.deploy.reconcile import Reconciler
from orchestrator.deploy.trouble import Rules
from orchestrator.deploy.wanted import Applied, Wanted
from orchestrator.manifest.zone import CLOUD
from orchestrator.plugins.stores.memory import MemoryRevisions
from orchestrator.ports.elsewhere import Elsewhere
from orchestrator.ports.marks import MarkStore
from orchestrator.ports.outbox import OutboxStore
from orchestrator.ports.people import PeopleStore
from orchestrator.ports.provider import Provider, Secret
from orchestrator.ports.spending import SpendStore
from orchestrator.ports.store import OutcomeStore, Revision, RevisionStore, SessionStore
from orchestrator.ports.strategy import Candidate, InstantStrategy, StrategyOptions
from orchestrator.serve.ends import Ends
from orchestrator.serve.engine import Engine, EngineTable
from orchestrator.serve.forward import Forwarder, ForwarderWays
from orchestrator.serve.ledger import Ledger
from orchestrator.serve.loop import Loop
from orchestrator.serve.outcomes import Outcomes
from orchestrator.serve.people import DeskWays, PeopleDesk
from orchestrator.serve.rooms import Rooms
from orchestrator.serve.session import Sessions

Emit = Callable[[Event], None]
CLOSING_SECONDS: Final = 5.0
"""The longest that closing one provider may take."""


@dataclass(frozen=True, slots=True)
class Stores:
    """What is kept: revisions, and where a store has them sessions, what waits for ``people`` and for targets, and what is spent.
    ``outcomes`` are labels of answers; ``marks`` are of what is restricted; ``recompile`` reads blueprints of older formats;
    ``report`` hears what cannot be kept."""

    revisions: RevisionStore
    sessions: SessionStore | None = None
    people: PeopleStore | None = None
    outbox: OutboxStore | None = None
    outcomes: OutcomeStore | None = None
    spending: SpendStore | None = None
    marks: MarkStore | None = None
    recompile: Recompile | None = None
    report: Callable[[str], None] = lambda _: None


@dataclass(frozen=True, slots=True)
class Around:
    """What is around both planes: the ``state`` of the process (see ``Runtime``), and the other nodes of a deployment's fleet."""

    state: Callable[[], str] = lambda: "ready"
    elsewhere: Callable[[str], Elsewhere | None] = lambda _: None


ALONE: Final = Around()


@dataclass(frozen=True, slots=True)
class Planes:
    """Both planes, running."""

    reconciler: Reconciler
    engines: EngineTable
    loop: Loop
    desk: PeopleDesk | None = None
    forwarder: Forwarder | None = None
    outcomes: Outcomes | None = None
    ledger: Ledger = field(default_factory=Ledger)


def _nobody_hears(kind: str, why: str) -> None:
    """Of a process that ends after one look, and with it all connections."""
    del kind, why


class Plugins:
    """Live providers, one of each make, opened when they are first needed and closed together. ``tell`` hears the name of one
    that does not close, and why."""

    def __init__(self, tell: Callable[[str, str], None] = _nobody_hears) -> None:
        self._tell = tell
        self._open: dict[str, Provider] = {}

    def provider(self, kind: str) -> Provider:
        """The provider of this name in the table."""
        if kind not in self._open:
            self._open[kind] = catalog.load("provider", kind)()
        return self._open[kind]

    def makes(self) -> list[Provider]:
        """Those of the table that are not in the cloud, the narrow ones first: what has an API of its own, then the makes."""
        from orchestrator.plugins.providers.addresses import MAKES

        makes = [make.kind for make in MAKES]
        own = [kind for kind in catalog.PROVIDERS if kind not in CLOUD and kind not in makes]
        return [self.provider(kind) for kind in [*own, *makes]]

    async def look(self, places: Sequence[str], keys: Mapping[str, Secret], by: Sequence[str] = ()) -> Sequence[Seen]:
        """Ask every address which server is there; ``by`` names the providers that are asked in place of the usual ones."""
        from orchestrator.plugins.providers.discovery import discover

        asked = [self.provider(kind) for kind in by] or self.makes()
        return (await discover(asked, places, keys)).sightings

    async def aclose(self) -> None:
        """Close all connections. One that does not close is told, and keeps no other open."""
        for kind, provider in self._open.items():
            try:
                with anyio.fail_after(CLOSING_SECONDS):
                    await provider.aclose()
            except Exception as error:  # noqa: BLE001 - a library's close may raise anything
                self._tell(kind, str(error) or type(error).__name__)


def make_workshop(plugins: Plugins, settings: Settings, state: Path, redactor: Redactor, owner: str = "") -> Workshop:
    """Who makes live parts; the tools' own stores are below the ``state`` folder. ``owner`` names who starts model servers."""
    from orchestrator.plugins.providers.addresses import ASSUMED_SLOTS, usual_places

    return Workshop(
        provider=plugins.provider,
        assumed_slots=ASSUMED_SLOTS,
        strategy=lambda name: catalog.load("strategy", name),
        fit_intents=_fit_intents,
        open_tool=lambda kind: catalog.load("tool", kind),
        reveal=redactor.reveal,
        tools=state / "tools",
        look=plugins.look,
        sense=read_device,
        probed=Known(_home_of(state)).of,
        usual_places=usual_places(os.environ, settings.servers),
        encoder=Encoders(_home_of(state)),
        yard=make_yard(plugins.provider, state, owner),
    )


def _home_of(state: Path) -> Path:
    """What deployments of single processes share with the runtime: a state folder of one's own shares nothing."""
    return state.parent if state.name == IN_PROCESS else state


def _fit_intents(candidates: tuple[Candidate, ...]) -> InstantStrategy:
    fitted: InstantStrategy = catalog.load("strategy", "lexical")(candidates, StrategyOptions())
    return fitted


@asynccontextmanager
async def run_planes(
    workshop: Workshop,
    stores: Stores,
    settings: Settings,
    emit: Emit,
    around: Around = ALONE,
) -> AsyncIterator[Planes]:
    """Both planes, restored from the store in the background, until the block ends. Close the reconciler before that, to
    let requests finish."""
    early = EarlyLook()
    loop = Loop(limits_of(settings), on_event=emit, on_missing=early.ask)
    engines, sessions = EngineTable(Rooms(stores.marks)), Sessions(stores.sessions)
    desired = DesiredTable(stores.revisions, stores.recompile or recompile, time.time)
    telling = Telling(workshop.reveal, engines)

    def restored() -> bool:
        return reconciler.restored.is_set()

    ways = DeskWays(emit, stores.report, telling.tell, desired.may_have, restored)
    ends = Ends(sessions, emit, time.time)
    desk = PeopleDesk(stores.people, ends, engines, ways) if stores.people is not None else None
    forwarder = _forwarder(stores, ends, engines, emit)
    outcomes = Outcomes(stores.outcomes, engines) if stores.outcomes is not None else None
    ledger = Ledger(stores.spending)
    plane = ServingPlane(
        engines, loop, sessions, emit, around.state, desired.has, desk, forwarder, outcomes, ledger, around.elsewhere
    )
    reconciler = Reconciler(workshop, plane, desired, emit, Rules(settings.look_every, version=program_version()))
    async with anyio.create_task_group() as tasks:
        await tasks.start(loop.run)
        tasks.start_soon(reconciler.run)
        tasks.start_soon(early.run, reconciler.look)
        for who, each in (("the desk", desk), ("the forwarder", forwarder)):
            if each is not None:
                tasks.start_soon(keep_running, who, each.run, stores.report)
        try:
            yield Planes(reconciler, engines, loop, desk, forwarder, outcomes, ledger)
        finally:
            tasks.cancel_scope.cancel()


def _forwarder(stores: Stores, ends: Ends, engines: EngineTable, emit: Emit) -> Forwarder | None:
    if stores.outbox is None:
        return None
    return Forwarder(stores.outbox, ends, engines, ForwarderWays(emit, stores.report))


def recompile(revision: Revision) -> Blueprint:
    """A revision's blueprint from its sources, as this version understands them."""
    from orchestrator.app.sources import compile_sources

    return compile_sources(revision.sources, revision.deployment)


@dataclass(frozen=True, slots=True)
class InProcess:
    """A deployment that runs in this process."""

    name: str
    planes: Planes
    applied: Applied

    @property
    def engine(self) -> Engine:
        """The engine that serves now; a model server that appears may bring a new one."""
        return self.planes.engines.get(self.name)

    async def run(self, request: Request, listen: Emit | None = None) -> Result:
        """Answer a request; a failure is in ``Result.error``."""
        return await self.engine.run(request, listen)

    async def label(self, run: str, *, right: bool, agent: str, router: str, by: str) -> None:
        """Nothing is kept here: raises ``UsageError``."""
        del right, agent, router, by
        cure = "apply it (orchestrator apply), and connect to it"
        raise UsageError(f"{run} cannot be labelled: a deployment of one process keeps no runs", cure=cure)

    async def wait(self, run: str) -> Result:
        """Nothing waits for people here: raises ``UsageError``."""
        cure = "apply it (orchestrator apply), and connect to it"
        raise UsageError(f"{run} waits for nobody: a deployment of one process has no people to ask", cure=cure)


@asynccontextmanager
async def open_in_process(
    blueprint: Blueprint, *, state: Path, settings: Settings | None = None, emit: Emit = lambda _: None
) -> AsyncIterator[InProcess]:
    """Run a blueprint in this process, without the background runtime: the same planes, nothing recorded but what its
    tools keep below ``state``, and which of them hold what is restricted. When the block ends, requests in work finish first.
    Raises ``DeployError``."""
    settings = settings or Settings.read(os.environ)
    plugins = Plugins(partial(_tell_unclosed, emit))
    workshop = make_workshop(plugins, settings, state, Redactor())
    from orchestrator.plugins.stores.marks import MARKS_NAME, SqliteMarks

    with closing(SqliteMarks(_home_of(state) / MARKS_NAME, IN_PROCESS)) as marks:
        stores = Stores(MemoryRevisions(), marks=marks)
        async with _closing(plugins), run_planes(workshop, stores, settings, emit) as planes:
            applied = await planes.reconciler.apply(Wanted(blueprint), lambda _: None)
            try:
                yield InProcess(blueprint.name, planes, applied)
            finally:
                with anyio.CancelScope(shield=True):
                    await planes.reconciler.close(settings.drain)


def _tell_unclosed(emit: Emit, kind: str, why: str) -> None:
    fields = {"state": "failed", "action": f"close {kind}", "error": {"message": why}}
    emit(Event("apply.step", time.time(), fields=fields))


@asynccontextmanager
async def _closing(plugins: Plugins) -> AsyncIterator[None]:
    try:
        yield
    finally:
        with anyio.CancelScope(shield=True):
            await plugins.aclose()


def observe_in_process(blueprint: Blueprint, settings: Settings, state: Path) -> Any:
    """What is there while no runtime runs: only model servers and ports. For ``plan``; starts nothing."""

    async def look() -> Any:
        plugins = Plugins()
        workshop = make_workshop(plugins, settings, state, Redactor())
        async with (
            _closing(plugins),
            run_planes(workshop, Stores(MemoryRevisions()), settings, lambda _: None) as planes,
        ):
            return await planes.reconciler.observe(blueprint)

    return anyio.run(look)
