"""Reads any YAML text that a user wrote: a manifest that is edited, a file of cases, a script of a simulated model. One reader,
the one of :mod:`parse`, so that what a manifest may say all others understand too: the library's own two differ (its reader in
Python refuses ``[When do you open?, Are you open?]``), and so do YAML 1.1 and 1.2 (``no``, ``12:30``). Pure."""

from __future__ import annotations

from typing import Any, Final

import yaml

from orchestrator.manifest.scalar import NumberRefused, Scalar, resolve_scalar

DEEPEST: Final = 200
"""Maps and lists inside each other; the library's own stack ends at some ten thousand, and the process with it."""
_PLAIN: Final = "tag:orchestrator,plain"


class Loader(yaml.CSafeLoader):
    """The library's reader in C, with plain scalars by YAML 1.2."""

    def resolve(self, kind: Any, value: Any, implicit: Any) -> Any:
        """The tag of a node that has none."""
        if kind is yaml.ScalarNode and implicit[0]:
            return _PLAIN
        return super().resolve(kind, value, implicit)  # type: ignore[no-untyped-call] # of the stubs of PyYAML


def _plain(_loader: Loader, node: yaml.ScalarNode) -> Scalar:
    try:
        return resolve_scalar(node.value)
    except NumberRefused as error:
        raise _refused(str(error), node.start_mark) from error


Loader.add_constructor(_PLAIN, _plain)


def load(text: str) -> Any:
    """The plain value of a text. Raises ``yaml.YAMLError``, with a ``problem`` and where it is known a ``problem_mark``."""
    _check_depth(text)
    return yaml.load(text, Loader)  # noqa: S506 - a safe loader: it makes plain values only


def compose(text: str) -> yaml.Node | None:
    """The nodes of a text, with their places. Raises ``yaml.YAMLError``."""
    _check_depth(text)
    return yaml.compose(text, Loader)


def _refused(problem: str, mark: Any) -> yaml.YAMLError:
    return yaml.constructor.ConstructorError(None, None, problem, mark)


def _check_depth(text: str) -> None:
    depth = 0
    for event in yaml.parse(text, Loader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            raise _refused(f"more than {DEEPEST} maps and lists inside each other", event.start_mark)
