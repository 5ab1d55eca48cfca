"""Where models are that run in a process of ours: a folder with an address like ``onnx://localhost/FOLDER``, so that it is
nearby by its host. Pure."""

from __future__ import annotations

from pathlib import Path
from typing import Final
from urllib.parse import quote, unquote, urlsplit

from orchestrator.plugins.providers.in_process.library import LIBRARIES, Library

_SCHEMES: Final = frozenset(library.kind for library in LIBRARIES)


def address_of(library: Library, folder: str) -> str:
    """The address of a folder of models."""
    return f"{library.kind}://localhost{quote(Path(folder).expanduser().absolute().as_posix())}"


def folder_of(url: str, library: Library | None = None) -> Path | None:
    """The folder of an address; ``None`` for any other address, and for that of another library than ``library``."""
    parts = urlsplit(url)
    wanted = parts.scheme in _SCHEMES if library is None else parts.scheme == library.kind
    return Path(unquote(parts.path)) if wanted else None
