"""Plans with model servers that we start: begun before all else, restarted, tried again, ended, and never in silence."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from orchestrator.core.blueprint import Blueprint
from orchestrator.core.errors import PlanError
from orchestrator.plan.binding import bind_all
from orchestrator.plan.budgets import budget_beside_servers
from orchestrator.plan.diff import diff, take_down
from orchestrator.plan.observed import ObservedServer, ObservedState, Prospect, StartedServer
from orchestrator.plan.planned import plan_of, refuse_prospects
from orchestrator.plan.pools import MAIN_ONLY
from orchestrator.plan.returning import WITH_RUNTIME, returned, starting
from orchestrator.ports.device import Accelerator, Device
from orchestrator.ports.provider import ServedModel
from tests.plan.parts import after, agent, blueprint, model, ollama, rule, state

URL = "http://127.0.0.1:40001"
GB = 10**9


def desk(**server: Any) -> Blueprint:
    """One agent with a model whose server is started."""
    spec: dict[str, Any] = {
        "kind": "llama-cpp",
        "model": "/m/tiny.gguf",
        "scenario": None,
        "host": "127.0.0.1",
        "port": None,
    }
    spec |= {"start_timeout": 300.0, "remote_code": False, "options": {}, **server}
    tiny = model("tiny", provider="llama-cpp", ids={"*": ["tiny"]}, server=spec)
    return blueprint(tiny, agent("clerk", models=["tiny"], reflex=[rule()]), name="desk")


def prospect(**changes: Any) -> Prospect:
    return replace(
        Prospect("desk/tiny", "llama-cpp", "llama-server", "one", ("llama-server",), ("threads: 1",)), **changes
    )


def started(**changes: Any) -> StartedServer:
    return replace(StartedServer("desk/tiny", "llama-cpp", "one", "ready", "", URL, "tiny", 7, "/log"), **changes)


def seen(server: StartedServer | None = None, **prospects: Any) -> ObservedState:
    """What is there: perhaps the server, which answers where it is ready."""
    running = {server.name: server} if server else {}
    there = ObservedServer("llama-cpp", URL, f"{URL}/v1", (ServedModel("tiny", kind="chat", slots=1, context=2048),))
    servers = (there,) if server and server.state == "ready" else ()
    return state(*servers, started=running, prospects={"desk/tiny": prospect(**prospects)})


def lines(wanted: Blueprint, observed: ObservedState) -> list[str]:
    return [str(step) for step in diff(wanted, observed).steps]


def test_a_server_is_started_before_what_needs_it() -> None:
    """And the plan says what its options become."""
    plan = diff(desk(), seen())
    assert [str(step) for step in plan.steps] == [
        "+ server.tiny: start llama-server (the manifest adds it)",
        "+ model.tiny: bind to the llama-server that is started (the manifest adds it)",
        "+ agent.clerk: start (the manifest adds it)",
        "+ deployment.desk: take requests (the manifest adds it)",
    ]
    assert plan.notes == ("tiny: threads: 1",)
    assert [each.by for each in plan.serving] == ["tiny (llama-server, once it is started)"]


def test_one_that_runs_as_wanted_is_left_alone() -> None:
    """Bound to what the server really serves; the second plan is empty."""
    observed = seen(started())
    assert "bind to llama-cpp at 127.0.0.1:40001 as tiny" in lines(desk(), observed)[0]
    assert diff(desk(), after(desk(), observed)).empty


def test_other_options_restart_it() -> None:
    """First, as the old one may take the memory of the new one."""
    observed = after(desk(), seen(started()))
    observed = replace(observed, prospects={"desk/tiny": prospect(digest="two")})
    assert lines(desk(options={"threads": 2}), observed) == [
        "~ server.tiny: restart llama-server (changed: options of its server)",
        "~ model.tiny: bind to the llama-server that is started (changed: options of its server, server)",
        "~ agent.clerk: replace (changed: servers)",
        "~ deployment.desk: send new requests to the new version (parts of it change)",
        "~ deployment.desk: let requests in flight finish on revision 1 (they keep what they began with)",
    ]


@pytest.mark.parametrize("state_of_it", ["waiting", "starting", "stopping"])
def test_one_that_is_not_ready_is_gone_on_without_in_the_same_words(state_of_it: str) -> None:
    """However it comes to be ready: other words would be another revision each time."""
    first = lines(desk(), seen(started(state=state_of_it, why="loading")))[0]
    assert first == "~ model.tiny: go on without it (llama-server is not ready)"


def test_one_that_was_given_up_is_tried_again_by_an_apply_only() -> None:
    """The loop would never settle otherwise; the reason is in the plan."""
    failed = seen(started(state="failed", why="given up after 3 tries: exit code 1: no memory", url=""))
    (first, *_) = lines(desk(), failed)
    assert first == "~ model.tiny: go on without it (llama-server: given up after 3 tries: exit code 1: no memory)"
    (first, *_) = lines(desk(), replace(failed, retries=True))
    assert first == "+ server.tiny: start llama-server (it was given up, and may be mended)"


def test_one_whose_model_was_removed_is_told_with_what_brings_it_back() -> None:
    """It runs, and lists all that it has: a call for the model would fail. One that lists less is asked all the same."""
    able = ObservedServer("foundry-local", URL, f"{URL}/v1", (), capabilities={"load": "yes", "remove": "yes"})
    running = {"desk/tiny": started(kind="foundry-local")}
    plan = diff(desk(), state(able, started=running, prospects={"desk/tiny": prospect()}))
    assert (
        str(plan.steps[0]) == "~ model.tiny: go on without it (foundry-local at 127.0.0.1:40001 has no tiny any more)"
    )
    assert f"orchestrator models pull tiny --endpoint {URL}" in plan.serving[0].cure
    other = replace(able, capabilities={"remove": "no"})
    plan = diff(desk(), state(other, started=running, prospects={"desk/tiny": prospect()}))
    assert "bind to foundry-local at 127.0.0.1:40001 as tiny" in str(plan.steps[0])


def test_one_that_cannot_be_started_is_told_with_its_cure() -> None:
    """A program or a file that is missing keeps nothing else from serving."""
    plan = diff(desk(), seen(why="llama-server is not installed", cure="brew install llama.cpp", code="ORC418"))
    assert str(plan.steps[0]) == "~ model.tiny: go on without it ([ORC418] llama-server is not installed)"
    assert plan.serving[0].cure == "brew install llama.cpp"
    assert plan.notes == ()


def test_an_option_that_cannot_be_had_is_refused() -> None:
    """Going on without would not be what was written."""
    refuse_prospects(seen(why="not installed"))
    with pytest.raises(PlanError, match="the server of tiny: numa: llama-server b1 has no --numa"):
        refuse_prospects(seen(why="numa: llama-server b1 has no --numa", refused=True))


@pytest.mark.parametrize("unfit", [False, True])
def test_what_answers_does_not_go_for_a_server_that_cannot_be_started(unfit: bool) -> None:
    """Unless something else answers for the agent then, or nothing did before; or it is no server's fault."""
    ruled, clerk = desk(), agent("clerk", models=["tiny"])
    only = blueprint(ruled.elements["model.tiny"].spec, clerk, name="desk")
    runs = started(use="live")
    before = blueprint(
        ruled.elements["model.tiny"].spec, agent("clerk", models=["tiny"], instructions="before"), name="desk"
    )
    there = after(before, seen(runs))
    mistyped = seen(runs, why="there is no file", cure="mend `path`", unfit=unfit, digest="two")
    now = replace(mistyped, deployments=there.deployments)
    code = r"\[ORC530\] " if unfit else ""
    why = (
        f"^agent.clerk would have nothing to answer with; the server of tiny cannot be started: {code}there is no file$"
    )
    with pytest.raises(PlanError, match=why) as raised:
        plan_of(only, now)
    assert raised.value.cure == "mend `path`; desk goes on as it was"

    def without(wanted: Blueprint, observed: ObservedState) -> str:
        return next(each.by for each in plan_of(wanted, observed).serving if each.agent == "agent.clerk")

    assert without(ruled, now) == "its 1 reflex rule"
    silent = after(before, seen(why="there is no file"))
    gone = blueprint(model("tiny", ids={"*": ["tiny"]}), clerk, name="desk")
    for wanted, observed in (
        (only, replace(now, deployments={})),
        (only, replace(now, deployments=silent.deployments)),
        (only, replace(now, started={})),  # what answers ends for another reason
        (only, replace(now, deployments=after(only, seen(runs)).deployments)),  # the same once more
        (replace(only, node="n1"), now),  # the fleet decides
        (gone, replace(now, prospects={}, servers=())),  # no server's fault
    ):
        assert without(wanted, observed) == "nothing"


