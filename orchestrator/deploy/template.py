"""Templates, compiled once a revision and filled in within caps on size, work and time.

Three things together bound a filling: no single operation can make something large (``template_sandbox``), every loop
turn, call, filter and test costs a tick of a budget, and the budget looks at the CPU time. What templates may hold at all is
in ``core/template.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from orchestrator.core.errors import DeployError, LimitReached, RunError
from orchestrator.core.template import TemplateFault, is_plain, read_template
from orchestrator.deploy.template_budget import Budget, spending

if TYPE_CHECKING:
    from jinja2 import Environment, Template

Render = Callable[[Mapping[str, Any]], str]
"""Fills a template in; raises ``LimitReached`` where it grows too large or takes too long, ``RunError`` where it fails."""


def compile_template(source: str) -> Render:
    """Compile ``source``; a text without ``{{`` or ``{%`` costs nothing and does not load Jinja2.

    Raises ``DeployError`` where it is no valid template, or uses what templates may not use.
    """
    if is_plain(source):
        text = source.strip()
        return lambda values: text
    try:
        template = _compiled(source)
    except TemplateFault as fault:
        raise DeployError(f"a template, line {fault.line}: {fault}", cure="Mend the template.") from fault
    return lambda values: _fill(template, values)


def _compiled(source: str) -> Template:
    import jinja2

    from orchestrator.deploy.template_sandbox import counted

    tree = read_template(source)
    try:
        return _environment().from_string(counted(tree))
    except jinja2.TemplateSyntaxError as error:
        raise TemplateFault(error.message or "it is malformed", "malformed", error.lineno) from error
    except (SyntaxError, RecursionError) as error:  # Python's own limits on nesting
        raise TemplateFault(f"it is nested too deeply: {error}", "malformed") from error


@lru_cache(maxsize=1)
def _environment() -> Environment:
    from orchestrator.deploy.template_sandbox import open_sandbox

    return open_sandbox()


def _fill(template: Template, values: Mapping[str, Any]) -> str:
    import jinja2

    budget = Budget()
    pieces: list[str] = []
    try:
        with spending(budget):
            for piece in template.generate(values):
                budget.print(len(piece))
                pieces.append(piece)
    except LimitReached:
        raise
    except jinja2.TemplateError as error:
        raise RunError(f"a template failed: {error}", cure="Mend the template.") from error
    except Exception as error:
        raise RunError(f"a template failed: {type(error).__name__}: {error}", cure="Mend the template.") from error
    return "".join(pieces).strip()
