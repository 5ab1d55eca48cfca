"""Which programs are installed, and which options they say they have. The answer of ``--help`` is kept by path and time of
change, as some take many seconds to give it; one that gives none in its time, or fails, is not asked again for a while."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from orchestrator.ports.durable import write_durably
from orchestrator.ports.environment import passed_environment
from orchestrator.ports.host import make_private
from orchestrator.ports.lifecycle import Binary

ASK_SECONDS: Final = 10.0
"""What a program has to say what it can do, all ways of asking it together; a make may have more."""
SILENT_SECONDS: Final = 600.0
"""How long one that said nothing in its time is not asked again, while its file stays the same."""
FAILED_SECONDS: Final = 5.0
"""How long one that ended with an error is not asked again."""
_MOST_SAID: Final = 300
"""Characters that are told of what a program said of its failure."""
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
    """Remembers what programs said, in memory and in a file. Threads may share it: one asks, the others wait for what it learns."""

    def __init__(self, cache: Path | None) -> None:
        self._cache = cache
        self._known: dict[str, Any] = _read(cache) if cache else {}
        self._turn = threading.Lock()
        self._asked_now: subprocess.Popen[bytes] | None = None
        self._left = False

    def find(self, entries: Iterable[Entry], path: Sequence[Path], patience: float = ASK_SECONDS) -> Binary | None:
        """The first entry that is installed and says what it can do; else the first that is installed. ``patience``: seconds for
        all of them together."""
        with self._turn:
            return self._find(entries, path, _Patience(patience, time.monotonic() + patience))

    def leave(self) -> None:
        """End what is asked just now, and ask nothing more."""
        self._left = True
        asked = self._asked_now
        if asked is not None:
            _end(asked)

    def _find(self, entries: Iterable[Entry], path: Sequence[Path], patience: _Patience) -> Binary | None:
        silent: Binary | None = None
        for entry in entries:
            file = which(entry.beside or entry.program, path)
            if file is not None and entry.beside:
                file = which(entry.program, [file.parent])
            if file is None:
                continue
            binary = self._asked(file, entry, patience)
            if binary.options:
                return binary
            silent = silent or binary
        return silent

    def _asked(self, file: Path, entry: Entry, patience: _Patience) -> Binary:
        found = file.stat()
        key = " ".join([str(file), *entry.words])
        stamp = [found.st_mtime_ns, found.st_size]
        known = self._known.get(key)
        if not isinstance(known, dict) or known.get("stamp") != stamp or _silent_long_ago(known):
            known = {"stamp": stamp} | self._learned(file, entry, patience)
            if not self._left:  # what was broken off tells nothing
                self._known[key] = known
                self._write()
        trouble = str(known.get("trouble", ""))
        return Binary((str(file), *entry.words), known["version"], frozenset(known["options"]), trouble)

    def _learned(self, file: Path, entry: Entry, patience: _Patience) -> dict[str, Any]:
        try:
            said, why = self._said([str(file), *entry.words, *entry.help], patience.end)
        except TimeoutError:
            trouble = f"it did not answer {' '.join(entry.help)} within {patience.seconds:g} s"
            return {"version": "", "options": [], "trouble": trouble, "silent": time.time()}
        if why:
            return {"version": "", "options": [], "trouble": why, "failed": time.time()}
        version = ""
        if said:
            with suppress(TimeoutError):
                version = _version(self._said([str(file), *entry.words[:-1], *entry.version], patience.end)[0])
        return {"version": version, "options": sorted(options_in(said))}

    def _said(self, argv: Sequence[str], end: float) -> tuple[str, str]:
        """What a program prints; or nothing, and why it fails. It may not look for anything on the network, and gets
        none of our secrets. Raises ``TimeoutError``."""
        left = end - time.monotonic()
        if left <= 0 or self._left:
            raise TimeoutError
        environment = {
            **passed_environment(os.environ),
            "HF_HUB_OFFLINE": "1",
            "COLUMNS": "200",
            "NO_COLOR": "1",
            "VLLM_NO_USAGE_STATS": "1",
        }
        environment.pop("HF_TOKEN", None)  # by which servers fetch models: nothing is fetched here
        pipe = subprocess.PIPE
        try:
            asked = subprocess.Popen(  # noqa: S603 - a program that the user installed, and words of ours
                list(argv), stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, env=environment, start_new_session=True
            )
        except OSError as error:
            return "", f"it cannot be started: {error.strerror}"
        with asked:
            self._asked_now = asked
            try:
                out, err = asked.communicate(timeout=left)
            except subprocess.TimeoutExpired as error:
                _end(asked)
                raise TimeoutError from error
            finally:
                self._asked_now = None
        if asked.returncode != 0:
            return "", f"it ended with code {asked.returncode}{_last_line(err)}"
        return (out + b"\n" + err).decode(errors="replace"), ""

    def _write(self) -> None:
        if self._cache is None:
            return
        with suppress(OSError):  # a full disk: it is only a memory, and what is not in it is asked again
            make_private(self._cache.parent)
            write_durably(self._cache, json.dumps(self._known).encode())


@dataclass(frozen=True, slots=True)
class _Patience:
    """Seconds that a program has, and when they are over on the monotonic clock."""

    seconds: float
    end: float


def _silent_long_ago(known: Mapping[str, Any]) -> bool:
    """Whether one that said nothing is asked again. What one that fails lacks may be mended while its own file stays the same."""
    pauses = [(known.get("silent"), SILENT_SECONDS), (known.get("failed"), FAILED_SECONDS)]
    return any(isinstance(since, float) and not 0 <= time.time() - since < pause for since, pause in pauses)


def _last_line(error: bytes) -> str:
    lines = [line.strip() for line in error.decode(errors="replace").splitlines() if line.strip()]
    return f": {lines[-1][:_MOST_SAID]}" if lines else ""


def _end(asked: subprocess.Popen[bytes]) -> None:
    """End it with all that it began: a script leaves the program that it calls."""
    with suppress(ProcessLookupError, PermissionError):  # it has just ended
        if hasattr(os, "killpg"):
            os.killpg(asked.pid, signal.SIGKILL)
        else:
            asked.kill()


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
