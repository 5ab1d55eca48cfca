"""What a tool is, which options fit it, and where Python tools may come from."""

from __future__ import annotations

import ast
import os
from functools import lru_cache
from pathlib import Path
from typing import Final

from orchestrator.manifest.checks.python_source import unfit_parameters
from orchestrator.manifest.faults import fault, warning
from orchestrator.manifest.inference.draft import Draft
from orchestrator.manifest.inference.tools import BUILTINS
from orchestrator.manifest.spec.tool import ToolEntry
from orchestrator.ports.code import ModuleRefused, find_module
from orchestrator.ports.installed import is_plugin

_PLUGIN: Final = "plugin:NAME"
_OPTIONS: Final[dict[str, tuple[str, ...]]] = {
    "path": ("database", "calendar", "knowledge"),
    "include": ("knowledge",),
    "queries": ("database",),
    "allow_sql": ("database",),
    "writable": ("database",),
    "timezone": ("clock", "calendar"),
    "sender": ("email",),
    "smtp": ("email",),
    "plugin_options": (_PLUGIN,),
}
"""Which kinds an option belongs to."""


def check_tools(draft: Draft) -> None:
    """Every tool is one thing, with the options of that thing."""
    roots = _roots(draft)
    for tool in draft.tools.values():
        if tool.python is not None and tool.use is not None:
            draft.tell("ORC226", '"use" and "python" are two kinds of tool', (f"tool.{tool.name}", ("python",)))
        elif tool.python is not None:
            _check_python(draft, tool, roots)
        elif tool.use is None:
            near = (draft.suggest(tool.name, BUILTINS) or "").removesuffix("?")
            message = f'"{tool.name}" is no built-in, and neither use nor python says what it is'
            draft.tell("ORC226", message, (f"tool.{tool.name}", _name_key(draft, tool)), near)
        _check_options(draft, tool)
        _check_timezone(draft, tool)
        if tool.path is not None:
            must_be = tool.use in ("database", "knowledge") and not tool.writable
            _check_path(draft, f"tool.{tool.name}", tool.path, must_be)
    for knowledge in draft.knowledge.values():
        _check_path(draft, f"knowledge.{knowledge.name}", knowledge.path, must_be=True)


def _name_key(draft: Draft, tool: ToolEntry) -> tuple[str, ...]:
    return ("name",) if draft.holds(f"tool.{tool.name}", "name") else ()


def _check_options(draft: Draft, tool: ToolEntry) -> None:
    at = f"tool.{tool.name}"
    kind = "python" if tool.python else _PLUGIN if is_plugin(tool.use) else tool.use or ""
    for option, kinds in _OPTIONS.items():
        if kind and kind not in kinds and draft.holds(at, option):
            what = {"python": "a Python function", _PLUGIN: tool.use}.get(kind, kind)
            draft.tell("ORC227", f'"{option}" belongs to {" and ".join(kinds)}, and this is {what}', (at, (option,)))


def _check_timezone(draft: Draft, tool: ToolEntry) -> None:
    if tool.timezone is None:
        return
    from zoneinfo import available_timezones

    known = available_timezones()
    if known and tool.timezone not in known:
        message = f'unknown time zone "{tool.timezone}"'
        cure = draft.suggest(tool.timezone, known)
        draft.tell("ORC248", message, (f"tool.{tool.name}", ("timezone",)), cure=cure)


def _check_path(draft: Draft, at: str, path: str, must_be: bool) -> None:
    """``must_be``: what is only read should be there."""
    place = draft.place(at, "path")
    try:
        (draft.loaded.folder / path).stat()
    except (FileNotFoundError, NotADirectoryError):
        if must_be:
            draft.add(warning("ORC250", f"there is nothing at {path}", place), at)
    except OSError as error:  # such as a link that leads back to itself
        draft.add(fault("ORC252", f"{path} leads nowhere: {error.strerror}", place), at)
    except ValueError:
        draft.add(fault("ORC252", f"{path} is no path: it holds a zero character", place), at)


def _roots(draft: Draft) -> list[Path]:
    """The folders that Python tools may come from."""
    folder = draft.loaded.folder
    draft.origins["security"] = ("deployment", "security")
    roots = [folder]
    for number, name in enumerate(draft.deployment.security.tool_roots):
        root = folder / name
        if os.path.isdir(root):  # noqa: PTH112 - unlike Path.is_dir it is false for whatever cannot be looked at
            roots.append(root)
        else:
            place = draft.place("security", "tool_roots", number)
            draft.add(
                fault("ORC242", f"there is no folder {name}", place, cure="check the path"), "deployment.security"
            )
    return roots


def _check_python(draft: Draft, tool: ToolEntry, roots: list[Path]) -> None:
    module, _, function = (tool.python or "").partition(":")
    at = f"tool.{tool.name}"
    found = find_module(module, roots)
    if isinstance(found, ModuleRefused):
        message, cure = _refused(module, found)
        draft.tell("ORC242", message, (at, ("python",)), cure=cure)
        return
    file = found.file
    known = functions_of(file)
    for name, keys in ((function, ("python",)), *((name, ("functions", n)) for n, name in enumerate(tool.functions))):
        if known is not None and name not in known:
            draft.tell("ORC249", f'{file.name} has no function "{name}"', (at, keys), cure=draft.suggest(name, known))
        for reason in unfit_parameters(file, name):
            place = draft.place(at, *keys)
            draft.add(warning("ORC255", f"the function {name} cannot be a tool: {reason}", place), at)


def _refused(module: str, found: ModuleRefused) -> tuple[str, str | None]:
    """What is told of a module that would not be loaded, and a cure where it is not the code's own."""
    if found.why == "outside":
        return (
            f'the module "{module}" is a link to {found.real}, outside every folder that code may be loaded from',
            None,
        )
    if found.why == "reserved":
        return f'the module "{module}" has a name of Python\'s own or of this program', "rename its file"
    return f'no module "{module}" in the manifest\'s folder or security.tool_roots', None


@lru_cache(maxsize=64)
def _names_in(file: Path, _changed: int) -> frozenset[str] | None:
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError):
        return None  # the tool's own start tells it better
    names: set[str] = set()
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            names.add(node.name)
        elif isinstance(node, ast.Assign):
            names.update(target.id for target in node.targets if isinstance(target, ast.Name))
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            names.update((alias.asname or alias.name) for alias in node.names)
        elif not isinstance(node, (ast.ClassDef, ast.Expr, ast.AnnAssign)):
            return None  # defined under a condition: only running it would tell
    return None if "*" in names else frozenset(names)


def functions_of(file: Path) -> frozenset[str] | None:
    """The names that a module defines at its top, read without running it; ``None`` where reading cannot tell."""
    try:
        return _names_in(file, file.stat().st_mtime_ns)
    except OSError:
        return None
