"""``orchestrator models pull``: what is fetched, from where, with what figures, and how it is left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import NamedTuple

import pytest

from orchestrator.app.builds import builds_for
from orchestrator.app.device import read_device
from orchestrator.manifest.catalogue.reader import find_model
from orchestrator.plan.variants import Variant
from orchestrator.testing.lifecycle.store import StoredModel, stored
from tests.cli.commands import ROOT, command, here
from tests.cli.serving import served
from tests.cli.shop import PHI, PLAIN, QWEN, Shop
from tests.runtime.living import eventually


def test_a_pull_ends_with_what_the_server_lists_then(shop: Shop) -> None:
    """Lines on stderr for each stage; on stdout the model as the server has it now."""
    ran = shop.run("pull", "phi-4-mini", *PLAIN)
    assert ran.code == 0
    assert ran.out == f"ollama at 127.0.0.1:PORT has phi4-mini:3.8b, 2.5 GB, Q4_K_M, sha256:{PHI.digest[:12]}\n"
    assert ran.err.splitlines() == [
        "free disk space is not checked: the folder where the server keeps its models is not known",
        "asking for it pulling manifest",
        "downloading 0 B of 2.5 GB (0%)",
        "verifying what came 2.5 GB of 2.5 GB (100%)",
        "putting it in its place 2.5 GB of 2.5 GB (100%)",
    ]


def best_of(alias: str) -> Variant:
    """The build that this machine would get."""
    row = find_model(alias)
    best = builds_for(row, read_device()).best if row else None
    assert best is not None
    return best


def test_a_pull_of_an_alias_brings_the_build_that_fits_best_and_says_why(shop: Shop) -> None:
    """By the tag that Ollama's library has for it; the usual tag serves another build."""
    best = best_of("qwen2.5-0.5b")
    assert best.build == "q8_0", "half a billion weights in 8 bits fit every machine that runs these tests"
    shop.store.library["qwen2.5:0.5b-instruct-q8_0"] = StoredModel("qwen2.5:0.5b-instruct-q8_0", 530_000_000, "Q8_0")
    ran = shop.run("pull", "qwen2.5-0.5b")
    assert (ran.code, ran.out.startswith("ollama at 127.0.0.1:PORT has qwen2.5:0.5b-instruct-q8_0, 530 MB, Q8_0")) == (
        0,
        True,
    )
    assert ran.err.splitlines()[0] == f"q8_0 is the most faithful that fits: {best.need}"
    assert "ollama at 127.0.0.1:PORT has no qwen2.5:0.5b-q8_0" in ran.err


def test_where_the_server_has_not_that_build_the_usual_one_is_pulled(shop: Shop) -> None:
    """And it is said; a build that was named is not replaced by another one."""
    ran = shop.run("pull", "qwen2.5-0.5b")
    assert (ran.code, "has qwen2.5:0.5b, 398 MB" in ran.out) == (0, True)
    assert "ollama at 127.0.0.1:PORT has no qwen2.5:0.5b-instruct-q8_0" in ran.err
    assert ran.err.count("free disk space is not checked") == 1, "once, though three names were tried"
    named = shop.run("pull", "qwen2.5-0.5b", "--quantization", "Q8_0")
    assert (named.code, "error[ORC" in named.err, named.out) == (5, True, "")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("phi-4-mini", "--quantization", "q99"), "no build is called q99"),
        (("mine:7b", "--provider", "ollama", "--quantization", "q8_0"), "the catalogue does not know mine:7b"),
        (("bge-m3", "--quantization", "q8_0", "--provider", "ollama"), ""),
    ],
)
def test_a_build_that_nobody_knows_is_wrong_usage(shop: Shop, words: tuple[str, ...], said: str) -> None:
    """Before anything is asked for; one that the library only lacks is the server's word."""
    ran = shop.run("pull", *words)
    assert (ran.code == 64, bool(said)) in ((True, True), (False, False))
    assert said in ran.err


def test_a_build_whose_size_nobody_knows_is_shown_with_the_server_s_figures(shop: Shop) -> None:
    """It is smaller than the usual one, whose size would never be reached."""
    small = StoredModel("phi4-mini:3.8b-q3_K_M", 1_900_000_000, "Q3_K_M")
    shop.store.library[small.name] = small
    ran = shop.run("pull", "phi-4-mini", "--quantization", "q3_k_m")
    assert (ran.code, "2.5 GB" in ran.err) == (0, False), ran.err
    assert "downloading 0 B of 1.9 GB (0%)" in ran.err


def test_a_pull_as_json(shop: Shop) -> None:
    """Digest and size as the server lists them."""
    found = json.loads(shop.run("pull", "qwen2.5:0.5b", "--json").out)
    assert (found["model"], found["size"], found["digest"], found["listed"]) == (
        QWEN.name,
        QWEN.size,
        QWEN.digest,
        True,
    )


