"""Which programs are installed, and which options they say they have. The answer of ``--help`` is kept by path and time of
change, as some take many seconds to give it."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from orchestrator.ports.lifecycle import Binary

HELP_SECONDS: Final = 120.0
"""vLLM imports all of PyTorch before it prints its help."""
_OPTION: Final = re.compile(r"(?<![\w-])--?[A-Za-z][A-Za-z0-9]*(?:[-_.][A-Za-z0-9]+)*")
_VARIABLE: Final = re.compile(r"^\s+([A-Z][A-Z0-9]*_[A-Z0-9_]+)\b", re.MULTILINE)
_VERSION: Final = re.compile(r"\b\d+(?:\.\d+)+[\w.+-]*|\bb\d{3,}\b")
_REMOVED: Final = re.compile(r"(?:has been|was|is) removed|no longer supported", re.IGNORECASE)
_INDENT: Final = re.compile(r"^ {0,8}-")
"""Where an option begins; what stands further in describes one."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One way to call a make: the ``program``, the ``words`` that follow it, those that make it print its ``help``, and
    those that make it print its version. ``beside`` names a program in whose folder it must be (a virtual environment)."""

    program: str
    words: tuple[str, ...] = ()
    help: tuple[str, ...] = ("--help",)
    version: tuple[str, ...] = ("--version",)
    beside: str = ""


class Installed:
    """Remembers what programs said, in memory and in a file."""

    def __init__(self, cache: Path | None) -> None:
        self._cache = cache
        self._known: dict[str, Any] = _read(cache) if cache else {}

    def find(self, entries: Iterable[Entry], path: Sequence[Path]) -> Binary | None:
        """The first entry that is installed and says what it can do; else the first that is installed."""
        silent: Binary | None = None
        for entry in entries:
            file = which(entry.beside or entry.program, path)
            if file is not None and entry.beside:
                file = which(entry.program, [file.parent])
            if file is None:
                continue
            binary = self._asked(file, entry)
            if binary.options:
                return binary
            silent = silent or binary
        return silent

    def _asked(self, file: Path, entry: Entry) -> Binary:
        found = file.stat()
        key = " ".join([str(file), *entry.words])
        stamp = [found.st_mtime_ns, found.st_size]
        known = self._known.get(key)
        if not isinstance(known, dict) or known.get("stamp") != stamp:
            argv = (str(file), *entry.words)
            said = _said([*argv, *entry.help])
            version = _version(_said([str(file), *entry.words[:-1], *entry.version])) if said else ""
            known = {"stamp": stamp, "version": version, "options": sorted(options_in(said))}
            self._known[key] = known
            self._write()
        return Binary((str(file), *entry.words), known["version"], frozenset(known["options"]))

    def _write(self) -> None:
        if self._cache is None:
            return
        with suppress(OSError):  # a full disk: it is only a memory, and what is not in it is asked again
            _make_private(self._cache.parent)
            new = self._cache.with_suffix(f".{os.getpid()}")
            new.write_text(json.dumps(self._known), encoding="utf-8")
            new.replace(self._cache)


def _make_private(folder: Path) -> None:
    """The folder with those above it that are missing, for its user alone: it may be the first thing of a new state."""
    for each in [*reversed(folder.parents), folder]:
        if not each.exists():
            each.mkdir(mode=0o700)


def which(program: str, path: Sequence[Path]) -> Path | None:
    """The first file of this name that may be run, in these folders."""
    import shutil

    found = shutil.which(program, path=os.pathsep.join(map(str, path)))
    return Path(found).absolute() if found else None


def options_in(text: str) -> set[str]:
    """Options and variables that a help text tells; without those that it only lists to say that they are gone."""
    found: set[str] = set(_VARIABLE.findall(text))
    for block in _blocks(text):
        if not _REMOVED.search(block):
            found.update(_OPTION.findall(block.split("\n", 1)[0]) if _INDENT.match(block) else _OPTION.findall(block))
    return found


def _blocks(text: str) -> list[str]:
    """An option with the lines that describe it."""
    blocks: list[list[str]] = [[]]
    for line in text.splitlines():
        if _INDENT.match(line):
            blocks.append([])
        blocks[-1].append(line)
    return ["\n".join(lines) for lines in blocks]


def _said(argv: Sequence[str]) -> str:
    """What a program prints; empty where it fails or takes too long. It may not look for anything on the network."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "COLUMNS": "200", "NO_COLOR": "1", "VLLM_NO_USAGE_STATS": "1"}
    try:
        done = subprocess.run(  # noqa: S603 - a program that the user installed, and words of ours
            list(argv),
            capture_output=True,
            timeout=HELP_SECONDS,
            stdin=subprocess.DEVNULL,
            env=environment,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    said = (done.stdout + b"\n" + done.stderr).decode(errors="replace")
    return said if done.returncode == 0 else ""


def _version(text: str) -> str:
    found = _VERSION.search(text)
    return found[0] if found else ""


def _read(cache: Path) -> dict[str, Any]:
    try:
        known: Any = json.loads(cache.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}  # it is only a memory: what is not in it is asked again
    return known if isinstance(known, dict) else {}


def folders(environment: Mapping[str, str], *more: Path) -> list[Path]:
    """Where programs are looked for: the folders of ``PATH``, then ``more``."""
    named = [Path(each) for each in environment.get("PATH", os.defpath).split(os.pathsep) if each]
    return [*named, *more]
