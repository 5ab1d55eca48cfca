"""A request on its way in, and the result on its way out with its decisions, steps, usage and why."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import field, fields
from typing import Any, Final, Literal

from orchestrator.core.choices import Complexity, DataClass, PriorityClass
from orchestrator.core.marks import Mark, marks_from
from orchestrator.core.message import Message, Usage
from orchestrator.core.record import record

Status = Literal["completed", "unsure", "failed", "waiting"]


_AHEAD: Final = 64
_fresh: list[
    str
] = []  # drawn ahead of their use: a question to the kernel for each costs as much as a quarter of a run
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_fresh.clear)


def new_id(prefix: str) -> str:
    """A fresh random id such as ``run_9f2c…`` (64 random bits)."""
    try:
        return f"{prefix}_{_fresh.pop()}"
    except IndexError:
        drawn = os.urandom(8 * _AHEAD).hex()
        _fresh.extend(drawn[at : at + 16] for at in range(0, len(drawn), 16))
        return new_id(prefix)


@record
class Request:
    """One request to a deployment.

    ``text`` is the newest user message; ``history`` what came before it, where the caller keeps the conversation
    (a ``session`` name instead lets the engine keep it). ``timeout`` is in seconds, for the whole run. ``agent`` goes
    straight to that agent, past the routers. What is ``restricted`` by its ``data_class`` reaches no model in the cloud.
    ``principal`` says who asks; it is told with ``run.started``, and no rule uses it yet. ``options`` (temperature, max_tokens,
    top_p, seed, stop) go before the agent's own settings. ``id`` names the run in its result, its events and the history, where
    a later run of the same id takes its place; it makes no request a repeat of another: each is answered, and does what it does.
    """

    text: str
    history: tuple[Message, ...] = ()
    session: str = ""
    agent: str = ""
    priority: PriorityClass = "interactive"
    timeout: float | None = None
    data_class: DataClass = "internal"
    principal: str = ""
    complexity: Complexity = ""
    escalate: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)
    id: str = field(default_factory=lambda: new_id("run"))

    def as_json(self) -> dict[str, Any]:
        """A plain form, for the control API, for a run that waits and for another node."""
        plain = {each.name: getattr(self, each.name) for each in fields(self)}
        return plain | {"history": [message.as_kept() for message in self.history], "options": dict(self.options)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Request:
        """From the plain form; raises ``KeyError`` or ``TypeError`` where it is none."""
        return cls(**{**value, "history": tuple(map(Message.from_kept, value["history"]))})


@record
class Decision:
    """What a strategy chose, among what, how sure it is, and why.

    ``choice`` is a candidate's name, or ``None`` when it abstained. ``scores`` are of the strategy's own scale;
    ``confidence`` is in 0..1 (``None`` where the strategy has no notion of it). ``cost_ms`` is the time it took. ``notes`` say
    what it was decided without: they go into the result's. ``kind`` is the kind of model server that ``confidence`` is of: what one
    kind says is on no scale of another's. ``shortlist`` are those that a strategy which abstained cannot rule out, the best first.
    ``stage`` is the stage of a cascade that decided, or where none did, the one that these scores are of; ``raw`` is what
    ``confidence`` was before labelled decisions refined it, and ``None`` where nothing is fitted to it (a rule, the words of an
    example).
    """

    strategy: str
    choice: str | None
    scores: Mapping[str, float] = field(default_factory=dict)
    confidence: float | None = None
    why: str = ""
    cost_ms: float = 0.0
    router: str = ""
    notes: tuple[str, ...] = ()
    kind: str = ""
    shortlist: tuple[str, ...] = ()
    stage: str = ""
    raw: float | None = None

    @property
    def abstained(self) -> bool:
        """Whether it chose nobody."""
        return self.choice is None

    def as_json(self) -> dict[str, Any]:
        """A plain form."""
        return {
            "router": self.router,
            "strategy": self.strategy,
            "choice": self.choice,
            "confidence": self.confidence,
            "scores": dict(self.scores),
            "why": self.why,
            "cost_ms": round(self.cost_ms, 3),
            **({"kind": self.kind} if self.kind else {}),
            **({"stage": self.stage} if self.stage else {}),
            **({"raw": self.raw} if self.raw is not None and self.raw != self.confidence else {}),
        }


@record
class StepRecord:
    """One thing that a run did: ``kind`` is route, model, tool, reflex, escalate or person.

    ``at_ms`` counts from the start of the run; ``subject`` is an address or an endpoint id; ``detail`` is plain values.
    """

    kind: str
    subject: str
    at_ms: float
    took_ms: float
    detail: Mapping[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """A plain form."""
        return {
            "kind": self.kind,
            "subject": self.subject,
            "at_ms": round(self.at_ms, 3),
            "took_ms": round(self.took_ms, 3),
            "detail": dict(self.detail),
        }


@record
class PartResult:
    """What came of one part of a request that went to several agents.

    ``agent`` is the one that answered, ``to`` the one that it was for, ``asked`` what that was asked. ``run`` names the run of its
    own as which a part goes on that waits for a person (``approval``); empty for all others. The rest is as in ``Result``.
    """

    agent: str
    to: str
    asked: str
    status: Status
    text: str
    served_by: str = ""
    value: Any = None
    error: Mapping[str, Any] | None = None
    run: str = ""
    approval: str = ""
    finish_reason: str = "stop"

    def as_json(self) -> dict[str, Any]:
        """A plain form."""
        return {each.name: getattr(self, each.name) for each in fields(self)}


@record
class Result:
    """What came of a request.

    ``status``: ``completed``; ``unsure`` (an honest non-answer: it asks back or offers the choices); ``failed`` (``error``
    says why); ``waiting`` (for a person, who finds it under ``approval``; the run goes on by itself then). ``path`` are the
    addresses that it went through; ``agent`` is the one that answered. ``timings`` are in milliseconds: ``total``,
    ``queue`` (waiting for a slot), ``model``, ``tool``, ``engine`` (the rest).
    ``notes`` say what the answer was made without. ``data_class`` is what the request said of its own data, or ``restricted``
    where the run met such data. ``parts`` are there where several agents answered; ``text`` is all of them then, and ``agent``
    names each. ``node`` is the one of the fleet on which the agent answered; empty where there is no fleet.
    ``asked`` is the node that this one asked for it, which may have asked that one; it is known here only.
    ``marks`` tell where in ``text`` values of named fields stand that must not leave; people and programs get none.
    """

    id: str
    deployment: str
    revision: int
    status: Status
    text: str
    agent: str = ""
    path: tuple[str, ...] = ()
    decisions: tuple[Decision, ...] = ()
    steps: tuple[StepRecord, ...] = ()
    usage: Usage = field(default_factory=Usage)
    timings: Mapping[str, float] = field(default_factory=dict)
    session: str = ""
    served_by: str = ""
    value: Any = None
    error: Mapping[str, Any] | None = None
    why: str = ""
    finish_reason: str = "stop"
    notes: tuple[str, ...] = ()
    data_class: DataClass = "internal"
    approval: str = ""
    parts: tuple[PartResult, ...] = ()
    node: str = ""
    marks: tuple[Mark, ...] = field(default=(), compare=False, repr=False)
    asked: str = field(default="", compare=False, repr=False)

    def as_kept(self) -> dict[str, Any]:
        """The plain form for another node: with its marks."""
        return {**self.as_json(), "marks": [list(each) for each in self.marks]} if self.marks else self.as_json()

    def as_json(self) -> dict[str, Any]:
        """A plain form, for ``--json``, the store and the control API."""
        usage = self.usage
        more: dict[str, Any] = {"parts": [part.as_json() for part in self.parts]} if self.parts else {}
        more |= {"node": self.node} if self.node else {}
        return {
            "id": self.id,
            "deployment": self.deployment,
            "revision": self.revision,
            "status": self.status,
            "text": self.text,
            "value": self.value,
            "agent": self.agent,
            "served_by": self.served_by,
            "path": list(self.path),
            "why": self.why,
            "decisions": [decision.as_json() for decision in self.decisions],
            "steps": [step.as_json() for step in self.steps],
            "usage": {
                "prompt_tokens": usage.prompt_tokens,
                "completion_tokens": usage.completion_tokens,
                "model_calls": usage.model_calls,
                "tool_calls": usage.tool_calls,
                "estimated": usage.estimated,
            },
            "timings_ms": {name: round(value, 3) for name, value in self.timings.items()},
            "session": self.session,
            "error": dict(self.error) if self.error else None,
            "finish_reason": self.finish_reason,
            "notes": list(self.notes),
            "data_class": self.data_class,
            "approval": self.approval,
            **more,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Result:
        """From the plain form; raises ``KeyError``, ``TypeError`` or ``ValueError`` where it is none."""
        same = {name: value[name] for name in ("id", "deployment", "revision", "status", "text", "agent", "session")}
        same |= {name: value[name] for name in ("served_by", "value", "error", "why", "finish_reason")}
        return cls(
            **same,
            path=tuple(value["path"]),
            decisions=tuple(Decision(**decision) for decision in value["decisions"]),
            steps=tuple(StepRecord(**step) for step in value["steps"]),
            usage=Usage(**value["usage"]),
            timings=value["timings_ms"],
            notes=tuple(value.get("notes", ())),
            data_class=value.get("data_class", "internal"),
            approval=value.get("approval", ""),
            parts=tuple(PartResult(**part) for part in value.get("parts", ())),
            node=value.get("node", ""),
            marks=marks_from(value.get("marks", ()), value["text"]),
        )
