"""Whether the code of ``python`` tools has changed since it was loaded: by the files that the load really read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import anyio
import anyio.to_thread

from orchestrator.core.blueprint import Blueprint
from orchestrator.core.digest import digest_of
from orchestrator.ports.code import ModuleFile, find_module, stamps_of
from orchestrator.ports.tool import MadeOfCode, Tool


async def contents_of(blueprint: Blueprint, live: Mapping[str, Tool], known: Mapping[str, str]) -> Mapping[str, str]:
    """Fingerprints of what parts are made of beside the manifest, by address. ``live`` are the tools that serve now, ``known``
    is what this gave when they were opened: it is given again for those whose files are as they were then."""
    return await anyio.to_thread.run_sync(code_of, blueprint, live, known)


def code_of(blueprint: Blueprint, live: Mapping[str, Tool], known: Mapping[str, str]) -> dict[str, str]:
    """Fingerprints of the code of each ``python`` tool, by the tool's address."""
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
