"""Manifests of any size, for measurements."""

from __future__ import annotations


def manifest_text(agents: int) -> str:
    """A deployment of ``agents`` specialists with examples, three tools and two models, behind one router."""
    lines = [
        "apiVersion: orchestrator/v1",
        f"metadata: {{name: size-{agents}}}",
        "deployment:",
        "  type: single-device",
        "  models:",
        "    - {alias: phi-4-mini, primary: true, tasks: [conversation]}",
        "    - {alias: qwen2.5-0.5b, secondary: true, tasks: [routing]}",
        "  tools: [calendar, tickets, clock]",
        "  agents:",
        "    - {name: front, role: router, strategy: keyword, default: agent-0}",
    ]
    for number in range(agents):
        lines += [
            f"    - name: agent-{number}",
            f"      description: Answers questions about subject {number}.",
            "      model: phi-4-mini",
            f"      instructions: You answer questions about subject {number}, in one sentence.",
            f"      keywords: [subject {number}, topic-{number}]",
            "      tools: [tickets]",
            "      examples:",
            f"        - Tell me about subject {number}",
            f"        - What is new in topic-{number}?",
        ]
    return "\n".join(lines) + "\n"
