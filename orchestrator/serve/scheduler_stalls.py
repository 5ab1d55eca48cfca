"""When a silent call counts as stalled, and whether that is its server's fault. Pure rules.

Some time before a call has been silent for too long, its server is looked at: whether it works, be it for others.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import Final, Literal

from orchestrator.core.errors import Stalled
from orchestrator.deploy.endpoint import Endpoint
from orchestrator.deploy.rules import EndpointRules
from orchestrator.serve.scheduler_queue import Call, Lane

SHARE: Final = 4
"""The look has a quarter of the time after which silence counts, ``EndpointRules.look_for`` at most."""
MOMENT: Final = 1e-3
"""Seconds by which sums of times may be off."""

Verdict = Literal[
    "",  # it has time left
    "busy",  # its server works for others
    "lost",  # its server works, but not on this call
    "hung",
]


class Silence:
    """The calls that run at one endpoint, and how long each may be silent."""

    def __init__(self, lane: Lane, running: Sequence[Call]) -> None:
        self._lane = lane
        self._endpoint = lane.endpoint
        self._rules = lane.endpoint.rules
        self.longest = max((call.new.prompt for call in running if not call.got_token), default=0)
        """Bytes of the longest prompt that may be read just now. While a server reads one, many write nothing for others."""
        self._whole = [call for call in running if not call.streams]
        self._looks = lane.endpoint.spec.target.zone != "cloud"  # where it would cost money

    def verdict(self, call: Call, now: float) -> Verdict:
        """What the silence of a call means."""
        if now < self._stalls_at(call):
            return ""
        word = self._endpoint.watch.says(silent_since(call, self._lane))
        if not word and self._looks and now < self._told_by(call) - MOMENT:
            return ""
        if word == "works" and not call.got_token:
            return "busy"
        return "lost" if word in ("works", "answers") else "hung"

    def fault(self, call: Call, now: float, verdict: Verdict) -> Stalled:
        """What to tell of it."""
        why = ": it works for others" if verdict == "busy" else ""
        silent = now - silent_since(call, self._lane)
        return Stalled(f"{self._endpoint.spec.id} made no progress for {silent:.0f} s{why}")

    def look_due(self, call: Call) -> float:
        """When its server is to be looked at: before it counts as stalled, and again and again while it is only waited for."""
        if not self._looks or self._endpoint.watch.looking:
            return inf
        at, began = self._doubted_at(call) - self._window(call), self._endpoint.watch.began
        return at if began < at else began + self._rules.stall_after

    def look_time(self, call: Call, now: float) -> float:
        """Seconds that the look may take."""
        left = self._doubted_at(call) - now
        return min(left, self._window(call)) if left > 0 else self._window(call)

    def changes_at(self, call: Call, now: float) -> float:
        """When the next of this is due, if nothing more is heard of it."""
        marks = (self._stalls_at(call), self.look_due(call), self._told_by(call))
        return min((at for at in marks if at > now), default=inf)

    def _limit(self, call: Call) -> float:
        """Seconds of silence from which on there is doubt."""
        endpoint = self._endpoint
        return endpoint.stall_limit(self.longest) if call.streams else endpoint.silence(self.longest)

    def _doubted_at(self, call: Call) -> float:
        return silent_since(call, self._lane) + self._limit(call)

    def _stalls_at(self, call: Call) -> float:
        """An answer that comes in one piece has the time that its length needs, and so has who may wait behind it; less only
        where its server is seen to hang."""
        since, doubted = silent_since(call, self._lane), self._doubted_at(call)
        if call.got_token or self._endpoint.watch.says(since) == "hangs":
            return doubted
        return max([doubted if call.streams else 0.0, *(self._whole_until(other) for other in self._ahead(call))])

    def _ahead(self, call: Call) -> list[Call]:
        return self._whole if call.streams else [call]

    def _whole_until(self, call: Call) -> float:
        return silent_since(call, self._lane) + self._endpoint.whole_limit(self.longest, call.new.most)

    def _window(self, call: Call) -> float:
        return min(self._limit(call) / SHARE, self._rules.look_for)

    def _told_by(self, call: Call) -> float:
        """When the look at this silence has ended at the latest; ``inf`` where it has not begun."""
        began = self._endpoint.watch.began
        return began + self._window(call) if began >= silent_since(call, self._lane) else inf


def first_look(rules: EndpointRules) -> float:
    """Seconds after which a call that begins is looked after first."""
    return rules.stall_after - min(rules.stall_after / SHARE, rules.look_for)


def silent_since(call: Call, lane: Lane) -> float:
    """When the last sign of life of a running call was. Before its first token, a token of any other call is one: the server
    may be at another prompt."""
    return call.last_progress if call.got_token else max(call.started, lane.endpoint.last_progress)


def blamed_after(call: Call, endpoint: Endpoint) -> float:
    """Seconds of silence for which the server is to blame, when a deadline ends them: what a call of this length needs there
    at most, or what means nothing where that is not known."""
    prompt = call.new.prompt
    limit = endpoint.stall_limit(prompt) if call.streams else endpoint.whole_limit(prompt, call.new.most)
    return limit if limit < inf else endpoint.silence(prompt)
