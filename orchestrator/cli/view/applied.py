"""What a user reads when a deployment runs: who answers, where it is, and what to type next."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from orchestrator.cli.view.plan import shown_serving
from orchestrator.cli.view.terminal import Terminal
from orchestrator.core.blueprint import Blueprint
from orchestrator.plan.plan import Plan


def shown_applied(
    blueprint: Blueprint, plan: Plan, applied: Mapping[str, Any], runtime_url: str, terminal: Terminal
) -> str:
    """The report. The address is of the OpenAI protocol; the deployment's name is the model's name there."""
    name = blueprint.name
    told = (applied.get("plan") or {}).get("serving")  # a server that was started serves only now
    serving = [entry.as_json() for entry in plan.serving] if told is None else told
    lines = [f"{terminal.paint('green', name)} runs, revision {applied['revision']}"]
    lines += shown_serving(serving, terminal)
    lines += [
        "",
        f"  address  {_address(blueprint, runtime_url)}  (OpenAI protocol, model {name})",
        f"  try      orchestrator run {name} {shlex.quote(_example(blueprint))}",
        f"           orchestrator chat {name}",
        f"  stop     orchestrator down {name}",
    ]
    return "\n".join(lines)


def _address(blueprint: Blueprint, runtime_url: str) -> str:
    serve = blueprint.serve
    return f"http://{serve.host}:{serve.port}/v1" if serve.port else runtime_url


def _example(blueprint: Blueprint) -> str:
    """The first request that an agent of the manifest says it answers."""
    for element in blueprint.of_kind("agent"):
        for example in [*element.spec["examples"], *(e for s in element.spec["skills"] for e in s["examples"])]:
            return str(example)
    return "hello"
