"""Instructions that stand in a file are put in."""

from __future__ import annotations

from orchestrator.manifest.inference.draft import Draft
from orchestrator.manifest.prompts import PREFIX


def put_prompts_in(draft: Draft) -> None:
    """Replace ``file:PATH`` by the text that was read at load."""
    for name, agent in draft.agents.items():
        source = agent.instructions
        if source is not None and source.startswith(PREFIX):
            text = draft.loaded.sources.get(source)
            draft.agents[name] = agent.model_copy(update={"instructions": text or ""})
            draft.infer(f"agent.{name}", "instructions", text or "", f"read from {source.removeprefix(PREFIX)}")
