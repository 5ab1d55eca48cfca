"""What a fault of our own leaves behind: a report in the state folder, and one line for the user."""

from __future__ import annotations

import os
import platform
import sys
import time
import traceback
from pathlib import Path

from orchestrator.cli.version import version
from orchestrator.cli.view.terminal import Terminal


def tell_crash(error: BaseException, verb: str, terminal: Terminal) -> None:
    """One line with where the report is; the traceback itself with ``ORCHESTRATOR_DEBUG=1``."""
    terminal.tell(f"{terminal.paint('red', 'error', on=terminal.stderr)}: unexpected {type(error).__name__}: {error}")
    if terminal.environment.get("ORCHESTRATOR_DEBUG") == "1":
        terminal.tell("".join(traceback.format_exception(error)))
    else:
        terminal.tell(f"  cure: this is a fault of the program; {_kept(error, verb)}")


def _kept(error: BaseException, verb: str) -> str:
    try:
        return f"a report for its makers is in {_write(_report(error, verb))}"
    except Exception as second:  # noqa: BLE001 - whatever hinders the report, the first fault is what the user must see
        return f"no report could be written ({second}); ORCHESTRATOR_DEBUG=1 shows the traceback"


def _report(error: BaseException, verb: str) -> str:
    """The command line is left out but for the verb: requests and names are the user's own."""
    facts = [
        f"orchestrator {version()}, verb {verb or '(none)'}",
        f"python {sys.version.split()[0]}, {platform.platform()}",
        "",
        "".join(traceback.format_exception(error)),
    ]
    return "\n".join(facts)


def _write(report: str) -> Path:
    from orchestrator.plugins.hosts.local import LocalHost

    folder = LocalHost().folders().state / "logs"
    folder.mkdir(mode=0o700, exist_ok=True)
    path = folder / f"crash-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.txt"
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(report)
    return path
