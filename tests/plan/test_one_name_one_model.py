"""A name means one model of the catalogue: whatever server lists it, it is never taken for another one, and it is still known as
its own in the ways in which makes spell it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.app.inventory import aliases_of, holder, holders, wanted_ids
from orchestrator.core.errors import OrchestratorError
from orchestrator.manifest.catalogue.reader import ids_of, model_rows
from orchestrator.plan.binding import bind
from orchestrator.plan.builds import means, same_model
from orchestrator.plan.matching import GATEWAYS
from orchestrator.plan.observed import ObservedServer
from orchestrator.plugins.providers.addresses import MAKES
from orchestrator.ports.provider import ServedModel
from tests.plan.parts import model, state

PROVIDERS = sorted({make.kind for make in MAKES} | {"onnx", "openvino-genai"})
ROWS: Mapping[str, dict[str, Any]] = {row["alias"]: row for row in model_rows()}
TAGS = ("q8_0", "instruct-q4_K_M", "fp16")
REPOSITORIES = (
    "{}", "{}-AWQ", "{}-GPTQ-Int4", "{}-GGUF", "{}-GGUF:Q8_0", "{}-GGUF:UD-Q4_K_XL", "{}-GGUF:TQ1_0", "hf.co/{}-GGUF:Q4_K_M"
)  # fmt: skip
FILES = (
    "{}", "{}-Q4_K_M.gguf", "/models/{}-UD-Q4_K_XL.gguf", "{}@q8_0", "lmstudio-community/{}", "mlx-community/{}-4bit",
    "OpenVINO/{}-int4-ov", "{}-generic-cpu:4", "{}-cuda-gpu", "{}-Hybrid", "{}-NPU", "{}-CPU", "{}-GGUF", "{}:latest",
)  # fmt: skip


def names_of(row: Mapping[str, Any]) -> Iterator[str]:
    """What servers of all makes list this model as."""
    yield row["alias"]
    for make, ids in ids_of(row).items():
        for name in ids:
            yield name
            if make == "ollama":
                yield from _of_ollama(name)
            elif make == "vllm":
                yield from (form.format(name) for form in REPOSITORIES)
                yield from (form.format(name.partition("/")[2]) for form in FILES)


def _of_ollama(name: str) -> Iterator[str]:
    """Also behind a gateway; and of Docker's library, whose names with a size are like these."""
    family, _, size = name.partition(":")
    yield from (f"ollama/{name}", name if size else f"{name}:latest")
    if "-" in size:
        return  # it names its build already
    yield from (f"{name}-{tag}" if size else f"{name}:{tag}" for tag in TAGS)
    if size:
        for tag in ("", "-F16", "-Q4_K_M", "-UD-Q4_K_XL"):
            yield from (f"ai/{family}:{size.upper()}{tag}", f"docker.io/ai/{family}:{size.upper()}{tag}")


NAMES = sorted({(alias, name) for alias, row in ROWS.items() for name in names_of(row)})


@lru_cache(maxsize=1)
def _wanted() -> dict[str, list[tuple[str, str]]]:
    return {
        provider: [(alias, name) for alias, row in ROWS.items() for name in (*_all(row, provider), alias)]
        for provider in PROVIDERS
    }


def _all(row: Mapping[str, Any], provider: str) -> list[str]:
    """As binding asks: where no id is known for a make, all of them."""
    return wanted_ids(row, provider) or [name for ids in ids_of(row).values() for name in ids]


@pytest.mark.parametrize("provider", PROVIDERS)
def test_every_id_of_the_catalogue_is_that_model_on_every_server(provider: str) -> None:
    """All ids of all makes as any of them lists them, against all that is asked for there."""
    ids = {(alias, name) for alias, row in ROWS.items() for names in ids_of(row).values() for name in names}
    wrong = [
        (wanted, name)
        for its, name in sorted(ids)
        for alias, wanted in _wanted()[provider]
        if alias != its and same_model(provider, wanted, name)
    ]
    assert wrong == []


@given(st.sampled_from(PROVIDERS), st.sampled_from(NAMES))
def test_no_name_of_one_model_is_ever_taken_for_another(provider: str, named: tuple[str, str]) -> None:
    """Of any make, with builds, owners, folders and tags; neither by binding, nor by what loads, lists and removes."""
    its, name = named
    served = ServedModel(name)
    found = {alias for alias, wanted in _wanted()[provider] if means(provider, wanted, served)}
    assert found <= {its}
    assert set(aliases_of(provider, name)) <= {its}
    url = "http://127.0.0.1:1"
    server = ObservedServer(provider, url, f"{url}/v1", (served,))
    assert {alias for alias in ROWS if holders([server], alias)} <= {its}


