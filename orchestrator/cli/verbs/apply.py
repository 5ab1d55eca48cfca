"""``orchestrator apply``: make a deployment run as its manifest says."""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, cast

from orchestrator.cli.inputs import compiled, manifest_arguments, origin
from orchestrator.cli.view.terminal import Terminal
from orchestrator.core.errors import UsageError

if TYPE_CHECKING:
    from orchestrator.app.client import RuntimeClient
    from orchestrator.app.compile import Compilation
    from orchestrator.cli.fetching import Fetched
    from orchestrator.cli.reach import TimeLimit
    from orchestrator.core.blueprint import ModelSpec
    from orchestrator.core.event import Event
    from orchestrator.deploy.wanted import Wanted
    from orchestrator.plan.observed import ObservedState
    from orchestrator.plan.plan import Plan

EXAMPLES: Final = """
orchestrator apply kiosk.yaml
orchestrator apply base.yaml site.yaml --name shop-milan
orchestrator apply kiosk.yaml --dry-run
orchestrator apply kiosk.yaml --foreground
"""
MOST_PLANS: Final = 5
"""Plans that one apply makes, where others change what is there between a plan and its carrying out."""
AGAIN_WITH_YES: Final = "look at the new plan and apply again, with --yes if what it removes is meant"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    manifest_arguments(parser)
    parser.add_argument("--name", default="", help="apply it under another deployment name")
    parser.add_argument("--dry-run", action="store_true", help="only show the plan")
    parser.add_argument(
        "--local", action="store_true", help="run all nodes of a distributed-edge manifest on this machine"
    )
    parser.add_argument("--no-pull", action="store_true", help="do without models that no server has, pull none")
    parser.add_argument("--yes", action="store_true", help="agree to what the plan removes")
    parser.add_argument(
        "--timeout",
        metavar="TIME",
        help="how long to wait until it is ready, pulls and all, like 30s; the runtime goes on after that",
    )
    parser.add_argument(
        "--foreground", action="store_true", help="be the runtime: serve until a signal comes (agrees to removals)"
    )


def run(options: argparse.Namespace, terminal: Terminal) -> int:
    """Apply it."""
    from orchestrator.cli.reach import TimeLimit, check_applies, check_one_place, client, started, tell_apart

    limit = TimeLimit.from_now(options.timeout)
    compilation = compiled(options, terminal, options.name)
    if options.dry_run:
        return _dry_run(compilation, options, terminal)
    if compilation.blueprint.type == "distributed-edge":
        return _apply_to_fleet(compilation, options, limit, terminal)
    if options.local:
        raise UsageError(
            "--local is for manifests with nodes", cure="leave it out: a single-device one runs here anyway"
        )
    check_one_place(compilation.blueprint.name, client(terminal), local=False)
    if options.foreground:
        return _in_foreground(compilation, options, limit, terminal)
    runtime = started(terminal)
    limit = TimeLimit.from_now(
        options.timeout
    )  # it counts once the runtime is there, whose start has a limit of its own
    check_applies(runtime, compilation.blueprint, origin(options))
    tell_apart(runtime, terminal)
    done = _Apply(compilation, runtime, options, limit, terminal).done()
    mine = _mine(compilation, runtime)
    _report(compilation, done.plan, done.applied | {"now": mine and mine["revision"]}, runtime, terminal)
    return _outcome(mine, done.failed, terminal)


def _in_foreground(compilation: Compilation, options: argparse.Namespace, limit: TimeLimit, terminal: Terminal) -> int:
    """Be the runtime. What is missing is brought first; into servers that it starts, once they answer."""
    from orchestrator.cli.fetching import fetch_missing
    from orchestrator.cli.foreground import serve
    from orchestrator.cli.reach import observed

    wanted = _wanted(compilation, options, "")
    if not _may_fetch(compilation, options):
        return serve(compilation, wanted, terminal)
    first = fetch_missing(compilation.blueprint, observed(compilation.blueprint, terminal), terminal, limit)

    def bring(seen: ObservedState) -> bool:
        return fetch_missing(compilation.blueprint, seen, terminal, limit, first.failed).brought

    return serve(compilation, wanted, terminal, bring if _starts_empty(compilation) else None)


