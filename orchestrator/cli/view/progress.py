"""The steps of a plan while they are carried out: redrawn lines on a terminal, else a line for each step that ends."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from orchestrator.cli.view.moments import milliseconds
from orchestrator.cli.view.terminal import Terminal
from orchestrator.core.event import Event

Listen = Callable[[Event], None]


@contextmanager
def progress(terminal: Terminal, steps: int) -> Iterator[Listen]:
    """Shows the ``apply.step`` events that it is given, until the block ends."""
    if terminal.live and steps:
        from orchestrator.cli.view.live import live_progress

        with live_progress(terminal.stderr, steps) as listen:
            yield listen
    else:
        yield _Lines(terminal, steps).take


class _Lines:
    """A line when a step ends."""

    def __init__(self, terminal: Terminal, steps: int) -> None:
        self._terminal = terminal
        self._steps = steps

    def take(self, event: Event) -> None:
        """Show one event."""
        if event.kind != "apply.step" or event.fields.get("state") == "started":
            return
        self._terminal.tell(step_line(event.fields, self._steps))


def step_line(step: Mapping[str, Any], steps: int) -> str:
    """``[3/7] + agent.orders: start it (0.2 ms)``."""
    number = step.get("number")
    head = f"[{number:>{len(str(steps))}}/{steps}] " if number and steps else ""
    what = f"{step.get('mark', '')} {step.get('address', '')}: {step.get('does', step.get('action', ''))}".strip(" :")
    if step.get("state") == "failed":
        return f"{head}{what}: failed: {step.get('error', {}).get('message', '')}"
    return f"{head}{what} ({step_end(step)})"


def step_end(step: Mapping[str, Any]) -> str:
    """How long a step took that is done, or what goes on after one that only began something."""
    return f"goes on: {step['goes_on']}" if step.get("goes_on") else milliseconds(step.get("took_ms", 0.0))


def ended(began: float, steps: int) -> str:
    """How many steps were done and how long it took; ``began`` is of ``time.monotonic``."""
    took = milliseconds((time.monotonic() - began) * 1e3)
    return f"{steps} step{'s' if steps != 1 else ''} in {took}"
