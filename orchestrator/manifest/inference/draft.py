"""The manifest while it is being resolved: parts by name, where they were written, what was inferred, what is wrong."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from orchestrator.core.diagnostic import Diagnostic, Place
from orchestrator.manifest.faults import MOST_FAULTS, fault, printable
from orchestrator.manifest.loaded import Loaded
from orchestrator.manifest.marks import Path
from orchestrator.manifest.nearby import suggestion
from orchestrator.manifest.resolved import Inference
from orchestrator.manifest.spec.agent import AgentEntry
from orchestrator.manifest.spec.manifest import DeploymentSpec
from orchestrator.manifest.spec.model import ModelEntry
from orchestrator.manifest.spec.operate import NodeEntry
from orchestrator.manifest.spec.tool import KnowledgeEntry, ToolEntry


@dataclass(slots=True)
class Draft:
    """Changed by every step of :mod:`orchestrator.manifest.inference`, in order. ``origins``: address -> path in the tree;
    ``mentions``: the same for parts that are there because another part names them; ``reasons``: as in ``Resolved``."""

    loaded: Loaded
    deployment: DeploymentSpec
    agents: dict[str, AgentEntry] = field(default_factory=dict)
    models: dict[str, ModelEntry] = field(default_factory=dict)
    tools: dict[str, ToolEntry] = field(default_factory=dict)
    knowledge: dict[str, KnowledgeEntry] = field(default_factory=dict)
    nodes: dict[str, NodeEntry] = field(default_factory=dict)
    homes: dict[str, str] = field(default_factory=dict)
    templates: dict[str, AgentEntry] = field(default_factory=dict)
    written_tasks: set[str] = field(default_factory=set)
    origins: dict[str, Path] = field(default_factory=dict)
    mentions: dict[str, Path] = field(default_factory=dict)
    inferences: list[Inference] = field(default_factory=list)
    reasons: dict[str, str] = field(default_factory=dict)
    diagnostics: list[Diagnostic] = field(default_factory=list)

    def infer(self, subject: str, key: str, value: Any, why: str) -> None:
        """Say that a value was inferred."""
        self.inferences.append(Inference(subject, key, value, why))

    def mention(self, subject: str, by: str, *keys: str | int) -> None:
        """Remember where a part was named that was not written: in a key of another part."""
        path = self.path(by, *keys)
        if by in self.origins and self.loaded.marks.holds(path):
            self.mentions.setdefault(subject, path)

    def path(self, subject: str, *keys: str | int) -> Path:
        """The path of a part or of one of its keys."""
        return (*self.origins.get(subject, ()), *keys)

    def holds(self, subject: str, *keys: str | int) -> bool:
        """Whether the user wrote this key of a part. ``False`` for parts that were inferred."""
        return subject in self.origins and self.loaded.marks.holds(self.path(subject, *keys))

    def place(self, subject: str, *keys: str | int) -> Place:
        """Where a value of a part stands."""
        return self.loaded.marks.value(self.path(subject, *keys))

    def tell(
        self, code: str, message: str, at: tuple[str, Sequence[str | int]], label: str = "", cure: str | None = None
    ) -> None:
        """An error in a part. ``at``: its address, and the path of keys inside it."""
        subject, keys = at
        self.add(fault(code, message, self.place(subject, *keys), label, cure), subject)

    def add(self, diagnostic: Diagnostic, subject: str) -> None:
        """A ready diagnostic, with what it is about."""
        self.diagnostics.append(replace(diagnostic, subject=printable(subject)))

    def suggest(self, word: str, known: Collection[str]) -> str | None:
        """The nearest known name as a question; nothing after very many faults, since looking costs time."""
        return suggestion(word, known) if len(self.diagnostics) < MOST_FAULTS else None

    def address(self, agent: AgentEntry) -> str:
        """``router.<name>`` for routers, else ``agent.<name>``."""
        return f"{'router' if agent.role == 'router' else 'agent'}.{agent.name}"
