"""How often the lexical strategy is right, how often it dares to decide, and how long a decision takes.

Every manifest is a draw of 8 assistants with 4 skills of 3 examples each; requests are CLINC150's test requests for
those skills, which the strategy never saw, and requests that belong nowhere. Accuracy is over all requests with an
assistant; *kept* is the share of a traffic of 90 % such and 10 % others that was decided and not abstained from,
*right of kept* the share of it that went to the right assistant.

    python benchmarks/routing_lexical.py                  # the part of CLINC150 in benchmarks/data/routing
    python benchmarks/routing_lexical.py --data DIR       # clinc150.jsonl and manifests_clinc/ in DIR, and fresh draws
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.plugins.strategies.calibration import STRICT, USUAL
from orchestrator.plugins.strategies.lexical import Lexical, fit_lexical
from orchestrator.ports.strategy import Candidate, RouteQuestion, Skill, StrategyOptions

SAMPLE = Path(__file__).parent / "data" / "routing" / "clinc150_sample.json"
OUTSIDE_SHARE = 0.1
AGENTS, SKILLS, EXAMPLES = 8, 4, 3

Draw = dict[str, dict[str, list[str]]]  # assistant -> skill -> examples


@dataclass(frozen=True)
class Figures:
    """What one draw gave; shares are 0..1, times in seconds."""

    accuracy: float
    top_three: float
    left_out_accuracy: float
    kept: dict[float, float]
    right_of_kept: dict[float, float]
    fit: float
    decisions: list[float]


def main(words: Sequence[str] = ()) -> None:
    """Print the table. ``words`` are options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="a folder with clinc150.jsonl and manifests_clinc/")
    parser.add_argument("--seeds", default="5000-5009", help="seeds of the fresh draws, with --data")
    arguments = parser.parse_args(words)
    if arguments.data is None:
        sample = json.loads(SAMPLE.read_text(encoding="utf-8"))
        draws = [{entry["agent"]: entry["skills"] for entry in draw} for draw in sample["draws"]]
        report("draws 0-9 of the sample", draws, sample["requests"], sample["outside"])
    else:
        report_full(arguments.data, arguments.seeds)
    report_speed()


def report_full(folder: Path, seeds: str) -> None:
    """The given draws, and fresh ones, on all test requests."""
    rows = [json.loads(line) for line in (folder / "clinc150.jsonl").read_text(encoding="utf-8").splitlines()]
    requests: dict[str, list[str]] = {}
    for row in rows:
        if row["split"] == "test":
            requests.setdefault(row["label"], []).append(row["text"])
    outside = [row["text"] for row in rows if row["split"] == "oos_test"]
    given = [_read_draw(path) for path in sorted((folder / "manifests_clinc").glob("draw_*.json"))]
    report(f"{len(given)} given draws", given, requests, outside)
    first, _, last = seeds.partition("-")
    fresh = [draw_from(rows, seed) for seed in range(int(first), int(last or first) + 1)]
    report(f"fresh draws, seeds {seeds}", fresh, requests, outside)


def draw_from(rows: Sequence[dict[str, Any]], seed: int) -> Draw:
    """A random manifest."""
    chance = random.Random(seed)
    skills: dict[str, dict[str, list[str]]] = {}
    for row in rows:
        if row["split"] == "train":
            skills.setdefault(row["agent"], {}).setdefault(row["label"], []).append(row["text"])
    return {
        agent: {
            skill: chance.sample(skills[agent][skill], EXAMPLES)
            for skill in sorted(chance.sample(sorted(skills[agent]), SKILLS))
        }
        for agent in sorted(chance.sample(sorted(skills), AGENTS))
    }


def report(title: str, draws: Sequence[Draw], requests: dict[str, list[str]], outside: list[str]) -> None:
    """One line a draw, then the means."""
    print(f"\n{title}: {AGENTS} agents x {SKILLS} skills x {EXAMPLES} examples and the skill's name")
    print(
        " draw  accuracy  top-3  left-out | kept  right of kept (95 %) | kept  right of kept (98 %) |  fit ms  us p50"
    )
    figures = [measure(draw, requests, outside) for draw in draws]
    for number, one in enumerate(figures):
        print(_line(f"{number:5d}", [one]))
    print(_line(" mean", figures))
    for wanted in (USUAL, STRICT):
        held = sum(one.right_of_kept[wanted] >= wanted for one in figures)
        print(f"wanted {wanted:.0%}: reached in {held} of {len(figures)} draws")


