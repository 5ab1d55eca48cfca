"""Carrying out ``models pull``: the disk is looked at first, progress is shown, and at the end what the server lists."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from orchestrator.app.builds import builds_for, ids_of_build
from orchestrator.app.device import read_device
from orchestrator.app.fetched_files import UNCHECKED, compare
from orchestrator.app.inventory import Choice, called, size_of
from orchestrator.app.model_servers import Around, Store, goes_on, hub_files, is_kept, look, store_of
from orchestrator.app.model_servers import pull as pull_by
from orchestrator.app.model_servers import remove as remove_by
from orchestrator.cli.view.model import short_digest
from orchestrator.cli.view.pulling import shown_pull
from orchestrator.cli.view.terminal import Terminal
from orchestrator.core.errors import (
    BadRequest,
    BrokenReply,
    DeployError,
    ModelError,
    ModelNotFound,
    NotAsAnnounced,
    OrchestratorError,
    UsageError,
)
from orchestrator.core.names import did_you_mean
from orchestrator.core.quantity import format_size
from orchestrator.manifest.catalogue.reader import find_model, near_models
from orchestrator.plan.builds import is_build, means
from orchestrator.ports.provider import Support

if TYPE_CHECKING:
    from orchestrator.ports.lifecycle import PullProgress
    from orchestrator.ports.provider import ServedModel


_KEPT: Final = {
    Support.YES: "what had come is kept, the same command goes on from there",
    Support.NO: "what had come is gone, as {server} deletes the part of a pull that ends early; the same command begins anew",
}
"""What becomes of a pull that is left, where it does not go on by itself."""
_FULL: Final = 50_000_000
"""Bytes that are free on a disk that is full: a server that cannot write may say anything."""
UNKNOWN_FOLDER: Final = "free disk space is not checked: the folder where the server keeps its models is not known"
_MAYBE_KEPT: Final = "whether {server} keeps what had come is not known; the same command pulls it again"


def pull_best(
    choice: Choice, around: Around, options: argparse.Namespace, terminal: Terminal, build: str = ""
) -> dict[str, Any]:
    """Pull the build that is named, or else the ``build`` that was chosen, or else the best that fits this device. Where the
    server knows it by none of the usual names, a build that was named is an error; else the usual one is pulled, and that is
    said. Raises as ``pull``, and ``UsageError`` for a build that nobody can name there."""
    row = find_model(options.name)
    chosen = build and row and not options.quantization
    wanted = ids_of_build(row, choice.server.provider, build) if chosen and row else _wanted(choice, options, terminal)
    for number, name in enumerate(wanted):
        try:
            return pull(replace(choice, model=name), around, options, terminal, first=number == 0)
        except (ModelNotFound, BadRequest):
            if options.quantization and name == wanted[-1]:
                raise
            terminal.tell(f"{called(choice.server)} has no {name}")
    try:
        return pull(choice, around, options, terminal, first=not wanted)
    except ModelNotFound as error:
        near = did_you_mean(options.name, near_models(options.name)) if row is None else ""
        error.cure = " ".join(filter(None, (near, error.cure)))
        raise


def _wanted(choice: Choice, options: argparse.Namespace, terminal: Terminal) -> list[str]:
    """Names to try before the usual one. A name with a tag says itself what is meant."""
    row = find_model(options.name)
    named = options.quantization.casefold()
    if named and (row is None or not is_build(named)):
        what = f"no build is called {named}" if row else f"the catalogue does not know {options.name}"
        raise UsageError(
            f"--quantization: {what}", cure="name a build like q4_k_m, q8_0 or f16 of an alias of the catalogue"
        )
    if row is None or (not named and ":" in options.name):
        return []
    if named:
        ids = ids_of_build(row, choice.server.provider, named)
        if not ids:
            cure = f"name it as the server does: orchestrator models pull ID --provider {choice.server.provider}"
            raise UsageError(
                f"nobody knows what {called(choice.server)} calls the {named} of {row['alias']}", cure=cure
            )
        return ids
    builds = builds_for(row, read_device())
    best = builds.best
    if best is None:
        return []
    ids = ids_of_build(row, choice.server.provider, best.build)
    about = (
        f"{best.build} is {best.why}" if best.fit == "fits" else f"{best.build} comes closest to fitting: {best.why}"
    )
    other = "" if ids else f"; {called(choice.server)} chooses its build by itself"
    terminal.tell(f"{about}: {best.need}{other}")
    return ids


def pull(
    choice: Choice, around: Around, options: argparse.Namespace, terminal: Terminal, *, first: bool = True
) -> dict[str, Any]:
    """Pull it; gives what there is now, with ``told`` for people; ``first``: of the names that are tried for it. Raises
    ``DeployError`` for a disk that is too full, and a ``ModelError``, and ``TimeoutError`` where the time that ``around`` has is
    over: it is left as by Ctrl-C."""
    size = size_of(options.name, choice.server.provider, choice.model)
    room = _check_disk(choice, size, options, terminal, first=first)
    known = hub_files(choice, terminal.environment) is not None
    with shown_pull(terminal, size) as shown:
        try:
            pull_by(choice, _held_to(room, shown.take, options), around)
        except (KeyboardInterrupt, TimeoutError):
            terminal.tell(_left(choice, shown.completed))
            raise
        except ModelError as error:
            store = store_of(choice, terminal.environment)
            if store is not None and store.free < _FULL:
                told = f"{error.message}, and {store.folder} has {format_size(store.free)} free"
                raise _too_full(told, options) from error
            raise
        try:
            compared = not known or compare(hub_files(choice, terminal.environment) or {}, shown.take)
        except NotAsAnnounced as error:
            raise _taken_away(choice, around, error) from error
    if not compared:
        terminal.tell(UNCHECKED)
    listed = _listed(choice, around)
    return {
        "model": listed.id if listed else choice.model,
        "server": called(choice.server),
        "url": choice.server.url,
        "size": listed.size if listed else size,
        "digest": listed.digest if listed else "",
        "listed": listed is not None,
        "told": _ended(choice, listed),
    }


def _taken_away(choice: Choice, around: Around, error: NotAsAnnounced) -> NotAsAnnounced:
    """The same fault, once the server has it no more: what is listed would be bound, and taken for whole by the next pull."""
    try:
        remove_by(choice, around.secret)
    except OrchestratorError as kept:
        return NotAsAnnounced(
            f"{error.message}; {called(choice.server)} does not remove it: {kept.message}",
            cure="delete that file before anything uses it, and pull it again",
        )
    return NotAsAnnounced(f"{error.message}; it is removed again", cure=error.cure)


def _check_disk(
    choice: Choice, size: int | None, options: argparse.Namespace, terminal: Terminal, *, first: bool
) -> Store | None:
    """Refuse where it cannot fit; say where that cannot be known. What is there already needs no room. Gives the store where the
    server tells the size, once it pulls."""
    if _found(choice, choice.server.models):
        terminal.tell(f"{called(choice.server)} has {choice.model} already: what has changed since is fetched")
        return None
    store = store_of(choice, terminal.environment)
    if store is None:
        if first:
            terminal.tell(UNKNOWN_FOLDER)
        return None
    if size is None:
        terminal.tell(
            f"its size is compared with the {format_size(store.free)} free in {store.folder} once the server tells it"
        )
        return None if options.force else store
    needs = f"{choice.model} has {format_size(size)}, and {store.folder} has {format_size(store.free)} free"
    if size <= store.free:
        terminal.tell(needs)
    elif options.force:
        terminal.tell(f"{needs}: pulled all the same")
    else:
        raise _too_full(needs, options)
    return None


def _held_to(
    store: Store | None, take: Callable[[PullProgress], None], options: argparse.Namespace
) -> Callable[[PullProgress], None]:
    """Progress, which is shown, ends where the whole turns out to be larger than what is free beside what was there already.
    Raises ``DeployError``, which leaves the pull."""
    if store is None:
        return take
    there: list[int] = []

    def listen(progress: PullProgress) -> None:
        take(progress)
        if progress.total is None or progress.completed is None or progress.stage != "downloading":
            return
        there[:] = there or [progress.completed]
        lacking = progress.total - there[0]
        if lacking > store.free:
            needs = f"{format_size(lacking)} are to come, and {store.folder} has {format_size(store.free)} free"
            raise _too_full(needs, options)

    return listen


def _too_full(needs: str, options: argparse.Namespace) -> DeployError:
    """``options`` of an apply have no word of the disk: its model can also be pulled by hand."""
    if options.force is None:
        smaller, force = (
            "a smaller build in the manifest (quantization)",
            f"`orchestrator models pull {options.name} --force`",
        )
    else:
        smaller, force = "a smaller build (--quantization)", "--force"
    cure = f"free some space, or name {smaller}; {force} pulls it all the same, as where a part is there"
    return DeployError(f"the disk is too full: {needs}", cure=cure)


def _left(choice: Choice, completed: int | None) -> str:
    so_far = f" at {format_size(completed)}" if completed else ""
    if goes_on(choice):
        return f"left{so_far}: {called(choice.server)} goes on with it by itself"
    return f"left{so_far}: {_KEPT.get(is_kept(choice), _MAYBE_KEPT).format(server=called(choice.server))}"


def _listed(choice: Choice, around: Around) -> ServedModel | None:
    """As the server lists it now, by its name or as the only one that is new; ``None`` where it lists only what is loaded.
    Raises ``BrokenReply`` where it should be there and is not."""
    servers = look(replace(around, endpoint=choice.server.url, more=())).found
    models = [model for server in servers for model in server.models]
    before = {model.id for model in choice.server.models}
    new = [model for model in models if model.id not in before]
    found = _found(choice, models) or (new[0] if len(new) == 1 else None)
    if found is None and any(model.loaded is False for model in models):
        message = f"{called(choice.server)} says that it has pulled {choice.model}, but does not list it"
        raise BrokenReply(message, cure="`orchestrator models list` shows what it has")
    return found


def _found(choice: Choice, models: Iterable[ServedModel]) -> ServedModel | None:
    return next(
        (model for model in models if means(choice.server.provider, choice.model, model, any_build=False)), None
    )


def _ended(choice: Choice, listed: ServedModel | None) -> str:
    if listed is None:
        return f"{called(choice.server)} has pulled {choice.model}; it lists a model once it is loaded"
    size = f", {format_size(listed.size)}" if listed.size else ""
    build = f", {listed.quantization}" if listed.quantization else ""
    digest = f", {short_digest(listed.digest)}" if listed.digest else ""
    return f"{called(choice.server)} has {listed.id}{size}{build}{digest}"
