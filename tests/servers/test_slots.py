"""One number of requests at once: what a server of ours is told, what its memory is reckoned for, and what it is given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest

from orchestrator.app.compile import compile_loaded
from orchestrator.core.blueprint import Blueprint
from orchestrator.deploy.prospects import as_needed, look_at, wants_of
from orchestrator.manifest.load import load_texts
from orchestrator.plan.binding import BoundEndpoint, bind_all
from orchestrator.plan.observed import ObservedServer, Prospect, StartedServer
from orchestrator.plan.started import Neighbours, fitted
from orchestrator.ports.device import Accelerator, Device
from orchestrator.ports.lifecycle import Launch, LaunchOrder
from orchestrator.ports.provider import Capability, ServedModel
from tests.launchers.programs import PROGRAMS
from tests.launchers.test_commands import launcher
from tests.plan.parts import state

GB = 10**9
LARGE = Device(512 * GB, 512 * GB, 16)
TOLD: Final = {
    "llama-cpp": "--parallel",
    "vllm": "--max-num-seqs",
    "mlx": "--decode-concurrency",
    "openvino": "--max_num_seqs",
}
"""The word after which a program is told the number; Ollama has it in its environment, Foundry Local is never told one."""
MANIFEST = """\
metadata: {{name: desk}}
deployment:
  type: single-device
  resources: {resources}
  models: [{model}]
  agents: [{{name: clerk, description: Talks., instructions: You talk., model: phi-4-mini}}]
