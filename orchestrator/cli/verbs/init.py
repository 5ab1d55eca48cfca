"""``orchestrator init``: a starter manifest with what it needs beside it. Nothing is ever overwritten."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import Final

from orchestrator.cli.streams import in_utf8
from orchestrator.cli.view.terminal import Terminal
from orchestrator.core.errors import UsageError

EXAMPLES: Final = """
orchestrator init
orchestrator init kiosk
orchestrator init customer-service -o clinic/front-desk.yaml
orchestrator init --list
"""
STARTERS: Final = {
    "minimal": "one agent from a template, one model",
    "kiosk": "products of a shop from a table, and a desk for the rest; needs no model",
    "customer-service": "three agents from templates, a router, and a person to escalate to",
    "ollama": "models from Ollama on this device",
    "openai-compatible": "a model on any server of the OpenAI protocol",
    "distributed-edge": "two machines with their own agents and models",
}
MESH: Final = "distributed-edge"
SCHEMA: Final = "deployment.schema.json"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    parser.add_argument(
        "starter",
        nargs="?",
        choices=STARTERS,
        default="minimal",
        metavar="STARTER",
        help=f"one of {', '.join(STARTERS)}",
    )
    parser.add_argument(
        "-o", "--output", metavar="PATH", help="the manifest's file, whose stem names the deployment; - prints it"
    )
    parser.add_argument("--no-schema", action="store_true", help=f"do not write {SCHEMA}, which editors complete from")
    parser.add_argument("--list", action="store_true", help="list the starters")


def run(options: argparse.Namespace, terminal: Terminal) -> int:
    """Write it."""
    if options.list:
        from orchestrator.cli.view.columns import columns

        terminal.say("\n".join(columns(list(STARTERS.items()))))
        return 0
    if options.output == "-":
        _print(options, terminal)
        return 0
    folder, texts = _texts(options)
    if not options.no_schema:
        texts[SCHEMA] = _schema()
    _write(folder, texts)
    manifest = folder / next(iter(texts))
    for name in texts:
        terminal.say(f"wrote {folder / name}")
    terminal.say(f"\nnext: {_next(options.starter, manifest)}")
    return 0


def _print(options: argparse.Namespace, terminal: Terminal) -> None:
    """Only the manifest, to be looked at or piped on; what would stand beside it is told."""
    options.output, options.no_schema = None, True
    _, texts = _texts(options)
    manifest, *beside = texts
    in_utf8(terminal.stdout)
    terminal.write(texts[manifest])
    if beside:
        terminal.tell(f"it needs {' and '.join(beside)} beside it: orchestrator init {options.starter} writes both")


def _next(starter: str, manifest: Path) -> str:
    """What to type; a mesh can be looked at only."""
    verbs = ("validate", "plan", "graph") if starter == MESH else ("validate", "apply")
    return "\n      ".join(f"orchestrator {verb} {shlex.quote(str(manifest))}" for verb in verbs)


def _texts(options: argparse.Namespace) -> tuple[Path, dict[str, str]]:
    """The folder to write to and the files, the manifest first."""
    from importlib.resources import files

    found = files("orchestrator.cli").joinpath("starters", options.starter)
    texts = {file.name: file.read_text(encoding="utf-8") for file in found.iterdir()}
    manifest = next(name for name in texts if name.endswith(".yaml"))
    text = texts.pop(manifest)
    if options.no_schema:
        text = text.partition("\n")[2]
    path = Path(options.output or manifest)
    return path.parent, {path.name: text, **texts}


def _schema() -> str:
    from orchestrator.manifest.schema import deployment_schema, schema_text

    return schema_text(deployment_schema())


def _write(folder: Path, texts: dict[str, str]) -> None:
    """All of them or none; a schema that is there already is kept where it is the same."""
    there = [name for name, text in texts.items() if (folder / name).exists() and not _same(folder / name, text)]
    if there:
        names = " and ".join(str(folder / name) for name in there)
        raise UsageError(
            f"{names} {'exist' if len(there) > 1 else 'exists'} already",
            cure="name another file with -o, in another folder, or leave the schema out with --no-schema",
        )
    path, begun = folder, []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path in [folder / name for name in texts if not (folder / name).exists()]:
            with path.open("x", encoding="utf-8") as file:
                begun.append(path)
                file.write(texts[path.name])
    except OSError as error:
        for each in begun:
            each.unlink(missing_ok=True)
        raise UsageError(f"{path} cannot be written: {error.strerror}", cure="name another folder") from error


def _same(path: Path, text: str) -> bool:
    """Only the schema may be there already."""
    return path.name == SCHEMA and path.read_text(encoding="utf-8", errors="replace") == text