def test_what_answers_does_not_go_for_a_server_whose_port_is_taken() -> None:
    """By another program: it would be tried three times while nothing answers. By our own process that it follows it may be."""
    runs = started(use="live")
    changed = seen(runs, digest="two", port=40002, taken="port 40002 is taken by python", apart="both do not fit")
    with pytest.raises(PlanError, match="the server of tiny would not start: port 40002 is taken by python") as raised:
        plan_of(desk(), after(desk(), changed))
    assert raised.value.cure == "write another `port`, or none, or end who has it; desk goes on as it was"
    own = seen(runs, digest="two", port=40001, taken="port 40001 is taken by llama-server", apart="both want the port")
    assert plan_of(desk(), after(desk(), own)).steps
    same = seen(runs, port=40002, taken="port 40002 is taken by python")
    assert plan_of(desk(), after(desk(), same)).empty


def test_a_server_that_no_manifest_wants_is_stopped_with_consent() -> None:
    """Also where the model stays and only its server goes."""
    observed = after(desk(), seen(started()))
    without = blueprint(
        model("tiny", ids={"*": ["tiny"]}), agent("clerk", models=["tiny"], reflex=[rule()]), name="desk"
    )
    last = diff(without, observed).steps[-1]
    assert (str(last), last.removes) == ("- server.tiny: stop (the manifest no longer has it)", True)
    assert [str(step) for step in take_down(observed, "desk").steps][-1] == "- server.tiny: stop (it is taken down)"


