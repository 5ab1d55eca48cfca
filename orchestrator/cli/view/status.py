"""The status for people: a line for each deployment, and below it who answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from orchestrator.app.interpreter import other_interpreter
from orchestrator.cli.view.columns import columns
from orchestrator.cli.view.moments import ago, ahead
from orchestrator.cli.view.plan import shown_serving
from orchestrator.cli.view.terminal import Terminal
from orchestrator.core.quantity import format_size

_AWAY: Final = frozenset({"unloaded", "loading", "yielding"})
_ILL: Final = frozenset({"open", "half_open", "stalled", "gone", "misconfigured", "rate_limited"})
_NOT_READY: Final = {
    "starting": "what was applied comes back, one deployment after the other",
    "stopping": "requests in work finish, nothing new is taken",
}
_STYLES: Final = {"running": "green", "degraded": "yellow", "failing": "red", "starting": "cyan", "stopping": "cyan"}


def shown_status(status: Mapping[str, Any], terminal: Terminal, *, whole: bool) -> str:
    """``whole`` also tells what serves each model and where the manifest is; models that nothing serves are always told."""
    runtime = status["runtime"]
    if runtime is None:
        beside = " beside the local fleets below" if status.get("local_fleets") else ""
        return f"no runtime runs{beside}: nothing is applied, or it was stopped (orchestrator runtime start)"
    head = f"runtime {runtime['version']} {runtime_state(runtime)}, process {runtime['pid']}, {runtime['url']}"
    other = other_interpreter(runtime)
    head += f"\n  it runs in another Python than this command: {other}" if other else ""
    deployments = status["deployments"]
    if not deployments:
        return f"{head}\n\nno deployment is applied: orchestrator apply FILE"
    heads = columns([("DEPLOYMENT", "STATE", "REVISION", "SINCE", "IN WORK"), *map(_row, deployments)])
    lines = [head, "", terminal.paint("bold", heads[0])]
    for deployment, line in zip(deployments, heads[1:], strict=True):
        state = deployment["state"]
        lines.append(line.replace(state, terminal.paint(_STYLES.get(state, "bold"), state), 1))
        lines += _details(deployment, terminal, whole=whole)
    if status.get("fleet"):
        from orchestrator.cli.view.fleet import shown_fleet

        lines += ["", *shown_fleet(status["fleet"], terminal, deployments[0]["name"] if whole else "", beside_own=True)]
    return "\n".join(lines)


def runtime_state(runtime: Mapping[str, Any]) -> str:
    """The state of the runtime; one that takes no requests says since when, and why."""
    state = str(runtime["state"])
    why = _NOT_READY.get(state)
    return f"{state} (it began that {ago(runtime['since'])}: {why})" if why else state


def _row(deployment: Mapping[str, Any]) -> tuple[str, ...]:
    serving, revision = deployment["serving"], deployment["revision"]
    number = str(revision or serving or "-") + (f" (serves {serving})" if serving not in (None, revision) else "")
    since = ago(deployment["since"]) if deployment["since"] else "-"
    return (deployment["name"], deployment["state"], number, since, str(deployment["in_flight"]))


def _details(deployment: Mapping[str, Any], terminal: Terminal, *, whole: bool) -> list[str]:
    lines = shown_serving(deployment["agents"], terminal) + _models(deployment, whole=whole)
    error = deployment["error"]
    if error:
        lines.append(f"  {terminal.paint('red', 'error[' + error['code'] + ']')}: {error['message']}")
        lines += [f"    cure: {error['cure']}"] if error["cure"] else []
    lines += _servers(deployment)
    lines += [_wait(each, deployment) for each in deployment.get("waits", ())]
    lines += _people(deployment.get("people"))
    lines += [f"  {each}" for each in deployment.get("untold", ())]
    lines += _outbox(deployment.get("outbox"))
    lines += _spending(deployment.get("spending"))
    if whole:
        lines += [f"  manifest {deployment['origin']}"] if deployment["origin"] else []
        lines += [f"  port {deployment['port']}"] if deployment["port"] else []
    return lines


def _people(people: Mapping[str, Any] | None) -> list[str]:
    """What waits for people, and whether they could be told."""
    if not people:
        return []
    number = people["pending"]
    told = f"; people could not be told of {people['untold']}: {people['error']}" if people["untold"] else ""
    return [f"  {number} thing{'s' if number != 1 else ''} for a person: orchestrator approvals list{told}"]


def _outbox(outbox: Mapping[str, Any] | None) -> list[str]:
    """What waits for targets that are away, and why the last try failed."""
    if not outbox:
        return []
    number, why = outbox["waiting"], f"; the last try failed: {outbox['error']}" if outbox["error"] else ""
    verb = "requests wait for their" if number != 1 else "request waits for its"
    return [f"  {number} {verb} model, tried again {ahead(outbox['again'])}: orchestrator outbox list{why}"]


def _spending(spending: Mapping[str, Any] | None) -> list[str]:
    """What went to the cloud today, of what may."""
    if not spending:
        return []
    if "error" in spending:
        return [f"  in the cloud today: not known: {spending['error']}"]
    rows = [f"  in the cloud today: {_amounts(spending['spent'], spending['limits'])}"]
    limited = {name: each for name, each in spending["agents"].items() if each["limits"]}
    return rows + [f"    agent.{name}: {_amounts(each['spent'], each['limits'])}" for name, each in limited.items()]


def _amounts(spent: Mapping[str, Any], limits: Mapping[str, Any]) -> str:
    """``2 of 50 calls, 1200 tokens, 0.0021 of 2.5 of money``; money where there is any."""
    told = []
    for name in ("calls", "tokens", "money"):
        if spent[name] or name in limits or name != "money":
            most = f" of {limits[name]:g}" if name in limits else ""
            number = f"{spent[name]:.6f}".rstrip("0").rstrip(".") if name == "money" else str(spent[name])
            told.append(f"{number}{most} {'of money' if name == 'money' else name}")
    return ", ".join(told)


def _wait(wait: Mapping[str, Any], deployment: Mapping[str, Any]) -> str:
    """What it waits for, since when, and when what failed is tried again; an error that stands above is not told twice."""
    told = [server["why"] for server in deployment.get("servers", ())]
    told += [deployment["error"]["message"]] if deployment["error"] else []
    failed = f"; the last try failed: {wait['error']}" if wait["error"] and wait["error"] not in told else ""
    again = f"; tried again {ahead(wait['again'])}" if wait["again"] is not None else ""
    return (
        f"  waits for {wait['address']} since {ago(wait['since']).removesuffix(' ago')}: {wait['what']}{failed}{again}"
    )


def _servers(deployment: Mapping[str, Any]) -> list[str]:
    """Those that were started for it; one that is well needs no more than a line."""
    rows = []
    for server in deployment.get("servers", ()):
        see = f"see {server['log']}" if server["log"] else ""
        where = f"{server['url']}, process {server['pid']}" if server["pid"] else see
        why = f": {server['why']}" if server["why"] else ""
        since = f" since {ago(server['rests_since']).removesuffix(' ago')}" if server.get("rests_since") else ""
        memory = f", {format_size(server['memory'])} memory" if server.get("memory") else ""
        leaves = ", ends when its requests are done" if server.get("use") == "draining" else ""
        rows.append(
            (f"server.{server['process']}", f"{server['kind']}, {server['state']}{since}{memory}{leaves}{why}", where)
        )
    return columns(rows, indent="  ")


def _models(deployment: Mapping[str, Any], *, whole: bool) -> list[str]:
    """Which endpoints serve each, and which of them are not in memory just now, or not well: that is always told."""
    views = {each["id"]: each for each in deployment["endpoints"]}
    rows = [
        (
            f"model.{model['alias']}",
            ", ".join(f"{name}{_how(views.get(name))}" for name in model["endpoints"])
            or f"not served: {model['missing']}",
        )
        for model in deployment["models"]
        if whole or model["missing"] or any(_is_ill(views.get(name)) for name in model["endpoints"])
    ]
    return columns(rows, indent="  ")


def _is_ill(view: Mapping[str, Any] | None) -> bool:
    return view is not None and view["state"] in _ILL


def _how(view: Mapping[str, Any] | None) -> str:
    """The state of an endpoint, where it is not as it should be; why, and when it is tried again."""
    if view is None or view["state"] not in _AWAY | _ILL:
        return ""
    ill = _is_ill(view)
    why = f": {view['last_error']}" if ill and view.get("last_error") else ""
    again = view.get("again_in") if ill else None
    return f" ({view['state']}{why}{f'; tried again in {again:.0f} s' if again is not None else ''})"
