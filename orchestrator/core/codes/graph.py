"""ORC3xx: properties of the whole graph."""

from __future__ import annotations

from typing import Final

from orchestrator.core.codes.code import Code

CODES: Final[tuple[Code, ...]] = (
    Code(
        "ORC301",
        "a request can go round",
        "Routes, defaults and escalations form a cycle, so that a request might never end.",
        "Let one of the vertices on the path lead elsewhere.",
    ),
    Code(
        "ORC302",
        "a router leads nowhere",
        "The router has no route and no default.",
        "Give it routes, or add an agent.",
    ),
    Code(
        "ORC303",
        "nothing answers",
        "The agent has no model, no reflex rule and no tool, so that it can answer nothing.",
        "Give it a model, reflex rules, or the name of a template.",
    ),
    Code(
        "ORC304",
        "a router without a default",
        "When no strategy is sure, the router asks back with the choices instead of sending the request on.",
        "Add default: <agent>, there or under deployment.routing, if one agent should take what fits nowhere.",
    ),
    Code("ORC305", "no agent", "The deployment has nobody who could answer.", "Add an agent under deployment.agents."),
    Code(
        "ORC306",
        "unreachable",
        "No way leads from the entry to this agent.",
        "Add a route or an escalation to it, leave out an entry that leads past it, or remove it.",
    ),
    Code("ORC307", "unused", "Nobody uses this model, tool or document set.", "Name it in an agent, or remove it."),
    Code(
        "ORC308",
        "restricted data can reach the cloud",
        "An agent with privacy_mode or compliance can reach a model in the cloud: its own, a fallback, or that of an escalation.",
        "Use a model of this device or the local network, or let another agent take it.",
    ),
    Code(
        "ORC309",
        "a model in the cloud reads what a restricted agent gets",
        "A router's model reads every request, also those that are meant for a restricted agent; the models of an agent, and "
        "a judge of its answers, read what it hands over to one (escalate_to).",
        "Give the router or the agent, or its judge, a model of this device or the local network; or let an agent that is not "
        "restricted take over.",
    ),
    Code(
        "ORC310",
        "an offline agent needs the cloud",
        "An agent with offline_mode uses a model in the cloud.",
        "Give it a model of this device or the local network.",
    ),
    Code(
        "ORC311",
        "option that this server does not have",
        "Every program has options of its own; one that it has under another name, or not at all, is not passed on.",
        "Write what it has instead, or take the option out.",
        "{alias: phi-4-mini, provider: vllm, server: {gpu_layers: 32}}",
    ),
    Code(
        "ORC312",
        "restricted data would have to leave its node",
        "An agent with privacy_mode or compliance hands over (escalate_to) to one that the manifest has on other nodes only. What "
        "is restricted is answered on its own node or not at all, so that it would fail there with ORC575.",
        "Give the one that takes over to the same node, or let an agent of that node take over.",
    ),
    Code(
        "ORC313",
        "build that this server cannot have",
        "The model is wanted in a build (quantization) that the server which is started for it cannot be told, and the name or the "
        "file that it is started with is another one. None is put in its place.",
        "Name that build where the model is named (model, or path of its server), or write the build that is there.",
        "{alias: phi-4-mini, provider: vllm, quantization: q4_k_m, server: {}}",
    ),
    Code(
        "ORC320",
        "a model can never fit",
        "The manifest says what memory there is, and the weights of the model alone are larger than what models may take.",
        "Take a smaller model, or correct hardware, resources.max_memory_usage or the model's memory.",
    ),
    Code(
        "ORC321",
        "a model does not fit as it is written",
        "With its build, its context and its slots the model takes more than models may take of the memory that is written, "
        "or than pinned models leave of it.",
        "Take a smaller build (quantization), a smaller context_length, or a smaller model.",
    ),
    Code(
        "ORC322",
        "models take turns",
        "Each model fits by itself, but not all of one device at once: one is unloaded where another is needed.",
        "Nothing has to be done; a smaller build or context_length of one may save the waiting.",
    ),
)
