"""Which build of a model a server should answer with, and whether it fits the device. Pure.

Of the builds that a server lists, the one that the manifest names by `quantization`, and no other one; else the most
faithful of those that fit. What can never fit is not used at all; what only should not be taken comes after what fits, the
smallest first.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from orchestrator.core.blueprint import ModelSpec
from orchestrator.core.memory import ASSUMED_CONTEXT, Budget, Fit, Need, Window, need_of, sizes_of
from orchestrator.core.quantity import format_size
from orchestrator.plan.builds import Build, build_of, same_build, usual_build, worth
from orchestrator.plan.observed import ObservedServer
from orchestrator.ports.device import Device
from orchestrator.ports.provider import Capability, ServedModel

_OLLAMA: Final = ((48 * 2**30, 262_144), (24 * 2**30, 32_768))
"""Graphics memory from which Ollama takes so many tokens where nobody says (docs/context-length.mdx); else 4096."""

_TOLD_WHILE_LOADED: Final = frozenset(("ollama", "llama-cpp", "lm-studio", "lemonade"))
"""Makes that load on request, and tell the context and the slots of a model only while it is loaded."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a choice depends on beside the model: the device's budget and what is in it; ``None``: nothing is known, and
    nothing is held against any build. ``told``: the tokens and slots that a server of ours was told to keep a cache for.
    ``spares``: what is in memory is used, though there is no room for it."""

    device: Device | None = None
    budget: Budget | None = None
    told: Window | None = None
    spares: bool = False


NOWHERE: Final = Surroundings()


@dataclass(frozen=True, slots=True)
class Option:
    """A build that a server lists. ``told``: its server or its name tells the quantization, which else is the usual one. ``need``
    is the same whether or not the model is loaded; ``holds`` are the bytes by what its server tells while it is, 0 where that is
    not known."""

    server: ObservedServer
    model: ServedModel
    build: Build
    need: Need | None
    fit: Fit
    matched: int  # which of the wanted ids it is: 0 is the first
    exact: bool  # it is called exactly so
    told: bool = True
    holds: int = 0


def option_of(
    spec: ModelSpec, server: ObservedServer, model: ServedModel, matched: tuple[int, bool], around: Surroundings
) -> Option:
    """What a served model is as a build of the wanted one. ``matched``: which wanted id it is, and whether exactly."""
    build = build_of(model.id, model.quantization)
    told = bool(build.quantization)
    if not told:
        build = Build(usual_build(server.provider, spec["served_as"].get(server.provider, "")), build.made)
    elsewhere = server.zone != "node" or model.remote
    on_request = server.capabilities.get(Capability.LOAD) == "yes" and not elsewhere
    # Else a plan would say another thing before and after a load. What is loaded always is what it tells.
    stays = model.loaded is True and not on_request
    usual = usual_context(server.provider, around.device)
    window = around.told or window_of(spec, _unloaded(server, model) if on_request else model, usual, held=stays)
    need = need_of(sizes_of(spec), build.quantization, window, model.size)
    runs = stays or (around.spares and model.loaded is True)
    fit: Fit = "fits" if around.budget is None or runs or elsewhere else around.budget.fit(need)
    option = Option(server, model, build, need, fit, *matched, told=told)
    if not on_request or not (model.context or model.slots):
        return option
    held = need_of(
        sizes_of(spec), build.quantization, around.told or window_of(spec, model, usual, held=True), model.size
    )
    return replace(option, holds=held.total if held else 0)


def _unloaded(server: ObservedServer, model: ServedModel) -> ServedModel:
    """The model by what its server tells of it also while it is not loaded."""
    return replace(model, context=None, slots=None) if server.provider in _TOLD_WHILE_LOADED else model


def is_other_build(spec: ModelSpec, option: Option) -> bool:
    """Whether it is known to be another quantization than the manifest names."""
    wanted = spec["quantization"]
    return bool(wanted) and option.told and not same_build(wanted or "", option.build.quantization)


def usual_context(provider: str, device: Device | None) -> int:
    """Tokens that a server takes where nobody says."""
    own = device.own_memory if device and provider == "ollama" else 0
    return next((tokens for least, tokens in _OLLAMA if own >= least), ASSUMED_CONTEXT)


def window_of(spec: ModelSpec, model: ServedModel, usual: int = ASSUMED_CONTEXT, *, held: bool) -> Window:
    """Tokens and slots that the server keeps a cache for. One that holds the model tells what it has set aside; of another
    one it is what the manifest asks for, what it tells, or the ``usual`` ones, assumed."""
    context = (model.context or spec["window"]) if held else (spec["window"] or model.context)
    slots = model.slots or spec["max_concurrent"] or 1
    if context is not None:
        return Window(context, slots)
    return Window(min(usual, spec["context_length"] or usual), slots, assumed=True)


@dataclass(frozen=True, slots=True)
class Choice:
    """Of the ``options`` of a server the one to use, ``None`` where none can be; ``why`` it, and why not the others."""

    options: tuple[Option, ...]
    option: Option | None
    why: str = ""
    rejected: tuple[str, ...] = ()


def choose(spec: ModelSpec, options: Sequence[Option], around: Surroundings) -> Choice:
    """The best build of one server."""
    possible = [option for option in options if option.fit != "never" and not is_other_build(spec, option)]
    ranked = sorted(possible, key=lambda option: rank(spec, option, around))
    best = ranked[0] if ranked else None
    others = [option for option in options if option is not best]
    return Choice(
        tuple(options), best, _why(spec, best, others), tuple(_rejection(option, spec, around) for option in others)
    )


def rank(spec: ModelSpec, option: Option, around: Surroundings) -> tuple[object, ...]:
    """Smaller is better. With nothing known of the device, the id that comes first among those wanted."""
    wanted = spec["quantization"]
    other = bool(wanted) and not same_build(wanted or "", option.build.quantization)
    plain = (option.matched, not option.exact, option.model.id)
    chosen = spec["named"] is not None and option.matched == 0 and option.exact
    if around.budget is None:
        return (other, not chosen, *plain)
    lack = 0 if option.fit == "fits" or option.need is None else option.need.total
    return (
        other,
        not chosen,
        lack,
        _strangeness(option.build, around.device),
        -worth(option.build.quantization),
        *plain,
    )


def _strangeness(build: Build, device: Device | None) -> int:
    """How little a build is made for this device: for an accelerator that is seen, for any, for one that nobody saw."""
    kinds = {one.kind for one in device.accelerators} if device else set()
    if not build.made:
        return 1
    if build.made == "cpu":
        return 2 if kinds else 1
    seen = kinds - {"npu"} if build.made == "gpu" else kinds & {build.made}
    return 0 if seen else 3


def _why(spec: ModelSpec, best: Option | None, others: Iterable[Option]) -> str:
    wanted = spec["quantization"]
    if best is not None and wanted and not best.told:
        return f"its server does not tell its build; the manifest says {wanted}"
    if best is None or not list(others):
        return ""
    if wanted and same_build(wanted, best.build.quantization):
        return f"{best.build}, as the manifest says"
    if spec["named"] is not None and best.exact and best.matched == 0:
        return "the manifest names it"
    return (
        f"{best.build} is the best build that fits" if best.fit == "fits" else f"{best.build} comes closest to fitting"
    )


def _rejection(option: Option, spec: ModelSpec, around: Surroundings) -> str:
    if option.fit != "fits" and option.need is not None and around.budget is not None:
        return f"{option.model.id} needs {format_size(option.need.total)} of {format_size(around.budget.total)}"
    if spec["quantization"] and not option.told:
        return f"{option.model.id} does not tell its build"
    if spec["quantization"] and not same_build(spec["quantization"], option.build.quantization):
        return f"{option.model.id} is {option.build.quantization}"
    return f"{option.model.id} is no better"
