"""Who takes over where the policy keeps a request on this device: it was nobody's fault, and asking again would change nothing."""

from __future__ import annotations

from orchestrator.core.errors import RunError, Withheld
from orchestrator.deploy.deployment import Agent
from orchestrator.serve.privacy import leads_to_private
from orchestrator.serve.run import Run


def kept_here(error: RunError) -> bool:
    """Whether the policy said no: then whoever stands behind the agent takes over, whatever ``escalate_when`` lists."""
    return isinstance(error, Withheld)


def instead_of(run: Run, agent: Agent, error: RunError) -> str:
    """Where nobody stands behind it: the default agent of the last router that the request came through, if it was not asked yet
    and nothing was said. Not one that is restricted, or leads to one, where the run was in the cloud before it was refused."""
    if not kept_here(error) or run.streamed or agent.spec["escalate_to"]:
        return ""
    for address in reversed(run.path):
        kind, _, name = address.partition(".")
        if kind == "router":
            default = run.deployment.routers[name].spec["default"] or ""
            asked = f"agent.{default}" in run.path
            return "" if asked or (leads_to_private(run.deployment, default) and _was_far(run)) else default
    return ""


def _was_far(run: Run) -> bool:
    """Whether a model in the cloud was asked, also for a vector."""
    return any(step.kind in ("model", "vectors") and step.detail.get("zone") == "cloud" for step in run.steps)
