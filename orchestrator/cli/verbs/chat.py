"""``orchestrator chat``: a conversation in the terminal."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Final

from orchestrator.cli.inputs import NoUtf8, data_class_argument, in_utf8, typed, typed_line
from orchestrator.cli.view.terminal import Terminal
from orchestrator.core.errors import DeployError, OrchestratorError, RunError, UsageError

if TYPE_CHECKING:
    from orchestrator.app.client import RuntimeClient
    from orchestrator.core.event import Event
    from orchestrator.core.request import Result

EXAMPLES: Final = """
orchestrator chat kiosk
orchestrator chat kiosk --session anna
orchestrator chat kiosk --agent quotes
orchestrator chat kiosk --data-class restricted
"""
HELP: Final = """\
/why    who answered last, and why
/new    begin a new conversation
/quit   end (as does Ctrl-D)
Ctrl-C  end the answer that is being written"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    parser.add_argument("name", metavar="NAME", help="the deployment")
    parser.add_argument("--session", default="", help="continue this conversation; without it a new one begins")
    parser.add_argument("--agent", default="", help="talk to this agent, past the routers")
    data_class_argument(parser)


def run(options: argparse.Namespace, terminal: Terminal) -> int:
    """Talk until the end of the input."""
    from orchestrator.cli.reach import client_of

    runtime = client_of(options.name, terminal)
    known = [deployment["name"] for deployment in runtime.status()["deployments"]]
    if options.name not in known:
        from orchestrator.core.unknown import no_deployment

        raise no_deployment(options.name, known)
    talk = _Talk(runtime, options, terminal)
    if terminal.interactive:
        terminal.say(f"{options.name}: write a request; /help shows more, Ctrl-D ends")
    while True:
        try:
            text = _read(terminal)
        except NoUtf8 as error:  # the next line may be fine
            talk.tell(error)
            continue
        if text is None or (text.startswith("/") and not talk.command(text)):
            return 0 if terminal.interactive else talk.code
        if text and not text.startswith("/"):
            talk.ask(text)


def _read(terminal: Terminal) -> str | None:
    """A line; ``None`` at the end of the input. Ctrl-C throws away the line that was begun."""
    if not terminal.interactive:
        line = typed_line(terminal.stdin)
        return line.strip() if line else None
    import readline  # noqa: F401 - being imported is what makes input() edit lines and remember them

    while True:
        try:
            return in_utf8(typed(lambda: input("> "))).strip()
        except KeyboardInterrupt:
            terminal.say()
        except EOFError:
            terminal.say()
            return None


class _Talk:
    """One conversation."""

    def __init__(self, runtime: RuntimeClient, options: argparse.Namespace, terminal: Terminal) -> None:
        self._runtime = runtime
        self._name = options.name
        self._agent = options.agent
        self._data_class = options.data_class
        self._session = options.session or _new_session()
        self._terminal = terminal
        self._last: Result | None = None
        self._streamed = False
        self.code = 0
        """The exit code of what was told last."""

    def tell(self, error: OrchestratorError) -> None:
        """Why a request was not answered. The conversation goes on: the next line may be fine, the deployment may come back."""
        from orchestrator.cli.view.faults import tell_fault

        tell_fault(error, self._terminal)
        self.code = error.exit_code

    def command(self, text: str) -> bool:
        """Do what a line that begins with ``/`` says; whether to go on."""
        from orchestrator.core.names import did_you_mean

        word = text.split(maxsplit=1)[0]
        if word in ("/quit", "/exit"):
            return False
        if word == "/new":
            self._session = _new_session()
            self._terminal.say("a new conversation begins")
        elif word == "/why":
            self._why()
        elif word == "/help":
            self._terminal.say(HELP)
        else:
            near = did_you_mean(word, ("/why", "/new", "/quit", "/help"))
            self._terminal.say(f"there is no {word}; {near or '/help shows what there is'}")
        return True

    def ask(self, text: str) -> None:
        """Send one request and write its answer; Ctrl-C cancels it, here and at the model server."""
        from orchestrator.core.request import Request

        self._streamed = False
        request = Request(text, session=self._session, agent=self._agent, data_class=self._data_class)
        try:
            result = self._runtime.run(self._name, request, self._take)
        except KeyboardInterrupt:
            self._terminal.say("\n(cancelled)")
            return
        except RunError as error:
            self._terminal.say(f"({error.message})")
            return
        except (UsageError, DeployError) as error:
            if self._streamed:
                self._terminal.say()
            self.tell(error)
            return
        self._last = result
        self._finish(result)

    def _take(self, event: Event) -> None:
        from orchestrator.core.event import DELTA

        if event.kind == DELTA:
            self._streamed = True
            self._terminal.write(str(event.fields["text"]))
            self._terminal.stdout.flush()

    def _finish(self, result: Result) -> None:
        from orchestrator.cli.view.result import tell_failure, tell_notes, tell_waiting, way

        terminal = self._terminal
        terminal.say("" if self._streamed else terminal.foreign(result.text))
        tell_notes(result, terminal)
        if result.status == "failed":
            tell_failure(result, terminal)
        tell_waiting(result, terminal)
        if terminal.interactive:
            terminal.say(terminal.paint("dim", way(result)))

    def _why(self) -> None:
        from orchestrator.cli.view.result import tell_notes, tell_way

        if self._last is None:
            self._terminal.say("nothing was asked yet")
            return
        self._terminal.say(self._last.why or "there was nothing to choose")
        tell_notes(self._last, self._terminal)
        tell_way(self._last, self._terminal, whole=True)


def _new_session() -> str:
    from orchestrator.core.request import new_id

    return new_id("chat")
