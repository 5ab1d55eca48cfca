"""Progress on a terminal: a bar, and the steps as they begin and end. The only file of the progress that needs rich."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from orchestrator.cli.view.progress import step_end
from orchestrator.cli.view.terminal import harmless
from orchestrator.core.event import Event

SHOWN = 14
"""Steps that are on the screen at once: the newest."""
_STYLES = {"+": "green", "~": "yellow", "-": "red"}


@contextmanager
def live_progress(stream: TextIO, steps: int) -> Iterator[Callable[[Event], None]]:
    """Redraws itself while the block lasts; the last picture stays."""
    console = Console(file=stream, highlight=False, soft_wrap=False)
    picture = _Picture(steps)
    with Live(picture, console=console, refresh_per_second=12) as live:

        def take(event: Event) -> None:
            if event.kind == "apply.step":
                picture.take(event.fields)
                live.refresh()

        yield take


class _Picture:
    """What is drawn now."""

    def __init__(self, steps: int) -> None:
        self._steps = steps
        self._seen: dict[int, Mapping[str, Any]] = {}
        self._spinner = Spinner("dots")

    def take(self, step: Mapping[str, Any]) -> None:
        """A step began or ended."""
        self._seen[step.get("number", len(self._seen) + 1)] = step

    def __rich__(self) -> RenderableType:
        done = sum(step["state"] == "done" for step in self._seen.values())
        table = Table.grid(padding=(0, 1))
        for step in list(self._seen.values())[-SHOWN:]:
            table.add_row(*self._row(step))
        if done == self._steps:
            return table
        bar = Table.grid(padding=(0, 1))
        bar.add_row(ProgressBar(total=self._steps, completed=done, width=30), f"{done}/{self._steps}")
        return Group(table, bar)

    def _row(self, step: Mapping[str, Any]) -> tuple[RenderableType, ...]:
        mark = str(step.get("mark", ""))
        words = (Text(mark, _STYLES.get(mark, "")), _text(step.get("address", "")), _text(step.get("does", "")))
        if step["state"] == "started":
            return (self._spinner, *words, Text("…", "dim"))
        if step["state"] == "failed":
            return (Text("✗", "bold red"), *words, _text(step.get("error", {}).get("message", ""), "red"))
        sign = Text("↷", "cyan") if step.get("goes_on") else Text("✓", "green")
        return (sign, *words, Text(step_end(step), "dim"))


def _text(value: object, style: str = "") -> Text:
    return Text(harmless(str(value)), style)
