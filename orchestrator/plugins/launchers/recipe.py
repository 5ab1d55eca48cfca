"""One launcher for every make: a row of facts, and a small function that writes the head of its command."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from orchestrator.core.errors import PlanError
from orchestrator.core.hosts import in_url
from orchestrator.plugins.launchers.flags import MANIFEST, Command, Options, has
from orchestrator.plugins.launchers.installed import ASK_SECONDS, Entry, Installed
from orchestrator.ports.lifecycle import Binary, Launch, LaunchOrder, SetAside

ANYWHERE: Final = frozenset({"0.0.0.0", "::"})  # noqa: S104 - recognised, not bound
_ROOM: Final = "no more whole requests have room in its part of the memory"
USUAL: Final = "usual"
"""Who gave an option that nobody wrote."""
_NOT_LOADED: Final = re.compile(
    r"loading shared librar|Library not loaded|symbol lookup error|GLIBC\w* not found|Exec format error"
)
"""What the loader of a system says of a program that it cannot start."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """A make of server: the ways in which it may be ``installed``, newest first, how to install it, what it does with
    options, and ``head``, which begins the command and gives the name that the model is served under; and what it sets
    aside in memory: the ``whole`` context of the model where nobody says, a ``share`` of the device where nobody says another
    one, or nothing before a request comes (``on_request``); ``main_only``: in the main memory, not on a card. ``slots``: requests
    that it is told to work on at once where nobody says; ``alone``: it has one always. ``patience`` is what its program has to say
    what it can do, in seconds."""

    kind: str
    entries: tuple[Entry, ...]
    install: Mapping[str, str]
    options: Options
    head: Callable[[Command, Binary, LaunchOrder], str]
    whole: bool = False
    share: float | None = None
    slots: int = 1
    alone: bool = False
    on_request: bool = False
    main_only: bool = False
    patience: float = ASK_SECONDS
    known_by: str = ""


class MadeLauncher:
    """A ``Launcher`` by a recipe. ``cache`` is the file that remembers what programs said of themselves."""

    def __init__(self, recipe: Recipe, cache: Path | None = None) -> None:
        self._recipe = recipe
        self._installed = Installed(cache)

    @property
    def kind(self) -> str:
        """The provider kind of what is started."""
        return self._recipe.kind

    @property
    def program(self) -> str:
        """What it is called on a command line."""
        return self._recipe.options.program

    @property
    def options(self) -> Options:
        """What it does with the options of a manifest: for the pages."""
        return self._recipe.options

    @property
    def usual(self) -> Binary:
        """How it is called where it is installed and on the path."""
        first = self._recipe.entries[0]
        return Binary((first.program, *first.words))

    @property
    def install(self) -> Mapping[str, str]:
        """How it is installed, by system."""
        return self._recipe.install

    def refused(self, options: Mapping[str, Any]) -> Mapping[str, str]:
        """See :class:`orchestrator.ports.lifecycle.Launcher`."""
        return self._recipe.options.refusals(options)

    def find(self, path: Sequence[Path]) -> Binary | None:
        """The installed program, asked for its options; the answer is kept while the file stays the same."""
        return self._installed.find(self._recipe.entries, path, self._recipe.patience)

    def leave(self) -> None:
        """End what it asks just now, and ask nothing more."""
        self._installed.leave()

    def command(self, binary: Binary, order: LaunchOrder) -> Launch:
        """The command for an order. Raises ``PlanError`` for an option that cannot be had."""
        refuse_hidden_options(order)
        self._check(binary)
        command = Command()
        order = self._with_slots(order, binary, command)
        serves = self._recipe.head(command, binary, order)
        self._recipe.options.put(command, binary, order)
        if order.host in ANYWHERE:
            command.notes.append(f"host: {order.host} lets every machine of the network call it (manifest)")
        if not binary.options and binary != self.usual:
            why = f" ({binary.trouble})" if binary.trouble else ""
            command.notes.append(
                f"{self.program} could not be asked for its options{why}: they are those of a new version"
            )
        host = "127.0.0.1" if order.host in ANYWHERE else order.host
        url = f"http://{in_url(host)}:{order.port}"
        argv, notes, folders = (*binary.argv, *command.words), tuple(command.notes), tuple(command.folders)
        return Launch(argv, command.environment, url, serves, notes, folders, self._aside(order, binary))

    def _check(self, binary: Binary) -> None:
        """Raise ``PlanError`` for a program that cannot run at all, and for a foreign one of its name."""
        install = self.install.get(sys.platform) or self.install["*"]
        if _NOT_LOADED.search(binary.trouble):
            cure = f"install what it lacks, or put one that runs in its place: {install}"
            raise PlanError(f"{binary.argv[0]} cannot run: {binary.trouble}", cure=cure)
        known_by = self._recipe.known_by
        if known_by and not has(binary, known_by):
            cure = f"put the real one before it on the PATH: {install}"
            raise PlanError(f"{binary.argv[0]} is another program than {self.program}: it has no {known_by}", cure=cure)

    def _with_slots(self, order: LaunchOrder, binary: Binary, command: Command) -> LaunchOrder:
        """The order with the one number of requests that it works on at once: what the program is told, what its cache is reckoned
        for, and what it is given. A program that is told none chooses one of its own, which nobody could reckon with."""
        recipe, written = self._recipe, order.options.get("max_num_seqs")
        wanted = recipe.options.given(order).get("max_num_seqs") or recipe.slots
        if recipe.alone or recipe.options.lacks("max_num_seqs", binary):
            return order
        origin = MANIFEST if written else f"scenario {order.scenario}" if order.scenario else USUAL
        bounds = [(order.most or wanted, "max_concurrent_agents"), (order.room or wanted, _ROOM)]
        least, why = min(bounds, key=lambda each: each[0])
        if least < wanted:
            command.origins["max_num_seqs"] = f"{why}, not {wanted}: {origin}"
        else:
            command.origins["max_num_seqs"] = origin
        return replace(order, options={**order.options, "max_num_seqs": min(least, wanted)})

    def _aside(self, order: LaunchOrder, binary: Binary) -> SetAside:
        recipe = self._recipe
        one = recipe.alone or recipe.options.lacks("max_num_seqs", binary)
        given = recipe.options.given(order)
        context = given.get("context_length") or given.get("max_model_len")
        slots = 1 if one else given["max_num_seqs"]
        share = given.get("gpu_memory_utilization", recipe.share)
        return SetAside(context, slots, recipe.whole, share, recipe.on_request, _cards(recipe, given))


def _cards(recipe: Recipe, given: Mapping[str, object]) -> int | None:
    """Where a part of the card is set aside, on as many as a model is split over; nowhere else does anybody say how many."""
    if recipe.share is not None:
        return _number(given, "tensor_parallel_size") * _number(given, "pipeline_parallel_size")
    return 0 if recipe.main_only or str(given.get("gpu_layers")) == "0" else None


def _number(given: Mapping[str, object], option: str) -> int:
    written = given.get(option)
    return written if isinstance(written, int) else 1


def refuse_hidden_options(order: LaunchOrder) -> None:
    """Raise ``PlanError`` for a text that a program would take for an option that nobody may write here."""
    texts = {"model": order.model, "alias": order.alias, **order.options}
    for name, given in texts.items():
        if isinstance(given, str) and given.startswith("-"):
            raise PlanError(
                f'{name}: "{given}" begins like an option of a program', cure="write a name, an id or a path"
            )


def add_where_had(command: Command, binary: Binary, *words: str) -> None:
    """Add an option that helps where the version has it, and that nobody asked for."""
    if has(binary, words[0]):
        command.words += words
