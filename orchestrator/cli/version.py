"""The version of the installed program."""

from __future__ import annotations


def version() -> str:
    """As the package says; ``unknown`` where it runs from files that were never installed."""
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as installed

    try:
        return installed("orchestrator-edge")
    except PackageNotFoundError:
        return "unknown"
