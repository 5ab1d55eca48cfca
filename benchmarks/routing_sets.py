"""The labelled requests that routing is measured on, as manifests and requests: the small part that lies here, or full sets."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.ports.strategy import Candidate, Skill

HERE = Path(__file__).parent / "data" / "routing"
AGENTS, SKILLS, EXAMPLES = 8, 4, 3
FEW = 10
FEW_SHOT_SETS = ("clinc150", "banking77", "hwu64")

Labelled = list[tuple[str, str]]  # request, candidate
Draw = dict[str, dict[str, list[str]]]  # agent -> skill -> examples


@dataclass(frozen=True)
class Task:
    """Candidates, requests for them, and requests for nobody: ``far`` from all, and ``near`` (of skills that nobody has)."""

    name: str
    candidates: tuple[Candidate, ...]
    requests: Labelled
    far: list[str]
    near: list[str]


def manifests(folder: Path | None, seeds: Iterable[int]) -> dict[str, list[Task]]:
    """Realistic manifests drawn from CLINC150, by where they come from: those given, and fresh ones from the full set."""
    if folder is None:
        sample = json.loads((HERE / "clinc150_sample.json").read_text(encoding="utf-8"))
        draws = [{entry["agent"]: entry["skills"] for entry in draw} for draw in sample["draws"]]
        tasks = [_task(f"draw {n}", draw, sample["requests"], sample["outside"]) for n, draw in enumerate(draws)]
        return {"draws 0-9 of the part that lies here": tasks}
    rows = _rows(folder / "clinc150.jsonl")
    requests: dict[str, list[str]] = {}
    for row in rows:
        if row["split"] == "test":
            requests.setdefault(row["label"], []).append(row["text"])
    outside = [row["text"] for row in rows if row["split"] == "oos_test"]
    given = sorted((folder / "manifests_clinc").glob("draw_*.json"))
    fresh = {seed: draw_from(rows, seed) for seed in seeds}
    return {
        f"{len(given)} given draws": [_task(path.stem, _read(path), requests, outside) for path in given],
        f"fresh draws, seeds {min(fresh)}-{max(fresh)}": [
            _task(f"seed {seed}", draw, requests, outside) for seed, draw in fresh.items()
        ],
    }


def draw_from(rows: Sequence[dict[str, Any]], seed: int) -> Draw:
    """A random manifest of training rows."""
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


def few_shot(folder: Path | None, name: str, seed: int) -> Task:
    """A public set with ``FEW`` examples an intent, each intent a candidate; all its test requests."""
    chance = random.Random(seed)
    if folder is None:
        sample = json.loads((HERE / "few_shot_sample.json").read_text(encoding="utf-8"))[name]
        examples = {label: part["examples"] for label, part in sample.items()}
        requests = [(text, label) for label, part in sample.items() for text in part["requests"]]
    else:
        train, requests = _split(_rows(folder / f"{name}.jsonl"))
        examples = {label: chance.sample(texts, min(FEW, len(texts))) for label, texts in sorted(train.items())}
    candidates = tuple(Candidate(label, examples=tuple(texts)) for label, texts in sorted(examples.items()))
    return Task(name, candidates, requests, [], [])


def reworded(folder: Path | None, language: str) -> Task:
    """The stress set: requests that are worded unlike the examples."""
    entries = json.loads(((folder or HERE) / f"edge_{language}_manifest.json").read_text(encoding="utf-8"))
    rows = _rows((folder or HERE) / f"edge_{language}_dev.jsonl")
    candidates = tuple(
        Candidate(
            entry["agent"],
            skills=tuple(
                Skill(each["skill"], each["description"], tuple(each["examples"])) for each in entry["skills"]
            ),
        )
        for entry in entries
    )
    requests = [(row["text"], row["agent"]) for row in rows if row["agent"] != "oos"]
    return Task(f"edge-{language}", candidates, requests, [row["text"] for row in rows if row["agent"] == "oos"], [])


def _split(rows: Sequence[dict[str, Any]]) -> tuple[dict[str, list[str]], Labelled]:
    train: dict[str, list[str]] = {}
    for row in rows:
        if row["split"] == "train":
            train.setdefault(row["label"], []).append(row["text"])
    return train, [(row["text"], row["label"]) for row in rows if row["split"] == "test" and row["label"] in train]


def _task(name: str, draw: Draw, requests: dict[str, list[str]], outside: list[str]) -> Task:
    candidates = tuple(
        Candidate(agent, skills=tuple(Skill(skill, examples=tuple(texts)) for skill, texts in skills.items()))
        for agent, skills in draw.items()
    )
    owners = {skill: agent for agent, skills in draw.items() for skill in skills}
    labelled = [(text, agent) for skill, agent in owners.items() for text in requests[skill]]
    near = [text for skill, texts in requests.items() if skill not in owners for text in texts]
    return Task(name, candidates, labelled, outside, near)


def _read(path: Path) -> Draw:
    entries = json.loads(path.read_text(encoding="utf-8"))["agents"]
    return {
        entry["agent"]: {skill["skill"]: skill["examples"][:EXAMPLES] for skill in entry["skills"]} for entry in entries
    }


def _rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
