"""The file ``environment`` of the config folder: where secrets of the runtime may stand, so that it has them after a reboot."""

from __future__ import annotations

import re
from collections.abc import MutableMapping
from pathlib import Path
from typing import Final

from orchestrator.core.errors import DeployError, StateUnusable
from orchestrator.plugins.secrets import read_private

_LINE: Final = re.compile(r"(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_]*)[ \t]*=[ \t]*([^\0]*)", re.ASCII)
_BLANKS: Final = " \t\r"


def load_environment(config: Path, environment: MutableMapping[str, str]) -> None:
    """Put what the file says into ``environment``, this process's own; what that has already wins.

    Raises ``StateUnusable``, and nothing is put anywhere: for a file that others may read, that is no text, or that
    has a line which is not understood. Such a line is named by its number, never shown: it may be the secret.
    """
    path = config / "environment"
    if not path.exists():
        return
    try:
        text = read_private(f"the file {path}", path)
    except DeployError as error:
        raise StateUnusable(error.message, cure=error.cure) from error
    for name, value in _variables(path, text).items():
        environment.setdefault(name, value)


def _variables(path: Path, text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for number, whole in enumerate(text.split("\n"), 1):
        line = whole.strip(_BLANKS)
        if not line or line.startswith("#"):
            continue
        parts = _LINE.fullmatch(line)
        if parts is None:
            raise StateUnusable(f"line {number} of {path} is not NAME=value", cure="write it so, or begin it with a #")
        found[parts[1]] = _unquoted(parts[2])
    return found


def _unquoted(value: str) -> str:
    """Without the one pair of quotes around it; any other quote is a letter of the value."""
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'" else value
