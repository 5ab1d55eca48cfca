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
from tests.policy.lives import applied, asked, life
from tests.policy.shop import alone

__all__ = ["alone"]
pytestmark = pytest.mark.anyio
RULED: dict[str, Any] = {"reflex": [{"say": "Nine to six."}]}
UNSERVED: dict[str, Any] = {"model": "far", "instructions": "Answer."}
KEYLESS: dict[str, Any] = {"alias": "far", "provider": "openai", "model": "m", "api_key": "env:NO_SUCH_KEY_HERE"}
UNSTARTED: dict[str, Any] = {"alias": "far", "provider": "llama-cpp", "server": {"path": "no-such-file.gguf"}}


def manifest(folder: Path, model: dict[str, Any] = KEYLESS, **agents: dict[str, Any]) -> dict[str, Any]:
    """A fleet of two, all of whose agents are on ``edge-1``, where its model is not served."""
    nodes = [{"id": "edge-1", "agents": [{"name": name, **spec} for name, spec in agents.items()]}, {"id": "edge-2"}]
    inside = {"type": "distributed-edge", "models": [model], "nodes": nodes}
    path = folder / "fl.yaml"
    path.write_text(json.dumps({"metadata": {"name": "fl"}, "deployment": inside}))
    return dict(compile_files([str(path)], environment={}).blueprint.as_json())


@pytest.mark.parametrize(("model", "cure"), [(KEYLESS, "NO_SUCH_KEY_HERE is not set"), (UNSTARTED, "mend `path`")])
async def test_a_model_that_lacks_keeps_nobody_else_from_answering(
    tmp_path: Path, model: dict[str, Any], cure: str
) -> None:
    """Nor where the node knew the agent before as one of another node; an agent that answers here is not taken away."""
    wanted = manifest(tmp_path, model, clerk=RULED, far=UNSERVED)
    held = {name: Held(name, "", exclusive=False) for name in ("clerk", "far")}
    async with life(tmp_path) as planes:
        worker = EngineWorker("fl", "edge-1", planes.reconciler, planes.engines)
        await worker.hold({}, wanted, 1)
        await worker.hold(held, wanted, 1)
        assert (await asked(planes, "fl", "hours?", agent="clerk")).text == "Nine to six."
        failed = await asked(planes, "fl", "weather?", agent="far")
        assert failed.error is not None and cure in failed.error["cure"]
        with pytest.raises(DeployError, match=r"agent\.clerk would have nothing to answer with"):
            await worker.hold(held, manifest(tmp_path, model, clerk=UNSERVED, far=UNSERVED), 2)
        assert (await asked(planes, "fl", "hours?", agent="clerk")).text == "Nine to six."


async def test_a_deployment_of_the_nodes_own_is_not_taken_for_the_fleets(tmp_path: Path) -> None:
    """Under the same name: it serves on, no other node may ask it, and the fleet is told. Once it is down, the fleet's comes."""
    wanted, held = manifest(tmp_path, clerk=RULED), {"clerk": Held("clerk", "", exclusive=False)}
    own = tmp_path / "own.yaml"
    agents = [{"name": "only", "reflex": [{"say": "Mine."}]}]
    own.write_text(json.dumps({"metadata": {"name": "fl"}, "deployment": {"type": "single-device", "agents": agents}}))
    async with life(tmp_path) as planes:
        worker = EngineWorker("fl", "edge-1", planes.reconciler, planes.engines)
        await applied(planes, own)
        with pytest.raises(DeployError, match="edge-1 has a deployment of its own that is called fl") as told:
            await worker.hold(held, wanted, 1)
        assert "orchestrator down fl, on that node" in told.value.cure
        assert (dict(worker.load().agents), worker.load().room) == ({}, 0)
        await worker.hold({}, {**wanted, "elements": []}, 2)  # the fleet's is taken down: this one is not
        assert (await asked(planes, "fl", "who?", agent="only")).text == "Mine."
        await planes.reconciler.down("fl", 1.0, lambda _: None)
        await worker.hold(held, wanted, 3)
        assert (await asked(planes, "fl", "hours?", agent="clerk")).text == "Nine to six."
        assert dict(worker.load().agents) == {"clerk": True}
