"""What the scheduler asks for that takes time and that no caller carries out: probes, checks, loads and unloads."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from math import inf
from typing import Final, TypeVar

import anyio
from anyio.abc import TaskGroup

from orchestrator.core.errors import (
    BadRequest,
    ModelError,
    OrchestratorError,
    RateLimited,
    ServerBusy,
    ServerFailed,
    Stalled,
)
from orchestrator.core.event import EventKind
from orchestrator.core.message import Message
from orchestrator.deploy.endpoint import EndpointSpec
from orchestrator.deploy.watch import Word
from orchestrator.ports.lifecycle import Loaded, LoadOptions
from orchestrator.ports.provider import ChatCall, Watched
from orchestrator.serve.clock import current_time
from orchestrator.serve.effect import Check, Effect, Load, Look, Probe, Unload
from orchestrator.serve.scheduler import Scheduler

GRACE: Final = 1.0
"""Seconds that a provider has beyond its time-out, to end by itself."""
SLOW: Final = 0.5
"""Seconds after which a provider did not hear that nobody is there, but nothing at all."""
_QUESTION: Final = Message("user", "hello")
Outcome = TypeVar("Outcome")
Tell = Callable[[EventKind, Mapping[str, object]], None]


class Errands:
    """Those that wait to be sent out, and how each is done. What comes of one goes to the scheduler as an event, and what
    that asks for to ``carry_out``. Whatever a plug-in raises ends the errand, never the loop that all requests need."""

    def __init__(self, scheduler: Scheduler, tell: Tell, carry_out: Callable[[list[Effect]], None]) -> None:
        self.waiting: list[Probe | Check | Look | Load | Unload] = []
        self._scheduler = scheduler
        self._tell = tell
        self._carry_out = carry_out

    def send_out(self, group: TaskGroup) -> None:
        """Start a task for each."""
        errands, self.waiting = self.waiting, []
        for errand in errands:
            match errand:
                case Probe():
                    group.start_soon(self._probe, errand)
                case Check():
                    group.start_soon(self._check, errand)
                case Look():
                    group.start_soon(self._look, errand)
                case Load():
                    group.start_soon(self._load, errand)
                case Unload():
                    group.start_soon(self._unload, errand)

    async def _probe(self, effect: Probe) -> None:
        spec, ok = effect.spec, False
        with anyio.move_on_after(self._scheduler.limits.endpoint.health.timeout):
            try:
                ok = await _answers(spec)
            except OrchestratorError:
                ok = False
            except Exception as error:  # noqa: BLE001 - see above
                ok = False
                fields = {"endpoint": spec.id, "state": "probe failed", "reason": f"{type(error).__name__}: {error}"}
                self._tell("endpoint.state", fields)
        self._carry_out(self._scheduler.on_probe(spec.id, ok, current_time()))

    async def _check(self, effect: Check) -> None:
        spec, began = effect.spec, current_time()
        call = ChatCall(spec.target, (_QUESTION,), max_tokens=1, timeout=effect.timeout)
        outcome = await _bounded(spec.provider.chat(call), "check", effect.timeout)
        fault = outcome if isinstance(outcome, ModelError) else None
        self._carry_out(self._scheduler.on_check(spec.id, effect.epoch, fault, began, current_time()))

    async def _look(self, effect: Look) -> None:
        word: Word = "silent"
        with anyio.move_on_after(effect.timeout):
            word = await _seen(effect.spec, effect.timeout)
        self._carry_out(self._scheduler.on_look(effect.spec.id, effect.epoch, word, current_time()))

    async def _load(self, effect: Load) -> None:
        fields = {"endpoint": effect.spec.id, "model": effect.model}
        self._tell("model.loading", {**fields, "reason": effect.reason})
        outcome = await self._load_now(effect)
        if isinstance(outcome, ModelError):
            self._tell("model.load_failed", {**fields, **_fault(outcome)})
        else:
            self._tell("model.loaded", {**fields, "took_s": round(outcome.seconds, 3), "memory": outcome.memory})
        self._carry_out(self._scheduler.on_loaded(effect.model, outcome, current_time()))

    async def _load_now(self, effect: Load) -> Loaded | ModelError:
        residence, timeout = effect.spec.residence, self._scheduler.limits.affinity.load_timeout
        if residence is None:
            return ServerFailed(f"{effect.model} is not loaded from here any more")
        timeout = residence.patience or timeout
        target, options = effect.spec.target, LoadOptions(keep_alive=effect.keep)
        outcome = await _bounded(residence.loader.load(target, options, timeout), "load", timeout)
        if isinstance(outcome, BadRequest) and effect.keep < inf:
            # Not every server can be told to unload by itself: then it is only we who do.
            outcome = await _bounded(residence.loader.load(target, LoadOptions(), timeout), "load", timeout)
        return outcome

    async def _unload(self, effect: Unload) -> None:
        fields = {"endpoint": effect.spec.id, "model": effect.model, "reason": effect.reason}
        fault = await self._unload_now(effect)
        if fault is None:
            self._tell("model.unloaded", fields)
        else:
            self._tell("model.unload_failed", {**fields, **_fault(fault)})
        self._carry_out(self._scheduler.on_unloaded(effect.model, fault, current_time()))

    async def _unload_now(self, effect: Unload) -> ModelError | None:
        residence, timeout = effect.spec.residence, self._scheduler.limits.affinity.unload_timeout
        if residence is None:
            return ServerFailed(f"{effect.model} is not unloaded from here any more")
        return await _bounded(residence.loader.unload(effect.spec.target, timeout), "unload", timeout)


async def _answers(spec: EndpointSpec) -> bool:
    """Whether the right make of server answers. Providers wait less for one than a probe does: a server that is slow because
    its device is at work is asked again."""
    while True:
        began = current_time()
        if await spec.provider.identify(spec.target.api_base, spec.target.api_key) is not None:
            return True
        if current_time() - began < SLOW:
            return False


async def _seen(spec: EndpointSpec, within: float) -> Word:
    """Whether a server works: as it tells itself, else as a token shows. Takes about as long as it may, where it hangs."""
    began = current_time()
    if isinstance(spec.provider, Watched):
        told = await _bounded(spec.provider.at_work(spec.target, within), "look", within)
        if isinstance(told, bool):
            return "works" if told else "hangs"
    left = within - (current_time() - began)
    call = ChatCall(spec.target, (_QUESTION,), max_tokens=1, timeout=left)
    outcome = await _bounded(spec.provider.chat(call), "look", left)
    if isinstance(outcome, (ServerBusy, RateLimited)):
        return "works"
    return "silent" if isinstance(outcome, ModelError) and not isinstance(outcome, BadRequest) else "answers"


async def _bounded(work: Awaitable[Outcome], what: str, timeout: float) -> Outcome | ModelError:
    try:
        with anyio.fail_after(timeout + GRACE):
            return await work
    except TimeoutError:
        return Stalled(f"the {what} did not end in {timeout:g} s")
    except ModelError as fault:
        return fault
    except Exception as fault:  # noqa: BLE001 - see above
        return ServerFailed(f"the {what} failed: {type(fault).__name__}: {fault}")


def _fault(error: ModelError) -> dict[str, object]:
    return {"error": type(error).__name__, "message": error.message}
