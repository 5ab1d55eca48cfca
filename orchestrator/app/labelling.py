"""Labels from a file: runs that somebody looked at, and requests with their answers, which are asked now."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from orchestrator.app.routing.cases import check_text, entries_of
from orchestrator.core.errors import NothingToLabel, UsageError
from orchestrator.core.request import Request, Result
from orchestrator.serve.doubt.tokens import canonical

FORM: Final = (
    "each case is {run: ID, right: true or false}, with `agent` or `router` where not the answer is meant; or {text: …, "
    "answer: …} with the right answer or a list of them"
)


@dataclass(frozen=True, slots=True)
class Seen:
    """A run that somebody looked at; ``agent`` where not the one that answered is meant, ``router`` where whom that chose is."""

    run: str
    right: bool
    agent: str = ""
    router: str = ""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request and its right answers; ``agent`` goes straight to that agent."""

    text: str
    answers: tuple[str, ...]
    agent: str = ""


@dataclass(slots=True)
class Tally:
    """What came of a file: labels that were noted, and cases of which none could be, with why."""

    noted: int = 0
    right: int = 0
    without: dict[str, int] = field(default_factory=dict)

    def missed(self, why: str) -> None:
        """One without a label."""
        self.without[why] = self.without.get(why, 0) + 1


class Labels(Protocol):
    """Where requests go and labels are noted: the runtime."""

    def run(self, name: str, request: Request) -> Result: ...
    def label(self, run: str, *, right: bool, agent: str = "", router: str = "", by: str = "") -> Any: ...


def read_labels(path: str) -> list[Seen | Asked]:
    """The cases of a file. Raises ``UsageError`` with the place of what is none."""
    return [_read(entry, place) for place, entry in entries_of(path, FORM)]


def note_labels(
    cases: list[Seen | Asked], name: str, runtime: Labels, tell: Callable[[int], None] = lambda _: None
) -> Tally:
    """Note each of them; ``tell`` hears how many are done. A request is answered as for any user, with all that tools do."""
    tally = Tally()
    for number, case in enumerate(cases, 1):
        for seen in [case] if isinstance(case, Seen) else _asked(case, name, runtime, tally):
            try:
                runtime.label(seen.run, right=seen.right, agent=seen.agent, router=seen.router, by="cases")
            except NothingToLabel:
                tally.missed("no probability made the router choose" if seen.router else "its answer had no score")
            else:
                tally.noted += 1
                tally.right += seen.right
        tell(number)
    return tally


def _asked(case: Asked, name: str, runtime: Labels, tally: Tally) -> list[Seen]:
    """Every answer of the run that has a score, that of an agent which handed over too."""
    result = runtime.run(name, Request(case.text, agent=case.agent))
    answers = answers_of(result)
    if not answers:
        tally.missed(f"the run {result.status}" if result.status != "completed" else "its answer had no score")
    right = {canonical(answer) for answer in case.answers}
    return [Seen(result.id, canonical(text) in right, agent) for agent, text in answers.items()]


def answers_of(result: Result) -> dict[str, str]:
    """By agent, the answers of a run that have a score."""
    found: dict[str, str] = {}
    for step in result.steps:
        agent = step.subject.partition(".")[2]
        if step.kind != "doubt" or ("score" not in step.detail and agent not in found):
            continue
        if "answer" in step.detail:
            found[agent] = str(step.detail["answer"])
        elif agent == result.agent and result.status == "completed":
            found[agent] = result.text
    return found


def _read(entry: Any, place: str) -> Seen | Asked:
    if not isinstance(entry, Mapping):
        raise UsageError(f"{place}: a case is a map", cure=FORM)
    agent, router = entry.get("agent", ""), entry.get("router", "")
    if not isinstance(agent, str) or not isinstance(router, str):
        raise UsageError(f"{place}: `{'router' if isinstance(agent, str) else 'agent'}` is no name", cure=FORM)
    if router and (agent or "run" not in entry):
        raise UsageError(f"{place}: a `router` is labelled by `run`, without an `agent`", cure=FORM)
    if "run" in entry:
        run, right = entry["run"], entry.get("right")
        if not isinstance(run, str) or not run or not isinstance(right, bool):
            raise UsageError(f"{place}: `run` is no id, or `right` is not true or false", cure=FORM)
        return Seen(run, right, agent, router)
    text, answer = check_text(entry, place, FORM), entry.get("answer")
    if answer in (None, []):
        raise UsageError(f"{place}: `answer` is missing", cure=FORM)
    answers = answer if isinstance(answer, list) else [answer]
    return Asked(text, tuple(each if isinstance(each, str) else json.dumps(each) for each in answers), agent)
