"""The sandbox that templates are filled in: plain values and their harmless methods, and no operation without a bound.

Importing this loads Jinja2.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import wraps
from typing import Any, Final, cast

from jinja2 import Environment, StrictUndefined, Undefined, nodes
from jinja2.exceptions import SecurityError
from jinja2.runtime import LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

from orchestrator.core.errors import LimitReached
from orchestrator.core.template import FILTERS, LOOP, METHODS
from orchestrator.core.template_folding import LARGEST_COUNT
from orchestrator.deploy.template_budget import check_held, check_size, made, tick

_LARGEST_NUMBER: Final = 10**30
_COUNTED: Final = "_counted"
_JOINED: Final = "_joined"
_HELD: Final = "_held"


class Sandbox(ImmutableSandboxedEnvironment):
    """Keys before attributes (``result.items`` is the key where there is one)."""

    intercepted_binops = frozenset({"+", "*", "%"})

    def getattr(self, obj: Any, attribute: str) -> Any:
        """The key, else the harmless method, of this name."""
        if isinstance(obj, Mapping) and attribute in obj:
            return obj[attribute]
        return super().getattr(obj, attribute)

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """Only what is listed, of plain values; loops and missing values have their own."""
        if isinstance(obj, LoopContext):
            return attr in LOOP
        if isinstance(obj, Undefined):
            return super().is_safe_attribute(obj, attr, value)
        return any(attr in names and isinstance(obj, kind) for kind, names in METHODS.items())

    def wrap_str_format(self, value: Any) -> None:
        """``format`` is a method like others: not listed."""

    def call(self, context: Any, function: Any, /, *args: Any, **kwargs: Any) -> Any:
        """A call costs a tick."""
        tick()
        return super().call(context, function, *args, **kwargs)

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """``+`` and ``*`` of bounded size; ``%`` of numbers only."""
        if operator == "%" and not isinstance(left, (int, float)):
            raise SecurityError("formatting with % is not allowed")
        if operator == "*":
            _check_product(left, right)
            _check_product(right, left)
        result = super().call_binop(context, operator, left, right)
        _check_value(result)
        return result


def open_sandbox() -> Environment:
    """The environment of all templates. It must split sources as ``core.template.reading_environment`` does."""
    sandbox = Sandbox(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, optimized=False)
    replaced = {
        "join": _join,
        "money": _money,
        "replace": _replace,
        "round": _round,
        "sum": _sum,
        "tojson": _to_json,
    }
    known = {**sandbox.filters, **replaced}
    sandbox.filters = {name: _ticking(known[name]) for name in FILTERS}
    sandbox.tests = {
        name: _ticking(cast(Any, test)) for name, test in sandbox.tests.items()
    }  # filters run them in their own loops
    sandbox.filters |= {_COUNTED: _counted, _JOINED: _joined, _HELD: _held}
    sandbox.globals = {"range": _range, "dict": _dict}
    return sandbox


class _Counting(NodeTransformer):
    """Puts our own filters where Jinja2 has loops, ``~`` and lists, which it compiles to Python directly."""

    def visit_For(self, node: nodes.For) -> nodes.For:  # noqa: N802 - named after the node
        self.generic_visit(node)
        node.iter = nodes.Filter(node.iter, _COUNTED, [], [], None, None, lineno=node.lineno)
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Filter:  # noqa: N802 - named after the node
        self.generic_visit(node)
        parts = nodes.List(node.nodes, lineno=node.lineno)
        return nodes.Filter(parts, _JOINED, [], [], None, None, lineno=node.lineno)

    def visit_List(self, node: nodes.List) -> nodes.Expr:  # noqa: N802 - named after the node
        return self._held(node)

    def visit_Dict(self, node: nodes.Dict) -> nodes.Expr:  # noqa: N802 - named after the node
        return self._held(node)

    def visit_Tuple(self, node: nodes.Tuple) -> nodes.Expr:  # noqa: N802 - named after the node
        """The names that are set are a tuple too."""
        return self._held(node) if node.ctx == "load" else node

    def _held(self, node: nodes.Expr) -> nodes.Expr:
        if _is_written_out(node):
            return node
        self.generic_visit(node)
        return nodes.Filter(node, _HELD, [], [], None, None, lineno=node.lineno)


def counted(tree: nodes.Template) -> nodes.Template:
    """The same template, with loops that count their turns and joins that mind their size."""
    changed = _Counting().visit(tree)
    changed.set_environment(tree.environment)
    return changed  # type: ignore[no-any-return]  # a transformer gives whatever a visit gave


def _is_written_out(node: nodes.Node) -> bool:
    """Whether it holds only what stands in the source, which is not long."""
    plain = (nodes.Const, nodes.List, nodes.Tuple, nodes.Dict, nodes.Pair)
    return isinstance(node, plain) and all(_is_written_out(child) for child in node.iter_child_nodes())


# -- bounded operations ---------------------------------------------------------------------------------------------


def _ticking(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)  # also copies Jinja2's marks of what else the function takes
    def filter_(*args: Any, **kwargs: Any) -> Any:
        tick()
        result = function(*args, **kwargs)
        _check_value(result)
        return result

    return filter_


def _counted(values: Iterable[Any]) -> Iterator[Any]:
    for value in values:
        tick()
        yield value


def _check_value(value: Any) -> None:
    if isinstance(value, str):
        made(len(value))
    elif isinstance(value, (list, tuple)):
        made(len(value))
        _held(value)
    elif isinstance(value, int) and abs(value) > _LARGEST_NUMBER:
        raise LimitReached("a template made too large a number")


def _held(value: Any) -> Any:
    """The value, looked through: that takes time, and costs a tick."""
    tick()
    check_held(value)
    return value


def _dict(*given: Any, **entries: Any) -> Any:
    return _held(dict(*given, **entries))


def _check_product(value: Any, factor: Any) -> None:
    if isinstance(value, (str, list, tuple)) and isinstance(factor, int) and factor * len(value) > LARGEST_COUNT:
        raise LimitReached(f"a template made more than {LARGEST_COUNT} characters or entries by *")


def _range(*bounds: int) -> range:
    numbers = range(*bounds)
    if len(numbers) > LARGEST_COUNT:
        raise LimitReached(f"a range of more than {LARGEST_COUNT} numbers in a template")
    return numbers


def _joined(parts: list[Any]) -> str:
    return _join(parts)


def _join(values: Iterable[Any], separator: str = "", attribute: str | None = None) -> str:
    """Texts one after another; ``attribute`` names the key whose value is joined."""
    pieces: list[str] = []
    size = 0
    for value in values:
        piece = str(value[attribute] if attribute is not None else value)
        size += len(piece) + len(separator)
        check_size(size)
        pieces.append(piece)
    return separator.join(pieces)


def _replace(text: Any, old: str, new: str, count: int = -1) -> str:
    source = str(text)
    times = source.count(old) if count < 0 else min(count, source.count(old))
    check_size(len(source) + times * (len(new) - len(old)))
    return source.replace(old, new, count)


def _round(value: float, precision: int = 0) -> float:
    """To so many digits after the point, at most 15."""
    rounded = round(float(value), min(precision, 15))
    return rounded if precision > 0 else int(rounded)


def _sum(values: Iterable[Any], attribute: str | None = None) -> float:
    """The sum of numbers."""
    return sum(float(each) if isinstance(each, float) else int(each) for each in _picked(values, attribute))


def _picked(values: Iterable[Any], attribute: str | None) -> Iterator[Any]:
    for value in values:
        yield value if attribute is None else value[attribute]


def _to_json(value: Any) -> str:
    """JSON as it stands in a prompt: Jinja2's own is escaped for HTML."""
    return json.dumps(value, ensure_ascii=False, default=str)


def _money(cents: Any) -> str:
    """Cents as ``12.50``."""
    return f"{int(cents) / 100:.2f}"
