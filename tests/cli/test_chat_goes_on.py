"""A conversation outlives a line that cannot be sent, and a deployment that is away for a while."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.commands import apart, command
from tests.cli.keyboard import CTRL_D, Keyboard

SHOP = "deployment: {type: single-device, agents: [{name: a, reflex: [{say: 'you said {{ text }}'}]}]}\n"


@pytest.fixture
def shop(home: Path, tmp_path: Path) -> Iterator[str]:
    """A manifest that is applied."""
    file = tmp_path / "shop.yaml"
    file.write_text(SHOP)
    assert apart("apply", str(file)).code == 0
    yield str(file)
    assert apart("runtime", "stop").code == 0


def talked(words: bytes) -> tuple[int, list[str], str]:
    """Pipe lines into a conversation; gives its exit code, what it answered, and what it told."""
    ended = subprocess.run(command("chat", "shop"), input=words, capture_output=True, check=False, timeout=60)
    return ended.returncode, ended.stdout.decode().splitlines(), ended.stderr.decode()


def test_a_line_that_cannot_be_sent_is_told_and_the_next_one_is_answered(shop: str) -> None:
    """A byte that is no UTF-8, and a text that is too large; the exit code tells of it where nobody looks on."""
    code, answers, told = talked(b"one\nt\xe9\xe8\n" + b"x" * 1_100_000 + b"\nlast\n")
    assert answers == ["you said one", "you said last"]
    assert "error[ORC601]: the request is not UTF-8" in told
    assert told.count("error[") == 2 and code == 64
    assert talked(b"one\nlast\n") == (0, ["you said one", "you said last"], "")


def test_what_is_typed_is_in_the_encoding_of_the_terminal(shop: str) -> None:
    """Not every locale is UTF-8."""
    argv, environment = command("chat", "shop"), {**os.environ, "PYTHONIOENCODING": "latin-1"}
    ended = subprocess.run(argv, input=b"caf\xe9\n", env=environment, capture_output=True, check=False, timeout=60)
    assert (ended.returncode, ended.stdout) == (0, b"you said caf\xe9\n")


def test_a_deployment_that_comes_back_goes_on_with_the_conversation(shop: str) -> None:
    """It was taken down, and its runtime was stopped: each request says so until it is there again."""
    with Keyboard(command("chat", "shop"), os.environ) as keyboard:
        keyboard.see("\n> ")
        keyboard.press("one\n")
        keyboard.see("you said one")
        assert apart("down", "shop").code == 0
        keyboard.press("two\n")
        keyboard.see('no deployment is called "shop"')
        assert apart("runtime", "stop").code == 0
        keyboard.press("three\n")
        keyboard.see("no runtime runs")
        assert apart("apply", shop).code == 0
        keyboard.press("four\n")
        keyboard.see("you said four")
        keyboard.see("\n> ")
        keyboard.press(CTRL_D)
        assert keyboard.end() == 0


def test_input_that_is_closed_ends_it(shop: str) -> None:
    """Nothing will ever come."""
    ended = subprocess.run(
        ["/bin/sh", "-c", 'exec "$@" <&-', "sh", *command("chat", "shop")], capture_output=True, check=False
    )
    assert ended.returncode == 64 and b"standard input is closed" in ended.stderr