def test_only_its_own_server_serves_it() -> None:
    """Another one that happens to have the model may have other options."""
    observed = replace(seen(started(state="starting")), servers=(ollama("tiny"),))
    assert lines(desk(), observed)[0] == "~ model.tiny: go on without it (llama-server is not ready)"


def test_servers_of_other_deployments_are_none_of_this_plan() -> None:
    """Neither bound to nor stopped."""
    other = started(name="shop/tiny")
    observed = replace(seen(), started={other.name: other})
    assert not [line for line in lines(desk(), observed) if "stop" in line]
    assert take_down(observed, "desk").steps == ()


def test_what_is_observed_survives_the_way_to_a_client() -> None:
    """As JSON and back."""
    observed = replace(seen(started(), why="x", cure="y", refused=True), retries=True)
    assert ObservedState.from_json(observed.as_json()) == observed


def test_without_a_runtime_a_server_that_is_applied_comes_back_and_is_not_begun_by_the_plan() -> None:
    """A plan then shows only what the manifest changes of it, and what cannot be started is gone on without as before."""
    around = starting(seen())
    back = replace(around, deployments={"desk": returned(desk(), 3, around)})
    assert diff(desk(), back).empty
    assert around.started["desk/tiny"].why == WITH_RUNTIME
    other = replace(back, prospects={"desk/tiny": prospect(digest="two")})
    assert lines(desk(options={"threads": 2}), other)[0] == (
        "~ server.tiny: restart llama-server (changed: options of its server)"
    )
    missing = starting(seen(why="there is no file /m/tiny.gguf"))
    assert missing.started == {}
    assert diff(desk(), replace(missing, deployments={"desk": returned(desk(), 3, missing)})).empty


