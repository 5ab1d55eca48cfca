"""The model servers of this device, looked at and told what to do, for the command line: each call is one short event loop."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from math import inf
from pathlib import Path
from string import Template
from typing import Any, TypeVar

import anyio

from orchestrator.app.inventory import Choice, called
from orchestrator.app.settings import Settings
from orchestrator.app.wiring import Plugins
from orchestrator.core.errors import NoServer
from orchestrator.core.hosts import distance_of_url
from orchestrator.plan.observed import NOBODY, ObservedServer
from orchestrator.plugins.secrets import reveal
from orchestrator.ports.lifecycle import Loaded, Loader, LoadOptions, Puller, PullProgress, Remover
from orchestrator.ports.provider import Provider, Secret, Support, Target

_Given = TypeVar("_Given")


@dataclass(frozen=True, slots=True)
class Around:
    """Where servers are looked for: the usual places of this device with some ``more``, or one ``endpoint``, with its key
    (``env:NAME``; a file counts from ``folder``, else from where the command is given). ``plugin`` is a provider of another
    package that is asked first. ``ends`` is when what takes long must have ended (of ``time.monotonic``)."""

    environment: Mapping[str, str]
    endpoint: str = ""
    api_key: str = ""
    more: tuple[str, ...] = ()
    plugin: str = ""
    folder: str = ""
    ends: float = inf

    @property
    def left(self) -> float:
        """Seconds until then. Raises ``TimeoutError`` where there are none."""
        left = self.ends - time.monotonic()
        if left <= 0:
            raise TimeoutError("its time is over")
        return left

    @property
    def places(self) -> list[str]:
        """The addresses, each once. Raises ``UsageError`` for what is none."""
        from orchestrator.plugins.providers.addresses import server_at, usual_places

        if self.endpoint:
            return [server_at(self.endpoint)]
        usual = usual_places(self.environment, Settings.read(self.environment).servers)
        return list(dict.fromkeys([*usual, *self.more]))

    @property
    def secret(self) -> Secret | None:
        """The key itself; raises ``DeployError``."""
        return reveal(self.api_key, Path(self.folder) if self.folder else Path.cwd()) if self.api_key else None


@dataclass(frozen=True, slots=True)
class Servers:
    """What answers, and why the other addresses do not."""

    found: tuple[ObservedServer, ...]
    silent: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Store:
    """Where a server seems to keep its models, and how many bytes are free there."""

    folder: Path
    free: int


def look(around: Around) -> Servers:
    """Ask every address who is there and what it serves; a second at most where nobody answers."""

    async def ask(plugins: Plugins) -> Servers:
        secret = around.secret
        keys = {} if secret is None else dict.fromkeys(around.places, secret)
        seen = await plugins.look(around.places, keys, [around.plugin] if around.plugin else [])
        found = {
            each.identity.url: ObservedServer.of(each.identity, each.models, distance_of_url(each.url))
            for each in seen
            if each.identity is not None
        }
        silent = {
            each.url: each.trouble or (NOBODY if each.state == "absent" else "no known model server")
            for each in seen
            if each.identity is None or each.trouble
        }
        return Servers(tuple(found.values()), silent)

    return _run(ask)


def load(choice: Choice, options: LoadOptions, timeout: float, key: Secret | None) -> Loaded:
    """Load a model. Raises a ``ModelError``."""

    async def act(plugins: Plugins) -> Loaded:
        provider = _of(plugins, choice, Loader)  # type: ignore[type-abstract] # a protocol, which isinstance takes
        return await provider.load(_target(choice, key), options, timeout)

    return _run(act)


def unload(choice: Choice, timeout: float, key: Secret | None) -> None:
    """Free its memory. Raises a ``ModelError``."""

    async def act(plugins: Plugins) -> None:
        await _of(plugins, choice, Loader).unload(_target(choice, key), timeout)  # type: ignore[type-abstract] # a protocol, which isinstance takes

    _run(act)


def remove(choice: Choice, key: Secret | None) -> None:
    """Delete it from the server's store. Raises a ``ModelError``."""

    async def act(plugins: Plugins) -> None:
        await _of(plugins, choice, Remover).remove(_target(choice, key))  # type: ignore[type-abstract] # a protocol, which isinstance takes

    _run(act)


