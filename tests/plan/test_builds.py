"""Which build of a model is used: what names say, what fits, what the manifest wants."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.memory import BITS, SERVER, Memory, Need, Window, limited
from orchestrator.plan.binding import Bound, bind_all
from orchestrator.plan.budgets import device_budget
from orchestrator.plan.builds import Build, build_of, means, nearest_build, same_build, same_model, worth
from orchestrator.plan.diff import diff
from orchestrator.plan.observed import ObservedServer
from orchestrator.plan.variants import variants
from orchestrator.ports.device import Accelerator, Device
from orchestrator.ports.provider import ServedModel
from tests.plan.parts import agent, blueprint, model, ollama, state

GB = 10**9
PHI = ("phi4-mini:latest", "phi4-mini:q8_0", "phi4-mini:fp16")
"""Of 3.5, 5.0 and 8.7 GB with their cache and the server."""


def device(memory: int, *accelerators: Accelerator, free: int | None = None) -> Device:
    return Device(memory, memory if free is None else free, 4, accelerators)


def bound(spec: Any, here: Device | None, *servers: ObservedServer, **resources: Any) -> Bound:
    made = replace(blueprint(spec, agent("a", models=[spec["alias"]])), resources=resources)
    return bind_all(made, state(*servers, device=here))[spec["alias"]]


@pytest.mark.parametrize(
    ("name", "told", "build"),
    [
        ("phi4-mini:3.8b-q8_0", "", Build("q8_0")),
        ("phi4-mini:3.8b", "Q4_K_M", Build("q4_k_m")),
        ("phi4-mini:3.8b-fp16", "F16", Build("f16")),
        ("phi4-mini:3.8b-q8_0", "no build of ours", Build("q8_0")),
        ("/models/Phi-4-mini-instruct-Q2_K.gguf", "", Build("q2_k")),
        ("/models/Phi-4-mini-instruct-BF16.gguf", "", Build("bf16")),
        ("unsloth/Phi-4-mini-instruct-GGUF:IQ4_XS", "", Build("iq4_xs")),
        ("mlx-community/Phi-4-mini-instruct-4bit", "", Build("4bit")),
        ("solidrust/Phi-4-mini-instruct-AWQ", "", Build("awq")),
        ("Qwen/Qwen2.5-7B-Instruct-GPTQ-Int4", "", Build("gptq")),
        ("OpenVINO/Phi-4-mini-instruct-int4-ov", "", Build("int4")),
        ("Phi-4-mini-instruct-cuda-gpu:4", "", Build("", "cuda")),
        ("Phi-4-mini-instruct-generic-cpu:5", "", Build("", "cpu")),
        ("qwen2.5-0.5b-instruct-openvino-npu:2", "", Build("", "npu")),
        ("qwen2.5-0.5b-instruct-generic-gpu", "", Build("", "gpu")),
        ("microsoft/Phi-4-mini-instruct", "", Build()),
    ],
)
def test_a_name_says_its_build(name: str, told: str, build: Build) -> None:
    """In the ways of every make; what the server says goes before it."""
    assert build_of(name, told) == build


@pytest.mark.parametrize(
    ("provider", "wanted", "served", "same"),
    [
        ("ollama", "phi4-mini:3.8b", "phi4-mini:3.8b-q8_0", True),
        ("ollama", "qwen2.5:0.5b", "qwen2.5:0.5b-instruct-q8_0", True),
        ("ollama", "llama3.2:1b", "llama3.2:1b-text-q8_0", False),
        ("ollama", "phi4-mini:3.8b", "someone/phi4-mini:3.8b", False),
        ("foundry-local", "phi-4-mini", "Phi-4-mini-instruct-cuda-gpu:4", True),
        ("foundry-local", "phi-4", "Phi-4-mini-instruct-cuda-gpu:4", False),
        ("foundry-local", "phi-4-mini", "Phi-4-mini-reasoning-generic-cpu:3", False),
        ("mlx", "mlx-community/Phi-4-mini-instruct-4bit", "mlx-community/Phi-4-mini-instruct-8bit", True),
        ("lemonade", "Phi-4-mini-instruct-GGUF", "Phi-4-mini-instruct-Hybrid", True),
        ("lemonade", "Qwen/Qwen2.5-0.5B-Instruct", "Qwen2.5-0.5B-Instruct-CPU", True),
        ("lemonade", "Llama-3.2-1B-Instruct-GGUF", "Llama-3.2-1B-NPU", False),
        ("lemonade", "llama-3.2-1b", "Llama-3.2-1B-NPU", False),
        ("openvino", "OpenVINO/Phi-4-mini-instruct-int4-ov", "Phi-4-mini-instruct-int8-ov", True),
    ],
)
def test_builds_of_one_model_are_the_same_model(provider: str, wanted: str, served: str, same: bool) -> None:
    """Another training of it, or another one's, is not."""
    assert same_model(provider, wanted, served) is same


