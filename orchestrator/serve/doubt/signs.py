"""The signs of a wrong answer, the cheapest first. Each looks at a case and says what it saw; none decides."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import anyio

from orchestrator.core.errors import RunError
from orchestrator.serve.doubt.abstention import abstains
from orchestrator.serve.doubt.case import Case, Sight, Signs
from orchestrator.serve.doubt.check import check
from orchestrator.serve.doubt.tokens import canonical, sureness
from orchestrator.serve.steps.near import seen_by

THRESHOLDS: Final[Mapping[str, float]] = {
    "abstains": 0.5,
    "low_confidence": 0.3,
    "agreement": 0.6,
    "self_check": 0.5,
    "judge": 0.5,
}
"""Where neither the manifest nor a calibration says another."""
VERDICTS: Final = frozenset(("self_check", "judge"))
"""Those that ask a model for yes or no."""
TOP: Final = 2
"""Alternatives that are asked for with each token: the one that it was ahead of."""
SAMPLES: Final = 3
LONGEST: Final = 200
TEMPERATURE: Final = 0.7
QUANTILE: Final = 0.1
_EMPTY: Final = "its answer is empty"


async def _abstains(case: Case, signs: Signs) -> Sight:
    if not abstains(case.outcome.text, case.outcome.value, signs):
        return Sight("abstains", 1.0)
    empty = not case.outcome.text.strip()
    return Sight("abstains", 0.0, _EMPTY if empty else "the model says that it does not know")


async def _low_confidence(case: Case, signs: Signs) -> Sight:
    measure, quantile = signs.get("measure", "margin"), signs.get("quantile", QUANTILE)
    scale = f"low_confidence:{measure}:{quantile:g}"
    if not case.outcome.text.strip():
        return Sight(scale, 0.0, _EMPTY)  # whatever its server told: there is no word to be sure of
    score = sureness(case.reply.logprobs, measure, quantile)
    if score is None:
        return Sight(scale, blind=f"{case.endpoint} tells no log-probabilities")
    return Sight(scale, score, f"the {measure} of its least sure words is {score:.2f}")


async def _agreement(case: Case, signs: Signs) -> Sight:
    """The share of the answers that say what the first one says, itself among them."""
    samples, longest = int(signs.get("samples", SAMPLES)), signs.get("longest", LONGEST)
    temperature = signs.get("temperature", TEMPERATURE)
    scale = f"agreement:{samples}:{temperature:g}"
    text = case.outcome.text
    if len(text) > longest:
        return Sight(scale, blind=f"the answer has more than {longest} characters")
    first, found, faults = canonical(text), [], []

    async def sample(number: int) -> None:
        try:
            reply, _ = await case.ask(case.again(temperature, (case.call.seed or 0) + number), (case.endpoint,))
        except RunError as error:
            faults.append(f"{error.message} ({error.code})")
        else:
            found.append(canonical(reply.message.content) == first)

    async with anyio.create_task_group() as tasks:
        for number in range(1, samples):
            tasks.start_soon(sample, number)
    if faults:
        return Sight(scale, blind=faults[0])
    same = 1 + sum(found)
    return Sight(scale, same / samples, f"{same} of {samples} answers say the same")


async def _self_check(case: Case, signs: Signs) -> Sight:
    return await check(case, (case.endpoint,), signs.get("prompt"), "self_check")


async def _judge(case: Case, signs: Signs) -> Sight:
    binding = case.run.deployment.bindings.get(signs["model"])
    endpoints = seen_by(case.run, case.agent, binding.endpoints) if binding is not None else ()
    if not endpoints:
        why = (
            binding.missing if binding is not None and binding.missing else f"{signs['model']} may not see this request"
        )
        return Sight("judge", blind=why)
    return await check(case, endpoints, signs.get("prompt"), "judge")


SIGNS: Final[Mapping[str, Callable[[Case, Signs], Awaitable[Sight]]]] = {
    "abstains": _abstains,
    "low_confidence": _low_confidence,
    "agreement": _agreement,
    "self_check": _self_check,
    "judge": _judge,
}
"""The cheapest first."""
