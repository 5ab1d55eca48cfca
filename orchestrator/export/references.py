"""The secrets that a blueprint names: references only, there is no value to be had here."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from orchestrator.core.blueprint import Blueprint
from orchestrator.core.errors import UsageError

FOLDER: Final = "/run/secrets/"
"""Where engines mount secrets: the one place whose files a runtime takes whatever their modes."""
_ENV: Final = re.compile(r"env:([A-Za-z_][A-Za-z0-9_]*)", re.ASCII)
_OTHER: Final = re.compile(r"(?:file|keyring):.+")
_MOUNTED: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*(?:\.[A-Za-z0-9_-]+)*", re.ASCII)


@dataclass(frozen=True, slots=True)
class References:
    """By kind, each sorted: names of variables, names of files in ``/run/secrets``, other files, and names in a keyring."""

    variables: tuple[str, ...] = ()
    mounted: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    keyring: tuple[str, ...] = ()


def references_of(blueprint: Blueprint) -> References:
    """Those of models, of tools, and of the ways by which people are told."""
    found = sorted({*_found(blueprint)})
    files = [each.removeprefix("file:").strip() for each in found if each.startswith("file:")]
    mounted = [each for each in files if _MOUNTED.fullmatch(each.removeprefix(FOLDER)) and each.startswith(FOLDER)]
    return References(
        variables=tuple(match[1] for each in found if (match := _ENV.fullmatch(each))),
        mounted=tuple(each.removeprefix(FOLDER) for each in mounted),
        files=tuple(each for each in files if each not in mounted),
        keyring=tuple(each.removeprefix("keyring:") for each in found if each.startswith("keyring:")),
    )


def in_container(blueprint: Blueprint) -> References:
    """The same, for a container. Raises ``UsageError`` for a secret in a file that no engine can mount so that it is taken."""
    found = references_of(blueprint)
    if found.files:
        name = found.files[0].rpartition("/")[2]
        better = f"{FOLDER}{name if _MOUNTED.fullmatch(name) else 'NAME'}"
        raise UsageError(
            f'the secret "file:{found.files[0]}" is a file of this machine, and a container has only those in {FOLDER}',
            cure=f'write "file:{better}" or "env:NAME" in the manifest, and export it again',
        )
    return found


def _found(blueprint: Blueprint) -> Iterator[str]:
    for model in blueprint.of_kind("model"):
        yield from _texts(model.spec["api_key"])
    for tool in blueprint.of_kind("tool"):
        yield from _texts(tool.spec["options"])
    yield from _texts(blueprint.people.get("notify", {}))


def _texts(value: Any) -> Iterator[str]:
    """Every reference in a plain value."""
    if isinstance(value, str):
        if _ENV.fullmatch(value) or _OTHER.fullmatch(value):
            yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts(inner)
