"""A model server with a store, and how the commands of these tests find it."""

from __future__ import annotations

from typing import NamedTuple

from orchestrator.testing.lifecycle.store import ModelStore, StoredModel
from tests.cli.commands import Ran, here

PHI = StoredModel("phi4-mini:3.8b", 2_491_874_624)
QWEN = StoredModel("qwen2.5:0.5b", 397_807_936)
PLAIN = ("--quantization", "q4_k_m")
"""The build of Ollama's usual tag, whatever this machine could have."""


class Shop(NamedTuple):
    """An Ollama, and how commands find it."""

    store: ModelStore
    url: str
    environment: dict[str, str]

    def run(self, *words: str, terminal: bool = False, stdin: str = "") -> Ran:
        """``orchestrator models WORDS``; its port is shown as PORT."""
        ran = here("models", *words, environment=self.environment, terminal=terminal, stdin=stdin)
        port = self.url.rpartition(":")[2]
        return Ran(ran.code, ran.out.replace(port, "PORT"), ran.err.replace(port, "PORT"))
