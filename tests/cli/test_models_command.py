"""`models command`: what would be run, for a manifest and for an alias, as whole texts."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import get_args

import pytest

from orchestrator.cli.models_command import SCENARIOS
from orchestrator.ports.lifecycle import Scenario
from tests.cli.commands import golden, here
from tests.launchers.programs import put

NOTHING = {"PATH": "/nowhere"}
MANIFEST = """\
deployment:
  type: single-device
  models:
    - {alias: phi-4-mini, provider: vllm, max_concurrent: 8, server: {scenario: staging, guided_decoding_backend: xgrammar}}
    - {alias: qwen2.5-0.5b, provider: ollama, server: {context_length: 2048, port: 11500}}
    - {alias: phi-3.5-mini}
  agents: [customer-service]
"""


PORTS = {"phi-4-mini": "", "phi-3.5-mini": "port: 8001", "qwen2.5-0.5b": ""}


@pytest.fixture(autouse=True)
def nothing_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither on the path nor beside this Python."""
    monkeypatch.setattr("sys.executable", "/nowhere/python")


def anywhere(text: str) -> str:
    """Without the lines that install a program, which differ between systems, and the folder of this test."""
    lines = "".join(line for line in text.splitlines(keepends=True) if "is not installed" not in line)
    return re.sub(r"/\S*/state/", "STATE/", lines)


def test_the_servers_of_a_manifest_are_shown(tmp_path: Path) -> None:
    """Every model that has one, with what the manifest says elsewhere of its model; the others have none."""
    file = tmp_path / "shop.yaml"
    file.write_text(MANIFEST)
    ran = here("models", "command", str(file), environment=NOTHING)
    assert (ran.code, ran.err) == (0, "")
    assert anywhere(ran.out) == golden("models/command-manifest.txt", anywhere(ran.out))
    other = here("models", "command", str(file), "--scenario", "development", "--provider", "vllm", environment=NOTHING)
    assert "--max-model-len 2048" in other.out and "ollama" not in other.out


def test_each_server_without_a_port_is_shown_with_another_one(tmp_path: Path) -> None:
    """Beginning at the one that is asked for, and none that the manifest writes for another server."""
    file = tmp_path / "shop.yaml"
    rows = [f"{{alias: {name}, provider: vllm, server: {{{port}}}}}" for name, port in PORTS.items()]
    file.write_text(f"deployment: {{type: single-device, models: [{', '.join(rows)}], agents: [customer-service]}}")
    shown = [here("models", "command", str(file), *more, environment=NOTHING).out for more in ([], ["--port", "9000"])]
    assert [re.findall(r"--port (\d+)", each) for each in shown] == [["8000", "8001", "8002"], ["9000", "8001", "9001"]]


def test_of_a_folder_of_builds_the_one_that_would_be_started_is_shown(tmp_path: Path) -> None:
    """The most faithful that fits this device; both are a few bytes here."""
    folder = tmp_path / "builds"
    folder.mkdir()
    for name in ("phi-4-mini-Q4_K_M.gguf", "phi-4-mini-Q8_0.gguf"):
        (folder / name).write_bytes(b"GGUF")
    file = tmp_path / "shop.yaml"
    model = "{alias: phi-4-mini, provider: llama-cpp, context_length: 512, server: {path: builds}}"
    file.write_text(f"deployment: {{type: single-device, models: [{model}], agents: [customer-service]}}")
    ran = here("models", "command", str(file), environment=NOTHING)
    assert (ran.code, f"--model {folder / 'phi-4-mini-Q8_0.gguf'} " in ran.out) == (0, True)


def test_of_a_folder_without_the_build_that_is_named_no_command_is_shown(tmp_path: Path) -> None:
    """As the plan starts none: another build is not what the manifest says."""
    folder = tmp_path / "builds"
    folder.mkdir()
    for name in ("phi-4-mini-F16.gguf", "phi-4-mini-Q4_K_M.gguf"):
        (folder / name).write_bytes(b"GGUF")
    file = tmp_path / "shop.yaml"
    model = "{alias: phi-4-mini, provider: llama-cpp, quantization: q5_k_m, server: {path: builds}}"
    file.write_text(f"deployment: {{type: single-device, models: [{model}], agents: [customer-service]}}")
    ran = here("models", "command", str(file), environment=NOTHING)
    assert (ran.code, "--model" in ran.out) == (3, False)
    assert "phi-4-mini is wanted as q5_k_m, and the files of its server are f16, q4_k_m" in ran.err


def test_a_file_that_is_not_there_is_told_beside_the_command(tmp_path: Path) -> None:
    """Of a manifest and of an alias: the file may come."""
    file = tmp_path / "shop.yaml"
    model = "{alias: phi-4-mini, provider: llama-cpp, server: {path: a.gguf}}"
    file.write_text(f"deployment: {{type: single-device, models: [{model}], agents: [customer-service]}}")
    for words in ([str(file)], ["phi-4-mini", "--provider", "llama-cpp", "--path", str(tmp_path / "a.gguf")]):
        ran = here("models", "command", *words, environment=NOTHING)
        assert (ran.code, "--model" in ran.out) == (0, True)
        assert f"# it would not be started now: there is no file {tmp_path / 'a.gguf'}" in ran.out
        assert "--no-webui" not in ran.out, "of a new version, which this is for, the options have new names"