@pytest.mark.parametrize(
    ("provider", "wanted", "served", "same"),
    [
        ("llama-cpp", "phi-4-mini-q8_0", ServedModel("phi-4-mini-q4_k_m"), False),
        ("llama-cpp", "phi-4-mini-q8_0", ServedModel("models/phi-4-mini-Q8_0.gguf"), True),
        ("llama-cpp", "phi-4-mini-q8_0", ServedModel("phi-4-mini", quantization="Q8_0"), True),
        ("llama-cpp", "phi-4-mini-q8_0", ServedModel("phi-4-mini"), False),
        ("llama-cpp", "phi-4-mini", ServedModel("phi-4-mini-q8_0"), True),
        ("llama-cpp", "unsloth/Phi-4-GGUF:Q8_0", ServedModel("bartowski/Phi-4-GGUF:Q8_0"), False),
        ("llama-cpp", "unsloth/Phi-4-GGUF:UD-Q4_K_XL", ServedModel("unsloth/Phi-4-GGUF:Q4_K_XL"), False),
        ("llama-cpp", "unsloth/Phi-4-GGUF:Q4_K_M", ServedModel("/m/unsloth_Phi-4-Q4_K_M.gguf"), True),
        ("llama-cpp", "phi-4-bf16", ServedModel("phi-4-f16"), False),
        ("lm-studio", "phi-4-mini-instruct-q5_k_m", ServedModel("phi-4-mini-instruct-q8_0"), False),
        ("lm-studio", "phi-4-mini-instruct@q8_0", ServedModel("phi-4-mini-instruct", quantization="Q8_0"), True),
        ("lm-studio", "x/Phi-4-GGUF:Q8_0", ServedModel("phi-4", quantization="Q4_K_M"), False),
        ("vllm", "org/Phi-4-mini-instruct-GPTQ", ServedModel("org/Phi-4-mini-instruct-AWQ"), False),
        ("vllm", "org/Phi-4-GPTQ-Int4", ServedModel("org/Phi-4-GPTQ-Int8"), False),
        ("vllm", "org/Phi-4", ServedModel("org/Phi-4-AWQ"), True),
        ("foundry-local", "Phi-4-generic-cpu:3", ServedModel("Phi-4-generic-cpu:4", alias="phi-4"), False),
        ("foundry-local", "Phi-4-generic-cpu", ServedModel("Phi-4-generic-cpu:4", alias="phi-4"), True),
        ("foundry-local", "Phi-4-qnn-npu:9", ServedModel("Phi-4-cuda-gpu:4", alias="phi-4"), False),
        ("foundry-local", "phi-4", ServedModel("Phi-4-cuda-gpu:4", alias="phi-4"), True),
        ("lemonade", "Phi-4-mini-instruct-Hybrid", ServedModel("Phi-4-mini-instruct-GGUF"), False),
        ("openvino", "OpenVINO/Phi-4-int4-ov", ServedModel("Phi-4-int8-ov"), False),
        ("ollama", "phi4-mini", ServedModel("phi4-mini:latest"), True),
        ("ollama", "phi4-mini:3.8b", ServedModel("phi4-mini:3.8b-q8_0"), False),
    ],
)
def test_a_written_name_of_one_build_means_no_other(
    provider: str, wanted: str, served: ServedModel, same: bool
) -> None:
    """In the ways of every make: by what the served names say, else by what the server tells; what nobody tells is not it. A name
    without a build may be any."""
    assert means(provider, wanted, served, any_build=False) is same
    assert means(provider, served.id, served, any_build=False)


