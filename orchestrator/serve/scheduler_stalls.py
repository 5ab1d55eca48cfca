"""When a silent call counts as stalled, and whether that is its server's fault. Pure rules.

Some time before a call has been silent for too long, its server is looked at: whether it works, be it for others.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import Final, Literal

from orchestrator.core.errors import Stalled
from orchestrator.deploy.endpoint import Endpoint
from orchestrator.deploy.pace import LONG_PROMPT, USUAL
from orchestrator.deploy.rules import EndpointRules
from orchestrator.serve.scheduler_queue import Call, Lane

SHARE: Final = 4
"""The look has a quarter of the time after which silence counts, ``EndpointRules.look_for`` at most."""
LEAST: Final = 2.0
"""Seconds without a first token that are nothing unusual anywhere."""
TOO_SOON: Final = 0.5
"""Seconds in which nobody can expect one."""
MOMENT: Final = 1e-3
"""Seconds by which sums of times may be off."""

Verdict = Literal[
    "",  # it has time left
    "doubted",  # the same, but its server gave calls before it no sign of life, nor who looked
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
        read = [call.new.prompt for call in running if not call.got_token]
        self.longest = max([*read, lane.endpoint.unheard.prompt], default=0)
        """Bytes of the longest prompt that may be read just now. While a server reads one, many write nothing for others."""
        self._whole = [call for call in running if not call.streams]
        self._looks = lane.endpoint.spec.target.zone != "cloud"  # where it would cost money

    def verdict(self, call: Call, now: float) -> Verdict:
        """What the silence of a call means."""
        if now < self._stalls_at(call):
            doubted = call.streams and not call.got_token and self._endpoint.unheard.doubted(now)
            return "doubted" if doubted else ""
        word = self._endpoint.watch.says(self._began(call))
        if not word and self._looks and now < self._told_by(call) - MOMENT:
            return ""
        if word == "works" and not call.got_token:
            return "busy"
        return "lost" if word in ("works", "answers") else "hung"

    def fault(self, call: Call, now: float, verdict: Verdict) -> Stalled:
        """What to tell of it."""
        why = {"busy": ": it works for others", "doubted": ", and others before it saw none"}.get(verdict, "")
        silent = now - (silent_since(call, self._lane) if verdict == "doubted" else self._since(call))
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

    def _since(self, call: Call) -> float:
        """When its silence began: with that of calls before it that were given up, where nothing came since."""
        own = silent_since(call, self._lane)
        return own if call.got_token or not call.streams else min(own, self._endpoint.unheard.since)

    def _began(self, call: Call) -> float:
        """The same by the clock: what was seen since then is seen of this silence."""
        own = silent_since(call, self._lane)
        return own if call.got_token or not call.streams else min(own, self._endpoint.unheard.began)

    def _doubted_at(self, call: Call) -> float:
        """From when on there is doubt. Where others have waited before it, it has at least what is usual there: its server may be
        well again."""
        own, limit = silent_since(call, self._lane), self._limit(call)
        usual = own + min(patience(self._endpoint, self.longest, 0.0), limit)
        return max(self._since(call) + limit, usual)

    def _stalls_at(self, call: Call) -> float:
        """An answer that comes in one piece has the time that its length needs, and so has who may wait behind it; less only
        where its server is seen to hang."""
        doubted = self._doubted_at(call)
        if call.got_token or self._endpoint.watch.says(self._began(call)) == "hangs":
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
        return began + self._window(call) if began >= self._began(call) else inf


def window(rules: EndpointRules) -> float:
    """Seconds that a look has at most."""
    return min(rules.stall_after / SHARE, rules.look_for)


def first_look(rules: EndpointRules) -> float:
    """Seconds after which a call that begins is looked after first."""
    return rules.stall_after - window(rules)


def patience(endpoint: Endpoint, prompt: int, unknown: float) -> float:
    """Seconds that a first token for a prompt of so many bytes usually needs there, or ``unknown``; never less than is usual
    anywhere."""
    least, usual = min(LEAST, window(endpoint.rules)), endpoint.speed.before_first_token(USUAL, prompt)
    return max(least, unknown if usual is None else usual)


def early(endpoint: Endpoint, prompt: int) -> float:
    """Seconds without a sign of life that are unusual there, so that somebody looks once a call was given up. Where nothing is
    known of prompts of this length: a quarter of what counts as a stall, or, for a long one, as long as without such a call."""
    rules = endpoint.rules
    return patience(endpoint, prompt, first_look(rules) if prompt >= LONG_PROMPT else window(rules))


def unanswered_since(call: Call, lane: Lane, now: float) -> float | None:
    """Since when a call that is given up has waited for its server in vain. ``None`` where that says nothing: it waited for less
    than half of the calls need there (as a whole answer, for less than most), its model may have been loaded meanwhile, or it is
    in the cloud, where nobody can look."""
    endpoint, speed = lane.endpoint, lane.endpoint.speed
    if call.epoch != endpoint.epoch or endpoint.cold or endpoint.away is not None:
        return None
    if endpoint.spec.target.zone == "cloud":
        return None
    since = silent_since(call, lane) if not call.got_token else max(call.last_progress, endpoint.last_progress)
    need: float | None = 0.0
    if not call.streams:
        need = speed.calls.quantile(USUAL) if speed.calls.quantile(USUAL) is not None else inf
    elif not call.got_token:
        need = speed.before_first_token(0.5, call.new.prompt)
    return since if now - since >= max(need or 0.0, min(TOO_SOON, window(endpoint.rules))) - MOMENT else None


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