def test_one_that_rests_is_there_for_the_next_request() -> None:
    """On its way to rest, at rest, and while it comes back: bound as it was, nothing to be done; not where it could not be
    started any more, and not where it is wanted with other options."""
    before = after(desk(), seen(started()))
    for resting in ("stopping", "resting", "starting"):
        one = started(state=resting, pid=0, rests=True, use="live")
        observed = replace(seen(started()), started={one.name: one}, deployments=before.deployments)
        assert diff(desk(), observed).empty
        assert lines(desk(options={"threads": 2}), replace(observed, prospects={"desk/tiny": prospect(digest="two")}))[
            0
        ] == (
            "~ server.tiny: start llama-server anew beside the one that serves, which ends when its requests are done "
            "(changed: options of its server)"
        )
        gone = prospect(why="there is no file /m/tiny.gguf")
        assert lines(desk(), replace(observed, prospects={"desk/tiny": gone}))[0] == (
            "~ model.tiny: go on without it (there is no file /m/tiny.gguf)"
        )


def test_one_that_comes_back_and_failed_is_like_any_that_does_not_run() -> None:
    """What was bound to it goes on without until it is ready."""
    before = after(desk(), seen(started()))
    observed = replace(seen(started(state="waiting")), deployments=before.deployments)
    assert lines(desk(), observed)[0] == "~ model.tiny: go on without it (llama-server is not ready)"


def resting(made: Blueprint, resources: dict[str, Any], **changes: Any) -> Blueprint:
    tiny = replace(made.elements["model.tiny"], spec={**made.elements["model.tiny"].spec, **changes})
    return replace(made, elements={**made.elements, "model.tiny": tiny}, resources=resources)


STAYS = (
    "the server that is started for it ends only where `keep_alive` of the model or "
    "`resources.auto_unload_idle_models: true` has it rest"
)
PAST = "its vectors are asked for past the queue, so that nobody sees when it is not in use"


@pytest.mark.parametrize("observed", [seen(), seen(started())], ids=["it is started", "it runs"])
@pytest.mark.parametrize(
    ("resources", "changes", "told"),
    [
        ({"max_memory_usage": 9 * 10**9, "model_cache_size": 10**10, "auto_unload_idle_models": True}, {}, []),
        ({"model_cache_size": 10**10}, {"keep_alive": 3.0}, []),
        ({"auto_unload_idle_models": False}, {}, []),
        ({"auto_unload_idle_models": True, "model_cache_size": 1}, {"pinned": True}, []),
        ({"model_cache_size": 10**10}, {}, [f"resources.model_cache_size cannot be kept for tiny: {STAYS}"]),
        (
            {"auto_unload_idle_models": True},
            {"kind": "embedding", "keep_alive": 3.0},
            [f"resources.auto_unload_idle_models, keep_alive cannot be kept for tiny: {PAST}"],
        ),
    ],
)
def test_what_a_started_server_cannot_keep_of_its_rest_is_told(
    observed: ObservedState, resources: dict[str, Any], changes: dict[str, Any], told: list[str]
) -> None:
    """From the first plan on. Its limit of memory it keeps: where there is no room it is not started."""
    made = resting(desk(), resources, **changes)
    assert [note for note in diff(made, observed).notes if "cannot be kept" in note] == told


def test_a_server_that_takes_more_than_the_cache_is_told_to_start_for_each_call() -> None:
    """As a model that is larger than all that may rest."""
    observed = seen(started(memory=5 * 10**9))
    made = resting(desk(), {"model_cache_size": 4 * 10**9}, keep_alive=60.0)
    (note,) = [note for note in diff(made, observed).notes if "it is unloaded as soon as it rests" in note]
    assert note.startswith("tiny takes 5.0 GB, and models that rest may take 4.0 GB together")


TAKEN = "port 8080 is taken by nginx (process 7)"


