"""A request that goes to several agents: each part a run of its own inside of the run, all at once, told as one reply.

The reply has the parts in the order of the request, each under the name of who answered it. A stream is the same text: the first
part as it comes, each later one when those before it are done.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

import anyio

from orchestrator.core.errors import RunError
from orchestrator.core.event import DELTA, Event
from orchestrator.core.request import PartResult, Result
from orchestrator.serve.outcome import Outcome
from orchestrator.serve.run import Run
from orchestrator.serve.steps.parted import MOST_PARTS, Part, Parted

Walk = Callable[[Run], Awaitable[Result]]
UNANSWERED: Final = "This part could not be answered: "
BROKEN_OFF: Final = "(broken off: "
LEFT: Final = f"One request goes to {MOST_PARTS} agents at most. Please ask this on its own: "


class Reply:
    """The one text of all parts, said in their order whatever order they come in. ``names`` are whom each part went to, until it
    is known who answers."""

    def __init__(self, names: Sequence[str], say: Callable[[str], None]) -> None:
        self._say = say
        self._names = list(names)
        self._waiting: list[list[str]] = [[] for _ in names]
        self._done = [False for _ in names]
        self._at = 0
        self._headed = False
        self.said: list[str] = []

    @property
    def text(self) -> str:
        """All that was said so far."""
        return "".join(self.said)

    def add(self, part: int, name: str, text: str) -> None:
        """A piece of a part's answer, and who gives it."""
        self._names[part] = name
        self._waiting[part].append(text)
        self._flush()

    def end(self, part: int) -> None:
        """There is no more of this part."""
        self._done[part] = True
        self._flush()

    def _flush(self) -> None:
        while self._at < len(self._done):
            pieces, self._waiting[self._at] = self._waiting[self._at], []
            for piece in pieces:
                self._speak(piece)
            if not self._done[self._at]:
                return
            self._at += 1
            self._headed = False

    def _speak(self, piece: str) -> None:
        if not piece:
            return
        if not self._headed:
            between = "\n\n" if self.said else ""
            piece = f"{between}{self._names[self._at]}:\n{piece}"
            self._headed = True
        self._out(piece)

    def close(self, text: str) -> None:
        """What belongs to no part, after all of them."""
        self._out(f"\n\n{text}")

    def _out(self, piece: str) -> None:
        self.said.append(piece)
        self._say(piece)


async def answer_parts(run: Run, asked: Parted, walk: Walk) -> Result:
    """Let each part be answered, within the run's own time, and gather all of it. One that fails leaves the others their answers;
    raises the first error where all failed."""
    reply = Reply([part.to for part in asked.parts], run.say)
    children = [_child(run, part, reply, number) for number, part in enumerate(asked.parts)]
    done: list[PartResult | Exception] = [RunError("it did not begin") for _ in asked.parts]
    faults: list[RunError | None] = [None for _ in asked.parts]

    async def work(number: int) -> None:
        part, child, add = asked.parts[number], children[number], partial(reply.add, number)
        try:
            done[number] = await _answered(child, part, add, walk)
        except RunError as error:
            done[number], faults[number] = _failed(child, part, add, error), error
        except Exception as error:  # noqa: BLE001 - raised below: the other parts end first
            done[number] = error
        finally:
            child.expects_nothing()
        reply.end(number)

    async with anyio.create_task_group() as tasks:
        for number in range(len(asked.parts)):
            tasks.start_soon(work, number)
    _gather(run, children)
    run.parts = tuple(each for each in done if isinstance(each, PartResult))
    _raise_where_none(done, faults)
    names = dict.fromkeys(part.agent for part in run.parts)
    for each in asked.left:
        told = f"{LEFT}{each.text}"
        reply.close(told)
        run.parts = (*run.parts, PartResult("", each.to, each.text, "unsure", told))
    return run.result(", ".join(names), _outcome(run.parts, reply.text))


def _child(run: Run, part: Part, reply: Reply, number: int) -> Run:
    """A run of one part: the same request but for its text and its agent, with the same time, history and listener."""

    def listen(event: Event) -> None:
        if event.kind == DELTA:
            reply.add(number, child.path[-1].partition(".")[2], event.fields["text"])
        elif run.listen is not None:
            run.listen(event)

    request = replace(run.request, text=part.text, agent=part.to)
    child = Run(request, run.deployment, run.loop, run.emit, listen if run.listen is not None else None)
    child.is_part = True
    child.pressure, child.desk, child.outbox = run.pressure, run.desk, run.outbox
    child.fitted, child.refined = run.fitted, run.refined
    child.privacy, child.passage, child.consents = run.privacy, run.passage, run.consents
    child.came, child.started = run.came, run.started
    child.deadline = child.until = run.deadline
    child.history = run.history
    child.path, child.decisions = list(run.path), run.decisions
    child.notes = list(run.notes)
    return child


async def _answered(child: Run, part: Part, add: Callable[[str, str], None], walk: Walk) -> PartResult:
    """What came of a part. Raises the ``RunError`` that nobody took over."""
    result = await walk(child)
    name = result.agent or part.to
    if not child.streamed:
        add(name, result.text)
    return PartResult(
        agent=name,
        to=part.to,
        asked=part.text,
        status=result.status,
        text=result.text,
        served_by=result.served_by,
        value=result.value,
        run=result.id if result.status == "waiting" else "",
        approval=result.approval,
        finish_reason=result.finish_reason,
    )


def _failed(child: Run, part: Part, add: Callable[[str, str], None], error: RunError) -> PartResult:
    """A fault is the part's text, in the words of the error, after what was said before it."""
    name = child.path[-1].partition(".")[2]
    said = "".join(child.said)
    told = f"\n{BROKEN_OFF}{error.message})" if said else f"{UNANSWERED}{error.message}"
    add(name, told)
    return PartResult(name, part.to, part.text, "failed", said + told, error=error.as_json(), finish_reason="error")


def _gather(run: Run, children: Iterable[Run]) -> None:
    """What all parts met, spent and decided is the run's."""
    path, decisions = len(run.path), len(run.decisions)
    if not run.restricted and any(child.restricted for child in children):  # by what a function gave
        run.restrict()  # what a restricted agent saw is in the whole answer
    for child in children:
        run.path += child.path[path:]
        run.decisions = (*run.decisions, *child.decisions[decisions:])
        run.attempts = (*run.attempts, *child.attempts)
        run.steps += child.steps
        run.usage = run.usage + child.usage
        run.queue_ms += child.queue_ms
        run.model_ms += child.model_ms
        run.tool_ms += child.tool_ms
        run.notes += [note for note in child.notes if note not in run.notes]
    run.steps.sort(key=lambda step: step.at_ms)


def _raise_where_none(done: Sequence[PartResult | Exception], faults: Sequence[RunError | None]) -> None:
    """Raise what nobody foresaw; and the first part's error where every part has one."""
    for each in done:
        if isinstance(each, Exception):
            raise each
    first = faults[0]
    if first is not None and all(faults):
        raise first


def _outcome(parts: Sequence[PartResult], text: str) -> Outcome:
    answered = all(each.status in ("completed", "waiting") for each in parts)
    ends = [each.finish_reason for each in parts if each.finish_reason not in ("stop", "error", "")]
    return Outcome(
        text,
        "completed" if answered else "unsure",
        served_by=", ".join(dict.fromkeys(each.served_by for each in parts if each.served_by)),
        value={each.agent: each.value for each in parts if each.value is not None} or None,
        finish_reason=ends[0] if ends else "stop",
    )
