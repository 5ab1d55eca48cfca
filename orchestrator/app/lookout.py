"""Where a process looks for model servers and folders of models, by its own environment: a command and the runtime may differ."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from orchestrator.plugins.providers.addresses import MAKES, default_urls
from orchestrator.plugins.providers.in_process.library import LIBRARIES
from orchestrator.plugins.providers.in_process.place import address_of, folder_of

SERVERS: Final = "ORCHESTRATOR_SERVERS"
"""The variable that stands in the place of those of all makes."""


def looks_at(environment: Mapping[str, str], servers: Sequence[str] | None) -> dict[str, list[str]]:
    """By variable, the addresses that it leads to, set or not; ``servers`` are those of ``SERVERS``, where that is set. Raises
    ``UsageError`` for a variable that holds no address."""
    found = {library.variable: _folder(library.variable, environment) for library in LIBRARIES}
    if servers is not None:
        return found | {SERVERS: list(servers)}
    urls = default_urls(environment)
    return found | {make.url_variable: list(urls[make.kind]) for make in MAKES if make.url_variable}


def _folder(variable: str, environment: Mapping[str, str]) -> list[str]:
    library = next(each for each in LIBRARIES if each.variable == variable)
    folder = environment.get(variable, "").strip()
    return [address_of(library, folder)] if folder else []


def only_of_the_runtime(mine: Mapping[str, Sequence[str]], about: Mapping[str, Any]) -> list[str]:
    """Addresses at which the runtime looks beside those of this command; none of servers where this one is told its own."""
    theirs = [url for urls in about.get("looks_at", {}).values() for url in urls]
    return [url for url in theirs if SERVERS not in mine or folder_of(url) is not None]


def told_apart(
    mine: Mapping[str, Sequence[str]], about: Mapping[str, Any], only: Collection[str] | None = None
) -> list[str]:
    """A sentence for each variable by which this command looks elsewhere than the runtime, of those in ``only`` where that is
    given; with what to do. None for a runtime of a version that does not tell."""
    theirs: Mapping[str, Sequence[str]] = about.get("looks_at", mine)
    names = [name for name in mine if name in theirs and list(mine[name]) != list(theirs[name])]
    if (SERVERS in mine) != (SERVERS in theirs):
        names.append(SERVERS)
    return [_sentence(name, mine.get(name), theirs.get(name), about) for name in names if only is None or name in only]


def _sentence(name: str, mine: Sequence[str] | None, theirs: Sequence[str] | None, about: Mapping[str, Any]) -> str:
    return (
        f"{name}: this command looks at {_places(mine)}, but what is applied is served by the runtime (process {about['pid']}), "
        f"which has looked at {_places(theirs)} since its start: orchestrator runtime stop, then orchestrator runtime start in "
        f"this shell, or with {name}=… in the file `environment` of its config folder"
    )


def _places(urls: Sequence[str] | None) -> str:
    if urls is None:
        return "the usual places"
    folders = [str(folder) if (folder := folder_of(url)) is not None else url for url in urls]
    return ", ".join(folders) or "nothing"
