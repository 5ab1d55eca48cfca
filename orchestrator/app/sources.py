"""The texts that a revision was made from, so that a later version of the program can compile it again by itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from orchestrator.core.blueprint import Blueprint
from orchestrator.core.errors import DeployError, ManifestError
from orchestrator.manifest.loaded import Loaded

ABOUT: Final = "<load>"
"""The name of the entry that says how the texts belong together; no file has such a name."""


def pack_sources(loaded: Loaded) -> dict[str, str]:
    """Everything that :func:`compile_sources` needs, as texts."""
    about = {"roots": list(loaded.roots), "variables": dict(loaded.variables), "folder": str(loaded.folder)}
    return {**loaded.sources, ABOUT: json.dumps(about)}


def written_texts(sources: Mapping[str, str]) -> dict[str, str]:
    """The texts that a user wrote."""
    return {name: text for name, text in sources.items() if name != ABOUT}


def compile_sources(sources: Mapping[str, str], name: str) -> Blueprint:
    """The blueprint of kept texts, with the variables of then. Raises ``DeployError`` where that is not possible."""
    from orchestrator.app.compile import compile_loaded
    from orchestrator.manifest.load import load_texts

    if ABOUT not in sources:
        raise DeployError(f"the sources of {name} are not kept", cure=f"apply the manifest of {name} again")
    about = json.loads(sources[ABOUT])
    try:
        loaded = load_texts(written_texts(sources), Path(about["folder"]), about["variables"], about["roots"])
        return compile_loaded(loaded).blueprint
    except ManifestError as error:
        faults = "; ".join(diagnostic.message for diagnostic in error.diagnostics[:3])
        raise DeployError(
            f"the manifest of {name} no longer fits: {faults}", cure="mend it and apply it again"
        ) from error
