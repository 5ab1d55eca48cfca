"""``orchestrator models``: what the servers have, pulled, loaded, unloaded and removed; every wrong word is told with a cure."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest

from orchestrator.app.model_servers import Around, Servers
from orchestrator.cli.view.models import listed, shown_list
from orchestrator.cli.view.terminal import Terminal
from orchestrator.plan.observed import ObservedServer
from orchestrator.ports.provider import ServedModel
from orchestrator.testing.lifecycle.store import StoredModel, stored
from tests.cli.commands import Screen, golden, here
from tests.cli.serving import served
from tests.cli.shop import Shop

# ---- looking ---------------------------------------------------------------------------------------------------------


def test_the_list_shows_what_every_server_has(shop: Shop) -> None:
    """Loaded or not, size, build, context, and the aliases of the catalogue that it stands for."""
    ran = shop.run("list")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == golden("models/list.txt", ran.out)


def test_the_list_as_json_has_everything(shop: Shop) -> None:
    """What the servers can do and what they told, with aliases."""
    (server,) = json.loads(shop.run("list", "--json").out)["servers"]
    assert server["capabilities"]["pull"] == "yes"
    assert [(model["id"], model["loaded"], model["aliases"]) for model in server["models"]] == [
        ("llama3.2:1b", True, ["llama-3.2-1b"]),
        ("nomic-embed-text", False, ["nomic-embed-text"]),
    ]


def test_the_list_tells_which_deployments_use_a_model() -> None:
    """By the endpoints that `status` shows; another server with the same model is not meant."""
    model = ServedModel("phi4-mini:3.8b", True)
    servers = [ObservedServer("ollama", f"http://{at}", f"http://{at}/v1", (model,)) for at in ("h:1", "h:2")]
    applied = [{"name": "kiosk", "models": [{"alias": "talk", "endpoints": ["ollama@h:1/phi4-mini:3.8b#a1b2c3"]}]}]
    found = listed(Servers(tuple(servers), {}), applied)
    assert [server["models"][0]["applied"] for server in found["servers"]] == [["kiosk: talk"], []]


def test_the_list_tells_what_rests() -> None:
    """It answers nobody just now, and is there all the same."""
    servers = [{"alias": "talk", "kind": "vllm", "rests_since": time.time() - 200}, {"alias": "x", "rests_since": None}]
    found = listed(Servers((), {}), [{"name": "kiosk", "models": [], "servers": servers}])
    assert [(each["deployment"], each["model"]) for each in found["resting"]] == [("kiosk", "talk")]
    assert shown_list(found, Terminal((Screen(), Screen(), Screen()), {})) == (
        "talk of kiosk (vllm) rests since 3 min: the next request starts its server"
    )


def test_where_no_server_answers_the_list_says_what_to_install() -> None:
    """And where it looked; nothing is wrong with that."""
    ran = here("models", "list", environment={"ORCHESTRATOR_SERVERS": "http://127.0.0.1:9"})
    assert ran.code == 0
    assert "no model server answers (looked at http://127.0.0.1:9)\ninstall one, like Ollama" in ran.out


def test_all_that_is_known_of_a_model_is_shown(shop: Shop) -> None:
    """The catalogue's row, ids by provider, the arithmetic of its memory, and who serves or could pull it."""
    ran = shop.run("show", "phi4-mini")
    assert ran.code == 0
    shown = re.sub(r"\nbuilds\n(  .*\n)+", "\nbuilds\n  …\n", ran.out)  # they depend on this machine
    assert shown == golden("models/show.txt", shown)
    found = json.loads(shop.run("show", "llama-3.2-1b", "--json").out)
    assert sum(each["chosen"] for each in found["builds"]["best_first"]) == 1
    assert f"{found['builds']['best_first'][0]['build']} " in shop.run("show", "llama-3.2-1b").out
    assert found["served"][0]["id"] == "llama3.2:1b"
    assert found["memory"]["cache"]["4096"] == 2 * 16 * 8 * 64 * 2 * 4096


def test_a_model_that_only_a_server_knows_is_shown_too(shop: Shop) -> None:
    """With what the server tells."""
    shop.store.installed["mine:7b"] = StoredModel("mine:7b", 5_000_000_000, "Q8_0")
    out = shop.run("show", "mine:7b").out
    assert "the catalogue does not know it" in out
    assert "mine:7b (not loaded, 5.0 GB, Q8_0, sha256:" in out


