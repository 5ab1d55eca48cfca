"""``${NAME}`` and ``${NAME:-default}``: plain values from the environment, put in once at load; ``$$`` is one dollar.

What is put in is never read as YAML again. A value that is nothing but one variable and was not quoted is typed like a plain
scalar, so that ``port: ${PORT:-7411}`` is a number; everything else stays text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from orchestrator.core.diagnostic import Diagnostic
from orchestrator.manifest.faults import MOST_FAULTS, fault
from orchestrator.manifest.parse import Parsed, Written
from orchestrator.manifest.scalar import NumberRefused, resolve_scalar
from orchestrator.manifest.secrets import secrets_in

Taken = tuple[str, int, int]
"""A variable, and the start and end of what it put in."""

_DOLLAR: Final = re.compile(
    r"\$(?:(?P<dollar>\$)|(?P<brace>\{)(?:(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\})?)", re.ASCII
)
_UNCLOSED: Final = re.compile(r"\$(?:(?P<dollar>\$)|(?P<brace>\{)(?P<name>(?!))?)")
"""The same behind the last closing brace, where no variable can end."""


def interpolate(parsed: Parsed, environment: Mapping[str, str], used: dict[str, str]) -> list[Diagnostic]:
    """Put the variables into the tree of one file, in place; gives what is wrong. ``used`` collects what was taken."""
    filler = _Filler(environment, used)
    for written in parsed.dollars:
        text = written.container[written.step]
        if isinstance(text, str) and len(filler.faults) < MOST_FAULTS:
            written.container[written.step] = filler.fill(text, written)
    return filler.faults


class _Filler:
    def __init__(self, environment: Mapping[str, str], used: dict[str, str]) -> None:
        self.environment = environment
        self.used = used
        self.faults: list[Diagnostic] = []

    def fill(self, text: str, written: Written) -> Any:
        """The value with its variables put in; the text unchanged where one is wrong, or would put a secret in."""
        before = len(self.faults)
        filled, taken = self._pieces(text, written)
        if len(self.faults) == before:
            self._refuse_secrets(filled, taken, written)
        if len(self.faults) > before:
            return text
        whole = _DOLLAR.fullmatch(text)
        if written.plain and filled and whole is not None and whole["name"]:
            return self._typed(filled, written)
        return filled

    def _pieces(self, text: str, written: Written) -> tuple[str, list[Taken]]:
        pieces: list[str] = []
        taken: list[Taken] = []
        done = size = 0
        for match in _dollars(text):
            put_in = self._one(match, written)
            pieces += text[done : match.start()], put_in
            start = size + match.start() - done
            done, size = match.end(), start + len(put_in)
            if match["name"]:
                taken.append((match["name"], start, size))
        return "".join([*pieces, text[done:]]), taken

    def _refuse_secrets(self, filled: str, taken: list[Taken], written: Written) -> None:
        """A value is kept with the deployment, so a secret must not come in by a variable; only its name is told."""
        key = written.step if isinstance(written.step, str) else ""
        told: set[str] = set()
        for what, first, last in secrets_in(key, filled):
            for name, start, end in taken:
                if start < last and first < end and name not in told and name in self.environment:
                    told.add(name)
                    self.faults.append(_secret(name, what, written))

    def _typed(self, text: str, written: Written) -> Any:
        try:
            return resolve_scalar(text)
        except NumberRefused as error:
            self.faults.append(fault("ORC118", f"the variable's value is refused: {error}", written.mark.value_place()))
            return text

    def _one(self, match: re.Match[str], written: Written) -> str:
        if match["dollar"] or not match["brace"]:
            return "$"
        if len(self.faults) >= MOST_FAULTS:
            return ""
        name = match["name"]
        if name is None:
            self.faults.append(fault("ORC141", "a malformed variable", written.mark.value_place()))
            return ""
        value = self.environment.get(name)
        if value is None or (value == "" and match["default"] is not None):
            value = match["default"]
        else:
            self.used[name] = value
        if value is None:
            self.faults.append(_unset(name, written))
        return value or ""


def _dollars(text: str) -> Iterator[re.Match[str]]:
    """Every dollar that means something. One that is never closed is not followed to the end: many would take for ever."""
    last = text.rfind("}") + 1
    yield from _DOLLAR.finditer(text, 0, last)
    yield from _UNCLOSED.finditer(text, last)


def _secret(name: str, what: str, written: Written) -> Diagnostic:
    cure = f"take it out: a manifest's values are kept and shown; where a key is needed, write api_key: env:{name}"
    return fault("ORC231", f"the variable {name} puts in what looks like {what}", written.mark.value_place(), cure=cure)


def _unset(name: str, written: Written) -> Diagnostic:
    cure = f"set it, or give a default: ${{{name}:-default}}"
    return fault("ORC140", f"the variable {name} is not set", written.mark.value_place(), cure=cure)
