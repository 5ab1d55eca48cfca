"""Commands of every launcher for every scenario, as whole texts, and options that a version does not have."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, get_args

import pytest

from orchestrator.app.catalog import LAUNCHERS, load
from orchestrator.core.errors import PlanError
from orchestrator.manifest.spec.server import LAUNCHED, ServerOptions
from orchestrator.ports.lifecycle import Binary, Launcher, LaunchOrder, Scenario
from tests.launchers.programs import PROGRAMS

ANYWHERE = "0.0.0.0"  # noqa: S104 - what must never be bound by itself
GOLDEN = Path(__file__).parent / "golden"
SCENARIOS: tuple[Scenario | None, ...] = (None, *get_args(Scenario))
MODELS = {
    "llama-cpp": "/models/phi-4-mini-q4_k_m.gguf",
    "vllm": "microsoft/Phi-4-mini-instruct",
    "mlx": "/models/phi-4-mini-mlx",
    "openvino": "OpenVINO/Phi-4-mini-instruct-int4-ov",
    "foundry-local": "phi-4-mini",
    "ollama": "phi4-mini:latest",
}
SEED: dict[str, Any] = {
    "gpu_memory_utilization": 0.8,
    "max_model_len": 4096,
    "tensor_parallel_size": 1,
    "pipeline_parallel_size": 1,
    "quantization": "awq",
    "enable_prefix_caching": True,
    "max_num_seqs": 64,
    "max_num_batched_tokens": 4096,
    "enable_chunked_prefill": True,
    "speculative_model": "/models/draft",
    "guided_decoding_backend": "outlines",
    "context_length": 4096,
    "batch_size": 1,
    "threads": 4,
    "gpu_layers": 32,
    "memory_lock": True,
    "numa": True,
}
"""Every option of the seed's templates and of its model configuration, with the seed's values."""


def launcher(kind: str) -> Launcher:
    made: Launcher = load("launcher", kind)(None)
    return made


def order(kind: str, scenario: Scenario | None = None, **options: Any) -> LaunchOrder:
    return LaunchOrder(MODELS[kind], "phi-4-mini", port=8123, scenario=scenario, options=options, folder="/state/phi")


def shown(binary: Binary, wanted: LaunchOrder, kind: str) -> str:
    """The environment, the command and the notes, as a text."""
    try:
        launch = launcher(kind).command(binary, wanted)
    except PlanError as error:
        return f"refused: {error.message}\n  cure: {error.cure}"
    lines = [f"{name}={value}" for name, value in sorted(launch.environment.items())]
    return "\n".join([*lines, " ".join(launch.argv), *(f"  # {note}" for note in launch.notes)])


def compare(name: str, text: str) -> None:
    path = GOLDEN / f"{name}.txt"
    if os.environ.get("ORCHESTRATOR_GOLDEN") == "write":
        path.write_text(text + "\n", encoding="utf-8")
    assert text + "\n" == path.read_text(encoding="utf-8")


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_command_of_every_scenario(program: str) -> None:
    """Each scenario as it is written for this version of the program."""
    kind = program.removesuffix("-old")
    texts = [
        f"== {scenario or 'no scenario'}\n{shown(PROGRAMS[program], order(kind, scenario), kind)}"
        for scenario in SCENARIOS
    ]
    compare(f"scenarios-{program}", "\n\n".join(texts))


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_option_of_the_seed_is_mapped_or_refused_with_what_to_write(program: str) -> None:
    """One by one: the words that it becomes, or why it cannot be had and what to do instead."""
    kind = program.removesuffix("-old")
    texts = []
    for option, value in SEED.items():
        text = shown(PROGRAMS[program], order(kind, **{option: value}), kind)
        assert option in text, f"{option} vanished"
        texts.append(f"== {option}: {value}\n{text}")
    compare(f"options-{program}", "\n\n".join(texts))


@pytest.mark.parametrize("kind", LAUNCHERS)
def test_every_option_of_the_manifest_is_known_to_every_launcher(kind: str) -> None:
    """What it does not take it refuses by name, with something else to do than to read a list."""
    options = set(ServerOptions.model_fields) - {
        "path",
        "scenario",
        "host",
        "port",
        "start_timeout",
        "max_instances",
        "remote_code",
    }
    refused = launcher(kind).refused(dict.fromkeys(options))
    assert len(refused) < len(options)
    assert [option for option, instead in refused.items() if instead.startswith("it takes")] == []


def test_the_manifest_and_the_table_name_the_same_launchers() -> None:
    """The format cannot import the table."""
    assert set(LAUNCHED) == set(LAUNCHERS)


@pytest.mark.parametrize("kind", LAUNCHERS)
def test_nothing_is_open_to_the_network_or_runs_foreign_code_by_itself(kind: str) -> None:
    """In no scenario; and where the manifest asks for it, the notes say so."""
    for scenario in SCENARIOS:
        text = shown(PROGRAMS[kind], order(kind, scenario), kind)
        command = "\n".join(line for line in text.splitlines() if not line.startswith("  #"))
        assert ANYWHERE not in command and "remote" not in command and "127.0.0.1" in command
    asked = LaunchOrder(MODELS[kind], "a", host=ANYWHERE, port=1, remote_code=True)
    launch = launcher(kind).command(PROGRAMS[kind], asked)
    assert launch.url == "http://127.0.0.1:1"
    assert [note for note in launch.notes if note.startswith("host: 0.0.0.0")]
    assert [note for note in launch.notes if note.startswith("remote_code:")]


@pytest.mark.parametrize("kind", LAUNCHERS)
def test_there_is_a_line_that_installs_it(kind: str) -> None:
    """On every system, as ``*`` says what others do."""
    assert "*" in launcher(kind).install


@pytest.mark.parametrize("kind", LAUNCHERS)
def test_no_text_of_a_manifest_becomes_an_option(kind: str) -> None:
    """A model that is called like an option would switch on what nobody allowed."""
    with pytest.raises(PlanError, match="begins like an option"):
        launcher(kind).command(PROGRAMS[kind], LaunchOrder("--trust-remote-code", "a"))
    with pytest.raises(PlanError, match="begins like an option"):
        launcher(kind).command(PROGRAMS[kind], order(kind, speculative_model="--host=0.0.0.0"))


def test_llama_server_needs_a_file_and_ollama_a_tag() -> None:
    """What only one of both can be is refused with what to do."""
    with pytest.raises(PlanError, match="needs the model's file"):
        launcher("llama-cpp").command(PROGRAMS["llama-cpp"], LaunchOrder("phi-4-mini", "a"))
    with pytest.raises(PlanError, match="not files"):
        launcher("ollama").command(PROGRAMS["ollama"], LaunchOrder("/models/a.gguf", "a"))


def test_a_program_that_could_not_be_asked_is_believed_and_that_is_told() -> None:
    """Its command is that of a new version."""
    launch = launcher("vllm").command(Binary(("/bin/vllm", "serve")), order("vllm", "enterprise"))
    assert "--structured-outputs-config" in launch.argv
    assert launch.notes[-1].startswith("vllm could not be asked")


def test_vllm_has_no_method_for_a_build_of_a_gguf_file() -> None:
    """It would end at once; a method that this project does not know is the version's to judge."""
    vllm = launcher("vllm")
    assert list(vllm.refused({"quantization": "Q5_K_M"})) == ["quantization Q5_K_M"]
    assert vllm.refused({"quantization": "awq"}) == vllm.refused({"quantization": "compressed-tensors"}) == {}
    with pytest.raises(PlanError) as caught:
        vllm.command(PROGRAMS["vllm"], order("vllm", quantization="Q5_K_M"))
    assert caught.value.message == "vllm has no quantization Q5_K_M"
    assert "a GGUF file of Q5_K_M is served by llama-cpp" in caught.value.cure


def test_a_program_that_the_system_cannot_load_is_told_with_its_reason() -> None:
    """No command of it would run."""
    why = "it ended with code 127: llama-server: error while loading shared libraries: libllama.so: cannot open"
    with pytest.raises(PlanError) as caught:
        launcher("llama-cpp").command(Binary(("/bin/llama-server",), trouble=why), order("llama-cpp"))
    assert caught.value.message == f"/bin/llama-server cannot run: {why}"
    assert caught.value.cure.startswith("install what it lacks, or put one that runs in its place: ")


def test_a_foreign_program_of_the_same_name_is_told_as_one() -> None:
    """It is no old version of which options are to be left out."""
    foreign = Binary(("/bin/llama-server",), "1.0", frozenset({"--port", "--wool"}))
    with pytest.raises(PlanError) as caught:
        launcher("llama-cpp").command(foreign, order("llama-cpp", threads=4))
    assert caught.value.message == "/bin/llama-server is another program than llama-server: it has no --model"
