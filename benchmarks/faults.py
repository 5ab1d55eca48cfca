"""What becomes of requests whose model server fails: for each fault and make of server, how many are answered all the same.

Method: a simulated server of each make, over HTTP, strikes a fifth of the calls with one fault (fewer with those that meet all
who are there). 200 requests, eight at a time, go through the loop with the provider of that make: *alone*, and *with a second*
server that is well, to fall back on. A request is affected if an attempt of it failed or it ended in an error. It is recovered
if its whole answer came all the same; else it must have been told, by an error of the fault's own type (or by one which says
that no server is there to ask, while it rests). An answer that is wrong, or cut short without a word, counts as lost, and none
may be. Time to recovery is from the request to its answer. Every time constant of the scheduler is scaled by ``SCALE``, so that
what takes a minute on a device takes 1.5 s here, and so are the times that the server names. Faults of the answer's content (a
schema that is ignored, wrong counts) are for the engine to check.
"""

from __future__ import annotations

import random
import statistics
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from math import ceil
from typing import Final

import anyio

from benchmarks.measure import Row, at_least, at_most, show
from orchestrator.core.errors import NoModel, RunError, StaleConnection
from orchestrator.core.message import Message
from orchestrator.deploy.backoff import Backoff
from orchestrator.deploy.breaker import BreakerRules
from orchestrator.deploy.endpoint import EndpointSpec
from orchestrator.deploy.health import HealthRules
from orchestrator.deploy.rules import EndpointRules
from orchestrator.plugins.providers import compatible
from orchestrator.ports.provider import ChatCall, Provider, Target
from orchestrator.serve.loop import Ask, Loop
from orchestrator.serve.scheduler_limits import EARLY_BREAKS, RETRY_AFTER, HoldBack, SchedulerLimits
from orchestrator.testing.endpoint import simulated
from orchestrator.testing.fault import FAULTS, FaultKind
from orchestrator.testing.http_shell import serving

SCALE: Final = 1 / 40
REQUESTS: Final = 200
AT_ONCE: Final = 8
SHARE: Final = "20%"
FEWER: Final = {"refuse": "3%", "loading": "3%"}
"""These meet every call that is there or comes meanwhile, not one."""
_ALSO: Final[dict[str, tuple[type[RunError], ...]]] = {"refuse": (StaleConnection,)}
"""A port that closes drops the connections that are kept, too."""
DEADLINE: Final = 15.0
TEXT: Final = "one two three four five six seven eight"
MAKES: Final[dict[str, Callable[[], Provider]]] = {
    "llama-cpp": compatible.open_llama_cpp,
    "vllm": compatible.open_vllm,
    "ollama": compatible.open_ollama,
}
ASKED_WRONGLY: Final = ("bad-request", "unprocessable", "context-too-long")
"""Here the request is to blame: no other attempt would help, and none is made."""


@dataclass
class Case:
    """200 requests that one fault may meet. ``times`` are seconds of those that recovered."""

    fault: FaultKind
    affected: int = 0
    lost: int = 0
    untold: int = 0
    times: list[float] = field(default_factory=list)

    @property
    def recovered(self) -> int:
        """Affected, and answered."""
        return len(self.times)

    @property
    def p99(self) -> float:
        """Milliseconds; none where nothing recovered."""
        return sorted(self.times)[ceil(0.99 * len(self.times)) - 1] * 1e3 if self.times else 0.0

    def __str__(self) -> str:
        return (
            f"{self.recovered}/{self.affected} {self.p99:.0f} ms" if self.times else f"{self.recovered}/{self.affected}"
        )


def _scaled(backoff: Backoff) -> Backoff:
    return Backoff(backoff.first * SCALE, backoff.cap * SCALE, backoff.spread)


def limits(hold_back: HoldBack) -> SchedulerLimits:
    """The scheduler's own, in a world that is 1 / SCALE times as fast."""
    rules, breaker, health = EndpointRules(), BreakerRules(), HealthRules()
    endpoint = EndpointRules(
        breaker=BreakerRules(window=breaker.window * SCALE, open_for=_scaled(breaker.open_for)),
        health=HealthRules(quiet=health.quiet * SCALE, interval=_scaled(health.interval)),
        stall_after=rules.stall_after * SCALE,
        look_for=rules.look_for * SCALE,
        busy_for=_scaled(rules.busy_for),
        refused_for=rules.refused_for * SCALE,
    )
    return SchedulerLimits(backoff=_scaled(RETRY_AFTER), hold_back=hold_back, endpoint=endpoint)


@asynccontextmanager
async def _endpoint(name: str, face: str, provider: Provider, faults: Iterable[str]) -> AsyncIterator[EndpointSpec]:
    async with serving(simulated(["m"], faults=faults, slots=AT_ONCE), face) as shell:
        identity = await provider.identify(shell.url)
        assert identity is not None, f"{provider.kind} does not know the face {face}"
        target = Target(provider.kind, identity.api_base, "m")
        yield EndpointSpec(name, target, provider, AT_ONCE, capabilities=identity.capabilities)


def _written(fault: FaultKind) -> str:
    share = FEWER.get(fault.name, SHARE)
    counts_seconds = fault.value and fault.stage != "stream" and fault.name != "hang-mid"
    return f"{fault.name}:{fault.value * SCALE * 1e3:g}ms@{share}" if counts_seconds else f"{fault.name}@{share}"