# ---- memory and disk -------------------------------------------------------------------------------------------------


def test_a_model_is_loaded_unloaded_and_removed(shop: Shop) -> None:
    """By its alias; each says what was done and where."""
    loaded = shop.run("load", "nomic-embed-text", "--context", "2048", "--keep-alive", "never")
    assert loaded.code == 0
    assert "has loaded nomic-embed-text: 2.5 GB memory, 2048 tokens a request, in " in loaded.out
    assert shop.store.loaded["nomic-embed-text"] == 2048
    again = shop.run("load", "nomic-embed-text")
    assert "it was loaded already" in again.out
    assert shop.run("unload", "nomic-embed-text").out == "nomic-embed-text is unloaded: ollama at 127.0.0.1:PORT\n"
    assert "nomic-embed-text" not in shop.store.loaded
    removed = shop.run("remove", "llama-3.2-1b", "--yes")
    assert removed.out == "removed llama3.2:1b (2.5 GB) from ollama at 127.0.0.1:PORT\n"
    assert "llama3.2:1b" not in shop.store.installed


@pytest.mark.parametrize(("answer", "stays"), [("y\n", False), ("n\n", True), ("", True)])
def test_removing_asks_a_person(shop: Shop, answer: str, stays: bool) -> None:
    """Only a yes removes."""
    ran = shop.run("remove", "llama-3.2-1b", terminal=True, stdin=answer)
    assert "this deletes llama3.2:1b (2.5 GB) from ollama at 127.0.0.1:PORT. Go on? [y/N]" in ran.err
    assert ("llama3.2:1b" in shop.store.installed) is stays
    assert (ran.code == 64) is stays


def test_removing_without_a_person_needs_a_yes(shop: Shop) -> None:
    """Nothing is removed."""
    ran = shop.run("remove", "llama-3.2-1b")
    assert (ran.code, "repeat with --yes" in ran.err) == (64, True)
    assert "llama3.2:1b" in shop.store.installed


def test_a_load_that_fails_for_memory_tells_the_arithmetic(shop: Shop) -> None:
    """In the server's words, with what helps."""
    shop.store.memory = 3_000_000_000
    ran = shop.run("load", "nomic-embed-text")
    assert ran.code == 5
    assert "model requires more system memory (2.3 GiB) than is available (0.5 GiB)" in ran.err
    assert "cure: free memory: unload another model" in ran.err


def test_a_busy_model_is_left_to_finish(shop: Shop) -> None:
    """After the time given it says that it is busy."""
    shop.store.busy.add("llama3.2:1b")
    ran = shop.run("unload", "llama-3.2-1b", "--timeout", "300ms")
    assert ran.code == 5
    assert "still answers requests; Ollama unloads it when they end" in ran.err


# ---- which server ----------------------------------------------------------------------------------------------------


def test_of_two_servers_the_chosen_one_is_told(shop: Shop) -> None:
    """As the catalogue names them; --endpoint takes the other."""
    other = stored(["bartowski/Llama-3.2-1B-Instruct-GGUF:Q4_K_M"])
    with served(other, "llama-cpp-router") as url:
        shop.environment["ORCHESTRATOR_SERVERS"] += f",{url}"
        ran = shop.run("load", "llama-3.2-1b")
        assert f"chosen: ollama at 127.0.0.1:PORT; for another: --endpoint {url} (llama-cpp)" in ran.err
        assert not other.loaded
        assert shop.run("load", "llama-3.2-1b", "--endpoint", url).code == 0
        assert other.loaded


def test_a_server_that_cannot_is_not_asked(home: Path) -> None:
    """A llama-server with one model neither pulls nor loads another: the cure says which makes do."""
    with served(stored(["bartowski/Llama-3.2-1B-Instruct-GGUF:Q4_K_M"]), "llama-cpp") as url:
        environment = {"ORCHESTRATOR_SERVERS": url}
        pulled = here("models", "pull", "phi-4-mini", environment=environment)
        unloaded = here("models", "unload", "llama-3.2-1b", environment=environment)
    assert (pulled.code, unloaded.code) == (4, 4)
    assert "no server here pulls models (found: llama-cpp at" in pulled.err
    assert "is no server that loads models on request" in unloaded.err
    assert "cure: Ollama" in pulled.err and "cure: Ollama" in unloaded.err


