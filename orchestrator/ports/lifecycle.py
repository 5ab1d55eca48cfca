"""Second, narrower ports of model servers: those that can load and unload a model, those that can pull one, those that
can remove one, and those that can be started by us. A provider that fits one of them has it beside ``Provider``; the
others just lack it (``isinstance`` tells). A make may do it on some of its servers only (llama-server as a router, but
not with one model): what one server can do stands in ``Identity.capabilities`` (``load``, ``pull``, ``remove``).

A ``Target`` names the model as its server does (``Target.model``); the server's root is above ``Target.api_base``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, Protocol, runtime_checkable

from orchestrator.ports.provider import Support, Target

PullStage = Literal["asking", "downloading", "verifying", "installing", "done"]
Scenario = Literal["development", "staging", "production_low", "production_high", "enterprise"]


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """How a model is to be loaded. ``context`` in tokens a request; ``keep_alive`` in seconds of rest before the server may
    unload it by itself (``inf``: never). ``None`` leaves it to the server; what a server cannot do is refused."""

    context: int | None = None
    keep_alive: float | None = None


@dataclass(frozen=True, slots=True)
class Loaded:
    """What loading gave: ``seconds`` it took (0 where it was loaded already), and what the server tells: memory in bytes,
    context in tokens a request. ``model`` is the name that calls must give now: some servers have another for it; ``api_base``
    is where they must go, where the server was started for it and listens at another port than before."""

    seconds: float
    memory: int | None = None
    context: int | None = None
    model: str = ""
    api_base: str = ""


@runtime_checkable
class Loader(Protocol):
    """A provider whose servers load and unload models on request."""

    async def load(self, target: Target, options: LoadOptions, timeout: float) -> Loaded:
        """Bring a model into memory and wait until it can answer, ``timeout`` seconds at most; at once where it is there.

        Raises ``ModelNotFound``, ``BadRequest`` (this server or these options: no), ``ServerFailed`` (it could not be
        loaded, with the server's reason), ``Stalled``.
        """
        ...

    async def unload(self, target: Target, timeout: float) -> None:
        """Free its memory; at once where it is not loaded. Raises as ``load``, and ``ServerBusy`` where it still answers
        requests after ``timeout`` seconds (it is unloaded when they end)."""
        ...


@dataclass(frozen=True, slots=True)
class PullProgress:
    """How far a pull has come. ``part`` names a file or layer; ``completed`` and ``total`` are bytes of the whole pull, where
    they are known."""

    stage: PullStage
    part: str = ""
    completed: int | None = None
    total: int | None = None


@runtime_checkable
class Puller(Protocol):
    """A provider whose servers fetch models into a store of their own."""

    @property
    def pull_goes_on(self) -> bool:
        """Whether its servers go on with a pull that is left, because they have no way to cancel one."""
        ...

    @property
    def pull_is_kept(self) -> Support:
        """Whether what had come of a pull that is left is there for the next one; ``NO``: that begins anew."""
        ...

    def pull(self, target: Target) -> AsyncIterator[PullProgress]:
        """Fetch a model; the last item has the stage ``done``. It has no time limit, but one on standing still.

        Leaving early cancels it where the server can (``pull_goes_on``, ``pull_is_kept``). Raises
        ``ModelNotFound``, ``BadRequest`` (this server cannot), ``ServerFailed`` (a full disk, a wrong digest),
        ``BrokenReply`` (the connection broke), ``Stalled``.
        """
        ...


@runtime_checkable
class Remover(Protocol):
    """A provider whose servers delete models from their store."""

    async def remove(self, target: Target) -> None:
        """Delete a model. Raises ``ModelNotFound``, ``BadRequest`` (this one is not the server's to delete)."""
        ...


@dataclass(frozen=True, slots=True)
class Binary:
    """An installed program that serves models: ``argv`` to call it, its version, and the options that it says it has
    (``--port``, or names of environment variables). Without any option it could not be asked: every option is believed, and
    ``trouble`` says why, where that is known."""

    argv: tuple[str, ...]
    version: str = ""
    options: frozenset[str] = frozenset()
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class LaunchOrder:
    """What is wanted of a server that we start: the ``model`` (a path, a repository id or a tag, as its make has it) under
    the name ``alias``, on ``host`` and ``port``; a ``scenario`` with ``options`` of the manifest before it. ``most``: requests
    that will ever be sent at once, and ``room`` how many its part of the memory has room for, whatever they say.

    ``remote_code`` lets code of the model's repository run. ``folder`` is one of its own that the server may write to.
    """

    model: str
    alias: str
    host: str = "127.0.0.1"
    port: int = 0
    kind: Literal["chat", "embedding"] = "chat"
    scenario: Scenario | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    remote_code: bool = False
    folder: str = ""
    most: int | None = None
    room: int | None = None

    @property
    def is_local(self) -> bool:
        """Whether the model is a file or folder of this device."""
        return Path(self.model).is_absolute()


@dataclass(frozen=True, slots=True)
class SetAside:
    """What memory a server sets aside by its command: a cache of ``context`` tokens for each of its ``slots``, which are as many as
    it was told, and as many calls as it is given at once. Without a ``context``: the ``whole`` one that the model can have, for
    each slot, else what is usual. ``share``: instead of all this a part of the
    device's memory, 0..1, whatever the model. ``cards``: it takes it on so many cards, the first ones, where there are any (0: in
    the main memory; ``None``: on cards or in the main memory, as there is room). ``on_request``: nothing before a request needs
    the model, which is unloaded when it rests."""

    context: int | None = None
    slots: int = 1
    whole: bool = False
    share: float | None = None
    on_request: bool = False
    cards: int | None = None


ONE_USUAL: Final = SetAside()


@dataclass(frozen=True, slots=True)
class Launch:
    """How a server is started: its command, what is added to the environment, its root URL, the name under which it
    ``serves`` the model, ``notes`` that say what became of each option, ``folders`` that must be there first, and what it
    sets ``aside``."""

    argv: tuple[str, ...]
    environment: Mapping[str, str]
    url: str
    serves: str
    notes: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    aside: SetAside = ONE_USUAL


class Launcher(Protocol):
    """A make of model server that we can start. ``command`` is pure."""

    @property
    def kind(self) -> str:
        """The provider kind of what is started."""
        ...

    @property
    def program(self) -> str:
        """What it is called on a command line."""
        ...

    @property
    def usual(self) -> Binary:
        """How it is called where it is installed and on the path, without options: for showing a command."""
        ...

    @property
    def install(self) -> Mapping[str, str]:
        """How it is installed, by system (``linux``, ``darwin``, ``win32``, or ``*``): a line to type."""
        ...

    def refused(self, options: Mapping[str, Any]) -> Mapping[str, str]:
        """Those of these options that no version of it has, each with what to write instead. Pure."""
        ...

    def find(self, path: Sequence[Path]) -> Binary | None:
        """The installed program, looked for in these folders; ``None`` where there is none. The program is asked for its
        options, which may take seconds and must have an end: it runs in a thread of its own, and nothing else waits."""
        ...

    def command(self, binary: Binary, order: LaunchOrder) -> Launch:
        """The command for an order. Raises ``PlanError`` for an option that cannot be had, with its modern name or a cure."""
        ...


@runtime_checkable
class Hurried(Protocol):
    """A launcher whose asking of programs can be broken off."""

    def leave(self) -> None:
        """End what it asks just now, and ask nothing more. May be called from another thread."""
        ...
