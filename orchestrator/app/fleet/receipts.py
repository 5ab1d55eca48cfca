"""What this node answered to requests that other nodes ask until they are answered: on the disk, so that nothing is done twice."""

from __future__ import annotations

from dataclasses import dataclass, field

from orchestrator.core.errors import HeldRunLost
from orchestrator.core.request import Result
from orchestrator.ports.effects import EffectStore
from orchestrator.ports.store import RunStore
from orchestrator.serve.disk import Disk


@dataclass(slots=True)
class Receipts:
    """By the key of a request, for the node that asked it. What waited for a person here is looked for among the runs,
    which keep how it ended."""

    store: EffectStore
    runs: RunStore
    _disk: Disk = field(default_factory=Disk)

    async def find(self, key: str, asker: str) -> Result | None:
        """What was answered, or is answered by now; ``None``: it is to be worked on."""
        found = await self._disk.do(self.store.answered, key, asker)
        if found is None or found.status != "waiting":
            return found
        run = await self._disk.do(self.runs.find, found.id)
        return Result.from_json(run) if run is not None else found

    async def known(self, key: str, asker: str, node: str) -> Result:
        """What has become of a request that ``asker`` was told to wait for; a failure where ``node`` knows nothing of that."""
        found = await self.find(key, asker)
        if found is not None:
            return found
        lost = HeldRunLost(f"{node} knows nothing of {key} any more: its state is gone", cure="Ask again.")
        return Result(key, "", 0, "failed", "", error=lost.as_json(), finish_reason="error", node=node)

    async def keep(self, deployment: str, key: str, asker: str, result: Result) -> None:
        """It is the answer. Raises ``StateUnusable`` where it cannot be kept: then it is none, and is asked for again."""
        await self._disk.do(self.store.keep_answer, deployment, key, asker, result)
