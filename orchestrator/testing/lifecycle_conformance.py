"""What every provider must do whose servers load, pull or remove models, as suites that any test runner can collect.

Derive from :class:`LoaderConformance`, :class:`PullerConformance` or :class:`RemoverConformance` and give a ``subject``
(with pytest: a fixture of that name). The checks that need a fault run against a simulated server (``store`` of the
subject); a real server passes those that need none.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any, Final

import anyio

from orchestrator.core.errors import BrokenReply, ModelError, ModelNotFound, ServerBusy, ServerFailed, Stalled
from orchestrator.core.message import Message
from orchestrator.ports.lifecycle import Loaded, Loader, LoadOptions, Puller, PullProgress, Remover
from orchestrator.ports.provider import ChatCall, Provider, ServedModel, Support, Target
from orchestrator.testing.conformance import NotConformant, require
from orchestrator.testing.lifecycle.store import ModelStore

TIMEOUT: Final = 30.0
"""Seconds for one act of a server that works."""
NOBODY: Final = "nobody-has-this"


@dataclass(frozen=True)
class LifecycleSubject:
    """A provider with a server to try it on, whose ``target`` is installed and not loaded.

    ``wanted``: the name of a model that it can pull and has not yet. ``store``: what the server keeps, where it is
    simulated. ``lists_all``: it lists what is not loaded too. ``waits_for_answers``: it does not unload a model that
    answers. ``tells_why``: its words say why a pull failed.
    """

    provider: Provider
    url: str
    target: Target
    wanted: str = ""
    store: ModelStore | None = None
    lists_all: bool = True
    waits_for_answers: bool = True
    tells_why: bool = True

    @property
    def loader(self) -> Loader:
        """The provider, as one that loads."""
        require(isinstance(self.provider, Loader), f"{self.provider.kind} does not fit Loader")
        return self.provider  # type: ignore[return-value] # require() has looked

    @property
    def puller(self) -> Puller:
        """The provider, as one that pulls."""
        require(isinstance(self.provider, Puller), f"{self.provider.kind} does not fit Puller")
        return self.provider  # type: ignore[return-value] # require() has looked

    @property
    def remover(self) -> Remover:
        """The provider, as one that removes."""
        require(isinstance(self.provider, Remover), f"{self.provider.kind} does not fit Remover")
        return self.provider  # type: ignore[return-value] # require() has looked

    def of(self, model: str) -> Target:
        """The target with another model."""
        return replace(self.target, model=model)

    async def load(self, timeout: float = TIMEOUT, **options: Any) -> Loaded:
        """Load the target."""
        return await self.loader.load(self.target, LoadOptions(**options), timeout)

    async def models(self) -> tuple[ServedModel, ...]:
        """What the server lists now."""
        identity = await self.provider.identify(self.url, self.target.api_key)
        if identity is None:
            raise NotConformant(f"{self.url} was not recognised")
        return await self.provider.models(identity, self.target.api_key)

    async def is_loaded(self, name: str) -> bool:
        """Whether the server lists it as loaded."""
        return any(model.id == name and model.loaded for model in await self.models())

    async def pull(self, model: str, most: int = 10_000) -> list[PullProgress]:
        """What a pull tells, up to so many items; then it is left."""
        told: list[PullProgress] = []
        async with aclosing(self.puller.pull(self.of(model))) as progress:  # type: ignore[type-var] # the port says iterator; it is a generator, which closes
            async for each in progress:
                told.append(each)
                if len(told) >= most:
                    break
        return told

    async def pull_failure(self, model: str) -> ModelError:
        """The error that a pull ends in."""
        try:
            told = await self.pull(model)
        except ModelError as error:
            return error
        raise NotConformant(f"the pull of {model} ended well: {told[-1:]}")


class LoaderConformance:
    """Every method is one promise of the port ``Loader``."""

    async def test_a_loaded_model_is_listed_as_loaded_and_answers(self, subject: LifecycleSubject) -> None:
        """After load the server lists it as loaded, under the name that was given back, and a call to it is answered."""
        loaded = await subject.load()
        name = loaded.model or subject.target.model
        require(loaded.seconds >= 0, f"{loaded} took a negative time")
        require(await subject.is_loaded(name), f"{name} is not listed as loaded")
        call = ChatCall(subject.of(name), (Message("user", "hello"),), max_tokens=8, timeout=TIMEOUT)
        require((await subject.provider.chat(call)).usage.model_calls == 1, "a loaded model answers")

    async def test_loading_again_takes_no_time(self, subject: LifecycleSubject) -> None:
        """A model that is there is not loaded again."""
        first = await subject.load()
        again = await subject.load()
        require(again.seconds == 0, f"loading a loaded model took {again.seconds} s")
        require(again.model == first.model, f"{again.model} is not {first.model}")

    async def test_unloading_frees_it(self, subject: LifecycleSubject) -> None:
        """After unload it is not listed as loaded; unloading again is fine, and so is loading."""
        name = (await subject.load()).model or subject.target.model
        for _ in range(2):
            await subject.loader.unload(subject.target, TIMEOUT)
            require(not await subject.is_loaded(name), f"{name} is still listed as loaded")
        require(bool(await subject.load()), "it can be loaded again")

    async def test_an_unknown_model_is_told(self, subject: LifecycleSubject) -> None:
        """Loading and unloading what the server does not have end in ModelNotFound."""
        for act in ("load", "unload"):
            error = await _failure(subject, act, subject.of(NOBODY), TIMEOUT)
            require(isinstance(error, ModelNotFound), f"{act}: {error!r} is not ModelNotFound")

    async def test_too_little_memory_is_told(self, subject: LifecycleSubject) -> None:
        """A load that fails for memory ends in ServerFailed with a cure; the next one is well."""
        if subject.store is None:
            return
        subject.store.arm("load-fails")
        error = await _failure(subject, "load", subject.target, TIMEOUT)
        require(isinstance(error, ServerFailed), f"{error!r} is not ServerFailed")
        require(error is not None and "memory" in error.message + error.cure, f"{error!r} says nothing of memory")
        require(bool(error and error.cure), f"{error!r} has no cure")
        await subject.load()

    async def test_a_load_does_not_outlive_its_time(self, subject: LifecycleSubject) -> None:
        """A load that takes longer than it may ends in Stalled; with more time it is well."""
        if subject.store is None:
            return
        subject.store.load_time = 0.5
        error = await _failure(subject, "load", subject.target, 0.3)
        require(isinstance(error, Stalled), f"{error!r} is not Stalled")
        await subject.load()

    async def test_a_busy_model_is_not_taken_away(self, subject: LifecycleSubject) -> None:
        """Unloading a model that answers ends in ServerBusy after the time given; once it rests, it is well."""
        if subject.store is None or not subject.waits_for_answers:
            return
        name = (await subject.load()).model or subject.target.model
        subject.store.busy.add(name)
        error = await _failure(subject, "unload", subject.target, 0.5)
        require(isinstance(error, ServerBusy), f"{error!r} is not ServerBusy")
        require(await subject.is_loaded(name), "a busy model was taken away")
        subject.store.busy.discard(name)
        await subject.loader.unload(subject.target, TIMEOUT)


class PullerConformance:
    """Every method is one promise of the port ``Puller``."""

    async def test_a_pulled_model_is_there(self, subject: LifecycleSubject) -> None:
        """A pull tells how far it is, never backwards, ends with done, and the model is there."""
        told = await subject.pull(subject.wanted)
        require([each.stage for each in told].index("done") == len(told) - 1, "exactly the last item is done")
        come = [each.completed for each in told if each.completed is not None]
        require(come == sorted(come), f"the figures go backwards: {come}")
        require(all(each.total is None or (each.completed or 0) <= each.total for each in told), "more than the whole")
        _check_installed(subject, there=True)
        if subject.lists_all:
            require(any(model.id == subject.wanted for model in await subject.models()), "it is not listed")

    async def test_pulling_what_is_there_is_done(self, subject: LifecycleSubject) -> None:
        """Pulling it again ends with done."""
        await subject.pull(subject.wanted)
        require((await subject.pull(subject.wanted))[-1].stage == "done", "the last item is done")

    async def test_an_unknown_model_is_told(self, subject: LifecycleSubject) -> None:
        """Pulling what is nowhere ends in ModelNotFound."""
        error = await subject.pull_failure(NOBODY)
        require(isinstance(error, ModelNotFound), f"{error!r} is not ModelNotFound")

    async def test_a_pull_that_breaks_goes_on_later(self, subject: LifecycleSubject) -> None:
        """A pull whose connection breaks installs nothing; the next one goes on from what had come."""
        if subject.store is None:
            return
        subject.store.arm("pull-cut")
        error = await subject.pull_failure(subject.wanted)
        require(isinstance(error, BrokenReply | ServerFailed), f"{error!r} is neither BrokenReply nor ServerFailed")
        require(bool(error.cure), f"{error!r} has no cure")
        _check_installed(subject, there=False)
        had_come = subject.store.came[subject.wanted]
        told = await subject.pull(subject.wanted)
        figures = [each.completed for each in told if each.completed]
        require(not figures or figures[0] >= had_come, f"it began anew: {figures[:1]} after {had_come}")
        _check_installed(subject, there=True)

    async def test_a_full_disk_is_told(self, subject: LifecycleSubject) -> None:
        """A disk that is full in the middle ends in ServerFailed with the server's words and a cure; nothing is installed."""
        if subject.store is None:
            return
        used = sum(model.size for model in subject.store.installed.values())
        subject.store.disk = used + subject.store.library[subject.wanted].size // 2
        error = await subject.pull_failure(subject.wanted)
        require(isinstance(error, ServerFailed), f"{error!r} is not ServerFailed")
        require("space" in error.message or not subject.tells_why, f"{error!r} does not say that there is no space")
        require("disk" in error.cure, f"{error!r} does not speak of the disk: {error.cure}")
        _check_installed(subject, there=False)
        subject.store.disk = None
        await subject.pull(subject.wanted)

    async def test_a_wrong_digest_is_told(self, subject: LifecycleSubject) -> None:
        """A file that is not what it should be ends in ServerFailed and is not installed; the next pull fetches it anew."""
        if subject.store is None:
            return
        subject.store.arm("pull-wrong-digest")
        error = await subject.pull_failure(subject.wanted)
        require(isinstance(error, ServerFailed), f"{error!r} is not ServerFailed")
        require(bool(error.cure), f"{error!r} has no cure")
        _check_installed(subject, there=False)
        await subject.pull(subject.wanted)
        _check_installed(subject, there=True)

    async def test_leaving_a_pull_ends_it_where_it_can(self, subject: LifecycleSubject) -> None:
        """A pull that is left stops at the server, or is known to go on (``pull_goes_on``)."""
        if subject.store is None:
            return
        subject.store.pull_rate = subject.store.library[subject.wanted].size / 2.0
        told = await subject.pull(subject.wanted, most=4)
        require(told[-1].stage != "done", f"it was done at once: {told}")
        had_come = subject.store.came.get(subject.wanted, 0)
        await anyio.sleep(0.4)
        went_on = subject.store.came.get(subject.wanted, 0) > had_come or subject.wanted in subject.store.installed
        require(went_on is subject.puller.pull_goes_on, f"went on: {went_on}, said: {subject.puller.pull_goes_on}")

    async def test_the_pull_after_one_that_was_left(self, subject: LifecycleSubject) -> None:
        """It goes on from what had come, or begins anew, as is said (``pull_is_kept``)."""
        kept = subject.puller.pull_is_kept
        if subject.store is None or subject.puller.pull_goes_on or kept is Support.UNKNOWN:
            return
        size = subject.store.library[subject.wanted].size
        subject.store.pull_rate = size / 2.0
        had_come = 0
        async with aclosing(subject.puller.pull(subject.of(subject.wanted))) as progress:  # type: ignore[type-var] # a generator, which closes
            async for each in progress:
                had_come = each.completed or 0
                if had_come >= size // 4:
                    break
        subject.store.pull_rate = 0.0
        told = await subject.pull(subject.wanted)
        first = next((each.completed for each in told if each.completed), 0)
        require(
            (first >= had_come) is (kept is Support.YES), f"{first} after {had_come}, said to be kept: {kept.value}"
        )


class RemoverConformance:
    """Every method is one promise of the port ``Remover``."""

    async def test_a_removed_model_is_gone(self, subject: LifecycleSubject) -> None:
        """What was pulled and removed is listed no more."""
        await subject.pull(subject.wanted)
        await subject.remover.remove(subject.of(subject.wanted))
        require(all(model.id != subject.wanted for model in await subject.models()), "it is still listed")
        _check_installed(subject, there=False)

    async def test_an_unknown_model_is_told(self, subject: LifecycleSubject) -> None:
        """Removing what is not there ends in ModelNotFound."""
        try:
            await subject.remover.remove(subject.of(NOBODY))
        except ModelNotFound:
            return
        raise NotConformant("removing an unknown model ended well")


async def _failure(subject: LifecycleSubject, act: str, target: Target, timeout: float) -> ModelError | None:
    try:
        if act == "load":
            await subject.loader.load(target, LoadOptions(), timeout)
        else:
            await subject.loader.unload(target, timeout)
    except ModelError as error:
        return error
    return None


def _check_installed(subject: LifecycleSubject, *, there: bool) -> None:
    if subject.store is not None:
        names: Sequence[str] = tuple(subject.store.installed)
        require((subject.wanted in names) is there, f"installed are {names}")
