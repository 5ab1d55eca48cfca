"""Which version of the program this is."""

from __future__ import annotations

from functools import lru_cache


@lru_cache
def program_version() -> str:
    """As the installed package says."""
    from importlib.metadata import version

    return version("orchestrator-edge")
