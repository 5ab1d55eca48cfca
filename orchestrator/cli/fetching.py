"""Before an apply: the models that no server serves are brought by a server of this device that can, with progress; what cannot be
had is told, and a deployment that is new does without it; one that serves goes on as it was."""

from __future__ import annotations

import argparse
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from orchestrator.core.errors import DeployError, NotAsAnnounced, OrchestratorError

if TYPE_CHECKING:
    from orchestrator.app.inventory import Choice
    from orchestrator.app.model_servers import Around
    from orchestrator.cli.reach import TimeLimit
    from orchestrator.cli.view.terminal import Terminal
    from orchestrator.core.blueprint import Blueprint
    from orchestrator.plan.fetches import Fetch
    from orchestrator.plan.observed import ObservedServer, ObservedState
    from orchestrator.plan.plan import AgentServing

LOAD_SECONDS: Final = 600.0
LONGER: Final = "apply again with a longer --timeout, or with --no-pull"


@dataclass(frozen=True, slots=True)
class Fetched:
    """Whether there was ``any`` model to bring, whether any was ``brought``, and why each alias of those ``failed`` that could not
    be had."""

    any: bool = False
    brought: bool = False
    failed: dict[str, str] = field(default_factory=dict)


def fetch_missing(
    blueprint: Blueprint,
    observed: ObservedState,
    terminal: Terminal,
    limit: TimeLimit,
    before: Collection[str] = (),
) -> Fetched:
    """Bring them one after the other, but for those that could not be had ``before``; gives what became of that. Ctrl-C leaves a
    pull properly, and the apply.

    Raises ``NotAsAnnounced``, and ``DeployError`` where the time of the apply is over before they are there."""
    from orchestrator.plan.binding import bind_all
    from orchestrator.plan.fetches import fetches

    found = fetches(blueprint, observed, bind_all(blueprint, observed))
    # What a server lacks that is still to be started is known once it is.
    wanted = [(each, each.server) for alias, each in found.items() if each.server is not None and alias not in before]
    failed: dict[str, str] = {}
    for fetch, server in wanted:
        terminal.tell(f"first: {fetch.does()} (model.{fetch.alias}; --no-pull leaves it)")
        try:
            _bring(fetch, server, blueprint, terminal, limit.ends)
        except TimeoutError as error:
            why = f"{blueprint.name} is not ready after {limit.seconds:g} s: the models that it lacks are not there"
            raise DeployError(why, cure=LONGER) from error
        except NotAsAnnounced:
            raise  # a server may list it all the same: nothing is bound to that
        except OrchestratorError as error:
            failed[fetch.alias] = f"{fetch.alias} is not there: {error.line}"
            terminal.tell(failed[fetch.alias])
    return Fetched(bool(wanted), len(wanted) > len(failed), failed)


def refuse_loss(mine: Mapping[str, Any] | None, failed: Mapping[str, str], serving: Iterable[AgentServing]) -> None:
    """A deployment that serves keeps what it has where a model ``failed``: ``mine`` is as it is now (``None``: it is new),
    ``serving`` who would answer in it. Raises ``DeployError``, unless nothing is lost: it had no such model before, and who is
    answered now would be still."""
    from orchestrator.plan.plan import AgentServing as Told
    from orchestrator.plan.serving import answered, silenced

    before = answered(Told(each["agent"], each["by"]) for each in mine["agents"]) if mine else ()
    if mine is None or not any(agent.startswith("agent.") for agent in before):
        return
    had = {each["alias"]: bool(each["endpoints"]) for each in mine["models"]}
    silent = silenced(serving, before)
    for alias, why in failed.items():
        if silent or had.get(alias, False):
            raise DeployError(
                f"{mine['name']} goes on as it was, revision {mine['revision']}: {why}",
                cure="mend that and apply again; --no-pull applies it without the model",
            )


def _bring(fetch: Fetch, server: ObservedServer, blueprint: Blueprint, terminal: Terminal, ends: float) -> None:
    from orchestrator.app.inventory import Choice
    from orchestrator.app.model_servers import Around
    from orchestrator.plan.residence import forgets

    key = fetch.api_key or ""
    around = Around(terminal.environment, server.url, key, folder=blueprint.folder, ends=ends)
    choice = Choice(server, fetch.name)
    if fetch.pulls:
        _pull(fetch, choice, around, terminal)
    if forgets(server.provider, server.capabilities):
        _load(choice, around, terminal)


def _pull(fetch: Fetch, choice: Choice, around: Around, terminal: Terminal) -> None:
    from orchestrator.cli.pulling import pull, pull_best
    from orchestrator.manifest.catalogue.reader import find_model

    row = find_model(fetch.alias)
    options = argparse.Namespace(name=fetch.alias if row else fetch.name, quantization="", force=None)
    if row is None or not fetch.build:
        found = pull(choice, around, options, terminal)
    else:
        options.quantization = fetch.build if fetch.exact else ""
        found = pull_best(choice, around, options, terminal, fetch.build)
    terminal.tell(found["told"])


def _load(choice: Choice, around: Around, terminal: Terminal) -> None:
    from orchestrator.app.inventory import called
    from orchestrator.app.model_servers import load
    from orchestrator.ports.lifecycle import LoadOptions

    loaded = load(choice, LoadOptions(), min(LOAD_SECONDS, around.left), around.secret)
    terminal.tell(f"{called(choice.server)} has loaded {loaded.model or choice.model} in {loaded.seconds:.1f} s")
