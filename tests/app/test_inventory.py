"""Which server is asked for which model: decided from what the servers told and what the catalogue says."""

from __future__ import annotations

import pytest

from orchestrator.app.inventory import (
    Choice,
    aliases_of,
    applied_names,
    applied_places,
    cache_of,
    holder,
    holders,
    size_of,
    source,
    unknown,
    users_of,
    wanted_ids,
)
from orchestrator.core.errors import NoServer, UsageError
from orchestrator.manifest.catalogue.reader import find_model, model_rows
from orchestrator.plan.observed import ObservedServer
from orchestrator.ports.provider import ServedModel, Zone

ALL = {"load": "yes", "pull": "yes", "remove": "yes"}


def server(provider: str, *models: str, port: int = 1, zone: Zone = "node", **able: str) -> ObservedServer:
    url = f"http://127.0.0.1:{port}"
    served = tuple(ServedModel(name) for name in models)
    return ObservedServer(provider, url, f"{url}/v1", served, zone=zone, capabilities=able or ALL)


def test_a_pull_goes_to_the_server_that_the_catalogue_names_first() -> None:
    """Near before far; the others are named."""
    servers = [server("llama-cpp", port=1), server("ollama", port=2, zone="lan"), server("ollama", port=3)]
    choice = source(servers, "phi-4-mini", own=False)
    assert (choice.server.url, choice.model) == ("http://127.0.0.1:3", "phi4-mini:3.8b")
    assert [other.url for other in choice.others] == ["http://127.0.0.1:1", "http://127.0.0.1:2"]


def test_lm_studio_takes_the_files_of_llama_cpp() -> None:
    """The catalogue names nothing for it; both serve GGUF files."""
    choice = source([server("lm-studio")], "phi-4-mini", own=False)
    assert choice.model == "unsloth/Phi-4-mini-instruct-GGUF:Q4_K_M"
    assert aliases_of("lm-studio", "phi-4-mini-instruct") == ["phi-4-mini"]


def test_lemonade_has_names_of_its_own() -> None:
    """A pull takes the one that the catalogue knows; what is there is the model whatever runs it, but not another training."""
    lemonade = server("lemonade", "Llama-3.2-1B-Instruct-Hybrid", "Llama-3.2-3B-NPU", "Qwen2.5-0.5B-Instruct-CPU")
    assert source([lemonade], "phi-4-mini", own=False).model == "Phi-4-mini-instruct-GGUF"
    assert holder([lemonade], "llama-3.2-1b", "load").model == "Llama-3.2-1B-Instruct-Hybrid"
    assert holder([lemonade], "qwen2.5-0.5b", "load").model == "Qwen2.5-0.5B-Instruct-CPU"
    cures = {}
    for name in ("llama-3.2-3b", "phi-3.5-mini"):
        with pytest.raises(NoServer) as caught:
            holder([lemonade], name, "load")
        cures[name] = caught.value.cure
    assert cures["llama-3.2-3b"] == "orchestrator models pull llama-3.2-3b"
    assert cures["phi-3.5-mini"].endswith("orchestrator models pull ID --provider lemonade")


def test_a_server_without_an_id_is_not_asked() -> None:
    """Foundry Local has no id for it in the catalogue: its own has to be named."""
    row = find_model("qwen3-0.6b")
    assert row is not None
    name = next(each["alias"] for each in model_rows() if "foundry-local" not in each["ids"])
    with pytest.raises(NoServer) as caught:
        source([server("foundry-local")], name, own=False)
    assert "orchestrator models pull ID --provider foundry-local" in caught.value.cure
    assert source([server("foundry-local")], "my-own", own=True).model == "my-own"


def test_what_is_there_is_found_by_alias_spelling_or_id() -> None:
    """Whatever the case, with or without Ollama's tag; the exact id first."""
    servers = [server("ollama", "phi4-mini:latest", "PHI4-mini:3.8b")]
    for name in ("phi-4-mini", "Phi4-Mini", "phi-4-mini-instruct"):
        assert {choice.model for choice in holders(servers, name)} == {"phi4-mini:latest", "PHI4-mini:3.8b"}
    assert holder(servers, "phi4-mini:latest", "load").model == "phi4-mini:latest"


