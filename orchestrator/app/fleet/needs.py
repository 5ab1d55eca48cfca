"""The libraries of the extra that a fleet needs: imported where they are used, and their absence told in one way."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from orchestrator.core.extras import install_line
from orchestrator.core.fleet_errors import FleetError

LIBRARIES: Final = ("cryptography", "nats")


@contextmanager
def libraries() -> Iterator[None]:
    """Around what imports the fleet's parts. Raises ``FleetError`` that names the extra where a library is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in LIBRARIES:
            raise
        raise FleetError("a fleet needs libraries that are not installed", cure=install_line("mesh")) from error
