"""The strategy ``fixed``: always the router's default, or its only candidate."""

from __future__ import annotations

from typing import Final

from orchestrator.core.request import Decision
from orchestrator.plugins.strategies.instant import Instant
from orchestrator.ports.strategy import Candidate, RouteQuestion, StrategyOptions

NAME: Final = "fixed"


class Fixed(Instant):
    """Chooses the same candidate for every request, or nobody where none is meant."""

    def __init__(self, choice: str | None, why: str) -> None:
        self._decision = Decision(NAME, choice, why=why)
        self.notes = () if choice else (why,)

    def judge(self, question: RouteQuestion) -> Decision:  # noqa: ARG002 - the port gives it
        return self._decision


def fit_fixed(candidates: tuple[Candidate, ...], options: StrategyOptions) -> Fixed:
    """The default where it is set, else the only candidate."""
    names = sorted({candidate.name for candidate in candidates})
    if options.default is not None:
        return Fixed(options.default, f"{options.default} is the default")
    if len(names) == 1:
        return Fixed(names[0], f"{names[0]} is the only one")
    return Fixed(None, f"no default is set and there are {len(names)} candidates")
