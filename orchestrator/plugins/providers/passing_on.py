"""Servers that may pass the calls of a model on to another machine: whether they do is asked right before what must stay near."""

from __future__ import annotations

from typing import Protocol

from orchestrator.core.errors import BrokenReply, ModelNotFound
from orchestrator.core.names import is_cloud_tag
from orchestrator.plugins.providers.addresses import root_of
from orchestrator.plugins.providers.lifecycle.asking import QUICK, Asking
from orchestrator.plugins.providers.lifecycle.ollama import shown_elsewhere
from orchestrator.plugins.providers.line.http_line import HttpLine
from orchestrator.ports.provider import Identity, Secret, ServedModel, Target


class ShowTells:
    """``Forwarder`` for Ollama: a name that was a model of its own disk may be one of its cloud a moment later."""

    _line: HttpLine

    async def forwards(self, target: Target, within: float) -> bool:
        """See :class:`orchestrator.ports.provider.Forwarder`."""
        if is_cloud_tag(target.model):
            return True
        said = await Asking(self._line, target).post("/api/show", {"model": target.model}, min(within, QUICK))
        if not isinstance(said, dict) or "details" not in said:  # every answer of Ollama has them
            raise BrokenReply("what Ollama shows of the model is not what it shows of one")
        return shown_elsewhere(said)


class _Listing(Protocol):
    @property
    def kind(self) -> str: ...
    async def models(self, identity: Identity, api_key: Secret | None = None) -> tuple[ServedModel, ...]: ...


class ListTells:
    """``Forwarder`` for a server whose list marks what it passes on (llama-swap, of its peers)."""

    async def forwards(self: _Listing, target: Target, within: float) -> bool:  # noqa: ARG002 - a look has a shorter limit of its own
        """See :class:`orchestrator.ports.provider.Forwarder`."""
        root = root_of(target.api_base)
        listed = await self.models(Identity(self.kind, root, api_base=target.api_base), target.api_key)
        found = [model for model in listed if target.model in model.names]
        if not found:
            raise ModelNotFound(f"{target.model} is not in the list of the server")
        return any(model.remote for model in found)
