"""``orchestrator apply`` has models pulled that no server has, and says so before, while and after."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from orchestrator.testing.lifecycle.store import StoredModel, stored
from tests.cli.commands import Ran, apart
from tests.cli.serving import served
from tests.cli.shop import PHI, Shop
from tests.providers.foundry_double import cache_with, environment_with_sdk, row

DESK = """
metadata: {{name: desk}}
deployment:
  type: single-device
  models:
    - {{alias: qwen2.5-0.5b, {more}}}
  agents:
    - name: clerk
      instructions: Answer in one sentence.
      reflex: [{{when: {{keywords: [hello]}}, say: hi, without_model: true}}]
"""


def manifest(folder: Path, more: str) -> str:
    """With one model that is written so."""
    file = folder / "desk.yaml"
    file.write_text(DESK.format(more=more))
    return str(file)


@pytest.fixture(autouse=True)
def stopped(home: Path) -> Iterator[None]:
    """No runtime stays."""
    del home
    yield
    apart("runtime", "stop")


def test_apply_pulls_what_is_missing_and_binds_to_it(shop: Shop, tmp_path: Path) -> None:
    """The plan has it as a step with what comes; the second plan has nothing to do."""
    path = manifest(tmp_path, f'provider: ollama, quantization: q4_k_m, endpoint: "{shop.url}"')
    plan = ran("plan", path, shop=shop)
    assert (
        "+ model.qwen2.5-0.5b  pull qwen2.5:0.5b by ollama at 127.0.0.1:PORT (q4_k_m, 398 MB), and bind to it"
        in plan.out
    )
    applied = ran("apply", path, shop=shop)
    assert applied.code == 0, applied.err
    said = applied.err.splitlines()
    first = "first: pull qwen2.5:0.5b by ollama at 127.0.0.1:PORT (q4_k_m, 398 MB), and bind to it"
    assert f"{first} (model.qwen2.5-0.5b; --no-pull leaves it)" in said
    assert "downloading 0 B of 398 MB (0%)" in said
    assert "bind to ollama at 127.0.0.1:PORT as qwen2.5:0.5b" in applied.err
    assert "qwen2.5:0.5b" in shop.store.installed
    assert "nothing to do" in ran("plan", path, shop=shop).out


def test_apply_without_pulling_says_how_it_is_pulled(shop: Shop, tmp_path: Path) -> None:
    """It goes on without the model, and names the command."""
    path = manifest(tmp_path, f'provider: ollama, endpoint: "{shop.url}"')
    plan = ran("apply", path, "--dry-run", "--no-pull", shop=shop)
    assert "go on without it" in plan.out and "+ model" not in plan.out
    applied = ran("apply", path, "--no-pull", shop=shop)
    assert applied.code == 0
    assert "orchestrator models pull qwen2.5-0.5b --endpoint http://127.0.0.1:PORT" in applied.out
    assert "qwen2.5:0.5b" not in shop.store.installed


def test_a_pull_that_fails_leaves_the_deployment_applied(shop: Shop, tmp_path: Path) -> None:
    """With the reason; what answers without the model does."""
    del shop.store.library["qwen2.5:0.5b"]
    path = manifest(tmp_path, f'provider: ollama, quantization: q4_k_m, endpoint: "{shop.url}"')
    applied = ran("apply", path, shop=shop)
    assert applied.code == 0
    assert "qwen2.5-0.5b is not there: " in applied.err
    assert "desk runs, revision 1" in applied.out
    assert ran("run", "desk", "hello", shop=shop).out == "hi\n"


def test_a_pull_that_fails_and_leaves_nothing_that_answers_is_a_deploy_that_failed(shop: Shop, tmp_path: Path) -> None:
    """With the reason as its last word; the deployment is applied all the same."""
    del shop.store.library["qwen2.5:0.5b"]
    file = Path(manifest(tmp_path, f'provider: ollama, quantization: q4_k_m, endpoint: "{shop.url}"'))
    file.write_text("\n".join(line for line in file.read_text().splitlines() if "reflex" not in line))
    applied = ran("apply", str(file), shop=shop)
    assert applied.code == 4
    assert applied.err.splitlines()[-1].startswith("nothing answers, because qwen2.5-0.5b is not there: ")
    assert "desk runs, revision 1, but nothing answers for agent.clerk" in applied.out


TWO = """
metadata: {{name: desk}}
deployment:
  type: single-device
  models:
    - {{alias: qwen2.5-0.5b, provider: ollama, endpoint: "{url}", quantization: {build}}}
    - {{alias: {other}, provider: ollama, endpoint: "{url}"}}
  agents:
    - {{name: clerk, instructions: Answer in one sentence., model: qwen2.5-0.5b}}
    - {{name: second, instructions: Answer in one word., model: {agent}}}
