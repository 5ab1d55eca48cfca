"""Two real llama-servers of which one fits: they take turns, also after the runtime was killed in the middle of a swap."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from contextlib import suppress
from typing import Any

import psutil

from tests.cli.commands import command
from tests.real.test_started_server import Owner, owner
from tests.runtime.living import eventually

__all__ = ["owner"]

MANIFEST = """\
metadata: {name: clerk}
deployment:
  type: single-device
  resources: {max_memory_usage: 700MB}
  models:
    - {alias: one, provider: llama-cpp, memory: 500MB, server: {path: tiny.gguf, threads: 1, context_length: 1024}}
    - {alias: two, provider: llama-cpp, memory: 400MB, server: {path: tiny.gguf, threads: 1, context_length: 1024}}
  agents:
    - {name: first, description: Talks., instructions: You talk., model: one, max_tokens: 12}
    - {name: second, description: Talks too., instructions: You talk., model: two, max_tokens: 12}
"""


def states(user: Owner) -> dict[str, str]:
    """Of each server, by its alias."""
    return {each["alias"]: each["state"] for each in user.status()["servers"]}


def asks(user: Owner, agent: str) -> dict[str, Any]:
    """The one model step of an answer."""
    result = json.loads(user.types("run", "clerk", "hello", "--agent", agent, "--json").out)
    assert result["status"] == "completed", result
    (call,) = [step for step in result["steps"] if step["kind"] == "model"]
    found: dict[str, Any] = call["detail"]
    return found


def killed_in_mid_swap(user: Owner) -> None:
    """A request for the one at rest is on its way; the runtime dies when the other server is gone, or on its way out."""
    (old,) = user.home_servers()
    runtime = json.loads(user.types("status", "--json").out)["runtime"]["pid"]
    asked = subprocess.Popen(
        command("run", "clerk", "hello", "--agent", "second"),
        env={**os.environ, **user.environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    eventually(lambda: not old.is_running() or old.status() == psutil.STATUS_ZOMBIE, 30)
    os.kill(runtime, signal.SIGKILL)
    asked.wait(30)


def test_two_servers_take_turns_whatever_happens_to_the_runtime(owner: Owner) -> None:
    """The plan says so; each shows a token as it is applied; a question for the one at rest has the other end first, and says
    what it waited; after a kill -9 in mid-swap no more run than fit, and both answer."""
    manifest = owner.home.path / "clerk.yaml"
    manifest.write_text(MANIFEST)
    planned = owner.types("plan", str(manifest)).out
    assert "one: takes turns with two: 500 MB + 400 MB of 620 MB (max_memory_usage 700 MB" in planned
    owner.types("apply", str(manifest))
    assert states(owner) == {"one": "ready", "two": "resting"}
    assert len(owner.home_servers()) == 1
    assert "load_ms" not in asks(owner, "first")
    assert asks(owner, "second")["load_ms"] > 0
    assert (states(owner), len(owner.home_servers())) == ({"one": "resting", "two": "ready"}, 1)
    assert "nothing to do" in owner.types("apply", str(manifest)).err
    assert asks(owner, "first")["load_ms"] > 0

    killed_in_mid_swap(owner)
    owner.types("runtime", "start")
    most: list[int] = []

    def settled() -> bool:
        done = sorted(states(owner).values()) == ["ready", "resting"]
        with suppress(psutil.Error):
            most.append(len(owner.home_servers()))
        return done

    eventually(settled, 30)
    assert max(most) == 1
    for agent in ("second", "first", "second"):
        asks(owner, agent)
    assert len(owner.home_servers()) == 1
    owner.types("down", "clerk")
    assert owner.home_servers() == []
