"""Which of the endpoints of an agent or a router may be asked, where what they would be sent must stay near."""

from __future__ import annotations

from orchestrator.core.errors import KeptNear
from orchestrator.deploy.deployment import Agent, Router
from orchestrator.serve.run import Run


def near_enough(run: Run, agent: Agent, endpoints: tuple[str, ...]) -> tuple[str, ...]:
    """Those that may see the run as it is now: a function may have given what is restricted. Raises ``KeptNear`` where that
    leaves none."""
    allowed = seen_by(run, agent, endpoints)
    if endpoints and not allowed:
        why = "this request is restricted" if run.restricted else "a restricted agent may get this request after it"
        raise KeptNear(
            f"{agent.address} has only models in the cloud, and {why}",
            cure="Give it a model of this device or the local network.",
        )
    return allowed


def seen_by(run: Run, part: Agent | Router, endpoints: tuple[str, ...]) -> tuple[str, ...]:
    """Those that a router or an agent may ask. One that leads to a restricted agent reads what is meant for it: the manifest is
    refused where its model is in the cloud, and a server that turns out to be there is not asked."""
    return run.near(endpoints) if stays_near(run, part) else endpoints


def stays_near(run: Run, part: Agent | Router) -> bool:
    """Whether what this router or agent reads may reach no cloud."""
    return run.restricted or (run.privacy is not None and part.spec["name"] in run.privacy.before)
