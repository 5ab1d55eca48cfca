"""Agent Framework: a workflow with a switch between a router and its specialists."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Never

from agent_framework import Agent, Case, Default, Executor, Message, WorkflowBuilder, WorkflowContext, handler
from arm import Ask, run
from team import asked, make_team


@dataclass
class Routed:
    """A request with who should answer it."""

    agent: str
    messages: list[Message]


class Front(Executor):
    """Asks the router about the newest message."""

    def __init__(self, agent: Agent) -> None:
        super().__init__(id="front")
        self._agent = agent

    @handler
    async def route(self, messages: list[Message], ctx: WorkflowContext[Routed]) -> None:
        """Choose, and pass everything on."""
        choice = await self._agent.run(messages[-1:])
        await ctx.send_message(Routed(choice.value.agent, messages))


class Specialist(Executor):
    """Lets one agent answer."""

    def __init__(self, agent: Agent) -> None:
        super().__init__(id=agent.name)
        self._agent = agent

    @handler
    async def answer(self, routed: Routed, ctx: WorkflowContext[Never, str]) -> None:
        """The answer is the workflow's output."""
        reply = await self._agent.run(routed.messages)
        await ctx.yield_output(reply.text)


def build(url: str) -> Ask:
    """The workflow is built once."""
    agent, specialists = make_team(url)
    front = Front(agent)
    executors = [Specialist(each) for each in specialists.values()]
    cases = [Case(lambda routed, name=each.id: routed.agent == name, each) for each in executors[:-1]]
    workflow = (
        WorkflowBuilder(start_executor=front, output_from=executors)
        .add_switch_case_edge_group(front, [*cases, Default(executors[-1])])
        .build()
    )

    async def ask(size: int) -> str:
        events = await workflow.run(asked(size))
        return events.get_outputs()[0]

    return ask


run(build, "agent-framework-core", "agent-framework-openai", "openai")
