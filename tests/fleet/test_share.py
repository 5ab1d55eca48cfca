"""What a node takes over of a manifest: all that it can answer for, also beside an agent that has nothing to answer with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from orchestrator.app.compile import compile_files
from orchestrator.app.fleet.worker import EngineWorker
from orchestrator.core.errors import DeployError
from orchestrator.node.worker import Held
from tests.policy.lives import asked, life
from tests.policy.shop import alone

__all__ = ["alone"]
pytestmark = pytest.mark.anyio
RULED: dict[str, Any] = {"reflex": [{"say": "Nine to six."}]}
KEYLESS: dict[str, Any] = {"model": "far", "instructions": "Answer."}


def manifest(folder: Path, **agents: dict[str, Any]) -> dict[str, Any]:
    """A fleet of two, all of whose agents are on ``edge-1``; nobody has the key of the model in the cloud."""
    far = {"alias": "far", "provider": "openai", "model": "m", "api_key": "env:NO_SUCH_KEY_HERE"}
    nodes = [{"id": "edge-1", "agents": [{"name": name, **spec} for name, spec in agents.items()]}, {"id": "edge-2"}]
    inside = {"type": "distributed-edge", "models": [far], "nodes": nodes}
    path = folder / "fl.yaml"
    path.write_text(json.dumps({"metadata": {"name": "fl"}, "deployment": inside}))
    return dict(compile_files([str(path)], environment={}).blueprint.as_json())


async def test_a_key_that_lacks_keeps_nobody_else_from_answering(tmp_path: Path) -> None:
    """Nor where the node knew the agent before as one of another node; an agent that answers here is not taken away."""
    wanted = manifest(tmp_path, clerk=RULED, far=KEYLESS)
    held = {name: Held(name, "", exclusive=False) for name in ("clerk", "far")}
    async with life(tmp_path) as planes:
        worker = EngineWorker("fl", "edge-1", planes.reconciler, planes.engines)
        await worker.hold({}, wanted, 1)
        await worker.hold(held, wanted, 1)
        assert (await asked(planes, "fl", "hours?", agent="clerk")).text == "Nine to six."
        failed = await asked(planes, "fl", "weather?", agent="far")
        assert failed.error is not None and "NO_SUCH_KEY_HERE is not set" in failed.error["cure"]
        with pytest.raises(DeployError, match=r"agent\.clerk would have nothing to answer with"):
            await worker.hold(held, manifest(tmp_path, clerk=KEYLESS, far=KEYLESS), 2)
        assert (await asked(planes, "fl", "hours?", agent="clerk")).text == "Nine to six."