@pytest.mark.parametrize("alias", ["phi-4-mini", "mine", "phi-4-mini-q8_0"])
def test_a_build_that_the_manifest_names_is_not_replaced_by_another(alias: str) -> None:
    """As `model` or as an alias that no catalogue knows; the reason tells what is there."""
    name, url = "phi-4-mini-q8_0", "http://127.0.0.1:8080"
    spec = model(alias, ids={"*": [name]}, named=None if alias == name else name, endpoint=url)
    there = (ServedModel("other"), ServedModel("phi-4-mini-q4_k_m"))
    server = ObservedServer("llama-cpp", url, f"{url}/v1", there)
    found = bound(spec, device(64 * GB), server)
    assert found.endpoints == ()
    assert found.missing == f"{url} serves phi-4-mini-q4_k_m, other; not phi-4-mini-q8_0"
    both = replace(server, models=(*there, ServedModel(name)))
    assert [each.model for each in bound(spec, device(64 * GB), both).endpoints] == [name]
    anywhere = bound({**spec, "endpoint": None}, device(64 * GB), server)
    assert anywhere.missing.endswith(f"{name} is not among the models, phi-4-mini-q4_k_m are")


def test_an_ollama_tag_that_the_manifest_names_is_that_build_only() -> None:
    """There a tag is the name of one build."""
    assert means("ollama", "phi4-mini:q8_0", ServedModel("phi4-mini:fp16"), any_build=False) is False
    spec = model(ids={"ollama": ["phi4-mini:q8_0"]}, named="phi4-mini:q8_0", provider="ollama")
    assert [each.model for each in bound(spec, None, ollama(*PHI)).endpoints] == ["phi4-mini:q8_0"]
    assert bound(spec, None, ollama("phi4-mini:latest")).endpoints == ()


@pytest.mark.parametrize(
    ("memory", "served"),
    [(64, "phi4-mini:q8_0"), (7, "phi4-mini:q8_0"), (6, "phi4-mini:latest"), (4, "phi4-mini:latest")],
)
def test_the_most_faithful_build_that_fits_is_used(memory: int, served: str) -> None:
    """16 bits come after 8, of which they are no better; where nothing fits, the smallest comes closest."""
    assert bound(model(), device(memory * GB), ollama(*PHI)).endpoints[0].model == served


def vllm(*names: str) -> ObservedServer:
    url = "http://127.0.0.1:8000"
    return ObservedServer("vllm", url, f"{url}/v1", tuple(ServedModel(name) for name in names))


FULL, AWQ = "microsoft/Phi-4-mini-instruct", "org/Phi-4-mini-instruct-AWQ"


def test_sixteen_bits_go_before_four_where_both_fit() -> None:
    """They gain nothing over 8, and much over 4; what is told of the other is no praise of it."""
    card = Accelerator("card", "cuda", 24 * GB, 24 * GB)
    spec = model(ids={"ollama": ["phi4-mini"], "vllm": [FULL]})
    found = bound(spec, device(64 * GB, card), vllm(AWQ, FULL))
    assert found.endpoints[0].model == FULL
    assert (found.why, found.rejected) == ("bf16 is the best build that fits", (f"{AWQ} is no better",))
    order = ["q8_0", "fp8", "f16", "f32", "q6_k", "q4_k_m", "q2_k", "nobody-knows"]
    assert sorted(order, key=worth, reverse=True) == order


def test_a_build_that_nobody_tells_is_told_as_one_in_either_case() -> None:
    """Beside the one that is wanted, and alone: it is not said to be the usual one here and another one there."""
    spec = model(ids={"ollama": ["phi4-mini"], "vllm": [FULL]}, quantization="awq")
    found = bound(spec, device(64 * GB), vllm(AWQ, FULL))
    assert (found.endpoints[0].model, found.rejected) == (AWQ, (f"{FULL} does not tell its build",))
    alone = bound({**spec, "quantization": "q3_k_m"}, device(64 * GB), vllm(FULL))
    assert alone.why == "its server does not tell its build; the manifest says q3_k_m"


