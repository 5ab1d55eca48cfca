"""The background runtime: one process a user, that serves what is applied until it is stopped.

``python -m orchestrator.app.runtime`` starts it; ``--foreground`` also prints its log, for systemd and containers.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from socket import socket
from typing import Any, Final

import anyio

from orchestrator.app import catalog
from orchestrator.app.environment import load_environment
from orchestrator.app.failing import arm_kill
from orchestrator.app.footing import Footing, Restoring
from orchestrator.app.interpreter import interpreter
from orchestrator.app.journal import Journal
from orchestrator.app.leave import left_for_sure
from orchestrator.app.lock import LOCK_NAME, RuntimeLock, remove_about, write_about
from orchestrator.app.logs import Log, close_log, keep_cut, open_log
from orchestrator.app.lookout import looks_at
from orchestrator.app.notify import notify
from orchestrator.app.owners import Owners
from orchestrator.app.redact import Redactor
from orchestrator.app.seat import Seat
from orchestrator.app.settings import Settings
from orchestrator.app.sinks import hear, keep_running
from orchestrator.app.start import RUNTIME, start_log
from orchestrator.app.told import TOLD, tell
from orchestrator.app.unwrap import unwrapped
from orchestrator.app.version import program_version
from orchestrator.app.wiring import Around, Planes, Plugins, Stores, make_workshop, run_planes
from orchestrator.core.errors import DeployError, OrchestratorError, StateUnusable
from orchestrator.core.event import Event
from orchestrator.deploy.live import CUT_SECONDS
from orchestrator.deploy.supervisor_rules import END_SECONDS
from orchestrator.deploy.yard import keep_ending_strays
from orchestrator.gateway.bind import bind_first_free, bind_port, bind_private
from orchestrator.gateway.control import ControlApi, Controlled
from orchestrator.gateway.front import FrontDoor
from orchestrator.gateway.listen import Listener
from orchestrator.ports.host import DATABASE_NAME, SOCKET_NAME, Folders, Host
from orchestrator.ports.provider import Secret
from orchestrator.serve.engine import EngineTable

HOST: Final = "127.0.0.1"
HURRY: Final = 2.0
"""Seconds that requests in work have after a second SIGTERM."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a runtime lives, and how it was started."""

    host: Host
    folders: Folders
    settings: Settings
    foreground: bool = False