def test_a_server_that_only_shows_a_model_is_not_told_to_load_it() -> None:
    """The one that can is taken, also where the other is named first; without one the cure says which makes can."""
    locked = server("ollama", "phi4-mini:3.8b", load="no")
    able = server("llama-cpp", "Phi-4-mini-instruct-Q4_K_M.gguf", port=2)
    assert holder([locked, able], "phi-4-mini", "load").server is able
    with pytest.raises(NoServer) as caught:
        holder([locked], "phi-4-mini", "load")
    assert "LM Studio" in caught.value.cure


@pytest.mark.parametrize("act", ["load", "pull", "remove"])
def test_nobody_knows_the_name(act: str) -> None:
    """A name that neither the catalogue nor a server has is wrong usage, with near names of both."""
    servers = [server("ollama", "my-special:7b")]
    for wrong, near in (("my-special:8b", "my-special:7b"), ("phi4-mimi", "phi-4-mini")):
        with pytest.raises(UsageError) as caught:
            source(servers, wrong, own=False) if act == "pull" else holder(servers, wrong, act)
        assert near in caught.value.cure


def test_without_a_server_the_cure_is_to_install_one() -> None:
    """Whatever is asked for."""
    for act in ("pull", "load"):
        with pytest.raises(NoServer) as caught:
            source([], "phi-4-mini", own=False) if act == "pull" else holder([], "phi-4-mini", act)
        assert "install one" in caught.value.cure


def test_the_size_of_a_pull_is_that_of_its_build() -> None:
    """Of the quantization that the id names, else of what the provider serves under it; unknown is unknown."""
    row = find_model("phi-4-mini")
    assert row is not None
    assert size_of("phi-4-mini", "ollama", "phi4-mini:3.8b") == row["sizes"]["q4_k_m"]
    assert size_of("phi-4-mini", "llama-cpp", "unsloth/Phi-4-mini-instruct-GGUF:Q8_0") == row["sizes"]["q8_0"]
    assert size_of("phi-4-mini", "ollama", "phi4-mini:3.8b-q8_0") == row["sizes"]["q8_0"]
    assert size_of("phi-4-mini", "ollama", "phi4-mini:3.8b-q5_K_M") is None, "and not that of the usual tag"
    assert size_of("phi-4-mini", "vllm", "org/phi-4-mini-BF16") == row["sizes"]["f16"]
    assert size_of("phi-4-mini", "foundry-local", "phi-4-mini") is None
    assert size_of("nobody", "ollama", "nobody") is None


def test_the_cache_is_counted_where_its_shape_is_known() -> None:
    """Two bytes for each key and value of each layer and head; no row breaks it."""
    row = find_model("phi-4-mini")
    assert row is not None
    assert cache_of(row, 1) == 2 * 32 * 8 * 128 * 2
    assert all((cache_of(each, 4096) or 1) > 0 for each in model_rows())


def test_every_id_of_the_catalogue_leads_back_to_its_alias() -> None:
    """What a server is asked for is recognised as that model once it is there."""
    wrong = [
        (row["alias"], provider, name)
        for row in model_rows()
        for provider in row["ids"]
        for name in wanted_ids(row, provider)
        if row["alias"] not in aliases_of(provider, name)
    ]
    assert wrong == []


def test_what_is_applied_is_read_from_the_status() -> None:
    """By provider, place and model, without the mark of a key."""
    applied = [
        {
            "name": "kiosk",
            "models": [
                {"alias": "talk", "endpoints": ["llama-cpp@localhost:1//models/a.gguf#0a1b2c", "ollama@h:2/a:1b"]}
            ],
        },
        {"name": "shop", "models": [{"alias": "a", "endpoints": ["ollama@h:2/a:1b"]}]},
    ]
    assert applied_names(applied) == {
        ("llama-cpp", "127.0.0.1:1", "/models/a.gguf"): ["kiosk: talk"],
        ("ollama", "h:2", "a:1b"): ["kiosk: talk", "shop: a"],
    }


def test_an_address_of_a_manifest_is_looked_at_also_while_its_server_lacks_the_model() -> None:
    """Else nobody could pull it there again; what is not on this device is not looked at."""
    gone = {"alias": "a", "endpoints": [], "missing": "no model", "at": "http://localhost:22011/v1"}
    far = {"alias": "b", "endpoints": [], "missing": "no model", "at": "https://models.example.org"}
    used = {"alias": "c", "endpoints": ["ollama@127.0.0.1:22011/a:1b"], "missing": "", "at": None}
    assert applied_places([{"name": "shop", "models": [gone, far, used]}]) == ["http://127.0.0.1:22011"]


