"""A router with ``several`` from the manifest to the reply: in this process, by the command, and by the Python API."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

import orchestrator

PROGRAM = Path(sys.executable).with_name("orchestrator")
MANIFEST = """
metadata: {name: shop}
deployment:
  type: single-device
  agents:
    - name: front
      role: router
      several: true
      stages: [keyword, lexical]
      default: hours
      routes: [hours, calls]
    - name: hours
      keywords: [open, hours]
      reflex: [{say: Nine to six.}]
    - name: calls
      keywords: [callback, call me]
      reflex: [{say: 'We call: {{ text }}'}]
"""
ASKED = "a callback, and when do you open?"
REPLY = "calls:\nWe call: a callback\n\nhours:\nNine to six."

pytestmark = pytest.mark.anyio


@pytest.fixture
def manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ORCHESTRATOR_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("ORCHESTRATOR_SERVERS", "")
    file = tmp_path / "shop.yaml"
    file.write_text(MANIFEST)
    return file


@pytest.fixture
def applied(manifest: Path) -> Iterator[str]:
    subprocess.run([PROGRAM, "apply", str(manifest)], check=True, capture_output=True, env=os.environ)
    yield "shop"
    subprocess.run([PROGRAM, "runtime", "stop"], check=True, capture_output=True, env=os.environ)


async def test_in_this_process(manifest: Path) -> None:
    async with orchestrator.open(manifest) as shop:
        result = await shop.run(ASKED)
        alone = await shop.run("a callback please")
    assert (result.text, result.agent) == (REPLY, "calls, hours")
    assert (alone.agent, alone.parts) == ("calls", ())


async def test_through_the_runtime(applied: str) -> None:
    """The command and ``connect`` give the same result, whole and in pieces, and the history has it."""
    async with orchestrator.connect(applied) as shop:
        result = await shop.run(ASKED)
        events = [event async for event in shop.stream(ASKED)]
    told = await anyio.run_process([str(PROGRAM), "run", applied, ASKED, "--json"])
    story = await anyio.run_process([str(PROGRAM), "explain", "run", result.id])
    assert [(part.agent, part.asked, part.text) for part in result.parts] == [
        ("calls", "a callback", "We call: a callback"),
        ("hours", "when do you open?", "Nine to six."),
    ]
    assert "".join(event.fields["text"] for event in events if event.kind == "run.delta") == REPLY == result.text
    assert [part["agent"] for part in json.loads(told.stdout)["parts"]] == ["calls", "hours"]
    assert "router.front -> agent.calls -> agent.hours" in story.stdout.decode()
