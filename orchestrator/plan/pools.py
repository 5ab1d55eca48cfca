"""The memories that started servers take from: the main one, and the cards' own. Pure; sizes are bytes.

vLLM takes its part of each card that it spans, the first ones, and starts only where that is free. What may use either memory
(llama-server, MLX, Foundry Local, Ollama) is reckoned on the cards first, spread over all by what is free there, as llama-server
does it; what has no room there is in the main memory. OpenVINO, and llama-server without layers on a card, use the main one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from orchestrator.core.blueprint import Blueprint
from orchestrator.core.memory import SERVER_OF, Budget, Need
from orchestrator.core.quantity import format_size
from orchestrator.ports.device import Device

MAIN_ONLY: Final = 0
"""Cards of what does not use any."""
_USABLE: Final = 0.95
"""Of a card, by programs that take parts of it: the most that a scenario asks for. The rest is the driver's, and what each program
takes before its part is reckoned: a second one that wants all that is left finds less, and does not start."""


@dataclass(frozen=True, slots=True)
class Hold:
    """What a server takes: ``size`` in all, on so many ``cards``, the first ones (``MAIN_ONLY``; ``None``: in either memory)."""

    size: int
    cards: int | None = None


@dataclass(frozen=True, slots=True)
class Cards:
    """Memories of the cards, in the order in which programs see them. Not ``counted`` where the manifest writes only what they
    have together."""

    sizes: tuple[int, ...] = ()
    counted: bool = True

    def span(self, cards: int) -> tuple[int, ...]:
        """Of the first so many, or of as many as there are."""
        return self.sizes[:cards] if self.counted else self.sizes


def cards_of(blueprint: Blueprint, device: Device | None) -> Cards:
    """What the manifest writes of the device's cards goes before what is measured."""
    if "memory" in blueprint.hardware or "gpu_memory" in blueprint.hardware:
        written = blueprint.hardware.get("gpu_memory", 0)
        return Cards((written,) if written else (), counted=False)
    found = device.accelerators if device else ()
    return Cards(tuple(one.memory for one in found if one.memory and not one.unified))


def share_of(share: float, cards: int, there: Cards, main: int, needed: Need | None = None) -> Need | None:
    """What vLLM takes at once: its part of each card that it spans, or of the ``main`` memory where there is no card; with what of
    that is ``needed`` for the model, its server once on each card."""
    sizes = there.span(cards)
    whole, what = (sum(sizes), "graphics memory") if sizes else (main, "memory")
    of = f" of {len(sizes)} cards" if len(sizes) > 1 else ""
    told = f"{share:.0%} of {format_size(whole)} {what}{of} (gpu_memory_utilization)"
    need = replace(needed, server=needed.server * max(1, len(sizes))) if needed else Need(0)
    return replace(need, share=told, part=round(whole * share)) if whole else None


def free_share(cards: int, there: Cards, held: Mapping[str, Hold]) -> float:
    """Which part of each of the first so many cards these leave, 0..1: of the fullest one."""
    left = _left_on(there, held)[: len(there.span(cards))]
    return min(max(0.0, free / size - (1 - _USABLE)) for free, size in zip(left, there.sizes, strict=False))


def room_in(budget: Budget, there: Cards, cards: int | None, held: Mapping[str, Hold]) -> Budget:
    """What is left for a server where it takes its memory. A limit that is written holds for both memories together."""
    beside = budget.less({name: each.size for name, each in held.items()})
    if cards and there.sizes:
        return _room_on_cards(budget, beside, there, cards, held)
    on_cards = sum(each.size for each in held.values() if each.cards and there.sizes)
    in_main = sum(each.size for each in held.values() if each.cards == MAIN_ONLY or (each.cards and not there.sizes))
    either = sum(each.size for each in held.values()) - on_cards - in_main
    own = max(0, budget.own - on_cards)
    main = max(0, budget.main - in_main - max(0, either - own))
    own = max(0, own - either)
    if cards is None or not there.sizes:
        return replace(beside, main=main, own=own)
    return replace(beside, main=main, own=0, why=_main_only(beside, main, own))


def _main_only(beside: Budget, main: int, own: int) -> str:
    """Why so much of the ``main`` memory is left, where ``own`` bytes of the cards' are left beside it."""
    if beside.limit is not None and main < beside.limit:
        return f"{format_size(main)} of main memory are left, less than max_memory_usage leaves"
    if beside.limit is not None or not own:
        return beside.why
    return f"{beside.why}, less {format_size(own)} of graphics memory, which it does not use"


def _room_on_cards(budget: Budget, beside: Budget, there: Cards, cards: int, held: Mapping[str, Hold]) -> Budget:
    sizes = there.span(cards)
    room = int(sum(sizes) * free_share(cards, there, held))
    if beside.limit is not None and beside.limit <= room:
        return replace(beside, main=0, own=beside.limit)
    taken = {name: size for name, each in held.items() if (size := _part_on(there, each, len(sizes)))}
    of = f" of the first {len(sizes)} cards" if len(sizes) > 1 else " of the first card" if len(there.sizes) > 1 else ""
    less = "".join(f", less {format_size(size)} for {SERVER_OF.format(name)}" for name, size in taken.items())
    # Each takes as large a part of the one as of the other, so that the fullest decides.
    lacks = round(sum(sizes) * _USABLE) - sum(taken.values()) - room
    less += f", less {format_size(lacks)} that the fullest of them lacks" if lacks > sum(sizes) // 1000 and room else ""
    why = f"{_USABLE:.0%} of {format_size(sum(sizes))} graphics memory{of}{less}"
    return Budget(0, room, budget.physical if there.counted else room, beside.limit, why)


def _left_on(there: Cards, held: Mapping[str, Hold]) -> list[float]:
    """Of each card. What may use either memory spreads over what those leave that need the cards."""
    left: list[float] = [float(size) for size in there.sizes]
    for each in held.values():
        sizes = there.span(each.cards or 0)
        for number, size in enumerate(sizes):
            left[number] -= each.size * size / sum(sizes)
    free = sum(max(0.0, each) for each in left)
    either = min(free, sum(each.size for each in held.values() if each.cards is None))
    return [each - (either * each / free if free and each > 0 else 0) for each in left]


def _part_on(there: Cards, hold: Hold, cards: int) -> int:
    """What it takes on the first so many cards; of what spreads, as much as they have of all."""
    sizes: Sequence[int] = there.sizes if hold.cards is None else there.span(hold.cards)
    return round(hold.size * sum(sizes[:cards]) / sum(sizes)) if sizes else 0
