"""The simulated endpoint in process, with a memory of its own: models have to be loaded before they answer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal

import anyio
import anyio.lowlevel

from orchestrator.core.errors import ModelError, ModelNotFound, ServerBusy, ServerFailed, Stalled
from orchestrator.ports.lifecycle import Loaded, LoadOptions
from orchestrator.ports.provider import Capability, ChatCall, Delta, Identity, Secret, ServedModel, Support, Target
from orchestrator.testing.endpoint import SimulatedEndpoint
from orchestrator.testing.simulated_provider import URL, SimulatedProvider

Happened = Literal["load", "loaded", "unload", "load failed"]
GB: Final = 10**9


@dataclass(frozen=True, slots=True)
class Moved:
    """Something that happened in the memory, on the clock of the event loop. ``taken`` is what is taken after it, in bytes."""

    at: float
    what: Happened
    model: str
    taken: int


class SimulatedLoader(SimulatedProvider):
    """One endpoint whose models take ``sizes`` bytes of a memory of ``limit`` bytes, and ``delay`` seconds to load.

    It does as it is told: a call for a model that is not loaded fails, and so does a load that finds no room, so that a
    scheduler that sends either is found out. ``moves`` tells what happened. Loads fail with the ``faults``, one each.
    """

    def __init__(
        self, endpoint: SimulatedEndpoint, limit: int, sizes: Mapping[str, int], delay: float = 10.0, url: str = URL
    ) -> None:
        """Every model of the endpoint needs its size."""
        super().__init__(endpoint, url=url)
        self.url = url
        self.limit = limit
        self.context = endpoint.context
        """Tokens of a request, which it tells with a load."""
        self.sizes = sizes
        self.delay = delay
        self.moves: list[Moved] = []
        self.faults: list[ModelError] = []
        self._there: dict[str, bool] = {}  # model -> whether it can answer; those that come take their place already
        self._busy: dict[str, int] = {}

    @property
    def loads(self) -> int:
        """Loads that were begun."""
        return sum(moved.what == "load" for moved in self.moves)

    @property
    def taken(self) -> int:
        """Bytes of its memory that are taken."""
        return sum(self.sizes[model] for model in self._there)

    def target(self, model: str = "", url: str = "") -> Target:
        """A target at its endpoint; its first model where none is named."""
        return super().target(model, url or self.url)

    async def identify(self, url: str, api_key: Secret | None = None) -> Identity | None:
        """As without a memory; and it loads."""
        identity = await super().identify(url, api_key)
        if identity is None:
            return None
        return replace(identity, capabilities={**identity.capabilities, Capability.LOAD: Support.YES})

    async def models(self, identity: Identity, api_key: Secret | None = None) -> tuple[ServedModel, ...]:
        """What it can serve, and what of it is loaded."""
        served = await super().models(identity, api_key)
        return tuple(replace(model, loaded=self._there.get(model.id, False)) for model in served)

    async def load(self, target: Target, options: LoadOptions, timeout: float) -> Loaded:  # noqa: ARG002 - the port's shape
        """Take the memory, and let the time pass. Raises ``ModelNotFound``, ``ServerFailed``, ``Stalled``."""
        await anyio.lowlevel.checkpoint()
        model = target.model
        if model not in self.sizes:
            raise ModelNotFound(f"model '{model}' not found")
        if self._there.get(model):
            return Loaded(0.0, self.sizes[model], self.context)
        if self.taken + self.sizes[model] > self.limit:
            self._note("load failed", model)
            raise ServerFailed(
                f"out of memory: {model} needs {self.sizes[model]}, {self.taken} of {self.limit} are taken"
            )
        self._there[model] = False
        self._note("load", model)
        try:
            await self._loading(timeout)
        except BaseException:  # a cancelled load too leaves nothing behind; it is raised again
            del self._there[model]
            self._note("load failed", model)
            raise
        self._there[model] = True
        self._note("loaded", model)
        return Loaded(self.delay, self.sizes[model], self.context)

    async def _loading(self, timeout: float) -> None:
        await anyio.sleep(min(self.delay, timeout))
        if self.delay > timeout:
            raise Stalled(f"the model was not loaded after {timeout:g} s")
        if self.faults:
            raise self.faults.pop(0)

    async def unload(self, target: Target, timeout: float) -> None:  # noqa: ARG002 - the port's shape
        """Give the memory back. Raises ``ModelNotFound``, and ``ServerBusy`` while the model answers."""
        await anyio.lowlevel.checkpoint()
        if target.model not in self.sizes:
            raise ModelNotFound(f"model '{target.model}' not found")
        if self._busy.get(target.model):
            raise ServerBusy(f"{target.model} answers {self._busy[target.model]} requests", status=503)
        if self._there.pop(target.model, None) is not None:
            self._note("unload", target.model)

    async def _deltas(self, call: ChatCall, stream: bool) -> AsyncIterator[Delta]:
        model = call.target.model
        if not self._there.get(model):
            raise ServerFailed(f"model '{model}' is not loaded")
        self._busy[model] = self._busy.get(model, 0) + 1
        try:
            async for delta in super()._deltas(call, stream):
                yield delta
        finally:
            self._busy[model] -= 1

    def _note(self, what: Happened, model: str) -> None:
        self.moves.append(Moved(anyio.current_time(), what, model, self.taken))