def measure(draw: Draw, requests: dict[str, list[str]], outside: list[str]) -> Figures:
    """Fit on one draw, decide its requests and those that belong nowhere."""
    began = time.perf_counter()
    strategy = fit_lexical(_candidates(draw), StrategyOptions())
    fit = time.perf_counter() - began
    assert isinstance(strategy, Lexical)
    labelled = [(text, agent) for agent, skills in draw.items() for skill in skills for text in requests[skill]]
    kept, right_of_kept = {}, {}
    for wanted in (USUAL, STRICT):
        chosen = [(strategy.judge_for(RouteQuestion(text), wanted).choice, agent) for text, agent in labelled]
        stray = _share(strategy.judge_for(RouteQuestion(text), wanted).choice is not None for text in outside)
        inside = (1 - OUTSIDE_SHARE) * _share(choice is not None for choice, _ in chosen)
        right = (1 - OUTSIDE_SHARE) * _share(choice == agent for choice, agent in chosen)
        kept[wanted] = inside + OUTSIDE_SHARE * stray
        right_of_kept[wanted] = right / kept[wanted]
    ranked = [(strategy.ranking(text)[:3], agent) for text, agent in labelled]
    return Figures(
        accuracy=_share(names[0] == agent for names, agent in ranked),
        top_three=_share(agent in names for names, agent in ranked),
        left_out_accuracy=strategy.calibration.accuracy or 0.0,
        kept=kept,
        right_of_kept=right_of_kept,
        fit=fit,
        decisions=list(_times(strategy, [text for text, _ in labelled])),
    )


def report_speed() -> None:
    """The time of a decision at 10 agents x 10 examples, on texts that come for the first time."""
    sample = json.loads(SAMPLE.read_text(encoding="utf-8"))
    labels = sorted(sample["requests"])[:10]
    candidates = tuple(Candidate(label, examples=tuple(sample["requests"][label][:10])) for label in labels)
    strategy = fit_lexical(candidates, StrategyOptions())
    assert isinstance(strategy, Lexical)
    times = sorted(
        _times(strategy, sample["outside"] + [t for label in labels for t in sample["requests"][label][10:]])
    )
    p99 = times[int(len(times) * 0.99)]
    print(
        f"\n10 agents x 10 examples: {statistics.median(times) * 1e6:.0f} us p50, {p99 * 1e6:.0f} us p99 per decision"
    )


def _candidates(draw: Draw) -> tuple[Candidate, ...]:
    return tuple(
        Candidate(agent, skills=tuple(Skill(skill, examples=tuple(examples)) for skill, examples in skills.items()))
        for agent, skills in draw.items()
    )


def _times(strategy: Lexical, texts: Sequence[str]) -> Iterator[float]:
    for text in texts:
        question = RouteQuestion(text)
        began = time.perf_counter()
        strategy.decide_now(question)
        yield time.perf_counter() - began


def _read_draw(path: Path) -> Draw:
    entries = json.loads(path.read_text(encoding="utf-8"))["agents"]
    return {
        entry["agent"]: {skill["skill"]: skill["examples"][:EXAMPLES] for skill in entry["skills"]} for entry in entries
    }


def _line(title: str, figures: Sequence[Figures]) -> str:
    mean = statistics.fmean
    cells = [
        f"{mean(one.accuracy for one in figures):9.1%}",
        f"{mean(one.top_three for one in figures):6.1%}",
        f"{mean(one.left_out_accuracy for one in figures):8.1%} |",
    ]
    for wanted in (USUAL, STRICT):
        kept = mean(one.kept[wanted] for one in figures)
        right = mean(one.right_of_kept[wanted] for one in figures)
        cells.append(f"{kept:5.1%} {right:20.1%} |")
    times = sorted(taken for one in figures for taken in one.decisions)
    cells.append(f"{mean(one.fit for one in figures) * 1e3:7.0f} {times[len(times) // 2] * 1e6:7.0f}")
    return f"{title} " + " ".join(cells)


def _share(holds: Iterator[bool]) -> float:
    found = list(holds)
    return sum(found) / len(found)


if __name__ == "__main__":
    main(sys.argv[1:])
