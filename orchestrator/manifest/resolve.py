"""A loaded manifest to a resolved one: what the short form means is written out, and every reference is checked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from orchestrator.core.diagnostic import Diagnostic, has_errors, in_order
from orchestrator.core.errors import ManifestError
from orchestrator.manifest.inference.draft import Draft
from orchestrator.manifest.inference.escalation import settle_escalation
from orchestrator.manifest.inference.instructions import put_prompts_in
from orchestrator.manifest.inference.models import serve_agents, settle_models
from orchestrator.manifest.inference.parts import gather
from orchestrator.manifest.inference.reflexes import settle_reflexes
from orchestrator.manifest.inference.routers import settle_routers
from orchestrator.manifest.inference.spelling import settle_spellings
from orchestrator.manifest.inference.templates import apply_templates
from orchestrator.manifest.inference.tools import settle_tools
from orchestrator.manifest.loaded import Loaded
from orchestrator.manifest.pause import collector_paused
from orchestrator.manifest.resolved import Resolved
from orchestrator.manifest.secrets import ShownLines
from orchestrator.manifest.spec.manifest import Manifest
from orchestrator.manifest.validate import validate

STEPS: Final[tuple[Callable[[Draft], None], ...]] = (
    gather,
    apply_templates,
    settle_spellings,
    put_prompts_in,
    settle_escalation,
    settle_tools,
    settle_reflexes,
    settle_models,
    settle_routers,
    serve_agents,
    validate,
)


def resolve(loaded: Loaded) -> Resolved:
    """Write out what the manifest leaves open. Raises ``ManifestError`` with every fault in its references."""
    with collector_paused():
        draft = drafted(loaded)
        diagnostics = in_order([*loaded.diagnostics, *draft.diagnostics])
        if has_errors(diagnostics):
            raise ManifestError(
                diagnostics, ShownLines(loaded.sources, [one.place for one in diagnostics if one.place]).lines()
            )
        return Resolved(
            loaded=loaded,
            manifest=_manifest(draft),
            inferences=tuple(draft.inferences),
            diagnostics=tuple(diagnostics),
            origins=draft.origins,
            mentions=draft.mentions,
            reasons=draft.reasons,
        )


def drafted(loaded: Loaded) -> Draft:
    """Every step of resolving, done; the faults stand in its ``diagnostics``."""
    draft = Draft(loaded, loaded.manifest.deployment)
    for step in STEPS:
        step(draft)
    return draft


def check_references(loaded: Loaded) -> list[Diagnostic]:
    """Only what is wrong or worth a word in the references of a manifest."""
    return drafted(loaded).diagnostics


def _manifest(draft: Draft) -> Manifest:
    deployment = draft.deployment.model_copy(
        update={
            "agents": list(draft.agents.values()),
            "models": list(draft.models.values()),
            "tools": list(draft.tools.values()),
            "knowledge": list(draft.knowledge.values()),
            "nodes": list(draft.nodes.values()),
        }
    )
    return draft.loaded.manifest.model_copy(update={"deployment": deployment})
