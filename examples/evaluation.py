"""Score a deployment on labelled requests; every one that is not right is printed.

``python examples/evaluation.py examples/retail-kiosk/kiosk.yaml`` runs a copy of an example in process, with no model
server and with stores of its own, and beside it a stub that only ever sends its visitors away.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import anyio

import orchestrator
from orchestrator import Result

Verdict = Literal["right", "asked", "escalated", "deflected", "wrong"]
FILES = ("requests", "paraphrases", "hard")
"""What may lie beside a manifest, as ``.jsonl``; the first must."""
LABELLED_ON = "2026-03-10T09:00"
"""A Tuesday. "Call me tomorrow" was labelled as booked, and no desk calls on a Sunday."""
FORM = (
    '{"id": "a-1", "text": "…", "agent": "orders", "expect": {"contains": ["shipped"]}}; agent null: nobody answers it'
)
HONEST: tuple[Verdict, ...] = ("right", "asked", "escalated")
"""What helps the asker: an answer, a question or choices, a person who was told of it. Being sent away does not."""


class NoCase(ValueError):
    """A line that is no labelled request; the message has its place and what one looks like."""


@dataclass(frozen=True, slots=True)
class Case:
    """A labelled request: who should answer (nobody, for what is out of scope), what the answer must hold, and what it must
    not."""

    id: str
    text: str
    agents: tuple[str, ...]
    contains: tuple[str, ...]
    lacks: tuple[str, ...] = ()


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

    @property
    def summary(self) -> str:
        """All shares, in one line."""
        return (
            f"{self.name}: {len(self.scored)} requests, right {self.share('right'):.1%}, "
            f"asks back {self.share('asked'):.1%}, passed to a person {self.share('escalated'):.1%}, "
            f"sent away {self.share('deflected'):.1%}, confidently wrong {self.share('wrong'):.1%}"
        )

    def __str__(self) -> str:
        """With every request that is not right."""
        lines = [
            f"  {one.verdict:9} {one.case.id}: {one.case.text!r} -> {one.result.agent or 'nobody'}: {one.fault}"
            for one in self.scored
            if one.verdict != "right"
        ]
        return "\n".join([self.summary, *lines])


def read_cases(file: Path) -> list[Case]:
    """The labelled requests of a JSONL file. Raises ``NoCase`` with the line of what is not one."""
    lines = enumerate(file.read_text(encoding="utf-8").splitlines(), 1)
    return [_read(line, f"{file.name}:{number}") for number, line in lines if line.strip()]


def _read(line: str, place: str) -> Case:
    try:
        return _case(json.loads(line))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise NoCase(f"{place} is no labelled request ({error!r}): write {FORM}") from error


def _case(row: dict[str, Any]) -> Case:
    wanted = row["agent"]
    agents = tuple(wanted) if isinstance(wanted, list) else (wanted,) if wanted else ()
    expect = row["expect"]
    return Case(row["id"], row["text"], agents, tuple(expect["contains"]), tuple(expect.get("lacks", ())))


def judge(case: Case, result: Result) -> Scored:
    """Right: the right agent says what it must, or an out-of-scope request gets an honest non-answer.

    Otherwise it asked back or offered choices, it passed the request on to a person (who has a ticket), it sent a
    request away that it is there for, or it is wrong: anything else.
    """
    person = result.served_by == "person"
    if not case.agents:
        honest = person or result.status == "unsure"
        return Scored(case, result, *(("right", "") if honest else ("wrong", f"out of scope, said {result.text!r}")))
    said = result.text.casefold()
    missing = [text for text in case.contains if text.casefold() not in said]
    unwanted = [text for text in case.lacks if text.casefold() in said]
    if (
        result.agent in case.agents
        and not missing
        and not unwanted
        and result.status != "failed"
        and (case.contains or not result.error)
    ):
        return Scored(case, result, "right")
    fault = (
        f"lacks {missing}, holds {unwanted}" if result.agent in case.agents else f"not of {' or '.join(case.agents)}"
    )
    return Scored(case, result, _unlike(result, person), f"{fault}, said {result.text!r}")


def _unlike(result: Result, person: bool) -> Verdict:
    """What came in place of the right answer."""
    if person:
        return "escalated"
    if result.status != "unsure":
        return "wrong"
    return "asked" if "?" in result.text else "deflected"


async def send_away(_text: str) -> Result:
    """The stub: what a deployment scores that answers nothing."""
    return Result("stub", "stub", 1, "unsure", "Please ask at the desk.", agent="stub", served_by="reflex")


async def evaluate(name: str, cases: Iterable[Case], ask: Callable[[str], Awaitable[Result]]) -> Score:
    """Ask every case in turn."""
    return Score(name, tuple([judge(case, await ask(case.text)) for case in cases]))


@contextmanager
def _on(moment: str) -> Iterator[None]:
    """That is the time of the desk meanwhile."""
    before = os.environ.get("DESK_NOW")
    os.environ["DESK_NOW"] = moment
    try:
        yield
    finally:
        if before is None:
            del os.environ["DESK_NOW"]
        else:
            os.environ["DESK_NOW"] = before


async def evaluate_example(manifest: Path) -> list[Score]:
    """The files of labelled requests beside a manifest, in process; then the paraphrases, or what else is there, asked of the stub.

    Nothing outside is looked at or written to: it is a copy of the example's folder, its stores are thrown away, and no
    model server is looked for.
    """
    with tempfile.TemporaryDirectory() as kept:
        folder = Path(kept) / manifest.parent.name
        shutil.copytree(manifest.parent, folder, ignore=shutil.ignore_patterns(".state", "__pycache__"))
        environment = {**os.environ, "ORCHESTRATOR_SERVERS": "", "ORCHESTRATOR_HOME": kept}
        files = {name: read_cases(folder / f"{name}.jsonl") for name in FILES if (folder / f"{name}.jsonl").exists()}
        opened = orchestrator.open(folder / manifest.name, environment=environment, state=Path(kept) / "state")
        with _on(LABELLED_ON):
            async with opened as deployment:
                scores = [
                    await evaluate(f"{folder.name} {name}", cases, deployment.run) for name, cases in files.items()
                ]
    return [
        *scores,
        await evaluate("a stub that sends everybody away", files.get("paraphrases", files[FILES[0]]), send_away),
    ]


if __name__ == "__main__":
    os.environ.pop("DESK_STATE", None)  # the calls that it books are no real ones
    parser = argparse.ArgumentParser(description="Score the manifests of examples on their labelled requests.")
    parser.add_argument("manifest", type=Path, nargs="+", help="such as examples/retail-kiosk/kiosk.yaml")
    for example in parser.parse_args().manifest:
        if missing := [each for each in (example, example.parent / "requests.jsonl") if not each.is_file()]:
            parser.error(f"there is no file {missing[0]}")
        try:
            *own, stub = anyio.run(evaluate_example, example)
        except NoCase as error:
            parser.error(str(error))
        print(*own, stub.summary, sep="\n")
