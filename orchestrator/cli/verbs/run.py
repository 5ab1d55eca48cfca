"""``orchestrator run``: one request, one answer."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Final

from orchestrator.cli.inputs import data_class_argument, in_utf8, typed
from orchestrator.cli.view.terminal import Terminal
from orchestrator.core.choices import CALLERS, COMPLEXITIES
from orchestrator.core.errors import UsageError

if TYPE_CHECKING:
    from orchestrator.core.event import Event
    from orchestrator.core.request import Request, Result

EXAMPLES: Final = """
orchestrator run kiosk "do you have a cordless drill?"
echo "do you have a cordless drill?" | orchestrator run kiosk
orchestrator run kiosk "a quote for 20 boxes of screws" --json
orchestrator run kiosk "and in blue?" --session anna --show-path
orchestrator run help-desk "I want my money back" --wait
orchestrator run kiosk "compare these two drills" --complexity complex
orchestrator run kiosk "a return for customer 4711" --data-class restricted
"""
FAILED: Final = 5


def arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    parser.add_argument("name", metavar="NAME", help="the deployment")
    parser.add_argument(
        "text", nargs="*", default=[], metavar="TEXT", help="the request; - or nothing reads standard input"
    )
    parser.add_argument("--agent", default="", help="go straight to this agent, past the routers")
    parser.add_argument("--node", default="", help="where all nodes run on this machine: the one that is asked")
    parser.add_argument("--session", default="", help="continue this conversation")
    parser.add_argument(
        "--complexity", choices=COMPLEXITIES, default="", help="how hard it is, for models that claim it"
    )
    parser.add_argument("--priority", choices=CALLERS, default="interactive", help="its class; default: interactive")
    data_class_argument(parser)
    parser.add_argument("--timeout", metavar="TIME", help="give up after this time, like 30s")
    parser.add_argument(
        "--wait", action="store_true", help="where it waits for a person: wait too, and print how it ended"
    )
    parser.add_argument("--json", action="store_true", help="the whole result as JSON, with decisions, steps and usage")
    parser.add_argument("--show-path", action="store_true", help="tell on stderr which way it took, and why")


def run(options: argparse.Namespace, terminal: Terminal) -> int:
    """Send it."""
    from orchestrator.cli.reach import client_of, patience
    from orchestrator.cli.view.result import tell_waiting
    from orchestrator.core.request import Result

    request = _request(options, terminal)
    answer = _Answer(terminal)
    runtime = client_of(options.name, terminal, options.node)
    result = runtime.run(options.name, request, None if options.json else answer.take)
    if options.wait and result.status == "waiting":
        answer.end()
        tell_waiting(result, terminal)
        result = Result.from_json(runtime.wait(result.id, patience(options.timeout)))
        answer = _Answer(terminal)
    if options.json:
        terminal.say(json.dumps(result.as_json(), indent=2, ensure_ascii=False, default=str))
    else:
        answer.finish(result)
        _tell(result, options, terminal)
    return FAILED if result.status == "failed" else 0


def _tell(result: Result, options: argparse.Namespace, terminal: Terminal) -> None:
    from orchestrator.cli.view.result import tell_failure, tell_notes, tell_waiting, tell_way

    tell_notes(result, terminal)
    if result.status == "failed":
        tell_failure(result, terminal)
    tell_waiting(result, terminal)
    if options.show_path or terminal.stderr.isatty():
        tell_way(result, terminal, whole=options.show_path)


def _request(options: argparse.Namespace, terminal: Terminal) -> Request:
    from orchestrator.cli.reach import patience
    from orchestrator.core.request import Request

    return Request(
        _text(options, terminal),
        session=options.session,
        agent=options.agent,
        complexity=options.complexity,
        priority=options.priority,
        data_class=options.data_class,
        timeout=patience(options.timeout),
    )


def _text(options: argparse.Namespace, terminal: Terminal) -> str:
    words = options.text
    if words and words != ["-"]:
        text = " ".join(words)
    elif words or not terminal.stdin.isatty():
        text = typed(terminal.stdin.read)
    else:
        raise UsageError("there is no request", cure=f'orchestrator run {options.name} "your request"')
    if not text.strip():
        raise UsageError("the request is empty", cure=f'orchestrator run {options.name} "your request"')
    return in_utf8(text.strip())


class _Answer:
    """The answer as it comes, piece by piece; what did not come in pieces is written at the end."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._written = ""

    def take(self, event: Event) -> None:
        """Write a piece."""
        from orchestrator.core.event import DELTA

        if event.kind == DELTA:
            piece = str(event.fields["text"])
            self._written += piece
            self._terminal.write(piece)
            self._terminal.stdout.flush()

    def end(self) -> None:
        """End the line of what was written, where something else is told before the answer."""
        if self._written and not self._written.endswith("\n"):
            self._terminal.stdout.write("\n")

    def finish(self, result: Result) -> None:
        """Write what is still missing, and end the line."""
        if not self._written and result.text:
            self._terminal.write(result.text)
        if (self._written or result.text) and not (self._written or result.text).endswith("\n"):
            self._terminal.stdout.write("\n")
        self._terminal.stdout.flush()
