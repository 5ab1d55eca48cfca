"""What an apply tells: each step as an event, with its number in the plan that was agreed to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from orchestrator.core.event import Event

Listen = Callable[[Event], None]
Tell = Callable[[str, Mapping[str, Any]], None]
"""Takes the state of a step (``started``, ``done``, ``failed``) and its plain form."""
Doing = Callable[[str, str, Mapping[str, Any]], None]
"""The same, with the deployment before it."""


class Telling:
    """``emit`` hears all events, ``doing`` which step each deployment is at; ``now`` gives seconds since 1970."""

    def __init__(self, emit: Listen, now: Callable[[], float], doing: Doing) -> None:
        self._emit = emit
        self._now = now
        self._doing = doing

    def heard_by(self, listen: Listen) -> Listen:
        """Everybody who hears events, and this one."""

        def tell(event: Event) -> None:
            self._emit(event)
            listen(event)

        return tell

    def steps(self, name: str, revision: int, tell: Listen, done: int = 0) -> Tell:
        """Tells steps of a deployment; ``done`` steps came before them."""

        def numbered(event: Event) -> None:
            number = event.fields.get("number", 0)
            tell(replace(event, fields={**event.fields, "number": number + done}) if done else event)

        return partial(self._step, name, revision, numbered)

    def finished(self, name: str, revision: int, steps: int, took: float) -> None:
        """An apply is done, in ``took`` seconds."""
        fields = {"steps": steps, "took_ms": round(took * 1e3, 3)}
        self._emit(Event("apply.finished", self._now(), name, revision, fields=fields))

    def _step(self, name: str, revision: int, tell: Listen, state: str, step: Mapping[str, Any]) -> None:
        self._doing(name, state, step)
        tell(Event("apply.step", self._now(), name, revision, fields={"state": state, **step}))