async def case(make: str, fault: FaultKind, *, second: bool, stream: bool, hold_back: HoldBack) -> Case:
    """One cell of the table."""
    provider, made = MAKES[make](), Case(fault)
    written = _written(fault)
    loop = Loop(limits(hold_back), jitter=random.Random(7).random)
    async with (
        _endpoint("first", make, provider, [written]) as first,
        _endpoint("second", make, provider, []) as other,
        anyio.create_task_group() as tasks,
    ):
        specs = {spec.id: spec for spec in ((first, other) if second else (first,))}
        await tasks.start(loop.run)
        loop.set_endpoints(specs)
        left = iter(range(REQUESTS))
        async with anyio.create_task_group() as workers:
            for _ in range(AT_ONCE):
                workers.start_soon(_work, loop, tuple(specs), stream, left, made)
        tasks.cancel_scope.cancel()
    await provider.aclose()
    return made


async def _work(loop: Loop, names: tuple[str, ...], stream: bool, left: Iterable[int], made: Case) -> None:
    for number in left:
        began = anyio.current_time()
        call = ChatCall(Target("", "", ""), (Message("user", TEXT),), request_id=f"run_{number}")
        ask = Ask(call, names, began + DEADLINE)
        try:
            text = await (_streamed(loop, ask) if stream else _whole(loop, ask))
        except RunError as error:
            made.affected += 1
            made.untold += not _tells(error, made.fault)
            continue
        if text != TEXT:
            made.lost += 1
        elif any(attempt.outcome != "ok" for attempt in ask.trace.attempts):
            made.affected += 1
            made.times.append(anyio.current_time() - began)


def _tells(error: RunError, fault: FaultKind) -> bool:
    """Whether the error is what this fault must be told as, or says that the server rests from it."""
    if isinstance(error, (NoModel, *_ALSO.get(fault.name, ()))):
        return True
    return fault.error is None or isinstance(error, fault.error)


async def _whole(loop: Loop, ask: Ask) -> str:
    return (await loop.chat(ask)).message.content


async def _streamed(loop: Loop, ask: Ask) -> str:
    async with aclosing(loop.stream(ask)) as deltas:
        return "".join([delta.text async for delta in deltas])


Line = tuple[str, dict[str, tuple[Case, Case]]]


async def table() -> list[Line]:
    """A line for each fault: for each make, alone and with a second server. Faults within a stream have one line without
    and one with pieces held back (``EARLY_BREAKS``)."""
    lines = []
    for fault in FAULTS.values():
        if fault.stage == "answer" or fault.of_schemas:  # the requests here have no schema
            continue
        stream = fault.stage == "stream" or fault.name == "hang-mid"
        lines.append(await _line(fault.name, fault, stream, HoldBack()))
        if stream and fault.error is not None:
            lines.append(await _line(f"{fault.name}, held back", fault, stream, EARLY_BREAKS))
    return lines


async def _line(name: str, fault: FaultKind, stream: bool, hold_back: HoldBack) -> Line:
    cells = {}
    for make in MAKES:
        alone = await case(make, fault, second=False, stream=stream, hold_back=hold_back)
        cells[make] = alone, await case(make, fault, second=True, stream=stream, hold_back=hold_back)
    return name, cells


def written(lines: list[Line]) -> list[str]:
    """The table, in Markdown."""
    heads = [f"{make}, {way}" for make in MAKES for way in ("alone", "with a second")]
    out = [f"| fault | {' | '.join(heads)} |", f"|---|{'---|' * len(heads)}"]
    for name, cells in lines:
        out.append(f"| {name} | {' | '.join(str(case) for pair in cells.values() for case in pair)} |")
    return out


def rows(lines: list[Line]) -> list[Row]:
    """What must hold over all of it."""
    cases = [case for _, cells in lines for pair in cells.values() for case in pair]
    helped = [pair[1] for name, cells in lines for pair in cells.values() if _can_help(name)]
    times = [case.p99 for case in helped if case.times]
    return [
        Row(f"scale of time (a constant of 60 s is {60 * SCALE:g} s)", SCALE, ""),
        Row("requests", REQUESTS * len(cases), ""),
        at_most("answered wrongly, or cut short without a word", sum(case.lost for case in cases), "", 0),
        at_most("ended in an error of another type than the fault's own", sum(case.untold for case in cases), "", 0),
        at_least(
            "with a second server: recovered, of those that another attempt can help",
            100 * sum(case.recovered for case in helped) / max(1, sum(case.affected for case in helped)), "%", 100,
        ),
        Row("... time to recovery, the median of the p99 of each", statistics.median(times), "ms"),
        Row("... the longest p99", max(times), "ms"),
    ]  # fmt: skip


def _can_help(name: str) -> bool:
    """Whether another attempt helps: not where the request is to blame, nor where text was shown already."""
    kind = FAULTS[name.removesuffix(", held back")]
    shown = (kind.stage == "stream" or name == "hang-mid") and not name.endswith("held back")
    return name not in ASKED_WRONGLY and not shown


def main() -> None:
    """Print the table and the rows."""
    lines = anyio.run(table)
    print(*written(lines), "", sep="\n")
    show(rows(lines))


if __name__ == "__main__":
    main()