"""
Q8 = StoredModel("qwen2.5:0.5b-instruct-q8_0", 530_000_000)


def two(folder: Path, shop: Shop, build: str, other: str = "llama3.2:1b", agent: str = "llama3.2:1b") -> str:
    """With two models; of the first in this build."""
    file = folder / "desk.yaml"
    file.write_text(TWO.format(url=shop.url, build=build, other=f'"{other}"', agent=f'"{agent}"'))
    return str(file)


def test_a_change_whose_pull_fails_changes_nothing(shop: Shop, tmp_path: Path) -> None:
    """What serves goes on, with the build that it has, whatever else could be had; a pull that succeeds changes it then."""
    assert ran("apply", two(tmp_path, shop, "q4_k_m"), shop=shop).code == 0
    shop.store.library[Q8.name] = Q8
    shop.store.disk = sum(model.size for model in shop.store.installed.values()) + 100_000_000
    shop.store.library[PHI.name] = replace(PHI, size=1_000)
    changed = two(tmp_path, shop, "q8_0", "phi-4-mini", "phi-4-mini")
    applied = ran("apply", changed, "--yes", shop=shop)
    assert applied.code == 4
    last = applied.err.splitlines()[-2:]
    assert last[0].startswith("error[ORC410]: desk goes on as it was, revision 1: qwen2.5-0.5b is not there: "), (
        applied.err
    )
    assert last[1].endswith("mend that and apply again; --no-pull applies it without the model")
    (mine,) = json.loads(ran("status", "--json", shop=shop).out)["deployments"]
    assert mine["revision"] == 1
    assert all(agent["by"] != "nothing" for agent in mine["agents"])
    assert ran("run", "desk", "hello", "--agent", "clerk", shop=shop).code == 0
    shop.store.disk = None
    again = ran("apply", changed, "--yes", shop=shop)
    assert again.code == 0 and "desk runs, revision 2" in again.out, again.err


def test_without_pulling_a_change_is_applied_without_the_model(shop: Shop, tmp_path: Path) -> None:
    """It is what ``--no-pull`` says."""
    assert ran("apply", two(tmp_path, shop, "q4_k_m"), shop=shop).code == 0
    applied = ran("apply", two(tmp_path, shop, "q8_0"), "--no-pull", shop=shop)
    assert "desk runs, revision 2" in applied.out


def test_a_change_of_what_never_had_its_model_goes_on_without_it(shop: Shop, tmp_path: Path) -> None:
    """Nothing is lost by it; that its agent goes over to such a model is another thing."""
    del shop.store.library["qwen2.5:0.5b"]
    assert ran("apply", two(tmp_path, shop, "q4_k_m"), shop=shop).code == 0
    applied = ran("apply", two(tmp_path, shop, "q5_k_m"), shop=shop)
    assert applied.code == 0 and "desk runs, revision 2" in applied.out, applied.err
    lost = ran("apply", two(tmp_path, shop, "q5_k_m", agent="qwen2.5-0.5b"), shop=shop)
    assert lost.code == 4
    assert "desk goes on as it was, revision 2: qwen2.5-0.5b is not there: " in lost.err


def test_a_model_that_was_removed_is_pulled_again_by_the_server_of_the_manifest(shop: Shop, tmp_path: Path) -> None:
    """Which need not be among the usual places: it lacks the model, and is looked at still."""
    path = manifest(tmp_path, f'provider: ollama, quantization: q4_k_m, endpoint: "{shop.url}"')
    nowhere = {"ORCHESTRATOR_SERVERS": "http://127.0.0.1:9"}
    assert apart("apply", path, environment=nowhere).code == 0
    assert apart("models", "remove", "qwen2.5-0.5b", "--yes", environment=nowhere).code == 0
    assert apart("apply", path, "--no-pull", "--yes", environment=nowhere).code == 0  # looked at anew
    assert "qwen2.5:0.5b" not in shop.store.installed
    assert shop.url in apart("models", "list", environment=nowhere).out
    pulled = apart("models", "pull", "qwen2.5-0.5b", "--quantization", "q4_k_m", environment=nowhere)
    assert pulled.code == 0, pulled.err
    assert "qwen2.5:0.5b" in shop.store.installed


def test_apply_loads_what_its_server_has_and_does_not_list(home: Path, tmp_path: Path) -> None:
    """Foundry Local lists what is loaded: what is only in its store would be missing for ever."""
    with served(stored(["qwen2.5-0.5b-generic-cpu:4"]), "foundry-local") as url:
        shop = Shop(stored([]), url, {"ORCHESTRATOR_SERVERS": url, "HOME": str(home)})
        applied = ran("apply", manifest(tmp_path, f'endpoint: "{url}"'), shop=shop)
        assert applied.code == 0
        assert "first: have foundry-local at 127.0.0.1:PORT load qwen2.5-0.5b, where it has it" in applied.err
        status = json.loads(ran("status", "--json", shop=shop).out)
        (model,) = status["deployments"][0]["models"]
        assert model["endpoints"], applied.err


def test_apply_pulls_by_the_sdk_of_a_foundry_local(home: Path, tmp_path: Path) -> None:
    """What its service has no path for; it is bound though it is not loaded, and its alias is another name than its id's."""
    cache = cache_with(tmp_path, [row("a-small-one-generic-cpu:4", "qwen2.5-0.5b", megabytes=800)])
    kept = stored([])
    kept.folder = str(cache)
    with served(kept, "foundry-local") as url:
        python = environment_with_sdk(tmp_path / "venv")
        environment = {"ORCHESTRATOR_SERVERS": url, "HOME": str(home), "FOUNDRY_LOCAL_PYTHON": str(python)}
        path = manifest(tmp_path, f'endpoint: "{url}"')
        applied = apart("apply", path, environment=environment)
        assert applied.code == 0, applied.err
        place = urlsplit(url).netloc
        assert f"first: pull qwen2.5-0.5b by foundry-local at {place}" in applied.err
        assert f"bind to foundry-local at {place} as a-small-one-generic-cpu:4" in applied.err
        listed = json.loads(apart("models", "list", "--json", environment=environment).out)["servers"][0]
        assert [(model["id"], model["loaded"]) for model in listed["models"]] == [("a-small-one-generic-cpu:4", False)]
        assert "nothing to do" in apart("plan", path, environment=environment).out
        assert "qwen2.5-0.5b" in apart("models", "list", environment=environment).out