@pytest.mark.parametrize(
    "one",
    [
        None,
        started(state="failed", why="given up", url="", pid=0),
        started(state="resting", rests=True, url="http://127.0.0.1:8080", pid=0, use="live"),
        started(state="waiting", url="", pid=0),
    ],
)
def test_a_taken_port_is_told_wherever_it_is_in_the_way(one: StartedServer | None) -> None:
    """With who has it, also for one that was given up for it, or rests and could not come back."""
    observed = seen(one, port=8080, taken=TAKEN)
    told = f"tiny: {TAKEN}, and its server is not started before that is free: write another `port`, or none"
    assert told in diff(desk(), observed).notes
    assert told not in diff(desk(), seen(started(url="http://127.0.0.1:8080"), port=8080, taken=TAKEN)).notes


OTHER = StartedServer("pp/two", "llama-cpp", "x", "ready", url="http://127.0.0.1:8080", pid=9)
MINE = "port 8080 is taken by server.two of pp"


@pytest.mark.parametrize("taken", ["port 8080 is taken by llama-server (process 9)", ""])
@pytest.mark.parametrize("state", ["ready", "starting", "empty"])
def test_a_port_that_a_server_of_another_deployment_has_is_told(taken: str, state: str) -> None:
    """By its name, also before it listens there; and after an apply that failed for that. One that goes, or rests, is not in the
    way, and one of the own deployment is ended first."""
    told = f"tiny: {MINE}, and its server is not started before that is free: write another `port`, or none"
    failed = started(state="failed", why=f"given up after 3 tries: {MINE}", url="", pid=0)
    for one in (None, failed):
        observed = seen(one, port=8080, taken=taken)
        among = {**observed.started, "pp/two": replace(OTHER, state=state)}
        assert diff(desk(), replace(observed, started=among)).notes[-1] == told
        for gone in (replace(OTHER, state="stopping"), replace(OTHER, name="desk/two")):
            among = {**observed.started, gone.name: gone}
            assert not [note for note in diff(desk(), replace(observed, started=among)).notes if "is taken" in note]
    among = {"desk/tiny": failed, "pp/two": replace(OTHER, state=state)}
    bound = bind_all(desk(), replace(seen(port=8080, taken=taken), started=among))["tiny"]
    assert bound.cure == f"{MINE}: end that, or write another `port` or none; then `orchestrator apply` tries it again"
    resting = replace(OTHER, state="resting", rests=True, pid=0)
    assert not any(MINE in note for note in diff(desk(), replace(seen(port=8080), started={"pp/two": resting})).notes)


def test_an_apply_is_no_cure_for_a_taken_port() -> None:
    """Whoever has it must go, or the manifest change; without that each apply ends as the last one."""
    failed = started(state="failed", why="given up after 3 tries: x", url="", pid=0)
    bound = bind_all(desk(), seen(failed, port=8080, taken=TAKEN))["tiny"]
    assert bound.cure == f"{TAKEN}: end that, or write another `port` or none; then `orchestrator apply` tries it again"
    assert bind_all(desk(), seen(failed))["tiny"].cure == "see /log, then `orchestrator apply` tries it again"


def test_what_a_server_takes_of_a_card_leaves_the_main_memory_to_models() -> None:
    """One in the main memory leaves them the card, and one that uses either takes the card first."""
    card = Accelerator("card", "cuda", 24 * GB, 24 * GB)
    here = Device(32 * GB, 32 * GB, 8, (card,))
    whole = budget_beside_servers(desk(), replace(seen(), device=here))
    assert whole is not None

    def left(size: int, cards: int | None) -> tuple[int, int]:
        budget = budget_beside_servers(desk(), replace(seen(memory=size, cards=cards), device=here))
        assert budget is not None
        return budget.main, budget.own

    assert left(24 * GB, 1) == (whole.main, 0)
    assert left(whole.main + GB, MAIN_ONLY) == (0, whole.own)
    assert left(GB, None) == (whole.main, whole.own - GB)
    assert left(24 * GB, None) == (whole.main - (24 * GB - whole.own), 0)
