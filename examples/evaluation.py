"""Score a deployment on labelled requests: right, honestly unsure, or confidently wrong; every failure is printed.

``python examples/evaluation.py examples/retail-kiosk/kiosk.yaml`` runs an example in process, with no model server.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import anyio

import orchestrator
from orchestrator import Result

Verdict = Literal["right", "unsure", "wrong"]


@dataclass(frozen=True, slots=True)
class Case:
    """A labelled request: who should answer (nobody, for what is out of scope) and what the answer must hold."""

    id: str
    text: str
    agents: tuple[str, ...]
    contains: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Scored:
    """A case with what came of it."""

    case: Case
    result: Result
    verdict: Verdict
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Score:
    """All cases of one file."""

    name: str
    scored: tuple[Scored, ...]

    def share(self, *verdicts: Verdict) -> float:
        """The share of cases with one of these verdicts."""
        return sum(one.verdict in verdicts for one in self.scored) / len(self.scored)

    def __str__(self) -> str:
        lines = [
            (
                f"{self.name}: {len(self.scored)} requests, right {self.share('right'):.1%}, "
                f"right or honestly unsure {self.share('right', 'unsure'):.1%}, confidently wrong {self.share('wrong'):.1%}"
            )
        ]
        lines += [
            f"  {one.verdict:6} {one.case.id}: {one.case.text!r} -> {one.result.agent or 'nobody'}: {one.fault}"
            for one in self.scored
            if one.verdict != "right"
        ]
        return "\n".join(lines)


def read_cases(file: Path) -> list[Case]:
    """The labelled requests of a JSONL file."""
    return [_case(json.loads(line)) for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]


def _case(row: dict[str, Any]) -> Case:
    wanted = row["agent"]
    agents = tuple(wanted) if isinstance(wanted, list) else (wanted,) if wanted else ()
    return Case(row["id"], row["text"], agents, tuple(row["expect"]["contains"]))


def judge(case: Case, result: Result) -> Scored:
    """Right: the right agent says what it must, or an out-of-scope request gets an honest non-answer.

    Unsure: it asked back, offered choices or passed the request on to a person instead. Wrong: anything else.
    """
    unsure = result.status == "unsure" or result.served_by == "person"
    if not case.agents:
        return (
            Scored(case, result, "right")
            if unsure
            else Scored(case, result, "wrong", f"out of scope, said {result.text!r}")
        )
    missing = [text for text in case.contains if text.casefold() not in result.text.casefold()]
    if (
        result.agent in case.agents
        and not missing
        and result.status != "failed"
        and (case.contains or not result.error)
    ):
        return Scored(case, result, "right")
    fault = f"lacks {missing}" if result.agent in case.agents else f"not of {' or '.join(case.agents)}"
    return Scored(case, result, "unsure" if unsure else "wrong", f"{fault}, said {result.text!r}")


async def evaluate(name: str, cases: Iterable[Case], ask: Callable[[str], Awaitable[Result]]) -> Score:
    """Ask every case in turn."""
    return Score(name, tuple([judge(case, await ask(case.text)) for case in cases]))


async def evaluate_example(manifest: Path) -> list[Score]:
    """Both files of labelled requests beside a manifest, in process."""
    folder = manifest.parent
    async with orchestrator.open(manifest) as deployment:
        return [
            await evaluate(f"{folder.name} {file}", read_cases(folder / f"{file}.jsonl"), deployment.run)
            for file in ("requests", "paraphrases")
        ]


if __name__ == "__main__":
    for example in sys.argv[1:]:
        for score in anyio.run(evaluate_example, Path(example)):
            print(score)
