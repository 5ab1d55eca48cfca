"""Jinja2 templates of a manifest, compiled once a revision, in a sandbox with caps on size and work.

Templates are written by the operator; what users, models and tools say is only ever a value in them, never a source.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from orchestrator.core.errors import DeployError, LimitReached

if TYPE_CHECKING:
    from jinja2.sandbox import ImmutableSandboxedEnvironment

LARGEST_TEXT: Final = 200_000
"""Characters that one rendering may give."""
LARGEST_COUNT: Final = 10_000
"""The longest ``range`` and the largest factor of ``*`` with a text or list."""

Render = Callable[[Mapping[str, Any]], str]
"""Fills a template in; raises ``LimitReached`` where it grows too large, ``DeployError`` where it fails."""


def compile_template(source: str) -> Render:
    """Compile ``source``; a text without ``{{`` or ``{%`` costs nothing and does not load Jinja2.

    Raises ``DeployError`` where it is no valid template.
    """
    if "{{" not in source and "{%" not in source and "{#" not in source:
        return lambda values: source
    import jinja2

    try:
        template = _environment().from_string(source)
    except jinja2.TemplateError as error:
        raise DeployError(f"a template does not compile: {error}", cure="Mend the template.") from error
    return lambda values: _fill(template, values)


def _fill(template: Any, values: Mapping[str, Any]) -> str:
    import jinja2

    pieces: list[str] = []
    size = 0
    try:
        for piece in template.generate(**values):
            size += len(piece)
            if size > LARGEST_TEXT:
                raise LimitReached(
                    f"a template gave more than {LARGEST_TEXT} characters", cure="Shorten what it prints."
                )
            pieces.append(piece)
    except jinja2.TemplateError as error:
        raise DeployError(f"a template failed: {error}", cure="Mend the template.") from error
    except (TypeError, ValueError, KeyError, ArithmeticError) as error:
        raise DeployError(f"a template failed: {type(error).__name__}: {error}", cure="Mend the template.") from error
    return "".join(pieces).strip()


@lru_cache(maxsize=1)
def _environment() -> ImmutableSandboxedEnvironment:
    from jinja2 import StrictUndefined
    from jinja2.sandbox import ImmutableSandboxedEnvironment, SecurityError

    class Sandbox(ImmutableSandboxedEnvironment):
        """Keys before attributes (``result.items`` is the key), and caps on what can grow without end."""

        intercepted_binops = frozenset({"*", "**", "%"})

        def getattr(self, obj: Any, attribute: str) -> Any:
            if isinstance(obj, Mapping) and attribute in obj:
                return obj[attribute]
            return super().getattr(obj, attribute)

        def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
            if operator == "%" and isinstance(left, str):
                raise SecurityError("formatting with % is not allowed")
            if operator == "**" or _grows(left, right) or _grows(right, left):
                raise SecurityError(f"{operator} may make too large a value")
            return super().call_binop(context, operator, left, right)

    environment = Sandbox(undefined=StrictUndefined, keep_trailing_newline=False, trim_blocks=True, lstrip_blocks=True)
    environment.globals["range"] = _short_range
    for name in ("center", "indent", "wordwrap", "format", "filesizeformat", "pprint", "xmlattr", "urlize"):
        environment.filters.pop(name, None)
    for name in ("lipsum", "cycler", "joiner", "namespace"):
        environment.globals.pop(name, None)
    environment.filters["money"] = _money
    return environment


def _grows(value: Any, factor: Any) -> bool:
    return (
        isinstance(value, (str, list, tuple))
        and isinstance(factor, int)
        and factor * max(1, len(value)) > LARGEST_COUNT
    )


def _short_range(*bounds: int) -> range:
    numbers = range(*bounds)
    if len(numbers) > LARGEST_COUNT:
        raise LimitReached(f"a range of more than {LARGEST_COUNT} numbers in a template")
    return numbers


def _money(cents: Any) -> str:
    """Cents as ``12.50``."""
    return f"{int(cents) / 100:.2f}"
