"""What a verb found, for people or as JSON."""

from __future__ import annotations

import json
from typing import Any

from orchestrator.cli.view.terminal import Terminal


def say_found(found: Any, text: str, terminal: Terminal, *, as_json: bool) -> int:
    """Print it; gives the exit code, which is 0."""
    terminal.say(json.dumps(found, indent=2, ensure_ascii=False) if as_json else text)
    return 0