class Runtime:
    """One life of the runtime. ``on_ready`` runs once it serves, with its planes; when it ends, the runtime goes on."""

    def __init__(self, place: Place, on_ready: Callable[[Planes], Awaitable[None]] | None = None) -> None:
        self._place = place
        self._on_ready = on_ready
        self._redactor = Redactor()
        self._log: Log = None
        self._stopping = anyio.Event()
        self._hurry = anyio.Event()
        self._patience = place.settings.drain
        self._started = time.time()
        self._since = self._started
        self._process_started = process_started()
        self._port = 0
        self._restored = False
        self._planes: Planes | None = None
        self._seat: Seat | None = None
        self._lock = RuntimeLock(place.folders.runtime)

    async def run(self) -> None:
        """Live until a signal or ``POST /stop``. Raises ``OrchestratorError`` where it cannot start."""
        arm_kill(self._place.settings.fail_at)
        folders = self._place.folders
        self._lock.take()
        try:
            load_environment(folders.config, os.environ)
            self._log = open_log(
                folders.state / "logs",
                self._place.settings.log_level,
                self._redactor,
                also_print=self._place.foreground,
            )
            self._log.info("starting", version=program_version(), pid=os.getpid(), state=str(folders.state))
            async with AsyncExitStack() as stack:
                await self._live(stack)
            self._log.info("stopped")
        finally:
            close_log()
            self._lock.free()

    async def _live(self, stack: AsyncExitStack) -> None:
        sockets = self._bind(stack)
        state = self._place.folders.state
        stores = catalog.load("store", "sqlite")(state / DATABASE_NAME, recover=True, redact=self._redactor.text)
        stack.callback(stores.close)
        for note in stores.notes:
            self._log.warning("state restored", note=note)
        plugins = Plugins(lambda kind, why: self._log.warning("a provider did not close", provider=kind, error=why))
        stack.push_async_callback(plugins.aclose)
        journal, keeper = await self._sinks(stack, stores)

        owners = Owners(self._users)

        def emit(event: Event) -> None:
            hear(event, keeper.take, self._report)
            if self._seat is not None and self._seat.node is not None:
                hear(event, self._seat.node.hear, self._report)
            for owned in owners.of(event):
                hear(owned, journal.take, self._report)
                if not owned.deployment:
                    self._log.info(event.kind, **event.fields)

        workshop = make_workshop(plugins, self._place.settings, state, self._redactor, owner=RUNTIME)
        workshop = replace(workshop, reveal=self._reveal)
        kept = Stores(
            stores.revisions,
            stores.sessions,
            stores.people,
            stores.outbox,
            stores.outcomes,
            stores.spending,
            stores.marks,
            report=self._report,
        )
        seat = self._seat = Seat(state / "fleet", self._log, stores)
        seat.take()
        around = Around(self._state, seat.elsewhere)
        planes = await stack.enter_async_context(run_planes(workshop, kept, self._place.settings, emit, around))
        self._planes = planes
        if planes.desk is None or planes.forwarder is None or planes.outcomes is None:
            raise StateUnusable("the store keeps nothing that waits, or no labels")
        parts = (planes.reconciler, planes.engines, stores.runs, journal, self._about, self.stop, keeper.flush)
        owners_of_waiting = (planes.desk, planes.forwarder, planes.outcomes)
        await stack.enter_async_context(
            self._listening(sockets, Controlled(*parts, *owners_of_waiting, lambda: seat.node))
        )
        beside = [partial(seat.run, planes, journal)]
        if workshop.yard is not None:
            beside.append(partial(keep_ending_strays, workshop.yard))
        await self._serve(planes, beside)

    def _reveal(self, reference: str, folder: Path) -> Secret:
        """A secret. One that is not set may stand in the file ``environment`` since the start."""
        config = self._place.folders.config
        name = reference.removeprefix("env:")
        if reference != name and name not in os.environ:
            load_environment(config, os.environ)
            if name not in os.environ:
                raise DeployError(
                    f"the secret {reference} is not set in the runtime",
                    cure=f"write {name}=… into {config / 'environment'} (mode 0600); it is read within seconds",
                )
        return self._redactor.reveal(reference, folder)

    async def _sinks(self, stack: AsyncExitStack, stores: Any) -> tuple[Journal, Any]:
        from orchestrator.plugins.stores.keeper import RunKeeper

        journal = Journal(self._place.folders.state / "logs" / "deployments", self._redactor.text, self._report)
        keeper = RunKeeper(stores.runs, report=self._report)
        tasks = await stack.enter_async_context(anyio.create_task_group())
        for who, sink in (("the writer of event logs", journal), ("the keeper of runs", keeper)):
            tasks.start_soon(keep_running, who, sink.run, self._report)

        async def close() -> None:
            await keeper.aclose()
            tasks.cancel_scope.cancel()

        stack.push_async_callback(close)
        return journal, keeper

    def _report(self, trouble: object) -> None:
        """Of the sinks, the desk and the forwarder, in words that say whose it is."""
        self._log.error("trouble", trouble=str(trouble))

    def _bind(self, stack: AsyncExitStack) -> tuple[socket, socket]:
        """The port and the socket file, before anything else: most starts that fail, fail here."""
        settings = self._place.settings
        front = stack.enter_context((bind_port if settings.port_asked else bind_first_free)(HOST, settings.port))
        control = stack.enter_context(bind_private(self._socket))
        self._port = front.getsockname()[1]
        if self._port != settings.port:
            self._log.warning("port taken", wanted=settings.port, used=self._port)
        return front, control

    @asynccontextmanager
    async def _listening(self, sockets: tuple[socket, socket], controlled: Controlled) -> AsyncIterator[None]:
        folders = self._place.folders
        door = FrontDoor(controlled.engines, state=self._state, coming=controlled.reconciler.desired.has)
        door.desk = controlled.desk
        front = await Listener.start(door, sockets[0])
        control = await Listener.start(ControlApi(controlled), sockets[1])
        write_about(folders.runtime, dict(self._about()))
        footing = Footing(folders, folders.runtime / LOCK_NAME, self._socket, folders.state / DATABASE_NAME)

        async def socket_anew() -> None:
            nonlocal control
            gone, control = control, await Listener.start(ControlApi(controlled), bind_private(self._socket))
            write_about(folders.runtime, dict(self._about()))
            await gone.aclose(patience=0.5)

        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._keep_footing, footing, Restoring(self._lock.take, socket_anew))
                yield
                tasks.cancel_scope.cancel()
        finally:
            with anyio.CancelScope(shield=True):
                await front.aclose()
                await control.aclose(patience=0.5)
                if footing.holds():
                    self._socket.unlink(missing_ok=True)
                    remove_about(folders.runtime)

    async def _keep_footing(self, footing: Footing, restoring: Restoring) -> None:
        why = await footing.watch(restoring, lambda what: self._log.warning("made anew", removed=what))
        self._log.error("cannot go on", why=why)
        sys.stderr.write(f"error: this runtime ends: {why}\n")
        self.stop(None)

    @property
    def _socket(self) -> Path:
        return self._place.folders.runtime / SOCKET_NAME

    async def _serve(self, planes: Planes, beside: Sequence[Callable[[], Coroutine[Any, Any, None]]]) -> None:
        async with anyio.create_task_group() as tasks:
            for work in beside:
                tasks.start_soon(work)
            tasks.start_soon(self._watch_signals)
            tasks.start_soon(self._announce, planes)
            tasks.start_soon(keep_cut, start_log(self._place.folders))
            await self._stopping.wait()
            await self._drain(planes)
            tasks.cancel_scope.cancel()

    async def _announce(self, planes: Planes) -> None:
        await planes.reconciler.restored.wait()
        self._restored = True
        self._since = time.time()
        names = planes.engines.names()
        self._log.info("ready", port=self._port, deployments=names, took_s=round(time.time() - self._started, 3))
        notify("READY=1")
        if self._on_ready is not None:
            await self._on_ready(planes)

    async def _drain(self, planes: Planes) -> None:
        """No new requests; those in work finish, for as long as the patience lasts."""
        notify("STOPPING=1")
        self._log.info("stopping", patience_s=self._patience)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._end_hurried, tasks.cancel_scope)
            if self._seat is not None and self._seat.node is not None:
                await self._seat.node.drain(self._patience)
            with anyio.move_on_after(self._patience + CUT_SECONDS + END_SECONDS + 1.0):
                await planes.reconciler.close(self._patience)
            tasks.cancel_scope.cancel()
        planes.reconciler.table.cut()
        with anyio.CancelScope(shield=True):
            await planes.reconciler.starting.servers.kill()

    async def _end_hurried(self, scope: anyio.CancelScope) -> None:
        await self._hurry.wait()
        await anyio.sleep(HURRY)
        scope.cancel()

    async def _watch_signals(self) -> None:
        with anyio.open_signal_receiver(*_ends_it()) as signals:
            async for each in signals:
                # A terminal that closes may tell it twice, by itself and by its shell: that is no second wish.
                if each in (signal.SIGTERM, signal.SIGINT) or not self._stopping.is_set():
                    self.stop(None)

    def stop(self, patience: float | None) -> None:
        """End it, letting requests finish; the second time, soon."""
        if self._stopping.is_set():
            self._hurry.set()
        else:
            self._since = time.time()
        if patience is not None:
            self._patience = patience
        self._stopping.set()

    def _users(self, endpoint: str) -> list[str]:
        engines = self._planes.engines if self._planes else EngineTable()
        return [name for name in engines.names() if endpoint in engines.get(name).deployment.endpoints]

    def _state(self) -> str:
        return "stopping" if self._stopping.is_set() else "ready" if self._restored else "starting"

    def _about(self) -> Mapping[str, Any]:
        return {
            "version": program_version(),
            "pid": os.getpid(),
            "started": self._started,
            "process_started": self._process_started,
            "port": self._port,
            "url": f"http://{HOST}:{self._port}/v1",
            "state": self._state(),
            "since": self._since,
            "user": os.getuid() if hasattr(os, "getuid") else None,
            "folder": str(self._place.folders.state),
            "interpreter": interpreter(),
            "looks_at": looks_at(os.environ, self._place.settings.servers),
            "started_by": self._started_by(),
        }

    def _started_by(self) -> str:
        """``systemd`` (or whoever else wants to be notified), ``foreground``, or a ``command`` of the user."""
        if os.environ.get("NOTIFY_SOCKET"):
            return "systemd"
        return "foreground" if self._place.foreground else "command"


