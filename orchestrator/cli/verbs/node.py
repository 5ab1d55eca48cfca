"""``orchestrator node``: this machine as a node of a fleet: begin one, invite, join, serve, look, drain, leave."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from orchestrator.cli.view.terminal import Terminal

if TYPE_CHECKING:
    from orchestrator.app.fleet.identity import FleetFolder
    from orchestrator.app.fleet.joining import Unanswered
    from orchestrator.node.worker import Work

EXAMPLES: Final = """
orchestrator node init --address 192.168.1.10 --serve
orchestrator node invite --valid 15m
orchestrator node join orc1-ufhxRscPBNst
orchestrator node status
orchestrator node operator /media/stick/operator.key
orchestrator node leave edge-2
"""
VALID: Final = "1h"
OPERATOR_IS: Final = """the operator's key is in {file}
who has it says what the fleet runs; to apply on another node, bring it there over a line that you trust:
  ssh OTHER orchestrator node operator - < {file}"""
SERVES: Final = "next: orchestrator runtime start, or orchestrator node serve: either runs this node's servers"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Its actions."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION", parser_class=type(parser))
    init = actions.add_parser("init", help="begin a fleet: this machine is its first node and its hub")
    _name_argument(init)
    init.add_argument(
        "--address", default="", metavar="HOST", help="how others reach this machine; default: its own address"
    )
    init.add_argument("--port", type=int, default=7422, metavar="PORT", help="for the links of nodes; default: 7422")
    init.add_argument("--enrol-port", type=int, default=7423, metavar="PORT", help="for new nodes; default: 7423")
    init.add_argument(
        "--insecure-local", action="store_true", help="plain links without certificates, on this machine only"
    )
    _start_arguments(init)
    _valid_argument(init)
    invite = actions.add_parser("invite", help="on the hub: print the line that lets one more machine in")
    _valid_argument(invite)
    join = actions.add_parser("join", help="become a node of the fleet that a token is of")
    join.add_argument("token", metavar="TOKEN", help="the word that init or invite printed")
    _name_argument(join)
    _start_arguments(join)
    actions.add_parser("serve", help="run this node's servers, on the hub also enrolment, until Ctrl-C")
    status = actions.add_parser("status", help="what this machine is in a fleet, as far as it is known here")
    drain = actions.add_parser(
        "drain", help="this node shall take nothing new from others, and its agents go to others"
    )
    drain.add_argument("--undo", action="store_true", help="it shall take its share again")
    actions.add_parser("cordon", help="this node shall be given no agent more; it answers for what it holds")
    actions.add_parser("uncordon", help="this node shall take its share again, after cordon or drain")
    operator = actions.add_parser(
        "operator", help="say where the operator's key is; with a file, bring it to this node, so that apply works here"
    )
    operator.add_argument(
        "file", nargs="?", default="", metavar="FILE", help="a copy of the key's file; - reads standard input"
    )
    leave = actions.add_parser("leave", help="leave the fleet; with a name, on the hub: take that node out")
    leave.add_argument("name", nargs="?", default="", metavar="NAME", help="a node that is lost")
    leave.add_argument(
        "--force",
        action="store_true",
        help="also where the hub cannot be asked, or is this machine, or requests here are not answered yet",
    )
    for each in (init, invite, join, status):
        each.add_argument("--json", action="store_true", help="as JSON")


def _start_arguments(parser: argparse.ArgumentParser) -> None:
    either = parser.add_mutually_exclusive_group()
    either.add_argument("--serve", action="store_true", help="go on as serve does, in place of the background runtime")
    either.add_argument("--no-start", action="store_true", help="start nothing")


def _name_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--name", default="", metavar="NAME", help="the node's name, as in the manifest; default: the machine's"
    )


def _valid_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--valid", default=VALID, metavar="TIME", help=f"how long the token is good; default: {VALID}")


def _good_for(options: argparse.Namespace) -> float:
    """Seconds for which a token is good. Raises ``UsageError`` where it never would be."""
    from orchestrator.cli.reach import seconds
    from orchestrator.core.errors import UsageError

    found = seconds(options.valid)
    if found <= 0:
        raise UsageError(
            f"--valid {options.valid} leaves no time to join", cure="write it like 15m or 1h, or leave it out"
        )
    return found


def run(options: argparse.Namespace, terminal: Terminal) -> int:
    """Do it."""
    from orchestrator.app.fleet.needs import libraries

    with libraries():
        return _ACTIONS[options.action](options, terminal)


def _init(options: argparse.Namespace, terminal: Terminal) -> int:
    from orchestrator.app.fleet.address import own_address
    from orchestrator.app.fleet.identity import LOCALHOST, FirstNode, begin_fleet

    _good_for(options)  # a slip in it is told before anything is made
    folder = _folder(make=True)
    address = options.address or (LOCALHOST if options.insecure_local else own_address())
    first = FirstNode(_name(options), address, options.port, options.enrol_port, options.insecure_local)
    membership = begin_fleet(folder, first)
    if not options.json:
        terminal.say(f"{membership.node} is the first node and the hub of fleet {membership.fleet}")
        terminal.say(f"  others come to {address}, ports {options.port} (links) and {options.enrol_port} (new nodes)\n")
    _say_invitation(folder, options, terminal)
    return _serve_too(options, terminal)


def _invite(options: argparse.Namespace, terminal: Terminal) -> int:
    folder = _folder()
    _say_invitation(folder, options, terminal)
    return 0


def _join(options: argparse.Namespace, terminal: Terminal) -> int:
    from dataclasses import asdict

    from orchestrator.app.fleet.joining import join_fleet
    from orchestrator.app.fleet.token import Token
    from orchestrator.cli.view.found import say_found

    membership = join_fleet(_folder(make=True), Token.read(options.token), _name(options))
    said = f"{membership.node} is a node of fleet {membership.fleet}; its hub is at {', '.join(membership.hubs)}"
    say_found(asdict(membership), said, terminal, as_json=options.json)
    return _serve_too(options, terminal)


def _serve_too(options: argparse.Namespace, terminal: Terminal) -> int:
    terminal.stdout.flush()
    if options.serve:
        return _serve(options, terminal)
    if options.no_start:
        terminal.tell(SERVES)
        return 0
    from orchestrator.cli.reach import started

    started(terminal)
    terminal.tell("the background runtime runs this node's servers; what is applied to the fleet comes here by itself")
    return 0


def _serve(_options: argparse.Namespace, terminal: Terminal) -> int:
    from orchestrator.app.fleet.serving import serve_until_stopped
    from orchestrator.plugins.hosts.processes import LocalProcesses

    serve_until_stopped(_folder(), LocalProcesses(), terminal.tell)
    return 0


def _status(options: argparse.Namespace, terminal: Terminal) -> int:
    from orchestrator.app.fleet.told import status_of
    from orchestrator.cli.view.found import say_found
    from orchestrator.cli.view.node import shown_status
    from orchestrator.plugins.hosts.processes import LocalProcesses

    found = status_of(_folder(), LocalProcesses())
    shown = shown_status(found)
    if found is not None:
        from orchestrator.cli.reach import client
        from orchestrator.cli.view.fleet import shown_fleet

        found["sees"] = client(terminal).fleet()
        shown += "\n\n" + "\n".join(shown_fleet(found["sees"], terminal)) if found["sees"] else ""
    return say_found(found, shown, terminal, as_json=options.json)


def _drain(options: argparse.Namespace, terminal: Terminal) -> int:
    return _takes("shared" if options.undo else "drained", terminal)


def _cordon(_options: argparse.Namespace, terminal: Terminal) -> int:
    return _takes("cordoned", terminal)


def _uncordon(_options: argparse.Namespace, terminal: Terminal) -> int:
    return _takes("shared", terminal)


def _takes(work: Work, terminal: Terminal) -> int:
    """Written down; its runtime reads it within a second."""
    from dataclasses import replace

    from orchestrator.cli.view.node import WORK

    folder = _folder()
    membership = replace(folder.member(), work=work)
    folder.write(membership)
    terminal.say(f"{membership.node} {WORK[work]}")
    return 0


def _operator(options: argparse.Namespace, terminal: Terminal) -> int:
    from pathlib import Path

    from orchestrator.app.fleet.identity import take_operator_key
    from orchestrator.core.errors import UsageError

    folder = _folder()
    node = folder.member().node
    if not options.file:
        file = folder.operator_key
        terminal.say(OPERATOR_IS.format(file=file) if file.is_file() else f"the operator's key is not on {node}")
        return 0
    try:
        text = terminal.stdin.read() if options.file == "-" else Path(options.file).read_text(encoding="ascii")
    except UnicodeDecodeError:
        text = ""  # no key is written so: that is told as of any other file
    except OSError as error:
        raise UsageError(f"{options.file} cannot be read: {error}", cure="name a copy of the key's file") from error
    take_operator_key(folder, text)
    terminal.say(
        f"the operator's key is on {node}, in {folder.operator_key}: orchestrator apply works here{_copy(options.file, folder)}"
    )
    return 0


def _copy(file: str, folder: FleetFolder) -> str:
    """What to do with a file that the key came from; the key's own place is no copy, by whatever name."""
    from pathlib import Path

    own = file == "-" or Path(file).samefile(folder.operator_key)
    return "" if own else f"; if {file} was carried here, remove it"


