"""Plans for a server that changes while it serves: beside the old process where both fit, else the old one is ended first."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from orchestrator.plan.binding import bind_all
from orchestrator.plan.diff import diff, take_down
from orchestrator.plan.generations import berth_of, comes_beside, one_more, what_changed
from orchestrator.plan.observed import ObservedServer, ServerUse, StartedServer
from orchestrator.plan.started import Neighbours, fitted
from orchestrator.ports.lifecycle import SetAside
from orchestrator.ports.provider import ServedModel
from tests.plan.parts import after, state
from tests.plan.test_servers import desk, lines, prospect, started
from tests.plan.test_started import BUILDS, GB, device, spec, startable, whole
from tests.plan.test_started import desk as sized

SIZE = whole(BUILDS["q4_k_m"])
NEED = "3.5 GB = 2.5 GB weights + 537 MB cache (4096 tokens) + 479 MB server"
LEFT = "max_memory_usage 7.0 GB, less 80.0 MB for the orchestrator, less 3.5 GB for the server of a as it runs"


def process(number: int, digest: str, use: ServerUse = "", condition: str = "ready") -> StartedServer:
    """One process of the server of desk/tiny."""
    name = "desk/tiny" if number == 1 else f"desk/tiny#{number}"
    return replace(started(name=name, digest=digest, state=condition, url=f"http://127.0.0.1:4000{number}"), use=use)


def there(*processes: StartedServer) -> dict[str, StartedServer]:
    return {each.name: each for each in processes}


@pytest.mark.parametrize(
    ("processes", "apart", "expected"),
    [
        ([], "", ("desk/tiny", "first")),
        ([process(1, "one", "live")], "", ("desk/tiny", "there")),
        ([process(1, "old", "live")], "", ("desk/tiny#2", "beside")),
        ([process(1, "old", "live")], "no room", ("desk/tiny", "instead")),
        ([process(1, "old", "live", "starting")], "", ("desk/tiny", "instead")),
        ([process(1, "old")], "", ("desk/tiny", "instead")),
        ([process(1, "older", "draining"), process(2, "old", "live")], "", ("desk/tiny#3", "beside")),
        ([process(1, "older", "draining"), process(2, "old", "live")], "no room", ("desk/tiny#2", "instead")),
        ([process(1, "older", condition="stopping"), process(2, "old", "live")], "", ("desk/tiny#3", "beside")),
        ([process(1, "other", condition="failed"), process(2, "old", "live")], "", ("desk/tiny", "beside")),
        ([process(1, "one", condition="stopping"), process(2, "old", "live")], "", ("desk/tiny#3", "beside")),
        ([process(1, "one", condition="stopping")], "", ("desk/tiny", "there")),
        ([process(1, "one", "live", "starting"), process(2, "one")], "", ("desk/tiny#2", "there")),
    ],
)
def test_where_a_server_that_is_wanted_shall_run(
    processes: list[StartedServer], apart: str, expected: tuple[str, str]
) -> None:
    """Beside one that serves, under a number that nobody uses; instead of one that does not, or where two cannot be."""
    berth = berth_of("desk/tiny", prospect(apart=apart), there(*processes))
    assert (berth.process, berth.how) == expected


def test_who_is_waited_for_before_anything_is_recorded() -> None:
    """Only one that is not ready while another serves."""
    old = process(1, "old", "live")
    for condition, expected in (("starting", True), ("failed", True), ("ready", False)):
        running = there(old, process(2, "one", condition=condition))
        berth = berth_of("desk/tiny", prospect(), running)
        assert comes_beside("desk/tiny", berth, running) is expected
    alone = there(process(1, "one", "live", "starting"))
    assert not comes_beside("desk/tiny", berth_of("desk/tiny", prospect(), alone), alone)


def test_the_plan_of_a_change_beside() -> None:
    """The new one first, then what is bound to it, then the old revision drains."""
    observed = replace(state(started=there(process(1, "old", "live"))), prospects={"desk/tiny": prospect()})
    assert lines(desk(options={"threads": 2}), after(desk(), observed))[0] == (
        "~ server.tiny: start llama-server anew beside the one that serves, which ends when its requests are done "
        "(changed: options of its server)"
    )


def test_the_plan_says_why_the_old_one_is_ended_first() -> None:
    """And whether it is the options or the file."""
    observed = state(
        started=there(process(1, "one.old", "live")), prospects={"desk/tiny": prospect(digest="one.new", apart="no")}
    )
    assert lines(desk(), after(desk(), observed))[0] == (
        "~ server.tiny: restart llama-server, ended first: no (changed: the file of its model)"
    )
    assert what_changed("one.old", "two.new") == what_changed("one", "two") == "options of its server"


def test_until_the_new_one_is_ready_the_old_one_stays_bound() -> None:
    """No step is left for it, and none for what serves."""
    base = "http://127.0.0.1:40001"
    server = ObservedServer("llama-cpp", base, f"{base}/v1", (ServedModel("tiny", kind="chat", slots=1, context=2048),))
    before = state(server, started=there(process(1, "one", "live")), prospects={"desk/tiny": prospect()})
    for condition in ("starting", "failed"):
        running = there(process(1, "one", "live"), process(2, "two", condition=condition))
        observed = replace(after(desk(), before), started=running, prospects={"desk/tiny": prospect(digest="two")})
        assert diff(desk(), observed).empty


def test_a_server_with_two_processes_is_stopped_in_one_step() -> None:
    """A step is about the server."""
    observed = after(desk(), state(started=there(process(1, "old", "draining"), process(2, "one", "live"))))
    stops = [str(step) for step in take_down(observed, "desk").steps if str(step.operation.address) == "server.tiny"]
    assert stops == ["- server.tiny: stop (it is taken down)"]


def changing(memory: int = SIZE, use: ServerUse = "live", name: str = "desk/a") -> dict[str, StartedServer]:
    """A server with other options than are wanted now."""
    url = "http://127.0.0.1:8080"
    return {name: StartedServer(name, "llama-cpp", "old", "ready", url=url, memory=memory, use=use)}


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        (8, ""),
        (7, f"two do not fit ({NEED}; models may take 3.4 GB ({LEFT}))"),
    ],
)
def test_both_must_fit(limit: int, expected: str) -> None:
    """The old one counts as long as it serves; the new one is not refused for it."""
    found = fitted(sized(spec("a"), limit=limit * GB), {"desk/a": [startable("desk/a")]}, Neighbours(changing()))
    assert (found["desk/a"].apart, found["desk/a"].why, found["desk/a"].unfit) == (expected, "", False)


def test_all_others_count_too_and_each_old_one_that_stays() -> None:
    """Of two that change, the first comes beside and the second waits for its own end; draining ones count."""
    wanted = {"desk/a": [startable("desk/a")], "desk/b": [startable("desk/b")]}
    running = Neighbours({**changing(), **changing(name="desk/b")})
    found = fitted(sized(spec("a"), spec("b"), limit=12 * GB), wanted, running)
    assert [bool(each.apart) for each in found.values()] == [False, True]
    one = {"desk/a": [startable("desk/a")]}
    for others in (changing(name="shop/x"), changing(use="draining", name="desk/a#2")):
        found = fitted(sized(spec("a"), limit=8 * GB), one, Neighbours({**changing(), **others}))
        assert found["desk/a"].apart.startswith("two do not fit")


def test_what_is_only_measured_counts_as_well() -> None:
    """More than models should take is too much for two, though not for one."""
    one = {"desk/a": [startable("desk/a")]}
    assert fitted(sized(spec("a")), one, Neighbours(changing(), (), device(32 * GB)))["desk/a"].apart == ""
    assert "two do not fit" in fitted(sized(spec("a")), one, Neighbours(changing(), (), device(8 * GB)))["desk/a"].apart


def test_what_nobody_knows_is_not_tried_and_a_port_is_not_shared() -> None:
    """Both are said."""
    one = {"desk/a": [startable("desk/a")]}
    assert fitted(sized(spec("a")), one, Neighbours(changing()))["desk/a"].apart == (
        "nobody knows whether two of them fit into memory"
    )
    fixed = spec("a")
    fixed["server"] |= {"port": 8080}
    assert fitted(sized(fixed, limit=30 * GB), one, Neighbours(changing()))["desk/a"].apart == (
        "both would need port 8080 (without `port` each gets a free one)"
    )


def test_one_that_loads_on_request_counts_as_much_as_the_new_one_will() -> None:
    """It holds nothing that we know of, and yet two models may be in memory."""
    asked = {"desk/a": [startable("desk/a", aside=SetAside(4096, on_request=True))]}
    running = Neighbours(changing(memory=0))
    assert fitted(sized(spec("a"), limit=8 * GB), asked, running)["desk/a"].apart == ""
    assert "two do not fit" in fitted(sized(spec("a"), limit=7 * GB), asked, running)["desk/a"].apart


def two() -> dict[str, StartedServer]:
    return there(process(1, "one", "live"), process(2, "one"))


def answering(number: int) -> ObservedServer:
    """What is seen of a process that is ready."""
    base = f"http://127.0.0.1:4000{number}"
    return ObservedServer("llama-cpp", base, f"{base}/v1", (ServedModel("tiny", kind="chat", slots=1, context=2048),))


@pytest.mark.parametrize(
    ("processes", "instances", "expected"),
    [
        ([process(1, "one", "live")], 1, ""),
        ([process(1, "one", "live")], 2, "desk/tiny#2"),
        ([process(2, "one", "live")], 2, "desk/tiny"),
        ([process(1, "one", "live", "starting")], 2, ""),
        ([process(1, "one", "live"), process(2, "one", condition="failed")], 2, ""),
        ([process(1, "one", "live"), process(2, "old", "draining")], 2, "desk/tiny#3"),
        ([process(1, "old", "live")], 2, ""),
    ],
)
def test_when_one_more_is_started(processes: list[StartedServer], instances: int, expected: str) -> None:
    """Where one is ready and more shall run; one that was given up rests first."""
    assert one_more("desk/tiny", prospect(instances=instances), there(*processes)) == expected


def test_two_that_are_ready_share_the_work_and_one_too_many_is_left() -> None:
    """The plan starts it, binds both, and takes the second away again."""
    one = state(answering(1), started=there(process(1, "one", "live")), prospects={"desk/tiny": prospect()})
    busy = replace(after(desk(), one), prospects={"desk/tiny": prospect(instances=2)})
    assert lines(desk(), busy) == ["+ server.tiny: start one more llama-server (its slots are busy)"]
    both = replace(after(desk(), one), started=two(), servers=(answering(1), answering(2)), prospects=busy.prospects)
    assert lines(desk(), both)[0].startswith("~ model.tiny: bind to llama-cpp at 127.0.0.1:40001 as tiny, and 1 more")
    bound = bind_all(desk(), both)["tiny"]
    assert (len(bound.endpoints), bound.equals) == (2, 2)
    calm = replace(after(desk(), both), prospects={"desk/tiny": prospect()})
    assert [endpoint.api_base for endpoint in bind_all(desk(), calm)["tiny"].endpoints] == ["http://127.0.0.1:40001/v1"]
    assert lines(desk(), calm)[0].startswith("~ model.tiny: bind to llama-cpp at 127.0.0.1:40001")


def growing(alias: str = "a", most: int = 3, port: int | None = None) -> Any:
    made = spec(alias)
    made["server"] |= {"max_instances": most, "port": port}
    return made


def test_as_many_as_are_wished_and_fit() -> None:
    """Beside all firsts, of this deployment and of others; what has no room is told."""
    wanted = {"desk/a": [startable("desk/a")]}

    def instances(limit: int, one: Any, wished: int, others: dict[str, StartedServer] | None = None) -> tuple[int, str]:
        around = Neighbours(others or {}, (), None, {"desk/a": wished})
        found = fitted(sized(one, limit=limit * GB), wanted, around)["desk/a"]
        return found.instances, found.alone

    assert instances(30, growing(), 1) == (1, "")
    assert instances(30, growing(), 2) == (2, "")
    assert instances(30, growing(), 9) == (3, "")
    assert instances(30, spec("a"), 9) == (1, "")
    count, why = instances(30, growing(port=8080), 1)
    assert (count, why) == (1, "one process at most, not 3: two cannot listen at port 8080; leave `port` out")
    count, why = instances(8, growing(), 3)
    assert count == 2 and why.startswith(
        f"its slots are busy, and one more of it does not fit: it needs {NEED}; models may"
    )
    assert instances(8, growing(), 2, changing(name="shop/x"))[0] == 1
    assert instances(8, growing(), 2, changing(use="draining"))[0] == 1


def test_what_is_not_known_to_fit_has_no_second() -> None:
    """Neither by the device nor by the manifest."""
    found = fitted(sized(growing()), {"desk/a": [startable("desk/a")]}, Neighbours({}, (), None, {"desk/a": 2}))
    assert found["desk/a"].alone == "its slots are busy, and nobody knows whether one more of it fits into memory"
    second = startable("desk/b")
    pair = fitted(
        sized(growing("a"), spec("b"), limit=8 * GB),
        {"desk/a": [startable("desk/a")], "desk/b": [second]},
        Neighbours({}, (), None, {"desk/a": 2}),
    )
    assert [each.instances for each in pair.values()] == [1, 1] and not pair["desk/b"].why
