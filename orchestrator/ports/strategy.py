"""The port of routing strategies: which candidate should answer, how sure, and why."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, runtime_checkable

from orchestrator.core.message import Message
from orchestrator.core.record import record
from orchestrator.core.refined import Refinements
from orchestrator.core.request import Decision
from orchestrator.ports.encoder import DistantEncoder, Encoder
from orchestrator.ports.provider import ChatReply, Choice


@dataclass(frozen=True, slots=True)
class Skill:
    """One thing that a candidate can do, with requests that ask for it."""

    name: str
    description: str = ""
    examples: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Candidate:
    """An agent that a router may choose. ``when`` are the written conditions of its route (see ``RouteSpec``); ``answers`` are
    requests in words that a rule of it answers: what to go by where they come, not what to learn its matters from.
    ``complexity`` is of the requests that it is meant for."""

    name: str
    description: str = ""
    skills: tuple[Skill, ...] = ()
    examples: tuple[str, ...] = ()
    keywords: tuple[str, ...] = ()
    when: Mapping[str, Any] = field(default_factory=dict)
    answers: tuple[str, ...] = ()
    complexity: tuple[str, ...] = ()


@record
class ModelQuestion:
    """What an asking strategy wants of a model: a prompt and a JSON Schema that the answer must fit, and where it is a choice among
    names the same for servers that choose without writing."""

    messages: tuple[Message, ...]
    schema: Mapping[str, Any]
    schema_name: str = "route"
    max_tokens: int = 64
    top_logprobs: int = 0
    choice: Choice | None = None


AskModel = Callable[[ModelQuestion], Awaitable[ChatReply]]
"""Given by the engine: goes through the scheduler to the router's model. Raises ``ModelError`` or ``NoModel``."""


Embed = Callable[[str], Awaitable[Sequence[float]]]
"""Given by the engine: the vector of a text by the router's encoder on a server. Raises ``ModelError`` or ``NoModel``."""


Load = Callable[[str], float]
"""Given by the engine: how much of what serves a candidate is taken. 0 where nothing is or it needs no model, 1 where every slot
is, more where calls wait, and infinite where nothing that serves it answers."""


@record
class RouteQuestion:
    """What a strategy decides about. ``ask`` is ``None`` where the router has no model, ``embed`` where it has no encoder on a
    server; each also where this request may not go there. ``load`` is ``None`` where nobody knows. ``shortlist`` are those that a
    stage before this one could not rule out; empty where none says. ``refined`` is what labelled decisions say of the confidence of
    its stages. ``barred`` are candidates that this request does not come to, whoever chooses them: their routes are strict."""

    text: str
    history: tuple[Message, ...] = ()
    complexity: str = ""
    ask: AskModel | None = None
    embed: Embed | None = None
    session: str = ""
    load: Load | None = None
    shortlist: tuple[str, ...] = ()
    refined: Refinements = field(default_factory=dict)
    barred: frozenset[str] = frozenset()


def without_barred(decision: Decision, barred: Collection[str]) -> Decision:
    """The same, or an abstention where it chose who is barred."""
    if decision.choice not in barred:
        return decision
    why = f"{decision.why}; but the condition of the route to {decision.choice} does not hold, and it is strict"
    return replace(decision, choice=None, why=why)


class Strategy(Protocol):
    """A fitted strategy. It never raises for a hard question: it abstains and says why."""

    async def decide(self, question: RouteQuestion) -> Decision:
        """Choose one candidate or abstain."""
        ...


class InstantStrategy(Protocol):
    """A strategy that decides without waiting: the engine calls it on the straight path, without a task switch."""

    def decide_now(self, question: RouteQuestion) -> Decision:
        """Choose one candidate or abstain."""
        ...


class LeavesOut(Protocol):
    """A strategy that can be tried on its own examples."""

    def judge_unseen(self, question: RouteQuestion, of: str, *, whole: bool) -> Decision | None:
        """The decision on an example of the candidate ``of`` as if it had not been there; with ``whole`` as if nothing of ``of``
        had been, so that ``of`` cannot be chosen. ``None`` where that is not known."""
        ...


@runtime_checkable
class Ages(Protocol):
    """A strategy that can notice that what it learned from is no more; it is fitted again at the next look or apply."""

    @property
    def outdated(self) -> bool:
        """Whether its encoder gives other vectors than those that it learned from."""
        ...


@dataclass(frozen=True, slots=True)
class StrategyOptions:
    """What a router's manifest says: the least accepted confidence (``None``: fitted), the default, the stages of a cascade, the
    least confidence of a model by the kind of its server; and its encoder, open, where it has one."""

    default: str | None = None
    confidence: float | None = None
    stages: tuple[str, ...] = ()
    model_confidence: Mapping[str, float] = field(default_factory=dict)
    encoder: Encoder | DistantEncoder | None = None


FitStrategy = Callable[[tuple[Candidate, ...], StrategyOptions], Strategy]
"""What the table of strategies holds for each name: learns from the candidates, once a revision."""
