"""The tokens of a request that a manifest asks for: no more than the model was made for."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.manifest.catalogue.reader import find_model
from orchestrator.manifest.faults import warning
from orchestrator.manifest.inference.draft import Draft
from orchestrator.manifest.spec.model import ModelEntry


def check_tokens(draft: Draft) -> None:
    """A context is one that the catalogue says the model can take. A server may still be made to stretch it: a warning."""
    for model in draft.models.values():
        row = find_model(model.alias)
        if row is None or (model.model is not None and model.model not in row["ids"].values()):
            continue  # another model than the catalogue's, of which nothing is known
        most = row["context_length"]
        for keys, tokens in _written(model):
            if tokens > most:
                at = f"model.{model.alias}"
                what = f"{keys[-1]}: {tokens} is more than {row['alias']} can take ({most} tokens)"
                cure = f"write {most} or less, or take it out"
                draft.add(warning("ORC264", what, draft.place(at, *keys), cure=cure), at)


def _written(model: ModelEntry) -> Iterator[tuple[tuple[str, ...], int]]:
    """Where the manifest says how many, and how many."""
    if model.context_length is not None:
        yield ("context_length",), model.context_length
    if model.server is None:
        return
    if model.server.context_length is not None:
        yield ("server", "context_length"), model.server.context_length
    if model.server.max_model_len is not None:
        yield ("server", "max_model_len"), model.server.max_model_len
