"""What the runtime answers on one call, and what goes wrong on the way, as it is told to who asked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException, HTTPResponse
from typing import Any, Final

from orchestrator.app.patience import Hangs, Patience
from orchestrator.core.errors import RuntimeUnavailable

LOGS: Final = "orchestrator runtime logs"
STATUS: Final = "orchestrator status shows how far it is"
NONE_RUNS: Final = "no runtime runs"
HANGS: Final = "the runtime is there and does not answer: it hangs, or the machine has no time for it"
SLOW: Final = "the runtime gave no answer in its time"


class RuntimeHangs(RuntimeUnavailable):
    """It is there and says nothing."""


class Answer:
    """One answer, whole or line by line. Its reads raise ``RuntimeUnavailable``; what becomes of what was read is the reader's
    own: a fault of that is no fault of the runtime."""

    def __init__(self, response: HTTPResponse, patience: Patience) -> None:
        self._response = response
        self._patience = patience

    def value(self) -> dict[str, Any]:
        """All of it."""
        with told_as_ours(self._patience):
            value: dict[str, Any] = json.loads(self._response.read())
            return value

    def lines(self) -> Iterator[dict[str, Any]]:
        """The entries as they come; an empty line is a sign of life."""
        while True:
            with told_as_ours(self._patience):
                line = self._response.readline()
                entry = json.loads(line) if line.strip() else None
            if not line:
                return
            if entry is not None:
                yield entry


@contextmanager
def told_as_ours(patience: Patience) -> Iterator[None]:
    """What goes wrong on the connection, as what it means: ``RuntimeUnavailable``, and ``RuntimeHangs`` where time is over."""
    try:
        yield
    except TimeoutError as error:
        if patience.lives is not None and not isinstance(error, Hangs):
            raise RuntimeHangs(SLOW, cure="orchestrator status; try again") from error
        raise RuntimeHangs(HANGS, cure="orchestrator runtime stop ends it, start brings it back") from error
    except (FileNotFoundError, ConnectionRefusedError) as error:
        raise RuntimeUnavailable(NONE_RUNS, cure="orchestrator apply FILE starts one") from error
    except (OSError, HTTPException, ValueError) as error:
        raise RuntimeUnavailable(f"the runtime does not answer: {error}", cure=LOGS) from error