def test_a_server_s_own_id_needs_its_server_named(shop: Shop) -> None:
    """What the catalogue does not know is no alias; with --provider it is the id of that server."""
    shop.store.library["mine:7b"] = StoredModel("mine:7b", 1000)
    wrong = shop.run("pull", "mine:7b")
    assert (wrong.code, "needs --provider or --endpoint" in wrong.err) == (64, True)
    near = shop.run("pull", "phi4-mini:3.8b-q8_0")
    assert "did you mean" in near.err and "needs --provider or --endpoint" in near.err
    ran = shop.run("pull", "mine:7b", "--provider", "ollama")
    assert (ran.code, "free disk space is not checked: the folder" in ran.err) == (0, True)
    assert "mine:7b" in shop.store.installed


def test_a_pull_that_goes_on_says_so(shop: Shop) -> None:
    """What an earlier one had brought is there already."""
    shop.store.came[PHI.name] = 1_500_000_000
    assert "1.5 GB of it are there already: it goes on from there" in shop.run("pull", "phi-4-mini", *PLAIN).err


def test_a_mistyped_name_is_told_with_its_neighbour(shop: Shop) -> None:
    """Also where the server is named, which takes ids of its own; what is like nothing has none."""
    ran = shop.run("pull", "phi-4-minu", "--endpoint", shop.url)
    assert (ran.code, 'cure: did you mean "phi-4-mini"' in ran.err) == (5, True), ran.err
    assert "did you mean" not in shop.run("pull", "mine").err


