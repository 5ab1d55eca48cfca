"""The examples with a real model server bound: random weights say nothing sensible, and everything around them holds."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import orchestrator
from examples.evaluation import FILES, read_cases
from orchestrator.app import catalog
from orchestrator.core.request import Result
from orchestrator.ports.tool import Tool, ToolContext, ToolFunction, ToolOutcome
from tests.real.llama import LlamaServers
from tests.real.serving import QUIET
from tests.real.tiny_model import CALLS_TOOLS, CHATTY, TinyModel

pytestmark = pytest.mark.anyio

EXAMPLES = Path(__file__).parents[2] / "examples"
MANIFESTS = [EXAMPLES / "retail-kiosk" / "kiosk.yaml", EXAMPLES / "customer-service" / "help-desk.yaml"]
KNOWN_FAULTS = {"LimitReached", "BrokenReply"}
"""What random weights bring about: calls without end, and an answer that the server itself cannot parse."""


class Watched:
    """A tool that writes down each call which reaches it."""

    def __init__(self, tool: Tool, calls: list[tuple[ToolFunction, Mapping[str, Any]]]) -> None:
        self._tool = tool
        self._calls = calls
        self.functions = tuple(replace(function, run=self._watched(function)) for function in tool.functions)

    def _watched(self, function: ToolFunction) -> Any:
        async def run(arguments: Mapping[str, Any], context: ToolContext) -> ToolOutcome:
            self._calls.append((function, arguments))
            return await function.run(arguments, context)

        return run

    async def aclose(self) -> None:
        await self._tool.aclose()


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple[ToolFunction, Mapping[str, Any]]]:
    """Every call that reaches a tool of a deployment, with what the function says of its arguments."""
    seen: list[tuple[ToolFunction, Mapping[str, Any]]] = []
    load: Callable[[Any, str], Any] = catalog.load

    def watched(family: Any, name: str) -> Any:
        found = load(family, name)
        return (lambda *given: Watched(found(*given), seen)) if family == "tool" else found

    monkeypatch.setattr(catalog, "load", watched)
    monkeypatch.setenv("DESK_STATE", str(tmp_path / "desk"))
    return seen


def outcome_of(result: Result) -> str:
    """How a run ended, in two words."""
    if result.error:
        return f"failed {result.error['kind']}"
    return f"{result.status} {result.served_by.partition('@')[0]}".strip()


@pytest.mark.parametrize("model", [CHATTY, CALLS_TOOLS], ids=["chatty", "calls-tools"])
@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda path: path.parent.name)
async def test_every_labelled_request_runs_with_a_model_bound(
    manifest: Path,
    model: TinyModel,
    llama_server: LlamaServers,
    calls: list[tuple[ToolFunction, Mapping[str, Any]]],
    tmp_path: Path,
) -> None:
    """Every route is an agent of the manifest, what reached a function fits its schema, no fault is an unknown one."""
    servers = [
        llama_server(model, alias="phi-4-mini", context=8192),
        llama_server(TinyModel(seed=4), alias="qwen2.5-0.5b"),
    ]
    files = [manifest.with_name(f"{name}.jsonl") for name in FILES]
    cases = [case for file in files for case in read_cases(file)]
    environment = {**QUIET, "ORCHESTRATOR_SERVERS": ",".join(server.url for server in servers)}
    async with orchestrator.open(manifest, environment=environment, state=tmp_path) as deployment:
        results = [
            await deployment.run(case.text, options={"temperature": 1.0, "seed": seed})
            for seed, case in enumerate(cases)
        ]
    for server in servers:
        server.kill()
    tally = Counter(map(outcome_of, results))
    asked = Counter(decision.choice for result in results for decision in result.decisions if "qwen" in decision.why)
    sys.stdout.write(
        f"{manifest.parent.name}: {len(results)} requests, {len(calls)} tool calls: {dict(tally)}, "
        f"routed by the model: {dict(asked)}\n"
    )
    assert asked.total() > 0, "the router's model was never asked"
    assert tally["completed llama-cpp"] >= len(cases) // 8, "the model was hardly asked"
    assert {result.error["kind"] for result in results if result.error} <= KNOWN_FAULTS
    check_routes(manifest, results)
    for function, arguments in calls:
        jsonschema.validate(dict(arguments), dict(function.parameters))
    assert len(calls) == sum(result.usage.tool_calls for result in results)
    assert calls or model is CHATTY


def check_routes(manifest: Path, results: list[Result]) -> None:
    """Each choice, each address on the way and each agent that answered is in the manifest."""
    import yaml

    agents = {agent["name"] for agent in yaml.safe_load(manifest.read_text())["deployment"]["agents"]}
    for result in results:
        assert result.agent in {*agents, ""}
        assert all(decision.choice in {*agents, None} for decision in result.decisions)
        assert {address.partition(".")[2] for address in result.path} <= agents
        assert json.dumps(result.as_json())
