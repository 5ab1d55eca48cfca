"""Where ONNX models are: a folder with an address like ``onnx://localhost/FOLDER``, so that it is nearby by its host. Pure."""

from __future__ import annotations

from pathlib import Path
from typing import Final
from urllib.parse import quote, unquote, urlsplit

SCHEME: Final = "onnx"
VARIABLE: Final = "ONNX_MODELS"
"""The variable of the environment that names the folder."""


def address_of(folder: str) -> str:
    """The address of a folder of models."""
    return f"{SCHEME}://localhost{quote(Path(folder).expanduser().absolute().as_posix())}"


def folder_of(url: str) -> Path | None:
    """The folder of an address; ``None`` for any other address."""
    parts = urlsplit(url)
    return Path(unquote(parts.path)) if parts.scheme == SCHEME else None
