"""Which server serves a model alias: preferences, privacy, and honest reasons where none does."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from orchestrator.plan.binding import bind, bind_all
from orchestrator.plan.builds import same_model
from orchestrator.plan.fetches import fetches
from orchestrator.plan.matching import GATEWAYS
from orchestrator.plan.observed import ObservedServer
from orchestrator.ports.provider import ServedModel
from tests.plan.parts import agent, blueprint, model, ollama, rule, state

LLAMA = ObservedServer(
    "llama-cpp",
    "http://127.0.0.1:8080",
    "http://127.0.0.1:8080/v1",
    (ServedModel("/models/Phi-4-mini-instruct-Q4_K_M.gguf", slots=4, context=4096),),
)


def _found(spec: Any, *servers: ObservedServer) -> list[str]:
    return [endpoint.id for endpoint in bind(spec, state(*servers)).endpoints]


@pytest.mark.parametrize(
    ("provider", "wanted", "served", "same"),
    [
        ("ollama", "phi4-mini", "phi4-mini:latest", True),
        ("ollama", "phi4-mini:3.8b", "phi4-mini:latest", False),
        ("ollama", "Phi4-Mini", "phi4-mini:latest", True),
        ("llama-cpp", "Phi-4-mini-instruct-Q4_K_M.gguf", "/models/phi-4-mini-instruct-q8_0.gguf", True),
        ("llama-cpp", "unsloth/Phi-4-mini-instruct-GGUF:Q4_K_M", "Phi-4-mini-instruct-Q4_K_M.gguf", True),
        ("llama-cpp", "Phi-4-mini-instruct-Q4_K_M.gguf", "Phi-4-mini-reasoning-Q4_K_M.gguf", False),
        ("llama-cpp", "unsloth/Phi-4-mini-instruct-GGUF", "microsoft_Phi-4-mini-instruct-Q4_K_M.gguf", True),
        ("vllm", "microsoft/Phi-4-mini-instruct", "microsoft/Phi-4-mini-instruct", True),
        ("vllm", "microsoft/Phi-4", "microsoft/Phi-4-mini-instruct", False),
        ("mlx", "Phi-4-mini-instruct-Q4_K_M.gguf", "mlx-community/Phi-4-mini-instruct-4bit", True),
        ("openvino", "Phi-4-mini-instruct-Q4_K_M.gguf", "OpenVINO/Phi-4-mini-instruct-int4-ov", True),
        ("docker-model-runner", "microsoft/Phi-4-mini-instruct", "docker.io/ai/phi-4-mini-instruct:3.8B-Q4_0", True),
    ],
)
def test_spellings_of_one_model_are_the_same(provider: str, wanted: str, served: str, same: bool) -> None:
    """Tags, folders and quantizations do not matter; another model does."""
    assert same_model(provider, wanted, served) is same


def test_every_server_that_serves_it_is_bound_in_the_order_of_the_catalogue() -> None:
    """The others are there to fall back on."""
    assert _found(model(), LLAMA, ollama("phi4-mini:latest")) == [
        "ollama@127.0.0.1:11434/phi4-mini:latest",
        "llama-cpp@127.0.0.1:8080//models/Phi-4-mini-instruct-Q4_K_M.gguf",
    ]


def test_a_fixed_provider_excludes_the_others() -> None:
    """What the manifest names is what is used."""
    assert _found(model(provider="llama-cpp"), LLAMA, ollama("phi4-mini:latest")) == [
        "llama-cpp@127.0.0.1:8080//models/Phi-4-mini-instruct-Q4_K_M.gguf"
    ]


def test_a_server_that_tells_its_slots_and_context_is_believed() -> None:
    """Unless the manifest allows fewer calls."""
    endpoint = bind(model(), state(LLAMA)).endpoints[0]
    assert (endpoint.slots, endpoint.context) == (4, 4096)
    assert bind(model(max_concurrent=2), state(LLAMA)).endpoints[0].slots == 2


def test_a_model_that_is_only_forwarded_never_serves_this_device() -> None:
    """An Ollama cloud model would send the data away; the reason says so."""
    server = replace(ollama(), models=(ServedModel("phi4-mini:latest", remote=True),))
    bound = bind(model(), state(server))
    assert bound.endpoints == ()
    assert bound.missing == (
        "ollama at 127.0.0.1:11434 only forwards phi-4-mini to another machine, which this manifest does not allow"
    )
    allowed = model(zone="cloud", provider="ollama", endpoint=None)
    assert bind(allowed, state(server)).endpoints[0].zone == "cloud"


def test_a_model_of_ollamas_cloud_is_not_pulled_where_the_manifest_does_not_allow_it() -> None:
    """Its name alone tells what it is: nothing is asked for, and the plan says how to allow it."""
    able = replace(ollama(), capabilities={"pull": "yes"})
    spec = model("big", ids={"ollama": ["gpt-oss:120b-cloud"]})
    wanted = blueprint(spec, agent("clerk", models=["big"], reflex=[rule()]))
    bound = bind_all(wanted, state(able))
    assert fetches(wanted, state(able), bound) == {}
    assert bound["big"].missing == "gpt-oss:120b-cloud is a model of Ollama's cloud, which this manifest does not allow"
    assert bound["big"].cure == "write zone: cloud for big if what it is asked may leave this device"


def test_the_cloud_is_used_only_where_it_is_named() -> None:
    """And is never asked what it serves."""
    spec = model("gpt", provider="openai", zone="cloud", ids={"openai": ["gpt-5-mini"]}, api_key="env:KEY")
    endpoint = bind(spec, state()).endpoints[0]
    assert (endpoint.api_base, endpoint.model, endpoint.zone) == ("https://api.openai.com/v1", "gpt-5-mini", "cloud")
    far = replace(ollama("phi4-mini:latest"), zone="cloud")
    assert _found(model(), far) == []


def test_a_named_address_is_the_only_one() -> None:
    """Another server with the same model is not taken in its place."""
    spec = model(endpoint="http://localhost:9000/v1")
    assert _found(spec, ollama("phi4-mini:latest")) == []
    assert _found(spec, ollama("phi4-mini:latest", port=9000)) == ["ollama@127.0.0.1:9000/phi4-mini:latest"]


def test_an_embedding_model_is_not_bound_for_chat() -> None:
    """A server may serve both under one address."""
    server = replace(ollama(), models=(ServedModel("phi4-mini:latest", kind="embedding"),))
    assert _found(model(), server) == []


def test_what_is_put_at_an_address_to_make_vectors_is_bound_there_though_it_is_told_to_write() -> None:
    """llama-server tells of every model that it writes; without an address what is said of a model counts."""
    server = replace(ollama(), models=(ServedModel("phi4-mini:latest", kind="chat"),))
    vectors = model("phi-4-mini", kind="embedding", ids={"ollama": ["phi4-mini"]})
    assert _found(vectors, server) == []
    vectors["endpoint"] = server.url
    assert _found(vectors, server) == ["ollama@127.0.0.1:11434/phi4-mini:latest"]


def test_a_server_that_does_not_say_what_it_is_may_serve_any_spelling() -> None:
    """Known names of the model are all tried there."""
    server = replace(ollama("Phi-4-mini-instruct-Q4_K_M"), provider="openai-compatible")
    assert len(_found(model(), server)) == 1


@pytest.mark.parametrize("make", ["llama-swap", "localai", "docker-model-runner", "mlx", "openvino", "lemonade"])
def test_a_make_without_ids_of_its_own_may_serve_any_spelling(make: str) -> None:
    """Also where the manifest names another provider and a gateway stands before it."""
    served = (ServedModel("Phi-4-mini-instruct"),)
    server = ObservedServer(make, "http://127.0.0.1:8080", "http://127.0.0.1:8080/v1", served)
    assert _found(model(), server) == [f"{make}@127.0.0.1:8080/Phi-4-mini-instruct"]
    behind = _found(model(provider="llama-cpp"), server)
    assert bool(behind) is (make in GATEWAYS)


def test_what_only_forwards_says_how_to_allow_it() -> None:
    """LiteLLM's models count as the cloud, whatever they are called."""
    served = (ServedModel("phi-4-mini", remote=True),)
    server = ObservedServer("litellm", "http://127.0.0.1:4000", "http://127.0.0.1:4000/v1", served)
    bound = bind(model(), state(server))
    assert bound.endpoints == ()
    assert "only forwards phi-4-mini to another machine" in bound.missing
    assert bound.cure == "write zone: cloud for phi-4-mini if what it is asked may leave this device"


