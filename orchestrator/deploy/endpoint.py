"""One endpoint as the scheduler sees it: what it is, how many calls it takes now, and what its calls say about it.

Pure state: no clock, no I/O. Times come in as arguments (seconds of one monotonic clock), jitter as a source of numbers.
"""

from __future__ import annotations

from math import inf

from orchestrator.core.errors import (
    BadRequest,
    ModelError,
    ModelNotFound,
    RateLimited,
    Refused,
    ServerBusy,
    Stalled,
    Unreachable,
    Withheld,
)
from orchestrator.deploy.backoff import Jitter
from orchestrator.deploy.breaker import Breaker
from orchestrator.deploy.endpoint_spec import EndpointSpec
from orchestrator.deploy.health import Health
from orchestrator.deploy.hold import LOADING, EndpointState, Hold
from orchestrator.deploy.pace import USUAL, Speed
from orchestrator.deploy.rules import EndpointRules
from orchestrator.deploy.unheard import Unheard
from orchestrator.deploy.watch import Watch
from orchestrator.ports.provider import Capability, Support

__all__ = ["Endpoint", "EndpointSpec", "EndpointState"]


class Endpoint:
    """The mutable state of one endpoint; owned by the scheduler."""

    def __init__(self, spec: EndpointSpec, rules: EndpointRules, now: float) -> None:
        self.spec = spec
        self.in_flight = 0
        self.removed = False
        self.last_progress = -inf
        self.look_at = inf
        """When somebody should look whether its calls still move and have time."""
        self.loaded: bool | None = None
        """Whether its model was in memory when somebody looked; ``None`` where its server does not tell."""
        self.cold = False
        """Whether its model was not in memory when somebody looked: its server loads it for the next call."""
        self.away: EndpointState | None = None
        """Why no call can start although it is well: its model is not there. ``None`` where it is."""
        self.most = spec.slots
        """Calls that it takes at once when all is well."""
        self.called = spec.target
        """The target of its calls: some servers give a model another name when they load it."""
        self.window: int | None = None
        """Tokens of a request, as its server told them when it loaded the model, until it is described anew."""
        self.speed = Speed()
        self.rules = rules
        self._saving = False
        self._start_over(now)
        self.state: EndpointState = "unknown"
        self.epoch = 0
        """Calls that started in an earlier epoch say nothing about the endpoint as it is now."""

    def _start_over(self, now: float) -> None:
        self.last_error: ModelError | None = None
        self.breaker = Breaker(self.rules.breaker)
        self.health = Health(self.rules.health, now)
        self.hold: Hold | None = None
        self.watch = Watch()
        self.unheard = Unheard(now)
        self._holds = 0
        self._on_trial = False
        self._ready = False
        self.capacity = self.most
        """Calls that it takes at once as things stand."""

    # -- what it takes ----------------------------------------------------------------------------------------------

    @property
    def has_room(self) -> bool:
        """Whether a call can start now."""
        return self.in_flight < self.capacity

    @property
    def load(self) -> float:
        """Calls in flight by slots."""
        return self.in_flight / self.capacity if self.capacity else inf

    @property
    def takes_calls(self) -> bool:
        """Whether a call may start here, now or after waiting for a place."""
        if self.removed or self.breaker.state == "open" or self.health.down:
            return False
        return self.hold is None or self.hold.worth_waiting

    def serves_before(self, deadline: float) -> bool:
        """Whether a call that must have begun by then may start here, now or after waiting for a place."""
        return self.takes_calls and (self.hold is None or self.hold.until < deadline)

    @property
    def hides_window(self) -> bool:
        """Whether a call may be cut there because nobody knows how much its server reads: its model is not loaded, so that it may
        come with another window than before, or it was never told; what the manifest writes says only what we may send."""
        unknown = self.window is None and (self.spec.context is None or self.spec.bounded)
        return (self.cold or unknown) and self.spec.cuts_unasked

    @property
    def may_be_forced(self) -> bool:
        """Whether it may be used although it looks ill, when there is nobody else."""
        ill = self.breaker.state == "open" or self.health.down
        return ill and not self.removed and self.hold is None

    @property
    def changes_at(self) -> float:
        """When it will change by itself."""
        hold = self.hold.until if self.hold is not None else inf
        return min(hold, self.breaker.opens_at) if self.breaker.state == "open" else hold

    @property
    def probe_due(self) -> float:
        """When it should be probed: only while idle, and never where that costs money, leaves the premises, or would find
        nobody because the server rests."""
        at_rest = self.away in ("unloaded", "loading") and self.spec.can_rest
        if self.in_flight or self.removed or at_rest or self.spec.target.zone == "cloud":
            return inf
        return self.health.probe_due

    @property
    def check_due(self) -> float:
        """When it should be asked for a token: only while it is idle, and only where that surely loads no model and keeps none
        from being unloaded, as it would where its server does both by itself. Not on battery. One that is half open is asked
        at once: better a token tries it than a call that may hang."""
        able = self.spec.capabilities.get(Capability.LOAD) is Support.NO and self.spec.residence is None
        if not (able and self.loaded) or self._saving or self.spec.target.zone == "cloud":
            return inf
        ill = self.hold is not None or self.breaker.state == "open" or self.health.down
        if ill or self.in_flight or self.removed:
            return inf
        due = self.health.check_due
        return min(due, self.breaker.opens_at) if due < inf and self.breaker.state == "half_open" else due

    @property
    def trouble(self) -> str:
        """The last fault, where the state has to do with one."""
        fine = self.state in ("ready", "live", "unknown", "draining", self.away)
        return "" if fine or self.last_error is None else self.last_error.message

    def save(self, *, saving: bool) -> None:
        """Take fewer calls at once, or as many as ever; ``settle`` it then."""
        self._saving = saving
        fewer = self.spec.battery_slots
        self.most = min(self.spec.slots, fewer) if saving and fewer is not None else self.spec.slots

    # -- what happens to it -----------------------------------------------------------------------------------------

    def respec(self, spec: EndpointSpec, now: float) -> None:
        """It is described anew. Another target or provider is judged afresh; its calls in flight keep their places."""
        moved = spec.target != self.spec.target or spec.provider is not self.spec.provider or self.removed
        self.spec = spec
        self.removed = False
        self.most = spec.slots
        if moved or spec.context is not None:
            self.window = None
        if moved:
            self.called = spec.target
            self.epoch += 1
            self._start_over(now)

    def moved(self, now: float) -> None:
        """A sign of life."""
        self.last_progress = now
        self.unheard.heard(now)

    def first_token(self, took: float, prompt: int) -> None:
        """The first token of a call came after ``took`` seconds, for a prompt of so many bytes."""
        if not self.cold:  # a load says nothing about the time that a first token takes
            self.speed.first_token(took, prompt)
        self.cold = False

    def succeeded(self, took: float, now: float, wrote: int = 0) -> None:
        """A call ended well after ``took`` seconds, and wrote so many tokens."""
        if not self.cold:  # else it was loaded meanwhile, which the next call need not wait for
            self.speed.ended(took, wrote)
        self.moved(now)
        self.cold = False
        self.breaker.succeeded(now)
        self.health.heard(now)
        self._holds = 0
        self._on_trial = False
        self._ready = True

    def woke(self, now: float) -> None:
        """It counted as stalled, and has answered a call all the same that ran then: it was at work."""
        self.breaker.close()
        self.health.heard(now)
        self.moved(now)
        self._ready = True

    def failed(self, error: ModelError, now: float, jitter: Jitter) -> None:
        """A call failed: judge what that says about the server. Nothing, where it was not sent."""
        if isinstance(error, Withheld):
            return
        self.last_error = error
        match error:
            case ServerBusy():
                self._put_on_hold("loading" if LOADING.search(error.message) else "busy", error, now, jitter)
            case RateLimited():
                self._put_on_hold("rate_limited", error, now, jitter)
            case Refused():
                self._rest("misconfigured", now + self.rules.refused_for)
            case ModelNotFound():
                self._rest("gone", now + self.rules.refused_for)
            case BadRequest():
                self.health.heard(now)
            case _ if isinstance(error, self.rules.count):
                self._count(error, now, jitter)

    def stalled(self, error: ModelError, now: float, jitter: Jitter, prompt: int = 0) -> None:
        """Its calls made no progress, one of them at a prompt of so many bytes, or checks found that it makes none: trip at
        once, because the next call would hang as long."""
        self.last_error = error
        self.speed.waited_in_vain(prompt)
        self.watch = Watch()
        self.unheard.heard(now)  # what is said of it now is said; the next silence is another one
        if not isinstance(error, self.rules.count):
            return
        self._ready = False
        self.breaker.trip(now, jitter, stalled=isinstance(error, Stalled))
        self.epoch += 1

    def probed(self, ok: bool, now: float, jitter: Jitter) -> None:
        """A probe ended. A server that could not be reached and is up again need not wait for its breaker; others must,
        because a server whose engine fails or hangs still answers probes."""
        self.health.probed(ok, now, jitter)
        if self.health.up and self.breaker.state == "open" and isinstance(self.last_error, Unreachable):
            self.breaker.try_again()

    def checked(self, error: ModelError | None, began: float, now: float, jitter: Jitter) -> None:
        """A deep check that ``began`` then ended. One that failed while calls ran says nothing: they do."""
        if error is None:
            self.health.heard(now)
            self.unheard.heard(now)
            self.breaker.succeeded(now)
            self._on_trial = False
        elif isinstance(error, (BadRequest, ServerBusy, RateLimited)):  # it answers, though no token
            self.unheard.heard(now)
        tried = self.breaker.state == "half_open"
        ran = self.in_flight > 0 or self.last_progress >= began
        lives = error is None or ran or isinstance(error, (BadRequest, ServerBusy, RateLimited))
        if isinstance(error, (Refused, ModelNotFound)):
            self.health.checked(True, now, jitter)
            self.failed(error, now, jitter)
        elif (self.health.checked(lives, now, jitter) or (tried and not lives)) and error is not None:
            self.stalled(error, now, jitter)

    def advance(self, now: float) -> None:
        """Let pass what was only for a time."""
        if self.hold is not None and self.hold.until <= now:
            self.hold = None
            self._on_trial = True
        if self.breaker.state == "open" and self.breaker.opens_at <= now:
            self.breaker.try_again()

    @property
    def refused_until(self) -> float | None:
        """Until when it is not asked because it refused the key or the model; ``None`` where it did not."""
        hold = self.hold
        return hold.until if hold is not None and hold.state in ("misconfigured", "gone") else None

    def try_now(self, *, asked: bool = False) -> None:
        """Somebody may have mended it: whatever it rests for, one call tries it. What it asked for itself, busy or with
        too many requests, still holds, unless a person has ``asked`` for the try; a load is waited for."""
        held = asked and self.hold is not None and self.hold.state != "loading"
        if held or self.refused_until is not None:
            self.hold = None
            self._on_trial = True
        if self.breaker.state == "open" or self.health.down:
            self.force()

    def force(self) -> None:
        """Use it although it looks ill: one call tries it."""
        if self.breaker.state == "open":
            self.breaker.try_again()
        self.health.down = False
        self._on_trial = True

    def settle(self) -> bool:
        """Work out state and capacity from everything known; tells whether the state changed."""
        before = self.state
        self.state = self._state()
        if self.removed or self.hold is not None or self.breaker.state == "open" or self.health.down or self.away:
            self.capacity = 0
        elif self._on_trial or self.breaker.state == "half_open":
            self.capacity = 1
        else:
            self.capacity = self.most
        return self.state != before

    def stall_limit(self, prompt: int) -> float:
        """Seconds without progress after which a streamed call counts as stalled, while a prompt of so many bytes is read."""
        usual = self.speed.first_tokens.quantile(USUAL) or 0.0
        return max(self.silence(prompt), self.rules.stall_factor * usual)

    def whole_limit(self, prompt: int, most: int | None) -> float:
        """The same for a whole reply of ``most`` tokens. It shows no progress, so it has a limit only once it is known how long
        replies of that length take there; until then its deadline is what ends it."""
        usual = self.speed.calls.quantile(USUAL)
        if usual is None:
            return inf
        need = min(self.silence(prompt) + self.speed.writing(most), self._longest)
        return max(need, self.rules.stall_factor * usual)

    def silence(self, prompt: int) -> float:
        """Seconds without a sign of life that mean nothing. A load shows none, and takes minutes on a slow disk; neither does
        a long prompt that is read, on most servers."""
        rules = self.rules
        if self.cold:
            return rules.load_after
        return min(rules.stall_after * self.speed.doubt(prompt) + self.speed.reading(prompt), self._longest)

    @property
    def _longest(self) -> float:
        """Seconds of silence that no need excuses."""
        return max(self.rules.stall_after, self.rules.load_after)

    def seen(self, *, loaded: bool, now: float) -> None:
        """Somebody looked whether its model is in memory. That it came is progress."""
        if self.cold and loaded:
            self.moved(now)
        self.cold = not loaded
        self.loaded = loaded

    # -- inside -----------------------------------------------------------------------------------------------------

    def _put_on_hold(self, state: EndpointState, error: ModelError, now: float, jitter: Jitter) -> None:
        wait = error.retry_after
        if not wait:
            wait = self.rules.busy_for.delay(self._holds, jitter)
        self._holds += 1
        self._rest(state, now + min(wait, self.rules.hold_at_most))

    def _rest(self, state: EndpointState, until: float) -> None:
        self.hold = Hold(state, until)
        self.health.alive = True  # it answered

    def _count(self, error: ModelError, now: float, jitter: Jitter) -> None:
        if isinstance(error, Unreachable):
            self._ready = False
            self.health.lost()
        self.breaker.failed(now, jitter)
        if self.breaker.state == "open":
            self._ready = False
            self.epoch += 1

    def _state(self) -> EndpointState:
        if self.removed:
            return "draining" if self.in_flight else "gone"
        if self.hold is not None:
            return self.hold.state
        if self.breaker.state != "closed":
            return "stalled" if self.breaker.state == "open" and self.breaker.stalled else self.breaker.state
        if self.health.down:
            return "gone"
        if self.away is not None:
            return self.away
        answering: EndpointState = "live" if self.health.alive else "unknown"
        return "ready" if self._ready else answering
