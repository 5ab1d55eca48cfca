"""At a terminal: live progress, a question before a removal, streamed answers, Ctrl-C and Ctrl-D."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.commands import apart, command
from tests.cli.keyboard import CTRL_C, CTRL_D, UP, Keyboard

TALE = "once upon a time " * 200
SHOP = """\
metadata: {{name: shop}}
deployment:
  type: single-device
  models: [{{alias: teller, provider: openai-compatible, model: teller, endpoint: "{url}"}}]
  agents:
    - {{name: greeter, description: Says hello., examples: [hello there], reflex: [{{say: 'Hello!'}}]}}
    - {{name: teller, description: Tells tales., examples: [tell me a tale], model: teller, instructions: Tell it.}}
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """A model server that says little to most, and takes its time over a tale."""
    script = tmp_path / "script.yaml"
    script.write_text(json.dumps({"rules": [{"match": "tale", "say": TALE}], "default": "echo"}))
    argv = ["simulate-endpoint", "--model", "teller", "--tps", "40", "--script", str(script)]
    argv += ["--log", str(tmp_path / "server.log")]
    with subprocess.Popen(command(*argv), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.terminate()


@pytest.fixture
def shop(tmp_path: Path, home: Path, server: str) -> Iterator[Path]:
    """A manifest that uses the server; afterwards no runtime is left."""
    path = tmp_path / "shop.yaml"
    path.write_text(SHOP.format(url=server))
    yield path
    assert apart("runtime", "stop", "--drain", "1s").code == 0


def _outcomes(log: Path) -> list[str]:
    return [json.loads(line)["outcome"] for line in log.read_text().splitlines()]


def _wait_for_outcome(log: Path, outcome: str) -> None:
    end = time.monotonic() + 20
    while outcome not in _outcomes(log):
        assert time.monotonic() < end, _outcomes(log)
        time.sleep(0.02)


def test_a_conversation_at_a_terminal(shop: Path, tmp_path: Path) -> None:
    """Answers are streamed; Ctrl-C ends one, here and at the model server; the next is answered; Ctrl-D ends it all."""
    assert apart("apply", str(shop)).code == 0
    with Keyboard(command("chat", "shop"), os.environ) as keyboard:
        keyboard.see("shop: write a request; /help shows more, Ctrl-D ends")
        keyboard.see("\n> ")
        keyboard.press("hello there\n")
        keyboard.see("Hello!")
        keyboard.see("[router.router -> agent.greeter · reflex · ")
        keyboard.see("\n> ")
        keyboard.press("tell me a tale\n")
        keyboard.see("once upon a time once upon")
        keyboard.press(CTRL_C)
        keyboard.see("(cancelled)")
        _wait_for_outcome(tmp_path / "server.log", "cancelled")
        keyboard.see("\n> ")
        keyboard.press("/why\n")
        keyboard.see("router: ")
        keyboard.see("\n> ")
        keyboard.press("a line that is thrown away")
        keyboard.see("thrown away")
        keyboard.press(CTRL_C)
        keyboard.see("\n> ")
        keyboard.press(UP + UP + "\n")  # line editing: the line before the last, again
        keyboard.see("once upon a time once upon")
        keyboard.press(CTRL_C)
        keyboard.see("(cancelled)")
        keyboard.see("\n> ")
        keyboard.press(CTRL_D)
        assert keyboard.end() == 0


def test_an_answer_is_streamed_and_can_be_cancelled(shop: Path, tmp_path: Path) -> None:
    """``run`` writes each piece as it comes; Ctrl-C ends with 130 and frees the model server."""
    assert apart("apply", str(shop)).code == 0
    with Keyboard(command("run", "shop", "tell me a tale"), os.environ) as keyboard:
        keyboard.see("once upon a time once upon")
        keyboard.press(CTRL_C)
        keyboard.see("interrupted")
        assert keyboard.end() == 130
    _wait_for_outcome(tmp_path / "server.log", "cancelled")


def test_apply_shows_its_progress_and_asks_before_it_removes(shop: Path) -> None:
    """Live lines on a terminal; a no leaves everything as it is, a yes goes on."""
    with Keyboard(command("apply", str(shop)), os.environ) as keyboard:
        keyboard.see("started the background runtime")
        keyboard.see("✓ + deployment.shop")
        keyboard.see("shop runs, revision 1")
        assert keyboard.end() == 0
        assert "\x1b[" in keyboard.shown
    shop.write_text(shop.read_text().rpartition("    - {name: teller")[0].replace("models:", "x-models:"))
    for answer, code in (("n\n", 3), ("y\n", 0)):
        with Keyboard(command("apply", str(shop)), os.environ) as keyboard:
            keyboard.see("Go on? [y/N] ")
            keyboard.press(answer)
            keyboard.see("error[ORC401]" if code else "shop runs, revision 2")
            assert keyboard.end() == code


def test_no_color_redraws_nothing(shop: Path) -> None:
    """``--no-color`` and NO_COLOR make plain lines at a terminal too."""
    for words, environment in ((("--no-color",), {}), ((), {"NO_COLOR": "1"})):
        with Keyboard(command("apply", str(shop), *words), {**os.environ, **environment}) as keyboard:
            keyboard.see("shop runs, revision 1")
            assert keyboard.end() == 0
            assert "\x1b[" not in keyboard.shown


def test_the_status_can_be_watched(shop: Path) -> None:
    """It is shown again and again until Ctrl-C."""
    assert apart("apply", str(shop)).code == 0
    with Keyboard(command("status", "--watch"), os.environ) as keyboard:
        keyboard.see("DEPLOYMENT")
        keyboard.see("DEPLOYMENT")
        keyboard.press(CTRL_C)
        assert keyboard.end() == 130


def test_the_doctor_says_what_serves_what(shop: Path, server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server, the models of the manifest, and who answers; a model that nobody serves gets the line to type."""
    ran = apart("doctor", str(shop))
    assert ran.code == 0, ran.err
    address = server.removeprefix("http://")
    assert f"openai-compatible at {server}: teller" in ran.out
    assert f"  teller  ?  openai-compatible at {address}\n" in ran.out
    assert f"  agent.teller   teller (openai-compatible at {address})\n" in ran.out
    monkeypatch.setenv("ORCHESTRATOR_SERVERS", server)
    whole = json.loads(apart("doctor", "--json").out)
    assert whole["runtime"] is None and whole["machine"]["cpus"] >= 1
    phi = next(model for model in whole["models"] if model["alias"] == "phi-4-mini")
    assert phi["endpoints"] == [] and phi["cure"]