def test_another_packages_provider_is_served_by_its_own_servers_alone() -> None:
    """Also not by one that does not say what it is; and its servers serve nobody else."""
    compatible = replace(LLAMA, provider="openai-compatible")
    acme = replace(LLAMA, provider="plugin:acme", url="http://127.0.0.1:9000", api_base="http://127.0.0.1:9000")
    ids = {"plugin:acme": ["Phi-4-mini-instruct"]}
    for place in (None, LLAMA.url):
        assert _found(model(provider="plugin:acme", ids=ids, endpoint=place), compatible, LLAMA) == []
    assert len(_found(model(provider="plugin:acme", ids=ids, endpoint=acme.url), compatible, acme)) == 1
    for provider in (None, "openai-compatible", "llama-cpp"):
        assert _found(model(provider=provider), acme) == []


@pytest.mark.parametrize(
    ("served", "same"),
    [
        ("Phi-4-mini-instruct-generic-cpu:4", True),
        ("phi-4-mini-instruct-cuda-gpu", True),
        ("phi-4-mini-qnn-npu:1", True),
        ("phi-4-generic-cpu:1", False),
        ("Phi-4-mini-reasoning-generic-cpu:3", False),
    ],
)
def test_a_variant_of_foundry_local_is_its_model(served: str, same: bool) -> None:
    """It is asked for by an alias and answers under the id of a build."""
    assert same_model("foundry-local", "phi-4-mini", served) is same
    assert not same_model("vllm", "phi-4-mini", served)