"""


def compiled(kind: str, server: Mapping[str, Any], most: int | None, **model: Any) -> Blueprint:
    """A deployment with one model, whose server we start."""
    resources = {"max_concurrent_agents": most} if most else {}
    if kind == "openvino":
        model["model"] = "OpenVINO/Phi-4-mini-instruct-int4-ov"
    entry = {"alias": "phi-4-mini", "provider": kind, "server": dict(server), **model}
    text = MANIFEST.format(resources=resources, model=entry).replace("'", '"')
    return compile_loaded(load_texts({"desk.yaml": text}, Path("/desk"), {})).blueprint


def begun(blueprint: Blueprint, kind: str, device: Device = LARGE) -> tuple[Launch, Prospect]:
    """The command, and what the plan reckons with."""
    made: list[Launch] = []

    def launch(_: str, order: LaunchOrder) -> Launch:
        made.append(launcher(kind).command(PROGRAMS[kind], order))
        return made[-1]

    (want,) = wants_of(blueprint, Path("/state"), device)
    (looked,) = look_at(want, launch, kind)
    return made[-1], fitted(blueprint, {want.name: [looked.startable]}, Neighbours({}, (), device))[want.name]


def given(blueprint: Blueprint, kind: str, prospect: Prospect, told: int | None) -> BoundEndpoint:
    """The endpoint of its server once that runs; ``told``: the slots that it tells itself."""
    url = "http://127.0.0.1:8123"
    started = StartedServer(prospect.name, kind, prospect.digest, "ready", url=url, serves="phi-4-mini", pid=7)
    started = replace(started, memory=prospect.memory, slots=prospect.slots, context=prospect.context)
    names = ["phi-4-mini", "phi4-mini:latest", "phi4-mini:3.8b"]
    models = tuple(ServedModel(name, kind="chat", loaded=True, slots=told) for name in names)
    able = {Capability.LOAD.value: "yes" if kind == "ollama" else "no"}
    server = ObservedServer(kind, url, f"{url}/v1", models, capabilities=able)
    seen = state(server, started={started.name: started}, prospects={prospect.name: prospect}, device=LARGE)
    return bind_all(blueprint, seen)["phi-4-mini"].endpoints[0]


CASES: Final[tuple[tuple[dict[str, Any], int | None, dict[str, Any]], ...]] = (
    ({}, None, {}),
    ({"scenario": "staging"}, None, {}),
    ({"scenario": "enterprise"}, None, {}),
    ({"scenario": "enterprise"}, 2, {}),
    ({"max_num_seqs": 3}, None, {}),
    ({"max_num_seqs": 3, "scenario": "enterprise"}, None, {}),
    ({"max_num_seqs": 6}, None, {"max_concurrent": 2}),
    ({"max_num_seqs": 2}, None, {"max_concurrent": 6}),
    ({}, None, {"max_concurrent": 6}),
    ({}, 2, {"max_concurrent": 6}),
    ({"max_num_seqs": 6}, 3, {"context_length": 4096}),
)


@pytest.mark.parametrize("kind", ["llama-cpp", "vllm", "mlx", "openvino", "ollama", "foundry-local"])
@pytest.mark.parametrize(("server", "most", "model"), CASES)
def test_what_is_told_what_is_reckoned_and_what_is_given_is_one_number(
    kind: str, server: dict[str, Any], most: int | None, model: dict[str, Any], tmp_path: Path
) -> None:
    """Whoever writes it: the scenario, an option, the model, the deployment, or nobody."""
    if kind == "llama-cpp":
        (tmp_path / "m.gguf").write_bytes(b"x")
        server = {**server, "path": str(tmp_path / "m.gguf")}
    if kind == "vllm":
        server = {"max_model_len": 2048, **server}
        model = {key: value for key, value in model.items() if key != "context_length"}
    blueprint = compiled(kind, server, most, **model)
    launch, prospect = begun(blueprint, kind)
    words = list(launch.argv)
    told = (
        int(words[words.index(TOLD[kind]) + 1])
        if kind in TOLD
        else int(launch.environment.get("OLLAMA_NUM_PARALLEL", 1))
    )
    endpoint = given(blueprint, kind, prospect, told if kind == "llama-cpp" else None)
    assert (prospect.slots, endpoint.slots) == (told, told)
    assert f"x {told} slots" in prospect.need or told == 1
    written = [each for each in (server.get("max_num_seqs"), model.get("max_concurrent"), most) if each]
    assert kind == "foundry-local" or told <= min(written, default=told)


def test_who_bounds_the_number_is_told() -> None:
    """Where it is not what the scenario or the manifest says."""
    launch, _ = begun(compiled("vllm", {"scenario": "staging"}, 3), "vllm")
    assert "max_num_seqs: --max-num-seqs 3 (max_concurrent_agents, not 64: scenario staging)" in launch.notes
    launch, _ = begun(compiled("vllm", {"max_num_seqs": 5}, 3), "vllm")
    assert "max_num_seqs: --max-num-seqs 3 (max_concurrent_agents, not 5: manifest)" in launch.notes


def test_vllm_is_told_no_more_requests_than_its_part_of_the_card_has_room_for() -> None:
    """Weights of 16 bits, the cache of each request, and the server: 6 of 23 GB are left of 90 % of a card of 16 GB."""
    card = Device(64 * GB, 64 * GB, 8, (Accelerator("card", "cuda", 16 * GB, 16 * GB),))
    blueprint = compiled("vllm", {"max_model_len": 4096}, None)
    launch, prospect = begun(blueprint, "vllm", card)
    assert prospect.slots == 11 and list(launch.argv)[list(launch.argv).index("--max-num-seqs") + 1] == "11"
    note = "max_num_seqs: --max-num-seqs 11 (no more whole requests have room in its part of the memory, not 32: usual)"
    assert note in launch.notes
    assert prospect.need == (
        "14.4 GB = 90% of 16.0 GB graphics memory (gpu_memory_utilization), for a need of 14.1 GB = 7.7 GB weights "
        "+ 5.9 GB cache (4096 tokens x 11 slots) + 479 MB server"
    )
    assert prospect.tight == "" and given(blueprint, "vllm", prospect, None).slots == 11


def test_a_part_that_has_no_room_for_one_request_is_told_with_what_to_write() -> None:
    """vLLM would end at its start: the weights are those that it loads, and no GGUF's."""
    small = Device(64 * GB, 64 * GB, 8, (Accelerator("card", "cuda", 12 * GB, 12 * GB),))
    _, prospect = begun(compiled("vllm", {"max_model_len": 4096, "gpu_memory_utilization": 0.5}, None), "vllm", small)
    assert (prospect.slots, prospect.why) == (1, "")
    assert prospect.tight == (
        "its model and one request need 8.7 GB = 7.7 GB weights + 537 MB cache (4096 tokens) + 479 MB server, and it takes 6.0 GB, "
        "so that it does not start: write server.gpu_memory_utilization: 0.73"
    )
    _, other = begun(compiled("vllm", {"gpu_memory_utilization": 0.9}, None), "vllm", small)
    assert other.tight.endswith("write server.max_model_len: 19456")


