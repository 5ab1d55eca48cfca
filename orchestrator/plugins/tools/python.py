"""Functions of the operator's own Python modules as a tool, with schemas from their type hints."""

from __future__ import annotations

import dataclasses
import enum
import inspect
import json
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import anyio

from orchestrator.core.errors import DeployError, ToolFailed
from orchestrator.plugins.tools.hints import HintFault, Signature, signature_of, summary_of
from orchestrator.plugins.tools.modules import loaded
from orchestrator.plugins.tools.opened import OpenedTool, checked_options
from orchestrator.plugins.tools.workers import Workers
from orchestrator.ports.tool import ToolContext, ToolFunction, ToolOutcome, ToolPlace

OPTIONS: Final[Mapping[str, Any]] = {
    "python": {"type": "string", "pattern": r"^[A-Za-z_][A-Za-z0-9_.]*:[A-Za-z_][A-Za-z0-9_]*\Z"},
    "functions": {"type": "array", "items": {"type": "string", "pattern": r"^[A-Za-z_][A-Za-z0-9_]*\Z"}},
}

_THREADS: Final = 8
"""Threads of one tool; a function that never ends holds only threads of its own tool."""


def open_python(name: str, options: Mapping[str, Any], place: ToolPlace) -> OpenedTool:
    """Load the module from the manifest's folder or a root. Raises ``DeployError``."""
    read = checked_options(name, options, OPTIONS)
    if "python" not in read:
        raise DeployError(f"the tool {name} names no function", cure="write python: module:function")
    module_name, _, first = read["python"].partition(":")
    names = dict.fromkeys([first, *read.get("functions", [])])
    roots = tuple(dict.fromkeys(Path(root).absolute() for root in (place.folder, *place.roots)))
    workers = Workers(name, _THREADS)
    with loaded(module_name, roots) as load:
        functions = tuple(_tool_function(name, _found(load.module, function), workers) for function in names)
    return OpenedTool(functions, code=load.files)


def _found(module: ModuleType, name: str) -> Callable[..., Any]:
    function = getattr(module, name, None)
    if not inspect.isfunction(function):
        own = [key for key, value in vars(module).items() if inspect.isfunction(value) and not key.startswith("_")]
        raise DeployError(
            f"the module {module.__name__} has no function {name}", cure=f"it has: {', '.join(own) or 'none'}"
        )
    return function


def _tool_function(tool: str, function: Callable[..., Any], workers: Workers) -> ToolFunction:
    try:
        signature = signature_of(function)
    except HintFault as error:
        raise DeployError(
            f"the function {function.__name__} cannot be a tool: {error}", cure="give each parameter a type hint"
        ) from error
    name = f"{tool}.{function.__name__}"
    run = _Run(name, function, signature, workers)
    call = run.awaited if inspect.iscoroutinefunction(function) else run.threaded
    # What it does is not known, so the careful answer is given: it writes, and may not be repeated.
    return ToolFunction(name, summary_of(function), signature.schema, "write", call)


class _Run:
    """One function, called in the event loop or in a thread."""

    def __init__(self, name: str, function: Callable[..., Any], signature: Signature, workers: Workers) -> None:
        self._name = name
        self._function = function
        self._signature = signature
        self._workers = workers

    async def awaited(self, arguments: Mapping[str, Any], context: ToolContext) -> ToolOutcome:
        """An async function runs where we do, in a task of its own: one that cancels itself does not cancel the run. Where we are
        cancelled, the group ends it and goes on with that."""
        ended: list[ToolOutcome | BaseException] = []

        async def work() -> None:
            try:
                ended.append(self._outcome(await self._function(**self._signature.bind(arguments, context))))
            except BaseException as error:  # noqa: BLE001 - nothing that it raises may end what has no part in it
                ended.append(error)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(work)
        [end] = ended
        if isinstance(end, BaseException):
            raise self._failed(end) from end
        return end

    async def threaded(self, arguments: Mapping[str, Any], context: ToolContext) -> ToolOutcome:
        """A plain function runs in a thread. One that is cancelled is left to end there; nobody waits for it."""
        return await self._workers.run(lambda: self._in_thread(arguments, context))

    def _in_thread(self, arguments: Mapping[str, Any], context: ToolContext) -> ToolOutcome:
        try:
            return self._outcome(self._function(**self._signature.bind(arguments, context)))
        except BaseException as error:
            raise self._failed(error) from error

    def _failed(self, error: BaseException) -> ToolFailed:
        """A ``ValueError`` is meant for the caller: its text is told. What others say may be internals, and only their place
        is told."""
        place = place_in(self._function, error)
        if isinstance(error, ToolFailed):
            error.cure = error.cure or f"it was raised in {place}"
            return error
        if isinstance(error, ValueError) and str(error):
            return ToolFailed(
                str(error), cure=f"{self._name} refuses it in {place}: ask for something else, or mend it there"
            )
        return ToolFailed(f"{self._name} failed ({type(error).__name__})", cure=f"mend it in {place}")

    def _outcome(self, value: Any) -> ToolOutcome:
        if isinstance(value, ToolOutcome):
            plain = self._outcome(value.value)
            return ToolOutcome(plain.value, value.text or plain.text, value.show, value.origins)
        if isinstance(value, str):
            return ToolOutcome(value, value)
        try:
            text = json.dumps(value, ensure_ascii=False, allow_nan=False, default=_plain)
        except (TypeError, ValueError, RecursionError) as error:
            cure = f"give texts, numbers, lists, maps or dataclasses: {place_in(self._function)}"
            raise ToolFailed(f"{self._name} gave something that is no JSON value", cure=cure) from error
        # Read back only where something had to be turned into plain values, or a key into a text.
        return ToolOutcome(value if isinstance(value, (int, float, type(None))) else json.loads(text), text)


def place_in(function: Callable[..., Any], error: BaseException | None = None) -> str:
    """The last line in the operator's own code that ``error`` went through, else where the function begins."""
    first = function.__code__
    file, line, name = Path(first.co_filename), first.co_firstlineno, first.co_name
    folder = file.parent
    for frame, number in traceback.walk_tb(error.__traceback__ if error is not None else None):
        code = frame.f_code
        if _is_own(Path(code.co_filename), folder):
            file, line, name = Path(code.co_filename), number, code.co_name
    return f"{file.relative_to(folder)}, line {line} ({name})"


def _is_own(file: Path, folder: Path) -> bool:
    """Beside the function or below it; not a package that is installed there, as in a virtual environment."""
    return file.is_relative_to(folder) and "site-packages" not in file.relative_to(folder).parts


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    raise TypeError(f"{type(value).__name__} is no JSON value")
