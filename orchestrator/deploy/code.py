"""Whether the code of ``python`` tools has changed since it was loaded: by the files that the load really read."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import anyio.to_thread

from orchestrator.core.blueprint import Blueprint
from orchestrator.core.digest import digest_of
from orchestrator.ports.code import ModuleFile, find_module, stamps_of
from orchestrator.ports.tool import MadeOfCode, Tool


class Contents:
    """Fingerprints of what parts are made of beside the manifest, as they were at the last apply: code that is being edited is
    not picked up before the next one. ``live`` gives the tools of a deployment that serve now."""

    def __init__(self, live: Callable[[str], Mapping[str, Tool]]) -> None:
        self._live = live
        self._known: dict[str, Mapping[str, str]] = {}
        self._serving: dict[str, tuple[int, Mapping[str, str]]] = {}

    def of(self, name: str) -> Mapping[str, str]:
        """Those of a deployment, by the part's address."""
        return self._known.get(name, {})

    async def look(self, blueprint: Blueprint, kept: int | None = None) -> Mapping[str, str]:
        """What they are now; of the revision that is ``kept`` as it serves, what they were when it was made."""
        name = blueprint.name
        number, made_of = self._serving.get(name, (None, {}))
        if kept is not None and kept == number:
            return made_of
        return await anyio.to_thread.run_sync(code_of, blueprint, self._live(name), self.of(name))

    def differ(self, name: str, contents: Mapping[str, str]) -> bool:
        """Whether these are others than those of the last apply."""
        return name in self._known and self._known[name] != contents

    def take(self, name: str, contents: Mapping[str, str]) -> None:
        """They count from now on."""
        self._known[name] = contents

    def forget(self, name: str) -> None:
        """It is taken down."""
        self._known.pop(name, None)
        self._serving.pop(name, None)

    @asynccontextmanager
    async def serving(self, blueprint: Blueprint, number: int) -> AsyncIterator[None]:
        """After a start they count as they are. Where the block ends well, the revision ``number`` serves, made of those that
        count."""
        name = blueprint.name
        if name not in self._known:
            self._known[name] = await self.look(blueprint)
        yield
        self._serving[name] = (number, self._known[name])

    @asynccontextmanager
    async def instead(self, blueprint: Blueprint, number: int) -> AsyncIterator[None]:
        """While the block runs, those of another revision count."""
        name, before = blueprint.name, self._known.pop(blueprint.name, {})
        try:
            async with self.serving(blueprint, number):
                yield
        finally:
            self._known[name] = before


def code_of(blueprint: Blueprint, live: Mapping[str, Tool], known: Mapping[str, str]) -> dict[str, str]:
    """Fingerprints of the code of each ``python`` tool, by the tool's address. ``live`` are the tools that serve now, ``known``
    is what this gave when they were opened: it is given again for those whose files are as they were then."""
    roots = [Path(root).absolute() for root in (blueprint.folder, *blueprint.tool_roots)]
    tools = [element for element in blueprint.of_kind("tool") if element.spec["kind"] == "python"]
    modules = {each.address: str(each.spec["options"].get("python", "")).partition(":")[0] for each in tools}
    return {
        address: _fingerprint(_module_file(module, roots), live.get(address), known.get(address))
        for address, module in modules.items()
    }


def _module_file(module: str, roots: Sequence[Path]) -> str:
    """Where it would be loaded from now; an empty text where it would not be."""
    found = find_module(module, roots)
    return str(found.file) if isinstance(found, ModuleFile) else ""


def _fingerprint(file: str, tool: object, known: str | None) -> str:
    """Which files a module reads is known only once it is loaded. So its fingerprint stays what it was before the load, until
    one of the files changes; and from then on it is of all of them, the same at each look."""
    read = tool.code if isinstance(tool, MadeOfCode) else {}
    now = stamps_of({file, *read} - {""})
    return known if known is not None and read and now == read else digest_of(sorted(now.items()))
