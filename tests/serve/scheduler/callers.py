"""Callers with little time, and a server that answers one after another or hangs, around the real scheduler, on virtual time."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from math import inf

from orchestrator.core.errors import RunError, Stalled
from orchestrator.deploy.endpoint import EndpointSpec
from orchestrator.deploy.watch import Word
from orchestrator.serve.effect import Cancel, Check, Effect, Fail, Look, Probe, Start
from orchestrator.serve.scheduler_limits import SchedulerLimits
from tests.serve.scheduler.machine import Machine

MOMENT = 1e-6


@dataclass
class Server:
    """Reads one prompt after another, for ``first`` seconds and ``each`` byte, and then answers. It drops what nobody waits for any
    more, unless it is ``stubborn``; one that ``tells`` says whether it works. Between ``hangs`` and ``mended`` it does nothing."""

    first: float = 0.5
    each: float = 0.0
    tells: bool = False
    stubborn: bool = False
    hangs: float = inf
    mended: float = inf
    line: list[Job] = field(default_factory=list)


@dataclass
class Job:
    """A prompt that is read. ``left``: seconds of work; ``done`` is told once it is."""

    left: float
    done: Callable[[], None] | None


@dataclass
class Outcome:
    """What became of a call."""

    came: float
    on: list[str] = field(default_factory=list)
    ended: float = inf
    fault: str = ""


class Callers(Machine):
    """Plays calls, and what their servers do."""

    def __init__(
        self, servers: dict[str, Server], specs: Sequence[EndpointSpec], limits: SchedulerLimits | None = None
    ) -> None:
        self.servers = servers
        self.outcomes: dict[int, Outcome] = {}
        self.looked_at: list[float] = []
        self.words: list[Word] = []
        self.left: list[float] = []
        self._jobs: dict[int, tuple[str, Job]] = {}
        self._prompts: dict[int, int] = {}
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()
        super().__init__(*specs, limits=limits)

    def ask(self, *candidates: str, within: float, prompt: int = 100) -> int:
        """A streamed call begins."""
        number = self._calls + 1
        self.outcomes[number] = Outcome(self.now)
        self._prompts[number] = prompt
        return self.submit(*candidates, streaming=True, within=within, prompt=prompt)

    def at(self, moment: float, act: Callable[[], None]) -> None:
        """Do this then."""
        heapq.heappush(self._agenda, (moment, next(self._order), act))

    def play(self, until: float) -> None:
        """Let time pass, and everybody do his part."""
        while (then := self._next()) <= until:
            self._step(then)
        self._work(until)
        self.now = until

    def wait_for(self, call: int) -> str:
        """Let time pass until it is over; what was told, or nothing where it was answered."""
        while self.outcomes[call].ended == inf:
            self._step(self._next())
        return self.outcomes[call].fault

    def _next(self) -> float:
        work = min((self._next_done(server) for server in self.servers.values()), default=inf)
        return min(self._agenda[0][0] if self._agenda else inf, self.scheduler.due, work)

    def _step(self, then: float) -> None:
        assert then < inf, "somebody waits for ever"
        self._work(max(then, self.now))
        self.now = max(then, self.now)
        if self._agenda and self._agenda[0][0] <= self.now:
            heapq.heappop(self._agenda)[2]()
        elif self.scheduler.due <= self.now:
            self._note("tick", self.scheduler.on_tick(self.now))

    def freeze(self, seconds: float) -> None:
        """Nobody listens for so long, while everybody else goes on."""
        self.now += seconds

    def occupy(self, name: str, seconds: float) -> None:
        """Another client has it at work for so long."""
        self.servers[name].line.append(Job(seconds, None))

    # -- servers ----------------------------------------------------------------------------------------------------

    def _next_done(self, server: Server) -> float:
        if not server.line:
            return inf
        begins = self.now if not server.hangs <= self.now < server.mended else server.mended
        end = begins + server.line[0].left
        return end if end <= server.hangs or begins >= server.mended else server.mended + server.line[0].left

    def _work(self, until: float) -> None:
        """They work from now until then."""
        for server in self.servers.values():
            free = _overlap(self.now, until, -inf, server.hangs) + _overlap(self.now, until, server.mended, inf)
            while server.line and server.line[0].left <= free + MOMENT:
                job = server.line.pop(0)
                free -= job.left
                if job.done is not None:
                    self.at(until, job.done)
            if server.line:
                server.line[0].left -= max(0.0, free)

    def _drop(self, name: str, job: Job) -> None:
        job.done = None
        line = self.servers[name].line
        if job in line and not self.servers[name].stubborn:
            line.remove(job)

    def _hangs(self, name: str) -> bool:
        return self.servers[name].hangs <= self.now < self.servers[name].mended

    # -- what the loop would do -------------------------------------------------------------------------------------

    def _note(self, event: str, effects: Sequence[Effect]) -> None:
        super()._note(event, effects)
        for effect in effects:
            match effect:
                case Start():
                    self._start(effect)
                case Cancel(call=call, error=error):
                    self.at(self.now, lambda call=call, error=error: self._stop(call, error))  # type: ignore[misc] # bound now
                case Fail(call=call, error=error):
                    self._over(call, type(error).__name__)
                case Look():
                    self._look(effect)
                case Probe(spec=spec):
                    self.at(self.now, lambda spec=spec: self.probed(spec.id, True))  # type: ignore[misc] # bound now
                case Check(spec=spec):
                    self.at(self.now + 15.0, lambda spec=spec: self._checked(spec.id))  # type: ignore[misc] # bound now
                case _ if " is stalled" in str(effect):
                    self.left.append(self.now)

    def _start(self, effect: Start) -> None:
        call, name = effect.call, effect.spec.id
        server = self.servers[name]
        job = Job(server.first + server.each * self._prompts[call], lambda: self._answer(call))
        server.line.append(job)
        self._jobs[call] = name, job
        self.outcomes[call].on.append(name)

    def _answer(self, call: int) -> None:
        if call in self._jobs:
            del self._jobs[call]
            self.token(call)
            self._over(call, "")
            self.finish(call, wrote=1)

    def _stop(self, call: int, error: RunError) -> None:
        if call not in self._jobs:
            return
        self._drop(*self._jobs.pop(call))
        self.finish(call, error)

    def leave(self, call: int) -> None:
        """Its caller goes away."""
        if self.outcomes[call].ended < inf:
            return
        if call in self._jobs:
            self._drop(*self._jobs.pop(call))
        self._over(call, "left")
        self.cancel(call)

    def _over(self, call: int, fault: str) -> None:
        self.outcomes[call].ended, self.outcomes[call].fault = self.now, fault

    def _look(self, effect: Look) -> None:
        name, server = effect.spec.id, self.servers[effect.spec.id]
        self.looked_at.append(self.now)
        if server.tells and server.line:
            word: Word = "hangs" if self._hangs(name) else "works"
            self.at(self.now + (effect.timeout if word == "hangs" else 1.0), lambda: self._saw(name, word))
            return
        told: list[Word] = []

        def tell(word: Word) -> None:
            if not told:
                told.append(word)
                self._saw(name, word)

        job = Job(server.first, lambda: tell("answers"))
        server.line.append(job)

        def give_up() -> None:
            if not told:
                self._drop(name, job)
                tell("silent")

        self.at(self.now + effect.timeout, give_up)

    def _saw(self, name: str, word: Word) -> None:
        self.words.append(word)
        self.looked(name, word)

    def _checked(self, name: str) -> None:
        self.checked(name, Stalled("no token") if self._hangs(name) else None)


def _overlap(begin: float, end: float, low: float, high: float) -> float:
    return max(0.0, min(end, high) - max(begin, low))