def test_what_an_alias_lacks_is_asked_for_as_an_option() -> None:
    """There is no manifest to write it in; and a port is a port."""
    ran = here("models", "command", "phi-4-mini", "--provider", "llama-cpp", environment=NOTHING)
    assert (ran.code, "cure: name the file of a build: --path FILE.gguf" in ran.err) == (3, True)
    ran = here("models", "command", "phi-4-mini", "--port", "99999", environment=NOTHING)
    assert (ran.code, "--port 99999 is no port" in ran.err) == (64, True)


def test_an_alias_is_shown_for_every_launcher_or_for_one() -> None:
    """Where nobody says which: all of the table, and what each needs to be installed."""
    ran = here("models", "command", "phi-4-mini", "--scenario", "production_high", environment=NOTHING)
    assert ran.code == 0
    assert anywhere(ran.out) == golden("models/command-alias.txt", anywhere(ran.out))
    one = here("models", "command", "phi-4-mini", "--provider", "mlx", environment=NOTHING)
    assert one.out.splitlines()[-1].startswith("mlx_lm.server --model mlx-community/")


def test_the_options_are_those_of_the_installed_version(tmp_path: Path) -> None:
    """An old llama-server: its version, its names, and what it lacks is told and not written."""
    put(
        tmp_path,
        "llama-server",
        'echo "version: 3600"; echo "  --model M"; echo "  --mlock"; echo "  --n-gpu-layers N"',
    )
    file = tmp_path / "shop.yaml"
    options = "path: a.gguf, memory_lock: true, gpu_layers: 8"
    file.write_text(
        MANIFEST.replace(
            "provider: ollama, server: {context_length: 2048, port: 11500}",
            "provider: llama-cpp, server: {" + options + "}",
        )
    )
    ran = here("models", "command", str(file), "--provider", "llama-cpp", environment={"PATH": f"{tmp_path}:/bin"})
    command = ran.out.splitlines()[-1]
    assert command.startswith(f"{tmp_path}/llama-server --model {tmp_path}/a.gguf")
    assert "--n-gpu-layers 8" in command and "--mlock" in command and "--jinja" not in command


def test_what_cannot_be_had_is_an_error_with_its_cure(tmp_path: Path) -> None:
    """A version without the option: exit code 3; a manifest without a server and a mistyped kind: wrong usage."""
    put(tmp_path, "llama-server", 'echo "  --model M"')
    file = tmp_path / "shop.yaml"
    file.write_text(
        MANIFEST.replace(
            "provider: ollama, server: {context_length: 2048, port: 11500}",
            "provider: llama-cpp, server: {path: a.gguf, memory_lock: true}",
        )
    )
    ran = here("models", "command", str(file), "--provider", "llama-cpp", environment={"PATH": f"{tmp_path}:/bin"})
    assert ran.code == 3 and "memory_lock: llama-server of this version has no --load-mode" in ran.err
    assert here("models", "command", str(file), "--provider", "mlx", environment=NOTHING).code == 64
    mistyped = here("models", "command", "phi-4-mini", "--provider", "vlm", environment=NOTHING)
    assert mistyped.code == 64 and 'did you mean "vllm"?' in mistyped.err


def test_a_name_that_nobody_knows_is_no_command() -> None:
    """An alias that the catalogue lacks, with near names; and one that has no id for the program: never an id that is none."""
    unknown = here("models", "command", "phi-9", "--provider", "vllm", environment=NOTHING)
    assert unknown.code == 64 and 'the catalogue has no model "phi-9"' in unknown.err and "did you mean" in unknown.err
    nameless = here("models", "command", "phi-4-mini", "--provider", "openvino", environment=NOTHING)
    assert nameless.code == 3 and "nobody knows what phi-4-mini is called where ovms fetches models" in nameless.err
    named = here("models", "command", "OpenVINO/phi-4-mini-int4-ov", "--provider", "openvino", environment=NOTHING)
    assert named.code == 0 and "--source_model OpenVINO/phi-4-mini-int4-ov" in named.out


def test_the_form_for_programs() -> None:
    """Command, environment and notes as JSON."""
    ran = here("models", "command", "phi-4-mini", "--provider", "ollama", "--json", environment=NOTHING)
    (told,) = json.loads(ran.out)
    assert told["argv"] == ["ollama", "serve"] and told["environment"]["OLLAMA_NO_CLOUD"] == "1"
    assert told["missing"].startswith("ollama serve is not installed") and told["error"] is None


def test_the_scenarios_are_those_of_the_port() -> None:
    """Written twice, as help must not load the port."""
    assert get_args(Scenario) == SCENARIOS
