"""The builds that models are wanted in."""

from __future__ import annotations

from orchestrator.core.memory import BITS
from orchestrator.manifest.faults import warning
from orchestrator.manifest.inference.draft import Draft


def check_builds(draft: Draft) -> None:
    """A `quantization` is one whose size is known; another one may still be what a server calls its own."""
    for model in draft.models.values():
        at = f"model.{model.alias}"
        if model.quantization is None or model.quantization.casefold() in BITS:
            continue
        cure = draft.suggest(model.quantization, BITS)
        place = draft.place(at, "quantization")
        draft.add(warning("ORC251", f'unknown build "{model.quantization}"', place, cure=cure), at)
