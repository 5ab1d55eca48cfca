"""The Python API: a deployment in this process (`open`), or one that the background runtime serves (`connect`)."""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

import anyio
import anyio.to_thread
from anyio.abc import TaskGroup
from anyio.streams.memory import MemoryObjectSendStream

from orchestrator.app.compile import compile_files
from orchestrator.app.launchers import IN_PROCESS
from orchestrator.app.settings import Settings
from orchestrator.app.unwrap import unwrapped
from orchestrator.app.wiring import open_in_process
from orchestrator.core.asked import check_fields, check_request
from orchestrator.core.errors import UsageError
from orchestrator.core.event import Event
from orchestrator.core.request import Request, Result
from orchestrator.ports.host import Host

Listen = Callable[[Event], None]


class _Runner(Protocol):
    async def run(self, request: Request, listen: Listen | None = None) -> Result: ...
    async def wait(self, run: str) -> Result: ...
    async def label(self, run: str, *, right: bool, agent: str, router: str, by: str) -> None: ...


class Opened:
    """A deployment that takes requests. Made by :func:`open` and :func:`connect`; closed at the end of their block."""

    def __init__(self, name: str, runner: _Runner, tasks: TaskGroup) -> None:
        self.name = name
        self._runner = runner
        self._tasks = tasks
        self._open = True

    async def run(self, request: str | Request, *, listen: Listen | None = None, **options: Any) -> Result:
        """Answer a request: a text with the fields of :class:`Request` as options, or a whole ``Request``.

        A run that fails does not raise: ``result.error`` says why, and ``result.status`` is ``"failed"``. ``listen`` gets the
        run's events as they happen, pieces of the answer (``run.delta``) among them.
        """
        self._check_open()
        if listen is not None and not callable(listen):
            raise UsageError(f"listen cannot be called: {listen!r}", cure="give a function that takes an Event")
        return await self._runner.run(_request(request, options), listen)

    async def wait(self, run: str | Result) -> Result:
        """How a run ended that waits for a person (its status is ``waiting``), once it did: hours later, or days. Cancelling this
        ends the waiting only."""
        self._check_open()
        return await self._runner.wait(run.id if isinstance(run, Result) else run)

    async def label(self, run: str | Result, *, right: bool, agent: str = "", router: str = "", by: str = "") -> None:
        """Note that the answer of a run was right or wrong, for ``orchestrator calibrate``: of the agent that answered, or of
        ``agent`` where that one handed over; or with ``router``, whether that one chose the right agent. Raises ``NothingToLabel``
        where the agent looked for no sign of a wrong answer, or no probability made the router choose."""
        self._check_open()
        name = run.id if isinstance(run, Result) else run
        await self._runner.label(name, right=right, agent=agent, router=router, by=by)

    async def stream(self, request: str | Request, **options: Any) -> AsyncIterator[Event]:
        """The run's events as they happen; the last is ``run.finished``, whose ``fields["result"]`` is the ``Result``.

        Leaving the loop early cancels the run, and with it the model call. Where the runtime cannot be reached any more, its
        error is raised here.
        """
        self._check_open()
        asked = _request(request, options)
        writer, reader = anyio.create_memory_object_stream[Event | Exception](math.inf)
        scope = anyio.CancelScope()
        self._tasks.start_soon(_run_into, self._runner, asked, writer, scope)
        try:
            async with reader:
                async for event in reader:
                    if isinstance(event, Exception):
                        raise event
                    yield event
        finally:
            scope.cancel()

    def _check_open(self) -> None:
        if not self._open:
            raise UsageError(f'"{self.name}" is closed: its block has ended', cure="ask inside of the `async with`")

    @contextmanager
    def _until_closed(self) -> Iterator[Opened]:
        try:
            yield self
        finally:
            self._open = False


def _check_loop() -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError as error:
        cure = "anyio.run(main), or asyncio.run(main())"
        raise UsageError("a deployment runs on asyncio's event loop, which does not run here", cure=cure) from error