def test_without_knowing_the_device_the_plain_name_is_used() -> None:
    """As it was before anything was measured."""
    assert bound(model(), None, ollama(*reversed(PHI))).endpoints[0].model == "phi4-mini:latest"


@pytest.mark.parametrize("wanted", ["fp16", "f16", "F16"])
def test_the_build_that_the_manifest_names_goes_before_what_fits_well(wanted: str) -> None:
    """It is tight here, and not impossible; where no server has it, no other one is used in its place, and the plan says so."""
    spec = model(quantization=wanted.casefold())
    assert bound(spec, device(9 * GB), ollama(*PHI)).endpoints[0].model == "phi4-mini:fp16"
    other = bound(spec, device(9 * GB), ollama("phi4-mini:q8_0"))
    assert other.endpoints == ()
    named = wanted.casefold()
    assert other.missing == f"phi-4-mini is wanted as {named}, and ollama at 127.0.0.1:11434 has it as q8_0"
    assert other.cure.endswith("; or write quantization: q8_0")


@pytest.mark.parametrize(
    ("wanted", "there", "nearest"),
    [
        ("q5_k_m", ("q2_k", "q4_k_m", "q8_0"), "q4_k_m"),
        ("q6_k", ("q2_k", "q4_k_m", "q8_0"), "q8_0"),
        ("q3_k_m", ("q2_k", "q4_k_m", "q8_0"), "q4_k_m"),
        ("F16", ("q2_k", "q4_k_m", "Q8_0"), "Q8_0"),
        ("q2_k", ("q4_k_m", "f16"), "q4_k_m"),
        ("q5_k_m", ("of-ours", "f16"), "f16"),
    ],
)
def test_the_nearest_build_is_that_of_the_smallest_factor(wanted: str, there: tuple[str, ...], nearest: str) -> None:
    """Of the bits of a weight, upwards or downwards; not the smallest one, and none whose bits nobody knows."""
    assert nearest_build(wanted, there) == nearest_build(wanted, there[::-1]) == nearest


def test_the_build_to_write_is_the_nearest_of_those_that_are_there() -> None:
    """By the bits of a weight, in what a server lists."""
    names = [f"phi4-mini:{build}" for build in ("q2_k", "q4_k_m", "q8_0")]
    other = bound(model(quantization="q5_k_m"), device(9 * GB), ollama(*names))
    assert other.cure.endswith("; or write quantization: q4_k_m")


def test_what_can_never_fit_is_not_used_and_the_arithmetic_says_why() -> None:
    """The limit of the manifest is held."""
    found = bound(model(), device(64 * GB), ollama(*PHI), max_memory_usage=3 * GB)
    assert found.endpoints == ()
    assert found.missing == (
        "phi-4-mini does not fit this device: phi4-mini:latest needs 3.5 GB = 2.5 GB weights + 537 MB cache (4096 tokens "
        "assumed) + 479 MB server, and models may take 2.9 GB (max_memory_usage 3.0 GB, less 80.0 MB for the orchestrator)"
    )
    assert found.cure == (
        "use a smaller model, or raise resources.max_memory_usage, or write what it takes (memory), if it does run there"
    )


def test_what_a_server_holds_in_memory_already_fits() -> None:
    """A llama-server with one model has loaded it; whatever the arithmetic says, it runs."""
    held = ServedModel("Phi-4-mini-instruct-F16.gguf", loaded=True, context=131_072, slots=4)
    server = ObservedServer("llama-cpp", "http://127.0.0.1:8080", "http://127.0.0.1:8080/v1", (held,))
    assert bound(model(), device(8 * GB), server, max_memory_usage=2 * GB).endpoints[0].memory is not None
    router = replace(server, models=(replace(held, loaded=False), ServedModel("other", loaded=True)))
    assert bound(model(), device(8 * GB), router, max_memory_usage=2 * GB).endpoints == ()


