"""The build that a manifest names of a model whose server is started: had, told to the program, or refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.app.compile import Compilation, compile_files
from orchestrator.core.errors import ManifestError
from orchestrator.deploy.prospects import wants_of
from orchestrator.deploy.server_records import ServerWant

MANIFEST = """
metadata: {{name: desk}}
deployment:
  type: single-device
  models:
    - {{alias: {alias}, provider: {provider}, quantization: {build}, {more}}}
  agents:
    - {{name: clerk, instructions: You talk., reflex: [{{without_model: true, say: hi}}]}}
"""
PLAIN = "server: {}"


def compiled(folder: Path, provider: str, build: str, more: str, alias: str) -> Compilation:
    file = folder / "desk.yaml"
    file.write_text(MANIFEST.format(provider=provider, build=build, more=more, alias=alias))
    return compile_files([str(file)], environment={})


def want(found: Compilation) -> ServerWant:
    return wants_of(found.blueprint, Path("/state"))[0]


@pytest.mark.parametrize(
    ("provider", "build", "more"),
    [
        ("ollama", "Q4_K_M", PLAIN),
        ("ollama", "Q8_0", PLAIN),
        ("ollama", "FP16", PLAIN),
        ("ollama", "Q2_K", 'server: {}, model: "phi4-mini:3.8b-q2_K"'),
        ("llama-cpp", "Q4_K_M", "server: {path: models/phi-4-mini-instruct-Q4_K_M.gguf}"),
        ("llama-cpp", "Q8_0", "server: {path: models}"),
        ("llama-cpp", "Q8_0", "server: {path: model.gguf}"),
        ("vllm", "FP16", PLAIN),
        ("vllm", "AWQ", 'server: {}, model: "somebody/Phi-4-mini-instruct-AWQ"'),
        ("mlx", "4bit", PLAIN),
        ("mlx", "FP16", "server: {path: converted}"),
        ("openvino", "int4", 'server: {}, model: "OpenVINO/Phi-4-mini-instruct-int4-ov"'),
        ("foundry-local", "int4", PLAIN),
    ],
)
def test_a_build_that_the_name_is_needs_no_word(tmp_path: Path, provider: str, build: str, more: str) -> None:
    """Nor one that files tell when they are looked at, or for which a tag is asked once the server runs."""
    assert "quantization" not in want(compiled(tmp_path, provider, build, more, "phi-4-mini")).order.options


@pytest.mark.parametrize(
    ("build", "more", "alias", "told"),
    [
        ("FP8", PLAIN, "phi-4-mini", "fp8"),
        ("AWQ", 'server: {}, model: "somebody/packed"', "phi-4-mini", "awq"),
        ("GPTQ", "server: {path: packed}", "phi-4-mini", "gptq"),
        ("AWQ", "server: {quantization: awq}, model: org/name", "mine", "awq"),
    ],
)
def test_vllm_is_told_what_the_name_does_not_say(tmp_path: Path, build: str, more: str, alias: str, told: str) -> None:
    """It compares that with the checkpoint, or makes it of full weights."""
    assert want(compiled(tmp_path, "vllm", build, more, alias)).order.options["quantization"] == told


def test_an_ollama_that_is_started_is_asked_for_the_build_and_needs_no_other_process(tmp_path: Path) -> None:
    """Its process is the same for each of its models."""
    small, large = (want(compiled(tmp_path, "ollama", build, PLAIN, "phi-4-mini")) for build in ("q4_k_m", "q8_0"))
    assert (small.wish and small.wish.build, large.wish and large.wish.build) == ("q4_k_m", "q8_0")
    assert small.digest == large.digest


@pytest.mark.parametrize(
    ("provider", "build", "more", "told"),
    [
        ("vllm", "Q4_K_M", PLAIN, ("vllm serves no GGUF files", "a GGUF file of q4_k_m is served by llama-cpp")),
        (
            "vllm",
            "AWQ",
            PLAIN,
            ("microsoft/Phi-4-mini-instruct is bf16", "name the repository of its awq build in model"),
        ),
        ("vllm", "int8", PLAIN, ("microsoft/Phi-4-mini-instruct is bf16", "leave it out")),
        ("vllm", "FP16", 'server: {}, model: "org/name-AWQ"', ("org/name-AWQ is awq", "or write quantization: awq")),
        ("vllm", "FP8", "server: {quantization: awq}", ("its server is told awq", "keep one")),
        ("mlx", "8bit", PLAIN, ("Phi-4-mini-instruct-4bit is 4bit", "name a quantized build in model")),
        ("mlx", "Q8_0", PLAIN, ("is 4bit", "name a quantized build in model")),
        ("mlx", "Q8_0", "server: {path: converted}", ("mlx serves no GGUF files", "name a quantized build")),
        (
            "openvino",
            "int8",
            'server: {}, model: "OpenVINO/Phi-4-mini-instruct-int4-ov"',
            ("is int4", "name a quantized build in model, such as OpenVINO/"),
        ),
        (
            "openvino",
            "FP16",
            'server: {}, model: "OpenVINO/Phi-4-mini-instruct-int4-ov"',
            ("is int4", "or write quantization: int4"),
        ),
        ("foundry-local", "AWQ", PLAIN, ("is int4", "name a variant in model")),
        ("ollama", "AWQ", PLAIN, ("ollama serves GGUF files", "name the tag of that build in model")),
        ("ollama", "Q8_0", 'server: {}, model: "phi4-mini:3.8b-q4_K_M"', ("is q4_k_m", "name the tag of that build")),
        ("llama-cpp", "Q8_0", "server: {path: m/tiny-Q4_K_M.gguf}", ("tiny-Q4_K_M.gguf is q4_k_m", "name the file")),
        ("llama-cpp", "AWQ", "server: {path: models}", ("llama-cpp serves GGUF files", "name the file of that build")),
    ],
)
def test_a_build_that_cannot_be_had_is_refused_with_place_and_cure(
    tmp_path: Path, provider: str, build: str, more: str, told: tuple[str, str]
) -> None:
    """Nothing is put in its place, and nothing is left out without a word."""
    with pytest.raises(ManifestError) as caught:
        compiled(tmp_path, provider, build, more, "phi-4-mini")
    (found,) = [one for one in caught.value.diagnostics if one.code == "ORC313"]
    assert found.place is not None and found.place.line == 6
    assert f"phi-4-mini: it is wanted as {build.casefold()}" in found.message or "keep one" in found.cure
    assert told[0] in found.message, found.message
    assert told[1] in found.cure, found.cure


def test_without_a_word_of_the_build_nothing_changes(tmp_path: Path) -> None:
    """A server that runs is not started anew for it."""
    file = tmp_path / "desk.yaml"
    file.write_text(
        MANIFEST.replace("quantization: {build}, ", "").format(provider="vllm", alias="phi-4-mini", more=PLAIN)
    )
    assert want(compile_files([str(file)], environment={})).order.options == {}