def process_started() -> float:
    """When this process started: with its number, what tells it from any other."""
    import psutil

    return psutil.Process().create_time()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it; gives the exit code. A command that waits for it reads why it ended in the file that ``--told`` names."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    told = Path(words[words.index(TOLD) + 1]) if TOLD in words else None
    os.umask(0o077)
    try:
        host: Host = catalog.load("host", "local")()
        place = Place(host, host.folders(), Settings.read(os.environ), foreground="--foreground" in words)
        run_until_stopped(Runtime(place))
    except OrchestratorError as error:
        tell(told, error)
        cure = f"\n   = {error.cure}" if error.cure else ""
        sys.stderr.write(f"error[{error.code}]: {error.message}{cure}\n")
        return error.exit_code
    except Exception as error:
        tell(told, error)
        raise
    return 0


def _ends_it() -> list[signal.Signals]:
    """Signals that end it; that of a closed terminal only where whoever started it does not have it ignored (``nohup``)."""
    closed = getattr(signal, "SIGHUP", None)  # not on Windows
    hangs_up = [closed] if closed is not None and signal.getsignal(closed) is not signal.SIG_IGN else []
    return [signal.SIGTERM, signal.SIGINT, *hangs_up]


def run_until_stopped(runtime: Runtime) -> None:
    """Run a runtime on a new event loop. Raises the ``OrchestratorError`` that ended it, else the fault that did."""
    with unwrapped(), unwrapped(OrchestratorError):
        anyio.run(runtime.run, backend="asyncio")


if __name__ == "__main__":
    with left_for_sure():
        sys.exit(main())
