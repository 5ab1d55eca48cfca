"""Which request is offered to be tried: the first that is answered by what serves, without asking a model or writing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import pytest

from orchestrator.app.compile import compile_files
from orchestrator.app.settings import Settings
from orchestrator.app.wiring import InProcess, open_in_process
from orchestrator.ports.tool import ToolContext
from orchestrator.serve.trying import Trial, find_request
from orchestrator.testing.endpoint import SimulatedEndpoint
from orchestrator.testing.http_shell import HttpShell

pytestmark = pytest.mark.anyio

DESK: Final = """\
deployment:
  type: single-device
  knowledge: [{name: rules, path: rules}]
  agents:
    - name: desk
      tools: [tickets, clock]
      knowledge: [rules]
      examples: [EXAMPLE]
      reflex:
        - when: {keywords: [close], examples: [close T-1001]}
          call: tickets.close
          arguments: {number: T-1001}
          say: Closed.
        - when: {keywords: [show], examples: [show T-1001]}
          call: tickets.show
          arguments: {number: T-1001}
          say: '{{ result.subject }}'
        - when: {keywords: [list], examples: [list the tickets]}
          call: tickets.ask
          arguments: {question: list tickets}
          say: '{{ result.tickets | length }} tickets.'
        - when: {keywords: [silent]}
          say: '{{ "" }}'
        - when: {keywords: [back]}
          unsure: true
          say: What do you mean?
        - when: {keywords: [time, silent], examples: [the time]}
          call: clock.now
          say: '{{ result.time }}'
        - when: {regex: '\\?'}
          call: knowledge.search
          arguments: {query: '{{ text }}'}
          say: '{% for passage in result if passage.score >= 0.5 %}{{ passage.text }}{% else %}Nothing.{% endfor %}'
"""


@asynccontextmanager
async def served(text: str, folder: Path, servers: str = "") -> AsyncIterator[InProcess]:
    """A manifest in process, beside a folder with one document."""
    (folder / "rules").mkdir()
    (folder / "rules" / "returns.md").write_text("# Returns\n\nReturns are free for thirty days.\n")
    (folder / "desk.yaml").write_text(text)
    blueprint = compile_files([str(folder / "desk.yaml")], environment={}).blueprint
    settings = Settings.read({"ORCHESTRATOR_SERVERS": servers, "ORCHESTRATOR_HOME": str(folder)})
    async with open_in_process(blueprint, state=folder / "state", settings=settings) as deployment:
        yield deployment


async def trial(text: str, folder: Path, servers: str = "") -> Trial:
    async with served(text, folder, servers) as deployment:
        return await find_request(deployment.engine.deployment)


@pytest.mark.parametrize(
    ("examples", "offered"),
    [
        ("how long are returns free?", "how long are returns free?"),
        ("what is the capital of France?", "the time"),
        ("returns of the moon rocket engine fuel?", "the time"),
        ("close it", "the time"),
        ("show it", "the time"),
        ("list them", "the time"),
        ("back to you", "the time"),
        ("nobody takes this", "the time"),
        ("silent", "silent"),
    ],
    ids=[
        "found",
        "not found",
        "not near enough",
        "writes",
        "fails",
        "bare",
        "asks back",
        "no rule",
        "says nothing first",
    ],
)
async def test_the_first_example_that_is_really_answered_is_offered(
    examples: str, offered: str, tmp_path: Path
) -> None:
    found = await trial(DESK.replace("EXAMPLE", examples), tmp_path)
    assert found == Trial(offered)


async def test_what_says_that_there_is_nothing_comes_before_what_writes(tmp_path: Path) -> None:
    without = DESK.replace("EXAMPLE", "nobody takes this").replace("examples: [the time]", "max_chars: 3")
    assert await trial(without, tmp_path) == Trial("list the tickets")


async def test_a_rule_that_writes_is_offered_where_nothing_else_answers_and_nothing_is_written(tmp_path: Path) -> None:
    text = """\
deployment:
  type: single-device
  agents:
    - name: desk
      tools: [tickets]
      examples: [my lamp is broken]
      reflex: [{call: tickets.create, arguments: {subject: '{{ text }}'}, say: '{{ result.number }}'}]
"""
    async with served(text, tmp_path) as deployment:
        assert await find_request(deployment.engine.deployment) == Trial("my lamp is broken")
        listed = await deployment.engine.deployment.agents["desk"].functions["tickets_list"].run({}, ToolContext())
        assert listed.value == []


async def test_a_call_that_a_person_must_allow_is_not_offered(tmp_path: Path) -> None:
    text = """\
deployment:
  type: single-device
  tools: [{name: clock, use: clock, approval: always}]
  agents:
    - name: desk
      tools: [clock]
      examples: [the time]
      reflex: [{call: clock.now, say: '{{ result.time }}'}]
"""
    assert await trial(text, tmp_path) == Trial(example="the time")


async def test_a_folder_of_documents_that_answers_nothing_is_named(tmp_path: Path) -> None:
    text = "deployment: {type: single-device, agents: [{name: faq, tools: [knowledge]}]}"
    found = await trial(text, tmp_path)
    assert found.text == ""
    (cure,) = found.cures
    assert cure.startswith("put documents (Markdown or text) into ")
    assert cure.endswith("/tool.knowledge/documents")


async def test_an_agent_that_a_model_serves_answers_its_first_example_and_is_not_asked(tmp_path: Path) -> None:
    text = """\
deployment:
  type: single-device
  models: [{alias: m, model: simulated, provider: openai-compatible, endpoint: URL}]
  agents: [{name: writer, model: m, examples: [write a letter]}]
"""
    endpoint = SimulatedEndpoint()
    shell = HttpShell(endpoint)
    await shell.start()
    try:
        found = await trial(text.replace("URL", shell.url), tmp_path, shell.url)
    finally:
        await shell.stop()
    assert found == Trial("write a letter")
    assert endpoint.records == []


CHOSEN: Final = """\
deployment:
  type: single-device
  models: [{alias: phi-4-mini}]
  agents:
    - {name: front, role: router, strategy: STRATEGY, model: phi-4-mini, routes: [silent, hours, returns]}
    - {name: silent, model: [], examples: [say nothing], reflex: [{when: {keywords: [never]}, say: No.}]}
    - {name: hours, model: [], examples: [when do you open], reflex: [{when: {keywords: [open]}, say: Nine to six.}]}
    - {name: returns, model: [], examples: [take it back], reflex: [{say: Bring it.}]}
"""


@pytest.mark.parametrize(("strategy", "router"), [("intent", "front"), ("lexical", "")])
async def test_what_the_model_of_a_router_must_choose_is_offered_as_such(
    strategy: str, router: str, tmp_path: Path
) -> None:
    """The first example that its own agent answers; no model is asked."""
    shell = HttpShell(SimulatedEndpoint(models=("phi-4-mini",)))
    await shell.start()
    try:
        text = CHOSEN.replace("STRATEGY", strategy)
        found = await trial(text, tmp_path, servers=shell.url)
    finally:
        await shell.stop()
    assert (found.text, found.router) == ("when do you open", router)
    assert shell.endpoint.records == []
