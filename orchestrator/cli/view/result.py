"""The result of a request: its answer, its way, its cost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from orchestrator.cli.view.columns import columns
from orchestrator.cli.view.moments import clock, milliseconds
from orchestrator.cli.view.terminal import Terminal
from orchestrator.cli.view.texts import in_one_line
from orchestrator.core.request import Result


def way(result: Result) -> str:
    """In one line: who answered, through whom, by what, how fast."""
    served = f" · {result.served_by}" if result.served_by else ""
    parts = [" -> ".join(result.path) + served, milliseconds(result.timings.get("total", 0.0))]
    if result.usage.total_tokens:
        about = "about " if result.usage.estimated else ""
        parts.append(f"{about}{result.usage.total_tokens} tokens")
    return f"[{' · '.join(parts)}]"


def tell_notes(result: Result, terminal: Terminal) -> None:
    """On stderr, whatever else is asked for: what the answer does not say of itself, such as why it is empty."""
    for note in result.notes:
        told = terminal.foreign(note, on=terminal.stderr)
        terminal.tell(terminal.paint("dim", f"note: {told}", on=terminal.stderr))


def tell_way(result: Result, terminal: Terminal, *, whole: bool) -> None:
    """On stderr: the line, and with ``whole`` each decision with its reason, and why an agent handed over."""
    terminal.tell(terminal.paint("dim", way(result), on=terminal.stderr))
    if not whole:
        return
    told = [_decision(decision.as_json()) for decision in result.decisions]
    for line in (*told, *_handed_over(result), f"run {result.id}"):
        shown = terminal.foreign(f"  {line}", on=terminal.stderr)
        terminal.tell(terminal.paint("dim", shown, on=terminal.stderr))


def _handed_over(result: Result) -> Iterator[str]:
    """For what no decision tells: a fault, an answer or a call that does not fit its schema."""
    known = {decision.why for decision in result.decisions}
    for step in result.steps:
        reason = str(step.detail.get("reason", ""))
        if step.kind == "escalate" and reason not in known:
            yield f"{step.detail.get('from', '')} handed over to {step.subject}: {in_one_line(reason)}"


def tell_failure(result: Result, terminal: Terminal) -> None:
    """On stderr: why there is no answer."""
    error = result.error or {}
    head = terminal.paint("red", f"error[{error.get('code', 'ORC501')}]", on=terminal.stderr)
    terminal.tell(f"{head}: {error.get('message', 'the run failed')}")
    if error.get("cure"):
        terminal.tell(f"  cure: {error['cure']}")


def tell_waiting(result: Result, terminal: Terminal) -> None:
    """On stderr: for whom it waits, and the line that shows more; of parts too, which go on as runs of their own."""
    if result.status == "waiting":
        terminal.tell(f"it waits for {_waits_for(result.approval, result.node)}")
    for part in result.parts:
        if part.status == "waiting":
            terminal.tell(f"{part.agent} waits, as {part.run}, for {_waits_for(part.approval)}")


def _waits_for(waiting: str, node: str = "") -> str:
    if waiting.startswith("dlv_"):
        return f"its target, which is away: orchestrator outbox show {waiting}"
    if node:  # of a fleet, where that one alone knows the approval
        return f"a person on node {node}: there orchestrator approvals show {waiting}"
    return f"a person: orchestrator approvals show {waiting}"


def story(run: Mapping[str, Any], terminal: Terminal) -> str:
    """A stored run from its request to its answer, each step with its time."""
    timings = run["timings_ms"]
    head = f"{run['id']}: {run['status']} in {milliseconds(timings.get('total', 0.0))}"
    lines = ["", *columns(list(_facts(run)), indent="  "), ""]
    if run["decisions"]:
        lines += ["decisions", *(f"  {_decision(decision)}" for decision in run["decisions"]), ""]
    if run["steps"]:
        lines += ["steps", *_waterfall(run["steps"], timings.get("total", 0.0)), ""]
    return "\n".join([terminal.paint("bold", head), *map(terminal.foreign, lines)]).rstrip()


def _facts(run: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "deployment", f"{run['deployment']}, revision {run['revision']}, {clock(run['finished'])}"
    if run.get("kept_on"):
        yield "kept on", f"node {run['kept_on']}"
    if run["session"]:
        yield "session", run["session"]
    yield "request", in_one_line(run["request"])
    if run.get("data_class", "internal") != "internal":
        yield "data class", run["data_class"]
    yield "answer", in_one_line(run["text"])
    if run["error"]:
        yield "error", f"{run['error'].get('code', '')} {run['error'].get('message', '')}".strip()
        if run["error"].get("cure"):
            yield "cure", in_one_line(run["error"]["cure"])
    if run["status"] == "waiting":
        yield "waits for", _waits_for(run["approval"], run.get("node", ""))
    if there := run.get("goes_on"):
        yield "goes on", f"as {there['id']} on node {there['node']}: {there['status']}, {in_one_line(there['text'])}"
    yield "path", " -> ".join(run["path"]) + (f" · {run['served_by']}" if run["served_by"] else "")
    if run["why"]:
        yield "why", run["why"]
    for note in run.get("notes", ()):
        yield "note", note
    usage = run["usage"]
    spent = ", ".join(_count(usage[f"{what}_calls"], f"{what} call") for what in ("model", "tool"))
    yield "usage", f"{spent}, {usage['prompt_tokens']} + {usage['completion_tokens']} tokens"
    shares = [f"{name} {milliseconds(took)}" for name, took in run["timings_ms"].items() if name != "total"]
    yield "time", ", ".join(shares)


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'s' * (number != 1)}"


def _decision(decision: Mapping[str, Any]) -> str:
    chosen = f"chose {decision['choice']}" if decision["choice"] else "chose nobody"
    sure = f" ({decision['confidence']:.2f})" if decision["confidence"] is not None else ""
    why = f": {decision['why']}" if decision["why"] else ""
    best = sorted(decision["scores"].items(), key=lambda score: -score[1])[:4]
    scores = f"  [{', '.join(f'{name} {score:.2f}' for name, score in best)}]" if best else ""
    return f"{decision['router'] or 'router'}, by {decision['strategy']}, {chosen}{sure}{why}{scores}"


def _waterfall(steps: list[dict[str, Any]], total: float, width: int = 24) -> list[str]:
    """A bar for each step: where in the run it began, and how long it took."""
    rows = []
    for step in steps:
        began = round(step["at_ms"] / total * width) if total else 0
        long = max(1, round(step["took_ms"] / total * width)) if total else 1
        bar = (" " * min(began, width - 1) + "█" * long)[:width]
        detail = ", ".join(f"{key} {_plain(value)}" for key, value in step["detail"].items())
        rows.append((f"|{bar:<{width}}|", milliseconds(step["took_ms"]), step["kind"], step["subject"], detail))
    return columns(rows, indent="  ")


def _plain(value: Any) -> str:
    if isinstance(value, list) and value and all(isinstance(each, dict) and "outcome" in each for each in value):
        return "; ".join(map(_attempt, value))
    if isinstance(value, list) and value and all(isinstance(each, str) for each in value):
        return in_one_line("; ".join(value))
    text = in_one_line(value if isinstance(value, str) else repr(value))
    return text if len(text) <= 80 else text[:79] + "…"


def _attempt(one: Mapping[str, Any]) -> str:
    """One try of a call, whole: why another one followed is what is looked for here."""
    took = f" after {milliseconds(one['took_ms'])}" if one.get("took_ms") else ""
    message = f": {in_one_line(one['message'])}" if one.get("message") else ""
    return f"{one.get('endpoint', '')} {one['outcome']}{took}{message}"
