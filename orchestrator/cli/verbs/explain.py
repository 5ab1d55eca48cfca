"""``orchestrator explain``: what a manifest means, what a code means, how a run came to its answer."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from orchestrator.cli.inputs import compiled, manifest_arguments
from orchestrator.cli.view.terminal import Terminal
from orchestrator.core.errors import UsageError

if TYPE_CHECKING:
    from orchestrator.app.client import RuntimeClient
    from orchestrator.cli.places import Place, Places
    from orchestrator.core.blueprint import Blueprint

LAST: Final = 20
"""Runs of a deployment that are looked through for the last one."""
EXAMPLES: Final = """
orchestrator explain manifest kiosk.yaml
orchestrator explain manifest base.yaml site.yaml --places
orchestrator explain manifest kiosk.yaml --builds
orchestrator explain code ORC201
orchestrator explain run run_9f2c
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Its objects and their options."""
    objects = parser.add_subparsers(dest="object", required=True, metavar="OBJECT", parser_class=type(parser))
    manifest = objects.add_parser("manifest", help="everything that the short form means, and why")
    manifest_arguments(manifest)
    manifest.add_argument("--places", action="store_true", help="say for each value where it was written")
    manifest.add_argument("--full", action="store_true", help="show values that are the default too")
    manifest.add_argument(
        "--builds", action="store_true", help="say which build of each model fits this device, and why"
    )
    manifest.add_argument("--format", choices=("yaml", "json"), default="yaml", help="default: yaml")
    code = objects.add_parser("code", help="what a code of a diagnostic or error means")
    code.add_argument("code", nargs="?", metavar="CODE", help="like ORC201; without it: all codes")
    run_ = objects.add_parser("run", help="how a run came to its answer, step by step")
    run_.add_argument("run", nargs="?", metavar="ID", help="the run's id or its beginning; without it: the last run")
    run_.add_argument("--json", action="store_true", help="the stored run as JSON")


def run(options: argparse.Namespace, terminal: Terminal) -> int:
    """Explain it."""
    return _OBJECTS[options.object](options, terminal)


def _manifest(options: argparse.Namespace, terminal: Terminal) -> int:
    from orchestrator.cli.view.explained import explained, written_out

    compilation = compiled(options, terminal)
    resolved = compilation.resolved
    builds = _builds(compilation.blueprint) if options.builds else {}
    if options.format == "yaml":
        places = options.places or len(resolved.loaded.sources) > 1
        terminal.write(explained(resolved, everything=options.full, places=places, builds=builds))
        return 0
    import json

    inferences = [
        {"subject": one.subject, "key": one.key, "value": one.value, "why": one.why} for one in resolved.inferences
    ]
    manifest = written_out(resolved, everything=options.full)
    told = {"manifest": manifest, "inferences": inferences, **({"builds": builds} if builds else {})}
    terminal.say(json.dumps(told, indent=2, ensure_ascii=False, default=_plain))
    return 0


def _builds(blueprint: Blueprint) -> dict[str, Any]:
    from orchestrator.app.checkup import builds_here

    return builds_here(blueprint)


def _plain(value: object) -> object:
    from pydantic import BaseModel

    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
    return str(value)


def _code(options: argparse.Namespace, terminal: Terminal) -> int:
    from orchestrator.core.codes.table import CODES
    from orchestrator.core.names import did_you_mean

    if options.code is None:
        for code in CODES.values():
            terminal.say(f"{code.code}  {code.title}")
        return 0
    found = CODES.get(options.code.upper())
    if found is None:
        cure = did_you_mean(options.code, CODES) or "see `orchestrator explain code` for all codes"
        raise UsageError(f'there is no code "{options.code}"', cure=cure)
    terminal.say(f"{terminal.paint('bold', found.code)}: {found.title}\n\n{found.why}\n\ncure: {found.cure}")
    if found.example:
        terminal.say("\nexample of the fault:")
        terminal.say("\n".join(f"  {line}" for line in found.example.splitlines()))
    return 0


def _run(options: argparse.Namespace, terminal: Terminal) -> int:
    from orchestrator.cli.reach import places

    asked = places("", terminal)
    if options.run:
        place, run = asked.having("runs", options.run, lambda each: each.find_run(options.run))
    else:
        place, run = _last_run(asked)
    found = {**run, "kept_on": place.node, **_there(asked, place, run)} if place.node else run
    if options.json:
        import json

        terminal.say(json.dumps(found, indent=2, ensure_ascii=False))
        return 0
    from orchestrator.cli.view.result import story

    terminal.say(story(found, terminal))
    return 0


def _there(asked: Places, at: Place, run: Mapping[str, Any]) -> dict[str, Any]:
    """How the part stands that waits for a person on another node, for as long as the run waits with it. Nothing where that does
    not answer, or has forgotten it."""
    from orchestrator.core.errors import NoSuchApproval, NoSuchRun, RuntimeUnavailable

    if run["status"] != "waiting" or run.get("node", "") in ("", at.node):
        return {}
    try:
        place, waits = asked.having("approvals", run["approval"], lambda each: each.approval(run["approval"]))
        part = place.client.find_run(waits["run"])
    except (NoSuchApproval, NoSuchRun, RuntimeUnavailable):
        return {}
    return {"goes_on": {"node": place.node, **{name: part[name] for name in ("id", "status", "text")}}}


def _last_run(asked: Places) -> tuple[Place, Mapping[str, Any]]:
    """The newest run of all deployments. What a node was asked for by another one is no run of its own."""
    from orchestrator.core.forwarded import is_part

    runs = [(place, run) for place, told in asked.ask(_last_runs) for run in told]
    if not runs:
        raise UsageError("nothing was run yet", cure='orchestrator run NAME "your request"')
    known = {run["id"] for _, run in runs}
    own = [each for each in runs if not is_part(each[1]["id"], known)]
    return max(own or runs, key=lambda each: float(each[1]["finished"]))


def _last_runs(runtime: RuntimeClient) -> list[dict[str, Any]]:
    """Some of each deployment's: the newest may be parts of other nodes' runs."""
    names = [deployment["name"] for deployment in runtime.status()["deployments"]]
    return [run for name in names for run in runtime.recent_runs(name, LAST)]


_OBJECTS: Final = {"manifest": _manifest, "code": _code, "run": _run}
