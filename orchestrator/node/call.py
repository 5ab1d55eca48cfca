"""One request that another node answers, seen from the node that asks: events in, effects out. Pure.

A node that is asked must say within 300 ms that it takes the request on, and must then say something every 1.5 s (it says twice a
second that it has it still, be it that it works on it or that it waits there). Where it does not, it is asked once more for the
same: a node remembers what it works on, and tells it from the beginning, so that words which were lost on the way cost no work.
Then the request goes to another holder, as long as nothing of the answer was passed on: two halves of two answers are never put
together. Pieces may overtake each other on the way; they are passed on in their order, and an answer with a piece missing is no
answer. What an attempt says after it was given up is not looked at, so that one answer is delivered.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf

from orchestrator.core.errors import (
    AnswerLost,
    DeadlinePassed,
    FleetBusy,
    NoHolder,
    RemoteFailed,
    RunCancelled,
    RunError,
    TooLargeToSend,
)
from orchestrator.node.ended import found_no_place, lacked_its_model
from orchestrator.node.wire import Ack, Busy, Err, Fin, Reply, Tok, digest_of_answer

Choose = Callable[[frozenset[str]], str | None]
"""The node to ask, without those given; ``None`` where there is none."""


@dataclass(frozen=True, slots=True)
class Waits:
    """How long, in seconds, is waited for what. ``again`` is the pause before a node is asked that was asked before;
    ``patience`` is how long a request that nobody takes on waits for somebody, beside the time until its agent's node counts as
    dead, where others stand in for it; ``reroutes`` is how often work that was taken
    on may be given to another node, ``resumes`` how often a node that fell silent is asked for the rest of its answer,
    ``full`` the longest wait for a node that was full before all of them are asked again; ``rest`` is what must
    be left of a request's time when it is given up, as it may have to be kept for later."""

    ack: float = 0.3
    silence: float = 1.5
    again: float = 0.25
    patience: float = 8.0
    reroutes: int = 2
    resumes: int = 3
    full: float = 1.0
    rest: float = 0.5


# ---- effects --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Send:
    """Ask a node. ``remaining`` seconds are left."""

    attempt: int
    node: str
    remaining: float


@dataclass(frozen=True, slots=True)
class Abandon:
    """Tell a node that nobody waits for this attempt any more."""

    attempt: int
    node: str


@dataclass(frozen=True, slots=True)
class PassOn:
    """Give a piece of the answer to the caller."""

    text: str


@dataclass(frozen=True, slots=True)
class Judge:
    """What an attempt says about its node: it answered after ``seconds``, or it failed (``why``)."""

    node: str
    seconds: float = 0.0
    why: str = ""


@dataclass(frozen=True, slots=True)
class Delivered:
    """The answer. Nothing comes after it."""

    node: str
    epoch: int
    fin: Fin


@dataclass(frozen=True, slots=True)
class Failed:
    """There is no answer. Nothing comes after it."""

    error: RunError


Effect = Send | Abandon | PassOn | Judge | Delivered | Failed


@dataclass(slots=True)
class _Attempt:
    """One node that is asked."""

    number: int
    node: str
    sent_at: float
    heard_at: float
    taken: bool = False
    pieces: list[str] = field(default_factory=list)  # in order, without a gap
    early: dict[int, str] = field(default_factory=dict)  # those that have overtaken others
    fin: Fin | None = None
    run: tuple[int, int] | None = None  # its incarnation, and which of its works: all pieces are of this one
    resumes: int = 0
    asked_again: bool = False  # and it has not said anything since
    moved: bool = False  # it has told more than that it took it on, since it was asked again

    def of(self, run: tuple[int, int]) -> None:
        """It is taken on, and what was said is of this run."""
        self.taken = True
        if self.run != run:
            self.run, self.fin = run, None
            self.pieces.clear()
            self.early.clear()


