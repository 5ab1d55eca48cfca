"""Why a runtime did not start, told to the command that started it: one JSON object in a file which that command made.

Not over the log: tools and libraries write there too, it is cut when it grows, and a sentence of it is for people.
"""

from __future__ import annotations

import json
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final

from orchestrator.app.replies import read_error
from orchestrator.core.errors import OrchestratorError, StateUnusable

TOLD: Final = "--told"
"""The option of the runtime's process that names the file."""


class Told:
    """The file, on the side of the command. It is empty until a runtime that ends writes into it."""

    def __init__(self, folder: Path) -> None:
        """Make it. Raises ``StateUnusable`` where the folder takes none."""
        try:
            handle, name = tempfile.mkstemp(".json", "start-", folder)
        except OSError as error:
            raise StateUnusable(f"the folder {folder} cannot be written: {error.strerror}") from error
        os.close(handle)
        self.path = Path(name)

    def read(self) -> OrchestratorError | None:
        """What ended the runtime, and the file is empty again; ``None`` where it said nothing that can be read."""
        try:
            told = json.loads(self.path.read_bytes())
            self.path.write_bytes(b"")
        except (
            OSError,
            ValueError,
        ):  # the folder was cleared; it was ended before it could say anything, or in the middle
            return None
        return read_error(told)

    def remove(self) -> None:
        """Nobody waits for it any more."""
        self.path.unlink(missing_ok=True)


def tell(path: Path | None, error: Exception) -> None:
    """Say what ends this runtime, where a command waits for it: one that saw it serve has removed the file."""
    if path is None:
        return
    known = error.as_json() if isinstance(error, OrchestratorError) else {"message": f"{type(error).__name__}: {error}"}
    with suppress(OSError):  # a full disk: the log, which may have it, is what the command then names
        handle = os.open(path, os.O_WRONLY)
        with os.fdopen(handle, "w") as file:
            json.dump(known, file)