def test_what_several_servers_have_is_deleted_from_none_that_was_not_named() -> None:
    """To load it one of them will do; what is deleted is gone."""
    here, there = (
        ObservedServer(
            "ollama",
            f"http://127.0.0.1:{port}",
            f"http://127.0.0.1:{port}/v1",
            (ServedModel("phi4-mini:latest"),),
            capabilities={"load": "yes", "remove": "yes"},
        )
        for port in (11434, 11435)
    )
    assert holder([here, there], "phi-4-mini", "load").others == (there,)
    assert holder([there], "phi-4-mini", "remove").server is there
    with pytest.raises(UsageError, match="2 servers have phi-4-mini: ollama at 127") as caught:
        holder([here, there], "phi-4-mini", "remove")
    assert caught.value.cure == (
        "name the one that is to delete it: --endpoint http://127.0.0.1:11434, or --endpoint http://127.0.0.1:11435"
    )


def test_who_uses_a_model_is_said_before_it_goes() -> None:
    """By name and alias; a deployment that only uses another one does not count."""
    there = ObservedServer("ollama", "http://127.0.0.1:11434", "http://localhost:11434/v1", ())
    uses = {"alias": "phi", "endpoints": ["ollama@127.0.0.1:11434/phi4-mini:latest#abc123"]}
    other = {"alias": "q", "endpoints": ["ollama@127.0.0.1:11434/qwen2.5:0.5b"]}
    applied = [{"name": "shop", "models": [uses, other]}, {"name": "desk", "models": [uses]}]
    assert users_of(Choice(there, "phi4-mini:latest"), applied) == "used by shop: phi, desk: phi"
    assert users_of(Choice(there, "llama3.2:1b"), applied) == ""


ROUTER = ("unsloth/Phi-4-mini-instruct-GGUF:Q4_K_M", "unsloth/Phi-4-mini-instruct-GGUF:Q2_K")


@pytest.mark.parametrize(
    ("provider", "name", "there"),
    [
        ("llama-cpp", "unsloth/Phi-4-mini-instruct-GGUF:Q8_0", ROUTER[:1]),
        ("llama-cpp", "phi-4-mini-q8_0", ("phi-4-mini-q4_k_m",)),
        ("lm-studio", "phi-4-mini-instruct-q5_k_m", ("phi-4-mini-instruct-q2_k",)),
        ("ollama", "phi4-mini:3.8b", ("phi4-mini:3.8b-q8_0",)),
        ("ollama", "phi4-mini:3.8b-q4_K_M", ("phi4-mini:3.8b-q8_0",)),
        ("foundry-local", "Phi-4-mini-instruct-qnn-npu:9", ("Phi-4-mini-instruct-cuda-gpu:4",)),
    ],
)
def test_a_named_build_is_not_replaced_by_another(provider: str, name: str, there: tuple[str, ...]) -> None:
    """For nothing that is done to it: the error tells what is there, the nearest first."""
    here = server(provider, *there)
    for act, loaded in (("load", True), ("remove", False), ("load", False)):
        with pytest.raises(NoServer) as caught:
            holder([here], name, act, loaded=loaded, own=provider != "foundry-local" or loaded)
        assert (
            caught.value.message == f"no server has the build {name}: {provider} at 127.0.0.1:1 has {', '.join(there)}"
        )
        assert there[0] in caught.value.cure
    assert holders([here], there[0])[0].model == there[0]


def test_what_is_removed_is_what_was_named() -> None:
    """An alias with several builds names none of them; loading may take any."""
    router, ollama = server("llama-cpp", *ROUTER), server("ollama", "phi4-mini:3.8b", "phi4-mini:latest")
    with pytest.raises(UsageError) as caught:
        holder([router], "phi-4-mini", "remove")
    assert caught.value.message == f"llama-cpp at 127.0.0.1:1 has 2 builds of phi-4-mini: {', '.join(ROUTER)}"
    assert holder([router], ROUTER[1], "remove").model == ROUTER[1]
    assert holder([router], "phi-4-mini", "load").model == ROUTER[0]
    assert holder([ollama], "phi4-mini", "remove").model == "phi4-mini:latest"


def test_a_name_that_is_listed_and_that_nobody_can_pull_is_not_guessed_to_be_itself() -> None:
    """That of a server that was started, as `models pull` meets it."""
    cure = unknown([server("llama-cpp", "clerk", "clerks")], "clerk").cure
    assert cure == 'did you mean "clerks"?'
