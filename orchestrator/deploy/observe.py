"""Look at what is there: the deployments that serve, the model servers that answer, the ports that are free."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import anyio

from orchestrator.core.blueprint import Blueprint
from orchestrator.core.digest import digest_of
from orchestrator.core.errors import DeployError
from orchestrator.core.hosts import distance_of_url
from orchestrator.deploy.plane import Seen, Workshop
from orchestrator.plan.observed import ObservedServer
from orchestrator.ports.installed import is_plugin
from orchestrator.ports.provider import Secret

_SECOND_LOOK: Final = 0.3
"""Seconds after which a server that was there a moment ago and refuses now is asked once more."""

MOST_FILES: Final = 1_000
"""Files of code that are looked at for one tool."""


class Observer:
    """Knows what model servers showed last, so that a busy moment of one does not look like its end."""

    def __init__(self, workshop: Workshop) -> None:
        self._workshop = workshop
        self._known: dict[str, ObservedServer] = {}
        self.servers: tuple[ObservedServer, ...] = ()
        self.silent: dict[str, str] = {}

    async def look(self, blueprints: Iterable[Blueprint]) -> None:
        """Ask the usual places on this device, and every address that a manifest names. Cloud addresses are not asked."""
        named = _named(blueprints, self._workshop)
        places = [*dict.fromkeys([*named.places, *self._workshop.usual_places])] if named.wanted else []
        seen = await self._seen(places, named) if places else {}
        lost = [url for url in self._known if url in seen and seen[url].state == "absent"]
        if lost:
            await anyio.sleep(_SECOND_LOOK)
            seen |= await self._seen(lost, named)
        self._known = {url: server for url in places if (server := self._judged(url, seen[url])) is not None}
        self.servers = tuple({server.url: server for server in self._known.values()}.values())
        self.silent = named.silent | {url: _silence(each) for url, each in seen.items() if each.state != "served"}

    async def _seen(self, places: Sequence[str], named: _Named) -> dict[str, Seen]:
        return {each.url: each for each in await self._workshop.look(places, named.keys, named.providers)}

    def _judged(self, url: str, seen: Seen) -> ObservedServer | None:
        known = self._known.get(url)
        if seen.identity is not None:
            # It cannot tell its models just now, while it loads one or is busy: what it told before holds.
            models = known.models if seen.trouble and known else seen.models
            probed = self._workshop.probed(seen.identity, models)
            return ObservedServer.of(seen.identity, models, distance_of_url(url), probed)
        return known if seen.state == "foreign" else None


@dataclass(slots=True)
class _Named:
    """What manifests say of models: addresses with their keys, providers of other packages, and why some of that cannot be
    used. ``wanted``: whether any model is looked for."""

    wanted: bool = False
    places: list[str] = field(default_factory=list)
    keys: dict[str, Secret] = field(default_factory=dict)
    providers: list[str] = field(default_factory=list)
    silent: dict[str, str] = field(default_factory=dict)


def _named(blueprints: Iterable[Blueprint], workshop: Workshop) -> _Named:
    named = _Named()
    for blueprint in blueprints:
        for element in blueprint.of_kind("model"):
            if element.spec["zone"] != "cloud":
                named.wanted = True
                try:
                    _name(named, element.spec, Path(blueprint.folder), workshop)
                except DeployError as error:
                    named.silent[element.spec["endpoint"] or element.spec["provider"]] = error.message
    return named


def _name(named: _Named, spec: Mapping[str, Any], folder: Path, workshop: Workshop) -> None:
    if spec["endpoint"]:
        named.places.append(spec["endpoint"])
    if spec["provider"] not in named.providers and is_plugin(spec["provider"]):
        workshop.provider(spec["provider"])
        named.providers.append(spec["provider"])
    if spec["endpoint"] and spec["api_key"]:
        named.keys[spec["endpoint"]] = workshop.reveal(spec["api_key"], folder)


def _silence(seen: Seen) -> str:
    return seen.trouble or ("nobody listens there" if seen.state == "absent" else "it is no model server that is known")


def code_of(blueprint: Blueprint) -> dict[str, str]:
    """Fingerprints of the Python files that each ``python`` tool may have been made from, by the tool's address."""
    folders = [Path(blueprint.folder), *map(Path, blueprint.tool_roots)]
    tools = [element for element in blueprint.of_kind("tool") if element.spec["kind"] == "python"]
    return {element.address: _fingerprint(folders, str(element.spec["options"].get("python", ""))) for element in tools}


def _fingerprint(folders: Iterable[Path], function: str) -> str:
    """Of a module's neighbours, which it may import, and of the package that it is in."""
    package = function.partition(":")[0].partition(".")[0]
    files = [file for folder in folders for file in sorted([*folder.glob("*.py"), *folder.glob(f"{package}/**/*.py")])]
    stamps = []
    for file in files[:MOST_FILES]:
        with suppress(FileNotFoundError):  # an editor puts files in place of others
            found = file.stat()
            stamps.append([str(file), found.st_mtime_ns, found.st_size])
    return digest_of(stamps)
