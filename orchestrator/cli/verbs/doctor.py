"""``orchestrator doctor``: what is on this machine, what would serve what, and what to install."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from orchestrator.cli.inputs import compiled, manifest_arguments
from orchestrator.cli.view.terminal import Terminal
from orchestrator.core.errors import UsageError

if TYPE_CHECKING:
    from orchestrator.core.blueprint import Blueprint
    from orchestrator.plan.capabilities import Record

EXAMPLES: Final = """
orchestrator doctor
orchestrator doctor kiosk.yaml
orchestrator doctor --json
orchestrator doctor --probe
orchestrator doctor --probe --endpoint http://127.0.0.1:8080 --lock capabilities.lock.json
orchestrator doctor --probe --check capabilities.lock.json
"""
DIFFERS: Final = 3
"""The exit code where what was found is not what the lock file says."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    manifest_arguments(parser, "say what would serve this manifest; without it: the models of the catalogue")
    parser.add_argument("--json", action="store_true", help="everything as JSON")
    probing = parser.add_argument_group(
        "probing", "ask the servers that answer what they really do; a few short calls each"
    )
    probing.add_argument("--probe", action="store_true", help="probe, and remember what is found")
    probing.add_argument(
        "--endpoint", action="append", default=[], metavar="URL", help="only this server; may be repeated"
    )
    probing.add_argument("--model", default="", metavar="ID", help="this model, by the server's own name for it")
    probing.add_argument("--load", action="store_true", help="also a model that is not loaded yet")
    probing.add_argument("--deep", action="store_true", help="also with long prompts: how much is read, what is cut")
    probing.add_argument("--api-key", default="", metavar="REF", help="the servers' key, as a reference like env:NAME")
    probing.add_argument("--lock", metavar="FILE", help="write what was found to a file that can be compared")
    probing.add_argument(
        "--check", metavar="FILE", help=f"compare with such a file; exit code {DIFFERS} where it differs"
    )


def run(options: argparse.Namespace, terminal: Terminal) -> int:
    """Look, and tell. It changes and starts nothing; ``--probe`` asks models and remembers what it found."""
    if options.probe:
        return _probe(options, terminal)
    asked = [
        name for name in ("endpoint", "model", "load", "deep", "api_key", "lock", "check") if getattr(options, name)
    ]
    if asked:
        raise UsageError(f"--{asked[0].replace('_', '-')} is for a probe", cure="add --probe")
    found = _look(options, terminal)
    if options.json:
        import json

        terminal.say(json.dumps(found, indent=2, ensure_ascii=False))
        return 0
    from orchestrator.cli.view.checkup import shown_checkup

    terminal.say(shown_checkup(found, terminal))
    return 0


def _look(options: argparse.Namespace, terminal: Terminal) -> dict[str, Any]:
    from orchestrator.app.checkup import models_of, room, whole_catalogue
    from orchestrator.app.machine import machine
    from orchestrator.cli.reach import client, observed
    from orchestrator.plan.diff import diff

    named = bool(options.files or options.file)
    blueprint: Blueprint = compiled(options, terminal).blueprint if named else whole_catalogue()
    state = observed(blueprint, terminal)
    runtime = client(terminal)
    about = runtime.about() if runtime.answers() else None
    return {
        "machine": machine(runtime.folders) | {"for_models": room(blueprint, state)},
        "runtime": about,
        "looks_elsewhere": _looks_elsewhere(about, terminal) if about else [],
        "servers": [server.as_json() for server in state.servers],
        "silent": dict(state.silent),
        "manifest": blueprint.name if named else None,
        "serving": [each.as_json() for each in diff(blueprint, state).serving] if named else [],
        "models": models_of(blueprint, state),
    }


def _looks_elsewhere(about: dict[str, Any], terminal: Terminal) -> list[str]:
    """By which variables a command of this shell looks for servers elsewhere than the runtime, whose look is shown."""
    from orchestrator.app.lookout import looks_at, told_apart
    from orchestrator.app.settings import Settings

    mine = looks_at(terminal.environment, Settings.read(terminal.environment).servers)
    return told_apart(mine, about)


def _probe(options: argparse.Namespace, terminal: Terminal) -> int:
    import anyio

    from orchestrator.app.probing import Known, Wish, probe_opened, wish_of
    from orchestrator.app.settings import Settings
    from orchestrator.cli.reach import state_folder
    from orchestrator.cli.view.probed import shown_probes

    locked = _locked(options.check) if options.check else None
    how = Wish(model=options.model, load=options.load, deep=options.deep)
    wish = wish_of(options.endpoint, options.api_key, Settings.read(terminal.environment), how)
    outcome = anyio.run(probe_opened, wish)
    records = Known(state_folder()).add(outcome.probed)
    if options.json:
        import json

        found = {"probed": [record.as_json() for record in records], "left_out": dict(outcome.left_out)}
        terminal.say(json.dumps(found, indent=2, ensure_ascii=False))
    else:
        terminal.say(shown_probes(outcome, terminal, named=bool(options.endpoint)))
    if options.lock and not records and Path(options.lock).absolute().parent.is_dir():
        from orchestrator.core.errors import NoServer

        message = f"nothing was probed, so that {options.lock} is not written"
        raise NoServer(
            message, cure="start a model server and load a model, or name one with --endpoint, --model, --load"
        )
    if options.lock:
        _write_lock(options.lock, records, terminal)
    if options.endpoint and not records:
        from orchestrator.core.errors import NoServer

        why = "; ".join(f"{url}: {told}" for url, told in outcome.left_out.items())
        cure = "start a model server there, load a model (--load does), or name another address"
        raise NoServer(f"nothing was probed: {why}", cure=cure)
    return _checked(options.check, locked, records, terminal) if locked is not None else 0


def _write_lock(name: str, records: list[Record], terminal: Terminal) -> None:
    from orchestrator.plan.capabilities import lock_text

    try:
        Path(name).write_text(lock_text(records), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{name} cannot be written: {error.strerror}", cure="name another file") from error
    terminal.tell(f"wrote {name}")


def _locked(name: str) -> list[dict[str, Any]]:
    from orchestrator.plan.capabilities import read_lock

    try:
        return read_lock(Path(name).read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{name} cannot be read: {error.strerror}", cure="write it with --lock first") from error
    except ValueError as error:
        raise UsageError(f"{name}: {error}", cure="write it anew with --lock") from error


def _checked(name: str, locked: list[dict[str, Any]], records: list[Record], terminal: Terminal) -> int:
    from orchestrator.plan.capabilities import differences

    lines = differences(locked, records)
    for line in lines:
        terminal.tell(f"{terminal.paint('red', 'differs')} {line}")
    if not lines:
        terminal.tell(f"as in {name}")
    return DIFFERS if lines else 0
