"""What the state database keeps for later of a fleet's share: read beside a runtime that runs, or without one."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Final

from orchestrator.plugins.stores.statefile import StateFile

_SHARES: Final = """SELECT d.deployment FROM desired d JOIN revision r ON r.deployment = d.deployment AND r.number = d.number
    WHERE coalesce(json_extract(r.blueprint, '$.node'), '') != ''"""
_COUNTS: Final = f"""SELECT (SELECT count(*) FROM delivery WHERE delivered IS NULL AND deployment IN ({_SHARES})),
    (SELECT count(*) FROM approval WHERE delivered IS NULL AND deployment IN ({_SHARES}))"""  # noqa: S608 - constants


def unanswered(path: Path) -> tuple[int, int]:
    """How many requests wait for a target that is away, and how many for a person; no file, no request. Raises
    ``StateUnusable``."""
    if not path.is_file():
        return 0, 0
    with closing(StateFile(path)) as file:
        tables = {name for (name,) in file.rows("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if not {"delivery", "approval", "desired"} <= tables:  # of a version that kept nothing
            return 0, 0
        [(deliveries, approvals)] = file.rows(_COUNTS)
    return deliveries, approvals
