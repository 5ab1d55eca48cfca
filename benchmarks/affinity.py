"""How often models are loaded, and how long calls wait, where a memory holds one of three models.

Method: virtual time (no second passes), the simulated endpoint in process with a load of 10 s, calls of 1 s, one slot. The
same calls three times: as they come (*first come, first served*), with the loaded model's calls first for as long as there
are any (*loaded first*, as llama-swap does), and as our scheduler has it, which gives way when another model's oldest call
has waited as long as its class may, or after a burst. `mixed` is twelve calls for three models, one a second in turn.
`stream` is a call each second for one model for two minutes, with one call for each of the others early on: who always
serves the loaded model first lets these two wait until the stream ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

import anyio
from trio.testing import MockClock

from benchmarks.measure import Row, at_most, show
from orchestrator.core.choices import PriorityClass
from orchestrator.core.message import Message
from orchestrator.deploy.endpoint import EndpointSpec
from orchestrator.deploy.residence import PoolLimits, Residence
from orchestrator.ports.lifecycle import LoadOptions
from orchestrator.ports.provider import ChatCall, Target
from orchestrator.serve.loop import Ask, Loop
from orchestrator.serve.scheduler_limits import SchedulerLimits
from orchestrator.testing.endpoint import simulated
from orchestrator.testing.pace import Pace
from orchestrator.testing.simulated_loader import GB, SimulatedLoader

Way = Literal["first come, first served", "loaded first", "ours"]
WAYS: Final[tuple[Way, ...]] = ("first come, first served", "loaded first", "ours")
MODELS: Final = ("a", "b", "c")
LOAD: Final = 10.0
CALL: Final = 1.0
PRIORITY: Final[PriorityClass] = "default"
LONG: Final = 10_000.0


@dataclass(frozen=True, slots=True)
class Wish:
    """A call for a model, at a second."""

    at: float
    model: str


MIXED: Final = tuple(Wish(float(n), MODELS[n % 3]) for n in range(12))
STREAM: Final = tuple(
    sorted([*(Wish(float(n), "a") for n in range(120)), Wish(3.5, "b"), Wish(4.5, "c")], key=lambda one: one.at)
)


@dataclass(frozen=True, slots=True)
class Served:
    """When a call came, began and ended."""

    wish: Wish
    began: float
    ended: float

    @property
    def waited(self) -> float:
        """Seconds until it began."""
        return self.began - self.wish.at


@dataclass(frozen=True, slots=True)
class Outcome:
    """All calls of one way, and when each model's loads began."""

    served: tuple[Served, ...]
    loads: tuple[tuple[float, str], ...]

    @property
    def makespan(self) -> float:
        """When the last call ended."""
        return max(one.ended for one in self.served)

    @property
    def worst(self) -> float:
        """The longest wait."""
        return max(one.waited for one in self.served)


def play(way: Way, wishes: Sequence[Wish], *, started: bool = False) -> Outcome:
    """Serve these calls in one of the ways, on virtual time. ``started``: each model has a server of its own that we start and end,
    where the scheduler knows what such a one is; to load it is to start that."""
    clock = MockClock(autojump_threshold=0)
    return anyio.run(_play, way, wishes, started, backend="trio", backend_options={"clock": clock})


async def _play(way: Way, wishes: Sequence[Wish], started: bool) -> Outcome:
    provider = SimulatedLoader(
        simulated(MODELS, pace=Pace(ttft=CALL), slots=1), limit=GB, sizes=dict.fromkeys(MODELS, GB), delay=LOAD
    )
    began = anyio.current_time()
    await (_in_order(provider, wishes) if way == WAYS[0] else _scheduled(provider, wishes, _limits(way), started))
    loads = tuple((moved.at - began, moved.model) for moved in provider.moves if moved.what == "load")
    records = provider.endpoints[provider.target().api_base].records
    begun = {int(record.asked.text): record.at - began for record in records}
    served = tuple(Served(wish, begun[n], begun[n] + CALL) for n, wish in enumerate(wishes))
    return Outcome(served, loads)


def _call(number: int, target: Target) -> ChatCall:
    return ChatCall(target, (Message("user", str(number)),), timeout=LONG)


