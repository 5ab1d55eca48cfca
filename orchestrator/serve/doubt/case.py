"""An answer in doubt: what a sign of a wrong answer can look at, and what it may ask beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from orchestrator.core.errors import LimitReached
from orchestrator.core.message import Message
from orchestrator.core.record import record
from orchestrator.deploy.deployment import Agent
from orchestrator.ports.provider import Capability, ChatCall, ChatReply, Support
from orchestrator.serve.ask import Ask
from orchestrator.serve.outcome import Outcome
from orchestrator.serve.run import Run
from orchestrator.serve.steps.calling import called
from orchestrator.serve.steps.near import near_enough, stays_near
from orchestrator.serve.steps.outward import let_out


@record
class Sight:
    """What a sign saw: a ``score`` in 0..1, higher for surer; or ``blind``, in words, why it saw nothing. ``scale`` names what
    changes its numbers; ``why`` tells the score to people."""

    scale: str
    score: float | None = None
    why: str = ""
    blind: str = ""


@dataclass(slots=True)
class Case:
    """An answer of an agent's model, its ``messages`` the conversation that it answers, ``call`` the way it was asked for. It
    counts what looking costs."""

    run: Run
    agent: Agent
    messages: tuple[Message, ...]
    call: ChatCall
    reply: ChatReply
    endpoint: str
    outcome: Outcome
    calls: int = field(default=0, init=False)
    tokens: int = field(default=0, init=False)

    def served_by(self, endpoint: str) -> str:
        """The model with the make of its server: numbers of different ones mean different things."""
        known = self.run.deployment.endpoints.get(endpoint)
        return f"{known.target.provider}/{known.target.model}" if known is not None else endpoint

    def lacks(self, capability: Capability, endpoint: str = "") -> bool:
        """Whether its server, or another, is known not to do this."""
        known = self.run.deployment.endpoints.get(endpoint or self.endpoint)
        told = known.capabilities.get(capability) if known is not None else None
        return told in (Support.NO, Support.IGNORED)

    async def ask(self, call: ChatCall, endpoints: tuple[str, ...]) -> tuple[ChatReply, str]:
        """One more call, within the agent's time, and the endpoint that answered. Raises ``RunError``."""
        run, agent = self.run, self.agent
        limit = agent.spec["max_total_tokens"]
        if limit is not None and run.usage.total_tokens >= limit:
            raise LimitReached(f"{agent.address} spent {run.usage.total_tokens} of {limit} tokens")
        near = near_enough(run, agent, endpoints)
        endpoints, customs = await let_out(run, agent, near, call, aside=True)
        priority = agent.spec["priority"] or run.request.priority
        ask = Ask(
            call,
            endpoints,
            run.until,
            priority,
            queue=run.queue(priority),
            customs=customs,
            place=run.place,
            near=stays_near(run, agent),
        )
        reply = await called(run, agent, ask, run.loop.chat(ask))
        self.calls += 1
        self.tokens += reply.usage.total_tokens
        return reply, ask.trace.endpoint

    def again(self, temperature: float, seed: int) -> ChatCall:
        """The call that was answered, to be answered in another way: without its functions, which nobody would carry out."""
        schema = None if self.lacks(Capability.JSON_SCHEMA) else self.agent.spec["output_schema"]
        return replace(
            self.call,
            messages=self.messages,
            tools=(),
            schema=schema,
            temperature=temperature,
            seed=seed,
            top_logprobs=0,
        )


Signs = Mapping[str, Any]
"""The parameters of a sign that are not as usual."""