@dataclass(slots=True)
class RemoteCall:
    """The machine. ``streams``: pieces are passed on as they come, after which no other node may be asked. ``may_repeat`` says
    whether the fleet can bear that work is done again (it takes from a budget of all requests). ``hope`` gives the moment until
    which it is waited for somebody to take it on, where that is another one than the usual. ``spread`` gives by chance what part
    of a pause is waited, so that those who waited for the same node do not all come to it at once, again and again."""

    agent: str
    deadline: float
    choose: Choose
    streams: bool = False
    may_repeat: Callable[[], bool] = lambda: True
    waits: Waits = field(default_factory=Waits)
    hope: Callable[[float], float] = lambda until: until
    spread: Callable[[], float] = lambda: 1.0
    over: bool = False
    wake_at: float = inf
    _attempt: _Attempt | None = None
    _count: int = 0
    _rerouted: int = 0
    _waiting_since: float = 0.0
    _refused: dict[str, float] = field(default_factory=dict)  # node -> seconds after which it may have room
    _silent: set[str] = field(default_factory=set)
    _full: bool = False  # all were asked, and had no room
    _waited: bool = False  # there was nobody to ask: whoever comes then is asked by all who waited
    _pause: float = 0.0
    _why: str = ""

    # ---- events ------------------------------------------------------------------------------------------------

    def begin(self, now: float) -> list[Effect]:
        """Ask the first node."""
        self._waiting_since = now
        return self._settled(self._next(now), now)

    def hear(self, attempt: int, reply: Reply, now: float) -> list[Effect]:
        """A reply to an attempt."""
        current = self._attempt
        if self.over or current is None or current.number != attempt or reply.node != current.node:
            return []
        current.heard_at, current.asked_again = now, False
        return self._settled(self._heard(current, reply, now), now)

    def undeliverable(self, attempt: int, why: str, now: float) -> list[Effect]:
        """An attempt could not even be sent, as far as the bus knows: where an answer has begun, it was."""
        current = self._attempt
        if self.over or current is None or current.number != attempt or (current.taken and not current.asked_again):
            return []
        lost = self._lost if current.taken else self._untaken
        return self._settled(lost(current, why, now), now)

    def tick(self, now: float) -> list[Effect]:
        """Time has passed: ``wake_at`` says when this is due."""
        if self.over or now < self.wake_at:
            return []
        return self._settled(self._late(now), now)

    def cancel(self, now: float) -> list[Effect]:
        """The caller does not wait any more."""
        if self.over:
            return []
        return self._settled(self._fail(RunCancelled("the caller went away")), now)

    # ---- what they mean ----------------------------------------------------------------------------------------

    def _heard(self, attempt: _Attempt, reply: Reply, now: float) -> list[Effect]:
        said = reply.said
        if isinstance(said, Busy):
            return self._no_room(attempt, said, (reply.epoch, reply.run), now)
        if isinstance(said, Err):
            return self._refusal(attempt, said, now)
        if attempt.run != (reply.epoch, reply.run) and attempt.pieces and self.streams:
            return self._lost(attempt, f"{attempt.node} began anew", now)
        attempt.moved = attempt.moved or not attempt.taken or not isinstance(said, Ack)
        attempt.of((reply.epoch, reply.run))
        if isinstance(said, Tok):
            return self._piece(attempt, said, now)
        if isinstance(said, Fin):
            attempt.fin = said
            return self._ended(attempt, now)
        return []

    def _no_room(self, attempt: _Attempt, busy: Busy, run: tuple[int, int], now: float) -> list[Effect]:
        """It is not taken on; or it was, and its engine had no place in its line."""
        if attempt.taken and (attempt.run != run or attempt.pieces):
            return self._lost(attempt, f"{attempt.node} has forgotten it", now)
        self._refused[attempt.node] = busy.retry_after
        self._attempt = None
        return self._next(now)

    def _refusal(self, attempt: _Attempt, err: Err, now: float) -> list[Effect]:
        if err.kind == "deadline":
            return self._fail(DeadlinePassed(f"{attempt.node} did not finish {self.agent} in time"), abandons=False)
        if err.kind == "too_large":
            return self._fail(TooLargeToSend(err.message, cure="ask for less, or ask that node itself"), abandons=False)
        if err.kind in ("hops", "restricted"):
            return self._fail(RemoteFailed(f"{attempt.node} refused: {err.message}"), abandons=False)
        if err.kind in ("not_here", "draining") and not attempt.taken:
            self._silent.add(attempt.node)
            self._why = err.message
            self._attempt = None
            return self._next(now)
        return self._lost(attempt, f"{attempt.node} failed: {err.message}", now)

    def _piece(self, attempt: _Attempt, tok: Tok, now: float) -> list[Effect]:
        if tok.seq < len(attempt.pieces) or tok.seq in attempt.early:
            return []  # it came twice
        attempt.early[tok.seq] = tok.text
        effects: list[Effect] = []
        while (text := attempt.early.pop(len(attempt.pieces), None)) is not None:
            attempt.pieces.append(text)
            effects += [PassOn(text)] if self.streams else []
        return effects + (self._ended(attempt, now) if attempt.fin else [])

    def _ended(self, attempt: _Attempt, now: float) -> list[Effect]:
        fin = attempt.fin
        if fin is None or len(attempt.pieces) < fin.count:
            return []  # a piece is on its way still, or lost: the silence will tell
        if digest_of_answer(attempt.pieces, fin.body) != fin.digest:
            return self._lost(attempt, f"what {attempt.node} sent was changed on its way", now)
        if self._waited and not attempt.pieces and found_no_place(fin.body):  # all who waited came to it at once
            self._refused[attempt.node] = self.waits.full
            self._attempt = None
            return self._next(now)
        if (why := lacked_its_model(fin.body)) and (other := self._another(attempt)) is not None:
            self._rerouted += 1
            self._silent.add(attempt.node)
            self._waiting_since = now
            self._why = f"{attempt.node} failed: {why}"
            return [Judge(attempt.node, why=self._why), *self._ask(other, now)]
        self.over, self._attempt = True, None
        return [
            Judge(attempt.node, now - attempt.sent_at),
            Delivered(attempt.node, attempt.run[0] if attempt.run else 0, fin),
        ]

    def _another(self, attempt: _Attempt) -> str | None:
        """Who may do what could not be done there, where nothing of it was told and it may be given on."""
        if attempt.pieces or self._rerouted >= self.waits.reroutes:
            return None
        other = self.choose(frozenset({attempt.node, *self._silent, *self._refused}))
        return other if other is not None and self.may_repeat() else None

    def _late(self, now: float) -> list[Effect]:
        if now >= self.deadline:
            return self._fail(DeadlinePassed(f"no answer of {self.agent} within its time"))
        attempt = self._attempt
        if attempt is None:
            return self._next(now)
        if not attempt.taken:
            return self._untaken(attempt, f"{attempt.node} did not take it on in time", now)
        if attempt.moved and not attempt.asked_again and attempt.resumes < self.waits.resumes:
            return self._resume(attempt, now)
        what = "sent an answer with a gap" if attempt.fin else "fell silent"
        return self._lost(attempt, f"{attempt.node} {what}", now)

    def _resume(self, attempt: _Attempt, now: float) -> list[Effect]:
        """Ask the same node for the same: it tells what it has from the beginning, and what is there already is passed over."""
        self._count += 1
        attempt.number, attempt.heard_at, attempt.asked_again = self._count, now, True
        attempt.resumes, attempt.moved = attempt.resumes + 1, False
        return [Send(self._count, attempt.node, max(0.0, self.deadline - now))]

    def _untaken(self, attempt: _Attempt, why: str, now: float) -> list[Effect]:
        """Nobody has begun to work on it, so that asking elsewhere costs nothing."""
        self._silent.add(attempt.node)
        self._attempt, self._why = None, why
        following = self._next(now)
        same = any(isinstance(effect, Send) and effect.node == attempt.node for effect in following)
        given_up: list[Effect] = [] if same else [Abandon(attempt.number, attempt.node)]
        return [Judge(attempt.node, why=why), *given_up, *following]

    def _lost(self, attempt: _Attempt, why: str, now: float) -> list[Effect]:
        """Work was begun, and comes to nothing."""
        self._why = why
        judged: list[Effect] = [Judge(attempt.node, why=why), Abandon(attempt.number, attempt.node)]
        self._attempt = None
        if self.streams and attempt.pieces:
            told = AnswerLost(f"{why} after a part of the answer had been passed on", cure="ask again")
            return judged + self._fail(told)
        self._rerouted += 1
        if self._rerouted > self.waits.reroutes or not self.may_repeat():
            return judged + self._fail(AnswerLost(f"{why}, and it was asked often enough", cure="ask again"))
        self._silent.add(attempt.node)
        self._waiting_since = now
        return judged + self._next(now)

    def _next(self, now: float) -> list[Effect]:
        """Ask somebody else; where there is nobody else, wait a little for who was asked before."""
        node = self.choose(frozenset(self._silent | self._refused.keys()))
        if node is not None:
            return self._ask(node, now)
        if self._refused and (self._waited or not self._silent):
            soonest = min(self._refused.values())
            if not self._full or (self._waited and now < self.deadline - self.waits.rest):
                self._full, self._pause = True, self._until_room(soonest, now)
                self._silent.clear()
                self._refused.clear()
                return []
            told = f"every node that holds {self.agent} has as much to do as it may"
            return self._fail(FleetBusy(told, cure=f"ask again in {soonest:g} s", retry_after=soonest))
        if now >= min(self.hope(self._waiting_since + self.waits.patience), self.deadline - self.waits.rest):
            why = f"; {self._why}" if self._why else ""
            return self._fail(
                NoHolder(f"no node holds {self.agent} now{why}", cure="start the node that it belongs to")
            )
        self._silent.clear()
        self._refused.clear()
        self._waited, self._pause = True, self.waits.again
        return []

    def _until_room(self, soonest: float, now: float) -> float:
        """How long to wait for full nodes. Whoever waited for somebody to come is not refused for coming together with all others
        who did: it asks again for as long as it has time, not too often, and not in step with them."""
        pause = min(soonest, self.waits.full)
        if not self._waited:
            return pause
        return min(max(pause, self.waits.again) * self.spread(), self.deadline - self.waits.rest - now)

    def _ask(self, node: str, now: float) -> list[Effect]:
        self._count += 1
        self._attempt = _Attempt(self._count, node, now, now)
        return [Send(self._count, node, max(0.0, self.deadline - now))]

    def _fail(self, error: RunError, *, abandons: bool = True) -> list[Effect]:
        attempt, self._attempt, self.over = self._attempt, None, True
        given_up: list[Effect] = [Abandon(attempt.number, attempt.node)] if attempt and abandons else []
        return [*given_up, Failed(error)]

    def _settled(self, effects: list[Effect], now: float) -> list[Effect]:
        """With the time of the next tick."""
        attempt = self._attempt
        if self.over:
            self.wake_at = inf
        elif attempt is None:
            self.wake_at = min(self.deadline, now + self._pause)
        elif not attempt.taken or attempt.asked_again:
            self.wake_at = min(self.deadline, attempt.heard_at + self.waits.ack)
        else:
            self.wake_at = min(self.deadline, attempt.heard_at + self.waits.silence)
        return effects


@dataclass(slots=True)
class Repeats:
    """A budget of repeats, so that a fleet in trouble does not drown in them: each request adds a ``share`` of one, up to
    ``most``."""

    share: float = 0.2
    most: float = 50.0
    left: float = 20.0

    def earn(self) -> None:
        """A request came."""
        self.left = min(self.most, self.left + self.share)

    def take(self) -> bool:
        """Whether one may be repeated; it is taken from what is left."""
        if self.left < 1:
            return False
        self.left -= 1
        return True