def pull(choice: Choice, listen: Callable[[PullProgress], None], around: Around) -> None:
    """Pull a model, telling how far it is. Ctrl-C leaves it properly, as does the end of its time. Raises a ``ModelError``, and
    ``TimeoutError`` where its time is over."""

    async def act(plugins: Plugins) -> None:
        provider = _of(plugins, choice, Puller)  # type: ignore[type-abstract] # a protocol, which isinstance takes
        with anyio.fail_after(around.left):
            async with aclosing(provider.pull(_target(choice, around.secret))) as progress:  # type: ignore[type-var] # a generator, which closes
                async for each in progress:
                    listen(each)

    _run(act)


def goes_on(choice: Choice) -> bool:
    """Whether the server goes on with a pull that is left."""
    provider = Plugins().provider(choice.server.provider)
    return isinstance(provider, Puller) and provider.pull_goes_on


def is_kept(choice: Choice) -> Support:
    """Whether what had come of a pull that is left is there for the next one."""
    provider = Plugins().provider(choice.server.provider)
    return provider.pull_is_kept if isinstance(provider, Puller) else Support.UNKNOWN


def store_of(choice: Choice, environment: Mapping[str, str]) -> Store | None:
    """The folder of its models, where it is on this device and is one of the usual ones."""
    folder = next(iter(_folders(choice, environment)), None)
    return Store(folder, shutil.disk_usage(folder).free) if folder else None


def _folders(choice: Choice, environment: Mapping[str, str]) -> list[Path]:
    """That which it tells, else those of the usual folders of its models that are there."""
    from orchestrator.plugins.providers.addresses import MAKES

    make = next((make for make in MAKES if make.kind == choice.server.provider), None)
    if make is None or choice.server.zone != "node":
        return []
    if choice.server.store:
        return [folder for folder in (Path(choice.server.store),) if folder.is_dir()]
    named = environment.get(make.store_variable, "") if make.store_variable else ""
    written = [Template(folder).safe_substitute(environment) for folder in ([named] if named else make.stores)]
    folders = [Path(os.path.expanduser(folder)) for folder in written if not folder.startswith("$")]  # noqa: PTH111 - of a text: pathlib raises where there is no home
    return [folder for folder in folders if folder.is_dir()]


def hub_files(choice: Choice, environment: Mapping[str, str]) -> dict[Path, int] | None:
    """The large files of a model in the hub's cache of its server; ``None`` where servers of this make compare what comes
    themselves, or nobody knows whether they do."""
    from orchestrator.app.fetched_files import files_of

    return files_of(choice.model, _folders(choice, environment)) if choice.server.provider == "llama-cpp" else None


def _target(choice: Choice, key: Secret | None) -> Target:
    server = choice.server
    return Target(server.provider, server.api_base, choice.model, key, server.zone)


def _of(plugins: Plugins, choice: Choice, port: type[_Given]) -> _Given:
    from orchestrator.plugins.providers.in_process.library import LIBRARIES

    if port is Loader and choice.server.provider in {each.kind for each in LIBRARIES}:
        # Such a process is of whoever calls: one that this command starts would be gone with it.
        where = f"{choice.model} is run by a process of the runtime, which the first call starts"
        raise NoServer(where, cure="keep_alive of the model says how long it rests before that ends")
    provider: Provider = plugins.provider(choice.server.provider)
    if not isinstance(provider, port):
        raise NoServer(f"{called(choice.server)} cannot do that", cure="`orchestrator models list` shows which can")
    return provider


def _run(act: Callable[[Plugins], Awaitable[_Given]]) -> _Given:
    async def main() -> Any:
        plugins = Plugins()
        try:
            return await act(plugins)
        finally:
            with anyio.CancelScope(shield=True):
                await plugins.aclose()

    given: _Given = anyio.run(main)
    return given
