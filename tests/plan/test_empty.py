"""A server that we start and that loads models on request: what is pulled into it, and what it is bound to."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.core.blueprint import Blueprint
from orchestrator.plan.binding import Bound, bind_all
from orchestrator.plan.diff import diff
from orchestrator.plan.fetches import Fetch, fetches
from orchestrator.plan.observed import ObservedState, Prospect, StartedServer
from orchestrator.plan.wish import Wish
from orchestrator.ports.provider import ServedModel
from tests.plan.parts import agent, blueprint, model, ollama, rule, state

ABLE = {"load": "yes", "pull": "yes", "remove": "yes"}
PROSPECT = Prospect("desk/a", "ollama", "ollama serve", "one", ("ollama", "serve"), model="phi4-mini:3.8b")


def desk(**changes: Any) -> Blueprint:
    """A model with an Ollama of its own."""
    server: dict[str, Any] = {"kind": "ollama", "model": "phi4-mini:3.8b", "scenario": None, "host": "127.0.0.1"}
    server |= {"port": None, "start_timeout": 300.0, "remote_code": False, "options": {}}
    ids = {"ollama": ["phi4-mini:3.8b"], "llama-cpp": ["phi.gguf"]}
    spec = model("a", **{"provider": "ollama", "ids": ids, "server": server, **changes})
    return blueprint(spec, agent("clerk", models=["a"], reflex=[rule()]), name="desk")


def seen(now: str = "empty", *there: ServedModel, **prospect: Any) -> ObservedState:
    """Its process in this state, with these models in its store."""
    server = ollama(capabilities=ABLE, models=there)
    process = StartedServer("desk/a", "ollama", "one", now, url=server.url, serves="phi4-mini:3.8b")
    return state(server, started={"desk/a": process}, prospects={"desk/a": PROSPECT})


def listed(name: str, build: str = "", size: int = 10**9) -> ServedModel:
    return ServedModel(name, False, kind="chat", size=size, quantization=build)


def planned(wanted: Blueprint, observed: ObservedState) -> tuple[Bound, Fetch | None]:
    bound = bind_all(wanted, observed)
    return bound["a"], fetches(wanted, observed, bound).get("a")


def test_what_it_lacks_is_pulled_into_it() -> None:
    """In the build that the manifest names, with its size; it is told that it has it not yet, and how it comes there."""
    bound, fetch = planned(desk(quantization="q8_0"), seen())
    assert bound.missing == "ollama at 127.0.0.1:11434 has no phi4-mini:3.8b in q8_0 yet"
    assert bound.cure == "orchestrator models pull a --quantization q8_0 --endpoint http://127.0.0.1:11434"
    assert fetch is not None and fetch.exact
    assert fetch.does() == "pull phi4-mini:3.8b-q8_0 by ollama at 127.0.0.1:11434 (q8_0, 4.0 GB), and bind to it"


def test_another_build_in_its_store_is_not_the_one_that_is_named() -> None:
    """Nor is it bound in its place."""
    there = listed("phi4-mini:3.8b", "Q4_K_M")
    bound, fetch = planned(desk(quantization="q8_0"), seen("empty", there))
    assert bound.missing == "a is wanted as q8_0, and ollama at 127.0.0.1:11434 has it as q4_k_m"
    assert "--quantization q8_0 --endpoint http://127.0.0.1:11434; or write quantization: q4_k_m" in bound.cure
    assert fetch is not None and fetch.build == "q8_0"
    bound, fetch = planned(desk(), seen("ready", there))
    assert [each.model for each in bound.endpoints] == ["phi4-mini:3.8b"] and fetch is None


def test_what_has_come_and_is_not_shown_yet_is_not_pulled_once_more() -> None:
    """A token shows it, and then it is bound."""
    bound, fetch = planned(desk(quantization="q8_0"), seen("empty", listed("phi4-mini:3.8b-q8_0", "Q8_0")))
    assert (bound.endpoints, bound.missing, fetch) == ((), "ollama serve is not ready", None)


@pytest.mark.parametrize("now", ["ready", "empty"])
def test_a_model_that_was_removed_is_pulled_again(now: str) -> None:
    """Whether or not anybody has noticed yet."""
    _, fetch = planned(desk(quantization="q4_k_m"), seen(now, listed("llama3.2:1b")))
    assert fetch is not None and fetch.server is not None


@pytest.mark.parametrize("now", ["starting", "waiting", "failed", "stopping", "resting"])
def test_nothing_is_pulled_into_one_that_does_not_answer(now: str) -> None:
    """It is told how far it is."""
    bound, fetch = planned(desk(), seen(now))
    assert fetch is None and not bound.endpoints


def test_one_that_is_still_to_be_started_pulls_once_it_is() -> None:
    """The plan has it as a step with its size; whether it is there already is known then."""
    wanted = desk(quantization="q8_0")
    observed = state(prospects={"desk/a": PROSPECT}, pulls=True)
    _, fetch = planned(wanted, observed)
    assert fetch is not None and fetch.server is None
    told = [step.operation.does() for step in diff(wanted, observed).steps]
    does = (
        "pull phi4-mini:3.8b-q8_0 by the ollama serve that is started, where it lacks it (q8_0, 4.0 GB), and bind to it"
    )
    assert told[:2] == ["start ollama serve with phi4-mini:3.8b", does]
    left = [step.operation.does() for step in diff(wanted, state(prospects={"desk/a": PROSPECT})).steps]
    assert left[1] == "bind to the ollama serve that is started"


def test_one_that_changes_pulls_by_the_process_that_serves() -> None:
    """All have one store: the new process finds it there."""
    other = Prospect("desk/a", "ollama", "ollama serve", "two", ("ollama", "serve"))
    observed = seen("ready", listed("llama3.2:1b"))
    _, fetch = planned(desk(), state(*observed.servers, started=observed.started, prospects={"desk/a": other}))
    assert fetch is not None and fetch.server is not None


def test_a_server_that_cannot_be_started_pulls_nothing() -> None:
    """The reason is told, and no pull."""
    broken = Prospect("desk/a", "ollama", "ollama serve", "one", why="ollama serve is not installed")
    assert planned(desk(), state(prospects={"desk/a": broken}))[1] is None


def test_a_name_that_the_manifest_writes_is_that_and_no_other() -> None:
    """Also for whether the server is ready."""
    ids = {"ollama": ["phi4-mini:3.8b-q4_K_M"]}
    wanted = desk(ids=ids, named="phi4-mini:3.8b-q4_K_M")
    observed = seen("empty", listed("phi4-mini:3.8b-q8_0", "Q8_0"))
    bound, fetch = planned(wanted, observed)
    assert fetch is not None and fetch.name == "phi4-mini:3.8b-q4_K_M"
    assert bound.cure == "orchestrator models pull phi4-mini:3.8b --endpoint http://127.0.0.1:11434"


WISH = Wish(("phi4-mini:3.8b", "a"), "q8_0")
LARGE, SMALL = listed("phi4-mini:3.8b-q8_0", "Q8_0", 4 * 10**9), listed("phi4-mini:3.8b-q4_K_M", "Q4_K_M")


@pytest.mark.parametrize(
    ("wish", "there", "met"),
    [
        (WISH, [SMALL, LARGE], LARGE.id),
        (WISH, [SMALL], ""),
        (WISH, [], ""),
        (WISH, [listed("phi4-mini:3.8b", "Q8_0")], "phi4-mini:3.8b"),
        (WISH, [listed("phi4-mini:3.8b")], "phi4-mini:3.8b"),
        (Wish(("phi4-mini:3.8b",)), [LARGE, SMALL], SMALL.id),
        (Wish(("phi4-mini:3.8b",)), [SMALL, ServedModel(LARGE.id, True, size=LARGE.size)], LARGE.id),
        (Wish(("phi4-mini:3.8b",)), [ServedModel("phi4-mini:3.8b", False, remote=True)], ""),
        (Wish((LARGE.id,), written=True), [SMALL, LARGE], LARGE.id),
        (Wish((LARGE.id,), written=True), [SMALL], ""),
    ],
)
def test_what_meets_a_wish(wish: Wish, there: list[ServedModel], met: str) -> None:
    """The named build or none; in memory first, then as it is called, then the smallest; never on another machine."""
    found = wish.met_by("ollama", there)
    assert (found.id if found else "") == met
    assert Wish.from_json(wish.as_json()) == wish
