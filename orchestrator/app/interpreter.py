"""Which Python a process runs in: `python:` tools find what is installed there, and nothing else."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Mapping
from typing import Any, Final

from orchestrator.core.blueprint import Blueprint
from orchestrator.core.errors import RuntimeVersionClash

_STOP: Final = (
    "orchestrator runtime stop, then apply again: the runtime starts in this Python, and what is applied comes back"
)
_UNIT: Final = "orchestrator runtime install puts the systemd unit on this Python, and what is applied comes back; then apply again"


def interpreter() -> dict[str, str]:
    """The Python of this process: ``path`` as it was started, ``prefix`` (the real folder that its packages are installed
    below) and ``version``."""
    return {"path": sys.executable, "prefix": os.path.realpath(sys.prefix), "version": platform.python_version()}


def told(python: Mapping[str, str]) -> str:
    """In words."""
    return f"{python['version']} ({python['path']})"


def is_same(one: Mapping[str, str], other: Mapping[str, str]) -> bool:
    """Whether both find the same packages. A virtual environment may be reached by two paths, and its Python is a link to
    one that others use too, so that the real prefix counts; several versions of Python may share one."""
    return one["prefix"] == other["prefix"] and _minor(one) == _minor(other)


def _minor(python: Mapping[str, str]) -> list[str]:
    return python["version"].split(".")[:2]


def other_interpreter(about: Mapping[str, Any]) -> str:
    """In words, where the runtime that tells this ``about`` itself runs in another Python than this process; else empty."""
    theirs = about.get("interpreter")
    return told(theirs) if theirs is not None and not is_same(theirs, interpreter()) else ""


def check_interpreter(blueprint: Blueprint, about: Mapping[str, Any]) -> None:
    """Raise ``RuntimeVersionClash`` where the blueprint has Python tools, and the runtime that tells this ``about`` itself
    runs in another Python than this process: what was tried here need not be there."""
    tools = [each.address for each in blueprint.of_kind("tool") if each.spec["kind"] == "python"]
    other = other_interpreter(about)
    if not tools or not other:
        return
    names = ", ".join(map(str, tools))
    verb = "is" if len(tools) == 1 else "are"
    raise RuntimeVersionClash(
        f"{names} {verb} Python code; the runtime runs in Python {other}, this command in Python {told(interpreter())}",
        cure=_UNIT if about.get("started_by") == "systemd" else _STOP,
    )