async def _run_into(
    runner: _Runner, request: Request, writer: MemoryObjectSendStream[Event | Exception], scope: anyio.CancelScope
) -> None:
    """What a run raises goes to its reader: in the task group, it would end every other run of the block."""

    def listen(event: Event | Exception) -> None:
        with suppress(anyio.BrokenResourceError):
            writer.send_nowait(event)

    with writer, scope:
        try:
            await runner.run(request, listen)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is raised where the run is read
            listen(error)


def _request(request: Any, options: dict[str, Any]) -> Request:
    if isinstance(request, Request):
        if options:
            raise UsageError("a whole Request has options beside it", cure=f"write Request(…, {next(iter(options))}=…)")
        return check_request(request)
    if not isinstance(request, str):
        cure = "give the user's words, or an orchestrator.Request"
        raise UsageError(f"a request is a text or a Request, not {type(request).__name__}", cure=cure)
    check_fields(options)
    if "text" in options:
        raise UsageError("the text of the request is given twice", cure="give it once, without a name")
    history = options.pop("history", ())
    if isinstance(history, (str, Mapping)) or not isinstance(history, Iterable):
        cure = 'history=[orchestrator.Message("user", "…"), …]'
        raise UsageError(f"history is no list of messages: {history!r}", cure=cure)
    return check_request(Request(request, history=tuple(history), **options))


@asynccontextmanager
async def open(
    *manifests: str | os.PathLike[str],
    environment: Mapping[str, str] | None = None,
    state: str | os.PathLike[str] | None = None,
) -> AsyncIterator[Opened]:
    """Serve a manifest (or several, laid over each other) in this process, with the same engine as the runtime.

    ``environment`` fills ``${NAME}`` in (this process's own by default); ``state`` is where tools keep their stores (the
    user's state folder by default). Raises ``ManifestError`` with every fault, or ``DeployError``.
    """
    _check_loop()
    values: Any = os.environ if environment is None else environment
    if not isinstance(values, Mapping):
        raise UsageError(f"environment is no mapping: {values!r}", cure='environment={"NAME": "value"}')
    if not manifests:
        raise UsageError("no manifest is named", cure='orchestrator.open("kiosk.yaml")')
    names = [_path("a manifest", manifest) for manifest in manifests]
    compilation = await anyio.to_thread.run_sync(lambda: compile_files(names, environment=values))
    folder = Path(_path("state", state)) if state is not None else _state_folder()
    with unwrapped():
        async with (
            open_in_process(compilation.blueprint, state=folder, settings=Settings.read(values)) as served,
            anyio.create_task_group() as tasks,
        ):
            with Opened(served.name, served, tasks)._until_closed() as opened:
                yield opened
            tasks.cancel_scope.cancel()


@asynccontextmanager
async def connect(name: str) -> AsyncIterator[Opened]:
    """A deployment that the background runtime of this user serves (see ``orchestrator apply``).

    Raises ``RuntimeUnavailable`` where none runs, ``NoSuchDeployment`` where it does not serve ``name``.
    """
    from orchestrator.app.client import RuntimeClient
    from orchestrator.app.connected import RemoteRuns, check_applied, session_to

    _check_loop()
    if not isinstance(name, str):
        raise UsageError(f"the name of a deployment is no text: {name!r}", cure='orchestrator.connect("retail-kiosk")')
    client = RuntimeClient(_host().folders(make=False))
    await anyio.to_thread.run_sync(check_applied, client, name)
    with unwrapped():
        async with session_to(client.socket) as http, anyio.create_task_group() as tasks:
            with Opened(name, RemoteRuns(name, http), tasks)._until_closed() as opened:
                yield opened
            tasks.cancel_scope.cancel()


def _path(what: str, value: Any) -> str:
    if not isinstance(value, (str, os.PathLike)):
        raise UsageError(f"{what} is no path: {value!r}", cure="give a text or a pathlib.Path")
    path = os.fspath(value)
    return path if isinstance(path, str) else os.fsdecode(path)


def _state_folder() -> Path:
    return _host().folders().state / IN_PROCESS


def _host() -> Host:
    from orchestrator.plugins.hosts.local import LocalHost

    return LocalHost()
