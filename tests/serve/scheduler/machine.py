"""The scheduler with a clock of its own: events go in by name, and what comes out is kept as lines of a trace."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, cast

from orchestrator.core.choices import PriorityClass
from orchestrator.core.errors import ModelError, RunError
from orchestrator.deploy.endpoint import EndpointSpec, EndpointState
from orchestrator.deploy.residence import PoolLimits, Residence
from orchestrator.deploy.watch import Word
from orchestrator.ports.lifecycle import Loaded, Loader
from orchestrator.ports.provider import Provider, Target, Zone
from orchestrator.serve.effect import Effect
from orchestrator.serve.scheduler import NO_POOLS, Scheduler
from orchestrator.serve.scheduler_limits import SchedulerLimits
from orchestrator.serve.scheduler_queue import Submission

NOBODY = cast(Provider, object())
GB = 10**9


def spec(name: str, slots: int = 1, zone: Zone = "node", context: int | None = None) -> EndpointSpec:
    """An endpoint of a provider that is never called."""
    return EndpointSpec(name, Target("none", f"http://{name}/v1", "m", zone=zone), NOBODY, slots, context)


@dataclass(frozen=True, slots=True)
class Known(Residence):
    """A model with a past: ``loaded`` from here, or by somebody else; what loading it took before."""

    loaded: Literal["", "ours", "theirs"] = ""
    load_seconds: float | None = None


def resident(
    name: str, memory: int = 6, slots: int = 1, *, loaded: bool | Literal["theirs"] = False, **more: Any
) -> EndpointSpec:
    """An endpoint whose model has to be loaded; ``memory`` in GB, in the pool ``device``. It rests for ever, unless ``rest``
    says so."""
    by: Literal["", "ours", "theirs"] = "theirs" if loaded == "theirs" else "ours" if loaded else ""
    residence = Known(f"model-{name}", "device", memory * GB, cast(Loader, object()), loaded=by, **more)
    return replace(spec(name, slots), residence=residence)


def with_past(scheduler: Scheduler, specs: Iterable[EndpointSpec], now: float) -> list[Effect]:
    """Let the scheduler's books be as the past of these models has left them."""
    for each in specs:
        known, found = each.residence, scheduler.lanes[each.id].resident
        if found is None or not isinstance(known, Known):
            continue
        found.cost = known.load_seconds
        if known.loaded:
            found.came(now)
            found.ours = known.loaded == "ours"
            scheduler.lanes[each.id].endpoint.away = found.away
    return scheduler.on_power(now, saving=False)


def pool(budget: int = 10, **more: Any) -> dict[str, PoolLimits]:
    """The memory of the device; ``budget`` in GB."""
    return {"device": PoolLimits(budget * GB, **more)}


