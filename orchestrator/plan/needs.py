"""What each server that we start needs of the memory, with each build of its model. Pure; sizes are bytes.

A server needs the weights of its model, as its make loads them, a cache for each of its slots, and what it takes itself. vLLM takes
a part of the device whatever the model, so that what it needs must have room in that.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil
from typing import Final

from orchestrator.core.blueprint import Blueprint, ModelSpec
from orchestrator.core.memory import Need, Window, need_of, sizes_of
from orchestrator.core.quantity import format_size
from orchestrator.plan.budgets import device_budget
from orchestrator.plan.builds import is_build, same_build, usual_build
from orchestrator.plan.choosing import usual_context
from orchestrator.plan.observed import Prospect
from orchestrator.plan.pools import Cards, Hold, cards_of, share_of
from orchestrator.ports.device import Device
from orchestrator.ports.lifecycle import ONE_USUAL, SetAside

MOST_SHARE: Final = 0.95
"""Of a device, that it is advice to let vLLM take: the most that a scenario asks for."""


@dataclass(frozen=True, slots=True)
class Startable:
    """A build that a server can be started with: what starting it would be, the quantization that its name tells, bytes of
    its files (``None``: nobody knows), and what memory its server sets aside. ``strangers``: files of other models beside it.
    ``supposed``: that it is of its model is not known of its name."""

    prospect: Prospect
    build: str = ""
    weights: int | None = None
    aside: SetAside = ONE_USUAL
    strangers: tuple[str, ...] = ()
    supposed: bool = False


@dataclass(frozen=True, slots=True)
class Sized:
    """A startable build with what it needs; ``None``: nobody knows."""

    spec: ModelSpec
    startable: Startable
    need: Need | None

    @property
    def is_other(self) -> bool:
        """Whether its file tells another build than the manifest names."""
        wanted, build = self.spec["quantization"], self.startable.build
        return bool(wanted and build) and not same_build(wanted or "", build)

    @property
    def total(self) -> int:
        """Bytes that it takes, 0 where nobody knows."""
        return self.need.total if self.need else 0

    @property
    def held(self) -> Hold:
        """For as long as it runs; a model that is loaded on request takes turns instead."""
        return Hold(0 if self.startable.aside.on_request else self.total, self.cards)

    @property
    def cards(self) -> int | None:
        """How many cards it takes its memory on."""
        return self.startable.aside.cards


@dataclass(frozen=True, slots=True)
class Place:
    """Where the server of a model shall run: on these ``cards``, or in the ``main`` memory, of a device."""

    spec: ModelSpec
    cards: Cards
    main: int
    device: Device | None = None

    def need(self, one: Startable) -> Need | None:
        """What its server takes with a build; ``None`` where nobody knows."""
        aside, sizes = one.aside, sizes_of(self.spec)
        needed = need_of(sizes, _build(self.spec, one), self.window(one), one.weights)
        if aside.share is None or sizes.whole is not None:
            return needed
        return share_of(aside.share, aside.cards or 1, self.cards, self.main, needed)

    def window(self, one: Startable) -> Window:
        """The tokens of each slot, and the slots that it is told to have."""
        aside, spec = one.aside, self.spec
        context = aside.context or (spec["context_length"] if aside.whole else spec["window"])
        return Window(context or usual_context(one.prospect.kind, self.device), aside.slots, assumed=context is None)

    def room_for(self, one: Startable) -> int | None:
        """How many requests the part that its server takes has room for, at least one; ``None`` where it has it for all that the
        server would be told to work on, where it takes no part, and where nobody knows."""
        need = self.need(one)
        if need is None or not need.share or not need.weights or not need.cache or need.needed <= need.total:
            return None
        return max(1, int((need.total - need.weights - need.server) / (need.cache / need.window.slots)))


def place_of(blueprint: Blueprint, spec: ModelSpec, device: Device | None) -> Place:
    """The device, by what the manifest writes and what is measured."""
    own = device_budget(blueprint, device)
    main = device.memory if device else own.main if own else 0
    return Place(spec, cards_of(blueprint, device), main, device)


def _build(spec: ModelSpec, one: Startable) -> str:
    """The build that is loaded: as its name says, or as its server is told to read it, else what is usual of its make."""
    kind, server = one.prospect.kind, spec["server"]
    told = str((server["options"] if server else {}).get("quantization") or "").casefold()
    return one.build or (told if is_build(told) else "") or usual_build(kind, spec["served_as"].get(kind, ""))


def too_small_a_part(one: Sized) -> str:
    """Where the part that its server takes has no room for the model and one whole request: it ends at its start."""
    need = one.need
    if (
        need is None
        or not need.share
        or not need.weights
        or need.least <= need.total
        or one.startable.aside.share is None
    ):
        return ""
    least = replace(need, cache=need.cache // need.window.slots, window=replace(need.window, slots=1), share="", part=0)
    able = ceil(need.least / (need.total / one.startable.aside.share) * 100) / 100
    room = need.total - need.weights - need.server
    tokens = int(room / (need.cache / need.window.slots) * need.window.context) // 1024 * 1024 if need.cache else 0
    ways = [f"write server.gpu_memory_utilization: {able:g}"] if able <= MOST_SHARE else []
    ways += [f"write server.max_model_len: {tokens}"] if tokens >= 1024 else []
    lacks = f"its model and one request need {least}, and it takes {format_size(need.total)}, so that it does not start"
    return f"{lacks}: {', or '.join(ways) or 'use a smaller model, or a smaller build of it'}"