def _leave(options: argparse.Namespace, terminal: Terminal) -> int:
    from orchestrator.app.fleet.joining import Unanswered, check_leaves, leave_fleet
    from orchestrator.core.fleet_errors import FleetError
    from orchestrator.plugins.hosts.processes import LocalProcesses

    folder = _folder()
    membership = folder.member()
    if options.name and options.name != membership.node:
        if not membership.hub:
            raise FleetError(
                f"{membership.node} is not the hub of its fleet, which alone takes other nodes out",
                cure=f"type it on the hub, at {', '.join(membership.hubs)}; without a name this machine leaves",
            )
        return _take_out(folder, options.name, terminal)
    check_leaves(membership, Unanswered() if options.force else _unanswered(terminal), force=options.force)
    with _without_runtime(terminal):
        told = leave_fleet(folder, LocalProcesses(), force=options.force)
    terminal.say(f"{membership.node} has left fleet {membership.fleet}; its keys are removed here")
    if not told:
        terminal.tell(
            f"the hub could not be asked, and would still know its key; on it: orchestrator node leave {membership.node}"
        )
    return 0


def _unanswered(terminal: Terminal) -> Unanswered:
    """What is kept here would go with the share; it is looked for before anything is stopped."""
    from orchestrator.app.fleet.joining import Unanswered
    from orchestrator.cli.reach import client
    from orchestrator.plugins.stores.unanswered import unanswered
    from orchestrator.ports.host import DATABASE_NAME

    runtime = client(terminal)
    fleet = runtime.fleet() or {"deployments": []}
    shares = {each["name"] for each in fleet["deployments"]}
    served = runtime.status()["deployments"] if shares else []
    in_work = sum(each["in_flight"] for each in served if each["name"] in shares)
    return Unanswered(*unanswered(runtime.folders.state / DATABASE_NAME), in_work)


