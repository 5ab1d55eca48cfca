"""A server that is silent to calls which were given up before that says anything by itself: their silence adds up, somebody looks,
and meanwhile whoever can goes elsewhere. The part of the scheduler that its events about the end of calls share."""

from __future__ import annotations

from orchestrator.core.errors import ModelError, Stalled, Unreachable, Withheld
from orchestrator.deploy.endpoint import Endpoint
from orchestrator.deploy.watch import Word
from orchestrator.serve.effect import Cancel, Look
from orchestrator.serve.scheduler_dispatch import Dispatch
from orchestrator.serve.scheduler_queue import Call, Lane
from orchestrator.serve.scheduler_stalls import MOMENT, early, unanswered_since, window

NO_LIFE = (Stalled, Unreachable, Withheld)
"""Faults that are no answer of a server."""


class Doubts(Dispatch):
    """What is made of silence that no single call could have found out about."""

    def _given_up(self, call: Call, lane: Lane, now: float) -> None:
        """An attempt ended without a word of its server: who waited for it waits no longer."""
        endpoint = lane.endpoint
        since = unanswered_since(call, lane, now)
        if since is not None:
            endpoint.unheard.given_up(since, 0 if call.got_token else call.new.prompt)
            if _on_trial(endpoint):
                endpoint.unheard.doubt(now + 2 * window(endpoint.rules))
        self._let_pause(endpoint, now)
        self._doubt(lane, now)

    def _answered(self, call: Call, lane: Lane, error: ModelError, now: float) -> None:
        """An attempt ended with a fault, which most often is a sign of life too."""
        if not isinstance(error, NO_LIFE):
            lane.endpoint.unheard.heard(now)
        elif isinstance(error, Stalled) and not call.stopped:
            self._given_up(call, lane, now)
        else:
            self._let_pause(lane.endpoint, now)

    def _looked(self, lane: Lane, word: Word, now: float) -> None:
        """Somebody has looked."""
        endpoint = lane.endpoint
        if word in ("works", "answers"):
            endpoint.unheard.heard(now)
        elif word and endpoint.unheard and not self._explained(lane, word, now):
            endpoint.unheard.doubt(now + 2 * window(endpoint.rules))
            self.send_on(lane, Stalled(f"{endpoint.spec.id} gives no sign of life"), now)
        self._let_pause(endpoint, now)
        self._doubt(lane, now)

    def _doubt(self, lane: Lane, now: float) -> None:
        """Judge a silence that has lasted long enough and that somebody saw; else have it looked at, once it is unusual."""
        endpoint = lane.endpoint
        if not endpoint.unheard or endpoint.removed:
            return
        lasted, prompt = endpoint.unheard.lasted(now), max(self._longest(lane), endpoint.unheard.prompt)
        limit = early(endpoint, prompt) if _on_trial(endpoint) else endpoint.stall_limit(prompt)
        word = endpoint.watch.says(endpoint.unheard.began)
        in_vain = word == "hangs" or (word == "silent" and not self._whole(lane))
        if in_vain and lasted >= limit - MOMENT:
            fault = Stalled(f"{endpoint.spec.id} made no progress for {lasted:.0f} s, over several calls")
            endpoint.stalled(fault, now, self._jitter, prompt)
            self._rescue(lane, fault)
            self.settle(lane, now)
        else:
            self._look_early(lane, lasted, early(endpoint, prompt), now)

    def _rescue(self, lane: Lane, fault: Stalled) -> None:
        """Whoever is silent there and can goes elsewhere."""
        for call in self._running(lane):
            silent = call.streams and not call.got_token and not call.stopped
            if silent and call.new.idempotent and self._others(call, lane):
                call.stopped = True
                self._effects.append(Cancel(call.new.call, Stalled(fault.message)))

    def _look_early(self, lane: Lane, lasted: float, unusual: float, now: float) -> None:
        """Have it looked at: not more often than a look takes, and while nobody waits only where no model can be loaded by it."""
        endpoint = lane.endpoint
        may = endpoint.spec.target.zone != "cloud" and endpoint.away is None and endpoint.breaker.state != "open"
        if not may or endpoint.watch.looking or (not endpoint.in_flight and endpoint.spec.residence is not None):
            return
        wait = max(unusual - lasted if endpoint.in_flight else 0.0, endpoint.watch.began + window(endpoint.rules) - now)
        if wait > MOMENT:
            self._look_at(endpoint, now + wait)
        elif lasted >= unusual - MOMENT:
            self._effects.append(Look(endpoint.spec, endpoint.epoch, window(endpoint.rules)))
            endpoint.watch.begin(now)
            endpoint.unheard.resume(now, endpoint.rules.stall_after)

    def _explained(self, lane: Lane, word: Word, now: float) -> bool:
        """Whether what runs there is reason enough for what was seen: an answer that is written whole, or a long prompt."""
        endpoint = lane.endpoint
        long = early(endpoint, self._longest(lane)) > endpoint.unheard.lasted(now) + MOMENT
        return long or (word == "silent" and self._whole(lane))

    def _let_pause(self, endpoint: Endpoint, now: float) -> None:
        if not endpoint.in_flight and not endpoint.watch.looking:
            endpoint.unheard.pause(now)

    def _running(self, lane: Lane) -> list[Call]:
        return [call for call in self._calls.values() if call.lane is lane and call.phase == "running"]

    def _longest(self, lane: Lane) -> int:
        return max((call.new.prompt for call in self._running(lane) if not call.got_token), default=0)

    def _whole(self, lane: Lane) -> bool:
        return any(not call.streams for call in self._running(lane))


def _on_trial(endpoint: Endpoint) -> bool:
    """Whether it hung already, and is only tried again."""
    return endpoint.breaker.state == "half_open" and endpoint.breaker.stalled