def test_the_memory_of_another_machine_is_not_ours_to_judge() -> None:
    """A server in the local network has its own."""
    far = replace(ollama(*PHI), url="http://10.0.0.7:11434", api_base="http://10.0.0.7:11434/v1", zone="lan")
    spec = model(endpoint="http://10.0.0.7:11434", zone="lan")
    assert bound(spec, device(2 * GB), far).endpoints[0].model == "phi4-mini:q8_0"


def test_a_server_whose_build_fits_goes_before_one_whose_build_does_not() -> None:
    """Whatever order the catalogue has them in."""
    small = ServedModel("Phi-4-mini-instruct-Q4_K_M.gguf", kind="chat")
    llama = ObservedServer("llama-cpp", "http://127.0.0.1:8080", "http://127.0.0.1:8080/v1", (small, ServedModel("x")))
    found = bound(model(), device(5 * GB), ollama("phi4-mini:q8_0"), llama)
    assert [each.provider for each in found.endpoints] == ["llama-cpp", "ollama"]
    assert found.tight is False


FOUNDRY = ("Phi-4-mini-instruct-generic-cpu:5", "Phi-4-mini-instruct-cuda-gpu:4", "Phi-4-mini-instruct-openvino-npu:2")
CUDA, NPU = Accelerator("card", "cuda", 8 * GB, 8 * GB), Accelerator("Intel NPU", "npu", unified=True)


@pytest.mark.parametrize(("accelerators", "served"), [((), FOUNDRY[0]), ((CUDA,), FOUNDRY[1]), ((NPU,), FOUNDRY[2])])
def test_a_variant_is_chosen_for_the_accelerator_that_is_seen(accelerators: Any, served: str) -> None:
    """Without one, that for the processor."""
    url = "http://127.0.0.1:5273"
    server = ObservedServer("foundry-local", url, f"{url}/v1", tuple(ServedModel(name) for name in FOUNDRY))
    spec = model(ids={"ollama": ["phi4-mini"], "foundry-local": ["phi-4-mini"]})
    assert bound(spec, device(16 * GB, *accelerators), server).endpoints[0].model == served


@pytest.mark.parametrize(("card", "tokens"), [(8 * GB, 4096), (24 * 2**30, 32_768), (80 * GB, 131_072)])
def test_ollama_takes_more_tokens_on_a_large_card(card: int, tokens: int) -> None:
    """As its documentation says, and no more than the model has; another make is not assumed to."""
    here = device(64 * GB, Accelerator("card", "cuda", card, card))
    assert bound(model(context_length=131_072), here, ollama("phi4-mini:latest")).need == Need(
        2_500_000_000, 131_072 * tokens, SERVER, Window(tokens, 1, assumed=True)
    )


def test_the_plan_says_which_build_and_why_not_the_others() -> None:
    """In the step that binds the model."""
    made = blueprint(model(), agent("a", models=["phi-4-mini"]))
    step = diff(made, state(ollama(*PHI), device=device(6 * GB))).steps[0]
    assert step.operation.does() == (
        "bind to ollama at 127.0.0.1:11434 as phi4-mini:latest; q4_k_m is the best build that fits "
        "(phi4-mini:q8_0 needs 5.0 GB of 4.8 GB; phi4-mini:fp16 needs 8.7 GB of 4.8 GB)"
    )


TURNS = (
    "phi-4-mini 3.5 GB + small 3.5 GB = 7.0 GB, and models may take 6.4 GB (80% of 8.0 GB memory): their servers "
    "decide what stays loaded; with resources.max_memory_usage they take turns"
)
NOTES = {
    "enough for both": (device(32 * GB), ""),
    "one after the other": (device(8 * GB), TURNS),
    "others have the memory now": (
        device(32 * GB, free=4 * GB),
        (
            "phi-4-mini 3.5 GB + small 3.5 GB are to be loaded, and 4.0 GB of memory are free for that: other programs hold "
            "28.0 GB of 32.0 GB"
        ),
    ),
}


