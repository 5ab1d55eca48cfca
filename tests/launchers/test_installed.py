"""Which programs are found, and what they say of themselves: by real programs that are scripts."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path

import psutil
import pytest

from orchestrator.app.catalog import load
from orchestrator.app.launchers import Launchers
from orchestrator.core.errors import DeployError
from orchestrator.plugins.launchers.installed import Entry, Installed, options_in
from orchestrator.ports.environment import passed_environment
from orchestrator.ports.lifecycle import Binary, LaunchOrder
from tests.launchers.programs import put

HELP = """\
usage: server [-h] [--host HOST] [--gone GONE]

-m,    --model FNAME                    model path to load (default: see --hf-repo)
-ngl,  --gpu-layers, --n-gpu-layers N   layers on the GPU, no longer than needed
--draft, --draft-n, --draft-max N       the argument has been removed. use --spec-draft-n-max or
                                        --spec-ngram-mod-n-max
  --enable-prefix-caching, --no-enable-prefix-caching
                        keeps what prompts have in common
  --rest_port arg       a port

Environment Variables:
      OLLAMA_HOST                IP Address for the ollama server
"""


def test_options_are_read_from_help_without_those_that_are_gone() -> None:
    """Names of an option stand before its description; what is listed only to say that it was removed is none."""
    found = options_in(HELP)
    assert {"--model", "-ngl", "--n-gpu-layers", "--no-enable-prefix-caching", "--rest_port", "OLLAMA_HOST"} <= found
    assert not {"--draft-max", "--spec-ngram-mod-n-max", "--draft"} & found


def test_a_program_is_asked_once_until_it_changes(tmp_path: Path) -> None:
    """Also by the next process: what it said is kept in a file, by path and time of change."""
    asked = tmp_path / "asked"
    program = put(tmp_path / "bin", "server", f'echo x >> {asked}; echo "server 1.2.3"; echo "  --port N"')
    cache = tmp_path / "state" / "programs.json"
    entries = [Entry("server")]
    binary = Installed(cache).find(entries, [tmp_path / "bin"])
    assert binary is not None
    assert (binary.version, "--port" in binary.options) == ("1.2.3", True)
    assert Installed(cache).find(entries, [tmp_path / "bin"]) == binary
    assert asked.read_text().count("x") == 2  # for its help and for its version
    put(tmp_path / "bin", "server", 'echo "server 2.0"; echo "  --port N"; echo "  --new N"')
    os.utime(program, (1, 1))
    newer = Installed(cache).find(entries, [tmp_path / "bin"])
    assert newer is not None and newer.version == "2.0" and "--new" in newer.options


def test_the_folders_of_the_memory_are_its_users_alone(tmp_path: Path) -> None:
    """A plan may be the first that writes into a new state, and a runtime refuses one that others may enter."""
    put(tmp_path, "server", 'echo "  --port N"')
    before = os.umask(0o022)
    try:
        Installed(tmp_path / "state" / "in-process" / "programs.json").find([Entry("server")], [tmp_path])
    finally:
        os.umask(before)
    assert [path.stat().st_mode & 0o777 for path in (tmp_path / "state", tmp_path / "state" / "in-process")] == [
        0o700
    ] * 2


def test_a_broken_memory_is_only_a_memory(tmp_path: Path) -> None:
    """A file that cannot be read means that programs are asked again."""
    put(tmp_path, "server", 'echo "  --port N"')
    cache = tmp_path / "programs.json"
    for text in ("[1]", "{", '{"' + str(tmp_path / "server") + '": 7}'):
        cache.write_text(text)
        binary = Installed(cache).find([Entry("server")], [tmp_path])
        assert binary is not None and binary.options


def test_a_disk_that_takes_no_memory_keeps_nothing_from_starting(tmp_path: Path) -> None:
    """The program is only asked again next time."""
    put(tmp_path, "server", 'echo "  --port N"')
    (tmp_path / "file").write_text("")
    binary = Installed(tmp_path / "file" / "programs.json").find([Entry("server")], [tmp_path])
    assert binary is not None and binary.options == {"--port"}


def test_a_program_that_does_not_answer_has_its_time_and_is_not_asked_again_for_a_while(tmp_path: Path) -> None:
    """With all that its script began: once by this process and the next, whatever number of ways there are to ask it."""
    asked = tmp_path / "asked"
    put(tmp_path / "bin", "server", f"echo $$ >> {asked}; sleep 1000")
    cache, entries = tmp_path / "programs.json", [Entry("server", help=("--all",)), Entry("server", ("serve",))]
    began = time.monotonic()
    binary = Installed(cache).find(entries, [tmp_path / "bin"], patience=0.3)
    assert time.monotonic() - began < 5
    assert binary is not None and (binary.options, binary.version) == (frozenset(), "")
    assert binary.trouble == "it did not answer --all within 0.3 s"
    assert Installed(cache).find(entries, [tmp_path / "bin"], patience=0.3) == binary
    (number,) = asked.read_text().split()
    killed = [each for each in psutil.process_iter() if _lives_in(each, int(number))]
    psutil.wait_procs(killed, 0.5)  # the signal was sent, and may not have arrived
    assert [each for each in killed if _lives_in(each, int(number))] == []
    known = json.loads(cache.read_text())
    cache.write_text(json.dumps({key: each | {"silent": 1.0} for key, each in known.items()}))
    Installed(cache).find(entries, [tmp_path / "bin"], patience=0.3)
    assert len(asked.read_text().split()) == 2


def _lives_in(process: psutil.Process, session: int) -> bool:
    try:
        return os.getsid(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE
    except (OSError, psutil.Error):
        return False


def test_who_leaves_does_not_wait_for_a_program(tmp_path: Path) -> None:
    """It is ended at once, and nothing is remembered of it."""
    put(tmp_path, "server", f"touch {tmp_path / 'asked'}; sleep 1000")
    installed = Installed(tmp_path / "programs.json")
    found: list[Binary | None] = []
    asking = threading.Thread(target=lambda: found.append(installed.find([Entry("server")], [tmp_path], 100)))
    asking.start()
    while not (tmp_path / "asked").exists():
        asking.join(0.01)
    installed.leave()
    asking.join(10)
    assert not asking.is_alive() and found[0] is not None
    assert not (tmp_path / "programs.json").exists()


def test_the_first_way_that_works_is_taken(tmp_path: Path) -> None:
    """Where the command of vLLM is broken, its module is called by the Python beside it."""
    put(tmp_path, "vllm", "echo PackageNotFoundError >&2; exit 1")
    put(tmp_path, "python", '[ "$2" = vllm.entrypoints.openai.api_server ] && echo "  --model MODEL" || exit 1')
    binary = load("launcher", "vllm")(None).find([tmp_path])
    assert binary.argv == (str(tmp_path / "python"), "-m", "vllm.entrypoints.openai.api_server")
    launch = load("launcher", "vllm")(None).command(binary, LaunchOrder("org/model", "a", port=1))
    assert launch.argv[3:5] == ("--model", "org/model")


def test_a_program_that_is_not_there_is_told_with_the_line_that_installs_it(tmp_path: Path) -> None:
    """For this system."""
    launchers = Launchers(None, {"PATH": str(tmp_path)})
    with pytest.raises(DeployError, match="ovms is not installed") as raised:
        launchers.launch("openvino", LaunchOrder("OpenVINO/x", "a"))
    assert raised.value.code == "ORC418"
    assert raised.value.cure == "put ovms of https://github.com/openvinotoolkit/model_server/releases on the PATH"


def test_a_server_gets_no_secrets_and_no_options_by_the_environment() -> None:
    """Only what it needs to run; llama-server would take ``LLAMA_ARG_…`` as options that nobody wrote."""
    ours = {
        "PATH": "/bin",
        "HOME": "/h",
        "OPENAI_API_KEY": "k",
        "LLAMA_ARG_HOST": "::",
        "CUDA_VISIBLE_DEVICES": "0",
    }
    assert passed_environment(ours) == {"PATH": "/bin", "HOME": "/h", "CUDA_VISIBLE_DEVICES": "0"}


def test_a_program_that_is_asked_for_its_options_gets_no_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The runtime has secrets of its file in its environment: they go to no program, as they go to no server."""
    monkeypatch.setenv("SHOP_KEY", "sk-of-the-shop")
    monkeypatch.setenv("LLAMA_ARG_HOST", "::")
    monkeypatch.setenv("HF_TOKEN", "hf_of-the-shop")  # a server fetches models by it
    put(tmp_path, "server", f'env >> {tmp_path / "seen"}; echo "  --port N"')
    Installed(None).find([Entry("server")], [tmp_path])
    seen = (tmp_path / "seen").read_text()
    assert "HF_HUB_OFFLINE=1" in seen
    assert not {name for name in ("SHOP_KEY", "sk-of-the-shop", "LLAMA_ARG_HOST", "HF_TOKEN") if name in seen}


def test_a_program_that_fails_is_told_with_what_it_said_and_asked_again_soon(tmp_path: Path) -> None:
    """What it lacks may be brought while its own file stays the same."""
    put(tmp_path, "server", f"[ -e {tmp_path}/lib ] && echo '  --port N' || {{ echo 'no lib' >&2; exit 127; }}")
    cache = tmp_path / "programs.json"
    binary = Installed(cache).find([Entry("server")], [tmp_path])
    assert binary is not None and (binary.options, binary.trouble) == (frozenset(), "it ended with code 127: no lib")
    (tmp_path / "lib").touch()
    assert Installed(cache).find([Entry("server")], [tmp_path]) == binary
    known = json.loads(cache.read_text())
    cache.write_text(json.dumps({key: each | {"failed": 1.0} for key, each in known.items()}))
    mended = Installed(cache).find([Entry("server")], [tmp_path])
    assert mended is not None and (mended.options, mended.trouble) == (frozenset({"--port"}), "")
