"""What the built-in tools share: a live tool, the check of its options, and schemas of its functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import anyio

from orchestrator.core.errors import DeployError, ToolFailed
from orchestrator.core.schema_check import check_arguments
from orchestrator.ports.code import Stamp
from orchestrator.ports.tool import ToolFunction

TEXT: Final[Mapping[str, Any]] = {"type": "string", "minLength": 1, "maxLength": 20_000}
"""A text that is not empty."""
LINE: Final[Mapping[str, Any]] = {"type": "string", "minLength": 1, "maxLength": 200, "pattern": r"^[^\r\n]*\Z"}
"""A text of one line, such as a subject."""


_NO_CODE: Final[Mapping[str, Stamp]] = {}


class OpenedTool:
    """A ``Tool`` of plain functions; ``close`` releases what they hold, ``code`` are the operator's files that they are made
    of, ``filled_by`` says what to put there for them to find."""

    def __init__(
        self,
        functions: tuple[ToolFunction, ...],
        close: Callable[[], None] = lambda: None,
        code: Mapping[str, Stamp] = _NO_CODE,
        filled_by: str = "",
    ) -> None:
        self._functions = functions
        self._close = close
        self.code = code
        self.filled_by = filled_by

    @property
    def functions(self) -> tuple[ToolFunction, ...]:
        """What it offers."""
        return self._functions

    async def aclose(self) -> None:
        """Release what it holds, in a thread: a file's close may wait for what runs."""
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(self._close, limiter=anyio.CapacityLimiter(1))


def arguments_schema(properties: Mapping[str, Any], optional: tuple[str, ...] = ()) -> dict[str, Any]:
    """The schema of a function's arguments: nothing beyond ``properties``, and all of them but the ``optional``."""
    return {
        "type": "object",
        "properties": dict(properties),
        "required": [name for name in properties if name not in optional],
        "additionalProperties": False,
    }


def checked_options(tool: str, options: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """The options where they fit ``schema`` (properties by name, none of them required); raises ``DeployError``."""
    checked = check_arguments(options, arguments_schema(schema, tuple(schema)))
    if checked.fault:
        raise DeployError(f"the options of the tool {tool}: {checked.fault}", cure="see docs/tools.md")
    read: dict[str, Any] = checked.value
    return read


def other_call(kept: str) -> ToolFailed:
    """For a call whose ``call_id`` was used before with other arguments: to answer it with what is kept would be a lie."""
    return ToolFailed(
        f"this call was made before with other arguments, for {kept}; nothing was done",
        cure="a repeat must be the same call: give another one a call_id of its own",
    )


def described(schema: Mapping[str, Any], description: str) -> dict[str, Any]:
    """A schema with a description for a model."""
    return {**schema, "description": description}
