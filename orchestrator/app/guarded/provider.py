"""The door around a provider of another package."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import asdict, replace
from functools import lru_cache, partial
from typing import Any, Final
from urllib.parse import urlsplit

from orchestrator.app.guarded.guard import Guard
from orchestrator.core.errors import BrokenReply, DeployError, ModelError
from orchestrator.core.finish import finish_of
from orchestrator.ports.provider import (
    Capability,
    ChatCall,
    ChatReply,
    Delta,
    Identity,
    Provider,
    Secret,
    ServedModel,
    Support,
)

_KINDS: Final = ("chat", "embedding", "unknown")


def guarded_provider(name: str, make: Callable[[], Any]) -> Provider:
    """Open it; its failures are :class:`ModelError` from then on. Raises ``DeployError`` where it cannot be opened."""
    with Guard(name, DeployError).doing("start"):
        inner = make()
        return _door_for(_second_ports(inner))(name, inner)


def _second_ports(inner: Any) -> frozenset[str]:
    """What it has beside ``Provider``: to load models, to make embeddings."""
    return frozenset(name for name in dir(inner) if not name.startswith("_") and not hasattr(GuardedProvider, name))


class GuardedProvider:
    """A ``Provider`` that fails like one of ours. Its ``kind`` is the name in the table, whatever the package calls it.

    What is no ``ModelError`` becomes a ``BrokenReply``, which counts as a failure of the server: one that always fails is
    left alone for a while."""

    kind = ""

    def __init__(self, name: str, inner: Any) -> None:
        self.kind = name
        self._inner = inner
        self._guard = Guard(name, ModelError, BrokenReply)

    async def identify(self, url: str, api_key: Secret | None = None) -> Identity | None:
        """Who answers, under the name in the table."""
        with self._guard.doing(f"tell who answers at {url}"):
            given = await self._inner.identify(url, api_key)
        if given is None:
            return None
        with self._guard.doing(f"tell who answers at {url}"):
            _check_identity(self._guard, given)
            capabilities = {Capability(name): Support(told) for name, told in given.capabilities.items()}
            known: Identity = replace(given, provider=self.kind, capabilities=capabilities)
        return known

    async def models(self, identity: Identity, api_key: Secret | None = None) -> tuple[ServedModel, ...]:
        """What is served."""
        with self._guard.doing(f"list the models of {identity.url}"):
            given = tuple(await self._inner.models(identity, api_key))
            for model in given:
                _check_model(self._guard, model)
        return given

    async def chat(self, call: ChatCall) -> ChatReply:
        """One whole answer."""
        with self._guard.doing("answer"):
            reply = await self._inner.chat(call)
        self._guard.wants(ChatReply, reply)
        return _whole(reply)

    async def stream(self, call: ChatCall) -> AsyncIterator[Delta]:
        """The answer in pieces; leaving it leaves the package's stream."""
        with self._guard.doing("answer"):
            source = self._inner.stream(call)
            try:
                async for delta in source:
                    self._guard.wants(Delta, delta)
                    yield delta if delta.reply is None else replace(delta, reply=_whole(delta.reply))
            finally:
                if hasattr(source, "aclose"):
                    await source.aclose()

    async def aclose(self) -> None:
        """Close its connections."""
        with self._guard.doing("close"):
            await self._inner.aclose()


def _whole(reply: ChatReply) -> ChatReply:
    """The same. Raises ``BrokenReply`` where its server ended it in no ordinary way."""
    reason = finish_of(reply.finish_reason, reply.message.content)
    return reply if reason == reply.finish_reason else replace(reply, finish_reason=reason)


def _check_identity(guard: Guard, identity: Any) -> None:
    guard.wants(Identity, identity)
    for text in (identity.url, identity.api_base, identity.version):
        guard.wants(str, text)
    for url in (identity.url, identity.api_base):
        _ = urlsplit(url).port  # raises for what is no address
    guard.wants(Mapping, identity.capabilities)


def _check_model(guard: Guard, model: Any) -> None:
    """What is served goes into plans, and is compared, stored and shown there."""
    guard.wants(ServedModel, model)
    guard.wants(str, model.id)
    if model.kind not in _KINDS or not (_counts(model.context) and _counts(model.slots)):
        guard.refuse(f"a model that cannot be: {model}")
    json.dumps(asdict(model))


def _counts(value: Any) -> bool:
    return value is None or (isinstance(value, int) and value > 0)


# -- what it has beside its port --------------------------------------------------------------------------------------


@lru_cache
def _door_for(names: frozenset[str]) -> type[GuardedProvider]:
    """A class with these attributes too: whether a provider loads models is seen by whether it has the method."""
    return type("GuardedProvider", (GuardedProvider,), {name: property(partial(_passed, name)) for name in names})


def _passed(name: str, door: GuardedProvider) -> Any:
    value = getattr(door._inner, name)
    return partial(_called, door._guard, name, value) if callable(value) else value


def _called(guard: Guard, name: str, method: Callable[..., Any], *values: Any, **named: Any) -> Any:
    with guard.doing(name):
        given = method(*values, **named)
    if isinstance(given, Awaitable):
        return _awaited(guard, name, given)
    return _stepped(guard, name, given) if isinstance(given, AsyncIterator) else given


async def _awaited(guard: Guard, name: str, work: Awaitable[Any]) -> Any:
    with guard.doing(name):
        return await work


async def _stepped(guard: Guard, name: str, source: AsyncIterator[Any]) -> AsyncIterator[Any]:
    with guard.doing(name):
        try:
            async for each in source:
                yield each
        finally:
            if hasattr(source, "aclose"):
                await source.aclose()