@contextmanager
def _without_runtime(terminal: Terminal) -> Iterator[None]:
    """While the background runtime does not run; one that did is there again afterwards."""
    from orchestrator.app.start import stop_runtime
    from orchestrator.cli.reach import client, started
    from orchestrator.plugins.hosts.local import LocalHost

    ran = client(terminal).answers()
    if ran:
        terminal.tell("stopping the background runtime; requests in work finish")
        stop_runtime(LocalHost())
    try:
        yield
    finally:
        if ran:
            started(terminal)


def _take_out(folder: FleetFolder, name: str, terminal: Terminal) -> int:
    import anyio

    from orchestrator.app.fleet.mesh import apply_members
    from orchestrator.plugins.hosts.processes import LocalProcesses

    async def take_out() -> bool:
        return await apply_members(folder, LocalProcesses(), left=True)

    folder.ledger.leave(name)
    runs = anyio.run(take_out)
    terminal.say(
        f"{name} is out of the fleet: its key counts no more" + ("" if runs else "; the hub's server does not run now")
    )
    return 0


def _say_invitation(folder: FleetFolder, options: argparse.Namespace, terminal: Terminal) -> None:
    from orchestrator.app.fleet.inviting import invitation
    from orchestrator.cli.view.found import say_found
    from orchestrator.cli.view.node import shown_invitation

    token = invitation(folder, _good_for(options))
    line = f"orchestrator node join {token.text()}"
    found: dict[str, Any] = {"join": line, "valid_seconds": _good_for(options), "fleet": folder.member().fleet}
    say_found(found, shown_invitation(line, options.valid), terminal, as_json=options.json)


def _name(options: argparse.Namespace) -> str:
    import socket

    from orchestrator.app.fleet.identity import node_name

    return options.name or node_name(socket.gethostname())


def _folder(*, make: bool = False) -> FleetFolder:
    from orchestrator.app.fleet.identity import FleetFolder
    from orchestrator.plugins.hosts.local import LocalHost

    return FleetFolder(LocalHost().folders(make=make).state / "fleet")


_ACTIONS: Final = {
    "init": _init,
    "invite": _invite,
    "join": _join,
    "serve": _serve,
    "status": _status,
    "drain": _drain,
    "cordon": _cordon,
    "uncordon": _uncordon,
    "operator": _operator,
    "leave": _leave,
}