@pytest.mark.parametrize("case", NOTES)
def test_a_plan_notes_what_its_models_share(case: str) -> None:
    """Turns where they do not fit together, and a word where the memory is taken now; silence where all is well."""
    here, note = NOTES[case]
    small = model("small", ids={"ollama": ["small"]}, builds={"q4_k_m": 2_500_000_000})
    made = blueprint(model(), small, agent("a", models=["phi-4-mini", "small"]))
    server = ollama("phi4-mini:latest", "small:latest")
    away = tuple(replace(each, loaded=False) for each in server.models)
    notes = diff(made, state(replace(server, models=away), device=here)).notes
    assert notes == ((note,) if note else ())


def test_what_is_loaded_already_is_not_counted_twice() -> None:
    """It is in what is not free."""
    server = replace(ollama(), models=(ServedModel("phi4-mini:latest", loaded=True),))
    made = blueprint(model(), agent("a", models=["phi-4-mini"]))
    assert diff(made, state(server, device=device(32 * GB, free=1 * GB))).notes == ()


def test_a_tight_model_is_noted_with_its_cures() -> None:
    """A build that would fit, a smaller window, fewer slots."""
    spec = model(window=8_192, max_concurrent=4, quantization="q8_0")
    made = blueprint(spec, agent("a", models=["phi-4-mini"]))
    (note,) = diff(made, state(ollama("phi4-mini:q8_0"), device=device(10 * GB))).notes
    assert note == (
        "phi-4-mini needs 8.8 GB = 4.0 GB weights + 4.3 GB cache (8192 tokens x 4 slots) + 479 MB server; models should take "
        "at most 8.0 GB (80% of 10.0 GB memory): take the build q4_k_m (7.3 GB), or let the server keep 6144 tokens "
        "(context_length), or serve fewer at once (one slot: 5.6 GB)"
    )


def test_the_hardware_of_the_manifest_goes_before_what_is_measured() -> None:
    """Numbers that are written are those that are reckoned with."""
    made = replace(blueprint(model(), agent("a")), hardware={"memory": 6 * GB})
    assert str(device_budget(made, device(64 * GB, CUDA))) == "4.8 GB (80% of 6.0 GB memory)"
    assert str(device_budget(replace(made, hardware={"gpu_memory": 4 * GB}), device(64 * GB))) == (
        "54.8 GB (80% of 64.0 GB memory and 90% of 4.0 GB graphics memory)"
    )
    unknown = replace(made, hardware={})
    assert (
        device_budget(unknown, None)
        is device_budget(replace(unknown, resources={"max_memory_usage": 0.5}), None)
        is None
    )
    written = device_budget(replace(unknown, resources={"max_memory_usage": 3 * GB}), None)
    assert str(written) == "2.9 GB (max_memory_usage 3.0 GB, less 80.0 MB for the orchestrator)"


def test_a_model_of_which_no_build_could_ever_fit_is_not_to_be_fetched() -> None:
    """Nobody is told to pull what the device cannot load."""
    found = bound(model(), device(64 * GB), max_memory_usage=3 * GB)
    assert found.missing.startswith("phi-4-mini does not fit this device: it needs 3.5 GB = 2.5 GB weights + ")
    assert "pull" not in found.cure
    assert bound(model(), device(64 * GB)).cure == "ollama pull phi4-mini:latest"
    assert bound(model(builds={}), device(64 * GB), max_memory_usage=3 * GB).cure == "ollama pull phi4-mini:latest"


def _told(spec: Any, memory: int | None) -> list[str]:
    budget = limited(Memory(memory), None) if memory else None
    return [f"{each.build}{'!' if each.chosen else ''}: {each.why}" for each in variants(spec, budget)]


def test_the_builds_of_the_catalogue_are_ranked_for_a_device() -> None:
    """The named one first, unless it is impossible; without a device, the most faithful."""
    better, less = "16 bits are no better than 8", "less faithful"
    assert _told(model(), None) == ["q8_0!: the most faithful that fits", f"f16: {better}", f"q4_k_m: {less}"]
    assert _told(model(), 6 * GB) == [
        "q4_k_m!: the most faithful that fits",
        "q8_0: more than models should take (4.8 GB)",
        "f16: it can never fit",
    ]
    assert _told(model(quantization="q8_0"), 6 * GB)[0] == (
        "q8_0!: the manifest names it, more than models should take (4.8 GB)"
    )
    assert _told(model(quantization="q5_k_m"), 64 * GB)[0] == "q5_k_m!: the manifest names it"
    assert not any("!" in told for told in _told(model(), 1 * GB))
    assert _told(model(builds={}), 64 * GB) == []