async def _in_order(provider: SimulatedLoader, wishes: Sequence[Wish]) -> None:
    """What a server does that has one model in memory and one line: each call has its model loaded, if it is not."""
    began, there = anyio.current_time(), ""
    for number, wish in enumerate(wishes):
        await anyio.sleep_until(began + wish.at)
        if there != wish.model:
            if there:
                await provider.unload(provider.target(there), LONG)
            await provider.load(provider.target(wish.model), LoadOptions(), LONG)
            there = wish.model
        await provider.chat(_call(number, provider.target(wish.model)))


def _limits(way: Way) -> SchedulerLimits:
    limits = SchedulerLimits()
    if way == "ours":
        return limits
    patient = {name: replace(each, starve_after=LONG, timeout=LONG) for name, each in limits.classes.items()}
    return replace(limits, classes=patient, affinity=replace(limits.affinity, burst=10**6))


async def _scheduled(provider: SimulatedLoader, wishes: Sequence[Wish], limits: SchedulerLimits, started: bool) -> None:
    loop = Loop(limits, jitter=lambda: 0.5)
    loop.set_endpoints({name: _spec(provider, name, started) for name in MODELS}, {"device": PoolLimits(GB)})
    began = anyio.current_time()

    async def ask(number: int, wish: Wish) -> None:
        await anyio.sleep_until(began + wish.at)
        await loop.chat(Ask(_call(number, provider.target()), (wish.model,), began + LONG, PRIORITY))

    async with anyio.create_task_group() as tasks:
        await tasks.start(loop.run)
        async with anyio.create_task_group() as asking:
            for number, wish in enumerate(wishes):
                asking.start_soon(ask, number, wish)
        tasks.cancel_scope.cancel()


def _spec(provider: SimulatedLoader, model: str, started: bool) -> EndpointSpec:
    residence = Residence(model, "device", GB, provider, process=started, whoever=started)
    return EndpointSpec(model, provider.target(model), provider, 1, residence=residence, started=started)


def late_switches(outcome: Outcome) -> list[str]:
    """Switches that were decided later than may be: when the oldest call for the model had waited its bound, and what was
    running or being loaded then, with the calls of its stint, had ended."""
    bound = SchedulerLimits().classes[PRIORITY].starve_after
    late = []
    for at, model in outcome.loads:
        oldest = min(one.wish.at for one in outcome.served if one.wish.model == model and one.began >= at)
        due = oldest + bound
        allowed = max(due, _work_running_ends(outcome, due))
        if at > allowed + 1e-6:
            late.append(f"{model} at {at:g} s, which was wanted since {oldest:g} s: allowed until {allowed:g} s")
    return late


def _work_running_ends(outcome: Outcome, moment: float) -> float:
    """When the stint ends of the model that is loaded, or is being loaded, at this moment."""
    before = [at for at, _ in outcome.loads if at <= moment]
    if not before:
        return moment
    there = before[-1] + LOAD
    model = next(name for at, name in outcome.loads if at == before[-1])
    burst = SchedulerLimits().affinity.burst
    stint = [one for one in outcome.served if one.wish.model == model and one.wish.at <= there <= one.began][:burst]
    running = [one for one in outcome.served if one.began <= moment < one.ended]
    return max([moment, *(one.ended for one in [*stint, *running])])


def rows() -> list[Row]:
    """All rows."""
    found: list[Row] = []
    for name, wishes in (("mixed", MIXED), ("stream", STREAM)):
        plain = play(WAYS[0], wishes)
        for way in WAYS:
            outcome = plain if way == WAYS[0] else play(way, wishes)
            ours, loads = way == "ours", float(len(outcome.loads))
            half = len(plain.loads) / 2
            what = f"{name}, {way}: loads"
            found.append(at_most(what, loads, "", half) if ours and name == "mixed" else Row(what, loads, ""))
            found.append(Row(f"{name}, {way}: all done after", outcome.makespan, "s"))
            found.append(Row(f"{name}, {way}: longest wait", outcome.worst, "s"))
            if ours:
                found.append(at_most(f"{name}, {way}: switches after their time", len(late_switches(outcome)), "", 0))
    return found


def main() -> None:
    """Print the rows."""
    show(rows())


if __name__ == "__main__":
    main()
