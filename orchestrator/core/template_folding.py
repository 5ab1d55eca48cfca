"""What of a template is the same at every filling: texts and numbers that are put together from written ones. Pure.

A name that is written in pieces (``'__cl' ~ 'ass__'``) is refused like one that is written whole, and a size that is
written down is judged before anybody waits for it. Nothing longer than ``LONGEST`` is put together here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from jinja2 import nodes

LARGEST_COUNT: Final = 10_000
"""The longest ``range``, and the longest list or text that ``*`` makes."""
LONGEST: Final = 1_000
"""Characters of a text that is put together; names are short."""
_TURNED: Final[Mapping[str, Callable[[str], str]]] = {
    "lower": str.lower,
    "upper": str.upper,
    "trim": str.strip,
    "string": str,
    "reverse": lambda text: text[::-1],
}


def text_of(node: nodes.Node) -> str | None:
    """The text that an expression always gives; ``None`` where that is not known, or it is long."""
    from jinja2 import nodes

    match node:
        case nodes.Const(value=str() as text):
            return text if len(text) <= LONGEST else None
        case nodes.Concat(nodes=parts):
            return _joined("", parts)
        case nodes.Add(left=left, right=right):
            return _joined("", [left, right])
        case nodes.Filter(node=nodes.List(items=parts) | nodes.Tuple(items=parts), name="join", args=args, kwargs=[]):
            between = text_of(args[0]) if args else ""
            return None if between is None else _joined(between, parts)
        case nodes.Filter(node=nodes.Expr() as inner, name=name, args=[], kwargs=[]) if name in _TURNED:
            whole = text_of(inner)
            return None if whole is None else _TURNED[name](whole)
    return None


def _joined(between: str, parts: list[nodes.Expr]) -> str | None:
    texts: list[str] = []
    size = 0
    for part in parts:
        text = text_of(part)
        size += len(text or "") + len(between)
        if text is None or size > LONGEST:
            return None
        texts.append(text)
    return between.join(texts)


def is_too_long(node: nodes.Node) -> bool:
    """Whether it is a repetition or a ``range`` with written numbers that is longer than any may be."""
    from jinja2 import nodes

    match node:
        case nodes.Mul(left=nodes.Const(value=int() as times), right=nodes.Const(value=str() as text)):
            return times * len(text) > LARGEST_COUNT
        case nodes.Mul(left=nodes.Const(value=str() as text), right=nodes.Const(value=int() as times)):
            return times * len(text) > LARGEST_COUNT
        case nodes.Call(node=nodes.Name(name="range"), args=args, kwargs=[], dyn_args=None) if 1 <= len(args) <= 3:
            return _counts(args) > LARGEST_COUNT
    return False


def _counts(bounds: list[nodes.Expr]) -> int:
    """How many numbers a ``range`` has; 0 where that is not written down."""
    from jinja2 import nodes

    numbers = [bound.value for bound in bounds if isinstance(bound, nodes.Const) and isinstance(bound.value, int)]
    if len(numbers) < len(bounds) or numbers[2:] == [0]:
        return 0
    first, end = (0, numbers[0]) if len(numbers) == 1 else numbers[:2]
    step = numbers[2] if len(numbers) == 3 else 1
    return max(0, -((first - end) // step))
