"""Runs that one node of a fleet has another one answer, as the other one keeps them: whose part each is. Pure.

A node asks another under an id that begins with its own run's, a dot and a number; under one that is made of a nonce where the
request is kept until it is answered. Such a run is no request of a user: that is the run of the node that it came to, which has its
steps too.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

from orchestrator.core.errors import UsageError

_NUMBER: Final = re.compile(r"(\.\d+)+$")
_MADE_HERE: Final = re.compile(r"(run|once)_[0-9a-f]{16}\..")


def part_id(run: str, number: int) -> str:
    """The id under which another node is asked for a part of a run."""
    return f"{run}.{number}"


def whole_of(run: str) -> str:
    """The id of the run that this one may be a part of; its own where it is a part of none."""
    return _NUMBER.sub("", run)


def sign_of(run: str) -> str:
    """What stands for the id of a run before all nodes: only those that know the id know which run it is."""
    return hashlib.sha256(run.encode("utf-8", "surrogatepass")).hexdigest()


def is_part(run: str, known: Collection[str] = ()) -> bool:
    """Whether another node asked for it: its id is one that a program does not give, or that of one of the ``known`` runs with a
    number."""
    whole = whole_of(run)
    return bool(_MADE_HERE.match(run)) or (whole != run and whole in known)


def only_one(ids: Iterable[str], beginning: str, what: str) -> str:
    """The run of these that is meant by how all of them begin: parts that were asked for stand for their run. Raises ``UsageError``
    where there are several of ``what``."""
    found = sorted(ids, key=lambda each: (len(each), each))
    wholes = {whole_of(each) if is_part(each, found) else each for each in found}
    is_longer = len(found) > 1 and not next(iter(wholes)).startswith(beginning)
    if len(wholes) > 1 or is_longer:
        raise UsageError(f'several {what} begin with "{beginning}"', cure="write more of the id")
    return found[0]


def made_at(run: Mapping[str, Any], agent: str, router: str) -> tuple[str, str]:
    """The node on which an agent's answer (or a router's choice) with a score was made, and the run there; both are empty where it
    was made in the stored ``run`` itself."""
    kind, subject = ("route", f"router.{router}") if router else ("doubt", f"agent.{agent or run['agent']}")
    steps = [step for step in run["steps"] if (step["kind"], step["subject"]) == (kind, subject)]
    scored: list[Mapping[str, Any]] = [step["detail"] for step in steps if "score" in step["detail"]]
    detail = scored[-1] if scored else {}
    return str(detail.get("node", "")), str(detail.get("run", ""))