@given(st.integers(1, 64), st.sampled_from([None, "q4_k_m", "q8_0", "f16", "q6_k"]))
def test_the_chosen_build_is_the_first_and_possible(memory: int, named: str | None) -> None:
    """One is chosen exactly where one is possible."""
    ranked = variants(model(quantization=named), limited(Memory(memory * GB), None))
    chosen = [each for each in ranked if each.chosen]
    assert chosen == [each for each in ranked[:1] if each.fit != "never"]
    assert bool(chosen) == any(each.fit != "never" for each in ranked)


builds = st.lists(st.sampled_from(sorted(BITS)), min_size=1, max_size=8, unique_by=lambda name: BITS[name])


def _chosen(names: list[str], memory: int, wanted: str | None = None) -> Bound:
    """Of these builds on a device of so much memory; a server that tells nothing but the names."""
    server = ollama(*(f"phi4-mini:{name}" for name in names))
    return bound(model(quantization=wanted), device(memory), server)


@given(builds, st.integers(1, 40))
def test_never_a_build_that_does_not_fit_while_one_fits(names: list[str], memory: int) -> None:
    """And never one that is less faithful than another that fits."""
    found = _chosen(names, memory * GB)
    alone = {name: _chosen([name], memory * GB) for name in names}
    fitting = [name for name, each in alone.items() if each.endpoints and not each.tight]
    if not found.endpoints:
        assert not any(each.endpoints for each in alone.values())
    elif fitting:
        assert not found.tight
        assert worth(found.endpoints[0].build) == max(worth(name) for name in fitting)


@given(builds, st.integers(1, 40), st.integers(0, 40))
def test_more_memory_never_gives_a_worse_build(names: list[str], memory: int, more: int) -> None:
    """What fits in less fits in more."""
    before, after = _chosen(names, memory * GB), _chosen(names, (memory + more) * GB)
    if before.endpoints and not before.tight:
        assert worth(after.endpoints[0].build) >= worth(before.endpoints[0].build)


@given(builds, st.integers(2, 40), st.data())
def test_the_named_build_is_used_wherever_it_may_be(names: list[str], memory: int, drawn: st.DataObject) -> None:
    """As long as it is not impossible."""
    wanted = drawn.draw(st.sampled_from(names))
    found, alone = _chosen(names, memory * GB, wanted), _chosen([wanted], memory * GB)
    if alone.endpoints:
        assert same_build(found.endpoints[0].build, wanted)


@pytest.mark.parametrize("loaded", [True, False, None])
def test_what_is_only_measured_refuses_no_model_that_a_server_lists(loaded: bool | None) -> None:
    """No sensor may see the card that it runs on; a limit that is written does refuse."""
    server = ollama("phi4-mini:latest")
    server = replace(server, models=tuple(replace(each, loaded=loaded) for each in server.models))
    made = blueprint(model(), agent("a", models=["phi-4-mini"]))
    here = device(1 * GB)
    assert bind_all(made, state(server, device=here))["phi-4-mini"].endpoints
    limited = replace(made, resources={"max_memory_usage": 1 * GB})
    assert bool(bind_all(limited, state(server, device=here))["phi-4-mini"].endpoints) is (loaded is True)


def test_a_server_that_lists_models_is_no_way_to_steer_a_terminal() -> None:
    """What it calls them stands in the reason, on one line, as it is spelled and not as a terminal would obey it."""
    url = "http://127.0.0.1:8080"
    ids = ("\x1b[31mred\x1b[0m", "a\nb", "x\rHIDDEN", "c\u202egpj")
    server = ObservedServer("llama-cpp", url, f"{url}/v1", tuple(map(ServedModel, ids)))
    missing = bound(model("mine", ids={"*": ["mine"]}, endpoint=url), device(64 * GB), server).missing
    assert missing.isprintable() and "\u241b[31mred" in missing and "a\u240ab" in missing and "\\u202egpj" in missing