def test_a_server_that_wants_a_key_gets_it(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Named as a reference; without it the server is told to be locked."""
    monkeypatch.setenv("STUDIO_KEY", "sesame")
    with served(stored(["somebody/small"]), "lm-studio", api_key="sesame") as url:
        locked = here("models", "list", "--endpoint", url)
        opened = here("models", "load", "somebody/small", "--endpoint", url, "--api-key", "env:STUDIO_KEY")
        monkeypatch.setenv("OLD_KEY", "abracadabra")
        wrong = here("models", "list", "--endpoint", url, "--api-key", "env:OLD_KEY")
    assert "it answers 401: its key is wrong or missing" in locked.err
    assert "cure: name its key with --api-key env:NAME, or file:PATH" in locked.err
    assert "cure: mend the key that env:OLD_KEY names" in wrong.err
    assert (opened.code, opened.err) == (0, "")


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("load", "phi4-mimi"), 64, 'no model is called "phi4-mimi"\n  cure: did you mean "phi-4-mini"?'),
        (("show", "lama3.2:1b"), 64, "cure: did you mean"),
        (("load", "phi-4-mini"), 4, "no server has phi-4-mini (ollama at"),
        (("unload", "phi-4-mini"), 4, "cure: orchestrator models pull phi-4-mini"),
        (("list", "--provider", "olama"), 64, 'no provider is called "olama"\n  cure: did you mean "ollama"?'),
        (
            ("list", "--provider", "plugin:nobody"),
            64,
            'no provider is called "plugin:nobody"\n  cure: there are: ollama',
        ),
        (("list", "--provider", "vllm"), 4, "no vllm server answers on this device"),
        (
            ("load", "phi-4-mini", "--provider", "vllm", "--endpoint", "{url}"),
            4,
            "http://127.0.0.1:PORT is ollama, not vllm",
        ),
        (("list", "--endpoint", "http://127.0.0.1:9"), 4, "http://127.0.0.1:9: nobody listens there"),
        (("list", "--api-key", "env:X"), 64, "--api-key is for one server"),
        (("load", "phi-4-mini", "--context", "0"), 64, "--context 0 is no number of tokens"),
        (("load", "phi-4-mini", "--keep-alive", "long"), 64, "'long' is no duration"),
        (("load", "phi-4-mini", "--timeout", "0s"), 64, "--timeout 0s leaves no time"),
        (("pull", "phi-4-mini", "--endpoint", "ftp://x"), 64, "begins neither with http:// nor with https://"),
        (("pul", "phi-4-mini"), 64, "cure: did you mean"),
    ],
)
def test_what_is_wrong_is_told_with_a_cure(shop: Shop, words: tuple[str, ...], code: int, said: str) -> None:
    """Near names, what to pull, what to start; nothing on stdout."""
    ran = shop.run(*[word.format(url=shop.url) for word in words])
    assert (ran.code, ran.out) == (code, "")
    assert said in ran.err and "\n  cure: " in ran.err


def test_what_is_loaded_is_unloaded_where_it_is(shop: Shop) -> None:
    """Of two servers that have it, the one with the model in memory."""
    other = stored(["nomic-ai/nomic-embed-text-v1.5-GGUF"])
    other.loaded["nomic-ai/nomic-embed-text-v1.5-GGUF"] = 512
    with served(other, "lm-studio") as url:
        shop.environment["ORCHESTRATOR_SERVERS"] += f",{url}"
        ran = shop.run("unload", "nomic-embed-text")
    assert ran.code == 0, ran.err
    assert "lm-studio at" in ran.out and not other.loaded


def test_lemonade_is_asked_by_alias_and_by_its_own_names(home: Path) -> None:
    """Its list tells sizes and contexts; the catalogue has no id of it, so that a pull takes its own names."""
    store = stored(["Phi-4-mini-instruct-GGUF"], [StoredModel("Qwen3-0.6B-GGUF", 640_000_000)])
    with served(store, "lemonade") as url:
        to = ("--endpoint", url)
        listed = here("models", "list", *to)
        assert re.search(r"Phi-4-mini-instruct-GGUF +on disk +2\.5 GB +Q4_K_M +4096 +phi-4-mini ", listed.out), (
            listed.out
        )
        loaded = here("models", "load", "phi-4-mini", *to)
        assert (loaded.code, list(store.loaded)) == (0, ["Phi-4-mini-instruct-GGUF"]), loaded.err
        assert here("models", "unload", "phi-4-mini", *to).code == 0 and not store.loaded
        unnamed = here("models", "pull", "smollm2-360m", *to)
        assert (unnamed.code, "name what it calls the model" in unnamed.err) == (4, True), unnamed.err
        pulled = here("models", "pull", "Qwen3-0.6B-GGUF", *to)
        assert (pulled.code, "Qwen3-0.6B-GGUF" in store.installed) == (0, True), pulled.err
        assert here("models", "remove", "Qwen3-0.6B-GGUF", "--yes", *to).code == 0
        assert "Qwen3-0.6B-GGUF" not in store.installed


def test_foundry_local_loads_what_it_does_not_list(home: Path) -> None:
    """It lists only what is loaded, so it is asked for the alias of the catalogue; what it loads has another name."""
    store = stored(["phi-4-mini-generic-cpu:1"])
    with served(store, "foundry-local") as url:
        environment = {"ORCHESTRATOR_SERVERS": url}
        loaded = here("models", "load", "phi-4-mini", environment=environment)
        unloaded = here("models", "unload", "phi-4-mini", environment=environment)
        left = dict(store.loaded)
        missing = here("models", "load", "qwen2.5-0.5b", environment=environment)
        variant = here("models", "load", "phi-4-mini-generic-cpu:1", "--endpoint", url)
    assert "has loaded phi-4-mini-generic-cpu:1: in " in loaded.out
    assert (unloaded.code, left) == (0, {})
    assert (missing.code, "foundry model download" in missing.err) == (5, True)
    assert "has loaded phi-4-mini-generic-cpu:1" in variant.out


def test_a_model_of_another_machine_is_not_loaded_here(shop: Shop) -> None:
    """An Ollama cloud model is only forwarded: asking for it would send something away."""
    shop.store.installed["gpt-oss:120b-cloud"] = StoredModel("gpt-oss:120b-cloud", 384)
    ran = shop.run("load", "gpt-oss:120b-cloud")
    assert (ran.code, "only forwards gpt-oss:120b-cloud to another machine" in ran.err) == (4, True)
    assert "elsewhere" in shop.run("list").out


def test_a_model_s_name_does_nothing_to_a_terminal(shop: Shop) -> None:
    """Control characters of a server are shown, not obeyed."""
    shop.store.installed["evil\x1b[2J"] = StoredModel("evil\x1b[2J")
    assert "evil␛[2J" in shop.run("list", terminal=True).out


def test_a_context_beyond_the_model_is_wrong_usage(shop: Shop) -> None:
    """The server would cut it, or answer nonsense."""
    ran = shop.run("load", "llama-3.2-1b", "--context", "9999999")
    assert ran.code == 64 and "--context 9999999 is more than llama-3.2-1b can take" in ran.err


def test_models_in_a_folder_of_ours_are_looked_at_too(tmp_path: Path) -> None:
    """Those that run in a process of ours have no server, and are models all the same."""
    first, *others = Around({"ONNX_MODELS": str(tmp_path)}).places
    assert first.endswith(str(tmp_path)) and "http://127.0.0.1:11434" in others
    assert Around({"ONNX_MODELS": str(tmp_path), "ORCHESTRATOR_SERVERS": ""}).places == [first]


def test_a_name_that_no_server_has_is_not_asked_for_its_server_where_that_is_named(shop: Shop) -> None:
    """Only a pull takes an id that nobody lists."""
    ran = shop.run("load", "zzz", "--endpoint", shop.url)
    assert (ran.code, "needs --provider" in ran.err) == (64, False)
    assert "cure: `orchestrator models list` shows what servers have\n" in ran.err


@pytest.mark.parametrize("act", ["load", "unload", "remove"])
def test_a_build_that_is_not_there_is_not_replaced_by_another(home: Path, act: str) -> None:
    """Least of all where files are deleted."""
    del home
    there, wanted = (f"unsloth/Phi-4-mini-instruct-GGUF:{build}" for build in ("Q4_K_M", "Q8_0"))
    with served(stored([there]), "llama-cpp-router") as url:
        yes = ("--yes",) if act == "remove" else ()
        environment = {"ORCHESTRATOR_SERVERS": url}
        ran = here("models", act, wanted, "--endpoint", url, *yes, environment=environment)
        after = here("models", "list", environment=environment)
    assert (ran.code, ran.out) == (4, "")
    assert f"no server has the build {wanted}: llama-cpp at {url.removeprefix('http://')} has {there}" in ran.err
    assert f"name one that is there, like {there}; or orchestrator models pull {wanted}" in ran.err
    assert there in after.out
