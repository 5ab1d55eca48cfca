"""LangGraph: a compiled graph with conditional edges, whose nodes call the official OpenAI client."""

from __future__ import annotations

import json
from typing import Any, TypedDict

from arm import AGENTS, HISTORIES, QUESTION, RESPONSE_FORMAT, ROUTER, Ask, instructions, run
from langgraph.graph import END, START, StateGraph
from openai import AsyncOpenAI


class State(TypedDict, total=False):
    """What the nodes share."""

    text: str
    history: list[Any]
    agent: str
    answer: str


def build(url: str) -> Ask:
    """The graph is compiled once."""
    client = AsyncOpenAI(base_url=url, api_key="none")

    async def front(state: State) -> State:
        reply = await client.chat.completions.create(
            model="canned",
            messages=[{"role": "system", "content": ROUTER}, {"role": "user", "content": state["text"]}],
            response_format=RESPONSE_FORMAT,
            temperature=0,
            max_tokens=64,
        )
        return {"agent": json.loads(reply.choices[0].message.content)["agent"]}

    def specialist(name: str) -> Any:
        system = {"role": "system", "content": instructions(name)}

        async def answer(state: State) -> State:
            reply = await client.chat.completions.create(
                model="canned",
                messages=[system, *state["history"], {"role": "user", "content": state["text"]}],
                temperature=0,
                max_tokens=160,
            )
            return {"answer": reply.choices[0].message.content}

        return answer

    builder = StateGraph(State)
    builder.add_node("front", front)
    builder.add_edge(START, "front")
    for name in AGENTS:
        builder.add_node(name, specialist(name))
        builder.add_edge(name, END)
    builder.add_conditional_edges("front", lambda state: state["agent"], list(AGENTS))
    graph = builder.compile()

    async def ask(size: int) -> str:
        state = await graph.ainvoke({"text": QUESTION, "history": HISTORIES[size]})
        return state["answer"]

    return ask


run(build, "langgraph", "openai")