@dataclass(frozen=True, slots=True)
class _Done:
    """What was planned and applied last, and why models could not be had, by alias."""

    plan: Plan
    applied: dict[str, Any]
    failed: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Apply:
    """One command's apply to a runtime."""

    compilation: Compilation
    client: RuntimeClient
    options: argparse.Namespace
    limit: TimeLimit
    terminal: Terminal

    def done(self) -> _Done:
        """Carry it out; what servers lack that are started for it is known once they answer: it is pulled into them, and bound."""
        from orchestrator.cli.fetching import refuse_loss

        observed, fetched = self._fetched({})
        if fetched.failed:
            refuse_loss(_mine(self.compilation, self.client), fetched.failed, _plan(self.compilation, observed).serving)
        done = self._carried_out(observed, fetched.failed)
        if not (self._may_fetch and _starts_empty(self.compilation)):
            return done
        observed, fetched = self._fetched(done.failed)
        failed = {**done.failed, **fetched.failed}
        return self._carried_out(observed, failed, again=True) if fetched.brought else replace(done, failed=failed)

    @property
    def _may_fetch(self) -> bool:
        return _may_fetch(self.compilation, self.options)

    def _fetched(self, before: Mapping[str, str]) -> tuple[ObservedState, Fetched]:
        """What is there, once what was missing is brought; and what became of that. What could not be had ``before`` is left."""
        from orchestrator.cli.fetching import Fetched, fetch_missing

        blueprint = self.compilation.blueprint
        observed = self.client.observe(blueprint)
        if not self._may_fetch:
            return observed, Fetched()
        fetched = fetch_missing(blueprint, observed, self.terminal, self.limit, before)
        return self.client.observe(blueprint) if fetched.any else observed, fetched

    def _carried_out(self, observed: ObservedState, failed: Mapping[str, str], *, again: bool = False) -> _Done:
        """Plan, agree and carry out; planned again where another command was faster, as if this one had come after it."""
        from orchestrator.core.errors import PlanError, PlanOutdated
        from orchestrator.plan.observed import changed_between

        changed, compilation, terminal = "", self.compilation, self.terminal
        for _ in range(MOST_PLANS):
            plan = _plan(compilation, observed)
            try:
                _agree(plan, self.options, terminal)
                if not again:
                    _tell_unserved(plan, compilation, observed, terminal)
            except PlanError as error:
                if not changed:
                    raise
                raise PlanError(f"{changed}; now {error.message}", cure=AGAIN_WITH_YES) from error
            try:
                wanted = _wanted(compilation, self.options, plan.digest)
                return _Done(plan, _carry_out(self.client, plan, wanted, self.limit, terminal), failed)
            except PlanOutdated:
                before, observed = observed, self.client.observe(compilation.blueprint)
                changed = changed_between(before, observed)
                terminal.tell(f"{changed}: planned again")
        raise PlanError(
            f"{changed}, and so it was {MOST_PLANS} times in a row", cure="apply again when the others are done"
        )


def _mine(compilation: Compilation, client: RuntimeClient) -> dict[str, Any] | None:
    """The deployment as it is now."""
    return next((each for each in client.status()["deployments"] if each["name"] == compilation.blueprint.name), None)


def _may_fetch(compilation: Compilation, options: argparse.Namespace) -> bool:
    return not options.no_pull and any(True for _ in compilation.blueprint.of_kind("model"))


def _starts_empty(compilation: Compilation) -> bool:
    """Whether a server is started for it that may lack its model then."""
    from orchestrator.plan.wish import Wish

    return any(Wish.of(cast("ModelSpec", each.spec)) for each in compilation.blueprint.of_kind("model"))


def _dry_run(compilation: Compilation, options: argparse.Namespace, terminal: Terminal) -> int:
    from orchestrator.cli.reach import planned
    from orchestrator.cli.view.plan import shown_plan

    plan = planned(compilation, origin(options), terminal, pulls=not options.no_pull)
    terminal.say(shown_plan(plan, terminal))
    return 0


def _apply_to_fleet(compilation: Compilation, options: argparse.Namespace, limit: TimeLimit, terminal: Terminal) -> int:
    """Make it what a fleet serves: this machine's, or one whose nodes all run here."""
    from orchestrator.app.fleet.needs import libraries
    from orchestrator.cli.reach import check_one_place, client, started, state_folder
    from orchestrator.deploy.wanted import refuse_mesh

    usual = client(terminal)
    if not options.local and not (usual.folders.state / "fleet").is_dir():
        refuse_mesh(compilation.blueprint)
    with libraries():
        from orchestrator.app.fleet.local import HEARD_SECONDS, LocalFleet, hub_of

    check_one_place(compilation.blueprint.name, usual, local=options.local)
    fleet = LocalFleet.of(state_folder(), compilation.blueprint.name) if options.local else None
    nodes = [node["name"] for node in compilation.blueprint.nodes]
    if fleet is not None:
        hub = hub_of(compilation.blueprint)
        fleet.start(nodes, hub, terminal.environment, terminal.tell)
        runtime = fleet.client(hub)
    else:
        runtime = started(terminal)
    from orchestrator.cli.view.applied import shown_try
    from orchestrator.cli.view.fleet import answers, lacking, shown_placement, shown_rollout

    def listen(event: Event) -> None:
        if event.kind == "mesh.rollout":
            terminal.tell(shown_rollout(event.fields))

    applied = runtime.apply(_wanted(compilation, options, ""), listen, limit.timeout, limit.since)
    if fleet is not None:
        if late := fleet.wait_until_heard(applied["generation"], nodes):
            terminal.tell(f"after {HEARD_SECONDS:g} s not heard by all, requests may wait for it: {', '.join(late)}")
        applied |= fleet.view_of(runtime)
    terminal.say(shown_placement(applied, terminal))
    asked = [fleet.client(node) for node in nodes] if fleet is not None else [runtime]
    trial = _to_try(applied["name"], asked)
    terminal.say("\n".join(shown_try(applied["name"], trial, lacking(applied["nodes"]), answers=answers(applied))))
    return 0


