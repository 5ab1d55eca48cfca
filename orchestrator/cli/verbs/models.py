"""``orchestrator models``: the models of the servers that run on this machine."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any, Final

from orchestrator.cli.models_command import command_arguments, run_command
from orchestrator.cli.view.terminal import Terminal
from orchestrator.core.errors import NoServer, UsageError

if TYPE_CHECKING:
    from orchestrator.app.inventory import Choice
    from orchestrator.app.model_servers import Around, Servers

EXAMPLES: Final = """
orchestrator models list
orchestrator models show phi-4-mini
orchestrator models pull phi-4-mini
orchestrator models pull phi-4-mini --quantization q4_k_m
orchestrator models pull qwen2.5:0.5b-instruct-q8_0 --provider ollama
orchestrator models load phi-4-mini --context 8192 --keep-alive never
orchestrator models unload phi-4-mini
orchestrator models remove phi-4-mini --yes
orchestrator models command kiosk.yaml
orchestrator models command phi-4-mini --provider vllm --scenario production_low
"""
NAME: Final = "an alias of the catalogue, or the id that a server gives it"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Its actions."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION", parser_class=type(parser))
    _places(actions.add_parser("list", help="what the servers have: loaded or not, size, context, and its aliases"))
    show = actions.add_parser("show", help="all that is known of one model: ids, builds and which fits, who serves it")
    show.add_argument("name", metavar="MODEL", help=NAME)
    _places(show)
    pull = actions.add_parser("pull", help="let a server fetch a model; pulling again goes on with what had come")
    pull.add_argument("name", metavar="MODEL", help=f"{NAME}, with --provider or --endpoint")
    _places(pull)
    pull.add_argument(
        "--quantization", default="", metavar="BUILD", help="which build, like q4_k_m; without it the best that fits"
    )
    pull.add_argument("--force", action="store_true", help="pull it even where the disk seems too full")
    load = actions.add_parser("load", help="bring a model into memory and wait until it can answer")
    load.add_argument("name", metavar="MODEL", help=NAME)
    _places(load)
    load.add_argument("--context", type=int, metavar="N", help="tokens a request; without it as the server has it")
    load.add_argument("--keep-alive", metavar="TIME", help="rest after which the server may unload it: 10m, or never")
    load.add_argument("--timeout", metavar="TIME", default="5m", help="how long it may take (default: 5m)")
    unload = actions.add_parser("unload", help="free its memory; requests in work finish first where the server waits")
    unload.add_argument("name", metavar="MODEL", help=NAME)
    _places(unload)
    unload.add_argument("--timeout", metavar="TIME", default="30s", help="how long to wait for them (default: 30s)")
    remove = actions.add_parser("remove", help="delete a model from the server's disk")
    remove.add_argument("name", metavar="MODEL", help=NAME)
    _places(remove)
    remove.add_argument("--yes", action="store_true", help="do not ask")
    command_arguments(
        actions.add_parser("command", help="the command that would start a model's server; starts nothing")
    )


def _places(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--provider", default="", metavar="KIND", help="only servers of this kind, like ollama")
    parser.add_argument("--endpoint", default="", metavar="URL", help="only the server at this address")
    parser.add_argument("--api-key", default="", metavar="REF", help="its key, with --endpoint: env:NAME or file:PATH")
    parser.add_argument("--json", action="store_true", help="as JSON")


def run(options: argparse.Namespace, terminal: Terminal) -> int:
    """Do it."""
    if options.action == "command":
        return run_command(options, terminal)
    return _ACTIONS[options.action](options, terminal)


def _list(options: argparse.Namespace, terminal: Terminal) -> int:
    from orchestrator.cli.view.models import listed, shown_list

    servers = _look(options, _around(options, terminal))
    found = listed(servers, _applied())
    return _tell(found, shown_list(found, terminal), options, terminal)


def _show(options: argparse.Namespace, terminal: Terminal) -> int:
    from orchestrator.app.device import read_device
    from orchestrator.app.inventory import holders, unknown
    from orchestrator.cli.view.model import described, shown_model
    from orchestrator.manifest.catalogue.reader import find_model

    servers = _look(options, _around(options, terminal))
    holding = holders(servers.found, options.name)
    if find_model(options.name) is None and not holding:
        _check_rests(options.name)
        raise unknown(servers.found, options.name)
    found = described(options.name, holding, servers.found, read_device())
    return _tell(found, shown_model(found, terminal), options, terminal)


def _pull(options: argparse.Namespace, terminal: Terminal) -> int:
    from orchestrator.app.inventory import source
    from orchestrator.cli.pulling import pull_best

    around = _around(options, terminal)
    servers = _look(options, around)
    choice = source(servers.found, options.name, own=bool(options.provider or options.endpoint))
    _tell_choice(choice, terminal)
    found = pull_best(choice, around, options, terminal)
    return _tell(found, found["told"], options, terminal)


def _load(options: argparse.Namespace, terminal: Terminal) -> int:
    from orchestrator.app.inventory import called
    from orchestrator.app.model_servers import load
    from orchestrator.cli.reach import patience
    from orchestrator.cli.view.models import shown_loaded
    from orchestrator.ports.lifecycle import LoadOptions

    if options.context is not None and options.context <= 0:
        raise UsageError(f"--context {options.context} is no number of tokens", cure="write a number above zero")
    _check_context(options)
    wanted = LoadOptions(options.context, _keep_alive(options.keep_alive))
    timeout = patience(options.timeout) or 0.0
    around = _around(options, terminal)
    choice = _holder(options, terminal, around, "load")
    loaded = load(choice, wanted, timeout, around.secret)
    found = {
        "model": loaded.model or choice.model,
        "server": called(choice.server),
        "url": choice.server.url,
        "seconds": round(loaded.seconds, 3),
        "memory": loaded.memory,
        "context": loaded.context,
    }
    return _tell(found, shown_loaded(found), options, terminal)


def _check_context(options: argparse.Namespace) -> None:
    """More than the model was made for makes nonsense, or is cut without a word."""
    from orchestrator.manifest.catalogue.reader import find_model

    row = find_model(options.name)
    if row is not None and options.context is not None and options.context > row["context_length"]:
        most = row["context_length"]
        raise UsageError(
            f"--context {options.context} is more than {row['alias']} can take ({most} tokens)",
            cure=f"write {most} or less; the server's own id of a model is not checked",
        )


def _unload(options: argparse.Namespace, terminal: Terminal) -> int:
    from orchestrator.app.inventory import called, users_of
    from orchestrator.app.model_servers import unload
    from orchestrator.cli.reach import patience

    timeout = patience(options.timeout) or 0.0
    around = _around(options, terminal)
    choice = _holder(options, terminal, around, "unload")
    users = users_of(choice, _applied())
    unload(choice, timeout, around.secret)
    found = {"model": choice.model, "server": called(choice.server), "url": choice.server.url}
    if users:
        terminal.tell(f"it is {users}: their next call loads it again, and where it is pinned it comes back at once")
    return _tell(found, f"{choice.model} is unloaded: {called(choice.server)}", options, terminal)


def _remove(options: argparse.Namespace, terminal: Terminal) -> int:
    from orchestrator.app.inventory import called, users_of
    from orchestrator.app.model_servers import remove
    from orchestrator.core.quantity import format_size

    around = _around(options, terminal)
    choice = _holder(options, terminal, around, "remove")
    size = choice.served.size if choice.served else None
    what = f"{choice.model}{f' ({format_size(size)})' if size else ''} from {called(choice.server)}"
    users = users_of(choice, _applied())
    if users and options.yes:
        terminal.tell(f"it is {users}, without it from now on")
    _agree(f"this deletes {what}{f', {users}' if users else ''}", options, terminal)
    remove(choice, around.secret)
    found = {"model": choice.model, "server": called(choice.server), "url": choice.server.url, "size": size}
    return _tell(found, f"removed {what}", options, terminal)


def _agree(question: str, options: argparse.Namespace, terminal: Terminal) -> None:
    if options.yes:
        return
    if terminal.interactive:
        terminal.stderr.write(terminal.foreign(f"{question}. Go on? [y/N] ", on=terminal.stderr))
        terminal.stderr.flush()
        if terminal.stdin.readline().strip().casefold() in ("y", "yes"):
            return
    raise UsageError(question, cure="repeat with --yes if that is meant")


def _keep_alive(text: str | None) -> float | None:
    from orchestrator.cli.reach import seconds

    if text is None:
        return None
    return float("inf") if text == "never" else seconds(text)


def _around(options: argparse.Namespace, terminal: Terminal) -> Around:
    """Where to look; raises ``UsageError`` for a kind of provider that there is not, or a key without its server."""
    from orchestrator.app.inventory import applied_places
    from orchestrator.app.lookout import looks_at, only_of_the_runtime
    from orchestrator.app.model_servers import Around
    from orchestrator.app.settings import Settings
    from orchestrator.cli.reach import client, tell_apart

    if options.api_key and not options.endpoint:
        raise UsageError("--api-key is for one server", cure="name it with --endpoint")
    places, runtime = applied_places(_applied()), client()
    if runtime.answers() and not options.endpoint:
        tell_apart(runtime, terminal)
        mine = looks_at(terminal.environment, Settings.read(terminal.environment).servers)
        places += only_of_the_runtime(mine, runtime.about())
    plugin = _kind_of_a_package(options.provider)
    return Around(terminal.environment, options.endpoint, options.api_key, tuple(places), plugin)


def _kind_of_a_package(provider: str) -> str:
    """The provider, where another package brings it: then it is asked too. Raises ``UsageError`` for an unknown one."""
    from orchestrator.app.catalog import find
    from orchestrator.core.errors import DeployError
    from orchestrator.ports.installed import is_plugin

    if not provider:
        return ""
    try:
        find("provider", provider)
    except DeployError as error:
        raise UsageError(error.message, cure=error.cure) from error
    return provider if is_plugin(provider) else ""


def _look(options: argparse.Namespace, around: Around) -> Servers:
    """The servers that the options leave; raises ``NoServer`` for an address, or a kind, where none answers."""
    from orchestrator.app.model_servers import Servers, look

    servers = look(around)
    if options.endpoint and not servers.found:
        url, why = next(iter(servers.silent.items()))
        raise NoServer(f"{url}: {why}", cure=_cure_of_silence(why, options.api_key))
    kept = tuple(server for server in servers.found if options.provider in ("", server.provider))
    if options.endpoint and not kept:
        is_there = " and ".join(dict.fromkeys(server.provider for server in servers.found))
        raise NoServer(
            f"{options.endpoint} is {is_there}, not {options.provider}",
            cure=f"leave --provider out, or name the address of a {options.provider} server",
        )
    if options.provider and not kept:
        raise NoServer(
            f"no {options.provider} server answers on this device", cure="`orchestrator doctor` says where it looks"
        )
    return Servers(kept, servers.silent)


def _cure_of_silence(why: str, api_key: str) -> str:
    """What to do where no server can be asked at an address that was named."""
    from orchestrator.ports.provider import WRONG_KEY

    if WRONG_KEY not in why:
        return "start the server there, or name another address"
    if api_key:
        return f"mend the key that {api_key} names"
    return "name its key with --api-key env:NAME, or file:PATH"


def _holder(options: argparse.Namespace, terminal: Terminal, around: Around, act: str) -> Choice:
    """The server that has the model and can do it."""
    from orchestrator.app.inventory import holder

    port = "load" if act == "unload" else act
    own = bool(options.provider or options.endpoint)
    try:
        choice = holder(_look(options, around).found, options.name, port, loaded=act == "unload", own=own)
    except (NoServer, UsageError):
        _check_rests(options.name)
        raise
    _tell_choice(choice, terminal)
    return choice


def _check_rests(name: str) -> None:
    """Raises ``NoServer`` for a model whose server we start, and that rests: no server lists it, and it is not unknown."""
    from orchestrator.cli.view.models import resting, shown_resting

    rests = next((each for each in resting(_applied()) if each["model"] == name), None)
    if rests is not None:
        cure = f"orchestrator chat {rests['deployment']}, or any request for it; its manifest says when it rests"
        raise NoServer(shown_resting(rests), cure=cure)


def _tell_choice(choice: Choice, terminal: Terminal) -> None:
    """Where several would do: which one it is, and how to take another."""
    from orchestrator.app.inventory import called

    if choice.others:
        others = ", ".join(f"--endpoint {server.url} ({server.provider})" for server in choice.others)
        terminal.tell(f"chosen: {called(choice.server)}; for another: {others}")


def _applied() -> list[dict[str, Any]]:
    """The deployments that are applied; none where no runtime runs."""
    from orchestrator.cli.reach import client

    runtime = client()
    return runtime.status()["deployments"] if runtime.answers() else []


def _tell(found: dict[str, Any], text: str, options: argparse.Namespace, terminal: Terminal) -> int:
    if options.json:
        import json

        text = json.dumps(
            {name: value for name, value in found.items() if name != "told"}, indent=2, ensure_ascii=False
        )
    terminal.say(text)
    return 0


_ACTIONS: Final = {
    "list": _list,
    "show": _show,
    "pull": _pull,
    "load": _load,
    "unload": _unload,
    "remove": _remove,
}
