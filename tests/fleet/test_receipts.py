"""What a node remembers of requests that others ask until they are answered."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import anyio

from orchestrator.app.fleet.receipts import Receipts
from orchestrator.core.request import Result
from orchestrator.plugins.stores.sqlite import open_stores

WAITS = Result("once_1.far.1", "shop", 3, "waiting", "Maria is asked", "far", approval="apr_1", node="edge-2")


def test_a_run_that_waits_for_a_person_is_not_begun_again_and_its_end_is_the_answer(tmp_path: Path) -> None:
    """The end stands among the runs."""
    stores = open_stores(tmp_path / "state.db")
    receipts = Receipts(stores.effects, stores.runs)

    async def story() -> list[Result | None]:
        seen = [await receipts.find(WAITS.id, "edge-1")]
        await receipts.keep("shop", WAITS.id, "edge-1", WAITS)
        seen.append(await receipts.find(WAITS.id, "edge-1"))
        stores.runs.keep([WAITS], ["may I?"])
        seen.append(await receipts.find(WAITS.id, "edge-1"))
        stores.runs.keep([replace(WAITS, status="completed", text="you may")], ["may I?"])
        seen.append(await receipts.find(WAITS.id, "edge-1"))
        seen.append(await receipts.find(WAITS.id, "edge-3"))
        return seen

    nothing, waits, still, done, other = anyio.run(story)
    assert other is None  # it has not asked
    assert nothing is None and waits == still == WAITS
    assert done is not None and (done.status, done.text) == ("completed", "you may")
    stores.close()
