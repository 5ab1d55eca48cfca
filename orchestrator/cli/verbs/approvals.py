"""``orchestrator approvals``: what waits for a person: questions to answer, calls to allow."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from orchestrator.cli.inputs import in_utf8, typed
from orchestrator.cli.view.found import say_found
from orchestrator.cli.view.terminal import Terminal
from orchestrator.core.errors import UsageError

if TYPE_CHECKING:
    from orchestrator.cli.places import Place
    from orchestrator.core.approval import Act

EXAMPLES: Final = """
orchestrator approvals list
orchestrator approvals list help-desk --all --json
orchestrator approvals show apv_9f2c
orchestrator approvals approve apv_9f2c
orchestrator approvals approve apv_9f2c --yes --by anna
orchestrator approvals deny apv_9f2c --reason "not before Monday"
orchestrator approvals answer apv_77ab "We refund it today."
echo "We refund it today." | orchestrator approvals answer apv_77ab
"""
ID: Final = "its id, or the beginning of it"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Its actions."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION", parser_class=type(parser))
    list_ = actions.add_parser("list", help="what waits, the newest first")
    list_.add_argument("name", nargs="?", default="", metavar="NAME", help="only of this deployment")
    list_.add_argument("--all", action="store_true", help="also what is decided or has expired")
    list_.add_argument("--json", action="store_true", help="as JSON")
    show = actions.add_parser("show", help="one of them: the request, how it came to a person, the exact arguments")
    show.add_argument("id", metavar="ID", help=ID)
    show.add_argument("--json", action="store_true", help="as JSON")
    approve = actions.add_parser("approve", help="allow a call, once, with exactly the arguments that are shown")
    _decision(approve)
    approve.add_argument("--yes", action="store_true", help="do not ask")
    approve.add_argument(
        "--digest", default="", metavar="DIGEST", help="only if the call has this digest; does not ask"
    )
    deny = actions.add_parser("deny", help="refuse a call, or to answer a question")
    _decision(deny)
    deny.add_argument("--reason", default="", metavar="TEXT", help="why; the one who asked reads it")
    answer = actions.add_parser("answer", help="answer a question; the run that waited ends with it")
    _decision(answer)
    answer.add_argument("text", nargs="*", metavar="TEXT", help="the answer; - or nothing reads standard input")


def _decision(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", metavar="ID", help=ID)
    parser.add_argument("--by", default="", metavar="NAME", help="who decides; without it, the name of the user")
    parser.add_argument("--json", action="store_true", help="as JSON")


def run(options: argparse.Namespace, terminal: Terminal) -> int:
    """Do it."""
    return _ACTIONS[options.action](options, terminal)


def _list(options: argparse.Namespace, terminal: Terminal) -> int:
    from orchestrator.cli.reach import places
    from orchestrator.cli.view.approvals import shown_list

    asked = places(options.name, terminal)
    found = asked.rows(lambda each: each.approvals(options.name, closed=options.all))
    return say_found([*found, *asked.away_rows()], shown_list(found, terminal), terminal, as_json=options.json)


def _show(options: argparse.Namespace, terminal: Terminal) -> int:
    from orchestrator.cli.view.approvals import shown

    place, found = _find(options, terminal)
    found = {**found, **place.told}
    return say_found(found, shown(found, terminal), terminal, as_json=options.json)


def _approve(options: argparse.Namespace, terminal: Terminal) -> int:
    """What is agreed to is what was seen here: its digest goes with it."""
    from orchestrator.cli.view.approvals import shown

    place, found = _find(options, terminal)
    digest = options.digest or found["digest"]
    if not (options.yes or options.digest) and found["state"] == "pending" and found["kind"] == "call":
        terminal.tell(shown({**found, **place.told}, terminal))
        _agree(f"allow {found['function']} with these arguments", terminal)
    return _decide("approve", (place, found), options, terminal, digest=digest)


def _agree(question: str, terminal: Terminal) -> None:
    if terminal.interactive:
        terminal.stderr.write(terminal.foreign(f"{question}? [y/N] ", on=terminal.stderr))
        terminal.stderr.flush()
        if terminal.stdin.readline().strip().casefold() in ("y", "yes"):
            return
    raise UsageError(f"nobody agreed to {question}", cure="repeat with --yes if that is meant")


def _deny(options: argparse.Namespace, terminal: Terminal) -> int:
    return _decide("deny", _find(options, terminal), options, terminal, text=in_utf8(options.reason))


def _answer(options: argparse.Namespace, terminal: Terminal) -> int:
    words = options.text
    if not words and terminal.stdin.isatty():
        raise UsageError("there is no answer", cure=f'orchestrator approvals answer {options.id} "your answer"')
    text = typed(terminal.stdin.read) if not words or words == ["-"] else " ".join(words)
    return _decide("answer", _find(options, terminal), options, terminal, text=in_utf8(text.strip()))


def _find(options: argparse.Namespace, terminal: Terminal) -> tuple[Place, Mapping[str, Any]]:
    """The approval that is named, and the runtime that has it."""
    from orchestrator.cli.reach import places

    return places("", terminal).having("approvals", options.id, lambda each: each.approval(options.id))


def _decide(
    act: Act, at: tuple[Place, Mapping[str, Any]], options: argparse.Namespace, terminal: Terminal, **said: str
) -> int:
    from orchestrator.cli.view.approvals import decided
    from orchestrator.core.approval import Verdict

    place, approval = at
    by = in_utf8(options.by) or terminal.environment.get("USER", "")
    verdict = Verdict(act, by, said.get("text", ""), said.get("digest", ""))
    found = {**place.client.decide(approval["id"], verdict), **place.told}
    return say_found(found, decided(found), terminal, as_json=options.json)


_ACTIONS: Final = {"list": _list, "show": _show, "approve": _approve, "deny": _deny, "answer": _answer}
