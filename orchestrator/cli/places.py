"""The runtimes that one verb asks: the user's own, and those of the nodes of fleets that all are on this machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeVar

from orchestrator.app.answer import NONE_RUNS
from orchestrator.core.errors import (
    NoSuchApproval,
    NoSuchDelivery,
    NoSuchDeployment,
    NoSuchRun,
    OrchestratorError,
    RuntimeUnavailable,
    UsageError,
)
from orchestrator.core.forwarded import made_at, only_one

if TYPE_CHECKING:
    from orchestrator.app.client import RuntimeClient
    from orchestrator.app.fleet.local import LocalFleet
    from orchestrator.cli.view.terminal import Terminal
    from orchestrator.core.request import Request, Result

AWAY: Final = "away"
Found = TypeVar("Found")
Row = Mapping[str, Any]
_NOT_THERE: Final = (NoSuchRun, NoSuchApproval, NoSuchDelivery, NoSuchDeployment)


@dataclass(frozen=True, slots=True)
class Place:
    """One runtime: that of a ``node`` of a fleet, or the user's own."""

    client: RuntimeClient
    fleet: LocalFleet | None = None
    node: str = ""

    @property
    def told(self) -> dict[str, str]:
        """What a row from here says of its place; nothing of the user's own runtime."""
        return {"node": self.node} if self.fleet is not None else {}


_Fault = tuple[Place, OrchestratorError]


@dataclass(slots=True)
class Places:
    """All that a verb asks. Who does not answer is told on stderr, and is in ``away``; what the others say goes on."""

    places: Sequence[Place]
    terminal: Terminal
    away: list[dict[str, str]] = field(default_factory=list)

    @classmethod
    def of(cls, own: RuntimeClient | None, fleets: Sequence[LocalFleet], terminal: Terminal) -> Places:
        """The user's own runtime, where that is asked, and the nodes of these fleets."""
        nodes = [Place(fleet.client(node), fleet, node) for fleet in fleets for node in fleet.nodes]
        return cls([*([Place(own)] if own is not None else []), *nodes], terminal)

    @property
    def nodes(self) -> list[str]:
        """Those of them that are nodes of a fleet."""
        return [place.node for place in self.places if place.fleet is not None]

    def ask(self, look: Callable[[RuntimeClient], Found]) -> list[tuple[Place, Found]]:
        """What each of them says. Raises what went wrong where none does."""
        found, faults = self._each(look)
        errors = [error for _, error in faults if not isinstance(error, (RuntimeUnavailable, *_NOT_THERE))]
        if errors:
            raise errors[0]
        if not found:
            raise self._worst(faults, faults)
        self._tell(faults)
        return found

    def rows(self, look: Callable[[RuntimeClient], Sequence[Row]]) -> list[Row]:
        """The rows that they have, the newest first, each with its node."""
        asked = self.ask(look)
        rows = [{**row, **place.told} for place, told in asked for row in told]
        return sorted(rows, key=lambda row: -float(row["created"])) if len(self.places) > 1 else list(rows)

    def away_rows(self) -> list[Row]:
        """For programs: a row for each that did not answer."""
        return [{"id": "", "state": AWAY, **each} for each in self.away]

    def having(self, what: str, id_: str, look: Callable[[RuntimeClient], Row]) -> tuple[Place, Row]:
        """Who has one of ``what`` by its id or a unique beginning of it, and that. Raises what one alone would, and
        ``UsageError`` where several have what begins so."""
        if len(self.places) == 1:
            return self.places[0], look(self.places[0].client)
        found, faults = self._each(look)
        exact = [(place, row) for place, row in found if row["id"] == id_]
        if len(exact) == 1:
            return exact[0]
        if exact:
            where = ", ".join(place.node or "the user's own runtime" for place, _ in exact)
            raise UsageError(f"{id_} is there more than once: {where}", cure="give each request an id of its own")
        wrong = [error for _, error in faults if not isinstance(error, (RuntimeUnavailable, *_NOT_THERE))]
        if wrong:
            raise wrong[0]
        if not found:
            raise self._worst([each for each in faults if isinstance(each[1], _NOT_THERE)] or faults, faults)
        self._tell(faults)
        chosen = only_one((row["id"] for _, row in found), id_, what)
        return next((place, row) for place, row in found if row["id"] == chosen)

    # -- labels -----------------------------------------------------------------------------------------------------

    def run(self, name: str, request: Request) -> Result:
        """Answered by the first of them."""
        return self.places[0].client.run(name, request)

    def label(self, run: str, *, right: bool, agent: str = "", router: str = "", by: str = "") -> dict[str, Any]:
        """Noted where it was made: the node that goes by a score is the one that fits it to labels. Raises ``NothingToLabel``."""
        place, found = self.having("runs", run, lambda each: each.find_run(run))
        node, there = made_at(found, agent, router)
        if place.fleet is not None and there and node in place.fleet.nodes and node != place.node:
            place, run = Place(place.fleet.client(node), place.fleet, node), there
        else:
            run = str(found["id"])
        return {**place.client.label(run, right=right, agent=agent, router=router, by=by), **place.told}

    # -- inside -----------------------------------------------------------------------------------------------------

    def _each(self, look: Callable[[RuntimeClient], Found]) -> tuple[list[tuple[Place, Found]], list[_Fault]]:
        found: list[tuple[Place, Found]] = []
        faults: list[_Fault] = []
        for place in self.places:
            try:
                found.append((place, look(place.client)))
            except OrchestratorError as error:
                faults.append((place, error))
        return found, faults

    def _worst(self, of: Sequence[_Fault], faults: Sequence[_Fault]) -> OrchestratorError:
        """The one of some faults that is raised where nobody has anything; the others are told. One of a node says more than that
        no other runtime runs."""
        worst = next((error for place, error in of if place.fleet is not None), of[0][1])
        self._tell([each for each in faults if each[1] is not worst])
        return worst

    def _tell(self, faults: Sequence[_Fault]) -> None:
        """Name who does not answer. That the user's own runtime does not run is nothing to tell beside a fleet."""
        for place, error in faults:
            if not isinstance(error, RuntimeUnavailable) or (place.fleet is None and error.message == NONE_RUNS):
                continue
            name = place.fleet.name if place.fleet is not None else ""
            self.away.append({"deployment": name, "node": place.node, "why": error.message})
            where = f"node {place.node} of {name}" if name else "the user's own runtime"
            self.terminal.tell(
                f"not heard: {error.line if error.message.startswith(where) else f'{where}: {error.line}'}"
            )