@pytest.mark.parametrize("provider", sorted({*GATEWAYS, "openvino"}))
def test_behind_a_gateway_a_model_is_known_however_it_is_spelled(provider: str) -> None:
    """Where any make may stand behind, or the catalogue has no names of the make's own."""
    engines = re.compile("-(?:Hybrid|NPU|CPU|cpu:4|gpu)$")  # Lemonade's and Foundry Local's own, which they alone list
    unknown = [(its, name) for its, name in NAMES if not engines.search(name) and aliases_of(provider, name) != [its]]
    assert unknown == []


@pytest.mark.parametrize(
    ("provider", "wanted", "served", "same"),
    [
        ("docker-model-runner", "qwen2.5:0.5b", "ai/qwen2.5:0.5B-F16", True),
        ("docker-model-runner", "qwen2.5", "ai/qwen2.5:0.5B-F16", False),
        ("docker-model-runner", "gemma3:4b", "ai/gemma3:1B-F16", False),
        ("docker-model-runner", "smollm2", "ai/smollm2", False),
        ("docker-model-runner", "smollm2", "docker.io/ai/smollm2:latest", False),
        ("docker-model-runner", "ai/smollm2", "docker.io/ai/smollm2:latest", True),
        ("docker-model-runner", "ai/smollm2", "ai/smollm2:135M-Q4_K_M", False),
        ("docker-model-runner", "nomic-ai/nomic-embed-text-v1.5", "ai/nomic-embed-text-v1.5", True),
        ("docker-model-runner", "x/Phi-4-mini-instruct", "ai/phi-4-mini-instruct:3.8B-Q4_0", True),
        ("docker-model-runner", "x/Qwen2.5-7B-Instruct", "me/qwen2.5-7b-instruct:0.5b", False),
        ("docker-model-runner", "x/Qwen2.5-7B-Instruct", "me/qwen2.5-7b-instruct:7B-Q8_0", True),
        ("docker-model-runner", "x/Qwen2.5-7B-Instruct", "me/qwen2.5-7b-instruct:tuned", False),
        ("litellm", "qwen2.5:7b", "ollama/qwen2.5:7b", True),
        ("litellm", "qwen2.5", "ollama/qwen2.5:latest", True),
        ("localai", "gemma3:4b", "gemma3:4b-it-qat", False),
        ("localai", "llama3.2:1b", "llama3.2:1b-instruct-q4_K_M", True),
        ("localai", "llama3.2:1b", "llama3.2:1b-text-q4_K_M", False),
        ("lm-studio", "x/Qwen3-4B-GGUF:Q4_K_M", "qwen3-4b:2", True),
        ("lm-studio", "qwen2.5", "qwen2.5:3b", False),
        ("foundry-local", "qwen2.5", "qwen2.5:7b", False),
        ("foundry-local", "qwen2.5-7b", "qwen2.5-7b-instruct-cuda-gpu:3", True),
        ("llama-cpp", "x/Qwen3-4B-GGUF", "x/Qwen3-4B-GGUF:TQ1_0", True),
        ("vllm", "x/Qwen3-4B", "x/Qwen3-4B:my-adapter", False),
    ],
)
def test_a_size_counts_wherever_it_stands(provider: str, wanted: str, served: str, same: bool) -> None:
    """A tag that tells more than a build belongs to the name, and one that tells less does not."""
    assert same_model(provider, wanted, served) is same


SIZES = ("0.5b", "1.5b", "3b", "7b")
DOCKERS = ("ai/qwen2.5:0.5B-F16", "ai/qwen2.5:7B-Q4_K_M", "ai/qwen2.5:3B-Q4_K_M")


@pytest.mark.parametrize("size", SIZES)
def test_of_one_family_each_alias_gets_its_own_size(size: str) -> None:
    """In Docker's names; where that size is not there, no other one serves it."""
    row = ROWS[f"qwen2.5-{size}"]
    spec = model(row["alias"], ids=ids_of(row))
    url = "http://127.0.0.1:12434"
    docker = ObservedServer("docker-model-runner", url, f"{url}/v1", tuple(map(ServedModel, DOCKERS)))
    found = bind(spec, state(docker))
    wanted = [name for name in DOCKERS if f":{size}-" in name.casefold()]
    assert [each.model for each in found.endpoints] == wanted
    if not wanted:
        assert found.missing.endswith(f": {row['alias']} is not among the models")


@pytest.mark.parametrize("name", ["qwen2.5-0.5b", "qwen3-0.6b", "qwen2.5", "smollm2-135m"])
def test_nothing_of_another_size_is_removed(name: str) -> None:
    """Of a server that the catalogue has no names for: these are qwen2.5-7b and qwen3-8b there."""
    url = "http://127.0.0.1:13305"
    there = tuple(map(ServedModel, ("qwen2.5:7b", "qwen3:8b", "ai/smollm2")))
    lemonade = ObservedServer("lemonade", url, f"{url}/v1", there, capabilities={"remove": "yes"})
    with pytest.raises(OrchestratorError):
        holder([lemonade], name, "remove")
    assert holder([lemonade], "qwen2.5-7b", "remove").model == "qwen2.5:7b"
    assert holder([lemonade], "qwen3-8b", "remove").model == "qwen3:8b"
