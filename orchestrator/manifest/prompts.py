"""Instructions that stand in files of their own (``file:prompts/desk.md``): read at load, kept with the manifest's texts."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Final

from orchestrator.core.diagnostic import Diagnostic, Place
from orchestrator.manifest.faults import Refused, fault, refused
from orchestrator.manifest.marks import Marks
from orchestrator.manifest.marks import Path as TreePath
from orchestrator.manifest.source import read_text
from orchestrator.manifest.spec.agent import AgentEntry
from orchestrator.manifest.spec.manifest import Manifest

PREFIX: Final = "file:"
LONGEST_PROMPT: Final = 100_000
"""Characters, as for instructions in the manifest itself."""

ReadPrompt = Callable[[str], str]
"""Gives the text of a path below the manifest's folder. Raises ``Refused``."""


def read_prompts(manifest: Manifest, marks: Marks, read: ReadPrompt, sources: dict[str, str]) -> Iterator[Diagnostic]:
    """Read every prompt file of the manifest into ``sources``; gives what is wrong."""
    for agent, path in _agents(manifest):
        for key in ("instructions", "context"):
            text = getattr(agent, key)
            if text is None or not text.startswith(PREFIX):
                continue
            place = marks.value((*path, key))
            try:
                sources[text] = read(text.removeprefix(PREFIX).strip())
            except Refused as error:
                yield replace(error.diagnostic, place=place, subject=f"agent.{agent.name}")
                continue
            if len(sources[text]) > LONGEST_PROMPT:
                message = f"the prompt has {len(sources[text]):,} characters, and may have {LONGEST_PROMPT:,}"
                yield fault("ORC134", message, place, cure="shorten it")


def _agents(manifest: Manifest) -> Iterator[tuple[AgentEntry, TreePath]]:
    deployment = manifest.deployment
    for number, agent in enumerate(deployment.agents):
        if isinstance(agent, AgentEntry):
            yield agent, ("deployment", "agents", number)
    for at, node in enumerate(deployment.nodes):
        for number, agent in enumerate(node.agents):
            if isinstance(agent, AgentEntry):
                yield agent, ("deployment", "nodes", at, "agents", number)


def read_below(folder: Path, name: str) -> str:
    """The text of a file below ``folder``; links may not lead out of it. Raises ``Refused``."""
    place = Place(name, 1, 1)
    path = PurePosixPath(name)
    inside = Path(os.path.realpath(folder))
    if not name or path.is_absolute() or ".." in path.parts or "\0" in name:
        raise refused("ORC240", f'the prompt file "{name}" is not below the manifest\'s folder', place)
    file = Path(os.path.realpath(folder / path))  # a link that leads back to itself is told when the file is read
    if not file.is_relative_to(inside):
        raise refused("ORC240", f'the prompt file "{name}" is a link that leads out of the manifest\'s folder', place)
    try:
        return read_text(file, name)
    except Refused as error:
        raise refused("ORC241", error.diagnostic.message, place) from error
