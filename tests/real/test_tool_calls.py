"""A real server and a model that leans to tool calls: what reaches a function fits it, and no run goes on for ever."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from orchestrator.core.request import Result
from tests.real.llama import LlamaServer, LlamaServers
from tests.real.serving import opened, write
from tests.real.tiny_model import CALLS_TOOLS

pytestmark = pytest.mark.anyio

PARTS = '''\
"""What the model may call. Every call that arrives is written down as it came."""

import json
from pathlib import Path
from typing import Literal

CALLED = Path(__file__).with_name("called.jsonl")


def look_up(kind: Literal["order", "quote"], count: int) -> dict[str, int]:
    """Look something up."""
    with CALLED.open("a") as file:
        file.write(json.dumps({"kind": kind, "count": count}) + "\\n")
    return {"found": count}
'''
CLERK = """\
deployment:
  type: single-device
  models:
    - {alias: caller, provider: llama-cpp, model: caller, endpoint: "$CALLER", options: {temperature: 1}}
  tools:
    - {name: parts, python: "parts:look_up"}
  agents:
    - name: clerk
      instructions: You look things up.
      model: caller
      tools: [parts]
      max_tokens: LONGEST
      limits: {steps: 4, tool_calls: 5}
"""
LONG_ENOUGH, CUT_OFF = 400, 60
"""Tokens in which a call is finished, and in which most calls break off in the middle of their arguments."""


@pytest.fixture(scope="module")
def caller(llama_server: LlamaServers) -> LlamaServer:
    """A server whose model calls functions."""
    return llama_server(CALLS_TOOLS, alias="caller")


async def thirty_runs(folder: Path, server: LlamaServer, longest: int) -> list[Result]:
    (folder / "parts.py").write_text(PARTS)
    manifest = write(folder, CLERK.replace("LONGEST", str(longest)), caller=server)
    async with opened(manifest) as deployment:
        return [await deployment.run(f"Where is order {seed}?", options={"seed": seed}) for seed in range(30)]


def calls_that_arrived(folder: Path) -> list[dict[str, Any]]:
    written = folder / "called.jsonl"
    return [json.loads(line) for line in written.read_text().splitlines()] if written.exists() else []


def outcomes(results: list[Result]) -> Counter[str]:
    """How the calls of all runs ended, as the runs' own stories have it."""
    return Counter(step.detail["outcome"] for result in results for step in result.steps if step.kind == "tool")


def faults(results: list[Result]) -> set[str]:
    return {result.error["kind"] for result in results if result.error}


async def test_what_reaches_a_function_fits_it_and_caps_end_the_rest(caller: LlamaServer, tmp_path: Path) -> None:
    """Thirty runs at temperature 1: an answer, or LimitReached; each call that arrived had arguments of the right kind."""
    results = await thirty_runs(tmp_path, caller, LONG_ENOUGH)
    arrived = calls_that_arrived(tmp_path)
    assert len(arrived) >= 20
    assert all(call["kind"] in ("order", "quote") and type(call["count"]) is int for call in arrived)
    assert outcomes(results)["ok"] == sum(result.usage.tool_calls for result in results) == len(arrived)
    assert faults(results) == {"LimitReached"}
    assert {result.status for result in results} == {"completed", "failed"}
    assert all(result.usage.model_calls <= 4 and result.usage.tool_calls <= 5 for result in results)


async def test_broken_arguments_are_told_to_the_model_and_counted(caller: LlamaServer, tmp_path: Path) -> None:
    """Calls that the limit of tokens cut off reach no function; the model is asked again, until its steps are spent."""
    results = await thirty_runs(tmp_path, caller, CUT_OFF)
    found = outcomes(results)
    assert found["refused"] >= 10
    assert found["ok"] == len(calls_that_arrived(tmp_path)) == sum(result.usage.tool_calls for result in results)
    assert faults(results) <= {"LimitReached"}
    told = [
        step.detail["fault"] for result in results for step in result.steps if step.detail.get("outcome") == "refused"
    ]
    assert all("no JSON object" in fault or "missing" in fault for fault in told), told
    asked_again = [result for result in results if outcomes([result])["refused"] and not result.error]
    assert asked_again, "no run went on to an answer after a broken call"
