"""The models of a manifest, asked what a router would ask them: by the servers that answer now, without a runtime or a queue."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import anyio

from orchestrator.app.wiring import Plugins
from orchestrator.core.blueprint import Blueprint
from orchestrator.plan.binding import Bound, BoundEndpoint, bind_all
from orchestrator.plan.observed import ObservedState
from orchestrator.plugins.secrets import reveal
from orchestrator.ports.provider import ChatCall, ChatReply, Target
from orchestrator.ports.strategy import AskModel, ModelQuestion

SECONDS: Final = 60.0
"""The longest that one call may take: the server may have to load the model for it."""
IN_THE_CLOUD: Final = "its server is in the cloud, which is not asked for this"

Models = Mapping[str, AskModel | str]
"""By alias: how it is asked, or why it cannot be."""


@dataclass(frozen=True, slots=True)
class _Asking:
    """Asks one endpoint, as the engine would."""

    plugins: Plugins
    target: Target

    async def __call__(self, question: ModelQuestion) -> ChatReply:
        call = ChatCall(
            self.target,
            question.messages,
            schema=question.schema,
            schema_name=question.schema_name,
            temperature=0.0,
            max_tokens=question.max_tokens,
            top_logprobs=question.top_logprobs,
            timeout=SECONDS,
            choice=question.choice,
        )
        reply = await self.plugins.provider(self.target.provider).chat(call)
        return replace(reply, kind="/".join(filter(None, (self.target.provider, reply.kind))))


@asynccontextmanager
async def asked_models(blueprint: Blueprint, observed: ObservedState, folder: Path) -> AsyncIterator[Models]:
    """Every alias, while the block runs. Keys that are files count from ``folder``. Raises ``DeployError`` for a key that cannot be
    read."""
    plugins = Plugins()
    try:
        yield {alias: _asking(plugins, bound, folder) for alias, bound in bind_all(blueprint, observed).items()}
    finally:
        with anyio.CancelScope(shield=True):
            await plugins.aclose()


def _asking(plugins: Plugins, bound: Bound, folder: Path) -> AskModel | str:
    if not bound.endpoints:
        return bound.missing or "no server that answers has it"
    near = [each for each in bound.endpoints if each.zone != "cloud"]
    return _Asking(plugins, _target(near[0], folder)) if near else IN_THE_CLOUD


def _target(endpoint: BoundEndpoint, folder: Path) -> Target:
    secret = reveal(endpoint.api_key, folder) if endpoint.api_key else None
    return Target(endpoint.provider, endpoint.api_base, endpoint.model, secret, endpoint.zone)
