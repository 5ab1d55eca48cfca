"""A server in an environment of its own: installed once by pinned versions, started, asked, and ended with us."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from scripts.build_llama_server import cache_folder
from tests.real.llama import DIES_WITH_US, free_port

INSTALL_WITHIN = 1800.0


def environment(name: str, packages: Sequence[str], unwanted: Sequence[str] = ()) -> Path:
    """The folder of programs of a virtual environment with these packages; made where it is not there yet."""
    folder = cache_folder() / f"servers-{name}"
    if not (folder / "done").exists():
        _run([sys.executable, "-m", "venv", "--clear", str(folder)])
        pip = [str(folder / "bin" / "python"), "-m", "pip"]
        _run([*pip, "install", "--quiet", *packages])
        if unwanted:
            _run([*pip, "uninstall", "--quiet", "--yes", *unwanted])
        (folder / "done").touch()
    return folder / "bin"


def _run(command: Sequence[str]) -> None:
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=INSTALL_WITHIN)
    if ended.returncode:
        pytest.fail(f"{' '.join(command)}:\n{ended.stderr[-3000:]}")


@contextmanager
def running(
    command: Sequence[str], variables: Mapping[str, str], log: Path, within: float, path: str = "/v1/models"
) -> Iterator[str]:
    """A server that answers ``path``; ``{port}`` in the command is its port. Gives its address."""
    port = free_port()
    words = [word.replace("{port}", str(port)) for word in command]
    with log.open("w") as output:
        shell = ["/bin/sh", "-c", DIES_WITH_US, "sh", *words]
        process = subprocess.Popen(
            shell,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **variables},
            start_new_session=True,
        )
    try:
        _wait(f"http://127.0.0.1:{port}{path}", process, log, within)
        yield f"http://127.0.0.1:{port}"
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert process.stdin is not None
        process.stdin.close()


def _wait(url: str, process: subprocess.Popen[bytes], log: Path, within: float) -> None:
    deadline = time.monotonic() + within
    while process.poll() is None and time.monotonic() < deadline:
        try:
            with urlopen(url, timeout=5) as answer:
                if answer.status == 200:
                    return
        except (URLError, OSError):
            time.sleep(0.2)
    pytest.fail(f"the server did not answer within {within:g} s:\n{log.read_text(errors='replace')[-4000:]}")
