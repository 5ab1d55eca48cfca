"""The runtime's own log: lines of JSON in a file that rotates, without secrets; faults of libraries go there too."""

from __future__ import annotations

import logging
import sys
from contextlib import suppress
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any, Final

import anyio
import anyio.to_thread
import structlog

from orchestrator.app.redact import Redactor
from orchestrator.app.rotating import KEPT, LARGEST
from orchestrator.ports.host import make_private
from orchestrator.ports.log_file import cut

LOG_NAME: Final = "runtime.log"
LOOK_EVERY: Final = 10.0
"""Seconds between two looks at what the process printed."""
Log = Any
"""A structlog logger: ``log.info("words", key=value)``."""


def open_log(folder: Path, level: str, redactor: Redactor, *, also_print: bool) -> Log:
    """The logger of this process. ``also_print`` writes to standard error as well, for systemd and containers."""
    make_private(folder)
    shared: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            redactor,
            structlog.processors.JSONRenderer(default=str),
        ],
    )
    handlers: list[logging.Handler] = [RotatingFileHandler(folder / LOG_NAME, maxBytes=LARGEST, backupCount=KEPT)]
    if also_print:
        handlers.append(logging.StreamHandler(sys.stderr))
    for handler in handlers:
        handler.setFormatter(formatter)
    logging.basicConfig(handlers=handlers, level=level.upper(), force=True)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    return structlog.stdlib.get_logger("runtime")


def close_log() -> None:
    """Let go of the files; whoever logs later in this process logs nowhere."""
    root = logging.getLogger()
    for handler in list(root.handlers):
        root.removeHandler(handler)
        handler.close()


async def keep_cut(printed: Path, every: float = LOOK_EVERY, largest: int = LARGEST) -> None:
    """Keep the file that the output of this process goes to from growing without a bound; until cancelled. What tools and
    libraries print goes there, whatever language they are written in."""
    while True:
        await anyio.sleep(every)
        with suppress(OSError):  # the next look tries again
            await anyio.to_thread.run_sync(cut, printed, largest)
