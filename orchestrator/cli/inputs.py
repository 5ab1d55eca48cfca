"""Options that several verbs share: which manifest, and which deployment."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final, TextIO

from orchestrator.cli.view.terminal import Terminal
from orchestrator.core.choices import DATA_CLASSES
from orchestrator.core.errors import UsageError

if TYPE_CHECKING:
    from orchestrator.app.compile import Compilation

MANIFEST_NAMES: Final = "one or more manifests; later ones are laid over earlier ones; - reads standard input"


def manifest_arguments(parser: argparse.ArgumentParser, files: str = MANIFEST_NAMES) -> None:
    """Files, ``-f`` and ``--set``."""
    parser.add_argument("files", nargs="*", metavar="FILE", help=files)
    parser.add_argument("-f", "--file", action="append", default=[], metavar="FILE", help="the same, as an option")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="a value laid over all, like metadata.name=shop"
    )


def data_class_argument(parser: argparse.ArgumentParser) -> None:
    """``--data-class``."""
    parser.add_argument(
        "--data-class",
        choices=DATA_CLASSES,
        default="internal",
        help="what the request holds; restricted reaches no model in the cloud; default: internal",
    )


def named_files(options: argparse.Namespace) -> list[str]:
    """The files that were named, in order; raises ``UsageError`` where there is none."""
    files = [*options.files, *options.file]
    if not files:
        raise UsageError("no manifest is named", cure="name a file, or - for standard input")
    if files.count("-") > 1:
        raise UsageError("standard input is named twice", cure="name - once")
    return files


def origin(options: argparse.Namespace) -> str:
    """Where the manifest comes from: the real path of its first file, however it was named, or ``-``."""
    first = named_files(options)[0]
    return first if first == "-" else str(Path(first).resolve())


def how_many(text: str) -> int:
    """A number of lines, for the parser; raises ``ArgumentTypeError`` for what is none."""
    if not (text.isascii() and text.isdecimal()):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of lines, which is 0 or more")
    return int(text)


def typed(read: Callable[[], str]) -> str:
    """What standard input holds; raises ``UsageError`` where that is no UTF-8."""
    try:
        return read()
    except UnicodeDecodeError as error:
        raise _no_utf8() from error


def in_utf8(text: str) -> str:
    """The text; raises ``UsageError`` where Python kept bytes in it that are no UTF-8 (PEP 383)."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise _no_utf8() from error
    return text


class NoUtf8(UsageError):
    """What was read is in another encoding."""


def typed_line(stdin: TextIO) -> str:
    """The next line of standard input, empty at its end; raises ``NoUtf8`` for one that cannot be read, after which the next one
    can be."""
    lines = getattr(stdin, "buffer", None)
    if lines is None:
        return in_utf8(stdin.readline())
    try:
        text: str = lines.readline().decode(stdin.encoding)
    except UnicodeDecodeError as error:
        raise _no_utf8() from error
    return text


def _no_utf8() -> NoUtf8:
    return NoUtf8("the request is not UTF-8", cure="convert it, like `iconv -f latin1 -t utf-8`")


def overrides(options: argparse.Namespace) -> dict[str, str]:
    """``--set`` by key; raises ``UsageError`` for one without ``=``."""
    found = {}
    for written in options.set:
        key, equals, value = written.partition("=")
        if not key or not equals:
            raise UsageError(
                f'--set "{written}" is no KEY=VALUE', cure="write it like --set deployment.serve.port=7412"
            )
        found[key] = value
    return found


def compiled(options: argparse.Namespace, terminal: Terminal, name: str = "") -> Compilation:
    """The manifest that the options name, compiled; its warnings are told on stderr."""
    from orchestrator.app.compile import compile_files
    from orchestrator.cli.view.diagnostics import shown
    from orchestrator.core.diagnostic import Severity

    compilation = compile_files(
        named_files(options),
        environment=terminal.environment,
        stdin=terminal.stdin,
        name=name,
        overrides=overrides(options),
    )
    for diagnostic in compilation.diagnostics:
        if diagnostic.severity is not Severity.NOTE:
            terminal.tell(shown(diagnostic, compilation.sources, terminal, terminal.stderr) + "\n")
    return compilation


def check_writable(path: str | None, option: str) -> None:
    """Before work that takes long: raise ``UsageError`` where it is plain that ``write_out`` will not be able to write there."""
    if path is None or path == "-":
        return
    folder = Path(path).parent
    why = "" if folder.is_dir() else f"there is no folder {folder}"
    place = path if os.path.lexists(path) else folder
    if not why and (Path(path).is_dir() or not os.access(place, os.W_OK)):
        why = "it is a folder" if Path(path).is_dir() else f"{place} may not be written"
    if why:
        raise UsageError(f"{path} cannot be written: {why}", cure=f"name another file with {option}")


def write_out(text: str, path: str | None, terminal: Terminal, option: str = "-o") -> None:
    """To the file that the ``option`` names, else (and for ``-``) to stdout; ``UsageError`` where the file cannot be written."""
    if path is None or path == "-":
        terminal.write(text)
        return
    new = not os.path.lexists(path)
    try:
        with open(path, "w", encoding="utf-8") as file:  # noqa: PTH123 - `-o` takes what open takes, /dev/stdout too
            file.write(text)
    except OSError as error:
        if new:  # a half of it would look like the whole
            Path(path).unlink(missing_ok=True)
        raise UsageError(
            f"{path} cannot be written: {error.strerror}", cure=f"name another file with {option}"
        ) from error
    terminal.tell(f"wrote {path}")