class Machine:
    """Drives a scheduler. ``jitter`` of one half makes every backoff its plain self."""

    def __init__(
        self,
        *specs: EndpointSpec,
        limits: SchedulerLimits | None = None,
        pools: Mapping[str, PoolLimits] = NO_POOLS,
    ) -> None:
        self.now = 0.0
        self.lines: list[str] = []
        self.scheduler = Scheduler(limits or SchedulerLimits(), lambda: 0.5)
        self._calls = 0
        self.scheduler.on_endpoints({spec.id: spec for spec in specs}, self.now, pools)
        with_past(self.scheduler, specs, self.now)

    def replace(self, *specs: EndpointSpec, pools: Mapping[str, PoolLimits] = NO_POOLS) -> None:
        self._note(
            "endpoints " + " ".join(spec.id for spec in specs),
            self.scheduler.on_endpoints({spec.id: spec for spec in specs}, self.now, pools),
        )

    def loaded(self, name: str, seconds: float = 10.0, memory: int | None = None) -> None:
        """The load of this endpoint's model is done."""
        outcome = Loaded(seconds, memory * GB if memory else None)
        self._note(f"loaded {name}", self.scheduler.on_loaded(f"model-{name}", outcome, self.now))

    def load_failed(self, name: str, error: ModelError) -> None:
        what = f"load of {name} failed: {type(error).__name__}"
        self._note(what, self.scheduler.on_loaded(f"model-{name}", error, self.now))

    def unloaded(self, name: str, error: ModelError | None = None) -> None:
        what = f"unload of {name} failed: {type(error).__name__}" if error else f"unloaded {name}"
        self._note(what, self.scheduler.on_unloaded(f"model-{name}", error, self.now))

    def foresee(self, run: str, *names: str) -> None:
        self._note(f"{run} foresees {' '.join(names) or 'nothing'}", self.scheduler.on_foresee(run, names, self.now))

    def measured(self, free: float) -> None:
        """So many GB of the device's memory are free."""
        self._note(f"{free:g} GB are free", self.scheduler.on_measured(round(free * GB), self.now))

    def power(self, *, saving: bool) -> None:
        self._note("on battery" if saving else "on mains", self.scheduler.on_power(self.now, saving=saving))

    def submit(self, *candidates: str, priority: PriorityClass = "interactive", **more: Any) -> int:
        self._calls += 1
        new = Submission(self._calls, candidates, self.now + more.pop("within", 120.0), priority, **more)
        self._note(f"submit {new.call}", self.scheduler.on_submit(new, self.now))
        return new.call

    def finish(self, call: int, error: RunError | None = None, wrote: int = 0) -> None:
        what = f": {type(error).__name__}" if error else ""
        self._note(f"finish {call}{what}", self.scheduler.on_finish(call, self.now, error, wrote))

    def finish_for_good(self, call: int, error: RunError) -> None:
        """It fails, and its caller does not wait for a retry."""
        self.finish(call, error)
        self.cancel(call)

    def cancel(self, call: int) -> None:
        self._note(f"cancel {call}", self.scheduler.on_cancel(call, self.now))

    def token(self, call: int) -> None:
        """A piece came, and the next one is waited for."""
        self.scheduler.on_progress(call, self.now)
        self.scheduler.on_wait(call, self.now)

    def commit(self, call: int) -> None:
        self.token(call)
        self.scheduler.on_commit(call)

    def probed(self, name: str, ok: bool) -> None:
        self._note(f"probe of {name} {'answered' if ok else 'failed'}", self.scheduler.on_probe(name, ok, self.now))

    def seen(self, name: str, *, loaded: bool) -> None:
        """Somebody looked whether its model is in memory."""
        self._note(f"{name} is seen", self.scheduler.on_seen({name: loaded}, self.now, self.now))

    def checked(self, name: str, error: ModelError | None = None, took: float = 0.0) -> None:
        """The deep check ended, after so many seconds."""
        began, self.now = self.now, self.now + took
        what = f"check of {name}: {type(error).__name__ if error else 'a token'}"
        epoch = self.scheduler.lanes[name].endpoint.epoch
        self._note(what, self.scheduler.on_check(name, epoch, error, began, self.now))

    def looked(self, name: str, word: Word) -> None:
        """The look ended."""
        epoch = self.scheduler.lanes[name].endpoint.epoch
        self._note(f"{name} {word}", self.scheduler.on_look(name, epoch, word, self.now))

    def until(self, moment: float) -> None:
        """Let time pass as the loop does: a tick whenever one is due."""
        while self.scheduler.due <= moment:
            self.now = max(self.now, self.scheduler.due)
            self._note("tick", self.scheduler.on_tick(self.now))
        self.now = moment

    def state(self, name: str) -> EndpointState:
        return self.scheduler.lanes[name].endpoint.state

    def trace(self, *, probes: bool = False) -> str:
        """Everything that happened; without probes and looks where they are not the point."""
        return "\n".join(line for line in self.lines if probes or not _is_aside(line))

    def _note(self, event: str, effects: Sequence[Effect]) -> None:
        came = [f"{self.now:g} {event}"] if event != "tick" or effects else []
        if event == "tick" and all(_is_aside(str(effect)) for effect in effects):
            came = [f"{self.now:g} tick: probe"] if effects else []
        self.lines += [*came, *(f"    {effect}" for effect in effects)]


def _is_aside(line: str) -> bool:
    """Whether it tells of a probe or a look."""
    return "probe" in line or "look at" in line
