"""The documents of an export as texts, and as files."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import yaml

from orchestrator.app.exporting.gather import Gathered
from orchestrator.app.unit import exported_text
from orchestrator.core.errors import UsageError
from orchestrator.export import compose, kubernetes, kubernetes_notes, systemd

NOTES: Final = "NOTES.txt"
_PLAIN: Final = re.compile(r"[A-Za-z_/][A-Za-z0-9_ ./:+@=-]*", re.ASCII)
"""A text that every reader of YAML takes for a text, whichever version of YAML it speaks."""


@dataclass(frozen=True, slots=True)
class Page:
    """A file: ``private`` ones are for secrets; one that is written ``once`` is left alone where it is there."""

    name: str
    content: bytes
    private: bool = False
    once: bool = False


@dataclass(frozen=True, slots=True)
class Exported:
    """What is printed where no folder is named, the files for a folder, and what is left to do."""

    printed: str
    pages: tuple[Page, ...]
    notes: tuple[str, ...]


def exported(engine: str, gathered: Gathered, python: str = sys.executable) -> Exported:
    """The export for an engine. ``python`` starts units of systemd. Raises ``UsageError``."""
    return ENGINES[engine](gathered, python)


def _kubernetes(gathered: Gathered, _: str) -> Exported:
    text = _stream(kubernetes.documents(gathered.order))
    return _exported(text, [Page("kubernetes.yaml", text.encode())], kubernetes_notes.notes(gathered.order))


def _compose(gathered: Gathered, _: str) -> Exported:
    order = gathered.order
    text = _stream([compose.document(order)])
    files = [Page(f"{compose.MANIFEST}/{name}", content) for name, content in order.files.items()]
    private = [Page(name, text.encode(), private=True, once=True) for name, text in compose.env_files(order).items()]
    return _exported(text, [Page("compose.yaml", text.encode()), *files, *private], compose.notes(order))


def _systemd(gathered: Gathered, python: str) -> Exported:
    order, folder = gathered.order, str(gathered.root)
    if gathered.typed:
        raise UsageError("a unit reads its manifest at each start, and standard input is gone", cure="name a file")
    texts = {unit.file: exported_text(unit, python) for unit in systemd.units(order, folder)}
    printed = "\n".join(f"# {name}\n{text}" for name, text in texts.items())
    pages = [Page(name, text.encode()) for name, text in texts.items()]
    return _exported(printed, pages, systemd.notes(order, folder))


def _exported(printed: str, pages: Iterable[Page], notes: Iterable[str]) -> Exported:
    told = tuple(notes)
    text = "".join(f"- {note}\n" for note in told)
    return Exported(printed, (*pages, Page(NOTES, text.encode())), told)


ENGINES: Final[Mapping[str, Callable[[Gathered, str], Exported]]] = {
    "kubernetes": _kubernetes,
    "compose": _compose,
    "systemd": _systemd,
}


class _Dumper(yaml.SafeDumper):
    """Texts of several lines as blocks; what any version of YAML could take for something else in quotes."""

    def ignore_aliases(self, _: Any) -> bool:
        """Everything is written out."""
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None if _PLAIN.fullmatch(text) else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


def _stream(documents: Iterable[Mapping[str, Any]]) -> str:
    text: str = yaml.dump_all(
        documents, Dumper=_Dumper, sort_keys=False, default_flow_style=False, allow_unicode=True, width=10_000
    )
    return text
