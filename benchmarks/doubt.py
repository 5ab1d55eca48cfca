"""SIMULATED: what handing over costs and gains on models of stated accuracy, before and after a calibration.

No real model is measured here. The small one is said to be right in 70 of 100 answers, and to be surer than it may be (its
probability to the power of 0.6); the large one in 97. Half of the questions are labelled and fitted on, the figures are of the
other half. What is real is all else: the engine, the signs, the fit, the threshold.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.measure import Row, at_least, at_most, show
from orchestrator.app.compile import compile_loaded
from orchestrator.app.labelling import answers_of
from orchestrator.app.settings import Settings
from orchestrator.app.wiring import InProcess, open_in_process
from orchestrator.core.blueprint import Blueprint
from orchestrator.core.fitted import Fitted, Scale, fit
from orchestrator.core.request import Request, Result
from orchestrator.manifest.load import load_texts
from orchestrator.testing.endpoint import SimulatedEndpoint
from orchestrator.testing.http_shell import HttpShell
from orchestrator.testing.stated import StatedModel

SMALL, LARGE, JUDGE = 0.70, 0.97, 0.90
QUESTIONS: Final = 1_000
TARGET: Final = 0.95
SHOP: Final = """\
metadata: {name: shop}
deployment:
  type: single-device
  models:
    - {alias: small, provider: llama-cpp, model: small, endpoint: "SMALL"}
    - {alias: large, provider: llama-cpp, model: large, endpoint: "LARGE"}
  entry: clerk
  agents:
    - {name: clerk, description: answers, model: small, escalate_to: lead, escalate_when: [SIGN]}
    - {name: lead, description: knows better, model: large, role: escalation}
"""
SIGNS: Final[Mapping[str, str]] = {
    "nothing": "error",
    "low_confidence": "{low_confidence: {measure: probability}}",
    "agreement": "{agreement: {samples: 3}}",
    "judge": "{judge: {model: large}}",
}


@dataclass(frozen=True, slots=True)
class Came:
    """What came of a number of questions: shares of all, except ``right_of_kept``; ``calls`` of models to a question."""

    kept: float
    right_of_kept: float
    right: float
    calls: float


def main() -> None:
    """Print all arms."""
    answers = {f"question {number}": f"answer {number}" for number in range(2 * QUESTIONS)}
    for sign, written in SIGNS.items():
        rows = asyncio.run(_arm(sign, written, answers))
        show(rows)


async def _arm(sign: str, written: str, answers: Mapping[str, str]) -> list[Row]:
    about: dict[str, Any] = {"answers": answers, "boast": 0.6, "judgement": JUDGE}
    models = {
        "small": StatedModel(accuracy=SMALL, name="s", **about),
        "large": StatedModel(accuracy=LARGE, name="l", **about),
    }
    text = SHOP.replace("SIGN", written)
    async with AsyncExitStack() as stack:
        for name, model in models.items():
            shell = HttpShell(SimulatedEndpoint((name,), model), "llama-cpp")
            await shell.start()
            stack.push_async_callback(shell.stop)
            text = text.replace(name.upper(), shell.url)
        blueprint = compile_loaded(load_texts({"shop.yaml": text}, Path.cwd(), {})).blueprint
        return await _measured(sign, blueprint, answers)


async def _measured(sign: str, blueprint: Blueprint, answers: Mapping[str, str]) -> list[Row]:
    known, new = list(answers)[:QUESTIONS], list(answers)[QUESTIONS:]
    with tempfile.TemporaryDirectory() as state:
        settings = Settings.read({"ORCHESTRATOR_SERVERS": ""})
        async with open_in_process(blueprint, state=Path(state), settings=settings) as shop:
            before = _came(await _ask(shop, new), answers)
            if sign == "nothing":
                return _rows(sign, before)
            shop.engine.fitted = fitted = _fitted(await _ask(shop, known), answers)
            after = _came(await _ask(shop, new), answers)
    (curve,) = fitted.values()
    return [
        *_rows(f"{sign}, not fitted", before),
        *_rows(f"{sign}, fitted for {TARGET:.0%}", after),
        at_most(f"SIMULATED {sign}: calibration error of the fit", curve.ece, "", 0.05),
        at_least(
            f"SIMULATED {sign}: right of what is kept, against the target", after.right_of_kept / TARGET, "x", 0.97
        ),
    ]


async def _ask(shop: InProcess, questions: list[str]) -> list[tuple[str, Result]]:
    return [(question, await shop.run(Request(question))) for question in questions]


def _fitted(asked: list[tuple[str, Result]], answers: Mapping[str, str]) -> dict[Scale, Fitted]:
    """As ``orchestrator calibrate`` fits: the labels of the small model's answers, whether they were kept or not."""
    labelled: dict[Scale, list[tuple[float, bool]]] = {}
    for question, result in asked:
        said = answers_of(result)
        for step in result.steps:
            if step.kind == "doubt" and "score" in step.detail:
                told = step.detail
                scale = Scale("clerk", told["model"], told["scale"], told["version"])
                labelled.setdefault(scale, []).append((told["score"], said["clerk"] == answers[question]))
    return {scale: found for scale, pairs in labelled.items() if (found := fit(pairs, TARGET)) is not None}


def _came(asked: list[tuple[str, Result]], answers: Mapping[str, str]) -> Came:
    kept = [(question, result) for question, result in asked if result.agent == "clerk"]
    right = sum(result.text == answers[question] for question, result in asked)
    kept_right = sum(result.text == answers[question] for question, result in kept)
    calls = sum(result.usage.model_calls for _, result in asked)
    return Came(len(kept) / len(asked), kept_right / len(kept) if kept else 1.0, right / len(asked), calls / len(asked))


def _rows(arm: str, came: Came) -> list[Row]:
    return [
        Row(f"SIMULATED {arm}: kept by the small model", 100 * came.kept, "%"),
        Row(f"SIMULATED {arm}: right of what is kept", 100 * came.right_of_kept, "%"),
        Row(f"SIMULATED {arm}: right of all, in the end", 100 * came.right, "%"),
        Row(f"SIMULATED {arm}: model calls to a question", came.calls, ""),
    ]


if __name__ == "__main__":
    main()
