"""What a user types where no server serves a model: a whole line, for the make that runs or that the manifest names."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from orchestrator.plan.binding import bind
from orchestrator.plan.lines import LINES, NAMES, line_of
from orchestrator.plan.observed import ObservedServer
from orchestrator.plugins.providers.addresses import MAKES
from orchestrator.ports.provider import Capability, ServedModel
from tests.plan.parts import model, ollama, state

GRANITE: dict[str, Any] = {
    "alias": "granite-3.3-2b",
    "ids": {
        "ollama": ["granite3.3:2b"],
        "vllm": ["ibm-granite/granite-3.3-2b-instruct"],
        "llama-cpp": ["ibm-granite/granite-3.3-2b-instruct-GGUF:Q4_K_M"],
    },
}
HF = "llama-server -hf ibm-granite/granite-3.3-2b-instruct-GGUF:Q4_K_M --jinja --port"

LMS = "lms get ibm-granite/granite-3.3-2b-instruct-GGUF@q4_k_m"
SWITCH = " (its server is switched on by: lms server start)"
OR_OLLAMA = "; or without `provider: {}`: ollama pull granite3.3:2b"


def _server(make: str, port: int) -> ObservedServer:
    url = f"http://127.0.0.1:{port}"
    return ObservedServer(make, url, f"{url}/v1", (ServedModel("something-else"),))


def _silent(servers: list[ObservedServer]) -> dict[str, str]:
    """The usual places at which none of these is, and one at which something else listens."""
    usual = {f"http://127.0.0.1:{port}": "nobody listens there" for port in (8000, 8080, 9931, 11434)}
    other = {"http://127.0.0.1:8001": "no known model server"}
    return {url: why for url, why in (usual | other).items() if url not in {server.url for server in servers}}


def test_a_port_that_is_not_looked_at_needs_an_endpoint() -> None:
    """As where the operator says where to look, or where the only usual one has another guest."""
    only = state(silent={"http://127.0.0.1:18080": "nobody listens there"})
    line = "(with endpoint: http://127.0.0.1:8080 for granite-3.3-2b in the manifest)"
    assert bind(model(provider="llama-cpp", **GRANITE), only).cure == f"{HF} 8080 {line}"
    strange = state(silent={"http://127.0.0.1:99999": "nobody listens there"})
    assert bind(model(provider="llama-cpp", **GRANITE), strange).cure == f"{HF} 8080 {line}"
    guest = state(silent={"http://127.0.0.1:8000": "no known model server"})
    assert "--port 8001 (with endpoint: http://127.0.0.1:8001" in bind(model(provider="vllm", **GRANITE), guest).cure


@pytest.mark.parametrize(
    ("provider", "servers", "cure"),
    [
        (None, [], "ollama pull granite3.3:2b"),
        (None, [ollama("qwen3:4b")], "ollama pull granite3.3:2b"),
        (None, [_server("llama-cpp", 8080)], f"{HF} 9931"),
        (None, [_server("llama-cpp", 9931)], f"{HF} 8080"),
        (
            None,
            [_server("llama-cpp", 8080), _server("llama-cpp", 9931)],
            f"{HF} 9932 (with endpoint: http://127.0.0.1:9932 for granite-3.3-2b in the manifest)",
        ),
        ("llama-cpp", [], f"{HF} 8080"),
        ("vllm", [], "vllm serve ibm-granite/granite-3.3-2b-instruct --port 8000"),
        (
            None,
            [_server("vllm", 8000)],
            (
                "vllm serve ibm-granite/granite-3.3-2b-instruct --port 8002 "
                "(with endpoint: http://127.0.0.1:8002 for granite-3.3-2b in the manifest)"
            ),
        ),
        (None, [_server("lm-studio", 1234)], LMS),
        ("lm-studio", [], LMS + SWITCH),
    ],
)
def test_the_cure_is_a_line_to_type(provider: str | None, servers: list[ObservedServer], cure: str) -> None:
    """For a make that runs, where an id of it is known; on a port that nobody has."""
    assert bind(model(provider=provider, **GRANITE), state(*servers, silent=_silent(servers))).cure == cure


@pytest.mark.parametrize(
    ("provider", "load"),
    [
        ("openvino", "OpenVINO Model Server: load it there"),
        ("lemonade", "Lemonade: load it there"),
        ("foundry-local", "Foundry Local: load it there"),
        ("mlx", "MLX: load it there"),
        ("onnx", "ONNX Runtime GenAI: put a build of it into the folder in ONNX_MODELS"),
        ("litellm", "LiteLLM's proxy: add it to its configuration"),
    ],
)
def test_a_make_that_is_named_and_whose_name_nobody_knows(provider: str, load: str) -> None:
    """What to do there, and what goes without it; where there is neither, no other make is told of."""
    cure = (
        f"no name of granite-3.3-2b is known for {load}, and write the name that it lists as `model:` of granite-3.3-2b"
    )
    assert bind(model(provider=provider, **GRANITE), state()).cure == cure + OR_OLLAMA.format(provider)
    mine = model(alias="mine", ids={"*": ["mine"]}, provider=provider)
    assert bind(mine, state()).cure == cure.replace("granite-3.3-2b", "mine")


@pytest.mark.parametrize(
    ("ids", "provider", "cure"),
    [
        (
            {"*": ["mine"]},
            None,
            "load mine into a model server on this device, and write the name that it lists as `model:` of mine",
        ),
        ({"*": ["gpt"]}, None, "load gpt into a model server on this device"),
        ({"litellm": ["gpt"]}, "litellm", "serve gpt with LiteLLM's proxy"),
    ],
)
def test_a_model_that_is_not_of_the_catalogue(ids: dict[str, list[str]], provider: str | None, cure: str) -> None:
    """Nobody is sent to ask elsewhere."""
    assert bind(model(alias="mine", ids=ids, provider=provider), state()).cure == cure


def test_what_is_pulled_goes_to_the_make_that_the_manifest_names() -> None:
    """LM Studio takes the names of llama.cpp."""
    studio = replace(_server("lm-studio", 1234), capabilities={Capability.PULL: "yes"})
    other = replace(ollama("qwen3:4b"), capabilities={Capability.PULL: "yes"})
    spec = model(provider="lm-studio", **GRANITE)
    assert bind(spec, state(studio)).cure == "orchestrator models pull granite-3.3-2b"
    assert bind(spec, state(other, studio)).cure == "orchestrator models pull granite-3.3-2b --provider lm-studio"


@pytest.mark.parametrize(
    ("make", "name", "line"),
    [
        ("llama-cpp", "/models/my model.gguf", "llama-server -m '/models/my model.gguf' --jinja --port 8080"),
        ("mlx", "mlx-community/Phi-4-mini-instruct-4bit", None),
        ("lm-studio", "lmstudio-community/Qwen2.5-0.5B", f"lms get lmstudio-community/Qwen2.5-0.5B{SWITCH}"),
        ("foundry-local", "phi-4-mini", "foundry model run phi-4-mini"),
        ("docker-model-runner", "ai/phi4", "docker model pull ai/phi4"),
    ],
)
def test_each_make_has_its_line(make: str, name: str, line: str | None) -> None:
    """With the name quoted where a shell would take it apart."""
    found = line_of(make, name, "m", state(silent=_silent([])))
    assert found == (line or f"mlx_lm.server --model {name} --port 8080")


def test_the_table_says_what_the_makes_say() -> None:
    """Each is a make that is found, at the ports that it is looked for at; and every make that serves one model has a line."""
    makes = {make.kind: make for make in MAKES}
    for kind, line in LINES.items():
        if kind in makes:
            usual = {int(url.rpartition(":")[2]) for url in makes[kind].default_urls}
            assert set(line.ports) <= usual, kind
    without = makes.keys() - LINES.keys()
    assert without == {"openai-compatible", "llama-swap", "litellm"}, "what is configured in files has no line"
    assert NAMES.keys() == (makes.keys() | LINES.keys()) - {"openai-compatible"}