def _to_try(name: str, asked: Sequence[RuntimeClient]) -> dict[str, Any] | None:
    """Of the first node that knows a request which is answered: each tries its own agents."""
    trials: list[dict[str, Any]] = []
    for client in asked:
        if (trial := client.to_try(name)) is not None:
            if trial["text"]:
                return trial
            trials.append(trial)
    return trials[0] if trials else None


def _plan(compilation: Compilation, observed: ObservedState) -> Plan:
    from orchestrator.plan.planned import plan_of

    return plan_of(compilation.blueprint, observed)


def _agree(plan: Plan, options: argparse.Namespace, terminal: Terminal) -> None:
    """Show the plan; what removes something needs a yes."""
    from orchestrator.cli.view.plan import shown_plan
    from orchestrator.core.errors import PlanError

    if not plan.removals:
        terminal.tell(str(plan).split("\n", 1)[0])
        for note in plan.notes:
            terminal.tell(f"note: {note}")
        return
    terminal.tell(shown_plan(plan, terminal))
    if options.yes:
        return
    gone = ", ".join(str(step.operation.address) for step in plan.removals)
    if terminal.interactive and _says_yes(f"this removes {gone}. Go on? [y/N] ", terminal):
        return
    raise PlanError(f"the plan removes {gone}", cure="repeat with --yes if that is meant")


def _tell_unserved(plan: Plan, compilation: Compilation, observed: ObservedState, terminal: Terminal) -> None:
    """A server that the manifest wants started and that cannot be, or lacks its model: its step says only that the model is done
    without."""
    from orchestrator.plan.observed import server_name
    from orchestrator.plan.operation import ServeWithoutModel
    from orchestrator.plan.started_words import LISTENS, NOT_READY

    ours = {each.spec["alias"] for each in compilation.blueprint.of_kind("model") if each.spec["server"]}
    for step in plan.steps:
        if isinstance(step.operation, ServeWithoutModel) and step.operation.name in ours:
            bound = step.operation.bound
            if bound.missing.endswith(NOT_READY):
                continue  # the apply waits for it
            cure = f" ({bound.cure})" if bound.cure else ""
            now = observed.started.get(server_name(plan.deployment, bound.alias))
            runs = now is not None and now.state in LISTENS
            what = f"{bound.alias} is not served" if runs else f"the server of {bound.alias} is not started"
            terminal.tell(f"{what}: {bound.missing}{cure}")


def _says_yes(question: str, terminal: Terminal) -> bool:
    terminal.stderr.write(question)
    terminal.stderr.flush()
    return terminal.stdin.readline().strip().casefold() in ("y", "yes")


def _wanted(compilation: Compilation, options: argparse.Namespace, expected: str) -> Wanted:
    from orchestrator.app.sources import pack_sources
    from orchestrator.deploy.wanted import Wanted

    return Wanted(
        blueprint=compilation.blueprint,
        sources=pack_sources(compilation.loaded),
        origin=origin(options),
        expected=expected,
    )


def _carry_out(
    client: RuntimeClient, plan: Plan, wanted: Wanted, limit: TimeLimit, terminal: Terminal
) -> dict[str, Any]:
    from orchestrator.cli.view.progress import ended, progress

    began = time.monotonic()
    try:
        with progress(terminal, len(plan.steps)) as listen:
            applied = client.apply(wanted, listen, limit.timeout, limit.since)
    except KeyboardInterrupt:
        terminal.tell(f"\nthe runtime goes on with {plan.deployment}; apply again to see it through")
        raise
    if plan.steps:
        terminal.tell(ended(began, len(plan.steps)))
    return applied


def _outcome(mine: Mapping[str, Any] | None, failed: Mapping[str, str], terminal: Terminal) -> int:
    """The exit code: that of a deploy that failed, where a server which was started for it was given up, or a model could not be
    had, and nothing answers without it. The last word is why a model could not be had: it was told long before."""
    from orchestrator.core.errors import DeployError
    from orchestrator.plan.serving import NOTHING

    if mine is None:  # it was taken down meanwhile
        return 0
    given_up = any(server["state"] == "failed" for server in mine["servers"])
    answers = any(each["by"] != NOTHING for each in mine["agents"] if each["agent"].startswith("agent."))
    if answers or not (given_up or failed):
        return 0
    for why in failed.values():
        terminal.tell(f"nothing answers, because {why}")
    return DeployError.exit_code


def _report(
    compilation: Compilation, plan: Plan, applied: dict[str, Any], client: RuntimeClient, terminal: Terminal
) -> None:
    from orchestrator.cli.view.applied import shown_applied

    terminal.say(shown_applied(compilation.blueprint, plan, applied, client.about()["url"], terminal))
