"""The catalogues that come with the package: models by alias, agent templates by name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

from orchestrator.core.names import nearest

if TYPE_CHECKING:
    from orchestrator.manifest.spec.agent import AgentEntry

NEUTRAL: Final = "specialist"
"""The template of an agent whose name has none."""
_FOLDER: Final = "orchestrator.manifest.catalogue"
NEAR: Final = 0.61
"""How alike a name must be to one of the catalogue's many, to be taken for it mistyped: ``mine`` is no ``minilm``."""
_TEMPLATES: Final = "templates"


def model_rows() -> list[dict[str, Any]]:
    """Every row of the model catalogue; its README tells the fields."""
    return list(_models()["models"])


def find_model(alias: str) -> dict[str, Any] | None:
    """The row of an alias or of one of its other spellings, whatever the case."""
    return _by_alias().get(alias.casefold())


def ids_of(row: Mapping[str, Any]) -> dict[str, list[str]]:
    """By provider, the ids that a row's model is known under, the one to ask for first."""
    ids = {kind: [name] for kind, name in row["ids"].items()}
    if row.get("ollama_untagged"):
        ids["ollama"].append(ids["ollama"][0].partition(":")[0])
    return ids


def near_models(alias: str) -> list[str]:
    """Up to three known aliases that look like ``alias``, best first."""
    near = nearest(alias, _by_alias(), alike=NEAR)
    return list(dict.fromkeys(_by_alias()[spelling]["alias"] for spelling in near))


def template_names() -> list[str]:
    """The agent templates, by name."""
    return sorted(_template_files())


def find_template(name: str) -> AgentEntry | None:
    """The template of this name, read once. It has every key that an agent may have."""
    file = _template_files().get(name)
    return _read_template(name, file) if file else None


@lru_cache(maxsize=1)
def _models() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(files(_FOLDER).joinpath("models.json").read_text(encoding="utf-8"))
    return content


@lru_cache(maxsize=1)
def _by_alias() -> Mapping[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for row in _models()["models"]:
        for spelling in (row["alias"], *row.get("aliases", ())):
            found.setdefault(spelling.casefold(), row)
    return found


@lru_cache(maxsize=1)
def _template_files() -> Mapping[str, str]:
    folder = files(_FOLDER).joinpath(_TEMPLATES)
    if not folder.is_dir():
        return {}
    names = (entry.name for entry in folder.iterdir() if entry.name.endswith(".yaml"))
    return {name.removesuffix(".yaml"): name for name in names}


@lru_cache(maxsize=64)
def _read_template(name: str, file: str) -> AgentEntry:
    import yaml

    from orchestrator.manifest.spec.agent import AgentEntry

    text = files(_FOLDER).joinpath(_TEMPLATES, file).read_text(encoding="utf-8")
    content = yaml.load(text, Loader=yaml.CSafeLoader)
    return AgentEntry.model_validate({"name": name, **content})
