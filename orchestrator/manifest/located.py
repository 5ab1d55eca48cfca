"""Where the paths of a manifest lead on this device: links are followed here, once, so that what comes later reads no disk."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.manifest.spec.manifest import DeploymentSpec, Manifest
from orchestrator.manifest.spec.model import ModelEntry


@dataclass(frozen=True, slots=True)
class Located:
    """The manifest's folder, and the places of its paths by what the manifest says; all of them absolute."""

    folder: str
    places: Mapping[str, str] = field(default_factory=dict)

    def of(self, written: str) -> str:
        """Where a path of the manifest leads."""
        return self.places[written]


def locate(manifest: Manifest, folder: Path) -> Located:
    """Every path of a manifest that counts from its ``folder`` (absolute). Reads the disk, where nothing need be."""
    deployment = manifest.deployment
    written = [
        *(tool.path for tool in deployment.tools if not isinstance(tool, str) and tool.path is not None),
        *(each.path for each in deployment.knowledge),
        *deployment.security.tool_roots,
        *_encoders(deployment),
        *(path for model in _models(deployment) for path in _of_server(model)),
    ]
    # Path.resolve raises on a link that leads back to itself, in some versions of Python; the check of tools tells of it.
    return Located(str(folder), {path: os.path.realpath(folder / path) for path in written})


def _encoders(deployment: DeploymentSpec) -> Iterator[str]:
    """Those of routers that are folders and no names."""
    encoders = [agent.encoder for agent in deployment.agents if not isinstance(agent, str)]
    yield from (encoder for encoder in encoders if encoder is not None and "/" in encoder)


def _models(deployment: DeploymentSpec) -> Iterator[ModelEntry]:
    items = [*deployment.models, *(item for node in deployment.nodes for item in node.models)]
    yield from (item for item in items if isinstance(item, ModelEntry))


def _of_server(model: ModelEntry) -> Iterator[str]:
    """Its file or folder; and the draft model, where that is a path and no id."""
    server = model.server
    if server is None:
        return
    if server.path is not None:
        yield server.path
    draft = server.speculative_model
    if draft is not None and (model.provider == "llama-cpp" or draft.startswith((".", "/"))):
        yield draft
