"""A terminal that is closed while a runtime serves in its foreground."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

from tests.cli.commands import apart, command
from tests.cli.keyboard import Keyboard
from tests.runtime.living import eventually

SHOP = "deployment: {type: single-device, agents: [{name: a, reflex: [{say: hello}]}]}\n"


def test_a_closed_terminal_stops_the_runtime_in_its_foreground(home: Path, tmp_path: Path) -> None:
    """As SIGTERM does: requests in work finish, and nobody is told that it ended without being stopped."""
    file = tmp_path / "shop.yaml"
    file.write_text(SHOP)
    with Keyboard(command("apply", str(file), "--foreground"), os.environ) as keyboard:
        keyboard.see("a signal ends it")
        assert keyboard.hang_up() == 0
    assert '"stopped"' in (home / "state" / "logs" / "runtime.log").read_text()
    assert "without being stopped" not in apart("status").out


def test_one_that_shall_outlive_its_terminal_does(home: Path, tmp_path: Path) -> None:
    """``nohup`` has it ignore the signal."""
    file = tmp_path / "shop.yaml"
    file.write_text(SHOP)
    log = tmp_path / "log"
    with log.open("wb") as out:
        argv = ["nohup", *command("apply", str(file), "--foreground")]
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
    try:
        eventually(lambda: "a signal ends it" in log.read_text(), 30.0)
        process.send_signal(signal.SIGHUP)
        assert apart("run", "shop", "hi").out == "hello\n"
    finally:
        process.terminate()
        assert process.wait(20) == 0
