"""Every starter of ``init``, asked what it promises: with no model, each request finds its agent."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest

import orchestrator
from orchestrator.app.compile import compile_files
from orchestrator.cli.verbs.init import MESH, STARTERS
from tests.cli.commands import here

APPLIED: Final = [starter for starter in STARTERS if starter != MESH]
"""A mesh cannot be applied yet."""
PLAIN: Final = {
    "list tickets": "tickets.ask",
    "show tickets": "tickets.ask",
    "show all tickets": "tickets.ask",
    "list open tickets": "tickets.ask",
    "any tickets?": "tickets.ask",
    "create a ticket: the lamp is broken": "tickets.create",
    "add a ticket: the lamp is broken": "tickets.create",
    "new ticket: the lamp is broken": "tickets.create",
    "show T-1001": "tickets.show",
    "show ticket 1001": "tickets.show",
    "add a note to T-1001: it is a lamp in the hall": "tickets.note",
    "close ticket T-1001": "tickets.close",
    "list appointments": "calendar.ask",
    "list meetings": "calendar.ask",
    "list events": "calendar.ask",
    "show my calendar": "calendar.ask",
    "add a meeting with Anna tomorrow at 10:00": "calendar.book",
    "find the meeting with Anna": "calendar.ask",
    "when am I free tomorrow": "calendar.ask",
    "show free slots": "calendar.ask",
    "cancel my meeting with Anna": "calendar.ask",
    "what time is it": "clock.now",
    "tell me the time": "clock.now",
    "what date is friday": "clock.parse",
    "search the documents for the warranty": "knowledge.search",
    "find the warranty in the documents": "knowledge.search",
    "list emails": "email.list",
    "show the outbox": "email.list",
    "send an email to anna@example.org saying the order is ready": "email.send",
}
"""Requests as somebody types them who knows the tool's verbs only, in an order that gives each something to act on."""

pytestmark = pytest.mark.anyio


@pytest.fixture
def manifest(starter: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The starter, written into an empty folder by ``init``; no model server is looked for."""
    monkeypatch.setenv("ORCHESTRATOR_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("ORCHESTRATOR_SERVERS", "")
    assert here("init", starter, "--no-schema", "-o", str(tmp_path / "work" / "asked.yaml")).code == 0
    return tmp_path / "work" / "asked.yaml"


def agents(manifest: Path) -> list[Mapping[str, Any]]:
    """The agents, with all that their templates give them."""
    return [element.spec for element in compile_files([str(manifest)], environment={}).blueprint.of_kind("agent")]


def promised(manifest: Path) -> dict[str, set[str]]:
    """Every example request, of agents, skills and rules, with the agents that promise to answer it."""
    found: dict[str, set[str]] = {}
    for agent in agents(manifest):
        of_skills = [text for skill in agent["skills"] for text in skill["examples"]]
        of_rules = [text for rule in agent["reflex"] for text in rule["when"].get("examples") or ()]
        for text in (*agent["examples"], *of_skills, *of_rules):
            found.setdefault(text, set()).add(agent["name"])
    return found


def functions_called(manifest: Path) -> set[str]:
    """By the rules that say in examples what they are for; others take what is left over."""
    rules = [rule for agent in agents(manifest) for rule in agent["reflex"]]
    return {rule["call"] for rule in rules if rule["when"].get("examples")}


def first_agent(result: orchestrator.Result) -> str:
    """Whom the request reached, whoever took over; empty where a router asked back."""
    return next((name for kind, _, name in (step.partition(".") for step in result.path) if kind == "agent"), "")


@pytest.mark.parametrize("starter", APPLIED)
async def test_every_example_reaches_an_agent_that_promises_it(manifest: Path) -> None:
    """In the very words of the example."""
    wrong = []
    async with orchestrator.open(manifest) as deployment:
        for text, owners in promised(manifest).items():
            reached = first_agent(await deployment.run(text))
            if reached not in owners:
                wrong.append((text, owners, reached))
    assert wrong == []


@pytest.mark.parametrize("starter", APPLIED)
async def test_the_plain_verbs_of_each_tool_are_answered_by_that_tool(manifest: Path) -> None:
    """Wherever some agent's rules call the function: it is called, and by nobody's mistake another."""
    called = functions_called(manifest)
    wrong = []
    async with orchestrator.open(manifest) as deployment:
        for text, function in PLAIN.items():
            if function not in called:
                continue
            result = await deployment.run(text)
            did = [step.subject for step in result.steps if step.kind == "tool"]
            if did != [function] or result.status == "failed":
                wrong.append((text, function, did, result.status, result.path, result.why))
    assert wrong == []


@pytest.mark.parametrize("starter", ["customer-service"])
async def test_who_only_looks_alike_gets_nothing(manifest: Path) -> None:
    """What a rule's words resemble is asked back or goes to its own agent, not to the agent of that rule."""
    asked = {
        "the printer does not print": "technical-support",
        "I forgot my password": "technical-support",
        "my laptop does not start": "technical-support",
        "what is on my calendar tomorrow": "scheduling",
        "I have a complaint about my last purchase": "customer-service",
        "who won the football match yesterday": "",
        "write a poem about the sea": "",
    }
    async with orchestrator.open(manifest) as deployment:
        assert {text: first_agent(await deployment.run(text)) for text in asked} == asked


async def test_the_plain_verbs_cover_every_function_that_a_rule_of_a_starter_calls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But cancelling, which needs the id of an event, and the lists that rules which ask back call and do not tell."""
    monkeypatch.chdir(tmp_path)
    called: set[str] = set()
    for starter in STARTERS:
        assert here("init", starter, "--no-schema", "-o", f"{starter}/asked.yaml").code == 0
        called |= functions_called(tmp_path / starter / "asked.yaml")
    assert called == {*PLAIN.values(), "calendar.cancel", "calendar.list", "tickets.list"}
