"""Who answered a run: a rule, a small or a larger model nearby, the cloud, a person; or nobody yet. Pure.

The zone is what the run recorded of the call that answered, never what the manifest says today. Small or larger is the number of
parameters: of the catalogue's row, else as the model's own name tells it (``…-7b``); a model of which neither is known is
counted by itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Literal

from orchestrator.core.served import CLOUD, PERSON, REFLEX, ServedRun
from orchestrator.manifest.catalogue.reader import find_model, ids_of, model_rows

Tier = Literal["rule", "small", "larger", "unsized", "unplaced", "cloud", "person", "unsure", "failed", "waiting"]
TIERS: Final[Mapping[Tier, str]] = {
    "rule": "a rule, no model",
    "small": "a small model",
    "larger": "a larger model nearby",
    "unsized": "a model nearby of unknown size",
    "unplaced": "a model, where is not recorded",
    "cloud": "a model in the cloud",
    "person": "a person",
    "unsure": "nobody: it asked back",
    "failed": "nobody: it failed",
    "waiting": "nobody yet: it waits",
}
NEARBY: Final[frozenset[Tier]] = frozenset(("rule", "small", "larger", "unsized"))
NOBODY: Final[frozenset[Tier]] = frozenset(("unsure", "failed", "waiting"))
BY_MODEL: Final[frozenset[Tier]] = frozenset(("small", "larger", "unsized", "unplaced", "cloud"))
SMALL_BELOW: Final = 10e9
"""Parameters: what the literature calls a small language model has fewer than ten billion."""
_UNANSWERED: Final[Mapping[str, Tier]] = {"unsure": "unsure", "waiting": "waiting"}
_WITHOUT_MODEL: Final[Mapping[str, Tier]] = {REFLEX: "rule", PERSON: "person", "": "unsure"}
_OF_KEY: Final = re.compile(r"#[0-9a-f]{6}$")
_IN_NAME: Final = re.compile(r"(?<![a-z0-9.])(\d{1,4}(?:\.\d{1,3})?)([bm])(?![a-z0-9])", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class NamedModel:
    """A model of the manifest: its alias, the ids that servers know it under, and its price for a million tokens read and
    written, where it has one."""

    alias: str
    ids: frozenset[str]
    zone: str = ""
    price: tuple[float, float] | None = None

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> NamedModel:
        """From what the runtime tells."""
        price = value.get("price")
        told = (float(price["input"]), float(price["output"])) if price else None
        return cls(value["alias"], frozenset(map(str.casefold, value["ids"])), value["zone"], told)


def model_of(endpoint: str) -> str:
    """The model's id of an endpoint such as ``ollama@127.0.0.1:11434/phi4-mini:3.8b``; of its key only a digest stands there."""
    return _OF_KEY.sub("", endpoint.partition("/")[2])


def named(endpoint: str, models: Iterable[NamedModel]) -> NamedModel | None:
    """The manifest's model that an endpoint serves, by its id there."""
    served = model_of(endpoint).casefold()
    return next((each for each in models if served in each.ids or served == each.alias.casefold()), None)


def parameters_of(endpoint: str, models: Iterable[NamedModel]) -> float | None:
    """How many; ``None`` where nothing tells."""
    found = named(endpoint, models)
    row: Mapping[str, Any] | None = find_model(found.alias) if found else None
    row = row or find_model(model_of(endpoint)) or _by_id(model_of(endpoint))
    if row is not None:
        return float(row["parameters"])
    told = _IN_NAME.search(model_of(endpoint)) or _IN_NAME.search(found.alias if found else "")
    return float(told[1]) * (1e9 if told[2] in "bB" else 1e6) if told else None


def tier_of(run: ServedRun, models: Iterable[NamedModel], small_below: float = SMALL_BELOW) -> Tier:
    """Who answered it. A status that is not known counts as not answered."""
    if run.status != "completed":
        return _UNANSWERED.get(run.status, "failed")
    return _WITHOUT_MODEL.get(run.served_by) or _of_model(run, models, small_below)


def _of_model(run: ServedRun, models: Iterable[NamedModel], small_below: float) -> Tier:
    if not run.zone or run.zone == CLOUD:
        return "cloud" if run.zone else "unplaced"
    size = parameters_of(run.served_by, models)
    if size is None:
        return "unsized"
    return "small" if size < small_below else "larger"


def _by_id(served: str) -> Mapping[str, Any] | None:
    """The catalogue's row of a server's own id."""
    return _rows_by_id().get(served.casefold())


@lru_cache(maxsize=1)
def _rows_by_id() -> dict[str, Mapping[str, Any]]:
    return {name.casefold(): row for row in model_rows() for names in ids_of(row).values() for name in names}