def test_two_keys_for_one_address_are_two_endpoints() -> None:
    """So that neither's calls go out with the other's key."""
    one, two = (_found(model(api_key=key), LLAMA) for key in ("env:A", "env:B"))
    assert one != two


@pytest.mark.parametrize(
    ("spec", "cure"),
    [
        (model(), "orchestrator models pull phi-4-mini"),
        (model(provider="ollama", ids={"ollama": ["mine:7b"]}), "orchestrator models pull mine:7b --provider ollama"),
        (model(ids={"vllm": ["microsoft/Phi-4-mini-instruct"], "mlx": ["x"]}), None),
    ],
)
def test_where_a_server_can_pull_the_cure_is_to_let_it(spec: Any, cure: str | None) -> None:
    """By alias where the catalogue knows it, else by the id that the manifest chose; a server that has no id cannot."""
    bound = bind(spec, state(replace(ollama("qwen3:4b"), capabilities={"pull": "yes"})))
    assert bound.endpoints == ()
    assert bound.cure == cure if cure else "models pull" not in bound.cure


@pytest.mark.parametrize(
    ("spec", "servers", "silent", "missing", "cure"),
    [
        (model(), (), {}, "no model server answers on this device", "ollama pull phi4-mini:latest"),
        (model(provider="vllm"), (), {}, "no vllm server answers on this device", None),
        (
            model(),
            (ollama("qwen3:4b"),),
            {},
            "ollama at 127.0.0.1:11434: phi-4-mini is not among the models",
            "ollama pull phi4-mini:latest",
        ),
        (
            model(endpoint="http://127.0.0.1:9"),
            (),
            {"http://127.0.0.1:9": "nobody listens there"},
            "http://127.0.0.1:9: nobody listens there",
            "start the server at http://127.0.0.1:9, or name a model that it serves",
        ),
        (
            model(endpoint="http://127.0.0.1:11434"),
            (ollama("qwen3:4b"),),
            {},
            "http://127.0.0.1:11434 serves qwen3:4b; not phi-4-mini",
            None,
        ),
        (
            model(endpoint="http://127.0.0.1:11434"),
            (replace(ollama("qwen3:4b"), capabilities={"pull": "yes"}),),
            {},
            "http://127.0.0.1:11434 serves qwen3:4b; not phi-4-mini",
            "orchestrator models pull phi-4-mini --endpoint http://127.0.0.1:11434",
        ),
        (
            model(endpoint="http://127.0.0.1:9"),
            (),
            {"http://127.0.0.1:9": "it answers like no model server that is known (GET / gives a web page)"},
            "http://127.0.0.1:9: it answers like no model server that is known (GET / gives a web page)",
            "write the address of a model server as endpoint of phi-4-mini, or start one there in its place",
        ),
        (
            model(endpoint="http://127.0.0.1:9"),
            (),
            {"http://127.0.0.1:9": "it answers 401: its key is wrong or missing"},
            "http://127.0.0.1:9: it answers 401: its key is wrong or missing",
            "write a reference to its key as api_key of phi-4-mini: api_key: env:NAME, or file:PATH",
        ),
        (
            model(endpoint="http://127.0.0.1:9", api_key="env:SHOP_KEY"),
            (),
            {"http://127.0.0.1:9": "it answers 401: its key is wrong or missing"},
            "http://127.0.0.1:9: it answers 401: its key is wrong or missing",
            "mend the key that api_key of phi-4-mini names, env:SHOP_KEY",
        ),
        (
            model(provider="ollama", endpoint="http://127.0.0.1:9"),
            (),
            {"http://127.0.0.1:9": "nobody listens there"},
            "http://127.0.0.1:9: nobody listens there",
            "start the server at http://127.0.0.1:9 (ollama serve), or name a model that it serves",
        ),
        (
            model(endpoint="http://127.0.0.1:4000"),
            (
                ObservedServer(
                    "litellm",
                    "http://127.0.0.1:4000",
                    "http://127.0.0.1:4000/v1",
                    (ServedModel("phi-4-mini", remote=True),),
                ),
            ),
            {},
            "litellm at 127.0.0.1:4000 only forwards phi-4-mini to another machine, which this manifest does not allow",
            "write zone: cloud for phi-4-mini if what it is asked may leave this device",
        ),
        (
            model(provider="vllm", endpoint="http://127.0.0.1:11434"),
            (ollama("phi4-mini"),),
            {},
            "http://127.0.0.1:11434 is ollama, not vllm",
            None,
        ),
    ],
)
def test_a_missing_model_has_its_reason_and_its_cure(
    spec: Any, servers: Any, silent: dict[str, str], missing: str, cure: str | None
) -> None:
    """What was looked at, and what to type."""
    bound = bind(spec, state(*servers, silent=silent))
    assert bound.missing == missing
    assert bound.cure == cure if cure else bound.cure


@pytest.mark.parametrize(("told", "written", "window"), [(4096, 2048, 2048), (2048, 4096, 2048), (None, 2048, 2048)])
def test_the_context_length_that_is_written_bounds_a_request(told: int | None, written: int, window: int) -> None:
    """Also while its server does not tell what it gives the model, because that is not loaded."""
    server = ObservedServer(
        "ollama",
        "http://127.0.0.1:11434",
        "http://127.0.0.1:11434/v1",
        (ServedModel("phi4-mini:latest", context=told),),
        capabilities={"context_told": "yes"},
    )
    bound = bind(model(window=written, context_length=written), state(server))
    assert bound.endpoints[0].context == window
    assert bound.endpoints[0].bounded == (told is None or written < told), "only then the server would take more"
