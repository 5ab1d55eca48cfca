"""A pull on a terminal: a bar with size, speed and the time that is left. The only file of it that needs rich."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from rich.console import Console, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from orchestrator.cli.view.pulling import Meter, does
from orchestrator.cli.view.terminal import harmless


@contextmanager
def live_pull(stream: TextIO) -> Iterator[Callable[[Meter, float], None]]:
    """Redraws itself while the block lasts; what was there last stays."""
    console = Console(file=stream, highlight=False, soft_wrap=False)
    picture = _Picture()
    with Live(picture, console=console, refresh_per_second=8) as live:

        def show(meter: Meter, _now: float) -> None:
            stage = picture.meter.last.stage if picture.meter else None
            picture.meter = meter
            if meter.last.stage != stage:
                live.refresh()

        yield show


class _Picture:
    """What is drawn now."""

    def __init__(self) -> None:
        self.meter: Meter | None = None
        self._spinner = Spinner("dots")

    def __rich__(self) -> RenderableType:
        table = Table.grid(padding=(0, 1))
        if self.meter is None:
            return table
        last, total = self.meter.last, self.meter.total
        if last.stage == "downloading" and last.completed is not None and total:
            bar = ProgressBar(total=total, completed=min(last.completed, total), width=30)
            table.add_row(bar, Text(harmless(self.meter.words())))
        elif last.stage != "done":
            table.add_row(self._spinner, Text(harmless(f"{does(last.stage)} {self.meter.words()}".rstrip())))
        return table
