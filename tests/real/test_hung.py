"""A real server that is stopped in the middle of everything, and callers who wait for less than a stall needs to count."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import anyio
import pytest

from orchestrator.app.compile import compile_files
from orchestrator.app.settings import Settings
from orchestrator.app.wiring import open_in_process
from orchestrator.core.request import Request, Result
from tests.real.llama import LlamaServers
from tests.real.serving import QUIET
from tests.real.tiny_model import CHATTY

pytestmark = pytest.mark.anyio

MANIFEST = """
metadata: {name: desk}
deployment:
  type: single-device
  models:
    - {alias: first, provider: llama-cpp, model: first, endpoint: "FIRST", fallback: [second]}
    - {alias: second, provider: llama-cpp, model: second, endpoint: "SECOND"}
  agents:
    - {name: clerk, model: first, instructions: You talk., max_tokens: 8, timeout: 1500ms}
"""


async def test_a_stopped_server_is_found_out_though_every_caller_gives_up_early(
    llama_server: LlamaServers, tmp_path: Path
) -> None:
    """SIGSTOP: its connections stay open and nothing comes. A stall counts after 4 s here and each caller waits for 1.5 s: some are
    lost, then the fallback answers, at once; and the server is used again after SIGCONT."""
    first, second = llama_server(CHATTY, alias="first"), llama_server(CHATTY, alias="second")
    path = tmp_path / "desk.yaml"
    path.write_text(MANIFEST.replace("FIRST", first.url).replace("SECOND", second.url), encoding="utf-8")
    blueprint = compile_files([str(path)], environment={}).blueprint
    settings = Settings.read({**QUIET, "ORCHESTRATOR_STALL_AFTER": "4s"})
    async with open_in_process(blueprint, state=tmp_path / "state", settings=settings) as desk:

        async def served_by() -> str:
            result: Result = await desk.run(Request("hello", agent="clerk"))
            return result.served_by or (result.error or {}).get("kind", "")

        def states() -> dict[str, str]:
            return {view.id: view.state for view in desk.planes.loop.snapshot()}

        well = await served_by()
        assert states()[well] == "ready"
        os.kill(first.process.pid, signal.SIGSTOP)
        try:
            told = [await served_by() for _ in range(12)]
            lost = [each for each in told if each == "DeadlinePassed"]
            assert 1 <= len(lost) <= 3, told
            assert set(told[len(lost) :]) <= {*states()} - {well}, told
            with anyio.fail_after(15):
                while states()[well] != "stalled":  # noqa: ASYNC110 - looks at what a server does give no event to wait for
                    await anyio.sleep(0.05)  # what changes is another process
        finally:
            os.kill(first.process.pid, signal.SIGCONT)
        with anyio.fail_after(60):
            while await served_by() != well:  # noqa: ASYNC110 - another process gives no sign
                await anyio.sleep(0.2)  # until its rest is over