def test_apply_says_how_a_foundry_local_without_the_sdk_would_pull(home: Path, tmp_path: Path) -> None:
    """The extra is named."""
    with served(stored([]), "foundry-local") as url:
        environment = {"ORCHESTRATOR_SERVERS": url, "HOME": str(home)}
        applied = apart("apply", manifest(tmp_path, f'endpoint: "{url}"'), environment=environment)
        assert "python -m pip install foundry-local-sdk (the extra foundry)" in applied.out + applied.err
        pulled = apart("models", "pull", "qwen2.5-0.5b", "--endpoint", url, environment=environment)
        assert pulled.code != 0
        assert "python -m pip install foundry-local-sdk (the extra foundry)" in pulled.err


def ran(*words: str, shop: Shop) -> Ran:
    """The command; the server's port is shown as PORT."""
    found = apart(*words, environment={"ORCHESTRATOR_SERVERS": shop.url})
    port = shop.url.rpartition(":")[2]
    return Ran(found.code, found.out.replace(port, "PORT"), found.err.replace(port, "PORT"))


def test_a_server_without_its_file_is_told_with_the_file(home: Path, tmp_path: Path) -> None:
    """The deployment does without the model, and nobody has to look for the reason."""
    shop = Shop(stored([]), "http://127.0.0.1:65535", {})
    file = tmp_path / "desk.yaml"
    file.write_text(DESK.format(more="provider: llama-cpp, server: {path: gone.gguf}"))
    applied = ran("apply", str(file), shop=shop)
    assert applied.code == 0
    assert (
        f"the server of qwen2.5-0.5b is not started: there is no file {tmp_path / 'gone.gguf'} (put the" in applied.err
    )


@pytest.mark.parametrize(
    ("face", "build", "asked"),
    [
        ("ollama", "q8_0", "qwen2.5:0.5b-q8_0"),
        ("lm-studio", "q8_0", "lmstudio-community/Qwen2.5-0.5B-Instruct-GGUF:Q8_0"),
        ("llama-cpp-router", "q8_0", "Qwen/Qwen2.5-0.5B-Instruct-GGUF:Q8_0"),
        ("llama-cpp-router", "q4_k_m", "Qwen/Qwen2.5-0.5B-Instruct-GGUF:Q4_K_M"),
    ],
)
def test_the_plan_names_the_id_of_the_build_that_is_asked_for(
    home: Path, tmp_path: Path, face: str, build: str, asked: str
) -> None:
    """And not the usual one of another build."""
    del home
    with served(stored([]), face) as url:
        path = manifest(tmp_path, f'quantization: {build}, endpoint: "{url}"')
        plan = apart("plan", path, environment={"ORCHESTRATOR_SERVERS": url})
    assert f"pull {asked} by " in plan.out, plan.out
    assert f"({build}, " in plan.out
