"""Every request ends: no cycles, no dead ends, and a word for what no route fits."""

from __future__ import annotations

from orchestrator.core.diagnostic import Severity
from orchestrator.graph.finding import Finding
from orchestrator.graph.graph import AgentGraph


def no_cycles(graph: AgentGraph) -> list[Finding]:
    """No request can go round: routes, defaults and escalations form no cycle."""
    return [
        Finding(
            "ORC301",
            path[0],
            f"a request can go round: {' -> '.join(path)}",
            "Let one of them lead elsewhere.",
        )
        for path in graph.cycles()
    ]


def no_dead_ends(graph: AgentGraph) -> list[Finding]:
    """Every router leads somewhere, and every agent has something that answers."""
    findings = [
        Finding("ORC302", router.address, f"{router.address} leads nowhere", "Give it routes, or add an agent.")
        for router in graph.vertices("router")
        if not graph.out_of(router.address, "route", "default")
    ]
    for agent in graph.vertices("specialist", "escalation"):
        answers = graph.out_of(agent.address, "uses") or agent.facts["reflex"] or agent.facts["human"]
        if not answers:
            findings.append(
                Finding(
                    "ORC303",
                    agent.address,
                    f"nothing answers for {agent.address}: it has no model, no reflex rule and no tool",
                    "Give it a model, reflex rules, or the name of a template.",
                    Severity.WARNING,
                )
            )
    return findings


def routers_have_a_default(graph: AgentGraph) -> list[Finding]:
    """A router without a default asks back when it is unsure: said as a note, since that may be meant."""
    return [
        Finding(
            "ORC304",
            router.address,
            f"{router.address} has no default: when it is unsure it asks back with the choices",
            "Add default: <agent>, there or under deployment.routing, if one agent should take what fits nowhere.",
            Severity.NOTE,
        )
        for router in graph.vertices("router")
        if not router.facts["default"] and not graph.out_of(router.address, "escalate")
    ]
