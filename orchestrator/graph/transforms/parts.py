"""The full entries of a resolved manifest, by kind. A resolved manifest holds no bare names any more."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.manifest.spec.agent import AgentEntry
from orchestrator.manifest.spec.manifest import Manifest
from orchestrator.manifest.spec.model import ModelEntry
from orchestrator.manifest.spec.tool import ToolEntry


def models(manifest: Manifest) -> Iterator[ModelEntry]:
    """Its models."""
    return (item for item in manifest.deployment.models if isinstance(item, ModelEntry))


def agents(manifest: Manifest) -> Iterator[AgentEntry]:
    """Its agents that answer: specialists and escalations."""
    return (item for item in manifest.deployment.agents if isinstance(item, AgentEntry) and item.role != "router")


def routers(manifest: Manifest) -> Iterator[AgentEntry]:
    """Its routers."""
    return (item for item in manifest.deployment.agents if isinstance(item, AgentEntry) and item.role == "router")


def tools(manifest: Manifest) -> Iterator[ToolEntry]:
    """Its tools."""
    return (item for item in manifest.deployment.tools if isinstance(item, ToolEntry))