@pytest.mark.parametrize(
    ("named", "files", "weights"),
    [
        ("org/Phi-4-mini-instruct-AWQ", {}, "2.3 GB weights"),
        (None, {}, "7.7 GB weights"),
        (
            None,
            {"model-00001-of-00002.safetensors": 3, "model-00002-of-00002.safetensors": 2, "pytorch_model.bin": 5},
            "5 B weights",
        ),
        (
            None,
            {"model.safetensors": 5, "consolidated.safetensors": 5, "onnx/model.onnx": 9, "m-q4.gguf": 4},
            "5 B weights",
        ),
        (None, {"pytorch_model.bin": 7}, "7 B weights"),
    ],
)
def test_the_weights_of_vllm_are_those_that_it_loads(
    named: str | None, files: dict[str, int], weights: str, tmp_path: Path
) -> None:
    """Of a folder one format; of a repository the build that its name tells, else 16 bits."""
    for name, size in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x" * size)
    server = {"max_model_len": 4096, **({"path": str(tmp_path)} if files else {})}
    _, prospect = begun(compiled("vllm", server, None, **({"model": named} if named else {})), "vllm")
    assert f" = {weights} + " in prospect.need


def test_a_server_of_before_is_given_what_it_tells() -> None:
    """Its record says no number."""
    blueprint = compiled("ollama", {}, None)
    _, prospect = begun(blueprint, "ollama")
    assert given(blueprint, "ollama", replace(prospect, slots=0), None).slots is None


def test_the_memory_of_a_started_ollama_is_that_of_the_slots_that_it_was_told() -> None:
    """Its models are loaded for all of them, each with the context that it was told."""
    blueprint = compiled("ollama", {"scenario": "production_low"}, None)
    _, prospect = begun(blueprint, "ollama")
    whole = given(blueprint, "ollama", prospect, None).memory
    one = given(
        compiled("ollama", {"max_num_seqs": 1, "context_length": 4096}, None),
        "ollama",
        replace(prospect, slots=1),
        None,
    )
    assert whole is not None and one.memory is not None and whole - one.memory == 3 * 4096 * 131_072


@pytest.mark.parametrize("kind", ["llama-cpp", "vllm", "mlx", "openvino", "ollama", "foundry-local"])
@pytest.mark.parametrize(
    ("server", "numbers", "same"),
    [
        ({"max_num_seqs": 4}, (50, 60), True),
        ({"max_num_seqs": 4}, (None, 4), True),
        ({}, (50, 60), True),
        ({"max_num_seqs": 4}, (2, 60), False),
        ({"max_num_seqs": 4}, (2, 3), False),
    ],
)
def test_what_bounds_nothing_makes_no_other_server(
    kind: str, server: dict[str, Any], numbers: tuple[int | None, int], same: bool
) -> None:
    """The same command is not ended and started again, and its model not loaded twice, for a number that it is never told."""
    server, digests = ({**server, "path": "/m.gguf"} if kind == "llama-cpp" else server), set()
    for number in numbers:
        (want,) = wants_of(compiled(kind, server, number), Path("/state"), LARGE)
        needed = as_needed(want, lambda kind, order: launcher(kind).command(launcher(kind).usual, order))
        digests.add(needed.digest)
    assert (len(digests) == 1) is (same or kind == "foundry-local")
