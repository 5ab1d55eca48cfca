"""Which of the endpoints of an agent or a router may be asked, where what they would be sent must stay near."""

from __future__ import annotations

from orchestrator.core.errors import KeptNear
from orchestrator.deploy.deployment import Agent, Router
from orchestrator.serve.run import Run


def near_enough(run: Run, agent: Agent, endpoints: tuple[str, ...]) -> tuple[str, ...]:
    """Those that may see the run as it is now: a function may have given what is restricted. Raises ``KeptNear`` where that
    leaves none."""
    allowed = run.allowed(endpoints)
    if endpoints and not allowed:
        raise KeptNear(
            f"{agent.address} has only models in the cloud, and this request is restricted",
            cure="Give it a model of this device or the local network.",
        )
    return allowed


def seen_by(run: Run, router: Router, endpoints: tuple[str, ...]) -> tuple[str, ...]:
    """Those that a router may ask. One that leads to a restricted agent reads what is meant for it: the manifest is refused
    where its model is in the cloud, and a server that turns out to be there is not asked."""
    privacy = run.privacy
    private = privacy is not None and router.spec["name"] in privacy.routers
    return run.near(endpoints) if private else run.allowed(endpoints)
