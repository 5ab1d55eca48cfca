"""LangGraph: a compiled graph with conditional edges, whose nodes call LangChain's own model of the OpenAI protocol."""

from __future__ import annotations

from typing import Any, TypedDict

from arm import AGENTS, HISTORIES, QUESTION, ROUTER, SCHEMA, Ask, instructions, run
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, SystemMessage
from langchain_openai import ChatOpenAI
from langgraph.graph import END, START, StateGraph


class State(TypedDict, total=False):
    """What the nodes share."""

    text: str
    history: list[AnyMessage]
    agent: str
    answer: str


def messages_of(size: int) -> list[AnyMessage]:
    """A history in LangChain's own types."""
    kinds = {"user": HumanMessage, "assistant": AIMessage}
    return [kinds[each["role"]](each["content"]) for each in HISTORIES[size]]


def build(url: str) -> Ask:
    """The graph is compiled once, and the histories are made once."""
    router = ChatOpenAI(model="canned", base_url=url, api_key="none", temperature=0, max_tokens=64)
    model = ChatOpenAI(model="canned", base_url=url, api_key="none", temperature=0, max_tokens=160)
    chooses = router.with_structured_output({"title": "route", "description": "Who answers.", **SCHEMA}, strict=True)
    histories = {size: messages_of(size) for size in HISTORIES}

    async def front(state: State) -> State:
        found = await chooses.ainvoke([SystemMessage(ROUTER), HumanMessage(state["text"])])
        return {"agent": found["agent"]}

    def specialist(name: str) -> Any:
        system = SystemMessage(instructions(name))

        async def answer(state: State) -> State:
            reply = await model.ainvoke([system, *state["history"], HumanMessage(state["text"])])
            return {"answer": reply.content}

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
        state = await graph.ainvoke({"text": QUESTION, "history": histories[size]})
        return state["answer"]

    return ask


run(build, "langgraph", "langchain-openai", "openai")
