"""The models of a manifest, asked what a router would ask them, for words and for vectors: by the servers that answer now, without
a runtime or a queue."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import anyio

from orchestrator.app.wiring import Plugins
from orchestrator.core.blueprint import Blueprint
from orchestrator.core.errors import NoModel
from orchestrator.deploy.distant import ASKING_SECONDS, ServerEncoder, embed
from orchestrator.deploy.endpoint import EndpointSpec
from orchestrator.plan.binding import Bound, BoundEndpoint, bind_all
from orchestrator.plan.observed import ObservedState
from orchestrator.plugins.secrets import reveal
from orchestrator.ports.provider import ChatCall, ChatReply, Target
from orchestrator.ports.strategy import AskModel, ModelQuestion

SECONDS: Final = 60.0
"""The longest that one call may take: the server may have to load the model for it."""
IN_THE_CLOUD: Final = "its server is in the cloud, which is not asked for this"

NO_SUCH: Final = "the manifest has no such model"

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


@dataclass(frozen=True, slots=True)
class Asked:
    """The servers that are asked. ``encoders``: by alias, the endpoint that makes vectors, or why there is none."""

    models: Models
    encoders: Mapping[str, EndpointSpec | str]

    def ask(self, alias: str) -> AskModel:
        """How a model is asked; where it cannot be, every question says why."""
        found = self.models.get(alias, NO_SUCH)
        if not isinstance(found, str):
            return found

        async def away(question: ModelQuestion) -> ChatReply:
            del question
            raise NoModel(found)

        return away

    def encoder(self, alias: str) -> ServerEncoder:
        """What a router learns with."""
        found = self.encoders.get(alias, NO_SUCH)
        return ServerEncoder(alias, (), found) if isinstance(found, str) else ServerEncoder(alias, (found,))

    async def embed(self, alias: str, text: str) -> Sequence[float]:
        """The vector of a request. Raises ``ModelError`` or ``NoModel``."""
        found = self.encoders.get(alias, NO_SUCH)
        if isinstance(found, str):
            raise NoModel(found)
        (vector,) = await embed((found,), (text,), ASKING_SECONDS)
        return vector


@asynccontextmanager
async def asked_servers(blueprint: Blueprint, observed: ObservedState, folder: Path) -> AsyncIterator[Asked]:
    """Every alias, while the block runs. Keys that are files count from ``folder``. Raises ``DeployError`` for a key that cannot be
    read."""
    plugins = Plugins()
    found = bind_all(blueprint, observed)
    try:
        yield Asked(
            {alias: _asking(plugins, bound, folder) for alias, bound in found.items()},
            {alias: _embedding(plugins, bound, folder) for alias, bound in found.items()},
        )
    finally:
        with anyio.CancelScope(shield=True):
            await plugins.aclose()


def _asking(plugins: Plugins, bound: Bound, folder: Path) -> AskModel | str:
    near = _near(bound)
    return near if isinstance(near, str) else _Asking(plugins, _target(near, folder))


def _embedding(plugins: Plugins, bound: Bound, folder: Path) -> EndpointSpec | str:
    near = _near(bound)
    if isinstance(near, str):
        return near
    return EndpointSpec(near.id, _target(near, folder), plugins.provider(near.provider))


def _near(bound: Bound) -> BoundEndpoint | str:
    """The first that is not in the cloud, or why there is none."""
    if not bound.endpoints:
        return bound.missing or "no server that answers has it"
    return next((each for each in bound.endpoints if each.zone != "cloud"), IN_THE_CLOUD)


def _target(endpoint: BoundEndpoint, folder: Path) -> Target:
    secret = reveal(endpoint.api_key, folder) if endpoint.api_key else None
    return Target(endpoint.provider, endpoint.api_base, endpoint.model, secret, endpoint.zone)
