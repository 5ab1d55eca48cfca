"""SIMULATED: how much of a mixed office stays on its device, and how much of it is right, beside the cloud alone.

The requests, their labels (written before any rule) and the deployment are those of examples/mixed-office; the rules, the
router's learned stages, the tables, the signs of doubt, the hand-overs and the figures of the report are real. The models are
simulated with stated accuracies, so whatever they answer says what follows from these, not how good a model is. The first arm
has no model at all: nothing in it is simulated. The blind requests were written by somebody who had seen neither the rules nor
the other requests, and nothing was changed for them: they tell how much the first ones flatter.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, Final

import yaml

import orchestrator
from benchmarks.measure import Row, at_least, show
from benchmarks.office_models import Accuracy, Labelled, OfficeModel, read_requests
from orchestrator import Result
from orchestrator.app.report.assumed import Assumed
from orchestrator.app.report.figures import Figures, Tokens, estimate
from orchestrator.app.report.tiers import TIERS, NamedModel, parameters_of, tier_of
from orchestrator.app.routing.figures import Share
from orchestrator.core.served import CLOUD, PERSON, ServedCall, served_run
from orchestrator.manifest.yaml_reader import load
from orchestrator.testing.endpoint import SimulatedEndpoint
from orchestrator.testing.http_shell import HttpShell

EXAMPLE: Final = Path(__file__).parents[1] / "examples" / "mixed-office"
NEARBY: Final = {"router": "qwen2.5-0.5b", "small": "phi-4-mini", "larger": "phi-4"}
IN_CLOUD: Final = "gpt-5-mini"
LEAST_LOCAL: Final = 70.0
DRAWS: Final = 20
"""The same stated accuracies, with other luck."""
FEWER: Final = 5
"""Draws of each row of the table of other accuracies."""
READ, WRITTEN, OF_SIZE = 100.0, 10.0, 3.8e9
"""ASSUMED: tokens a second that a processor without an accelerator reads and writes with a model of so many parameters; the time is
in proportion to the parameters."""
POWER: Final = Assumed(watts=45.0, kwh_price=0.30)
"""ASSUMED: of such a device, beyond idle."""
AREAS: Final = ("service", "schedule", "support", "invoices", "mail")


@dataclass(frozen=True, slots=True)
class Stated:
    """The accuracies of one run of the benchmark. ``boast`` below 1: a model is surer than it may be."""

    small: Accuracy
    larger: Accuracy
    cloud: Accuracy
    routes: float
    judges: float
    boast: float
    draw: int = 0


STATED: Final = Stated(
    Accuracy(0.85, 0.25), Accuracy(0.93, 0.65), Accuracy(0.97, 0.90), routes=0.92, judges=0.9, boast=0.6
)
"""Chosen before the first run, and not changed after it."""
OTHERS: Final[Mapping[str, Stated]] = {
    "a weaker small model (70 %, 10 %)": replace(STATED, small=Accuracy(0.70, 0.10)),
    "a better small model (92 %, 40 %)": replace(STATED, small=Accuracy(0.92, 0.40)),
    "a weaker larger model (85 %, 45 %)": replace(STATED, larger=Accuracy(0.85, 0.45)),
    "a router that is right in 80 %": replace(STATED, routes=0.80),
    "a router that is right in 97 %": replace(STATED, routes=0.97),
    "a larger model that judges rightly in 80 %": replace(STATED, judges=0.80),
    "a larger model that judges rightly in 97 %": replace(STATED, judges=0.97),
    "a better model in the cloud (99 %, 97 %)": replace(STATED, cloud=Accuracy(0.99, 0.97)),
    "a model in the cloud that is always right": replace(STATED, cloud=Accuracy(1.0, 1.0)),
}


@dataclass(frozen=True, slots=True)
class Arm:
    """What came of all requests in one deployment."""

    name: str
    came: tuple[tuple[Labelled, Result], ...]

    @property
    def figures(self) -> Figures:
        """As ``orchestrator report`` has them."""
        return Figures(tuple(served_run(result.as_json()) for _, result in self.came), MODELS)

    def right(self, **only: str) -> Share:
        """Task success, of the requests whose fields are these."""
        held = [
            succeeded(request, result)
            for request, result in self.came
            if all(getattr(request, name) == value for name, value in only.items())
        ]
        return Share(sum(held), len(held))

    @property
    def powered(self) -> Figures:
        """The same with the time that the calls nearby would have taken: simulated models take none."""
        runs = [replace(run, calls=tuple(map(_timed, run.calls))) for run in self.figures.runs]
        return Figures(tuple(runs), MODELS)

    @property
    def in_cloud(self) -> Tokens:
        """What was read and written there."""
        return Tokens.of(call for call in self.figures.calls if call.zone == CLOUD)

    def failures(self) -> Iterator[str]:
        """Every request that was not done, and what came instead."""
        for request, result in self.came:
            if not succeeded(request, result):
                tier = TIERS[tier_of(served_run(result.as_json()), MODELS)]
                said = " ".join(result.text.split())[:60]
                yield f"  {request.id:<8} {request.needs:<7} {request.text[:70]!r} -> {result.agent or 'nobody'}, {tier}: {said!r}"


def _price() -> tuple[float, float]:
    """Of the model in the cloud, as the example writes it: US dollars for a million tokens read and written."""
    manifest = load((EXAMPLE / "office.yaml").read_text(encoding="utf-8"))
    price = next(each for each in manifest["deployment"]["models"] if each["alias"] == IN_CLOUD)["price"]
    return float(price["input"]), float(price["output"])


MODELS: Final = (
    *(NamedModel(alias, frozenset({alias}), "node") for alias in NEARBY.values()),
    NamedModel(IN_CLOUD, frozenset({IN_CLOUD}), CLOUD, _price()),
)


def succeeded(request: Labelled, result: Result) -> bool:
    """Whether the task is done: the answer holds what it must; a person has what is a person's; and what nobody there does
    was answered by an honest word, or by a person."""
    person = result.served_by == PERSON
    if request.needs == "person":
        return person
    if request.needs == "nobody":
        return person or result.status == "unsure"
    said = result.text.casefold()
    return result.status == "completed" and not person and all(each.casefold() in said for each in request.contains)


def _timed(call: ServedCall) -> ServedCall:
    size = parameters_of(call.endpoint, MODELS) or 0.0
    seconds = size / OF_SIZE * (call.prompt_tokens / READ + call.completion_tokens / WRITTEN)
    return replace(call, ms=1e3 * seconds)


def main() -> None:
    """Print all arms, every failure, and how much hangs on what is stated."""
    asyncio.run(_print_all())


async def _print_all() -> None:
    requests = read_requests(EXAMPLE / "requests.jsonl")
    alone = await ask_office("no model at all", requests, None)
    show(_about(alone, ""))
    ours, cloud = (
        await ask_office("the office", requests, STATED),
        await ask_office("the cloud alone", requests, STATED, all_cloud=True),
    )
    for arm in (ours, cloud):
        show(_about(arm, "SIMULATED "))
    show(_compared(ours, cloud))
    show(_drawn([await _both(requests, STATED, draw) for draw in range(DRAWS)], ""))
    blind = read_requests(EXAMPLE / "blind.jsonl")
    alone_blind = await ask_office("no model at all, blind requests", blind, None)
    show(_about(alone_blind, ""))
    show(_drawn([await _both(blind, STATED, draw) for draw in range(DRAWS)], "blind requests, "))
    for arm in (alone, alone_blind, ours, cloud):
        simulated = "" if arm in (alone, alone_blind) else "SIMULATED "
        print(f"\n{simulated}not done by {arm.name}:", *arm.failures(), sep="\n")
    print(f"\n{f'SIMULATED, mean of {FEWER} draws, with':<54} local   done: office, cloud alone   tokens in the cloud")
    for name, other in {"as stated": STATED, **OTHERS}.items():
        print(_line(name, [await _both(requests, other, draw) for draw in range(FEWER)]))


async def _both(requests: Mapping[str, Labelled], stated: Stated, draw: int = 0) -> tuple[Arm, Arm]:
    """The office and the cloud alone, on the same luck."""
    drawn = replace(stated, draw=draw)
    return await ask_office("the office", requests, drawn), await ask_office(
        "the cloud alone", requests, drawn, all_cloud=True
    )


async def ask_office(
    name: str, requests: Mapping[str, Labelled], stated: Stated | None, *, all_cloud: bool = False
) -> Arm:
    """Ask everything of a copy of the example, in the order of the file, with stores of its own."""
    async with AsyncExitStack() as stack:
        kept = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder = kept / "mixed-office"
        shutil.copytree(EXAMPLE, folder)
        manifest = load((folder / "office.yaml").read_text(encoding="utf-8"))
        if stated is not None:
            await _serve(manifest, requests, stated, stack)
        if all_cloud:
            _cloud_alone(manifest)
        (folder / "office.yaml").write_text(yaml.safe_dump(manifest, sort_keys=False), encoding="utf-8")
        environment = {**os.environ, "ORCHESTRATOR_SERVERS": "", "ORCHESTRATOR_HOME": str(kept)}
        opened = orchestrator.open(folder / "office.yaml", environment=environment, state=kept / "state")
        office = await stack.enter_async_context(opened)
        return Arm(name, tuple([(request, await office.run(request.text)) for request in requests.values()]))


async def _serve(
    manifest: dict[str, Any], requests: Mapping[str, Labelled], stated: Stated, stack: AsyncExitStack
) -> None:
    """Put a simulated server behind each model of the manifest."""
    deployment = manifest["deployment"]
    agents = {agent["name"]: agent for agent in deployment["agents"]}
    prompts = {area: agents[area]["instructions"].splitlines()[0] for area in AREAS}
    accuracies = {"router": stated.small, "small": stated.small, "larger": stated.larger, "cloud": stated.cloud}
    for role, alias in {**NEARBY, "cloud": IN_CLOUD}.items():
        answers = {text: request.answer for text, request in requests.items()}
        model = OfficeModel(
            requests=requests,
            stated=accuracies[role],
            prompts=prompts,
            routes=stated.routes,
            judgement=stated.judges,
            boast=stated.boast,
            answers=answers,
            name=f"{role} {stated.draw}",
        )
        shell = HttpShell(SimulatedEndpoint((alias,), model, context=32_768), "llama-cpp")
        await shell.start()
        stack.push_async_callback(shell.stop)
        entry = next(each for each in deployment["models"] if each["alias"] == alias)
        entry.pop("api_key", None)
        entry |= {"provider": "llama-cpp", "model": alias, "endpoint": shell.url}


def _cloud_alone(manifest: dict[str, Any]) -> None:
    """The same tools, knowledge and person, and one model in the cloud that answers everything itself."""
    deployment = manifest["deployment"]
    agents = {agent["name"]: agent for agent in deployment["agents"]}
    deployment["models"] = [each for each in deployment["models"] if each["alias"] == IN_CLOUD]
    deployment["entry"] = "assistant"
    told = "\n".join(agents[area]["instructions"] for area in AREAS)
    expert = {**agents["expert"], "name": "assistant", "role": "specialist", "description": "Answers everything."}
    rules = agents["expert"]["instructions"].splitlines()[-1]
    expert["instructions"] = f"You are the assistant of an office.\n{told}\n{rules}"
    deployment["agents"] = [expert, agents["person"]]


def _about(arm: Arm, simulated: str) -> Iterator[Row]:
    figures, told = arm.figures, f"{simulated}{arm.name}: "
    for tier, words in TIERS.items():
        if figures.by_tier[tier]:
            yield _row(f"{told}answered by {words}", figures.share(tier))
    yield _row(f"{told}handled locally", figures.local)
    yield _row(f"{told}task done", arm.right())
    for wording in ("plain", "paraphrase"):
        yield _row(f"{told}task done, {wording}", arm.right(wording=wording))
    for needs in ("local", "larger", "person", "nobody"):
        yield _row(f"{told}task done, needs {needs}", arm.right(needs=needs))


def _compared(ours: Arm, cloud: Arm) -> Iterator[Row]:
    yield Row("SIMULATED tokens in the cloud, of the cloud alone's", 100 * _of(ours, cloud), "%")
    here, there = estimate(ours.powered, POWER), estimate(cloud.figures, POWER)
    if here.spent and there.spent and here.electricity and here.energy_wh:
        times = "the cloud alone's times ours"
        yield Row(f"SIMULATED money for the cloud, {times}", there.spent / here.spent, "x")
        yield Row(f"... and ASSUMED electricity, {times}", there.spent / (here.spent + here.electricity), "x")
        yield Row(f"SIMULATED energy, with ASSUMED power and speed, {times}", there.baseline_wh / here.energy_wh, "x")
    nearby = Tokens.of(call for call in ours.figures.calls if call.zone != CLOUD)
    read, written = (count / len(cloud.came) for count in (cloud.in_cloud.prompt, cloud.in_cloud.completion))
    yield Row("SIMULATED tokens that the cloud alone reads for a request", read, "")
    yield Row("... and writes", written, "")
    yield Row("SIMULATED calls of models nearby", nearby.calls, f"for {len(ours.came)} requests")


def _drawn(both: Sequence[tuple[Arm, Arm]], which_set: str) -> Iterator[Row]:
    """Over all draws: their means, and in how many of them neither target is missed."""
    local = [100 * (ours.figures.local.value or 0) for ours, _ in both]
    done, other = ([100 * (arms[which].right().value or 0) for arms in both] for which in (0, 1))
    lead = [mine - theirs for mine, theirs in zip(done, other, strict=True)]
    told = f"SIMULATED, {which_set}mean of {len(both)} draws: "
    yield at_least(f"{told}handled locally", fmean(local), "%", LEAST_LOCAL)
    yield Row(f"{told}task done by the office", fmean(done), "%")
    yield Row(f"{told}task done by the cloud alone", fmean(other), "%")
    yield at_least(f"{told}office less cloud alone", fmean(lead), "points", 0.0)
    yield Row("... standard deviation of one draw", stdev(lead), "points")
    kept = sum(share >= LEAST_LOCAL and more >= 0 for share, more in zip(local, lead, strict=True))
    yield Row("... draws in which neither is missed", kept, f"of {len(both)}")


def _row(what: str, share: Share) -> Row:
    low, high = share.interval
    return Row(f"{what} [{100 * low:.1f}, {100 * high:.1f}]", 100 * (share.value or 0), f"% of {share.of}")


def _of(ours: Arm, cloud: Arm) -> float:
    here, there = ours.in_cloud, cloud.in_cloud
    return (here.prompt + here.completion) / max(1, there.prompt + there.completion)


def _line(name: str, both: Sequence[tuple[Arm, Arm]]) -> str:
    local = fmean(ours.figures.local.value or 0 for ours, _ in both)
    done, other = (fmean(arms[which].right().value or 0 for arms in both) for which in (0, 1))
    return f"SIMULATED {name:<44} {local:.1%}   {done:.1%}, {other:.1%}   {fmean(_of(*arms) for arms in both):.1%}"


if __name__ == "__main__":
    main()
