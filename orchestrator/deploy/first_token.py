"""Whether a server that we started is ready: only a token of its model proves it."""

from __future__ import annotations

from typing import Final, cast

from orchestrator.core.errors import BadRequest, ModelError, ModelNotFound, Refused
from orchestrator.core.message import Message
from orchestrator.deploy.supervisor import Answer
from orchestrator.plan.wish import Wish
from orchestrator.ports.provider import ChatCall, Embedder, Provider, Target

LONGEST: Final = 120.0
"""Seconds that the first answer may take: some makes compile for their first request."""
_HOPELESS: Final = (ModelNotFound, Refused, BadRequest)


async def first_token(provider: Provider, url: str, model: str, kind: str, wish: Wish | None = None) -> Answer:
    """Ask the server at ``url`` for one token of ``model``, or for one vector of an embedding model. With a ``wish`` for whichever
    it has that meets it; without any such one it answers, and is empty."""
    identity = await provider.identify(url)
    if identity is None:
        return Answer(False, "it does not answer yet")
    try:
        if wish is not None:
            met = wish.met_by(identity.provider, await provider.models(identity))
            if met is None:
                return Answer(False, f"it has no {model}{f' in {wish.build}' if wish.build else ''} yet", empty=True)
            model = met.id
        target = Target(identity.provider, identity.api_base, model)
        if kind == "embedding":
            await cast(Embedder, provider).embed(target, ("hello",), LONGEST)
        else:
            await provider.chat(ChatCall(target, (Message("user", "hello"),), max_tokens=1, timeout=LONGEST))
    except ModelError as error:
        return Answer(False, error.line, isinstance(error, _HOPELESS))
    return Answer(True)
