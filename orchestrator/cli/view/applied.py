"""What a user reads when a deployment runs: who answers, where it is, and what to type next."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any, Final

from orchestrator.cli.view.plan import shown_serving
from orchestrator.cli.view.terminal import Terminal
from orchestrator.core.blueprint import Blueprint
from orchestrator.core.hosts import in_url
from orchestrator.plan.plan import Plan
from orchestrator.plan.serving import NOTHING

_NO_ONE: Final = "give an agent a model, or reflex rules"


def shown_applied(
    blueprint: Blueprint, plan: Plan, applied: Mapping[str, Any], runtime_url: str, terminal: Terminal
) -> str:
    """The report. The address is of the OpenAI protocol; the deployment's name is the model's name there. ``now`` in what was
    applied is the revision that is desired by then, where that is known: another command may have been faster."""
    name = blueprint.name
    told = (applied.get("plan") or {}).get("serving")  # a server that was started serves only now
    serving = [entry.as_json() for entry in plan.serving] if told is None else told
    idle = [each["agent"] for each in serving if each["by"] == NOTHING]
    but = f", but nothing answers for {', '.join(idle)}" if idle else ""
    now = applied.get("now") or applied["revision"]
    if now != applied["revision"]:
        it = f"revision {now}, of another apply, has taken the place of {applied['revision']}, which was applied here"
        return f"{terminal.paint('yellow', name)}: {it}\n\n  see      orchestrator status {name}"
    lines = [f"{terminal.paint('yellow' if idle else 'green', name)} runs, revision {applied['revision']}{but}"]
    lines += shown_serving(serving, terminal)
    lines += [
        "",
        f"  address  {_address(blueprint, runtime_url)}  (OpenAI protocol, model {name})",
        *shown_try(name, applied.get("try"), serving),
        f"  stop     orchestrator down {name}",
    ]
    return "\n".join(lines)


def _address(blueprint: Blueprint, runtime_url: str) -> str:
    serve = blueprint.serve
    return f"http://{in_url(serve.host)}:{serve.port}/v1" if serve.port else runtime_url


def shown_try(
    name: str, trial: Mapping[str, Any] | None, serving: Sequence[Mapping[str, Any]], *, answers: bool | None = None
) -> list[str]:
    """A request that is answered; where there is none, what would make one answered. Only how to chat where the deployment
    was taken down meanwhile. ``answers``: whether anything answers, where ``serving`` does not name all that does."""
    chat = f"orchestrator chat {name}"
    if trial is None:
        return [f"  try      {chat}"]
    if trial.get("router"):
        asks = f"(not tried: the model of {trial['router']} decides who answers it)"
        return [f"  try      {_run(name, trial['text'])}", f"           {asks}", f"           {chat}"]
    if trial["text"]:
        return [f"  try      {_run(name, trial['text'])}", f"           {chat}"]
    less = [each for each in serving if each["gain"] and each["cure"]]
    less.sort(key=lambda each: not each["agent"].startswith("agent."))
    gains = [f"{each['agent']}: {each['gain']}: {each['cure']}" for each in less]
    if answers is None:
        answers = any(each["by"] != NOTHING for each in serving)
    lack = "give its agents examples, or its router a model, to tell who answers what" if answers else _NO_ONE
    first = next(iter([*trial["cures"], *gains]), lack)
    then = "ask about them, like" if trial["cures"] else "type"
    return [
        f"  try      nothing yet, for what is there answers none of its examples; first {first}",
        f"           then {then}: {_run(name, trial['example'])}",
    ]


def _run(name: str, text: str) -> str:
    return f"orchestrator run {name} {shlex.quote(text)}"
