"""What `doctor` found, for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from orchestrator.app.interpreter import other_interpreter, told
from orchestrator.cli.view.columns import columns
from orchestrator.cli.view.plan import shown_serving
from orchestrator.cli.view.terminal import Terminal
from orchestrator.core.extras import EXTRAS, install_line
from orchestrator.core.in_line import in_line
from orchestrator.core.quantity import format_size
from orchestrator.plan.observed import NOBODY

SUGGESTED: Final = ("phi-4-mini", "qwen3-4b", "llama-3.2-3b", "qwen2.5-1.5b", "qwen2.5-0.5b")
"""Good all-round models, largest first: the first that fits is suggested."""


def shown_checkup(found: Mapping[str, Any], terminal: Terminal) -> str:
    """The whole report."""
    sections = [
        ("this machine", columns(list(_machine(found)), indent="  ")),
        ("model servers", list(_servers(found, terminal))),
        (_models_title(found), list(_models(found, terminal))),
        ("who answers", shown_serving(found["serving"], terminal)),
        ("what to do", list(_advice(found))),
    ]
    blocks = ["\n".join([terminal.paint("bold", title), *lines]) for title, lines in sections if lines]
    return "\n\n".join(blocks)


def _machine(found: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    machine, runtime = found["machine"], found["runtime"]
    yield "program", f"orchestrator {machine['version']}, Python {machine['python']} ({machine['interpreter']})"
    cores = f"{machine['cpus']} core{'s' if machine['cpus'] != 1 else ''}"
    memory = f"{format_size(machine['memory'])} memory ({format_size(machine['memory_free'])} free)"
    yield "system", f"{machine['system']}, {cores}, {memory}, {format_size(machine['disk_free'])} disk free"
    yield "accelerators", ", ".join(map(_accelerator, machine["accelerators"])) or _none_seen(machine["unseen"])
    if machine["power"]:
        yield "power", machine["power"]
    if machine["for_models"]:
        yield "for models", machine["for_models"]
    yield "state", machine["state"]
    yield "config", machine["config"]
    yield "runtime", _runtime(runtime) if runtime else "does not run; apply starts it"
    yield "optional", ", ".join(f"{name} {'yes' if has else 'no'}" for name, has in machine["libraries"].items())


def _runtime(runtime: Mapping[str, Any]) -> str:
    python = f", Python {told(runtime['interpreter'])}" if "interpreter" in runtime else ""
    other = ", another one than this command's" if other_interpreter(runtime) else ""
    return f"{runtime['version']} {runtime['state']}, process {runtime['pid']}, {runtime['url']}{python}{other}"


def _accelerator(one: Mapping[str, Any]) -> str:
    if one["memory"] is None:
        told = "works in the main memory" if one["unified"] else "its memory is not told"
    else:
        free = f" ({format_size(one['free'])} free)" if one["free"] is not None else ""
        told = f"{format_size(one['memory'])} memory{free}"
    return f"{one['name']} ({one['kind']}), {told}"


def _none_seen(why: Sequence[str]) -> str:
    return f"none seen ({', '.join(why)})" if why else "none seen"


def _servers(found: Mapping[str, Any], terminal: Terminal) -> Iterator[str]:
    for server in found["servers"]:
        version = f" {in_line(server['version'])}" if server["version"] else ""
        models = ", ".join(_model(model) for model in server["models"][:8]) or "no model"
        more = f" and {len(server['models']) - 8} more" if len(server["models"]) > 8 else ""
        yield f"  {terminal.paint('green', server['provider'] + version)} at {server['url']}: {models}{more}"
        yield from (f"    note: {in_line(note)}" for note in server["notes"])
        yield from (f"    probed: {in_line(name)}, {_probed(found)}" for name, found in server["probed"].items())
    for url, why in found["silent"].items():
        if why != NOBODY:
            yield f"  {terminal.paint('yellow', url)}: {in_line(why)}"
    if not found["servers"]:
        looked = ", ".join(found["silent"]) or "nowhere"
        yield f"  none answers (looked at {looked})"
    yield from (f"  note: {each}" for each in found["looks_elsewhere"])


def _probed(found: Mapping[str, Any]) -> str:
    """What it can do of what was asked, in short."""
    able = [name for name, support in found["capabilities"].items() if support == "yes"]
    return ", ".join(able) or "nothing of what was asked"


def _model(model: Mapping[str, Any]) -> str:
    facts = [f"{model['context']} tokens" if model["context"] else "", "loaded" if model["loaded"] else ""]
    told = ", ".join(filter(None, facts))
    name = in_line(model["id"])
    return f"{name} ({told})" if told else name


def _models_title(found: Mapping[str, Any]) -> str:
    return f"models of {found['manifest']}" if found["manifest"] else "models of the catalogue, and what serves them"


def _models(found: Mapping[str, Any], terminal: Terminal) -> Iterator[str]:
    """All models of a manifest; of the catalogue those that are served, then those that would fit."""
    rows = []
    for model in found["models"]:
        served = in_line(", ".join(model["endpoints"]))
        if found["manifest"] is None and not served and model["fits"] is False:
            continue
        size = format_size(model["needs"]) if model["needs"] else "?"
        state = terminal.paint("green", served) if served else f"not served: {_cure(model)}"
        rows.append((model["alias"], size, state))
    yield from columns(rows, indent="  ")
    left = len(found["models"]) - len(rows)
    if left:
        yield f"  {left} more are too large for this machine's memory"


def _cure(model: Mapping[str, Any]) -> str:
    """What to type, or what is missing."""
    return str(model["cure"] or model["missing"])


def _advice(found: Mapping[str, Any]) -> Iterator[str]:
    missing = [model for model in found["models"] if not model["endpoints"]]
    if not found["servers"]:
        yield "  No model server answers. Deployments run without one: rules and tools answer what they can."
        yield "  For answers in free words, install one: Ollama (https://ollama.com/download) is the quickest;"
        yield "  llama.cpp, vLLM, LM Studio and Foundry Local are found too."
        fitting = next((name for name in SUGGESTED if _named(found, name)["fits"]), "")
        if fitting and not found["manifest"]:
            yield f"  A good first model for this machine is {fitting}: {_named(found, fitting)['cure']}"
    if found["manifest"]:
        for cure in dict.fromkeys(map(_cure, missing)):
            yield f"  {cure}"
    for note in found["machine"]["unseen"]:
        if "pip install" in note:
            yield f"  optional: {note}"
    for name, has in found["machine"]["libraries"].items():
        if not has and name != "nvidia":  # its sensor tells where there is a card to see
            yield f"  optional: {install_line(name)} brings {EXTRAS[name].gives}"


def _named(found: Mapping[str, Any], alias: str) -> Mapping[str, Any]:
    empty = {"fits": False, "cure": ""}
    return next((model for model in found["models"] if model["alias"] == alias), empty)
