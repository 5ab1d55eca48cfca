"""One request on its way through the graph: what it has met, spent and decided so far."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from orchestrator.core.choices import PriorityClass
from orchestrator.core.delivery import Delivery
from orchestrator.core.denial import Denial
from orchestrator.core.errors import RunCancelled, RunError
from orchestrator.core.event import DELTA, Event, EventKind
from orchestrator.core.fitted import Fitted, Scale
from orchestrator.core.handed import Attempt
from orchestrator.core.message import Message, Usage
from orchestrator.core.refined import Refinements
from orchestrator.core.request import Decision, PartResult, Request, Result, StepRecord, new_id
from orchestrator.deploy.deployment import Agent, Deployment
from orchestrator.plan.pressure import NONE, Pressure
from orchestrator.ports.elsewhere import Elsewhere
from orchestrator.ports.outbox import Outbox
from orchestrator.ports.people import Desk
from orchestrator.serve.ask import CallTrace
from orchestrator.serve.clock import current_time
from orchestrator.serve.consents import Consents
from orchestrator.serve.gate import Pass
from orchestrator.serve.latch import Conversation
from orchestrator.serve.loop import Loop
from orchestrator.serve.outbound import Passage
from orchestrator.serve.outcome import GoingOn, Outcome
from orchestrator.serve.privacy import BROUGHT, Privacy, holds_talk, is_private
from orchestrator.serve.selection import choice_told

Emit = Callable[[Event], None]
NOTHING_SPENT: Final = Usage()
SHARED: Final = (
    *("deployment", "loop", "emit", "pressure", "fitted", "refined", "privacy", "passage", "place"),
    *("desk", "outbox", "post", "elsewhere", "consents", "came", "started", "deadline", "history", "decisions"),
)
"""What a run has in common with the runs of its parts. What is new in ``Run.__slots__`` stands here or in ``OWN``."""
OWN: Final = (
    *("request", "typed", "listen", "nonce", "until", "path", "notes", "is_part", "part_of", "parts"),
    *("conversation", "going_on", "grant", "leave", "steps", "attempts", "usage", "queue_ms", "model_ms", "tool_ms"),
    *("said", "paused", "foresees", "keys", "epoch", "denials"),
)
"""What each run has for itself; what of it a part begins with, ``Run.part`` says."""


def fault_name(error: BaseException) -> str:
    """What a run's story calls the fault that ended a call; all that is no ``RunError`` is the caller's going away."""
    return type(error).__name__ if isinstance(error, RunError) else RunCancelled.__name__


class Run:
    """Mutable state of one run; owned by the task that runs it. ``deadline`` is the run's, ``until`` that of the agent at work,
    both of ``anyio.current_time``; ``nonce`` is of this run alone, whatever id its request has; ``said`` is what the caller has
    been told already; ``pressure`` is what spoke for smaller models when it began. ``desk`` is where it can ask people,
    ``outbox`` where it can leave what waits for a target that is away, ``post`` the same for what waits for a person on another
    node, which each node keeps that asked for it; ``elsewhere`` are the other nodes of its fleet;
    ``going_on`` is there where it waited before, ``grant`` is the same until the call that waited is made, and ``leave`` until
    what waited is sent to the cloud. ``consents`` are what a person has let its agents send there, ``denials``
    the calls that one refused. ``fitted`` is what its
    agents go by when they doubt an answer, ``conversation`` that of its conversation, where it has one; ``epoch`` is of the
    lease that an exclusive agent began under. ``is_part``: it answers a part of another run's request; ``parts`` are what came
    of such runs. ``part_of`` is the text of the request that its own is a part of, here, before it waited, or on another node."""

    __slots__ = (
        "attempts",
        "came",
        "consents",
        "conversation",
        "deadline",
        "decisions",
        "denials",
        "deployment",
        "desk",
        "elsewhere",
        "emit",
        "epoch",
        "fitted",
        "foresees",
        "going_on",
        "grant",
        "history",
        "is_part",
        "keys",
        "leave",
        "listen",
        "loop",
        "model_ms",
        "nonce",
        "notes",
        "outbox",
        "part_of",
        "parts",
        "passage",
        "path",
        "paused",
        "place",
        "post",
        "pressure",
        "privacy",
        "queue_ms",
        "refined",
        "request",
        "said",
        "started",
        "steps",
        "tool_ms",
        "typed",
        "until",
        "usage",
    )

    def __init__(self, request: Request, deployment: Deployment, loop: Loop, emit: Emit, listen: Emit | None) -> None:
        self.request = request
        self.typed = request.text
        """As it came, also where an earlier request is answered."""
        self.deployment = deployment
        self.loop = loop
        self.emit = emit
        self.listen = listen
        self.pressure: Pressure = NONE
        self.fitted: Mapping[Scale, Fitted] = {}
        self.refined: Mapping[str, Refinements] = {}
        self.conversation: Conversation | None = None
        self.privacy: Privacy | None = None
        self.passage: Passage | None = None
        self.nonce = new_id("once")
        self.desk: Desk | None = None
        self.outbox: Outbox | None = None
        self.post: Outbox | None = None
        self.elsewhere: Elsewhere | None = None
        self.going_on: GoingOn | None = None
        self.grant: GoingOn | None = None
        self.leave: GoingOn | None = None
        self.consents = Consents()
        self.denials: tuple[Denial, ...] = ()
        self.came = self.started = current_time()
        limit = deployment.blueprint.timeout
        self.deadline = self.started + (limit if request.timeout is None else min(request.timeout, limit))
        self.until = self.deadline
        self.history: tuple[Message, ...] = request.history
        self.path: list[str] = []
        self.decisions: tuple[Decision, ...] = ()
        self.steps: list[StepRecord] = []
        self.attempts: tuple[Attempt, ...] = ()
        self.queue_ms = self.model_ms = self.tool_ms = 0.0
        self.said: list[str] = []
        self.notes: list[str] = []
        self.paused = self.foresees = False
        self.place: Pass | None = None
        self.epoch = self.keys = 0
        self.is_part, self.part_of, self.usage = False, "", NOTHING_SPENT
        self.parts: tuple[PartResult, ...] = ()

    def part(self, text: str, agent: str, listen: Emit | None) -> Run:
        """A run of a part of this one's request, within this one's time."""
        request = replace(self.request, text=text, agent=agent)
        part = Run(request, self.deployment, self.loop, self.emit, listen)
        for name in SHARED:
            setattr(part, name, getattr(self, name))
        part.path, part.notes, part.denials = list(self.path), list(self.notes), self.denials
        part.until = self.deadline
        part.is_part, part.part_of = True, self.part_of or self.request.text
        return part

    def queue(self, priority: PriorityClass) -> Mapping[str, Any] | None:
        """What the manifest says of the queue of this class."""
        return self.deployment.blueprint.queue.get(priority)

    def near(self, endpoints: tuple[str, ...]) -> tuple[str, ...]:
        """Those that are known not to be in the cloud."""
        known = self.deployment.endpoints
        for name in endpoints:
            if name not in known or known[name].target.zone == "cloud":
                return tuple(each for each in endpoints if each in known and known[each].target.zone != "cloud")
        return endpoints

    @property
    def restricted(self) -> bool:
        """Whether what it has seen may reach no cloud."""
        return self.request.data_class == "restricted"

    def restrict(self, note: str = "") -> None:
        """What it sends is restricted from now on although the request did not say so; ``note`` tells why, where that is not
        plain from its path."""
        self.request = replace(self.request, data_class="restricted")
        if note:
            self.remark("", "", note)

    def comes_to(self, agent: Agent) -> None:
        """It is about to be shown to this agent: what a restricted one sees is restricted."""
        if is_private(agent) and not self.restricted:
            self.restrict()

    def brings_history(self) -> None:
        """The caller tells what was said before, of which nobody here knows where: it may have been to a restricted agent."""
        unknown = self.privacy is not None and not self.privacy.off and holds_talk(self.history)
        if unknown and self.request.data_class == "internal":
            self.restrict(BROUGHT)

    def goes_alone(self) -> None:
        """A part that waits for a person is a run of its own from here on: what it is part of ends without it."""
        self.request = replace(self.request, id=new_id("run"))

    def goes_back_to(self, wanted: str) -> None:
        """The request only chose who answers an earlier one, which the last two turns are about."""
        self.request = replace(self.request, text=wanted)
        self.history = self.history[:-2]

    @property
    def forwarded(self) -> bool:
        """Whether its caller has been told to wait, and its target is tried again."""
        return self.going_on is not None and isinstance(self.going_on.waited, Delivery)

    def next_key(self) -> str:
        """For a ``ChatCall`` of a request that is forwarded: the same, if the runtime ends in the midst and it is tried again."""
        if not self.forwarded:
            return ""
        self.keys += 1
        return f"{self.nonce}-{self.keys}"

    def expects(self, *endpoints: str) -> tuple[str, ...] | None:
        """For an ``Ask``: what it is likely to call next, for who decides what is loaded. Nothing, where no model is loaded on
        request, or where nothing is expected and nothing was."""
        if not self.deployment.pools or not (endpoints or self.foresees):
            return None
        self.foresees = bool(endpoints)
        return endpoints

    def expects_nothing(self) -> None:
        """It has ended."""
        if self.foresees:
            self.foresees = False
            self.loop.foresee(self.request.id, ())

    def note(self, kind: str, subject: str, began: float, detail: Mapping[str, Any]) -> None:
        """Record a step that began at ``began`` (``anyio.current_time``) and ends now."""
        now = current_time()
        self.steps.append(StepRecord(kind, subject, (began - self.started) * 1e3, (now - began) * 1e3, detail))

    def note_call(self, subject: str, began: float, trace: CallTrace, usage: Usage, fault: str = "") -> None:
        """Record a model call with its retries and fallbacks; ``fault`` names the error that ended it. ``trace.chosen`` says
        why this model, where there was a choice."""
        self.usage = usage if self.usage is NOTHING_SPENT else self.usage + usage
        self.queue_ms += trace.queue_ms
        self.model_ms += trace.model_ms
        detail: dict[str, Any] = {"endpoint": trace.endpoint, "queue_ms": round(trace.queue_ms, 3)}
        known = self.deployment.endpoints.get(trace.endpoint)
        if known is not None:
            detail["zone"] = known.target.zone
        if trace.chosen:
            detail["chosen"] = trace.chosen
        if trace.passed:
            detail["passed"] = list(trace.passed)
        if trace.unheld:
            detail["unheld"] = trace.unheld
        if trace.spent:
            detail["spent"] = trace.spent
        if trace.paid is not None:
            detail["paid"] = trace.paid
        if trace.load_ms:
            detail["load_ms"] = round(trace.load_ms, 3)
        if len(trace.attempts) > 1:
            detail["attempts"] = [
                {"endpoint": a.endpoint, "outcome": a.outcome, "kind": a.kind, "took_ms": round(a.took_ms, 3)}
                | ({"message": a.message} if a.message else {})
                for a in trace.attempts
            ]
        detail["prompt_tokens"] = usage.prompt_tokens
        detail["completion_tokens"] = usage.completion_tokens
        if fault:
            detail["fault"] = fault
        self.note("model", subject, began, detail)
        self.tell("run.model", {"agent": subject, **detail})

    def called(self) -> tuple[str, ...]:
        """The functions that were called since the last hand-over, each with what came of it."""
        found: list[str] = []
        for step in reversed(self.steps):
            if step.kind == "escalate":
                break
            if step.kind == "tool" and step.detail["outcome"] != "refused":
                found.append(f"{step.subject} ({step.detail['outcome']})")
        return tuple(found[::-1])

    def remark(self, agent: str, endpoint: str, note: str) -> None:
        """Tell, once, what the answer is made without."""
        if note not in self.notes:
            self.notes.append(note)
            self.tell("run.note", {"agent": agent, "endpoint": endpoint, "note": note})

    @property
    def streamed(self) -> bool:
        """Whether the caller has seen a piece of the answer; from then on it cannot be taken back."""
        return bool(self.said)

    def say(self, text: str) -> None:
        """A piece of the answer for whoever listens."""
        if self.listen is None or not text:
            return
        if self.paused and self.said:
            text = "\n\n" + text
        self.paused = False
        self.said.append(text)
        self.listen(self.event(DELTA, {"text": text}))

    def pause(self) -> None:
        """What is said next is a new paragraph: a model spoke, called a function, and speaks again."""
        self.paused = True

    def event(self, kind: EventKind, fields: Mapping[str, Any]) -> Event:
        """An event of this run."""
        deployment = self.deployment
        return Event(kind, time.time(), deployment.name, deployment.revision, self.request.id, fields)

    def tell(self, kind: EventKind, fields: Mapping[str, Any]) -> None:
        """Tell the sinks, and whoever listens to this run; of what is restricted it is said, for who writes it down."""
        event = self.event(kind, {**fields, "data_class": "restricted"} if self.restricted else fields)
        self.emit(event)
        if self.listen is not None:
            self.listen(event)

    def result(self, agent: str, outcome: Outcome, error: Mapping[str, Any] | None = None) -> Result:
        """What the caller gets."""
        total = (current_time() - self.started) * 1e3
        engine = total - self.queue_ms - self.model_ms - self.tool_ms
        return Result(
            id=self.request.id,
            deployment=self.deployment.name,
            revision=self.deployment.revision,
            status="failed" if error else outcome.status,
            text=outcome.text,
            agent=outcome.agent or agent,
            path=tuple(self.path),
            decisions=self.decisions,
            steps=tuple(self.steps),
            usage=self.usage,
            timings={
                "total": total,
                "queue": self.queue_ms,
                "model": self.model_ms,
                "tool": self.tool_ms,
                "engine": max(0.0, engine),
            },
            session=self.request.session,
            served_by=outcome.served_by,
            value=outcome.value,
            error=error,
            why=outcome.why or self.why(),
            finish_reason="error" if error else outcome.finish_reason,
            notes=tuple(self.notes),
            data_class=self.request.data_class,
            approval=outcome.approval or (self.going_on.waited.id if self.going_on else ""),
            parts=self.parts,
            marks=self.passage.standing(outcome.text) if self.passage is not None else (),
            node=outcome.node or (self.elsewhere.node if self.elsewhere is not None else ""),
        )

    def failure(self, error: Mapping[str, Any], partial: str = "") -> Result:
        """What the caller gets of a run that failed."""
        last = self.path[-1].partition(".")[2] if self.path else ""
        return self.result(last, Outcome("".join(self.said) or partial), error)

    def why(self) -> str:
        """In a sentence: how it came to the one that answered."""
        told = {each.reason for each in self.attempts}
        parts = [
            f"{each.router}: {each.why}"
            for each in self.decisions
            if each.why
            and each.why not in told
            and (each.strategy != "policy" or each.abstained)  # leave to go out explains no answer
        ]
        parts += [f"{each.agent} handed over: {each.reason}" for each in self.attempts]
        chosen = [
            f"{each.subject}: {why}"
            for each in self.steps
            if each.kind == "model" and (why := choice_told(each.detail))
        ]
        return "; ".join([*parts, *dict.fromkeys(chosen)])

    def add_decision(self, decision: Decision, router: str) -> None:
        """Keep a router's decision."""
        if not decision.router:
            d = decision
            decision = Decision(
                *(d.strategy, d.choice, d.scores, d.confidence, d.why, d.cost_ms, router),
                kind=d.kind,
                stage=d.stage,
                raw=d.raw,
            )
        self.decisions = (*self.decisions, decision)
