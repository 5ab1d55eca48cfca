"""``orchestrator runtime``: the background process that serves what is applied."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from orchestrator.cli.inputs import how_many
from orchestrator.cli.view.terminal import Terminal

if TYPE_CHECKING:
    from orchestrator.ports.host import Host

EXAMPLES: Final = """
orchestrator runtime status
orchestrator runtime logs -f
orchestrator runtime stop
orchestrator runtime install
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Its actions."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION", parser_class=type(parser))
    status = actions.add_parser("status", help="whether it runs, its version, process, address and folders")
    status.add_argument("--json", action="store_true", help="as JSON")
    start = actions.add_parser("start", help="start it in the background; what is applied comes back")
    start.add_argument(
        "--set-aside", action="store_true", help="first rename a damaged state database that no start recovers"
    )
    stop = actions.add_parser("stop", help="stop it; what is applied comes back at the next start")
    stop.add_argument("--drain", metavar="TIME", default="30s", help="how long requests may finish (default: 30s)")
    logs = actions.add_parser("logs", help="its own log")
    logs.add_argument("-f", "--follow", action="store_true", help="go on with what comes, until Ctrl-C")
    logs.add_argument("-n", "--lines", type=how_many, default=100, metavar="N", help="how many lines (default: 100)")
    install = actions.add_parser("install", help="write a systemd user unit that starts it at each login")
    install.add_argument("--print", action="store_true", help="only print the unit")
    actions.add_parser("uninstall", help="stop and remove the systemd user unit")


def run(options: argparse.Namespace, terminal: Terminal) -> int:
    """Do it."""
    return _ACTIONS[options.action](options, terminal)


def _status(options: argparse.Namespace, terminal: Terminal) -> int:
    from orchestrator.cli.reach import client

    runtime = client(terminal)
    about = runtime.about() if runtime.answers() else None
    if options.json:
        import json

        terminal.say(json.dumps(about, indent=2))
    elif about is None:
        terminal.say("no runtime runs")
    else:
        from orchestrator.app.interpreter import told
        from orchestrator.cli.view.columns import columns
        from orchestrator.cli.view.moments import ago
        from orchestrator.cli.view.status import runtime_state

        state = runtime_state(about)
        rows = [("version", about["version"]), ("state", state), ("process", str(about["pid"]))]
        rows += [("started", ago(about["started"])), ("address", about["url"]), ("folder", about["folder"])]
        if "interpreter" in about:  # an older runtime tells none
            rows.append(("python", told(about["interpreter"])))
        terminal.say("\n".join(columns(rows)))
    return 0


def _start(options: argparse.Namespace, terminal: Terminal) -> int:
    from orchestrator.app.start import ensure_runtime
    from orchestrator.plugins.hosts.local import LocalHost

    if options.set_aside:
        _set_aside(terminal)
    about = ensure_runtime(LocalHost(), terminal.environment).about()
    terminal.say(f"the runtime runs: process {about['pid']}, {about['url']}")
    return 0


def _set_aside(terminal: Terminal) -> None:
    from orchestrator.app.set_aside import set_aside
    from orchestrator.plugins.hosts.local import LocalHost

    moved = set_aside(LocalHost().folders())
    if not moved:
        terminal.tell("nothing had to be set aside: the state database is sound, or the start recovers it")
        return
    terminal.tell("the damaged state database is kept; what was applied, its runs and its sessions are only in it:")
    for path in moved:
        terminal.tell(f"  {path}")
    terminal.tell("nothing is applied now: orchestrator apply FILE, for each of your manifests")


def _stop(options: argparse.Namespace, terminal: Terminal) -> int:
    from orchestrator.app.start import stop_runtime
    from orchestrator.cli.reach import seconds
    from orchestrator.plugins.hosts.local import LocalHost

    stopped = stop_runtime(LocalHost(), seconds(options.drain))
    terminal.say("the runtime is stopped" if stopped else "no runtime runs")
    return 0


def _logs(options: argparse.Namespace, terminal: Terminal) -> int:
    from orchestrator.app.printed import in_order
    from orchestrator.app.start import start_log
    from orchestrator.cli.view.tail import follow
    from orchestrator.plugins.hosts.local import LocalHost

    printed = start_log(LocalHost().folders(make=False))
    log = printed.with_name("runtime.log")
    for line in in_order(printed, log, options.lines):
        terminal.say(line)
    terminal.stdout.flush()
    if options.follow:
        for line in follow(log):
            terminal.say(line)
            terminal.stdout.flush()
    return 0


def _install(options: argparse.Namespace, terminal: Terminal) -> int:
    from orchestrator.app.unit import install, unit_environment, unit_text
    from orchestrator.plugins.hosts.local import LocalHost

    host = LocalHost()
    text = unit_text(host.folders(make=not options.print), unit_environment(terminal.environment))
    if options.print:
        terminal.stdout.write(text)
        return 0
    path, stopped = _unit(terminal), []
    left = install(path, text, lambda: stopped.append(_hand_over(host, terminal)))
    terminal.say(f"wrote {path}")
    if not left:
        terminal.say("the unit is started: it serves what is applied, now and after each login")
    elif any(stopped):
        _give_back(host, terminal)
    _tell_left([*left, "to start it at boot, before a login: loginctl enable-linger"], terminal)
    return 0


def _hand_over(host: Host, terminal: Terminal) -> bool:
    """End the runtime that runs, for the unit's; tells whether one ran."""
    from orchestrator.app.start import running_process, stop_runtime

    process = running_process(host, host.folders())
    if process is not None:
        terminal.tell(f"the runtime that runs (process {process.pid}) hands over: requests in work finish first")
    return stop_runtime(host)


def _give_back(host: Host, terminal: Terminal) -> None:
    """Where the unit did not start: what was served is served again."""
    from orchestrator.app.start import ensure_runtime

    about = ensure_runtime(host, terminal.environment).about()
    terminal.tell(f"the unit did not start: a runtime in the background serves again (process {about['pid']})")


def _uninstall(_: argparse.Namespace, terminal: Terminal) -> int:
    from orchestrator.app.unit import uninstall

    path = _unit(terminal)
    left = uninstall(path)
    terminal.say(f"removed {path}")
    _tell_left(left, terminal)
    return 0


def _unit(terminal: Terminal) -> Path:
    from orchestrator.app.unit import unit_path

    config = terminal.environment.get("XDG_CONFIG_HOME") or os.path.join(Path.home(), ".config")  # noqa: PTH118 - a text, like the variable before it
    return unit_path(Path(config))


def _tell_left(left: list[str], terminal: Terminal) -> None:
    if left:
        terminal.say("\nleft to do by hand:")
        for line in left:
            terminal.say(f"  {line}")


_ACTIONS: Final = {
    "status": _status,
    "start": _start,
    "stop": _stop,
    "logs": _logs,
    "install": _install,
    "uninstall": _uninstall,
}
