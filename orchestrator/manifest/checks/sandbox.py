"""Whether a Jinja2 template compiles and stays in the sandbox, without running it."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from jinja2 import Environment, TemplateSyntaxError, nodes

OWN_FILTERS: Final = frozenset({"money"})
"""Filters that our templates have beside Jinja2's."""
MISSING_FILTERS: Final = frozenset(
    {"center", "indent", "wordwrap", "format", "filesizeformat", "pprint", "xmlattr", "urlize"}
)
"""Filters of Jinja2 that ours do not have: they can make a small text huge, or format like Python."""


@lru_cache(maxsize=4096)
def fault_of_template(text: str) -> tuple[str, str] | None:
    """A code and what is wrong, or ``None``."""
    try:
        tree = _environment().parse(text)
    except TemplateSyntaxError as error:
        where = f" (line {error.lineno} of the text)" if "\n" in text else ""
        return "ORC243", f"the template does not compile: {error.message}{where}"
    except RecursionError:
        return "ORC243", "the template does not compile: it is too deep"
    return _escape(tree) or _unknown_filter(tree)


@lru_cache(maxsize=1)
def _environment() -> Environment:
    return Environment(autoescape=False)  # noqa: S701 - it only parses


def _escape(tree: nodes.Template) -> tuple[str, str] | None:
    for node in tree.find_all((nodes.Getattr, nodes.Getitem, nodes.Name, nodes.Const, nodes.Filter)):
        name = _reached(node)
        if name is not None and name.startswith("_"):
            return "ORC244", f'the template reaches for "{name}"'
    for left in tree.find_all((nodes.Import, nodes.FromImport, nodes.Include, nodes.Extends)):
        return "ORC244", f"the template uses {type(left).__name__.lower()}"
    return None


def _reached(node: nodes.Node) -> str | None:
    """The name that a node reaches for."""
    if isinstance(node, nodes.Getattr):
        return node.attr
    if isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Const):
        return node.arg.value if isinstance(node.arg.value, str) else None
    if isinstance(node, nodes.Name):
        return node.name
    if isinstance(node, nodes.Filter) and node.name in ("attr", "map", "selectattr", "rejectattr", "groupby", "sort"):
        return _attribute_of(node)
    return None


def _attribute_of(node: nodes.Filter) -> str | None:
    values = [*node.args, *(keyword.value for keyword in node.kwargs)]
    texts = [value.value for value in values if isinstance(value, nodes.Const) and isinstance(value.value, str)]
    parts = [part for text in texts for part in text.split(".")]
    return next((part for part in parts if part.startswith("_")), None)


def _unknown_filter(tree: nodes.Template) -> tuple[str, str] | None:
    known = (_environment().filters.keys() | OWN_FILTERS) - MISSING_FILTERS
    for node in tree.find_all(nodes.Filter):
        if node.name not in known:
            return "ORC243", f'the template uses an unknown filter "{node.name}"'
    return None
