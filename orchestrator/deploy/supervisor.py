"""The supervisor of servers that we started: a state machine that decides when each is started, asked, ended and given up.

Events in, effects out. It knows no clock, process or I/O: every event brings the time (seconds of one monotonic clock), and
``servers`` carries out what it returns. Each server is a ``Ward``::

    waiting ──spawn──▶ starting ──a token came──▶ ready
       ▲                  │  hangs, or exits         │ exits
       │                  ▼                          ▼
       └──── after a pause that doubles ◀────────────┘        too many exits: failed, until it rests no longer
    starting ──it answers, without its model──▶ empty ──that came──▶ ready
    ready ──no progress──▶ starting        any state ──not wanted──▶ stopping ──▶ gone, once it has finished what it works on
    ready ──nobody needs it──▶ stopping ──▶ resting ──somebody needs it──▶ starting

Of those that take turns in memory (``turns``) one is started only where it has room beside those that have a process, and one
that comes in the place of others only once those have ended; till then it is waiting, and crowded. One that exits in its turn has
lost it: it rests until somebody needs it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from math import inf
from typing import Final

from orchestrator.deploy.backoff import Jitter
from orchestrator.deploy.server_effects import Answer, Ask, Became, Effect, Gone, Kill, Spawn, Terminate
from orchestrator.deploy.supervisor_rules import SupervisorRules
from orchestrator.deploy.turns import ALL_FIT, Shares
from orchestrator.deploy.ward import Ward, WardState

RESTS: Final = "; it rests for "
"""Ends why one was given up; what follows is not true of one that nobody wants any more."""
NEEDED_AGAIN: Final = "it is needed again"
AT_REST: Final = "the next request starts it"
FINISHES: Final = "; it finishes what it works on"


class Supervisor:
    """Owns every ward. ``due`` is when ``on_tick`` is wanted next."""

    def __init__(self, rules: SupervisorRules, jitter: Jitter) -> None:
        self.rules = rules
        self._jitter = jitter
        self._wards: dict[str, Ward] = {}
        self._crowded: frozenset[str] = frozenset()
        self._shares = ALL_FIT
        self._working: frozenset[str] = frozenset()
        self._effects: list[Effect] = []

    @property
    def wards(self) -> Mapping[str, Ward]:
        """By name. To be read, not changed."""
        return self._wards

    @property
    def due(self) -> float:
        """When something is to be done next, if nothing happens before."""
        return min((ward.again for ward in self._wards.values()), default=inf)

    # -- events -----------------------------------------------------------------------------------------------------

    def on_want(self, name: str, digest: str, start_timeout: float, now: float, memory: int = 0) -> list[Effect]:
        """It shall run like this, and takes so many bytes. One that runs so already, or rests, is left alone; one that was given up
        is tried afresh, and one that is empty is asked again: its model may have come."""
        ward = self._wards.get(name)
        if ward is None:
            ward = self._wards[name] = Ward(name, digest, start_timeout, now, memory)
            self._spawn(ward, now)
            return self._take()
        back = ward.finishes and digest == ward.runs
        same = back or (ward.digest == digest and ward.wanted and (ward.state != "stopping" or ward.kept))
        goes = ward.lives and not back and ward.digest != digest  # its process has what it took, till that has ended
        less = memory < ward.memory and not goes
        ward.comes = memory if goes or (ward.comes is not None and not back) else None
        ward.digest, ward.start_timeout, ward.wanted = digest, start_timeout, True
        ward.memory = max(memory, ward.memory) if ward.comes is not None else memory
        if less:
            self._call_crowded(now)
        if back:
            ward.finishes, ward.shown, ward.again = False, True, inf
            self._become(ward, "ready", "it is wanted again")
        elif not same:
            self._anew(ward, now)
        elif ward.state == "failed":
            ward.exits.clear()
            ward.unready = 0
            self._spawn(ward, now)
        elif ward.state == "empty":
            ward.life += 1  # what it was asked before the model came tells nothing
            ward.asking = False
            self._prove(ward, ward.start_timeout, "it is asked whether its model has come", now)
        return self._take()

    def on_unwant(self, name: str, now: float) -> list[Effect]:
        """It shall not run any more."""
        ward = self._wards.get(name)
        if ward is not None and ward.wanted:
            ward.wanted = False
            if ward.lives:
                self._stop(ward, "it is not wanted any more", now)
            elif not ward.spawning:
                self._forget(ward, now)
        return self._take()

    def on_rest(self, name: str, why: str, now: float) -> list[Effect]:
        """Nobody needs it now: its process is ended, and it is not started before somebody does. One that finishes is ended, and
        started with its other options where it is wanted with those. Nothing where it is not ready."""
        ward = self._wards.get(name)
        if ward is not None and ward.finishes:
            self._finish(ward, now)
        elif ward is not None and ward.wanted and ward.state == "ready":
            ward.rests = ward.kept = True
            self._stop(ward, why, now)
        return self._take()

    def on_needed(self, name: str, now: float) -> list[Effect]:
        """Somebody needs it: where it rests it is started, and where it is about to rest it is started once it has ended."""
        ward = self._wards.get(name)
        if ward is not None and ward.rests:
            ward.rests = False
            ward.unready = 0
            if ward.state == "resting":
                ward.since = now
                self._come_back(ward, now)
        return self._take()

    def on_adopted(self, name: str, digest: str, start_timeout: float, now: float, memory: int = 0) -> list[Effect]:
        """A process of an earlier life of ours runs for it."""
        ward = self._wards[name] = Ward(name, digest, start_timeout, now, memory)
        self._begin(ward, "taken over from an earlier runtime", now)
        return self._take()

    def on_spawned(self, name: str, now: float) -> list[Effect]:
        """Its process has started."""
        ward = self._wards[name]
        ward.spawning = False
        self._begin(ward, "", now)
        if not ward.wanted or ward.hung:
            ward.hung = False
            self._stop(ward, ward.why, now)
        return self._take()

    def on_not_spawned(self, name: str, why: str, now: float) -> list[Effect]:
        """Its process could not be started."""
        ward = self._wards[name]
        ward.spawning = False
        self._lost(ward, why, now)
        return self._take()

    def on_exit(self, name: str, why: str, now: float) -> list[Effect]:
        """Its process has ended; ``why`` tells how, and the last that it said."""
        ward = self._wards[name]
        ward.lives = False
        self._lost(ward, ward.why if ward.hung else why, now)
        return self._take()

    def on_asked(self, ask: Ask, answer: Answer, now: float) -> list[Effect]:
        """It was asked for a token."""
        ward = self._wards.get(ask.name)
        if ward is None or not ward.asking or ward.life != ask.life:
            return []  # of a process that is no more
        ward.asking = False
        if ward.state not in ("starting", "empty") or ward.hung:
            return []
        if answer.token:
            ward.ready_since = now
            ward.unready = 0
            ward.failure = ""
            ward.kept, ward.shown = False, True
            self._become(ward, "ready")
            ward.again = inf
        elif answer.empty:
            self._lack(ward, answer.why, now)
        elif ward.state == "empty":  # its model has come, and is loaded
            self._prove(ward, ward.start_timeout, answer.why, now)
        elif answer.hopeless:
            self._hang(ward, answer.why, now)
        else:
            ward.why = answer.why
            self._glance(ward, now)
        return self._take()

    def on_doubt(self, name: str, now: float) -> list[Effect]:
        """It makes no progress, they say: it must show a token again within its time, or it is ended and started anew."""
        ward = self._wards.get(name)
        if ward is not None and ward.state == "ready":
            why = "it made no progress, and is asked for a token"
            self._prove(ward, min(ward.start_timeout, self.rules.doubted), why, now)
        return self._take()

    def on_room(self, crowded: Collection[str]) -> None:
        """Those of these that were given up have no room now: others took it. They are not tried once more before they have."""
        self._crowded = frozenset(crowded)

    def on_shares(self, shares: Shares, now: float) -> list[Effect]:
        """These take turns, and this is what they may take together."""
        if shares != self._shares:
            self._shares = shares
            self._call_crowded(now)
        return self._take()

    def on_work(self, working: Collection[str], now: float) -> list[Effect]:
        """These work on something now. One that goes is ended when it has not for a while: a request may call it again."""
        self._working = frozenset(working)
        for ward in self._wards.values():
            if ward.name in self._working:
                ward.worked = now
            elif ward.finishes and now - ward.worked >= self.rules.idle:
                self._finish(ward, now)
        return self._take()

    def on_tick(self, now: float) -> list[Effect]:
        """Time has passed."""
        for ward in list(self._wards.values()):
            if ward.again <= now:
                self._due(ward, now)
        return self._take()

    # -- inside -----------------------------------------------------------------------------------------------------

    def _due(self, ward: Ward, now: float) -> None:
        ward.again = inf
        if ward.state == "failed" and (ward.name in self._crowded or self._shares.why_not(ward, self._wards)):
            ward.again = now + self.rules.longest_glance
        elif ward.state in ("waiting", "failed"):
            self._spawn(ward, now)
        elif ward.finishes:
            self._finish(ward, now)
        elif ward.state == "stopping" or ward.hung:
            self._effects.append(Kill(ward.name))
            ward.again = now + self.rules.grace
        elif ward.state == "starting" and now >= ward.began + ward.patience:
            why = f"no first token within {ward.patience:g} s" + (f" ({ward.why})" if ward.why else "")
            self._hang(ward, why, now)
        elif ward.state in ("starting", "empty"):
            ward.again = now + self.rules.looks if ward.state == "empty" else ward.began + ward.patience
            self._ask(ward)

    def _ask(self, ward: Ward) -> None:
        if not ward.asking:
            ward.asking = True
            self._effects.append(Ask(ward.name, ward.life))

    def _come_back(self, ward: Ward, now: float) -> None:
        """Somebody needs it; one that exited in its turn has its pause first."""
        if ward.not_before > now:
            self._become(ward, "waiting", ward.failure)
            ward.again = ward.not_before
        else:
            self._spawn(ward, now, NEEDED_AGAIN)

    def _call_crowded(self, now: float) -> None:
        """There may be room now: those that wait for it try again."""
        for ward in self._wards.values():
            ward.again = now if ward.crowded else ward.again

    def _spawn(self, ward: Ward, now: float, why: str = "") -> None:
        ward.hung = False
        ward.again = inf
        ward.began = now
        if why_not := self._shares.why_not(ward, self._wards):
            if not ward.crowded:
                ward.crowded = True
                self._become(ward, "waiting", why_not)
            return
        ward.spawning, ward.crowded = True, False
        self._become(ward, "starting", why)
        self._effects.append(Spawn(ward.name))

    def _begin(self, ward: Ward, why: str, now: float) -> None:
        ward.lives = True
        ward.runs = ward.digest
        ward.life += 1
        ward.asking = False
        ward.began = now
        ward.patience = ward.start_timeout
        ward.glances = 0
        ward.ready_since = inf
        self._become(ward, "starting", why)
        ward.again = now

    def _lack(self, ward: Ward, why: str, now: float) -> None:
        """It runs as well as it can, so that no try of it has failed."""
        ward.unready, ward.failure, ward.kept = 0, "", False
        if (ward.state, ward.why) != ("empty", why):
            self._become(ward, "empty", why)
        ward.again = now + self.rules.looks

    def _prove(self, ward: Ward, patience: float, why: str, now: float) -> None:
        """Its process runs, and has its time to show a token."""
        ward.began = ward.since = now
        ward.patience, ward.glances = patience, 0
        self._become(ward, "starting", why)
        ward.again = now

    def _anew(self, ward: Ward, now: float) -> None:
        """Its options changed, or it was on its way out: end what runs, then start with a clean slate."""
        ward.exits.clear()
        ward.unready = 0
        ward.since, ward.failure = now, ""
        ward.rests = ward.kept = ward.shown = False
        if ward.lives:
            self._stop(ward, "it is started again with other options", now)
        elif ward.spawning:
            ward.hung = True  # the process that is being started has the old options: it is ended once it is there
            ward.why = "it is started again with other options"
        else:
            self._spawn(ward, now)

    def _stop(self, ward: Ward, why: str, now: float) -> None:
        if ward.state == "stopping":
            return
        ward.finishes = ward.state == "ready" and not ward.rests and ward.name in self._working
        self._become(ward, "stopping", f"{why}{FINISHES}" if ward.finishes else why)
        ward.again = now + self.rules.finishes
        if not ward.finishes:
            self._terminate(ward, now)

    def _finish(self, ward: Ward, now: float) -> None:
        ward.finishes = False
        self._become(ward, "stopping", ward.why.removesuffix(FINISHES))
        self._terminate(ward, now)

    def _terminate(self, ward: Ward, now: float) -> None:
        self._effects.append(Terminate(ward.name))
        ward.again = now + self.rules.grace

    def _hang(self, ward: Ward, why: str, now: float) -> None:
        """It will not come: end it at once; its exit is counted with this reason."""
        ward.hung = True
        ward.why = why
        ward.again = now + self.rules.grace
        self._effects.append(Kill(ward.name))

    def _glance(self, ward: Ward, now: float) -> None:
        pause = min(self.rules.glance * 2 ** min(ward.glances, 30), self.rules.longest_glance)
        ward.glances += 1
        ward.again = min(now + pause, ward.began + ward.patience)

    def _lost(self, ward: Ward, why: str, now: float) -> None:
        stopped = ward.state == "stopping"
        was_ready = ward.state in ("ready", "empty")
        ward.since = now if was_ready else ward.since
        ward.asking = ward.hung = ward.finishes = False
        ward.memory, ward.comes = ward.memory if ward.comes is None else ward.comes, None
        self._call_crowded(now)
        if not ward.wanted:
            self._forget(ward, now)
        elif stopped and ward.rests:
            ward.since = now
            self._become(ward, "resting", AT_REST)
            ward.again = inf
        elif stopped:
            self._spawn(ward, now, NEEDED_AGAIN if ward.kept else "")
        else:
            ward.kept = False
            self._count(ward, was_ready, now)
            self._decide(ward, why, now, was_ready=was_ready)

    def _count(self, ward: Ward, was_ready: bool, now: float) -> None:
        if was_ready and now - ward.ready_since >= self.rules.calm:
            ward.exits.clear()
        ward.unready = 0 if was_ready else ward.unready + 1
        ward.exits.append(now)
        while ward.exits[0] <= now - self.rules.window:
            ward.exits.popleft()

    def _decide(self, ward: Ward, why: str, now: float, *, was_ready: bool) -> None:
        rules, count = self.rules, len(ward.exits)
        ward.failure = why
        if count >= rules.most_exits or ward.unready >= rules.most_unready:
            times, ward.shown = max(count, ward.unready), False
            self._become(ward, "failed", f"given up after {times} tries: {why}{RESTS}{rules.rests / 60:g} min")
            ward.again = now + rules.rests
            return
        ward.again = now + rules.again.delay(count - 1, self._jitter)
        if was_ready and self._shares.is_contended(ward, self._wards):
            ward.rests = ward.kept = True
            ward.since, ward.not_before, ward.again = now, ward.again, inf
            self._become(ward, "resting", f"{why}; {AT_REST}")
        else:
            self._become(ward, "waiting", why)

    def _become(self, ward: Ward, state: WardState, why: str = "") -> None:
        ward.state, ward.why = state, why
        self._effects.append(Became(ward.name, state, why))

    def _forget(self, ward: Ward, now: float) -> None:
        del self._wards[ward.name]
        self._call_crowded(now)
        self._effects.append(Gone(ward.name))

    def _take(self) -> list[Effect]:
        effects, self._effects = self._effects, []
        return effects
