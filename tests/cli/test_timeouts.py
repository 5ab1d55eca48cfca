"""``--timeout`` of verbs that wait until something is ready: it ends the waiting whatever takes the time."""

from __future__ import annotations

from pathlib import Path

from orchestrator.testing.lifecycle.store import stored
from tests.cli.commands import apart
from tests.cli.serving import served
from tests.cli.shop import QWEN
from tests.runtime.living import eventually

DESK = """\
deployment:
  type: single-device
  models: [{{alias: qwen2.5-0.5b, provider: ollama, quantization: q4_k_m, endpoint: "{url}"}}]
  agents: [{{name: clerk, instructions: Be brief., reflex: [{{when: {{keywords: [hello]}}, say: hi}}]}}]
"""
SHOP = """\
deployment:
  type: single-device
  tools: [{name: mine, python: 'slow:f'}]
  agents: [{name: a, tools: [mine], reflex: [{call: mine.f, say: '{{ result }}'}]}]
"""
CODE = """\
import pathlib, time

while pathlib.Path(__file__).with_name("wait").exists():
    time.sleep(0.01)


def f() -> str:
    return "{says}"
"""


def test_a_pull_counts_too(home: Path, tmp_path: Path) -> None:
    """It is left as by Ctrl-C, and nothing is applied: the same command goes on from there."""
    file = tmp_path / "desk.yaml"
    store = stored([], [QWEN])
    store.pull_rate = 1_000_000  # minutes
    try:
        with served(store) as url:
            file.write_text(DESK.format(url=url))
            applied = apart("apply", str(file), "--timeout", "1s", environment={"ORCHESTRATOR_SERVERS": url})
        assert applied.code == 4
        assert "left" in applied.err and "what had come is kept, the same command goes on from there" in applied.err
        assert "error[ORC410]: desk is not ready after 1 s: the models that it lacks are not there" in applied.err
        assert "cure: apply again with a longer --timeout, or with --no-pull" in applied.err
        assert "no deployment" in apart("status").out
    finally:
        assert apart("runtime", "stop").code == 0


def test_a_rollback_can_be_left(home: Path, tmp_path: Path) -> None:
    """The runtime goes on with it."""
    file, code, wait = tmp_path / "shop.yaml", tmp_path / "slow.py", tmp_path / "wait"
    file.write_text(SHOP)
    code.write_text(CODE.format(says="first"))
    try:
        assert apart("apply", str(file)).code == 0
        file.write_text(SHOP.replace("tools: [mine]", "tools: [mine], description: other"))
        code.write_text(CODE.format(says="second"))
        assert apart("apply", str(file)).code == 0
        code.write_text(CODE.format(says="third"))
        wait.touch()
        left = apart("rollback", "shop", "--timeout", "500ms")
        assert left.code == 4
        assert "the runtime did not finish in 0.5 s; it goes on" in left.err
        wait.unlink()
        eventually(lambda: apart("run", "shop", "hi").out == "third\n")
    finally:
        wait.unlink(missing_ok=True)
        assert apart("runtime", "stop").code == 0
