"""Which models of a memory are loaded, which leave, and when to look again. Pure: how things stand in, what to do out.

The resident model's waiting work goes first, because a load costs seconds where everything else costs milliseconds. It
yields to another when that one's oldest call has waited as long as its class may (starvation), or when a burst of calls
has run while the other waited. What is loaded has a *stint*: the calls that waited when it came, up to the burst; starvation
does not end a stint, else models that all starve would be swapped after each call.

Sources: llama-swap serves the loaded model first and never evicts a busy one; the times of starvation are those of SMG's
priority classes; that a model is kept for expected work as long as its reload would take is the rule of ski rental.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from math import inf
from typing import Final, Literal

from orchestrator.core.memory import kept
from orchestrator.core.quantity import format_size
from orchestrator.deploy.residence import UNBOUNDED, PoolLimits

Presence = Literal["out", "loading", "in", "unloading"]
BYTES_A_SECOND: Final = 1e9
"""How fast a model is taken to load while nobody has measured it: a slow SSD, or a fast one with the work of placing."""


@dataclass(frozen=True, slots=True)
class AffinityRules:
    """``burst`` calls may run for a loaded model while others wait; ``saving_idle`` is the longest rest of an idle model on
    battery, in seconds; loads and unloads are given up after ``load_timeout`` and ``unload_timeout`` seconds; where the
    server refused to unload, it is asked again after ``refused_for``. Servers are told to keep a model ``server_later`` than we
    do: it is for the day that we are gone."""

    burst: int = 8
    saving_idle: float = 60.0
    load_timeout: float = 600.0
    unload_timeout: float = 30.0
    refused_for: float = 30.0
    server_later: float = 60.0


@dataclass(frozen=True, slots=True)
class Standing:
    """How things stand with one model. Times are on the scheduler's clock.

    ``oldest`` is since when its oldest waiting call waits, ``due`` when the first of them has waited as long as its class
    may (``inf``: none waits). ``foreseen`` is how many calls are expected next. ``cost``: seconds that loading takes, if
    known. ``served``: calls that began while another model waited; ``stint``: calls that are left of its stint. ``rested``:
    since when nothing ran. ``keep``: seconds that it may rest. ``ready_at``: not loaded or unloaded before (it failed).
    ``wished``: somebody went away because loading takes too long. ``closed``: it lets no call begin, to leave. ``unused``:
    no endpoint calls it any more. ``insists``: it is larger than it may be, and its server is asked all the same. ``ours``: it
    was loaded from here, or the manifest says that this does not matter. ``able``: of those that wait for it, somebody has a place
    (``max_concurrent_agents``).
    """

    id: str
    memory: int
    state: Presence
    in_flight: int = 0
    waiting: int = 0
    oldest: float = inf
    due: float = inf
    foreseen: float = 0.0
    pinned: bool = False
    cost: float | None = None
    served: int = 0
    stint: int = 0
    rested: float = 0.0
    keep: float = inf
    ready_at: float = 0.0
    wished: bool = False
    closed: bool = False
    unused: bool = False
    insists: bool = False
    ours: bool = True
    able: bool = True

    @property
    def rests(self) -> bool:
        """Nothing runs on it or waits for it."""
        return not self.in_flight and not self.waiting

    @property
    def reload(self) -> float:
        """Seconds that loading it again would take: as measured, else guessed from its size."""
        return self.cost if self.cost is not None else self.memory / BYTES_A_SECOND


@dataclass(slots=True)
class Moves:
    """What to do, each with its reason. ``close``: let no call begin on these, so that they can leave; all others are open.
    ``hopeless``: they need more than they may take, with the arithmetic. ``unmet``: a model is wanted that is not there;
    ``contended``: a call waits for one. ``over``: more is loaded than may be. ``look_at``: when to decide again, if nothing
    happens before."""

    load: dict[str, str] = field(default_factory=dict)
    unload: dict[str, str] = field(default_factory=dict)
    close: dict[str, str] = field(default_factory=dict)
    hopeless: dict[str, str] = field(default_factory=dict)
    unmet: bool = False
    contended: bool = False
    over: bool = False
    look_at: float = inf


@dataclass(frozen=True, slots=True)
class Device:
    """How the device is now. ``saving``: it runs on its battery, and the limits say to care. ``free``: bytes of memory that
    were measured to be free; nothing is loaded ahead beyond that."""

    saving: bool = False
    free: float = inf


PLAIN: Final = Device()


def decide(
    models: Sequence[Standing], limits: PoolLimits, rules: AffinityRules, now: float, device: Device = PLAIN
) -> Moves:
    """What to load, to close and to unload now."""
    return _Decision(models, limits, rules, now, device).made()


class _Decision:
    """One decision in the making."""

    def __init__(
        self, models: Sequence[Standing], limits: PoolLimits, rules: AffinityRules, now: float, device: Device
    ) -> None:
        self.models = _held(models, limits.budget)
        self.limits = limits
        self.rules = rules
        self.now = now
        self.device = device
        self.moves = Moves()
        self.free = limits.budget - sum(model.memory for model in models if model.state != "out")
        self.leaving = sum(model.memory for model in models if model.state == "unloading")
        self.pinned = sum(model.memory for model in self.models if model.state != "out" and model.pinned)
        self.loading = [model for model in models if model.state == "loading"]

    def made(self) -> Moves:
        wanted = self._wanted()
        self.moves.over = self.free + self.leaving < 0
        if self.moves.over:
            self._shrink()
        if wanted:
            self._make_way(wanted[0])
            for model in wanted[1:]:
                self._beside(model, wanted[0])
        else:
            self._prewarm()
        self._unload_idle()
        self._bound_cache()
        return self.moves

    # -- what comes -------------------------------------------------------------------------------------------------

    def _wanted(self) -> list[Standing]:
        """Models that calls wait for and that are not there, the most urgent first; then those that somebody would have
        waited for, had they been there."""
        found: list[Standing] = []
        for model in self.models:
            if model.state != "out" or not (model.waiting or model.wished):
                continue
            if self._oversized(model) and not model.insists:
                self.moves.hopeless[model.id] = self._too_large(model)
            elif model.ready_at > self.now:
                self._look(model.ready_at)
            else:
                found.append(model)
        self.moves.unmet = bool(found)
        self.moves.contended = any(model.waiting for model in found)
        return sorted(found, key=lambda model: (model.due, model.id))

    def _oversized(self, model: Standing) -> bool:
        """Larger than what may be taken beside the pinned ones."""
        return model.memory > self.limits.budget - (self.pinned if not model.pinned else 0)

    def _too_large(self, model: Standing) -> str:
        return f"it needs {format_size(model.memory)}, and models may take {format_size(self.limits.budget)} here{self._kept()}"

    def _kept(self) -> str:
        return f", of which {format_size(self.pinned)} are kept for pinned models" if self.pinned else ""

    def _make_way(self, coming: Standing) -> None:
        """Load it where it fits; else see who leaves for it. For one that is too large all leave that may, and then its server
        decides."""
        there = sum(model.memory for model in self.models if model.state != "out" and not model.pinned)
        lacking = min(coming.memory - self.free, there)
        if lacking <= 0:
            asked = f", and its server is asked although {self._too_large(coming)}" if self._oversized(coming) else ""
            self._load(coming, f"{_why(coming)}{asked}")
            return
        lacking -= self.leaving
        if lacking <= 0:
            return
        able = {model.id: reason for model in self.models if (reason := self._may_leave(model, coming))}
        chosen = self._cheapest([model for model in self.models if model.id in able], lacking)
        if not chosen and coming.due > self.now:
            self._look(coming.due)
        for model in chosen:
            self._send_away(model, able[model.id])

    def _beside(self, model: Standing, first: Standing) -> None:
        """Load another one that fits, but only where the one that goes first can still have its room."""
        if model.memory <= self.free and first.memory <= self.limits.budget - self.pinned - model.memory:
            self._load(model, _why(model))

    def _prewarm(self) -> None:
        """What is pinned or expected next, where it fits beside what is there, by our books and as it was measured. Not on
        battery: it may be for nothing."""
        if self.device.saving:
            return
        able = [
            model
            for model in self.models
            if model.state == "out"
            and ((model.foreseen and self.limits.budget < UNBOUNDED) or model.pinned)
            and model.memory <= min(self.free, self.device.free)
        ]
        for model in able:
            if model.ready_at > self.now:
                self._look(model.ready_at)
        ready = [model for model in able if model.ready_at <= self.now]
        if ready:
            best = max(ready, key=lambda model: (model.pinned, model.foreseen, model.id))
            self._load(best, "it is pinned" if best.pinned else "it is likely to be needed next")

    def _load(self, model: Standing, reason: str) -> None:
        """One load at a time, because two slow each other down; but what is loaded ahead keeps nobody from a load that a call
        waits for."""
        first = not any(other.waiting or not model.waiting for other in self.loading)
        if first and not self.moves.load:
            self.free -= model.memory
            self.moves.load[model.id] = reason

    # -- what leaves ------------------------------------------------------------------------------------------------

    def _may_leave(self, model: Standing, coming: Standing) -> str:
        """Why this one may make room for the one that comes; empty where it may not."""
        if not self._movable(model):
            return ""
        room = f"makes room for {coming.id}"
        if model.rests and not model.foreseen:
            return f"{room}: nothing waits for it"
        if not coming.waiting:
            return ""
        if model.rests:
            held_until = min(coming.due, model.rested + model.reload)
            if held_until <= self.now:
                return f"{room}: the calls expected for it did not come"
            self._look(held_until)
            return ""
        return self._has_had_its_stint(model, coming, room)

    def _has_had_its_stint(self, model: Standing, coming: Standing, room: str) -> str:
        if model.served >= self.rules.burst:
            return f"{room}: {model.served} calls ran while others waited"
        over = model.closed or model.stint <= 0 or not model.waiting
        # Calls wait on it and none runs: its server takes none now, or none has a place. Where who comes has none either, a
        # swap is for nothing, and there would be one after another until somebody has one.
        stuck = not model.in_flight and coming.able
        if coming.due <= self.now and (over or stuck):
            return f"{room}, whose oldest call has waited {self.now - coming.oldest:.1f} s"
        return ""

    def _movable(self, model: Standing) -> bool:
        if model.ready_at > self.now and model.state == "in":
            self._look(model.ready_at)
            return False
        return model.state == "in" and not model.pinned

    def _cheapest(self, able: Iterable[Standing], lacking: int) -> list[Standing]:
        """The fewest and least worth that make enough room; empty where all together do not."""
        chosen: list[Standing] = []
        for model in sorted(able, key=self._worth):
            if sum(each.memory for each in chosen) < lacking:
                chosen.append(model)
        if sum(each.memory for each in chosen) < lacking:
            return []
        for model in reversed(chosen.copy()):  # the worthiest first
            if sum(each.memory for each in chosen) - model.memory >= lacking:
                chosen.remove(model)
        return chosen

    def _worth(self, model: Standing) -> tuple[bool, bool, bool, float, float]:
        """What is lost with it: the cost of its reload by the chance that it is needed again. One that is about to leave
        goes first, then those that rest, and of them those that were loaded from here; of equals the one that has rested
        longest."""
        expected = sum(each.waiting + each.foreseen for each in self.models)
        chance = (model.waiting + model.foreseen) / expected if expected else 0.0
        return (not model.closed, not model.rests, not model.ours, model.reload * chance, model.rested)

    def _send_away(self, model: Standing, reason: str) -> None:
        """At once where nothing runs on it; else it takes no more calls, and goes when those that run have ended."""
        if model.in_flight:
            self.moves.close[model.id] = reason
        else:
            self.moves.unload[model.id] = reason

    def _shrink(self) -> None:
        """More is loaded than may be: the limit was lowered, or a model takes more than it was said to. One that is too large
        by itself works until nobody needs it: it would only come back; but where a server claims the room it goes after its
        running calls, so that this one is not kept waiting for ever."""
        claimed = self.limits.claimed
        able = [
            each for each in self.models if self._movable(each) and (each.rests or claimed or not self._oversized(each))
        ]
        lacking = -(self.free + self.leaving)
        chosen = self._cheapest(able, lacking) or able
        for model in chosen:
            most = f"{format_size(self.limits.budget)} that models may take"
            self._send_away(model, f"more is loaded than the {most}{self._kept()}")

    def _resting(self) -> list[Standing]:
        """Those that nobody needs now, least worth first."""
        sent = self.moves.unload
        idle = [
            model
            for model in self.models
            if model.rests and not model.foreseen and model.id not in sent and self._movable(model)
        ]
        return sorted(idle, key=self._worth)

    def _unload_idle(self) -> None:
        longest = self.rules.saving_idle if self.device.saving else inf
        for model in self._resting():
            keep = min(model.keep, longest if model.ours else inf)
            if model.unused:
                self._send_away(model, "nothing uses it any more")
            elif model.rested + keep <= self.now:
                self._send_away(model, f"nothing was asked of it for {self.now - model.rested:.0f} s")
            else:
                self._look(model.rested + keep)

    def _bound_cache(self) -> None:
        cache = self.limits.cache
        if cache is None:
            return
        resting = self._resting()
        over = sum(model.memory for model in resting) - cache
        for model in self._cheapest(resting, over) if over > 0 else ():
            self._send_away(model, f"models that rest may take {format_size(cache)} together")

    def _look(self, at: float) -> None:
        self.moves.look_at = min(self.moves.look_at, at)


def _held(models: Sequence[Standing], budget: int) -> Sequence[Standing]:
    """Deployments that do not know of each other may pin more than there is room for: what does not fit beside the smaller
    ones is held to the limit as any other model."""
    pinned = {model.id: model.memory for model in models if model.pinned}
    if sum(pinned.values()) <= budget:
        return models
    stay = kept(pinned, budget)
    return [replace(model, pinned=model.id in stay) for model in models]


def _why(model: Standing) -> str:
    if not model.waiting:
        return "a call went away because loading it takes too long"
    return f"{model.waiting} call{'s wait' if model.waiting > 1 else ' waits'} for it"
