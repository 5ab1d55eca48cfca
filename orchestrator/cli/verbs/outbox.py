"""``orchestrator outbox``: requests that wait for a model that is away: list, show, cancel, retry."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from orchestrator.cli.inputs import in_utf8
from orchestrator.cli.view.found import say_found
from orchestrator.cli.view.terminal import Terminal

if TYPE_CHECKING:
    from orchestrator.cli.places import Place

EXAMPLES: Final = """
orchestrator outbox list
orchestrator outbox list help-desk --all --json
orchestrator outbox show dlv_9f2c
orchestrator outbox cancel dlv_9f2c
orchestrator outbox retry dlv_9f2c
orchestrator outbox retry help-desk
orchestrator outbox retry
"""
_IDS: Final = "dlv_"
"""How each id begins."""
ID: Final = "its id, or the beginning of it"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Its actions."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION", parser_class=type(parser))
    list_ = actions.add_parser("list", help="what waits, the newest first")
    list_.add_argument("name", nargs="?", default="", metavar="NAME", help="only of this deployment")
    list_.add_argument("--all", action="store_true", help="also what was answered, has expired or was taken back")
    list_.add_argument("--json", action="store_true", help="as JSON")
    show = actions.add_parser("show", help="one of them: the request, why it waits, and all that was done with it")
    show.add_argument("id", metavar="ID", help=ID)
    show.add_argument("--json", action="store_true", help="as JSON")
    cancel = actions.add_parser("cancel", help="take it back; its run fails, and says so")
    cancel.add_argument("id", metavar="ID", help=ID)
    cancel.add_argument("--by", default="", metavar="NAME", help="who does; without it, the name of the user")
    cancel.add_argument("--json", action="store_true", help="as JSON")
    retry = actions.add_parser("retry", help="try at once, not only after the next pause")
    help_ = f"{ID}, or the name of a deployment, for all that waits of it; without it, all that waits"
    retry.add_argument("id", nargs="?", default="", metavar="ID", help=help_)


def run(options: argparse.Namespace, terminal: Terminal) -> int:
    """Do it."""
    return _ACTIONS[options.action](options, terminal)


def _list(options: argparse.Namespace, terminal: Terminal) -> int:
    from orchestrator.cli.reach import places
    from orchestrator.cli.view.outbox import shown_list

    asked = places(options.name, terminal)
    found = asked.rows(lambda each: each.deliveries(options.name, closed=options.all))
    return say_found([*found, *asked.away_rows()], shown_list(found, terminal), terminal, as_json=options.json)


def _show(options: argparse.Namespace, terminal: Terminal) -> int:
    from orchestrator.cli.view.outbox import shown

    place, found = _find(options, terminal)
    found = {**found, **place.told}
    return say_found(found, shown(found, terminal), terminal, as_json=options.json)


def _cancel(options: argparse.Namespace, terminal: Terminal) -> int:
    place, delivery = _find(options, terminal)
    by = in_utf8(options.by) or terminal.environment.get("USER", "")
    found = {**place.client.cancel_delivery(delivery["id"], by), **place.told}
    return say_found(
        found, f"{found['id']} is {found['state']}; run {found['run']} has failed", terminal, as_json=options.json
    )


def _retry(options: argparse.Namespace, terminal: Terminal) -> int:
    from orchestrator.cli.reach import places

    if options.id.startswith(_IDS):
        place, delivery = _find(options, terminal)
        count = place.client.retry_deliveries(delivery["id"])
    else:
        name = options.id
        count = sum(tried for _, tried in places(name, terminal).ask(lambda each: each.retry_deliveries(name=name)))
    nothing = f"nothing of {options.id} waits for its target" if options.id else "nothing waits for its target"
    terminal.say(f"{count} {'is' if count == 1 else 'are'} tried now" if count else nothing)
    return 0


def _find(options: argparse.Namespace, terminal: Terminal) -> tuple[Place, Mapping[str, Any]]:
    """What is named, and the runtime that keeps it."""
    from orchestrator.cli.reach import places

    return places("", terminal).having("deliveries", options.id, lambda each: each.delivery(options.id))


_ACTIONS: Final = {"list": _list, "show": _show, "cancel": _cancel, "retry": _retry}
