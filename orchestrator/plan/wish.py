"""Which model a server that we start is for, where it holds several and loads them on request. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from math import inf
from typing import Any, Final

from orchestrator.core.blueprint import ModelSpec
from orchestrator.plan.builds import build_of, means, same_build
from orchestrator.plan.matching import is_written, wanted_ids
from orchestrator.ports.provider import ServedModel

ON_REQUEST: Final = frozenset(("ollama",))
"""Makes of servers that are started without a model in memory."""


@dataclass(frozen=True, slots=True)
class Wish:
    """The ``ids`` that it may have there, best first; its ``build``, empty where any will do; ``written``: the manifest itself
    gives the id, so that the name of one build is no other."""

    ids: tuple[str, ...]
    build: str = ""
    written: bool = False

    @classmethod
    def of(cls, spec: ModelSpec) -> Wish | None:
        """That of a model; ``None`` where its server is started with the model itself."""
        server = spec["server"]
        if server is None or server["kind"] not in ON_REQUEST:
            return None
        return cls(tuple(wanted_ids(spec, server["kind"])), spec["quantization"] or "", is_written(spec))

    @classmethod
    def from_json(cls, value: Mapping[str, Any] | None) -> Wish | None:
        """From the plain form."""
        return cls(**{**value, "ids": tuple(value["ids"])}) if value else None

    def as_json(self) -> dict[str, Any]:
        """A plain form."""
        return asdict(self)

    @property
    def note(self) -> str:
        """What becomes of the build that the manifest names: no option of the program; empty where it names none."""
        if not self.build:
            return ""
        return f"quantization: {self.ids[0]} is asked for in {self.build} once it runs, and pulled where it lacks that (manifest)"

    def met_by(self, provider: str, models: Iterable[ServedModel]) -> ServedModel | None:
        """Of those that a server lists one that is meant: in memory already, else called so exactly, else the smallest, as the
        question is only whether it answers. What another machine would answer is none of them."""
        able = [model for model in models if not model.remote and self._is_met(provider, model)]
        return min(able, key=self._effort, default=None)

    def _is_met(self, provider: str, model: ServedModel) -> bool:
        if not any(means(provider, wanted, model, any_build=not self.written) for wanted in self.ids):
            return False
        told = build_of(model.id, model.quantization).quantization
        return not (self.build and told) or same_build(self.build, told)

    def _effort(self, model: ServedModel) -> tuple[bool, bool, float, str]:
        return (model.loaded is not True, model.id not in self.ids, model.size or inf, model.id)
