"""THE table of verbs: help, completion, the reference page and its test all read it. Nothing else is imported for it."""

from __future__ import annotations

from typing import Final, NamedTuple


class Verb(NamedTuple):
    """A verb: its name, what it does in a line, and the group that help lists it in. Its module has its name, with ``_``."""

    name: str
    summary: str
    group: str

    @property
    def module(self) -> str:
        """Where it lives."""
        return f"orchestrator.cli.verbs.{self.name.replace('-', '_')}"


WRITE: Final = "Write a manifest"
RUN: Final = "Run it"
LOOK: Final = "Look at what runs"
MACHINE: Final = "This machine"

VERBS: Final = (
    Verb("init", "write a starter manifest", WRITE),
    Verb("validate", "check manifests and tell every fault with its place and cure", WRITE),
    Verb("explain", "explain a manifest, a code, or how a run came to its answer", WRITE),
    Verb("graph", "draw who answers and what they use", WRITE),
    Verb("routes", "measure how well the routers of a manifest choose", WRITE),
    Verb("tune", "propose thresholds, stages and smaller models for routers, measured on labelled requests", WRITE),
    Verb("schema", "print the JSON Schema of manifests, for editors and CI", WRITE),
    Verb("export", "write files that run a manifest under Kubernetes, Compose or systemd", WRITE),
    Verb("simulate", "see in virtual time what a manifest bears: load, queues, and nodes that fail", WRITE),
    Verb("plan", "show what apply would do, with a cause for each step", RUN),
    Verb("apply", "make a deployment run as its manifest says", RUN),
    Verb("run", "send one request and print the answer", RUN),
    Verb("chat", "hold a conversation in the terminal", RUN),
    Verb("approvals", "list, show, approve, deny and answer what waits for a person", RUN),
    Verb("outbox", "list, show, cancel and retry what waits for a model that is away", RUN),
    Verb("label", "say that the answer of a run, or whom a router chose, was right or wrong", RUN),
    Verb("calibrate", "fit how sure is sure enough to labelled answers", RUN),
    Verb("down", "end a deployment; requests in flight finish", RUN),
    Verb("status", "show what runs and what serves it", LOOK),
    Verb("top", "show who does how much just now, over all nodes of a fleet", LOOK),
    Verb("logs", "show requests and events as they happened", LOOK),
    Verb("report", "say how much was handled locally, by whom, and what that saved", LOOK),
    Verb("history", "list the revisions of a deployment", LOOK),
    Verb("rollback", "go back to an earlier revision", LOOK),
    Verb("doctor", "say what is on this machine, what would serve what, and what to install", MACHINE),
    Verb("models", "list, show, pull, load, unload and remove the models of this machine's servers", MACHINE),
    Verb("runtime", "start, stop, watch or install the background runtime", MACHINE),
    Verb("node", "make this machine a node of a fleet, invite others, look, leave", MACHINE),
    Verb("simulate-endpoint", "serve a model endpoint that is not real, with faults on demand", MACHINE),
    Verb("completion", "print the completion script of a shell", MACHINE),
)


def groups() -> dict[str, list[Verb]]:
    """Verbs by group, in the order of the table."""
    found: dict[str, list[Verb]] = {}
    for verb in VERBS:
        found.setdefault(verb.group, []).append(verb)
    return found


def find(name: str) -> Verb | None:
    """The verb of that name."""
    return next((verb for verb in VERBS if verb.name == name), None)
