"""The loop of the control plane over fakes: what is applied, shared, drained, repaired, and kept when something fails."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import anyio
import pytest
from trio.testing import MockClock

from orchestrator.core.blueprint import ServeSpec
from orchestrator.core.errors import DeployError, NameClash, NoSuchDeployment, PlanOutdated, PortTaken
from orchestrator.deploy.live import CLOSING_SECONDS, CUT, close_tools
from orchestrator.deploy.status import status
from orchestrator.plan.diff import diff
from orchestrator.plan.observed import ObservedState
from orchestrator.plan.pressure import NONE
from orchestrator.plugins.stores.memory import MemoryRevisions
from orchestrator.ports.device import Device
from orchestrator.ports.tool import ToolPlace
from tests.deploy.fakes import OLLAMA, FakeTool, stage, until
from tests.plan.parts import agent, blueprint, kiosk, model, rule, tool

pytestmark = pytest.mark.anyio


async def test_an_apply_makes_everything_and_serves_it(tmp_path: Path) -> None:
    """The deployment has its agents, router and tool, and the model is bound to the server that answers."""
    async with stage(tmp_path) as s:
        s.surroundings.servers[OLLAMA] = ("phi4-mini:latest",)
        applied = await s.apply(kiosk())
        deployment = s.plane.serving["kiosk"].deployment
        assert applied.revision == deployment.revision == 1
        assert set(deployment.agents) == {"stock", "hours"} and set(deployment.routers) == {"desk"}
        assert deployment.agents["stock"].endpoints == ("ollama@127.0.0.1:11434/phi4-mini:latest",)
        assert s.steps() == [
            "model.phi-4-mini",
            "tool.tickets",
            "agent.stock",
            "agent.hours",
            "router.desk",
            "deployment.kiosk",
        ]


async def test_the_second_apply_of_the_same_does_nothing(tmp_path: Path) -> None:
    """No step, no new revision, no new object."""
    async with stage(tmp_path) as s:
        await s.apply(kiosk())
        before = s.plane.serving["kiosk"]
        s.events.clear()
        again = await s.apply(kiosk())
        assert again.plan.empty and again.revision == 1
        assert s.events == [] and s.plane.serving["kiosk"] is before


async def test_a_deployment_knows_when_its_revision_was_applied(tmp_path: Path) -> None:
    """Also after a start anew, and where another model server made its parts anew."""
    store = MemoryRevisions()
    async with stage(tmp_path, store) as s:
        await s.apply(kiosk())
        applied = s.plane.serving["kiosk"].deployment.applied
        assert applied == store.history("kiosk")[0].created > 0
    async with stage(tmp_path, store) as s:
        s.surroundings.servers[OLLAMA] = ("phi4-mini:latest",)
        await s.apply(kiosk())
        assert s.plane.serving["kiosk"].deployment.applied == applied


async def test_a_look_tells_the_data_plane_what_the_device_can_give(tmp_path: Path) -> None:
    """A memory that fills up changes which model is preferred, and nothing of the plan."""
    async with stage(tmp_path) as s:
        s.surroundings.servers[OLLAMA] = ("phi4-mini:latest",)
        s.surroundings.loads = True
        s.surroundings.device = Device(8_000_000_000, 6_000_000_000, 4)
        await s.apply(kiosk())
        assert s.plane.pressure == replace(NONE, free=6_000_000_000)
        s.surroundings.device = replace(s.surroundings.device, free=1_000_000_000)
        observed = await s.reconciler.observe(kiosk())
        assert observed.device == s.surroundings.device
        assert diff(kiosk(), observed).empty
        assert list(s.plane.pressure.starved) == ["ollama@127.0.0.1:11434/phi4-mini:latest"]


async def test_what_a_model_takes_is_known_to_those_who_choose(tmp_path: Path) -> None:
    """The binding carries the bytes, the agent its choices."""
    async with stage(tmp_path) as s:
        s.surroundings.servers[OLLAMA] = ("phi4-mini:latest",)
        await s.apply(kiosk())
        deployment = s.plane.serving["kiosk"].deployment
        (choice,) = deployment.agents["stock"].choices
        assert choice.memory == deployment.bindings["phi-4-mini"].memory == 2_500_000_000 + 131_072 * 4096 + 457 * 2**20


async def test_what_did_not_change_is_shared_between_revisions(tmp_path: Path) -> None:
    """The other agent, the router and the tool are the very same objects."""
    async with stage(tmp_path) as s:
        await s.apply(kiosk())
        old = s.plane.serving["kiosk"].deployment
        await s.apply(kiosk(instructions="Be brief."))
        new = s.plane.serving["kiosk"].deployment
        assert new.revision == 2 and new.agents["stock"] is not old.agents["stock"]
        assert new.agents["hours"] is old.agents["hours"] and new.routers["desk"] is old.routers["desk"]
        assert new.tools == old.tools and s.surroundings.open_tools == ["tickets"]


class HangingTool(FakeTool):
    """Of another package: its close never ends."""

    async def aclose(self) -> None:
        await anyio.sleep_forever()


@pytest.mark.parametrize("anyio_backend", [("trio", {"clock": MockClock(autojump_threshold=0)})], ids=["virtual time"])
async def test_a_tool_whose_close_hangs_is_told_and_keeps_no_drain(tmp_path: Path) -> None:
    """It has its seconds; then the next one is closed, and what waits for both goes on, also where nobody can cancel it."""
    told: list[Exception] = []
    hanging, next_one = (kind("t", {}, ToolPlace(tmp_path, tmp_path)) for kind in (HangingTool, FakeTool))
    with anyio.fail_after(10 * CLOSING_SECONDS), anyio.CancelScope(shield=True):
        await close_tools({"tool.slow": hanging, "tool.next": next_one}, told.append)
    assert not next_one.open
    (error,) = told
    assert isinstance(error, DeployError) and error.message == "tool.slow did not close within 5 s"


async def test_a_tool_closes_only_when_the_last_request_that_may_use_it_has_finished(tmp_path: Path) -> None:
    """A drain of an older revision, still in work, keeps it open."""
    async with stage(tmp_path) as s:
        await s.apply(kiosk())
        first = s.plane.serving["kiosk"]
        first.begin()
        await s.apply(kiosk(instructions="Be brief."))
        assert [each.fields["goes_on"] for each in s.events if "goes_on" in each.fields] == ["1 request in work"]
        await s.apply(blueprint(agent("hours"), name="kiosk"))
        await until(lambda: s.reconciler.table.observed()["kiosk"].draining == (1,))
        assert s.reconciler.table.observed()["kiosk"].in_flight == 1
        assert s.surroundings.open_tools == ["tickets"]
        first.finish()
        await until(lambda: not s.surroundings.open_tools)


async def test_endpoints_of_a_draining_revision_stay_known(tmp_path: Path) -> None:
    """Its requests may still call their model; when they have ended, nobody needs the endpoint."""
    async with stage(tmp_path) as s:
        s.surroundings.servers[OLLAMA] = ("phi4-mini:latest",)
        await s.apply(kiosk())
        first = s.plane.serving["kiosk"]
        first.begin()
        await s.apply(blueprint(agent("hours"), name="kiosk"))
        assert len(s.plane.endpoints) == 1
        first.finish()
        await until(lambda: not s.plane.endpoints)


async def test_a_failure_in_the_middle_leaves_the_old_revision_serving(tmp_path: Path) -> None:
    """The new one is recorded as desired with its error; what it had opened is closed; the next apply converges."""
    async with stage(tmp_path) as s:
        await s.apply(blueprint(tool("tickets"), agent("a", tools=["tickets"])))
        before = s.plane.serving["kiosk"]
        s.surroundings.broken_tools.add("mail")
        wanted = blueprint(tool("tickets", x=1), tool("mail"), agent("a", tools=["tickets", "mail"]))
        with pytest.raises(DeployError, match="mail does not open"):
            await s.apply(wanted)
        assert s.plane.serving["kiosk"] is before and s.surroundings.open_tools == ["tickets"]
        [told] = status(s.reconciler)
        assert (told["state"], told["revision"], told["serving"]) == ("failing", 2, 1)
        assert told["error"]["message"] == "mail does not open"
        s.surroundings.broken_tools.clear()
        await s.apply(wanted)
        assert s.plane.serving["kiosk"].deployment.revision == 2
        assert (await s.reconciler.observe(wanted)).deployments["kiosk"].revision == 2
        assert diff(wanted, await s.reconciler.observe(wanted)).empty


async def test_after_a_start_what_served_last_serves_where_the_desired_one_does_not(tmp_path: Path) -> None:
    """As before the start; the desired one is still tried, and takes over once its cause is mended. A second start too."""
    store = MemoryRevisions()
    async with stage(tmp_path, store) as s:
        await s.apply(blueprint(tool("tickets"), agent("a", tools=["tickets"])))
        s.surroundings.broken_tools.add("mail")
        with pytest.raises(DeployError, match="mail does not open"):
            await s.apply(blueprint(tool("mail"), agent("a", tools=["mail"])))
    for _ in range(2):
        async with stage(tmp_path, store, broken=["mail"]) as s:
            [told] = status(s.reconciler)
            assert (told["state"], told["revision"], told["serving"]) == ("failing", 2, 1)
            assert told["error"]["message"] == "mail does not open"
            assert s.surroundings.open_tools == ["tickets"]
    async with stage(tmp_path, store, every=0.01, broken=["mail"]) as s:
        assert s.plane.serving["kiosk"].deployment.revision == 1
        s.surroundings.broken_tools.clear()
        await until(lambda: store.served()[0].number == 2)  # it is written down once it serves
        assert s.plane.serving["kiosk"].deployment.revision == 2


async def test_a_rollback_to_what_still_serves_serves(tmp_path: Path) -> None:
    """Nothing is to be done, and nothing says that an older revision serves."""
    async with stage(tmp_path) as s:
        await s.apply(blueprint(tool("tickets"), agent("a", tools=["tickets"])))
        s.surroundings.broken_tools.add("mail")
        with pytest.raises(DeployError, match="mail does not open"):
            await s.apply(blueprint(tool("mail"), agent("a", tools=["mail"])))
        applied = await s.reconciler.rollback("kiosk", None, lambda _: None)
        [told] = status(s.reconciler)
        assert (told["state"], told["revision"], told["serving"]) == ("running", 3, 3)
        assert applied.plan.empty and s.store.served()[0].number == 3


async def test_after_a_start_what_has_served_comes_first(tmp_path: Path) -> None:
    """A deployment that never came to serve, as its port was taken, does not take that port now."""
    store = MemoryRevisions()
    kept, other = (replace(blueprint(agent("a"), name=name), serve=ServeSpec("127.0.0.1", 7001)) for name in ("z", "a"))
    async with stage(tmp_path, store) as s:
        await s.apply(kept)
        with pytest.raises(PortTaken):
            await s.apply(other)
    async with stage(tmp_path, store, every=0.01) as s:
        assert list(s.plane.serving) == ["z"]
        assert {each["name"]: each["state"] for each in status(s.reconciler)} == {"z": "running", "a": "failing"}
        await s.reconciler.down("z", 1.0, lambda _: None)
        await until(lambda: list(s.plane.serving) == ["a"])


async def test_a_failed_revision_is_tried_again_without_a_new_apply(tmp_path: Path) -> None:
    """The loop is level-triggered: once the cause is gone, what is desired runs."""
    async with stage(tmp_path, every=0.02) as s:
        s.surroundings.broken_tools.add("tickets")
        with pytest.raises(DeployError):
            await s.apply(kiosk())
        s.surroundings.broken_tools.clear()
        await until(lambda: "kiosk" in s.plane.serving)
        await until(lambda: status(s.reconciler)[0]["error"] is None)  # told once it is written down that it serves


async def test_a_model_server_that_comes_later_is_bound_and_one_that_goes_is_unbound(tmp_path: Path) -> None:
    """Without a new apply, and without a new revision."""
    async with stage(tmp_path, every=0.02) as s:
        await s.apply(kiosk())
        assert s.plane.serving["kiosk"].deployment.bindings["phi-4-mini"].missing.startswith("no model server answers")
        s.surroundings.servers[OLLAMA] = ("phi4-mini:latest",)
        await until(lambda: s.plane.serving["kiosk"].deployment.agents["stock"].endpoints)
        assert s.plane.serving["kiosk"].deployment.revision == 1
        s.surroundings.servers.clear()
        await until(lambda: not s.plane.serving["kiosk"].deployment.agents["stock"].endpoints)
        assert len(s.store.history("kiosk")) == 1


async def test_a_server_that_is_only_busy_stays_bound(tmp_path: Path) -> None:
    """It accepts connections and says nothing, as a server does that computes: that is no end."""
    async with stage(tmp_path, every=0.01) as s:
        s.surroundings.servers[OLLAMA] = ("phi4-mini:latest",)
        await s.apply(kiosk())
        s.surroundings.busy.add(OLLAMA)
        looks = s.surroundings.looks
        await until(lambda: s.surroundings.looks > looks + 3)
        assert s.plane.serving["kiosk"].deployment.agents["stock"].endpoints


async def test_a_restart_serves_what_was_applied(tmp_path: Path) -> None:
    """From the store alone, with the same revision numbers."""
    async with stage(tmp_path) as s:
        await s.apply(kiosk())
        await s.apply(kiosk(instructions="Be brief."))
        store = s.store
    async with stage(tmp_path, store) as s:
        assert s.plane.serving["kiosk"].deployment.revision == 2
        assert diff(kiosk(instructions="Be brief."), await s.reconciler.observe()).empty


async def test_one_deployment_that_cannot_be_read_does_not_keep_the_others_down(tmp_path: Path) -> None:
    """Its fault is told in the status."""
    async with stage(tmp_path) as s:
        await s.apply(kiosk())
        await s.apply(blueprint(agent("a"), name="other"))
        store = s.store
    broken = replace(store.history("other")[0], number=2, blueprint={"format": 999})
    store.add(broken)
    async with stage(tmp_path, store) as s:
        assert list(s.plane.serving) == ["kiosk"]
        states = {each["name"]: each["state"] for each in status(s.reconciler)}
        assert states == {"kiosk": "degraded", "other": "failing"}


async def test_a_rollback_is_a_new_revision_with_the_old_content(tmp_path: Path) -> None:
    """Without a number, the last one that differs; a number that never was is refused with those that were."""
    async with stage(tmp_path) as s:
        await s.apply(kiosk())
        await s.apply(kiosk(instructions="Be brief."))
        assert (await s.reconciler.rollback("kiosk", None, s.events.append)).revision == 3
        assert s.plane.serving["kiosk"].deployment.agents["stock"].spec["instructions"] == ""
        assert [each.cause for each in s.store.history("kiosk")] == ["rollback to 1", "apply", "apply"]
        with pytest.raises(DeployError, match=r"^kiosk has no revision 9; it has 1 to 3$") as raised:
            await s.reconciler.rollback("kiosk", 9, s.events.append)
        assert raised.value.cure == "see `orchestrator history kiosk`"


async def test_taking_down_refuses_new_requests_and_waits_for_those_in_work(tmp_path: Path) -> None:
    """It tells how many did not finish in time and were cancelled, and closes the tools in any case."""
    async with stage(tmp_path) as s:
        await s.apply(kiosk())
        serving = s.plane.serving["kiosk"]
        serving.begin(2)
        assert await s.reconciler.down("kiosk", 0.05, s.events.append) == 2
        assert serving.cancelled == CUT
        assert s.plane.serving == {} and s.surroundings.open_tools == [] and s.store.desired() == []
        with pytest.raises(NoSuchDeployment):
            await s.reconciler.down("kiosk", 1.0, s.events.append)


async def test_a_name_cannot_be_taken_over_by_another_file(tmp_path: Path) -> None:
    """Two manifests of one name are a mistake; the message names both."""
    async with stage(tmp_path) as s:
        await s.apply(kiosk(), origin="/a/kiosk.yaml")
        with pytest.raises(NameClash, match=r"already applied from /a/kiosk.yaml, and this is /b/kiosk.yaml"):
            await s.apply(kiosk(instructions="x"), origin="/b/kiosk.yaml")
        with pytest.raises(NameClash, match=r"from /a/kiosk.yaml, and this is standard input"):
            await s.apply(kiosk(instructions="x"), origin="-")
        await s.apply(kiosk(instructions="x"), origin="")


async def test_a_plan_that_is_no_longer_the_plan_is_not_carried_out(tmp_path: Path) -> None:
    """What was agreed to is what is done, or nothing is."""
    async with stage(tmp_path) as s:
        shown = diff(kiosk(), await s.reconciler.observe(kiosk()))
        s.surroundings.servers[OLLAMA] = ("phi4-mini:latest",)
        with pytest.raises(PlanOutdated, match="changed what is there since the plan was made"):
            await s.apply(kiosk(), expected=shown.digest)
        assert s.plane.serving == {} and s.store.desired() == []


async def test_a_taken_port_is_an_error_that_names_who_has_it(tmp_path: Path) -> None:
    """And the deployment goes on as it was."""
    async with stage(tmp_path) as s:
        await s.apply(blueprint(agent("a")))
        s.plane.others_ports[8001] = "nginx (process 12)"
        with pytest.raises(PortTaken, match="nginx"):
            await s.apply(blueprint(agent("a"), port=8001))
        assert s.plane.serving["kiosk"].deployment.revision == 1


async def test_an_own_port_opens_before_the_switch_and_moves_with_the_manifest(tmp_path: Path) -> None:
    """The old one closes when its revision is drained; an unchanged one stays open over revisions."""
    async with stage(tmp_path) as s:
        await s.apply(blueprint(agent("a"), port=8001))
        [door] = s.plane.doors
        await s.apply(blueprint(agent("a", instructions="x"), port=8001))
        await until(lambda: not s.reconciler.table.observed()["kiosk"].draining)
        assert s.plane.doors == [door]
        await s.apply(blueprint(agent("a"), port=8002))
        await until(lambda: [each.serve.port for each in s.plane.doors] == [8002])


async def test_a_manifest_of_several_nodes_is_refused_with_what_to_do(tmp_path: Path) -> None:
    """Planning it works; applying it says what is missing."""
    async with stage(tmp_path) as s:
        with pytest.raises(DeployError, match="this machine is no node of a fleet") as raised:
            await s.apply(replace(kiosk(), type="distributed-edge"))
        assert "orchestrator apply --local" in raised.value.cure
        assert s.store.history("kiosk") == []


async def test_two_deployments_share_an_endpoint_and_the_smaller_limit_holds(tmp_path: Path) -> None:
    """The same model on the same server is one endpoint."""
    async with stage(tmp_path) as s:
        s.surroundings.servers[OLLAMA] = ("phi4-mini:latest",)
        one = blueprint(model(max_concurrent=4), agent("a", models=["phi-4-mini"]), name="one")
        two = blueprint(model(max_concurrent=2), agent("a", models=["phi-4-mini"], reflex=[rule()]), name="two")
        await s.apply(one)
        await s.apply(two)
        [endpoint] = s.plane.endpoints.values()
        assert endpoint.slots == 2
        await s.reconciler.down("two", 1.0, s.events.append)
        assert next(iter(s.plane.endpoints.values())).slots == 4


async def test_an_apply_goes_on_when_the_one_who_asked_goes_away(tmp_path: Path) -> None:
    """Ctrl-C in the terminal leaves no half-made deployment."""
    async with stage(tmp_path) as s:
        with anyio.move_on_after(0):
            await s.apply(kiosk())
        await s.reconciler.observe()
        with anyio.CancelScope() as scope:
            scope.cancel()
            await s.apply(kiosk())
        await s.reconciler.observe()
        applied = await s.apply(kiosk())
        assert applied.revision == 1 and diff(kiosk(), await s.reconciler.observe()).empty


async def test_closing_drains_everything(tmp_path: Path) -> None:
    """New requests are refused at once; the close ends when those in work have."""
    async with stage(tmp_path) as s:
        await s.apply(kiosk())
        serving = s.plane.serving["kiosk"]
        serving.begin()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(s.reconciler.close, 5.0)
            await until(lambda: "kiosk" not in s.plane.serving)
            assert s.surroundings.open_tools == ["tickets"]
            serving.finish()
        assert s.surroundings.open_tools == []
        with pytest.raises(DeployError, match="shutting down"):
            await s.apply(kiosk())


async def test_closing_cancels_what_does_not_finish_in_time(tmp_path: Path) -> None:
    """What serves now, and what a change left draining without a limit; then the tools are closed."""
    async with stage(tmp_path) as s:
        await s.apply(kiosk())
        older = s.plane.serving["kiosk"]
        older.begin()
        await s.apply(kiosk(instructions="Be brief."))
        newer = s.plane.serving["kiosk"]
        newer.begin()
        await s.reconciler.close(0.05)
        assert (older.cancelled, newer.cancelled, s.surroundings.open_tools) == (CUT, CUT, [])


async def test_an_apply_that_is_carried_out_is_told(tmp_path: Path) -> None:
    """With how many steps it took."""
    async with stage(tmp_path) as s:
        applied = await s.apply(kiosk())
        told = [event for event in s.told if event.kind == "apply.finished"]
        assert [(event.deployment, event.revision, event.fields["steps"]) for event in told] == [
            ("kiosk", 1, len(applied.plan.steps))
        ]


async def test_changed_code_of_a_tool_is_loaded_by_the_next_apply_and_not_before(tmp_path: Path) -> None:
    """The manifest is the same; still the plan names what changed, and it is another revision. A file that is being edited
    disturbs nobody."""
    code = tmp_path / "mine.py"
    code.write_text("one")
    python = tool("mine", python="mine:f") | {"kind": "python"}
    wanted = replace(blueprint(model(), python, agent("a", tools=["mine"])), folder=str(tmp_path))
    async with stage(tmp_path, every=0.01) as s:
        await s.apply(wanted)
        code.write_text("other")
        shown = diff(wanted, await s.reconciler.observe(wanted))
        assert str(shown.steps[0]) == "~ tool.mine: open anew (python) (changed: code)"
        assert str(shown.steps[1]) == "~ agent.a: replace (changed: a tool of it)"
        looks = s.surroundings.looks
        await until(lambda: s.surroundings.looks > looks + 2)
        assert len(s.surroundings.opened) == 1
        applied = await s.apply(wanted, expected=shown.digest)
        assert applied.revision == 2 and len(s.surroundings.opened) == 2
        await until(lambda: len(s.surroundings.open_tools) == 1)
        assert diff(wanted, await s.reconciler.observe(wanted)).empty


NOTIFY = {
    "webhook": {"url": "env:HOOK_URL", "secret": "env:HOOKS"},
    "email": {"to": ["a@x.org"], "smtp": {"host": "mail.x.org", "password": "env:MAIL"}},
}


async def test_a_secret_of_notices_that_is_not_set_is_said_by_the_plan_and_the_status(tmp_path: Path) -> None:
    """Everything serves; nobody is told until it is set."""
    wanted = replace(blueprint(agent("b", models=[])), people={"notify": NOTIFY})
    async with stage(tmp_path, every=0.01) as s:
        s.surroundings.unset |= {"env:HOOKS", "env:MAIL"}
        applied = await s.apply(wanted)
        said = [
            "people are not told by webhook: the secret env:HOOKS is not set in the runtime; set it",
            "people are not told by email: the secret env:MAIL is not set in the runtime; set it",
        ]
        assert list(applied.plan.notes) == said
        assert status(s.reconciler)[0]["untold"] == said
        assert status(s.reconciler)[0]["state"] == "running"
        s.surroundings.unset.clear()
        await until(lambda: status(s.reconciler)[0]["untold"] == [])


async def test_a_secret_of_notices_that_was_set_is_said_to_lack_no_longer(tmp_path: Path) -> None:
    """Between two looks too: a notice uses it as soon as it is there."""
    wanted = replace(blueprint(agent("b", models=[])), people={"notify": NOTIFY})
    async with stage(tmp_path, every=1e6) as s:
        s.surroundings.unset |= {"env:HOOKS", "env:MAIL"}
        await s.apply(wanted)
        assert len(status(s.reconciler)[0]["untold"]) == 2
        s.surroundings.unset.discard("env:MAIL")
        (left,) = status(s.reconciler)[0]["untold"]
        assert "env:HOOKS" in left
        s.surroundings.unset.clear()
        assert status(s.reconciler)[0]["untold"] == []


LOCKED = model("far", ids={"ollama": ["far"]}, endpoint="http://127.0.0.1:9", api_key="env:MY_KEY")


async def test_a_secret_that_is_not_set_costs_only_the_agents_that_need_it(tmp_path: Path) -> None:
    """The others serve; the plan, who answers, and the agent's own reason name the secret. Once it is set it is bound."""
    wanted = blueprint(model(), LOCKED, agent("a", models=["far"]), agent("b", models=["phi-4-mini"]))
    async with stage(tmp_path, every=0.01) as s:
        s.surroundings.servers |= {OLLAMA: ("phi4-mini:latest",), "http://127.0.0.1:9": ("far",)}
        s.surroundings.unset.add("env:MY_KEY")
        applied = await s.apply(wanted)
        why = "far: the secret env:MY_KEY is not set in the runtime"
        assert why in str(applied.plan)
        a, b = applied.plan.serving
        assert (a.by, a.gain.partition(";")[0], a.cure, b.gain) == ("nothing", why, "set it", "")
        made = s.plane.serving["kiosk"].deployment.agents
        assert made["a"].missing == f"{why}; set it" and made["b"].endpoints
        assert status(s.reconciler)[0]["models"][1]["missing"] == f"{why}; set it"
        observed = await s.reconciler.observe(wanted)
        assert ObservedState.from_json(observed.as_json()) == observed and observed.locked
        s.surroundings.unset.clear()
        await until(lambda: s.plane.serving["kiosk"].deployment.agents["a"].endpoints)


async def test_an_apply_has_resting_endpoints_asked_again(tmp_path: Path) -> None:
    """Also one that changes nothing; and a server that was away is asked again by itself."""
    async with stage(tmp_path) as s:
        s.surroundings.servers[OLLAMA] = ("phi4-mini:latest",)
        await s.apply(kiosk())
        s.plane.tried.clear()
        await s.apply(kiosk())
        assert s.plane.tried == [["ollama@127.0.0.1:11434/phi4-mini:latest"]]
        models = s.surroundings.servers.pop(OLLAMA)
        await s.reconciler.observe()
        s.surroundings.servers[OLLAMA] = models
        await s.reconciler.observe()
        assert s.plane.tried == [["ollama@127.0.0.1:11434/phi4-mini:latest"]] * 2
