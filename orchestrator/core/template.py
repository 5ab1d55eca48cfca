"""The language of templates: Jinja2, without everything that could leave the sandbox or has no bound. Pure.

Templates are written by the operator; what users, models and tools say is only ever a value in them, never a source.
What is refused is refused when the source is read, so that a manifest's check and the runtime agree; what can only be
seen while a template is filled in (a name made of what is not written there, work without end) is the runtime's to stop.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Final, Literal

from orchestrator.core.template_folding import LARGEST_COUNT, is_too_long, text_of

if TYPE_CHECKING:
    from jinja2 import Environment, nodes

LARGEST_SOURCE: Final = 100_000
"""Characters of a template."""
DEEPEST: Final = 50
"""Brackets in brackets, and operations of operations (``a or b or c`` is two): Python reads a template's code up to about
200 levels, and Jinja2 about 70 with the usual stack."""
DEEPEST_BLOCKS: Final = 15
"""Loops and conditions in one another; Python takes 20 loops."""
# fmt: off
FILTERS: Final = frozenset({
    "abs", "capitalize", "count", "d", "default", "dictsort", "first", "float", "groupby", "int", "items", "join",
    "last", "length", "list", "lower", "map", "max", "min", "money", "reject", "rejectattr", "replace", "reverse",
    "round", "select", "selectattr", "sort", "string", "sum", "title", "tojson", "trim", "truncate", "unique",
    "upper", "wordcount",
})
# fmt: on
"""The filters that templates may use. ``money`` is ours: cents as ``12.50``."""
# fmt: off
METHODS: Final[Mapping[type, frozenset[str]]] = {
    str: frozenset({
        "capitalize", "casefold", "count", "endswith", "find", "isalnum", "isalpha", "isdecimal", "isdigit",
        "islower", "isspace", "istitle", "isupper", "lower", "lstrip", "partition", "removeprefix", "removesuffix",
        "rpartition", "rsplit", "rstrip", "split", "splitlines", "startswith", "strip", "swapcase", "title", "upper",
    }),
    dict: frozenset({"get", "items", "keys", "values"}),
    list: frozenset({"count", "index"}),
    tuple: frozenset({"count", "index"}),
}
# fmt: on
"""Methods of plain values that templates may call. None of them makes more than it was given."""
# fmt: off
LOOP: Final = frozenset({
    "changed", "cycle", "depth", "depth0", "first", "index", "index0", "last", "length", "nextitem", "previtem",
    "revindex", "revindex0",
})
# fmt: on
"""What templates may ask of a ``loop``."""
_CALLED: Final = frozenset({"cycle", "changed"}).union(*METHODS.values())
_MARKS: Final = ("{{", "{%", "{#")
_GIVEN: Final = frozenset({"range", "dict", "loop"})
"""Names that every template has."""
_NAMES: Final = frozenset({"self", "super", "caller", "varargs", "kwargs"})


class TemplateFault(ValueError):
    """A template that cannot be used: ``kind`` says whether it is malformed or would leave the sandbox."""

    def __init__(self, message: str, kind: Literal["malformed", "forbidden"], line: int = 1) -> None:
        super().__init__(message)
        self.kind = kind
        self.line = line


def is_plain(source: str) -> bool:
    """Whether it is only text, so that Jinja2 is not needed."""
    return not any(mark in source for mark in _MARKS)


def read_template(source: str) -> nodes.Template:
    """The syntax tree of a template that may be used; raises :class:`TemplateFault`."""
    import jinja2

    if len(source) > LARGEST_SOURCE:
        raise TemplateFault(f"it has {len(source)} characters; {LARGEST_SOURCE} is the most", "malformed")
    try:
        _check_brackets(source)
        tree = reading_environment().parse(source)
        for node, levels, blocks in _all_nodes(tree):
            _check(node)
            _check_depth(node, levels, blocks)
    except jinja2.TemplateSyntaxError as error:
        raise TemplateFault(error.message or "it is malformed", "malformed", error.lineno) from error
    except RecursionError as error:
        raise TemplateFault("it is nested too deeply", "malformed") from error
    return tree


def free_names(source: str) -> dict[str, int]:
    """The names that a template takes from outside, each with its first line: those that it uses and nowhere sets. Raises
    :class:`TemplateFault`."""
    from jinja2 import nodes

    names = list(read_template(source).find_all(nodes.Name))
    own = {node.name for node in names if node.ctx != "load"} | _GIVEN
    free: dict[str, int] = {}
    for node in names:
        if node.name not in own:
            free[node.name] = min(node.lineno, free.get(node.name, node.lineno))
    return free


@lru_cache(maxsize=1)
def reading_environment() -> Environment:
    """How sources are split into marks and text; the one who fills templates in must use the same."""
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    return ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)


def _all_nodes(tree: nodes.Template) -> list[tuple[nodes.Node, int, int]]:
    """Every node, with the operations around it in its statement, and the statements around that."""
    from jinja2 import nodes

    found: list[tuple[nodes.Node, int, int]] = [(tree, 0, 0)]
    for node, levels, blocks in found:  # it grows while it is gone through
        for child in node.iter_child_nodes():
            is_statement = isinstance(child, nodes.Stmt)
            found.append((child, 0, blocks + 1) if is_statement else (child, levels + 1, blocks))
    return found


def _check_brackets(source: str) -> None:
    """What stands in too many brackets is refused before it is read: reading it takes a deep stack."""
    depth = 0
    for line, kind, text in reading_environment().lex(source):
        if kind == "operator":
            depth += (text in "([{") - (text in ")]}")
            if depth > DEEPEST:
                raise TemplateFault(f"more than {DEEPEST} brackets in one another", "malformed", line)


def _check_depth(node: nodes.Node, levels: int, blocks: int) -> None:
    if levels > DEEPEST + 1:  # the innermost one is a value
        raise TemplateFault(f"more than {DEEPEST} operations in one another", "malformed", node.lineno)
    if blocks > DEEPEST_BLOCKS + 1:  # the innermost one prints
        raise TemplateFault(f"more than {DEEPEST_BLOCKS} loops and conditions in one another", "malformed", node.lineno)


def _check(node: nodes.Node) -> None:
    reason = _why_forbidden(node)
    if reason:
        raise TemplateFault(reason, "forbidden", node.lineno)


def _why_forbidden(node: nodes.Node) -> str:
    from jinja2 import nodes

    reason = ""
    match node:
        case nodes.Include() | nodes.Import() | nodes.FromImport() | nodes.Extends() | nodes.Block():
            reason = "a template may not load another one"
        case nodes.Macro() | nodes.CallBlock() | nodes.FilterBlock() | nodes.AssignBlock():
            reason = "macros and blocks are not allowed in a template"
        case nodes.For(recursive=True):
            reason = "a loop may not call itself"
        case nodes.Filter(name=name) if name not in FILTERS:
            reason = f"there is no filter {name!r}; filters are: {', '.join(sorted(FILTERS))}"
        case nodes.Filter() if name := _reached_by(node):
            reason = f"{name!r}: a template may not reach into Python"
        case nodes.Pow():
            reason = "** is not allowed in a template"
    return reason or _why_beyond(node)


def _why_beyond(node: nodes.Node) -> str:
    """Why a name leaves the sandbox, or an operation has no bound; what is put together from written pieces counts as written."""
    from jinja2 import nodes

    reason = ""
    match node:
        case nodes.Getattr() | nodes.Getitem() | nodes.Name():
            name = _name_in(node)
            if name.startswith("_") or (name in _NAMES and isinstance(node, nodes.Name)):
                reason = f"{name!r}: a template may not reach into Python"
        case nodes.Call(node=nodes.Getattr() | nodes.Getitem() as called) if (name := _name_in(called)) not in _CALLED:
            if name and not name.startswith("_"):  # else a number, or not written there; or told where it is a name
                reason = f"a value has no function {name!r}; functions are: {', '.join(sorted(_CALLED))}"
        case nodes.Mod(left=left) if text_of(left) is not None or isinstance(left, nodes.Concat):
            reason = "formatting with % is not allowed; write the values between texts, with ~"
        case nodes.Mul() | nodes.Call() if is_too_long(node):
            reason = f"more than {LARGEST_COUNT} characters or entries are made at once"
    return reason


def _name_in(node: nodes.Node) -> str:
    """The name that it takes; none where it is a number, or not written there."""
    from jinja2 import nodes

    match node:
        case nodes.Getattr(attr=name) | nodes.Name(name=name):
            return str(name)
        case nodes.Getitem(arg=arg):
            return text_of(arg) or ""
    return ""


def _reached_by(node: nodes.Filter) -> str:
    """A name with an underscore in front among the written arguments of a filter, which may name attributes."""
    written = [*node.args, *(keyword.value for keyword in node.kwargs)]
    texts = [text for each in written if (text := text_of(each)) is not None]
    return next((part for text in texts for part in text.split(".") if part.startswith("__")), "")