def test_a_full_disk_is_told_whatever_the_server_says(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A router that cannot write ends a download as if there were nothing to download."""
    (tmp_path / "hub").mkdir()
    monkeypatch.setattr("shutil.disk_usage", lambda _: _Usage(10**12, 10**12, 0))
    with served(stored(["mine"]), "llama-cpp-router") as url:
        environment = {"ORCHESTRATOR_SERVERS": url, "HF_HOME": str(tmp_path), "LLAMA_CACHE": str(tmp_path / "hub")}
        ran = here("models", "pull", "ju/tiny:Q4_K_M", "--endpoint", url, environment=environment)
    assert ran.code == 4
    assert f", and {tmp_path / 'hub'} has 0 B free" in ran.err and "cure: free some space" in ran.err


def test_what_is_there_already_needs_no_room(shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pull of it fetches what has changed; the disk is no reason to refuse."""
    shop.environment["OLLAMA_MODELS"] = str(tmp_path)
    monkeypatch.setattr("shutil.disk_usage", lambda _: _Usage(10**12, 10**12, 0))
    ran = shop.run("pull", "llama-3.2-1b")
    assert (ran.code, ran.out.startswith("ollama at 127.0.0.1:PORT has llama3.2:1b, ")) == (0, True)
    assert "has llama3.2:1b already: what has changed since is fetched" in ran.err


def test_a_model_that_the_server_calls_otherwise_is_the_one_that_is_new(home: Path) -> None:
    """LM Studio names what it downloaded after its files."""
    name = "unsloth/Phi-4-mini-instruct-GGUF:Q4_K_M"
    store = stored(["mine"], [StoredModel(name, 5_000_000)])
    store.renamed[name] = "another-name"
    with served(store, "lm-studio") as url:
        ran = here("models", "pull", "phi-4-mini", environment={"ORCHESTRATOR_SERVERS": url})
    assert (ran.code, "has another-name, 5.0 MB" in ran.out) == (0, True)


def test_a_pull_on_a_terminal_draws_a_bar(shop: Shop) -> None:
    """With figures; the lines are not written there."""
    shop.store.pull_rate = 5e9
    ran = shop.run("pull", "phi-4-mini", *PLAIN, terminal=True)
    assert ran.code == 0
    assert "━" in ran.err and "of 2.5 GB (" in ran.err


def test_the_disk_is_looked_at_first(shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where size and folder are known: refused with the arithmetic, unless it is forced."""
    shop.environment["OLLAMA_MODELS"] = str(tmp_path)
    monkeypatch.setattr("shutil.disk_usage", lambda _: _Usage(10**12, 10**12, 10**9))
    ran = shop.run("pull", "phi-4-mini", *PLAIN)
    assert ran.code == 4
    assert f"the disk is too full: phi4-mini:3.8b has 2.5 GB, and {tmp_path} has 1.0 GB free" in ran.err
    assert PHI.name not in shop.store.installed
    assert shop.run("pull", "phi-4-mini", "--force").code == 0


class _Usage(NamedTuple):
    total: int
    used: int
    free: int


def test_a_size_that_only_the_server_tells_is_held_to_the_disk_once_it_does(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody knew it before: the pull is left, unless it is forced."""
    shop.store.library["mine:7b"], shop.store.pull_rate = StoredModel("mine:7b", 5 * 10**9), 2e10
    shop.environment["OLLAMA_MODELS"] = str(tmp_path)
    monkeypatch.setattr("shutil.disk_usage", lambda _: _Usage(10**12, 10**12, 10**9))
    ran = shop.run("pull", "mine:7b", "--provider", "ollama")
    until = time.monotonic() + 5
    while not shop.store.left and time.monotonic() < until:
        time.sleep(0.01)  # the server is another process's thread, and hears a moment later that nobody listens
    assert (ran.code, shop.store.left) == (4, ["mine:7b"])
    assert f"its size is compared with the 1.0 GB free in {tmp_path} once the server tells it" in ran.err
    assert f"the disk is too full: 5.0 GB are to come, and {tmp_path} has 1.0 GB free" in ran.err
    assert shop.run("pull", "mine:7b", "--provider", "ollama", "--force").code == 0


def test_a_disk_that_fills_in_the_middle_is_told_in_the_server_s_words(shop: Shop) -> None:
    """With a cure; nothing is installed."""
    shop.store.disk = 6_000_000_000
    ran = shop.run("pull", "phi-4-mini", *PLAIN)
    assert ran.code == 5
    assert "no space left on device" in ran.err and "cure: free disk space" in ran.err
    assert PHI.name not in shop.store.installed


def interrupted(environment: dict[str, str], *words: str) -> tuple[int, str]:
    """A pull as a process of its own that is interrupted once it has told of its first bytes: its exit code, and what it
    said."""
    argv, environment = command("models", "pull", *(words or ("phi-4-mini",))), {**os.environ, **environment}
    with subprocess.Popen(argv, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True) as pulling:
        assert pulling.stderr is not None
        said = next((line for line in pulling.stderr if line.startswith("downloading")), "it told of none\n")
        pulling.send_signal(signal.SIGINT)
        said += pulling.stderr.read()
    return pulling.returncode, said


def test_ctrl_c_leaves_a_pull_properly(shop: Shop) -> None:
    """It says how far it came and how to go on; the server stops; the exit code is that of an interrupt."""
    shop.store.pull_rate = PHI.size / 8
    code, said = interrupted(shop.environment)
    assert code == 130
    assert "what had come is kept, the same command goes on from there\ninterrupted\n" in said
    eventually(lambda: shop.store.left == [PHI.name])
    assert 0 < shop.store.came[PHI.name] < PHI.size


@pytest.mark.parametrize(
    ("face", "said"),
    [
        (
            "llama-cpp-router",
            "what had come is gone, as llama-cpp at {place} deletes the part of a pull that ends early",
        ),
        ("foundry-local-v1", "whether foundry-local at {place} keeps what had come is not known"),
    ],
)
def test_ctrl_c_says_what_becomes_of_what_had_come(home: Path, face: str, said: str) -> None:
    """As the make does it; where nobody knows, that is said."""
    name = (
        "unsloth/Phi-4-mini-instruct-GGUF:Q4_K_M" if face == "llama-cpp-router" else "Phi-4-mini-instruct-generic-cpu"
    )
    store = stored(["mine"], [StoredModel(name)])
    store.pull_rate = StoredModel(name).size / 8
    with served(store, face) as url:
        code, told = interrupted({"ORCHESTRATOR_SERVERS": url}, name, "--endpoint", url)
    assert code == 130
    assert said.format(place=url.removeprefix("http://")) in told


def test_ctrl_c_says_where_a_pull_goes_on(home: Path) -> None:
    """LM Studio has no way to cancel its download."""
    name = "unsloth/Phi-4-mini-instruct-GGUF:Q4_K_M"
    store = stored(["mine"], [StoredModel(name)])
    store.pull_rate = StoredModel(name).size / 8
    with served(store, "lm-studio") as url:
        code, said = interrupted({"ORCHESTRATOR_SERVERS": url})
    assert code == 130
    assert "goes on with it by itself\ninterrupted\n" in said


@pytest.mark.parametrize(
    ("face", "there"),
    [("llama-cpp-router", "unsloth/Phi-4-mini-instruct-GGUF:Q4_K_M"), ("lm-studio", "phi-4-mini-instruct-q2_k")],
)
def test_another_build_that_is_there_is_not_taken_for_what_is_pulled(home: Path, face: str, there: str) -> None:
    """The disk is looked at, and what is told at the end is what came."""
    del home
    wanted = "unsloth/Phi-4-mini-instruct-GGUF:Q8_0"
    store = stored([there], library=[wanted])
    with served(store, face) as url:
        words = ("models", "pull", "phi-4-mini", "--quantization", "q8_0", "--endpoint", url)
        ran = here(*words, environment={"ORCHESTRATOR_SERVERS": url})
    assert (ran.code, "already: what has changed" in ran.err, "free disk space" in ran.err) == (0, False, True), ran.err
    assert f"has {wanted}" in ran.out, ran.out
